/* SPDX-License-Identifier: MIT */
/* What IRC keeps, with the rooms and the client that it belongs to; a crash is a second mapping of the same files. */
#ifndef TESTS_UNIT_IRC_KEPT_H
#define TESTS_UNIT_IRC_KEPT_H

#include "tests/unit/rooms/rooms.h"

#include "daemon/channels/channels.h"
#include "daemon/irc/file.h"
#include "daemon/irc/store.h"
#include "daemon/irc/users.h"
#include "daemon/state/clients.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

struct kept {
	struct test_rooms rooms;
	int clients_fd, fd;
	struct clients *cs;
	struct client *c;
	struct irc *irc;
};

static inline int kept_setup(void **state)
{
	struct kept *k = calloc(1, sizeof(*k));

	if (test_rooms_open(&k->rooms, 1) < 0)
		return -1;
	k->clients_fd = memfd_new("clients", clients_file_size());
	k->fd = memfd_new("irc", irc_store_size());
	if (clients_open(k->clients_fd, true, &k->cs) < 0 ||
	    irc_store_open(k->fd, true, true, k->cs, k->rooms.rooms, &k->irc) < 0)
		return -1;
	k->c = clients_allocate(k->cs);
	atomic_store(&k->c->cookie, 1);
	*state = k;
	return 0;
}

static inline int kept_teardown(void **state)
{
	struct kept *k = *state;

	irc_store_close(k->irc);
	clients_close(k->cs);
	close(k->clients_fd);
	close(k->fd);
	test_rooms_close(&k->rooms);
	free(k);
	return 0;
}

/* The process has died, and the next one takes over what is there. Returns what irc_store_open() does. */
static inline int kept_crash_to(struct kept *k, bool strangers)
{
	uint32_t index = clients_index(k->cs, k->c);

	irc_store_close(k->irc);
	k->irc = NULL;
	clients_close(k->cs);
	rooms_close(k->rooms.rooms);
	assert_int_equal(rooms_open(k->rooms.fd, false, k->rooms.slots, &k->rooms.rooms), 0);
	assert_int_equal(clients_open(k->clients_fd, false, &k->cs), 0);
	k->c = clients_at(k->cs, index);
	int r = irc_store_open(k->fd, false, strangers, k->cs, k->rooms.rooms, &k->irc);
	if (r == 0)
		irc_users_recover(k->irc->users);
	return r;
}

static inline void kept_crash(struct kept *k)
{
	assert_int_equal(kept_crash_to(k, false), 0);
}

/* What of the file exists, in bytes. */
static inline uint64_t kept_memory(const struct kept *k)
{
	struct stat st;

	assert_int_equal(fstat(k->fd, &st), 0);
	return (uint64_t)st.st_blocks * 512;
}

#endif
