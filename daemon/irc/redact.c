/* SPDX-License-Identifier: MIT */
/*
 * REDACT (https://ircv3.net/specs/extensions/message-redaction): a message is taken back by who said it, or by an operator of the
 * channel. Its bytes are overwritten in the log, where nobody who comes later finds them, and it is removed from the history.
 * Who has it already and knows of this is told to take it away.
 */
#include "daemon/irc/commands.h"

#include "common/nick.h"
#include "daemon/base/fault.h"
#include "daemon/base/logger.h"
#include "daemon/engine/connections.h"
#include "daemon/engine/each_worker.h"
#include "daemon/history/archive.h"
#include "daemon/history/store.h"
#include "daemon/irc/msgref.h"
#include "daemon/irc/people.h"
#include "daemon/irc/tell.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Rows that are looked at in a step on the archive's thread. */
#define REDACT_ROWS 500
#define REDACT_ID_MAX 64
#define REDACT_REASON_MAX 200

struct redaction {
	struct archive_task task; /* first */
	struct store_forget what;
	int64_t from;
	bool removed;
	char room[sizeof(((struct room *)0)->name)];
};

/* --- in the history --- */

static int redact_step(struct archive_task *t, struct store *s)
{
	struct redaction *r = (struct redaction *)t;
	bool more = false;
	uint64_t n = 0;

	if (!r->removed) {
		int e = store_forget(s, &r->what, REDACT_ROWS, &r->from, &n, &more);
		r->removed = e == 0 && !more;
		return e < 0 ? e : 1;
	}
	return store_scrub(s, &more); /* what is left of it is seen to by the archive later */
}

static void redact_over(struct archive_task *t, int e)
{
	struct redaction *r = (struct redaction *)t;

	if (e < 0)
		log_event(LOG_WARNING, &(struct log_fields){.room = r->room},
			  "history: a message in %s that was taken back could not be removed: %s", r->room,
			  strerror(-e));
	free(r);
}

/* --- on the workers --- */

/*
 * Before something is forgotten: how far members have been sent it is found out, or the next process couldn't, if this one dies
 * then. The client has it, and the jobs; the last of those tells the client's worker.
 */
struct redact_places {
	struct job over;
	atomic_uint refs;
	struct worker *w;
	uint32_t index;
	uint64_t id;
};

static void redact_places_drop(void *what)
{
	struct redact_places *p = what;

	if (atomic_fetch_sub(&p->refs, 1) == 1)
		free(p);
}

static void redact_places_over(struct worker *w, struct job *job)
{
	struct redact_places *p = (struct redact_places *)job; /* its first */

	if (w)
		connection_await_over(worker_context(w), p->index, p->id, p);
	redact_places_drop(p);
}

static void redact_tell_places(struct worker *w, void *what)
{
	(void)what;
	connections_tell_places(w);
}

/* NULL: nobody waits. */
static void redact_places_told(void *what)
{
	struct redact_places *p = what;

	if (p)
		worker_post(p->w, &p->over);
}

/* False: it has been done, or can't be. */
static bool redact_must_wait(struct irc_call *call)
{
	struct redact_places *p;

	if (connection_awaited(call->c) || !(p = calloc(1, sizeof(*p))))
		return false;
	p->over.run = redact_places_over;
	p->w = context_worker(irc_context(call));
	p->index = connection_index(call->c);
	p->id = connection_id(call->c);
	atomic_init(&p->refs, 2);
	bool waits = connection_await(call->c, p, redact_places_drop);
	each_worker(irc_shared(call), redact_tell_places, redact_places_told, p);
	return waits;
}

/* It is out of the log: nobody is sent what was rendered of it, nor has it in the history. arg: a struct redaction. */
static void redact_done(struct irc_call *call, void *arg)
{
	struct shared *shared = irc_shared(call);
	struct redaction *r = arg;

	each_worker(shared, redact_tell_places, redact_places_told, NULL);
	if (r && r->room[0] && shared->archive)
		archive_ask(shared->archive, &r->task);
	else
		free(r);
}

/* --- the command --- */

struct redacting {
	struct irc_call *call;
	char target[IRC_CHANNEL_MAX + 3], id[REDACT_ID_MAX + 1], reason[REDACT_REASON_MAX + 1];
};

static enum verdict redact_fail(struct redacting *r, const char *code, const char *text)
{
	char context[sizeof(r->target) + sizeof(r->id) + 2];

	if (strcmp(code, "INVALID_TARGET") == 0)
		snprintf(context, sizeof(context), "%s ", r->target);
	else
		snprintf(context, sizeof(context), "%s %s ", r->target, r->id);
	irc_standard(r->call, "FAIL", "REDACT", code, context, text);
	return HANDLER_MORE;
}

/* The message of that name in the log, which is locked; NULL: it isn't there. */
static const struct record *redact_find(const struct redacting *r, const struct room *room,
					struct logring_view *v, uint64_t *ret_seq)
{
	uint64_t epoch, number;

	if (irc_msgid_parse(r->id, strlen(r->id), &epoch, &number) < 0 || epoch != room->epoch)
		return NULL;
	logring_peek(room->log, v);
	*ret_seq = speech_find_number(room, v, number);
	const struct record *m = *ret_seq < v->count ? logring_record(room->log, *ret_seq) : NULL;
	return m && room_number(room, m, *ret_seq) == number && !record_is_notice(m) ? m : NULL;
}

static void redact_forget(struct redacting *r, struct room *room, const struct record *m,
			  const struct logring_view *v, uint64_t seq, bool stored)
{
	struct redaction *done = calloc(1, sizeof(*done));

	if (done && stored) {
		done->task = (struct archive_task){.step = redact_step, .over = redact_over};
		snprintf(done->room, sizeof(done->room), "%s", room->name);
		done->what = (struct store_forget){.room = done->room,
						   .number = room_number(room, m, seq),
						   .since_us = (int64_t)m->time_us,
						   .before_us = (int64_t)m->time_us + 1};
	}
	/* Done again by the next process, if this one dies now: that does no harm. */
	if (!m->forgotten)
		logring_forget(room->log, v, seq);
	FAULT("irc-redact");
	irc_after(r->call, redact_done, irc_after_free, done);
}

static enum verdict redact_in_room(struct redacting *r, struct room *room)
{
	struct irc_call *call = r->call;
	struct logring_view v;
	uint64_t seq;

	if (!irc_speak(call, room))
		return HANDLER_BLOCKED;
	const struct record *m = redact_find(r, room, &v, &seq);
	if (!m)
		return redact_fail(r, "UNKNOWN_MSGID", "There is no such message, or it is too old");
	if (room->outgoing || (m->sender != connection_id(call->c) && !irc_may_decide(call, room)))
		return redact_fail(r, "REDACT_FORBIDDEN", "That is for who said it, and for operators");
	if (redact_must_wait(call))
		return HANDLER_WAITING;
	redact_forget(r, room, m, &v, seq, true);
	irc_tell_room(call, room, IRC_CAP_REDACTION, "REDACT #%s %s%s%s", room->name, r->id,
		      r->reason[0] ? " :" : "", r->reason);
	if (irc_has(call->c, IRC_CAP_REDACTION))
		irc_from_self(call, "REDACT #%s %s%s%s", room->name, r->id, r->reason[0] ? " :" : "",
			      r->reason);
	return HANDLER_MORE;
}

/* A private message can be taken back as long as it is in memory. */
static enum verdict redact_letter(struct redacting *r, const struct roster_member *peer)
{
	struct irc_call *call = r->call;
	struct room *private = rooms_private(irc_shared(call)->rooms);
	struct logring_view v;
	uint64_t seq;

	irc_begin(call);
	call->speech = (struct speech){0};
	speech_begin(&call->speech, private);
	const struct record *m = redact_find(r, private, &v, &seq);
	bool mine = m && m->sender == connection_id(call->c) && !m->from;
	if (!mine || m->target != peer->id)
		return redact_fail(r, "UNKNOWN_MSGID", "There is no such message of yours, or it is too old");
	if (redact_must_wait(call))
		return HANDLER_WAITING;
	redact_forget(r, private, m, &v, seq, false);
	struct irc_tell *t = irc_tell_new(call);
	char source[IRC_SOURCE_MAX + 1], line[IRC_BODY_MAX];
	snprintf(line, sizeof(line), "REDACT %.*s %s%s%s", peer->len, peer->nick, r->id,
		 r->reason[0] ? " :" : "", r->reason);
	if (t) {
		t->to_id = peer->id;
		t->to_index = peer->index;
		t->caps = IRC_CAP_REDACTION;
		char whole[IRC_SOURCE_MAX + IRC_BODY_MAX + 4];
		int n = snprintf(whole, sizeof(whole), ":%s %s", irc_source(call->c, source), line);
		irc_text((struct irc_arg){whole, (size_t)n}, t->line, sizeof(t->line) - 1);
		irc_tell_later(call, t);
	}
	if (irc_has(call->c, IRC_CAP_REDACTION))
		irc_from_self(call, "%s", line);
	return HANDLER_MORE;
}

static enum verdict redact_whatever(struct irc_call *call)
{
	const struct irc_arg target = call->line->params[0];
	struct redacting r = {.call = call};
	char name[TEXT_ROOM_MAX + 1];
	struct roster_member peer;

	irc_query_echo(target, r.target, sizeof(r.target));
	irc_query_echo(call->line->params[1], r.id, sizeof(r.id));
	if (call->line->n_params > 2)
		irc_text(call->line->params[2], r.reason, sizeof(r.reason));
	if (irc_is_channel(target)) {
		struct room *room = irc_room_of(call, target, name) ? seats_room(call->c, name) : NULL;
		return room ? redact_in_room(&r, room)
			    : redact_fail(&r, "INVALID_TARGET", "You are in no such channel");
	}
	if (!nick_valid(target.at, target.len) ||
	    !roster_member(irc_shared(call)->roster, target.at, target.len, &peer))
		return redact_fail(&r, "INVALID_TARGET", "There is nobody of that name");
	return redact_letter(&r, &peer);
}

enum verdict irc_redact(struct irc_call *call)
{
	enum verdict verdict = redact_whatever(call);

	if (verdict == HANDLER_MORE)
		connection_await_end(call->c);
	return verdict;
}
