/* SPDX-License-Identifier: MIT */
/* Accounts, bans, limits and the PROXY header. */
#include "tests/unit/unit.h"

#include "common/accounts.h"
#include "daemon/base/clock.h"
#include "daemon/engine/bans.h"
#include "daemon/engine/limits.h"
#include "daemon/io/proxy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HASH "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$RdescudvJCsgt3ub"

static union address address(const char *text)
{
	union address a;

	assert_int_equal(address_parse(text, &a), 0);
	return a;
}

static void account_files(void **state)
{
	char text[] = "# c\n\nbob:" HASH "1\r\nAlice:" HASH "2", none[] = "alice:x\n:" HASH "\nnothing\n",
	     *out = NULL;
	struct accounts a;
	size_t size;
	FILE *f = open_memstream(&out, &size);

	(void)state;
	assert_int_equal(accounts_parse(text, "f", f, NULL, &a), 0);
	assert_int_equal(a.n, 2);
	assert_string_equal(accounts_find(&a, "ALICE", 5)->hash, HASH "2");
	assert_string_equal(accounts_find(&a, "bobx", 3)->hash, HASH "1");
	assert_null(accounts_find(&a, "bobx", 4));
	accounts_free(&a);
	assert_int_equal(accounts_parse(none, "f", f, NULL, &a), -EINVAL);
	fclose(f);
	assert_non_null(strstr(out, "f:1: "));
	assert_non_null(strstr(out, "f:2: "));
	assert_non_null(strstr(out, "f:3: "));
	free(out);
}

static void accounts_are_changed(void **state)
{
	char path[] = "/tmp/chatd-accounts-XXXXXX", alike[TEXT_NICK_MAX + 1];
	struct accounts a;
	struct stat st;

	(void)state;
	close(mkstemp(path));
	unlink(path);
	assert_int_equal(accounts_change(path, "alice", NULL, -1, alike), -ENOENT);
	assert_int_equal(accounts_change(path, "alice", HASH, -1, alike), 0);
	assert_int_equal(accounts_change(path, "alicia", HASH, -1, alike), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0640);
	assert_int_equal(accounts_change(path, "ALICE", HASH "x", -1, alike), 0);
	assert_int_equal(accounts_load(path, stderr, NULL, &a), 0);
	assert_int_equal(a.n, 2);
	assert_string_equal(accounts_find(&a, "alice", 5)->hash, HASH "x");
	accounts_free(&a);
	assert_int_equal(accounts_change(path, "alicia", NULL, -1, alike), 0);
	assert_int_equal(accounts_change(path, "alicia", NULL, -1, alike), -ENOENT);
	unlink(path);
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

static void prefixes(void **state)
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

static void clients_are_counted(void **state)
{
	union address a = address("10.0.0.1:1"), b = address("[2001:db8::1]:1"),
		      c = address("[2001:db8::2]:1");
	const struct limits_caps caps = {4, 1, 2};
	struct limits *l;

	(void)state;
	assert_int_equal(limits_new(&l), 0);
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
	assert_int_equal(limits_wait(&due, 20, 0, SECOND_US, now), 0);
	assert_true(limits_allow(&due, 0, SECOND_US, now));
	due = 0;
	for (n = 0; limits_allow(&due, 30, 60 * SECOND_US, now); n++)
		;
	assert_int_equal(n, 30);
	due = 0;
	assert_int_equal(limits_charge(&due, 0, 1 << 30, now), 0);
	assert_int_equal(limits_charge(&due, 1000, 1000, now), 0);
	assert_int_equal(limits_charge(&due, 1000, 500, now), SECOND_US / 2);
}

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
	    cmocka_unit_test(account_files),	   cmocka_unit_test(accounts_are_changed),
	    cmocka_unit_test(bans_in_memory),	   cmocka_unit_test(prefixes),
	    cmocka_unit_test(clients_are_counted), cmocka_unit_test(rates),
	    cmocka_unit_test(proxy_headers),
	};

	return cmocka_run_group_tests_name("access", tests, NULL, NULL);
}
