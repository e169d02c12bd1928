/* SPDX-License-Identifier: MIT */
/* The transaction of a call, and who the client is in it: see irc.h. */
#include "daemon/irc/irc.h"

#include "daemon/base/clock.h"
#include "daemon/base/fault.h"
#include "daemon/channels/channels.h"
#include "daemon/channels/decide.h"
#include "daemon/irc/personas.h"
#include "daemon/irc/wire.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- who it is --- */

static struct client *call_client(struct connection *c)
{
	return clients_at(connection_context(c)->shared->clients, connection_index(c));
}

const struct irc_user *irc_user(struct connection *c)
{
	static const struct irc_user nobody;
	const struct context *ctx = connection_context(c);
	const struct irc_user *u =
	    ctx->shared->irc ? irc_users_get(ctx->shared->irc->users, ctx->slot, call_client(c)) : NULL;

	return u ? u : &nobody;
}

static const struct client_state *call_state(struct connection *c)
{
	const struct client_state *draft = connection_draft(c);

	return draft ? draft : connection_state(c);
}

const char *irc_nick(struct connection *c, char ret[static TEXT_NICK_MAX + 1])
{
	const struct client_state *st = call_state(c);

	snprintf(ret, TEXT_NICK_MAX + 1, "%.*s", st->nick_len ? st->nick_len : 1,
		 st->nick_len ? st->nick : "*");
	return ret;
}

const char *irc_source(struct connection *c, char ret[static IRC_SOURCE_MAX + 1])
{
	const struct irc_user *u = irc_user(c);
	char nick[TEXT_NICK_MAX + 1];

	snprintf(ret, IRC_SOURCE_MAX + 1, "%s!%s@%s", irc_nick(c, nick), u->user[0] ? u->user : "*", u->host);
	return ret;
}

struct speaker irc_speaker(struct connection *c)
{
	const struct client_state *st = connection_state(c);

	return (struct speaker){.id = connection_id(c),
				.index = connection_index(c),
				.nick = st->nick,
				.nick_len = st->nick_len,
				.persona = irc_user(c)->persona};
}

const char *irc_param(const struct irc_call *call, unsigned i, char *buf, size_t size)
{
	if (i >= call->line->n_params || irc_arg_copy(call->line->params[i], buf, size) < 0)
		*buf = 0;
	return buf;
}

void irc_text(struct irc_arg text, char *ret, size_t size)
{
	irc_decide_text(text.at, text.len, ret, size);
}

/* --- the transaction --- */

struct client_state *irc_begin(struct irc_call *call)
{
	struct irc *irc = irc_shared(call)->irc;

	if (!call->drafted) {
		irc_users_forget(irc->users, irc_context(call)->slot);
		connection_begin(call->c);
		call->drafted = true;
	}
	return connection_draft(call->c);
}

struct irc_user *irc_change(struct irc_call *call)
{
	irc_begin(call);
	return irc_users_draft(irc_shared(call)->irc->users, irc_context(call)->slot, call_client(call->c));
}

bool irc_speak(struct irc_call *call, struct room *room)
{
	irc_begin(call);
	speech_begin_reading(&call->speech, room);
	call->within = NULL;
	if (!seats_in(call->c, room))
		return true;
	/* What others said comes before whatever this command does there. */
	if (!seats_settle(call->c, room, call->answer.len + IRC_REPLY_MAX / 2)) {
		irc_abandon(call);
		return false;
	}
	if (!room->outgoing)
		call->within = room;
	return true;
}

bool irc_sees_later(const struct irc_call *call, const struct room *room)
{
	return call->within != room;
}

/* The room whose record may have a draft, as its own log is locked. */
static struct room *call_own_room(const struct irc_call *call)
{
	const struct speech *s = &call->speech;

	return s->reading ? s->reading : s->room && !s->room->main ? s->room : NULL;
}

const struct irc_channel *irc_channel(const struct irc_call *call, const struct room *room)
{
	return irc_channels_now(irc_shared(call)->irc->channels, room);
}

struct irc_channel *irc_channel_change(struct irc_call *call, struct room *room)
{
	return irc_channels_draft(irc_shared(call)->irc->channels, room);
}

void irc_after(struct irc_call *call, void (*fn)(struct irc_call *call, void *arg),
	       void (*undo)(struct irc_call *call, void *arg), void *arg)
{
	if (call->n_after == IRC_AFTER_MAX)
		abort(); /* a command's own mistake; and a crash is recovered from */
	call->after[call->n_after++] = (struct irc_after){fn, undo, arg};
}

void irc_after_free(struct irc_call *call, void *arg)
{
	(void)call;
	free(arg);
}

void irc_give_room_back(struct irc_call *call, void *room)
{
	rooms_leave(irc_shared(call)->rooms, room, irc_context(call)->slot);
}

/* What others see of it, where that has changed: a new one, as what was said keeps the one that it was said with. */
static void call_renew_persona(struct irc_call *call)
{
	struct irc *irc = irc_shared(call)->irc;
	const struct irc_user *now = irc_user(call->c);
	struct irc_persona is, was;

	if (!(now->flags & IRC_REGISTERED))
		return;
	irc_persona_of(now, &is);
	if (irc_persona_get(irc->personas, now->persona, &was) && memcmp(&is, &was, sizeof(is)) == 0)
		return;
	irc_change(call)->persona = irc_persona_put(irc->personas, &is);
}

static void call_commit(struct irc_call *call, bool last)
{
	struct irc *irc = irc_shared(call)->irc;
	unsigned slot = irc_context(call)->slot;
	struct connection *c = call->c;

	irc_begin(call);
	irc_answer_flush(call, last);
	if (last && connection_draft(c)->flags & CLIENT_CLOSING)
		irc_write_end(c);
	if (call->within && call->speech.room && seats_in(c, call->within))
		seats_go_on_at(c, call->within,
			       (struct position){logring_pending_head(call->within->log),
						 logring_pending(call->within->log)});
	call->within = NULL;
	struct room *own = call_own_room(call);
	if (own)
		irc_channels_seal(irc->channels, own, logring_pending(own->log));
	irc_users_seal(irc->users, slot, connection_draft(c));
	connection_commit(c, speech_room(&call->speech));
	irc_users_settle(irc->users, slot);
	call->drafted = false;
	if (last)
		call->label[0] = 0;
	unsigned n = call->n_after;
	call->n_after = 0;
	for (unsigned i = 0; i < n; i++)
		call->after[i].fn(call, call->after[i].arg);
}

void irc_commit_step(struct irc_call *call)
{
	if (call->drafted)
		call_commit(call, false);
}

bool irc_step(struct irc_call *call, unsigned i)
{
	uint8_t done = irc_user(call->c)->steps;

	if (i < done)
		return false;
	if (i > done && i <= UINT8_MAX)
		irc_change(call)->steps = (uint8_t)i;
	if (i > done) {
		irc_commit_step(call);
		FAULT("irc-step");
	}
	return true;
}

static void call_undo(struct irc_call *call)
{
	unsigned n = call->n_after;

	call->n_after = 0;
	for (unsigned i = 0; i < n; i++)
		if (call->after[i].undo)
			call->after[i].undo(call, call->after[i].arg);
}

void irc_abandon(struct irc_call *call)
{
	struct irc *irc = irc_shared(call)->irc;

	struct room *own = call_own_room(call);
	if (own)
		irc_channels_forget(irc->channels, own);
	speech_drop(&call->speech);
	call->within = NULL;
	call_undo(call);
	irc_answer_clear(&call->answer);
	if (!call->drafted)
		return;
	irc_users_forget(irc->users, irc_context(call)->slot);
	connection_abandon(call->c);
	call->drafted = false;
}

void irc_commit(struct irc_call *call)
{
	irc_begin(call);
	if (call->line && irc_user(call->c)->steps > 0)
		irc_change(call)->steps = 0;
	call_renew_persona(call);
	connection_consume(call->c, call->consumed);
	call_commit(call, true);
}
