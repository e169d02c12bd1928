/* SPDX-License-Identifier: MIT */
/* The members of a UDP registry, found by address and by place, in the order of their last datagrams. */
#include "tests/unit/unit.h"

#include "daemon/base/clock.h"
#include "daemon/modes/udp_members.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MANY 2000

struct fixture {
	struct members *ms;
	struct client *clients; /* as if this was the table */
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->ms = members_new();
	f->clients = calloc(MANY, sizeof(*f->clients));
	*state = f;
	return f->ms && f->clients ? 0 : -1;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	members_free(f->ms);
	free(f->clients);
	free(f);
	return 0;
}

static union address address(const char *host, uint16_t port)
{
	union address a;

	memset(&a, 0, sizeof(a));
	if (strchr(host, ':')) {
		a.in6.sin6_family = AF_INET6;
		a.in6.sin6_port = htons(port);
		assert_int_equal(inet_pton(AF_INET6, host, &a.in6.sin6_addr), 1);
	} else {
		a.in.sin_family = AF_INET;
		a.in.sin_port = htons(port);
		assert_int_equal(inet_pton(AF_INET, host, &a.in.sin_addr), 1);
	}
	return a;
}

static struct member *add(struct fixture *f, uint32_t index, const char *host, uint16_t port)
{
	const union address a = address(host, port);
	struct member *m = members_add(f->ms, &f->clients[index], index, &a);

	assert_non_null(m);
	return m;
}

static struct member *find(const struct fixture *f, const char *host, uint16_t port)
{
	const union address a = address(host, port);

	return members_find(f->ms, &a);
}

static void found_by_address_and_place(void **state)
{
	struct fixture *f = *state;
	struct member *a = add(f, 3, "192.0.2.1", 1000), *b = add(f, 5, "192.0.2.1", 1001);
	struct member *c = add(f, 7, "2001:db8::1", 1000);

	assert_int_equal(members_count(f->ms), 3);
	assert_ptr_equal(find(f, "192.0.2.1", 1000), a);
	assert_ptr_equal(find(f, "192.0.2.1", 1001), b);
	assert_ptr_equal(find(f, "2001:db8::1", 1000), c);
	assert_null(find(f, "192.0.2.1", 1002));
	assert_null(find(f, "192.0.2.2", 1000));
	assert_ptr_equal(members_at(f->ms, 3), a);
	assert_ptr_equal(members_at(f->ms, 7), c);
	assert_ptr_equal(a->client, &f->clients[3]);
	assert_int_equal(a->index, 3);
	assert_null(members_at(f->ms, 4));
	assert_null(members_at(f->ms, UINT32_MAX));

	members_remove(f->ms, b);
	assert_int_equal(members_count(f->ms), 2);
	assert_null(find(f, "192.0.2.1", 1001));
	assert_null(members_at(f->ms, 5));
	assert_ptr_equal(find(f, "192.0.2.1", 1000), a);
	/* Its place and its address may be somebody else's. */
	b = add(f, 5, "192.0.2.1", 1001);
	assert_ptr_equal(find(f, "192.0.2.1", 1001), b);
	assert_ptr_equal(members_at(f->ms, 5), b);
}

/* The ages of all members, oldest first. */
static void assert_order(const struct fixture *f, const uint32_t *indices, size_t n)
{
	const struct member *m = members_oldest(f->ms), *older = NULL;

	for (size_t i = 0; i < n; i++) {
		assert_non_null(m);
		assert_int_equal(m->index, indices[i]);
		assert_ptr_equal(m->older, older);
		older = m;
		m = m->newer;
	}
	assert_null(m);
}

static void in_the_order_of_their_datagrams(void **state)
{
	struct fixture *f = *state;

	assert_null(members_oldest(f->ms));
	add(f, 0, "192.0.2.1", 1);
	add(f, 1, "192.0.2.1", 2);
	add(f, 2, "192.0.2.1", 3);
	assert_order(f, (uint32_t[]){0, 1, 2}, 3);
	members_touch(f->ms, members_at(f->ms, 0));
	assert_order(f, (uint32_t[]){1, 2, 0}, 3);
	members_touch(f->ms, members_at(f->ms, 2));
	assert_order(f, (uint32_t[]){1, 0, 2}, 3);
	members_touch(f->ms, members_at(f->ms, 2));
	assert_order(f, (uint32_t[]){1, 0, 2}, 3);
	members_remove(f->ms, members_at(f->ms, 0));
	assert_order(f, (uint32_t[]){1, 2}, 2);
	members_remove(f->ms, members_at(f->ms, 2));
	members_remove(f->ms, members_at(f->ms, 1));
	assert_order(f, NULL, 0);
	add(f, 1, "192.0.2.1", 2);
	members_touch(f->ms, members_at(f->ms, 1));
	assert_order(f, (uint32_t[]){1}, 1);
}

/* More than there are buckets at first. */
static void many(void **state)
{
	struct fixture *f = *state;

	for (uint32_t i = 0; i < MANY; i++)
		add(f, i, i % 2 ? "192.0.2.1" : "2001:db8::1", (uint16_t)(1000 + i));
	assert_int_equal(members_count(f->ms), MANY);
	for (uint32_t i = 0; i < MANY; i += 3)
		members_remove(f->ms, members_at(f->ms, i));
	for (uint32_t i = 0; i < MANY; i++) {
		const struct member *m = find(f, i % 2 ? "192.0.2.1" : "2001:db8::1", (uint16_t)(1000 + i));
		if (i % 3 == 0)
			assert_null(m);
		else
			assert_ptr_equal(m, members_at(f->ms, i));
	}
	uint32_t before = 0, n = 0;
	for (const struct member *m = members_oldest(f->ms); m; m = m->newer, n++) {
		assert_true(m->index > before);
		before = m->index;
	}
	assert_int_equal(n, members_count(f->ms));
}

/* A registration of a process before goes on with its age, unless the clock was set back. */
static void the_age_is_kept(void **state)
{
	struct fixture *f = *state;
	int64_t now = clock_us(CLOCK_MONOTONIC), wall = clock_us(CLOCK_REALTIME);

	f->clients[0].connected_us = (uint64_t)(wall - 5 * SECOND_US);
	f->clients[1].connected_us = (uint64_t)(wall + 5 * SECOND_US);
	int64_t a = now - add(f, 0, "192.0.2.1", 1)->began, b = now - add(f, 1, "192.0.2.1", 2)->began;
	assert_true(a > 4 * SECOND_US && a < 6 * SECOND_US);
	assert_true(b > -SECOND_US && b <= 0);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(found_by_address_and_place),
	    CASE(in_the_order_of_their_datagrams),
	    CASE(many),
	    CASE(the_age_is_kept),
	};

	return cmocka_run_group_tests_name("udp_members", tests, NULL, NULL);
}
