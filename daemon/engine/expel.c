/* SPDX-License-Identifier: MIT */
/* Each worker is asked, as nobody else knows which one has the client: see expel.h. */
#include "daemon/engine/expel.h"

#include "daemon/engine/connection.h"
#include "daemon/engine/connections.h"
#include "daemon/engine/worker.h"

#include <stdio.h>
#include <stdlib.h>

struct expulsion {
	uint64_t id;
	uint32_t index, room;
	atomic_uint left; /* workers that haven't been asked yet, and expel_now() itself */
	char by[TEXT_NICK_MAX + 1];
	char reason[512];
};

struct expel_job {
	struct job job;
	struct expulsion *what;
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

static void expel_release(struct expulsion *e)
{
	if (atomic_fetch_sub(&e->left, 1) == 1)
		free(e);
}

static void expel_run(struct worker *w, struct job *job)
{
	struct expel_job *j = (struct expel_job *)job;
	struct expulsion *e = j->what;
	struct connection *c = w ? connections_find(worker_context(w), e->index, e->id) : NULL;

	if (c && connection_handler(c)->expelled)
		connection_handler(c)->expelled(c, e);
	expel_release(e);
	free(j);
}

void expel_now(struct context *ctx, struct expulsion *e)
{
	struct shared *shared = ctx->shared;

	atomic_store(&e->left, shared->n_workers + 1);
	for (unsigned i = 0; i < shared->n_workers; i++) {
		struct expel_job *j = calloc(1, sizeof(*j));
		if (!j) {
			expel_release(e);
			continue;
		}
		*j = (struct expel_job){.job.run = expel_run, .what = e};
		worker_post(shared->workers[i], &j->job);
	}
	expel_release(e);
}
