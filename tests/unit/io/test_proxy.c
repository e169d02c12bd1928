/* SPDX-License-Identifier: MIT */
/* The PROXY header. */
#include "tests/unit/unit.h"

#include "daemon/io/proxy.h"

#include <errno.h>
#include <string.h>

static void expect_header(const char *data, size_t len, ssize_t n, const char *from)
{
	char text[ADDRESS_TEXT_MAX];
	union address a;

	assert_int_equal(proxy_parse(data, len, &a), n);
	if (from)
		assert_string_equal(address_format(&a, text), from);
	else
		assert_int_equal(a.sa.sa_family, 0);
}

static void proxy_headers(void **state)
{
	static const char v1[] = "PROXY TCP4 192.0.2.7 127.0.0.1 4711 5050\r\nrest";
	static const char v6[] = "PROXY TCP6 2001:db8::1 ::1 4711 5050\r\n";
	static const char v2[] = "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\2\7\x7f\0\0\1\x12\x67\x13\xba";
	static const char local[] = "\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
	static const char *const bad[] = {"hello",
					  "PROXY TCP4 192.0.2.7 127.0.0.1 4711\r\n",
					  "PROXY TCP4 192.0.2.7 127.0.0.1 4711 70000\r\n",
					  "PROXY TCP4 192.0.2.7  127.0.0.1 4711 5050\r\n",
					  "PROXY TCP4 192.0.2.7 127.0.0.1 04711 5050\r\n",
					  "PROXY TCP5 192.0.2.7 127.0.0.1 4711 5050\r\n",
					  "PROXY TCP4 ::1 ::1 4711 5050\r\n",
					  "PROXY \r\n",
					  "PROXY TCP4 192.0.2.7 127.0.0.1 4711 5050\n",
					  "PROXY TCP4 192.0.2.7 127.0.0.1 4711 5050 x\r\n",
					  "PROXY UNKNOWN x\ny\r\n"};

	(void)state;
	expect_header(v1, sizeof(v1) - 1, sizeof(v1) - 5, "192.0.2.7:4711");
	expect_header(v6, sizeof(v6) - 1, sizeof(v6) - 1, "[2001:db8::1]:4711");
	expect_header(v2, sizeof(v2) - 1, sizeof(v2) - 1, "192.0.2.7:4711");
	expect_header(local, sizeof(local) - 1, sizeof(local) - 1, NULL);
	expect_header("PROXY UNKNOWN x y\r\n", 19, 19, NULL);
	for (size_t i = 0; i + 5 < sizeof(v1); i++)
		expect_header(v1, i, -EAGAIN, NULL);
	for (size_t i = 0; i < sizeof(v2) - 1; i++)
		expect_header(v2, i, -EAGAIN, NULL);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		expect_header(bad[i], strlen(bad[i]), -EBADMSG, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(proxy_headers),
	};

	return cmocka_run_group_tests_name("proxy", tests, NULL, NULL);
}
