/* SPDX-License-Identifier: MIT */
/*
 * Private messages on their way out of the hidden log into the outboxes of those they are for.
 */
#include "daemon/engine/connection_own.h"

#include "common/cleanup.h"
#include "daemon/engine/connections.h"
#include "daemon/rooms/letter.h"
#include "daemon/rooms/speech.h"

/* Its sender is on another node; if that is gone, nobody is there who could be told. */
static void private_bounce_to_node(struct connection *c, const struct record *r, const struct speaker *who)
{
	const struct shared *shared = c->ctx->shared;
	struct room *letters = rooms_letters(shared->rooms);
	struct letter_address to = {.id = r->sender, .index = r->from_index - 1};
	struct speech s = {0};

	if (letters && letter_nodes_find(rooms_letter_nodes(shared->rooms), r->from, &to) &&
	    !room_log_is_crowded(shared->rooms, letters)) {
		to.nick_len = (uint8_t)who->nick_len;
		memcpy(to.nick, who->nick, who->nick_len);
		letter_put_return(&s, letters, who, &to);
	}
	connection_commit(c, speech_room(&s));
}

/*
 * Whoever was told that a message is on its way hears that it did not arrive, in the same step in which it is
 * given up. The log is locked; it is unlocked.
 */
static void private_bounce(struct connection *c, const struct record *r)
{
	const struct client_state *st = connection_state(c);
	struct room *private = rooms_private(c->ctx->shared->rooms);
	const struct speaker who = {.id = c->client->id, .nick = st->nick, .nick_len = st->nick_len};
	struct speech s;

	count(c->ctx->counters, COUNT_PRIVATE_DROPPED, 1);
	if (r->from && r->from_index > 0) {
		const struct record copy = *r;
		logring_unlock(private->log);
		private_bounce_to_node(c, &copy, &who);
		return;
	}
	s = speech_within(private);
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
	struct room *private = rooms_private(c->ctx->shared->rooms);
	struct logring *log = private->log;

	if (seq < st->private_seq || (st->flags & CLIENT_CLOSING) || c->retired) {
		logring_unlock(log);
		return;
	}
	struct client_state *next = connection_begin(c);
	next->private_seq = seq + 1;
	if (connection_write_event(c, private, seq, r, line, len)) {
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

void connections_deliver_private(struct context *ctx)
{
	if (logring_count(rooms_private(ctx->shared->rooms)->log) > ctx->connections->private_seq)
		private_deliver(ctx->connections);
}
