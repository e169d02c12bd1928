/* SPDX-License-Identifier: MIT */
/* A test's state is a clients' file with one client in it. */
#ifndef TESTS_UNIT_STATE_ONE_CLIENT_H
#define TESTS_UNIT_STATE_ONE_CLIENT_H

#include "tests/unit/unit.h"

#include "daemon/io/memfd.h"
#include "daemon/state/clients.h"

#include <stdlib.h>
#include <unistd.h>

struct fixture {
	int fd;
	struct clients *cs;
	struct client *c;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->fd = memfd_new("clients", clients_file_size());
	if (clients_open(f->fd, true, &f->cs) < 0)
		return -1;
	f->c = clients_allocate(f->cs);
	atomic_store(&f->c->cookie, 1);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	clients_close(f->cs);
	close(f->fd);
	free(f);
	return 0;
}

#endif
