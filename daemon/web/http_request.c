/* SPDX-License-Identifier: MIT */
/*
 * A parser of our own: the libraries in Debian 12 either own the socket, which can't outlive the process then
 * (libmicrohttpd), or are not kept up any more (http_parser). It allocates nothing, and looks at each byte once or twice.
 */
#include "daemon/web/http_request.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

/* --- characters --- */

static bool http_is_token(unsigned char ch)
{
	return (ch >= '0' && ch <= '9') || ((ch | 32) >= 'a' && (ch | 32) <= 'z') ||
	       (ch && strchr("!#$%&'*+-.^_`|~", ch));
}

static bool http_is_value(unsigned char ch)
{
	return ch == '\t' || (ch >= ' ' && ch != 0x7f);
}

static int http_digit(unsigned char ch)
{
	if (ch >= '0' && ch <= '9')
		return ch - '0';
	ch |= 32;
	return ch >= 'a' && ch <= 'f' ? ch - 'a' + 10 : -1;
}

/* Decodes %XX, and + as a space in queries. Returns the length, or -EINVAL. */
static int http_decode(const char *s, size_t len, bool plus, char *ret, size_t size)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		unsigned char ch = (unsigned char)s[i];
		if (ch == '%') {
			int high = i + 2 < len ? http_digit((unsigned char)s[i + 1]) : -1;
			int low = high >= 0 ? http_digit((unsigned char)s[i + 2]) : -1;
			if (low < 0)
				return -EINVAL;
			ch = (unsigned char)(high << 4 | low);
			i += 2;
		} else if (ch == '+' && plus) {
			ch = ' ';
		}
		if (ch < ' ' || ch == 0x7f || n + 1 >= size)
			return -EINVAL;
		ret[n++] = (char)ch;
	}
	ret[n] = 0;
	return (int)n;
}

bool http_text_is(struct http_text t, const char *s)
{
	return t.at && t.len == strlen(s) && strncasecmp(t.at, s, t.len) == 0;
}

/* --- the request line --- */

static enum http_method http_method_of(struct http_text t)
{
	static const struct {
		const char *name;
		enum http_method method;
	} methods[] = {
	    {"GET", HTTP_GET}, {"HEAD", HTTP_HEAD}, {"POST", HTTP_POST}, {"OPTIONS", HTTP_OPTIONS}};

	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
		if (t.len == strlen(methods[i].name) && memcmp(t.at, methods[i].name, t.len) == 0)
			return methods[i].method;
	return HTTP_OTHER;
}

/* "NAME[:PORT]": what it may be made of is all that is asked here. */
static bool http_is_host(struct http_text t)
{
	for (size_t i = 0; i < t.len; i++) {
		unsigned char ch = (unsigned char)t.at[i];
		bool alnum = (ch >= '0' && ch <= '9') || ((ch | 32) >= 'a' && (ch | 32) <= 'z');
		if (!alnum && (!ch || !strchr("-._~:[]%", ch)))
			return false;
	}
	return t.len <= 255 + 6;
}

/* "/path?query", or with the scheme and the host before it, as to a proxy. Returns 0 or a status. */
static int http_read_target(struct http_text t, struct http_request *ret)
{
	static const char *const schemes[] = {"http://", "https://"};

	for (size_t i = 0; i < 2; i++) {
		size_t n = strlen(schemes[i]);
		if (t.len < n || strncasecmp(t.at, schemes[i], n) != 0)
			continue;
		t.at += n;
		t.len -= n;
		const char *end = memchr(t.at, '/', t.len);
		ret->host = (struct http_text){t.at, end ? (size_t)(end - t.at) : t.len};
		if (!end || ret->host.len == 0 || !http_is_host(ret->host))
			return 400;
		t.len -= ret->host.len;
		t.at = end;
		break;
	}
	if (t.len == 0 || t.at[0] != '/')
		return 400;
	const char *query = memchr(t.at, '?', t.len);
	size_t len = query ? (size_t)(query - t.at) : t.len;
	if (query)
		ret->query = (struct http_text){query + 1, t.len - len - 1};
	return http_decode(t.at, len, false, ret->path, sizeof(ret->path)) < 0 ? 400 : 0;
}

/* Without its end. */
static int http_read_request_line(const char *line, size_t len, struct http_request *ret)
{
	const char *space = memchr(line, ' ', len);
	const struct http_text method = {line, space ? (size_t)(space - line) : len};

	for (size_t i = 0; i < method.len; i++)
		if (!http_is_token((unsigned char)line[i]))
			return 400;
	if (!space || method.len == 0)
		return 400;
	ret->method = http_method_of(method);
	const char *target = space + 1;
	size_t rest = len - method.len - 1;
	space = memchr(target, ' ', rest);
	if (!space)
		return 400;
	size_t target_len = (size_t)(space - target);
	for (size_t i = 0; i < target_len; i++)
		if ((unsigned char)target[i] <= ' ' || (unsigned char)target[i] >= 0x7f)
			return 400;
	if (target_len > HTTP_TARGET_MAX)
		return 414;
	rest -= target_len + 1;
	if (rest != 8 || memcmp(space + 1, "HTTP/", 5) != 0 || space[7] != '.' || space[6] < '0' ||
	    space[6] > '9' || space[8] < '0' || space[8] > '9')
		return 400;
	if (space[6] != '1')
		return 505;
	ret->minor = space[8] == '0' ? 0 : 1;
	return http_read_target((struct http_text){target, target_len}, ret);
}

/* --- headers --- */

/* Without its end. */
static int http_read_header(const char *line, size_t len, struct http_request *ret)
{
	const char *colon = memchr(line, ':', len);
	struct http_header *h = &ret->headers[ret->n_headers];

	if (ret->n_headers == HTTP_HEADERS_MAX)
		return 431;
	if (!colon || colon == line)
		return 400;
	h->name = (struct http_text){line, (size_t)(colon - line)};
	for (size_t i = 0; i < h->name.len; i++)
		if (!http_is_token(
			(unsigned char)line[i])) /* a space before the colon, too, or at the line's begin */
			return 400;
	const char *at = colon + 1, *end = line + len;
	while (at < end && (*at == ' ' || *at == '\t'))
		at++;
	while (end > at && (end[-1] == ' ' || end[-1] == '\t'))
		end--;
	h->value = (struct http_text){at, (size_t)(end - at)};
	for (size_t i = 0; i < h->value.len; i++)
		if (!http_is_value((unsigned char)at[i]))
			return 400;
	ret->n_headers++;
	return 0;
}

struct http_text http_header(const struct http_request *r, const char *name)
{
	for (unsigned i = 0; i < r->n_headers; i++)
		if (http_text_is(r->headers[i].name, name))
			return r->headers[i].value;
	return (struct http_text){NULL, 0};
}

/* Those that would say two things if they were there twice. */
static bool http_is_doubled(const struct http_request *r)
{
	static const char *const single[] = {"host",
					     "content-length",
					     "transfer-encoding",
					     "origin",
					     "authorization",
					     "content-type",
					     "last-event-id",
					     "expect",
					     "sec-websocket-key",
					     "sec-websocket-version",
					     "if-none-match"};

	for (size_t i = 0; i < sizeof(single) / sizeof(single[0]); i++) {
		unsigned n = 0;
		for (unsigned k = 0; k < r->n_headers; k++)
			n += http_text_is(r->headers[k].name, single[i]);
		if (n > 1)
			return true;
	}
	return false;
}

bool http_any_word(const struct http_request *r, const char *name,
		   bool (*fn)(struct http_text word, void *arg), void *arg)
{
	for (unsigned i = 0; i < r->n_headers; i++) {
		const char *at = r->headers[i].value.at, *end = at + r->headers[i].value.len;
		if (!http_text_is(r->headers[i].name, name))
			continue;
		while (at < end) {
			const char *comma = memchr(at, ',', (size_t)(end - at)), *stop = comma ? comma : end;
			while (at < stop && (*at == ' ' || *at == '\t'))
				at++;
			const char *last = stop;
			while (last > at && (last[-1] == ' ' || last[-1] == '\t'))
				last--;
			if (last > at && fn((struct http_text){at, (size_t)(last - at)}, arg))
				return true;
			at = stop + 1;
		}
	}
	return false;
}

static bool http_word_is(struct http_text word, void *arg)
{
	return http_text_is(word, arg);
}

bool http_has_word(const struct http_request *r, const char *name, const char *word)
{
	return http_any_word(r, name, http_word_is, (char *)word);
}

/* --- what the headers say of the request --- */

/* Returns 0 or a status. */
static int http_read_length(struct http_request *ret)
{
	struct http_text length = http_header(ret, "content-length"),
			 encoding = http_header(ret, "transfer-encoding");
	size_t n = 0;

	if (encoding.at)
		return length.at || ret->minor == 0 ? 400 : http_text_is(encoding, "chunked") ? 411 : 501;
	if (!length.at)
		return 0;
	if (length.len == 0)
		return 400;
	for (size_t i = 0; i < length.len; i++) {
		if (length.at[i] < '0' || length.at[i] > '9')
			return 400;
		if (n <= HTTP_BODY_MAX)
			n = n * 10 + (size_t)(length.at[i] - '0');
	}
	ret->body_len = n;
	return n > HTTP_BODY_MAX ? 413 : 0;
}

static int http_judge(struct http_request *ret)
{
	struct http_text host = http_header(ret, "host");

	if (http_is_doubled(ret) || (!host.at && ret->minor > 0) || (host.at && !http_is_host(host)))
		return 400;
	if (!ret->host.at && host.len > 0)
		ret->host = host;
	ret->keep_alive = ret->minor > 0 ? !http_has_word(ret, "connection", "close")
					 : http_has_word(ret, "connection", "keep-alive");
	return http_read_length(ret);
}

/* --- all of it --- */

/* The next line that begins at *at, which moves behind it. Returns 0, HTTP_UNFINISHED, or a status. */
static int http_next_line(const char *data, size_t len, size_t *at, struct http_text *ret)
{
	const char *line = data + *at, *newline = memchr(line, '\n', len - *at);
	size_t n = newline ? (size_t)(newline - line) : len - *at;
	const char *cr = memchr(line, '\r', n);

	/* The only CR is right before the newline, if that has come. */
	if (cr && (size_t)(cr - line) + 1 < n)
		return 400;
	if (memchr(line, 0, n))
		return 400;
	if (!newline)
		return HTTP_UNFINISHED;
	if (!cr)
		return 400;
	*ret = (struct http_text){line, n - 1};
	*at += n + 1;
	return 0;
}

/* Which part of it was too long. */
static int http_too_long(const char *data, size_t len, size_t at)
{
	return at == 0 || (at == 2 && data[0] == '\r') ? memchr(data + at, ' ', len - at) ? 414 : 400 : 431;
}

int http_request_parse(const char *data, size_t len, struct http_request *ret)
{
	struct http_text line;
	size_t at = 0, have = len < HTTP_HEAD_MAX ? len : HTTP_HEAD_MAX;
	bool first = true;
	int r = 0;

	*ret = (struct http_request){.method = HTTP_OTHER};
	/* An old client may have left an empty line behind its last body. */
	if (have >= 2 && data[0] == '\r' && data[1] == '\n')
		at = 2;
	for (;;) {
		r = http_next_line(data, have, &at, &line);
		if (r == HTTP_UNFINISHED && have == HTTP_HEAD_MAX)
			return http_too_long(data, have, at);
		/* The method and the target would have come by now. */
		if (r == HTTP_UNFINISHED && first && have - at > HTTP_TARGET_MAX + 64)
			return http_too_long(data, have, at);
		if (r != 0)
			return r;
		if (line.len == 0 && !first)
			break;
		r = first ? http_read_request_line(line.at, line.len, ret)
			  : http_read_header(line.at, line.len, ret);
		if (r != 0)
			return r;
		first = false;
	}
	ret->head_len = at;
	return http_judge(ret);
}

/* --- the query --- */

int http_query(const struct http_request *r, const char *name, char *ret, size_t size)
{
	const char *at = r->query.at, *end = at ? at + r->query.len : NULL;
	int found = -ENOENT;

	while (at && at < end) {
		const char *stop = memchr(at, '&', (size_t)(end - at));
		stop = stop ? stop : end;
		const char *equals = memchr(at, '=', (size_t)(stop - at)),
			   *value = equals ? equals + 1 : stop;
		size_t len = (size_t)((equals ? equals : stop) - at);
		if (len == strlen(name) && memcmp(at, name, len) == 0) {
			if (found != -ENOENT)
				return -EINVAL;
			found = http_decode(value, (size_t)(stop - value), true, ret, size);
			if (found < 0)
				return -EINVAL;
		}
		at = stop + 1;
	}
	return found;
}

int http_query_number(const struct http_request *r, const char *name, uint64_t *ret)
{
	char text[24];
	uint64_t v = 0;
	int n = http_query(r, name, text, sizeof(text));

	if (n == -ENOENT)
		return 0;
	if (n <= 0 || n > 19)
		return -EINVAL;
	for (int i = 0; i < n; i++) {
		if (text[i] < '0' || text[i] > '9')
			return -EINVAL;
		v = v * 10 + (uint64_t)(text[i] - '0');
	}
	if (v > INT64_MAX)
		return -EINVAL;
	*ret = v;
	return 0;
}
