/* SPDX-License-Identifier: MIT */
/* Each worker is asked, as nobody else knows which one has the client: see expel.h. */
#include "daemon/engine/expel.h"

#include "daemon/engine/connection.h"
#include "daemon/engine/connections.h"
#include "daemon/engine/each_worker.h"

#include <stdio.h>
#include <stdlib.h>

struct expulsion {
	uint64_t id;
	uint32_t index, room;
	char by[TEXT_NICK_MAX + 1];
	char reason[512];
};

struct expulsion *expel_new(uint64_t id, uint32_t index, uint32_t room, const char *by, size_t by_len,
			    const char *reason)
{
	struct expulsion *e = calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	e->id = id;
	e->index = index;
	e->room = room;
	snprintf(e->by, sizeof(e->by), "%.*s", (int)by_len, by);
	snprintf(e->reason, sizeof(e->reason), "%s", reason);
	return e;
}

uint32_t expel_room(const struct expulsion *e)
{
	return e->room;
}

const char *expel_by(const struct expulsion *e)
{
	return e->by;
}

const char *expel_reason(const struct expulsion *e)
{
	return e->reason;
}

static void expel_here(struct worker *w, void *what)
{
	const struct expulsion *e = what;
	struct connection *c = connections_find(worker_context(w), e->index, e->id);

	if (c && connection_handler(c)->expelled)
		connection_handler(c)->expelled(c, e);
}

void expel_now(struct context *ctx, struct expulsion *e)
{
	each_worker(ctx->shared, expel_here, free, e);
}
