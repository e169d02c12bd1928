/* SPDX-License-Identifier: MIT */
/* Heads of requests: what is taken, and what is refused since others may take it for something else. */
#include "tests/unit/unit.h"

#include "daemon/web/http_request.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static struct http_request r;

static int parse(const char *text)
{
	return http_request_parse(text, strlen(text), &r);
}

/* A header that a good request has besides. */
static int with(const char *header)
{
	static char text[1024]; /* which what is parsed points into */

	snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: a\r\n%s\r\n", header);
	return parse(text);
}

static int with_line(const char *line)
{
	static char text[8192];

	snprintf(text, sizeof(text), "%s\r\nHost: a\r\n\r\n", line);
	return parse(text);
}

static void takes_a_request(void **state)
{
	static const char text[] = "GET /a%20b/%c3%a9?x=1&y=%41+b HTTP/1.1\r\nHost: example.org:8080\r\n"
				   "X-Odd:\t spaces around  \r\nEmpty:\r\n\r\nrest";
	char value[16];

	(void)state;
	assert_int_equal(parse(text), 0);
	assert_int_equal(r.method, HTTP_GET);
	assert_string_equal(r.path, "/a b/\303\251");
	assert_int_equal(r.head_len, sizeof(text) - 1 - 4);
	assert_int_equal(r.body_len, 0);
	assert_true(r.keep_alive);
	assert_true(http_text_is(r.host, "EXAMPLE.org:8080"));
	assert_true(http_text_is(http_header(&r, "x-odd"), "spaces around"));
	assert_non_null(http_header(&r, "empty").at);
	assert_null(http_header(&r, "missing").at);
	assert_int_equal(http_query(&r, "y", value, sizeof(value)), 3);
	assert_string_equal(value, "A b");
	assert_int_equal(http_query(&r, "z", value, sizeof(value)), -ENOENT);
	assert_int_equal(http_query(&r, "y", value, 3), -EINVAL);
}

static void every_piece_is_unfinished(void **state)
{
	static const char text[] =
	    "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";

	(void)state;
	for (size_t i = 0; i < sizeof(text) - 1 - 5; i++)
		assert_int_equal(http_request_parse(text, i, &r), HTTP_UNFINISHED);
	assert_int_equal(parse(text), 0);
	assert_int_equal(r.method, HTTP_POST);
	assert_int_equal(r.body_len, 5);
	assert_false(r.keep_alive);
}

static void request_lines(void **state)
{
	(void)state;
	assert_int_equal(with_line("HEAD / HTTP/1.1"), 0);
	assert_int_equal(r.method, HTTP_HEAD);
	assert_int_equal(with_line("get / HTTP/1.1"), 0);
	assert_int_equal(r.method, HTTP_OTHER); /* methods have a case */
	assert_int_equal(with_line("\r\nGET / HTTP/1.1"), 0);
	assert_int_equal(with_line("\r\n\r\nGET / HTTP/1.1"), 400);
	assert_int_equal(with_line("GET  / HTTP/1.1"), 400);
	assert_int_equal(with_line("GET / HTTP/1.1 "), 400);
	assert_int_equal(with_line(" GET / HTTP/1.1"), 400);
	assert_int_equal(with_line("GET\t/ HTTP/1.1"), 400);
	assert_int_equal(with_line("GET /"), 400);
	assert_int_equal(with_line("GET / HTTP/2.0"), 505);
	assert_int_equal(with_line("GET / HTTP/1.15"), 400);
	assert_int_equal(with_line("GET / http/1.1"), 400);
	assert_int_equal(with_line("GET x HTTP/1.1"), 400);
	assert_int_equal(with_line("GET /%0a HTTP/1.1"), 400);
	assert_int_equal(with_line("GET /%00 HTTP/1.1"), 400);
	assert_int_equal(with_line("GET /%4 HTTP/1.1"), 400);
	assert_int_equal(with_line("GET /%zz HTTP/1.1"), 400);
	assert_int_equal(with_line("GET /\303\251 HTTP/1.1"), 400);
	assert_int_equal(with_line("\026\003\001"), 400); /* TLS */
	assert_int_equal(parse("GET / HTTP/1.1\nHost: a\n\n"), 400);
	assert_int_equal(parse("GET / HTTP/1.1\r\nHost: a\r\r\n"), 400);
}

static void targets(void **state)
{
	char line[3 * HTTP_TARGET_MAX];

	(void)state;
	assert_int_equal(with_line("GET http://b:1/x?y HTTP/1.1"), 0);
	assert_string_equal(r.path, "/x");
	assert_true(http_text_is(r.host, "b:1")); /* whatever Host says */
	assert_int_equal(with_line("GET http://u@b/x HTTP/1.1"), 400);
	assert_int_equal(with_line("GET http:///x HTTP/1.1"), 400);
	assert_int_equal(with_line("GET http://b HTTP/1.1"), 400);
	assert_int_equal(with_line("OPTIONS * HTTP/1.1"), 400);
	for (size_t len = HTTP_TARGET_MAX - 1; len <= HTTP_TARGET_MAX + 1; len++) {
		snprintf(line, sizeof(line), "GET /%0*d HTTP/1.1", (int)len - 1, 0);
		assert_int_equal(with_line(line), len > HTTP_TARGET_MAX ? 414 : 0);
	}
	memset(line, 'a', sizeof(line));
	memcpy(line, "GET /", 5);
	assert_int_equal(http_request_parse(line, sizeof(line), &r), 414);
	memset(line, 'a', 5);
	assert_int_equal(http_request_parse(line, sizeof(line), &r), 400);
}

static void headers(void **state)
{
	static char many[HTTP_HEADERS_MAX * 8 + 200];
	size_t n;

	(void)state;
	assert_int_equal(with("Bad Name: x\r\n"), 400);
	assert_int_equal(with("Space : x\r\n"), 400);
	assert_int_equal(with(" Folded: x\r\n"), 400);
	assert_int_equal(with("A: x\r\n  and more\r\n"), 400);
	assert_int_equal(with(": x\r\n"), 400);
	assert_int_equal(with("no colon\r\n"), 400);
	assert_int_equal(with("A: x\001\r\n"), 400);
	assert_int_equal(with("A: \177\r\n"), 400);
	assert_int_equal(with("A: x\ry\r\n"), 400);
	assert_int_equal(with("A: xx\nB: y\r\n"), 400);
	assert_int_equal(with("A: \303\251\r\n"), 0);
	assert_int_equal(http_request_parse("GET / HTTP/1.1\r\nHost: a\r\nA: \0\r\n\r\n", 35, &r), 400);
	for (unsigned more = 0; more < 2; more++) {
		n = (size_t)sprintf(many, "GET / HTTP/1.1\r\nHost: a\r\n");
		for (unsigned i = 1; i < HTTP_HEADERS_MAX + more; i++)
			n += (size_t)sprintf(many + n, "A: b\r\n");
		sprintf(many + n, "\r\n");
		assert_int_equal(parse(many), more ? 431 : 0);
	}
}

static void long_heads(void **state)
{
	static char text[HTTP_HEAD_MAX + 100];
	size_t n = (size_t)sprintf(text, "GET / HTTP/1.1\r\nHost: a\r\nA: ");

	(void)state;
	memset(text + n, 'x', sizeof(text) - n);
	assert_int_equal(http_request_parse(text, sizeof(text), &r), 431);
	memcpy(text + HTTP_HEAD_MAX - 4, "\r\n\r\n", 4);
	assert_int_equal(http_request_parse(text, sizeof(text), &r), 0);
	assert_int_equal(r.head_len, HTTP_HEAD_MAX);
	memcpy(text + HTTP_HEAD_MAX - 4, "x\r\n\r\n", 5);
	assert_int_equal(http_request_parse(text, sizeof(text), &r), 431);
}

static void hosts(void **state)
{
	(void)state;
	assert_int_equal(parse("GET / HTTP/1.1\r\n\r\n"), 400);
	assert_int_equal(parse("GET / HTTP/1.0\r\n\r\n"), 0);
	assert_null(r.host.at);
	assert_false(r.keep_alive);
	assert_int_equal(with("Host: a\r\n"), 400);
	assert_int_equal(with("host: b\r\n"), 400);
	assert_int_equal(parse("GET / HTTP/1.1\r\nHost: a b\r\n\r\n"), 400);
	assert_int_equal(parse("GET / HTTP/1.1\r\nHost: u@a\r\n\r\n"), 400);
	assert_int_equal(parse("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"), 400);
	assert_int_equal(parse("GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n"), 0);
}

/* What proxies and servers understand differently, so that a request could be hidden within another. */
static void lengths(void **state)
{
	(void)state;
	assert_int_equal(with("Content-Length: 5\r\nContent-Length: 5\r\n"), 400);
	assert_int_equal(with("Content-Length: 5, 5\r\n"), 400);
	assert_int_equal(with("Content-Length: +5\r\n"), 400);
	assert_int_equal(with("Content-Length: -1\r\n"), 400);
	assert_int_equal(with("Content-Length: 0x5\r\n"), 400);
	assert_int_equal(with("Content-Length: 5 \r\n"), 0);
	assert_int_equal(with("Content-Length:\r\n"), 400);
	assert_int_equal(with("Content-Length: 49152\r\n"), 0);
	assert_int_equal(with("Content-Length: 49153\r\n"), 413);
	assert_int_equal(with("Content-Length: 18446744073709551621\r\n"), 413);
	assert_int_equal(with("Transfer-Encoding: chunked\r\n"), 411);
	assert_int_equal(with("Transfer-Encoding: gzip, chunked\r\n"), 501);
	assert_int_equal(with("Transfer-Encoding: xchunked\r\n"), 501);
	assert_int_equal(with("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"), 400);
	assert_int_equal(with("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n"), 400);
}

static void words(void **state)
{
	(void)state;
	assert_int_equal(with("Connection: keep-alive , Upgrade\r\nConnection: x\r\n"), 0);
	assert_true(http_has_word(&r, "connection", "upgrade"));
	assert_true(http_has_word(&r, "connection", "x"));
	assert_false(http_has_word(&r, "connection", "keep"));
	assert_true(r.keep_alive);
	assert_int_equal(with("Connection: Close\r\n"), 0);
	assert_false(r.keep_alive);
	assert_int_equal(parse("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"), 0);
	assert_true(r.keep_alive);
	assert_int_equal(with("Origin: http://a\r\nOrigin: http://b\r\n"), 400);
	assert_int_equal(with("Authorization: Bearer x\r\nAuthorization: Bearer y\r\n"), 400);
}

static void query_numbers(void **state)
{
	uint64_t v = 7;

	(void)state;
	assert_int_equal(
	    with_line("GET /?limit=12&a=1&a=2&big=9223372036854775807&bigger=9223372036854775808&n=&x=1e3 "
		      "HTTP/1.1"),
	    0);
	assert_int_equal(http_query_number(&r, "none", &v), 0);
	assert_int_equal(v, 7);
	assert_int_equal(http_query_number(&r, "limit", &v), 0);
	assert_int_equal(v, 12);
	assert_int_equal(http_query_number(&r, "big", &v), 0);
	assert_true(v == INT64_MAX);
	assert_int_equal(http_query_number(&r, "a", &v), -EINVAL);
	assert_int_equal(http_query_number(&r, "bigger", &v), -EINVAL);
	assert_int_equal(http_query_number(&r, "n", &v), -EINVAL);
	assert_int_equal(http_query_number(&r, "x", &v), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(takes_a_request), cmocka_unit_test(every_piece_is_unfinished),
	    cmocka_unit_test(request_lines),   cmocka_unit_test(targets),
	    cmocka_unit_test(headers),	       cmocka_unit_test(long_heads),
	    cmocka_unit_test(hosts),	       cmocka_unit_test(lengths),
	    cmocka_unit_test(words),	       cmocka_unit_test(query_numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
