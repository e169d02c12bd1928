/* SPDX-License-Identifier: MIT */
/* Entries are found by their cookies, once each, and a table in which two claim the same is not believed. */
#include "tests/unit/unit.h"

#include "daemon/io/memfd.h"
#include "daemon/server/entry_index.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define MANY 10000

struct fixture {
	struct clients *clients;
	int fd;
};

static uint64_t cookie_of(uint32_t i)
{
	return 1000 + 7 * (uint64_t)i;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->fd = memfd_new("clients", clients_file_size());
	if (f->fd < 0 || clients_open(f->fd, true, &f->clients) < 0)
		return -1;
	for (uint32_t i = 0; i < MANY; i++) {
		struct client *c = clients_allocate(f->clients);
		c->kind = i % 10 == 9 ? CLIENT_DATAGRAM : CLIENT_CONNECTION;
		atomic_store(&c->cookie, i % 10 == 8 ? 0 : cookie_of(i));
	}
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	clients_close(f->clients);
	close(f->fd);
	free(f);
	return 0;
}

static void count_rest(struct client *c, void *arg)
{
	(void)c;
	++*(unsigned *)arg;
}

static void found_once(void **state)
{
	struct fixture *f = *state;
	struct entry_index *ix;
	bool again;
	unsigned rest = 0;

	assert_int_equal(entry_index_new(f->clients, &ix), 0);
	entry_index_rest(ix, count_rest, &rest);
	assert_int_equal(rest, MANY / 10 * 8);
	for (uint32_t i = 0; i < MANY / 2; i++) {
		struct client *c = entry_index_find(ix, cookie_of(i), &again);
		assert_ptr_equal(c, i % 10 >= 8 ? NULL : clients_at(f->clients, i));
		if (!c)
			continue;
		assert_false(again);
		assert_ptr_equal(entry_index_find(ix, cookie_of(i), &again), c);
		assert_true(again);
	}
	assert_null(entry_index_find(ix, 999, &again));
	rest = 0;
	entry_index_rest(ix, count_rest, &rest);
	assert_int_equal(rest, MANY / 20 * 8);
	entry_index_free(ix);
}

static void not_believed(void **state)
{
	struct fixture *f = *state;
	struct entry_index *ix;
	struct client *a = clients_at(f->clients, 3), *b = clients_at(f->clients, 4000);
	uint64_t cookie = atomic_load(&b->cookie), id = b->id;

	atomic_store(&b->cookie, atomic_load(&a->cookie));
	assert_int_equal(entry_index_new(f->clients, &ix), -EBADMSG);
	atomic_store(&b->cookie, cookie);
	const uint64_t bad[] = {a->id, clients_at(f->clients, 9)->id, 0, clients_next_id(f->clients)};
	for (unsigned i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		b->id = bad[i];
		assert_int_equal(entry_index_new(f->clients, &ix), -EBADMSG);
	}
	/* What is nobody's entry claims nothing. */
	atomic_store(&b->cookie, 0);
	assert_int_equal(entry_index_new(f->clients, &ix), 0);
	entry_index_free(ix);
	atomic_store(&b->cookie, cookie);
	b->id = id;
	assert_int_equal(entry_index_new(f->clients, &ix), 0);
	entry_index_free(ix);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {CASE(found_once), CASE(not_believed)};

	return cmocka_run_group_tests_name("entry_index", tests, NULL, NULL);
}
