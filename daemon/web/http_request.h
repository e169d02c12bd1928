/* SPDX-License-Identifier: MIT */
/*
 * The head of an HTTP/1.1 request (RFC 9110, 9112), taken apart where it lies. What is ambiguous is refused, since a proxy
 * might understand it in another way: then a request could be hidden within another one.
 */
#ifndef DAEMON_HTTP_REQUEST_H
#define DAEMON_HTTP_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_HEAD_MAX 8192   /* bytes, with the empty line */
#define HTTP_TARGET_MAX 2048 /* bytes */
#define HTTP_HEADERS_MAX 64
#define HTTP_BODY_MAX (48U << 10) /* bytes */

enum http_method {
	HTTP_GET = 1 << 0,
	HTTP_HEAD = 1 << 1,
	HTTP_POST = 1 << 2,
	HTTP_OPTIONS = 1 << 3,
	HTTP_OTHER = 1 << 4,
};

/* Not NUL-terminated; at is NULL if it isn't there. */
struct http_text {
	const char *at;
	size_t len;
};

struct http_header {
	struct http_text name, value; /* the value without spaces around it */
};

/* All of it points into the data that was parsed, but path. */
struct http_request {
	enum http_method method;
	unsigned minor; /* HTTP/1.0 or 1.1 */
	bool keep_alive;
	char path[HTTP_TARGET_MAX + 1]; /* decoded; begins with "/", and has no control characters */
	struct http_text query;		/* behind the "?", as it came */
	struct http_text host;		/* "NAME[:PORT]", without an @ or spaces; HTTP/1.0 may have none */
	struct http_header headers[HTTP_HEADERS_MAX];
	unsigned n_headers;
	size_t head_len; /* bytes */
	size_t body_len; /* which follow the head */
};

/*
 * Returns 0; HTTP_UNFINISHED: more has to come; or the status (400 and above) that refuses it, after which the connection
 * ends, as nobody knows where the next request begins. What can be told of the request, such as its method, is in *ret also then.
 */
#define HTTP_UNFINISHED (-1)
int http_request_parse(const char *data, size_t len, struct http_request *ret);

/* The first header of that name (in lower case). Those that have one value are there once at most. */
struct http_text http_header(const struct http_request *r, const char *name);
/* Whether one of the headers of that name, which are lists, has that word, in whatever case. */
bool http_has_word(const struct http_request *r, const char *name, const char *word);
/* Calls fn with each element of those lists until it returns true. */
bool http_any_word(const struct http_request *r, const char *name,
		   bool (*fn)(struct http_text word, void *arg), void *arg);
/* Whether it is that text, in whatever case. */
bool http_text_is(struct http_text t, const char *s);

/* The value of a name in the query, decoded and with a NUL behind it. Returns its length; -ENOENT: it isn't there; -EINVAL:
 * it is there twice, too long, has a NUL, or is badly encoded. */
int http_query(const struct http_request *r, const char *name, char *ret, size_t size);
/* The same as a number; ret stays as it was if it isn't there (0 then). -EINVAL: it is none, or not below 2^63. */
int http_query_number(const struct http_request *r, const char *name, uint64_t *ret);

#endif
