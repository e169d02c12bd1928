/* SPDX-License-Identifier: MIT */
/*
 * Private messages on their way out of the hidden log into the outboxes of those they are for.
 */
#include "daemon/engine/connection_own.h"

#include "common/cleanup.h"
#include "daemon/engine/connections.h"
#include "daemon/rooms/speech.h"

/*
 * Whoever was told that a message is on its way hears that it did not arrive, in the same step in which it is
 * given up. The log is locked; it is unlocked.
 */
static void private_bounce(struct connection *c, const struct record *r)
{
	const struct client_state *st = connection_state(c);
	struct room *private = rooms_private(c->ctx->shared->rooms);
	const struct speaker who = {.id = c->client->id, .nick = st->nick, .nick_len = st->nick_len};
	struct speech s = speech_within(private);

	count(c->ctx->counters, COUNT_PRIVATE_DROPPED, 1);
	/* What comes back is not sent back once more. */
	if (r->sender && r->sender_index > 0)
		speech_bounce(&s, private, r, &who);
	connection_commit(c, speech_room(&s));
}

/* The private log is locked, and is unlocked. */
static void private_take(struct connection *c, uint64_t seq, const struct record *r, const char *line,
			 size_t len)
{
	const struct client_state *st = connection_state(c);
	struct logring *log = rooms_private(c->ctx->shared->rooms)->log;

	if (seq < st->private_seq || (st->flags & CLIENT_CLOSING) || c->retired) {
		logring_unlock(log);
		return;
	}
	struct client_state *next = connection_begin(c);
	next->private_seq = seq + 1;
	if (connection_space(c) >= len) {
		connection_write(c, line, len);
		logring_unlock(log);
		connection_commit(c, NULL);
	} else {
		private_bounce(c, r);
	}
	connection_retry(c);
}

void private_deliver(struct connections *cs)
{
	struct logring *log = rooms_private(cs->ctx->shared->rooms)->log;
	uint64_t *seq = &cs->private_seq;
	struct logring_view v;

	logring_lock(log);
	logring_peek(log, &v);
	for (; *seq < v.count; ++*seq) {
		if (*seq < v.first)
			*seq = v.first;
		const struct record *r = logring_record(log, *seq);
		struct connection *c = connections_find(cs->ctx, r->target_index, r->target);
		if (c) {
			uint64_t start = logring_start(log, &v, *seq);
			private_take(c, *seq, r, logring_at(&v, start), r->end - start);
			logring_lock(log);
			logring_peek(log, &v);
		}
	}
	logring_flushed(log, cs->ctx->slot, &v);
	logring_unlock(log);
}
