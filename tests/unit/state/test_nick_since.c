/* SPDX-License-Identifier: MIT */
/* Since when clients have their nicks: at whatever step a process dies, the next one knows it of the nick that is true. */
#include "tests/unit/state/one_client.h"

#include "daemon/io/memfd.h"
#include "daemon/state/clients.h"
#include "daemon/state/file.h"
#include "daemon/state/nick_since.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void commit(struct fixture *f, const char *nick)
{
	uint32_t next = !(atomic_load(&f->c->live) & 1);

	f->c->st[next] = f->c->st[!next];
	client_set_nick(&f->c->st[next], nick, strlen(nick));
	atomic_store(&f->c->live, next);
}

static void note(struct fixture *f, const char *nick, int64_t since)
{
	nick_since_note(f->cs, f->c, nick, strlen(nick), since);
}

/* As the next process finds it. */
static int64_t since(struct fixture *f, const char *nick)
{
	struct clients *again;

	assert_int_equal(clients_open(f->fd, false, &again), 0);
	int64_t r = nick_since(again, clients_at(again, clients_index(f->cs, f->c)), nick, strlen(nick));
	clients_close(again);
	return r;
}

static void what_is_true_is_known(void **state)
{
	struct fixture *f = *state;
	char nick[16], old[16] = "first";

	assert_int_equal(since(f, "first"), 0);
	assert_int_equal(since(f, ""), 0);
	note(f, "first", 7);
	assert_int_equal(since(f, "first"), 7);
	commit(f, "first");
	for (int64_t i = 1; i < 100; i++) {
		struct client_nick_note *n = f->cs->file->later[clients_index(f->cs, f->c)].nicks, torn[2];
		snprintf(nick, sizeof(nick), "n%d", (int)(i % 5));
		memcpy(torn, n, sizeof(torn));
		note(f, nick, 1000 + i);
		assert_int_equal(since(f, old), i == 1 ? 7 : 1000 + i - 1);
		assert_int_equal(since(f, nick), 1000 + i);
		/* Died within it: what is half written is not believed. */
		for (unsigned k = 0; k < 2; k++)
			if (torn[k].check != n[k].check)
				n[k].check = torn[k].check;
		assert_int_equal(since(f, old), i == 1 ? 7 : 1000 + i - 1);
		assert_int_not_equal(since(f, nick), 1000 + i);
		note(f, nick, 1000 + i);
		/* One that could not be had after all. */
		note(f, "another", 5000 + i);
		assert_int_equal(since(f, old), i == 1 ? 7 : 1000 + i - 1);
		note(f, nick, 1000 + i);
		commit(f, nick);
		commit(f, nick);
		assert_int_equal(since(f, nick), 1000 + i);
		snprintf(old, sizeof(old), "%s", nick);
	}
}

static void the_same_is_noted_once(void **state)
{
	struct fixture *f = *state;

	note(f, "alice", 7);
	commit(f, "alice");
	note(f, "Alice", 7);
	note(f, "alice", 7);
	assert_int_equal(since(f, "alice"), 7);
	assert_int_equal(since(f, "Alice"), 7);
}

static void nobody_elses_counts(void **state)
{
	struct fixture *f = *state;
	char long_one[TEXT_NICK_MAX + 1];

	note(f, "alice", 7);
	commit(f, "alice");
	clients_release(f->cs, f->c);
	struct client *next = clients_allocate(f->cs);
	assert_ptr_equal(next, f->c);
	assert_int_equal(since(f, "alice"), 0);
	memset(long_one, 'x', sizeof(long_one));
	nick_since_note(f->cs, f->c, long_one, sizeof(long_one), 7);
	assert_int_equal(nick_since(f->cs, f->c, long_one, sizeof(long_one)), 0);
	nick_since_note(f->cs, f->c, long_one, TEXT_NICK_MAX, 7);
	assert_int_equal(nick_since(f->cs, f->c, long_one, TEXT_NICK_MAX), 7);
	f->cs->file->later[clients_index(f->cs, f->c)].nicks[0].since_us ^= 4;
	f->cs->file->later[clients_index(f->cs, f->c)].nicks[1].since_us ^= 4;
	assert_int_equal(nick_since(f->cs, f->c, long_one, TEXT_NICK_MAX), 0);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(what_is_true_is_known),
	    CASE(the_same_is_noted_once),
	    CASE(nobody_elses_counts),
	};

	return cmocka_run_group_tests_name("nick_since", tests, NULL, NULL);
}
