/* SPDX-License-Identifier: MIT */
/* Changes of a client's lasting state, each in one step: transaction.h. */
#include "daemon/engine/transaction.h"

#include "daemon/base/fault.h"
#include "daemon/state/memberships.h"

static uint32_t transaction_other_half(const struct client *c)
{
	return !(atomic_load_explicit(&c->live, memory_order_relaxed) & 1);
}

struct client_state *transaction_draft(struct client *c)
{
	return &c->st[transaction_other_half(c)];
}

struct client_state *transaction_begin(struct clients *cs, struct client *c)
{
	uint32_t next = transaction_other_half(c);

	if (c->st[next].generation > c->st[!next].generation)
		memberships_forget_draft(cs, c);
	c->st[next] = c->st[!next];
	c->st[next].generation++;
	return &c->st[next];
}

void transaction_commit(struct context *ctx, struct client *c, struct room *locked)
{
	struct scratch *s = ctx->scratch;
	struct shared *shared = ctx->shared;
	uint32_t after = transaction_other_half(c);

	client_seal(c, &c->st[after]);
	if (locked) {
		uint64_t said = logring_pending(locked->log) - logring_count(locked->log);
#ifndef MEASURE_WITHOUT_SURVIVAL
		s->client = clients_index(shared->clients, c);
		s->live_after = after;
		s->room = locked->index;
		s->count = logring_pending(locked->log);
		FAULT("commit-prepared");
		atomic_store_explicit(&s->intent, scratch_intent(s), memory_order_release);
		FAULT("commit-intent");
#endif
		count(ctx->counters, COUNT_MESSAGES, said);
		logring_commit(locked->log);
		logring_unlock(locked->log);
		FAULT("commit-log");
		/* Who enters a large room may do so in silence: then its members are not gone through. */
		if (said > 0)
			rooms_mark(shared->rooms, locked, &ctx->kick);
	}
	atomic_store_explicit(&c->live, after, memory_order_release);
	FAULT("commit-live");
	if (locked)
		atomic_store_explicit(&s->intent, 0, memory_order_release);
	if (c->has_left)
		memberships_sweep(shared->clients, c);
}
