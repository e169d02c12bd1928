/* SPDX-License-Identifier: MIT */
/*
 * The services of which there is one, each a row: what makes it and adds it to the others. Those of listeners
 * are made with them. What is done with all services is in engine/service.h.
 */
#include "daemon/cluster/cluster.h"
#include "daemon/engine/logins.h"
#include "daemon/history/archive.h"
#include "daemon/history/questions.h"
#include "daemon/server/server.h"
#include "daemon/webhooks/webhooks.h"

static int (*const services_rows[])(struct shared *shared, const struct config *config) = {
    cluster_open, /* the first one: rooms that are shared are so before anything is said */
    archive_open, /* before anybody makes a room: what is said in it is stored */
    questions_open, logins_open, webhooks_open,
};

int services_open(struct shared *shared, const struct config *config)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < sizeof(services_rows) / sizeof(*services_rows); i++)
		r = services_rows[i](shared, config);
	return r;
}
