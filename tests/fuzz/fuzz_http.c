/* SPDX-License-Identifier: MIT */
/* Heads of HTTP requests: what is made of one doesn't depend on the pieces it comes in, and is within it. And what
 * the metrics read in Accept. */
#include "tests/fuzz/fuzz.h"

#include "daemon/control/openmetrics.h"
#include "daemon/web/http_request.h"
#include "daemon/web/message.h"

#include <errno.h>
#include <string.h>

static bool within(struct http_text t, const char *data, size_t len)
{
	return !t.at || (t.at >= data && t.at + t.len <= data + len);
}

static bool any_word(struct http_text word, void *arg)
{
	REQUIRE(word.len > 0);
	*(size_t *)arg += word.len;
	return false;
}

static void check(const struct http_request *r, const char *data, size_t len)
{
	char value[32];
	uint64_t number = 0, epoch;
	size_t sum = 0;

	REQUIRE(r->head_len <= len && r->head_len <= HTTP_HEAD_MAX && r->body_len <= HTTP_BODY_MAX);
	REQUIRE(memcmp(data + r->head_len - 2, "\r\n", 2) == 0);
	REQUIRE(r->path[0] == '/' && strlen(r->path) <= HTTP_TARGET_MAX);
	for (const char *p = r->path; *p; p++)
		REQUIRE((unsigned char)*p >= ' ' && *p != 0x7f);
	REQUIRE(within(r->query, data, len) && within(r->host, data, len));
	REQUIRE(!memchr(r->host.at ? r->host.at : "", '@', r->host.len));
	for (unsigned i = 0; i < r->n_headers; i++) {
		const struct http_header *h = &r->headers[i];
		REQUIRE(within(h->name, data, r->head_len) && within(h->value, data, r->head_len));
		REQUIRE(h->name.len > 0 && !memchr(h->value.at, '\n', h->value.len) &&
			!memchr(h->value.at, '\r', h->value.len) && !memchr(h->value.at, 0, h->value.len));
	}
	REQUIRE(!http_header(r, "transfer-encoding").at);
	http_any_word(r, "connection", any_word, &sum);
	REQUIRE(sum <= len);
	int n = http_query(r, "after", value, sizeof(value));
	REQUIRE(n == -ENOENT || n == -EINVAL || (n >= 0 && (size_t)n == strlen(value)));
	if (n >= 0 && message_parse_id(value, (size_t)n, &epoch, &number))
		REQUIRE(strchr(value, '-'));
	n = http_query_number(r, "limit", &number);
	REQUIRE(n == -EINVAL || (n == 0 && number <= INT64_MAX));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct http_request whole, part;
	/* On the heap, so that a look behind it is seen. */
	char *copy = malloc(size ? size : 1);

	memcpy(copy, data, size);
	int r = http_request_parse(copy, size, &whole);
	REQUIRE(r == 0 || r == HTTP_UNFINISHED || (r >= 400 && r < 600));
	if (r == 0)
		check(&whole, copy, size);
	for (size_t i = 0; i<size; i += size> 300 ? 37 : 1) {
		char *piece = malloc(i ? i : 1);
		memcpy(piece, data, i);
		int s = http_request_parse(piece, i, &part);
		free(piece);
		/* Once it is decided it stays so; before that nothing is. */
		if (r == 0 && i < whole.head_len)
			REQUIRE(s == HTTP_UNFINISHED);
		if (r == HTTP_UNFINISHED)
			REQUIRE(s == HTTP_UNFINISHED);
		if (r == 0 && i >= whole.head_len)
			REQUIRE(s == 0 && part.head_len == whole.head_len && part.body_len == whole.body_len);
	}
	free(copy);
	char *accept = strndup((const char *)data, size);
	openmetrics_wanted(accept);
	free(accept);
	return 0;
}
