/* SPDX-License-Identifier: MIT */
/* Bans in memory. */
#include "tests/unit/unit.h"

#include "daemon/base/clock.h"
#include "daemon/engine/bans.h"

#include <errno.h>
#include <stdlib.h>

static union address address(const char *text)
{
	union address a;

	assert_int_equal(address_parse(text, &a), 0);
	return a;
}

static void bans_in_memory(void **state)
{
	union address a = address("10.1.2.3:4"), b = address("[2001:db8::1]:4");
	struct ban ban = {.until_us = 0};
	struct bans *bs;
	size_t n;

	(void)state;
	assert_int_equal(bans_new(NULL, &bs), 0);
	assert_false(bans_match(bs, &a));
	assert_int_equal(prefix_parse("10.1.0.0/16", &ban.prefix), 0);
	assert_int_equal(bans_add(bs, &ban, 1), 0);
	assert_int_equal(bans_add(bs, &ban, 1), 0);
	assert_true(bans_match(bs, &a));
	assert_false(bans_match(bs, &b));
	assert_int_equal(bans_save(bs), -ENOTSUP);
	struct ban other = {.until_us = clock_us(CLOCK_REALTIME) - 1};
	assert_int_equal(prefix_parse("2001:db8::/64", &other.prefix), 0);
	assert_int_equal(bans_add(bs, &other, 1), -ENOSPC);
	assert_int_equal(bans_add(bs, &other, 2), 0);
	assert_false(bans_match(bs, &b)); /* it is over */
	bans_expire(bs);
	struct ban *list = bans_list(bs, &n);
	assert_int_equal(n, 1);
	free(list);
	assert_int_equal(bans_remove(bs, &ban.prefix), 0);
	assert_int_equal(bans_remove(bs, &ban.prefix), -ENOENT);
	bans_free(bs);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(bans_in_memory),
	};

	return cmocka_run_group_tests_name("bans", tests, NULL, NULL);
}
