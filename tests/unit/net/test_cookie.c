/* SPDX-License-Identifier: MIT */
/* The proof that a UDP address is real. */
#include "tests/unit/unit.h"

#include "daemon/net/cookie.h"

#include <string.h>

static union address address(const char *text)
{
	union address a;

	assert_int_equal(address_parse(text, &a), 0);
	return a;
}

static void belongs_to_one_address(void **state)
{
	union address a = address("10.0.0.1:5"), port = address("10.0.0.1:6"), host = address("[fe80::1]:5");
	struct cookies *c;
	char text[COOKIE_LEN];

	(void)state;
	assert_int_equal(cookies_new(&c), 0);
	cookies_make(c, &a, 1, text);
	for (unsigned i = 0; i < COOKIE_LEN; i++)
		assert_true(
		    strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", text[i]));
	assert_true(cookies_check(c, &a, 1, text, COOKIE_LEN));
	assert_false(cookies_check(c, &port, 1, text, COOKIE_LEN));
	assert_false(cookies_check(c, &host, 1, text, COOKIE_LEN));
	assert_false(cookies_check(c, &a, 1, text, COOKIE_LEN - 1));
	assert_false(cookies_check(c, &a, 1, "", 0));
	text[3] ^= 1;
	assert_false(cookies_check(c, &a, 1, text, COOKIE_LEN));
	cookies_free(c);
}

static void lasts_one_period(void **state)
{
	union address a = address("10.0.0.1:5");
	struct cookies *c;
	char text[COOKIE_LEN], later[COOKIE_LEN];

	(void)state;
	assert_int_equal(cookies_new(&c), 0);
	cookies_make(c, &a, 10 * COOKIE_PERIOD_US, text);
	assert_true(cookies_check(c, &a, 11 * COOKIE_PERIOD_US, text, COOKIE_LEN));
	cookies_make(c, &a, 11 * COOKIE_PERIOD_US, later);
	assert_memory_not_equal(text, later, COOKIE_LEN);
	assert_true(cookies_check(c, &a, 12 * COOKIE_PERIOD_US - 1, text, COOKIE_LEN));
	assert_false(cookies_check(c, &a, 12 * COOKIE_PERIOD_US, text, COOKIE_LEN));
	assert_true(cookies_check(c, &a, 12 * COOKIE_PERIOD_US, later, COOKIE_LEN));
	/* After a long silence nothing of before is good. */
	assert_false(cookies_check(c, &a, 20 * COOKIE_PERIOD_US, later, COOKIE_LEN));
	cookies_free(c);
}

static void is_another_one_in_another_process(void **state)
{
	union address a = address("10.0.0.1:5");
	struct cookies *c, *d;
	char text[COOKIE_LEN];

	(void)state;
	assert_int_equal(cookies_new(&c), 0);
	assert_int_equal(cookies_new(&d), 0);
	cookies_make(c, &a, 1, text);
	assert_false(cookies_check(d, &a, 1, text, COOKIE_LEN));
	cookies_free(c);
	cookies_free(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(belongs_to_one_address),
	    cmocka_unit_test(lasts_one_period),
	    cmocka_unit_test(is_another_one_in_another_process),
	};

	return cmocka_run_group_tests_name("cookie", tests, NULL, NULL);
}
