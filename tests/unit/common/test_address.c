/* SPDX-License-Identifier: MIT */
/* Addresses and prefixes: what is read and refused, and how they are written. */
#include "tests/unit/unit.h"

#include "common/address.h"

#include <errno.h>
#include <string.h>

static void round_trip(const char *s, const char *expected)
{
	char text[ADDRESS_TEXT_MAX];
	union address a;

	assert_int_equal(address_parse(s, &a), 0);
	assert_string_equal(address_format(&a, text), expected);
}

static void parses(void **state)
{
	(void)state;
	round_trip("127.0.0.1:5050", "127.0.0.1:5050");
	round_trip("0.0.0.0:1", "0.0.0.0:1");
	round_trip("[::]:5050", "[::]:5050");
	round_trip("[2001:db8::1]:65535", "[2001:db8::1]:65535");
	round_trip("[::ffff:10.0.0.1]:80", "10.0.0.1:80");
}

static void refuses(void **state)
{
	static const char *const bad[] = {
	    "",
	    "5050",
	    ":5050",
	    "localhost:5050",
	    "127.0.0.1",
	    "127.0.0.1:",
	    "127.0.0.1:0",
	    "1.2.3.4:65536",
	    "1.2.3.4:-1",
	    "1.2.3.4:5050x",
	    "[::]",
	    "[::]5050",
	    "::1:5050",
	    "[::1:5050",
	    "[1.2.3.4]:50",
	    "256.0.0.1:5050",
	    "1.2.3.4:99999999999999999999",
	    "[1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:cccc]:1",
	};
	union address a;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(address_parse(bad[i], &a), -EINVAL);
}

static bool within(const char *prefix, const char *address)
{
	struct prefix p;
	union address a;

	assert_int_equal(prefix_parse(prefix, &p), 0);
	assert_int_equal(address_parse(address, &a), 0);
	return prefix_contains(&p, &a);
}

static void prefixes(void **state)
{
	struct prefix p;

	(void)state;
	assert_true(within("127.0.0.0/8", "127.255.0.1:1"));
	assert_false(within("127.0.0.0/8", "128.0.0.1:1"));
	assert_true(within("10.1.2.3", "10.1.2.3:1"));
	assert_false(within("10.1.2.3", "10.1.2.4:1"));
	assert_true(within("0.0.0.0/0", "8.8.8.8:1"));
	assert_false(within("0.0.0.0/0", "[2001:db8::1]:1"));
	assert_true(within("10.0.0.0/9", "10.127.0.1:1"));
	assert_false(within("10.0.0.0/9", "10.128.0.1:1"));
	assert_true(within("127.0.0.0/8", "[::ffff:127.0.0.1]:1"));
	assert_true(within("2001:db8::/33", "[2001:db8:7fff::1]:1"));
	assert_false(within("2001:db8::/33", "[2001:db8:8000::1]:1"));
	assert_int_equal(prefix_parse("10.0.0.0/33", &p), -EINVAL);
	assert_int_equal(prefix_parse("10.0.0.0/", &p), -EINVAL);
	assert_int_equal(prefix_parse("::/129", &p), -EINVAL);
	assert_int_equal(prefix_parse("ten", &p), -EINVAL);
}

static void keys(void **state)
{
	union address a, b;
	uint8_t ka[16], kb[16];

	(void)state;
	assert_int_equal(address_parse("10.0.0.1:1", &a), 0);
	assert_int_equal(address_parse("[::ffff:10.0.0.1]:2", &b), 0);
	address_key(&a, ka);
	address_key(&b, kb);
	assert_memory_equal(ka, kb, 16);
	assert_false(address_equal(&a, &b));
}

static void peers(void **state)
{
	static const struct {
		const char *address, *host, *peer;
	} cases[] = {
	    {"192.0.2.7:40022", "192.0.2.7", "192.0.2.7 port 40022"},
	    {"[2001:db8::1]:5", "2001:db8::1", "2001:db8::1 port 5"},
	    {"[::ffff:192.0.2.7]:6", "192.0.2.7", "192.0.2.7 port 6"},
	};
	char text[ADDRESS_TEXT_MAX];
	union address a;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		assert_int_equal(address_parse(cases[i].address, &a), 0);
		assert_string_equal(address_host(&a, text), cases[i].host);
		assert_string_equal(address_peer(&a, text), cases[i].peer);
	}
	memset(&a, 0, sizeof(a));
	assert_string_equal(address_host(&a, text), "?");
}

static void prefixes_as_text(void **state)
{
	static const char *const same[] = {"10.1.2.3",	    "10.1.0.0/16", "::1",
					   "2001:db8::/32", "0.0.0.0/0",   "::/0"};
	char text[ADDRESS_TEXT_MAX];
	struct prefix p, q;

	(void)state;
	for (size_t i = 0; i < sizeof(same) / sizeof(*same); i++) {
		assert_int_equal(prefix_parse(same[i], &p), 0);
		assert_string_equal(prefix_format(&p, text), same[i]);
	}
	assert_int_equal(prefix_parse("10.1.2.3/8", &p), 0);
	assert_int_equal(prefix_parse("10.0.0.0/8", &q), 0);
	assert_true(prefix_equal(&p, &q));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(parses),		cmocka_unit_test(refuses), cmocka_unit_test(prefixes),
	    cmocka_unit_test(prefixes_as_text), cmocka_unit_test(keys),	   cmocka_unit_test(peers),
	};

	return cmocka_run_group_tests_name("address", tests, NULL, NULL);
}
