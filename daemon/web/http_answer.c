/* SPDX-License-Identifier: MIT */
/* Heads of answers, and what a problem looks like. Nothing of it says which browser, time or version it is: it is the same
 * whenever it is made. */
#include "daemon/web/http_answer.h"

#include "common/cleanup.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

/* What a page of chatd's may do, should somebody find a way to put something into it. */
static const char http_guards[] =
    "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; form-action 'none'; frame-ancestors 'none'; base-uri 'none'\r\n"
    "X-Content-Type-Options: nosniff\r\n"
    "Referrer-Policy: no-referrer\r\n"
    "Cross-Origin-Opener-Policy: same-origin\r\n"
    "Cross-Origin-Resource-Policy: same-origin\r\n";

/* detail: what is said of a problem if nothing better is known. */
static const struct http_status {
	unsigned status;
	const char *reason, *detail;
} http_statuses[] = {
    {200, "OK", NULL},
    {201, "Created", NULL},
    {202, "Accepted", NULL},
    {204, "No Content", NULL},
    {304, "Not Modified", NULL},
    {400, "Bad Request", "The request line or a header is wrong, or there isn't exactly one Host."},
    {401, "Unauthorized", "This takes a token."},
    {403, "Forbidden", "That may not be done."},
    {404, "Not Found", "There is nothing at this address."},
    {405, "Method Not Allowed", "This address has other methods: see Allow."},
    {408, "Request Timeout", "The request has to be here within 10 seconds."},
    {411, "Length Required", "A body needs a Content-Length; it can't come in chunks."},
    {413, "Content Too Large", "A body has at most 48 kB."},
    {414, "URI Too Long", "An address has at most 2 kB."},
    {415, "Unsupported Media Type", "The body is of the wrong type."},
    {421, "Misdirected Request", "This server isn't known by that name."},
    {422, "Unprocessable Content", "That can't be said."},
    {426, "Upgrade Required", "This is for WebSockets."},
    {429, "Too Many Requests", "That was too much in too little time."},
    {431, "Request Header Fields Too Large", "A head has at most 8 kB and 64 headers."},
    {500, "Internal Server Error", "Something is wrong here."},
    {501, "Not Implemented", "That Transfer-Encoding isn't known."},
    {503, "Service Unavailable", "That can't be done at the moment."},
    {505, "HTTP Version Not Supported", "Version 1.1 of HTTP is spoken here."},
};

static const struct http_status *http_status(unsigned status)
{
	for (size_t i = 0; i < sizeof(http_statuses) / sizeof(http_statuses[0]); i++)
		if (http_statuses[i].status == status)
			return &http_statuses[i];
	return NULL;
}

const char *http_reason(unsigned status)
{
	const struct http_status *s = http_status(status);

	return s ? s->reason : "Status";
}

size_t http_answer_head(const struct http_answer *a, char ret[static HTTP_ANSWER_HEAD_MAX])
{
	bool bodiless = a->status == 204 || a->status == 304;
	char length[40] = "";

	if (!a->endless && !bodiless)
		snprintf(length, sizeof(length), "Content-Length: %zu\r\n", a->len);
	int n = snprintf(ret, HTTP_ANSWER_HEAD_MAX, "HTTP/1.1 %u %s\r\n%s%s%s%s%s%s%s\r\n", a->status,
			 http_reason(a->status), a->type ? "Content-Type: " : "", a->type ? a->type : "",
			 a->type ? "\r\n" : "", length, a->closes ? "Connection: close\r\n" : "", http_guards,
			 a->headers ? a->headers : "");
	return n < 0 ? 0 : (size_t)n < HTTP_ANSWER_HEAD_MAX ? (size_t)n : HTTP_ANSWER_HEAD_MAX - 1;
}

char *http_problem(unsigned status, const char *detail)
{
	const struct http_status *s = http_status(status);
	json_t *o = json_pack("{s:s, s:s, s:i, s:s*}", "type", "about:blank", "title", http_reason(status),
			      "status", (int)status, "detail",
			      detail ? detail
			      : s    ? s->detail
				     : NULL);
	char *text = o ? json_dumps(o, JSON_COMPACT | JSON_ENSURE_ASCII) : NULL;

	json_decref(o);
	return text;
}

size_t http_problem_answer(unsigned status, const char *detail, char *text, size_t size)
{
	_cleanup_free_ char *body = http_problem(status, detail);
	int len =
	    snprintf(text, size,
		     "HTTP/1.1 %u %s\r\nContent-Type: application/problem+json\r\nContent-Length: %zu\r\n"
		     "Connection: close\r\n\r\n%s",
		     status, http_reason(status), body ? strlen(body) : 0, body ? body : "");

	return len > 0 && (size_t)len < size ? (size_t)len : 0;
}
