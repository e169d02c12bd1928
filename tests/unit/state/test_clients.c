/* SPDX-License-Identifier: MIT */
/* The table of clients where the address space is short (ulimit -v): fewer clients fit, and nobody is lost. */
#include "tests/unit/unit.h"

#include "daemon/io/memfd.h"
#include "daemon/state/clients.h"
#include "daemon/state/file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* More than what is left of the table after four halvings, less than what is left after three. */
#define SOME 200000

/* Leaves this much address space beyond what is in use; RLIM_INFINITY: as much as there is. */
static void leave(rlim_t bytes)
{
	unsigned long pages;
	struct rlimit l;
	FILE *f = fopen("/proc/self/statm", "re");

	assert_non_null(f);
	assert_int_equal(fscanf(f, "%lu", &pages), 1);
	fclose(f);
	assert_int_equal(getrlimit(RLIMIT_AS, &l), 0);
	l.rlim_cur = bytes == RLIM_INFINITY ? l.rlim_max : pages * (rlim_t)sysconf(_SC_PAGESIZE) + bytes;
	assert_int_equal(setrlimit(RLIMIT_AS, &l), 0);
}

static int open_with(int fd, bool fresh, rlim_t bytes, struct clients **ret)
{
	leave(bytes);
	int r = clients_open(fd, fresh, ret);
	leave(RLIM_INFINITY);
	return r;
}

static const rlim_t enough_for_some = offsetof(struct file, areas) + (rlim_t)SOME * CLIENT_AREA_SIZE;

static void fewer_fit(void **state)
{
	int fd = memfd_new("clients", clients_file_size());
	struct client *c, *last = NULL;
	struct clients *cs;
	uint32_t n = 0;

	(void)state;
	assert_int_equal(open_with(fd, true, enough_for_some, &cs), 0);
	assert_in_range(cs->capacity, SOME / 2, SOME);
	for (; (c = clients_allocate(cs)); n++)
		last = c;
	assert_int_equal(n, cs->capacity);
	/* All that belongs to the last one can be used. */
	memset(clients_inbox(cs, last), 'i', CLIENT_IN_SIZE);
	memset(clients_outbox(cs, last), 'o', CLIENT_OUT_SIZE);
	/* One that goes makes way, as in a full table. */
	clients_release(cs, last);
	assert_ptr_equal(clients_allocate(cs), last);
	assert_null(clients_allocate(cs));
	clients_close(cs);
	/* They are all there again where there is more space, and more fit. */
	assert_int_equal(clients_open(fd, false, &cs), 0);
	assert_int_equal(cs->capacity, CLIENTS_CAPACITY);
	assert_int_equal(clients_high(cs), n);
	assert_int_equal(clients_outbox(cs, clients_at(cs, n - 1))[CLIENT_OUT_SIZE - 1], 'o');
	assert_non_null(clients_allocate(cs));
	clients_close(cs);
	close(fd);
}

static void nobody_is_cut_off(void **state)
{
	int fd = memfd_new("clients", clients_file_size());
	struct clients *cs;

	(void)state;
	assert_int_equal(clients_open(fd, true, &cs), 0);
	for (uint32_t i = 0; i < SOME; i++)
		assert_non_null(clients_allocate(cs));
	clients_close(cs);
	/* Those beyond what can be mapped would be lost: the state is refused for now, and left as it is. */
	assert_int_equal(open_with(fd, false, enough_for_some, &cs), -ENOMEM);
	assert_int_equal(clients_open(fd, false, &cs), 0);
	assert_int_equal(clients_high(cs), SOME);
	clients_close(cs);
	close(fd);
}

static void too_little_for_any(void **state)
{
	int fd = memfd_new("clients", clients_file_size());
	struct clients *cs;

	(void)state;
	assert_int_equal(open_with(fd, true, 64 << 20, &cs), -ENOMEM);
	/* Nor for so few that a server would be of no use. */
	const rlim_t few = offsetof(struct file, areas) + (rlim_t)10000 * CLIENT_AREA_SIZE;
	assert_int_equal(open_with(fd, true, few, &cs), -ENOMEM);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(fewer_fit),
	    cmocka_unit_test(nobody_is_cut_off),
	    cmocka_unit_test(too_little_for_any),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
