/* SPDX-License-Identifier: MIT */
/*
 * The services of which there is one, each a row: what makes it and adds it to the others. Those of listeners
 * are made with them. What is done with all services is in engine/service.h.
 */
#include "daemon/engine/logins.h"
#include "daemon/server/server.h"

static int (*const services_rows[])(struct shared *shared) = {
    logins_open,
};

int services_open(struct shared *shared)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < sizeof(services_rows) / sizeof(*services_rows); i++)
		r = services_rows[i](shared);
	return r;
}
