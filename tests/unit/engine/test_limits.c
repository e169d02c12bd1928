/* SPDX-License-Identifier: MIT */
/* How many clients there may be, and how fast they may be. */
#include "tests/unit/unit.h"

#include "daemon/base/clock.h"
#include "daemon/engine/limits.h"

#include <errno.h>

static union address address(const char *text)
{
	union address a;

	assert_int_equal(address_parse(text, &a), 0);
	return a;
}

static void clients_are_counted(void **state)
{
	union address a = address("10.0.0.1:1"), b = address("[2001:db8::1]:1"),
		      c = address("[2001:db8::2]:1");
	const struct limits_caps caps = {4, 1, 2};
	struct limits *l;

	(void)state;
	assert_int_equal(limits_new(0, &l), 0);
	assert_int_equal(limits_take(l, &a, 1, &caps), 0);
	assert_int_equal(limits_take(l, &a, 2, &caps), -EDQUOT);
	assert_int_equal(limits_take(l, &b, 1, &caps), 0);
	assert_int_equal(limits_take(l, &c, 2, &caps), -EDQUOT); /* the same /64 */
	union address d = address("10.0.0.2:1");
	assert_int_equal(limits_take(l, &d, 1, &caps), -ENOSPC);
	assert_int_equal(limits_take(l, &d, 2, &caps), 0);
	assert_int_equal(limits_take(l, &d, 2, NULL), 0);
	union address e = address("10.0.0.3:1");
	assert_int_equal(limits_take(l, &e, 3, &caps), -EUSERS);
	limits_give(l, &d, 2);
	assert_int_equal(limits_take(l, &e, 3, &caps), 0);
	assert_int_equal(limits_total(l), 4);
	limits_free(l);
}

static void rates(void **state)
{
	int64_t due = 0, now = 1000 * SECOND_US;
	unsigned n = 0;

	(void)state;
	while (limits_allow(&due, 10, SECOND_US, now))
		n++;
	assert_int_equal(n, 10); /* a second's worth at once */
	assert_false(limits_allow(&due, 10, SECOND_US, now + SECOND_US / 10 - 1));
	assert_true(limits_allow(&due, 10, SECOND_US, now + SECOND_US / 10));

	/* What costs four seconds' worth comes every four seconds. */
	due = 0;
	assert_int_equal(limits_wait(&due, 1, 4, SECOND_US, now), 0);
	assert_int_equal(limits_wait(&due, 1, 4, SECOND_US, now + SECOND_US), 3 * SECOND_US);
	assert_int_equal(limits_wait(&due, 1, 4, SECOND_US, now + 4 * SECOND_US), 0);
	/* So long after that it is as good as 0. */
	assert_int_equal(limits_window(1, 4, SECOND_US), 4 * SECOND_US);
	assert_int_equal(limits_window(10, 4, SECOND_US), SECOND_US);
	assert_int_equal(limits_wait(&due, 20, 0, SECOND_US, now), 0);
	assert_true(limits_allow(&due, 0, SECOND_US, now));
	due = 0;
	for (n = 0; limits_allow(&due, 30, 60 * SECOND_US, now); n++)
		;
	assert_int_equal(n, 30);
	due = 0;
	assert_int_equal(limits_charge(&due, 0, 1 << 30, SECOND_US, now), 0);
	assert_int_equal(limits_charge(&due, 1000, 1000, SECOND_US, now), 0);
	assert_int_equal(limits_charge(&due, 1000, 500, SECOND_US, now), SECOND_US / 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(clients_are_counted),
	    cmocka_unit_test(rates),
	};

	return cmocka_run_group_tests_name("limits", tests, NULL, NULL);
}
