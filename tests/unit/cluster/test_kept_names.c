/* SPDX-License-Identifier: MIT */
/* Names of nodes that are away: kept in a file, read from it, and free after a while. */
#include "tests/unit/unit.h"

#include "daemon/base/clock.h"
#include "daemon/cluster/kept_names.h"
#include "daemon/rooms/elsewhere.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DAY (86400 * INT64_C(1000000))

struct fixture {
	char dir[32], path[48];
	struct elsewhere *el;
	struct kept_names *k;
	int64_t now;
	bool there;
};

static void begin(struct fixture *f)
{
	assert_int_equal(elsewhere_new(64, &f->el), 0);
	assert_int_equal(kept_names_new(f->path, "a", f->el, &f->k), 0);
	f->there = false;
}

static void end(struct fixture *f)
{
	kept_names_free(f->k);
	elsewhere_free(f->el);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	strcpy(f->dir, "/tmp/chatd-names-XXXXXX");
	if (!mkdtemp(f->dir))
		return -1;
	snprintf(f->path, sizeof(f->path), "%s/reserved", f->dir);
	f->now = 1000 * SECOND_US;
	begin(f);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	end(f);
	unlink(f->path);
	rmdir(f->dir);
	free(f);
	return 0;
}

static bool is_there(const char *node, void *arg)
{
	(void)node;
	return ((struct fixture *)arg)->there;
}

static void turn(struct fixture *f, int64_t keep_us)
{
	f->now += 2 * SECOND_US;
	kept_names_turn(f->k, f->now, keep_us, is_there, f);
	assert_int_equal(kept_names_save(f->k), 0);
}

static void reserves(struct fixture *f, const char *node, uint64_t number, const char *nick)
{
	struct elsewhere_client c = {
	    .id = ELSEWHERE_RESERVED_ID + number, .reserved = true, .nick_len = (uint8_t)strlen(nick)};

	strcpy(c.nick, nick);
	assert_true(elsewhere_put(f->el, elsewhere_node(f->el, node), &c));
}

static bool is_reserved(struct fixture *f, const char *nick)
{
	struct nick_keys keys = nick_keys(nick, strlen(nick));

	return elsewhere_reserves(f->el, &keys);
}

static void write_file(struct fixture *f, const char *text)
{
	FILE *file = fopen(f->path, "w");

	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static void names_outlive_both_nodes(void **state)
{
	struct fixture *f = *state;

	turn(f, DAY);
	assert_int_equal(access(f->path, F_OK), -1); /* there is nothing to keep */
	reserves(f, "b", 0, "alice");
	reserves(f, "b", 1, "Bob");
	reserves(f, "c", 0, "carol");
	turn(f, DAY);
	end(f);
	begin(f);
	assert_true(is_reserved(f, "a1ice") && is_reserved(f, "bob") && is_reserved(f, "carol"));
	assert_false(is_reserved(f, "dave"));
	assert_true(elsewhere_node_at(f->el, 0)->kept);
	/* One is back, and has another name only. */
	struct elsewhere_node *b = elsewhere_node(f->el, "b");
	elsewhere_begin(f->el, b);
	reserves(f, "b", 0, "Bob");
	elsewhere_end(f->el, b);
	turn(f, DAY);
	end(f);
	begin(f);
	assert_true(!is_reserved(f, "alice") && is_reserved(f, "bob") && is_reserved(f, "carol"));
	/* Nothing is left. */
	elsewhere_forget(f->el, elsewhere_node(f->el, "b"));
	elsewhere_forget(f->el, elsewhere_node(f->el, "c"));
	turn(f, DAY);
	end(f);
	begin(f);
	assert_int_equal(elsewhere_count(f->el, NULL), 0);
}

static void after_a_while_they_are_free(void **state)
{
	struct fixture *f = *state;
	int64_t now = clock_us(CLOCK_REALTIME) / SECOND_US;
	char text[128];

	snprintf(text, sizeof(text), "b %" PRId64 " alice\nc %" PRId64 " bob\nd %" PRId64 " carol\n",
		 now - 3600, now - 86400 * 3, now + 86400 * 99);
	end(f);
	write_file(f, text);
	begin(f);
	assert_int_equal(elsewhere_count(f->el, NULL), 3);
	f->there = true; /* while nodes are heard of, they have time */
	turn(f, 10);
	assert_int_equal(elsewhere_count(f->el, NULL), 3);
	end(f);
	write_file(f, text);
	begin(f);
	turn(f, 2 * DAY);
	assert_true(is_reserved(f, "alice") && !is_reserved(f, "bob") && is_reserved(f, "carol"));
	turn(f, DAY / 48);
	assert_true(!is_reserved(f, "alice") && is_reserved(f, "carol"));
	turn(f, 0);
	assert_int_equal(elsewhere_count(f->el, NULL), 0);
	/* One that is there is not away, whatever the heartbeats say. */
	reserves(f, "b", 0, "alice");
	turn(f, 0);
	assert_true(is_reserved(f, "alice"));
}

static void what_is_wrong_is_left_out(void **state)
{
	struct fixture *f = *state;

	end(f);
	write_file(
	    f, "\nb\nb 1\nb x alice\nb -1 alice\nb 1 a:b\nb 1 \nb. 1 alice\nb 99999999999999999999 alice\n"
	       "b 1 alice x\na 1 own\nb 1 12345678901234567890123456789012345678901234567890\nb 1 last");
	begin(f);
	assert_int_equal(elsewhere_count(f->el, NULL), 1);
	assert_true(is_reserved(f, "last"));
	assert_false(is_reserved(f, "own")); /* by another node */
}

static void a_disk_that_fails_is_told(void **state)
{
	struct fixture *f = *state;

	end(f);
	snprintf(f->path, sizeof(f->path), "%s/no/file", f->dir);
	begin(f);
	reserves(f, "b", 0, "alice");
	f->now += 2 * SECOND_US;
	kept_names_turn(f->k, f->now, DAY, is_there, f);
	assert_true(kept_names_save(f->k) < 0);
	assert_int_equal(kept_names_save(f->k), 0); /* later again */
	assert_true(is_reserved(f, "alice"));
	kept_names_turn(NULL, 0, 0, NULL, NULL);
	assert_int_equal(kept_names_save(NULL), 0);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(names_outlive_both_nodes),
	    CASE(after_a_while_they_are_free),
	    CASE(what_is_wrong_is_left_out),
	    CASE(a_disk_that_fails_is_told),
	};

	return cmocka_run_group_tests_name("kept_names", tests, NULL, NULL);
}
