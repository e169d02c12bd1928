/* SPDX-License-Identifier: MIT */
/*
 * NICK. Who is in many rooms has the new nick with the first step; each room is told in a step of its own, and the record
 * says how far that is, so that a successor goes on with the others.
 */
#include "daemon/irc/account.h"
#include "daemon/irc/commands.h"

#include "common/nick.h"
#include "daemon/base/clock.h"
#include "daemon/base/fault.h"
#include "daemon/engine/nicks.h"
#include "daemon/irc/names.h"
#include "daemon/irc/whowas.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* --- telling rooms --- */

struct next_room {
	uint32_t above; /* the index of the last one that was told */
	struct room *room;
};

static bool nick_find_next(struct connection *c, struct room *room, void *arg)
{
	struct next_room *next = arg;

	(void)c;
	if (room->index > next->above && (!next->room || room->index < next->room->index))
		next->room = room;
	return true;
}

static void nick_tell_room(struct irc_call *call, struct room *room)
{
	struct connection *c = call->c;
	const struct client_state *st = connection_state(c);
	const struct irc_user *u = irc_user(c);
	const struct speaker who = {.id = connection_id(c),
				    .index = connection_index(c),
				    .nick = u->renamed_from,
				    .nick_len = u->renamed_len,
				    .persona = u->persona};

	irc_begin(call);
	speech_begin(&call->speech, room);
	/* The same time everywhere: by that, whoever is in several of the rooms knows the copies. */
	call->speech.time_us = u->renamed_us;
	if (!irc_is_expelled(call, room))
		speech_rename(&call->speech, room, &who, st->nick, st->nick_len);
	irc_change(call)->told_room = room->index;
	FAULT("irc-nick-room");
	irc_commit_step(call);
}

void irc_tell_nick(struct irc_call *call)
{
	struct connection *c = call->c;

	if (irc_user(c)->renamed_len == 0 || !(irc_user(c)->flags & IRC_REGISTERED))
		return;
	for (;;) {
		struct next_room next = {.above = irc_user(c)->told_room};
		seats_each(c, nick_find_next, &next);
		if (!next.room)
			break;
		nick_tell_room(call, next.room);
	}
	irc_change(call)->renamed_len = 0;
	irc_commit_step(call);
}

/* --- the command --- */

static void nick_refuse(struct irc_call *call, const struct irc_arg *wanted)
{
	bool shown = wanted->len < 64 && wanted->at[0] != ':' && !memchr(wanted->at, ' ', wanted->len);

	irc_numeric(call, ERR_ERRONEUSNICKNAME, "%.*s", shown ? (int)wanted->len : 1,
		    shown ? wanted->at : "*");
}

/* ret is normalised. An error is answered. */
static size_t nick_read(struct irc_call *call, char ret[static TEXT_NICK_MAX + 1])
{
	const struct irc_arg *wanted = &call->line->params[0];
	int n = call->line->n_params > 0 ? nick_normalise(wanted->at, wanted->len, ret) : 0;

	if (call->line->n_params == 0 || wanted->len == 0)
		irc_numeric(call, ERR_NONICKNAMEGIVEN, "%s", "");
	else if (n <= 0 || !irc_nick_possible(ret, (size_t)n))
		nick_refuse(call, wanted);
	else
		return (size_t)n;
	return 0;
}

static bool nick_enter_room(struct connection *c, struct room *room, void *arg)
{
	(void)!roster_enter(connection_context(c)->shared->roster, arg, room->index);
	return true;
}

static void nick_taken(struct irc_call *call, void *arg)
{
	struct connection *c = call->c;
	bool was_lost = !*connection_roster(c);

	roster_replace(irc_shared(call)->roster, connection_roster(c), arg);
	if (was_lost)
		seats_each(c, nick_enter_room, arg);
}

/* It may be the one that it has. */
static void nick_untaken(struct irc_call *call, void *arg)
{
	if (arg != *connection_roster(call->c))
		roster_release(irc_shared(call)->roster, arg);
}

static void nick_tell_rooms(struct irc_call *call, void *arg)
{
	(void)arg;
	irc_tell_nick(call);
}

static void nick_change(struct irc_call *call, const char *nick, size_t len)
{
	const struct client_state *st = connection_state(call->c);
	struct irc_user *u = irc_change(call);
	struct client_state *next = connection_draft(call->c);

	if (u->flags & IRC_REGISTERED) {
		irc_from_self(call, "NICK %s", nick);
		irc_whowas_note(st->nick, st->nick_len, u);
		memset(u->renamed_from, 0, sizeof(u->renamed_from));
		memcpy(u->renamed_from, st->nick, st->nick_len);
		u->renamed_len = st->nick_len;
		u->renamed_us = (uint64_t)clock_us(CLOCK_REALTIME);
		u->told_room = 0; /* the private one's, which nobody is in */
	}
	u->flags &= ~(uint32_t)IRC_NICK_REFUSED;
	client_set_nick(next, nick, len);
	bool owns = u->account[0] && nick_equal(nick, len, u->account, strlen(u->account));
	next->flags &= (uint16_t)~CLIENT_ACCOUNT;
	if (owns)
		next->flags |= CLIENT_ACCOUNT;
}

/* Why it can't be had, by nicks_claim()'s error. Programs try another one then, so this is all that their user is told. */
static void nick_not_had(struct irc_call *call, const char *nick, int error)
{
	char mechanisms[IRC_SASL_LIST_MAX];
	const char *why = "Nickname is already in use";

	if (error == -EPERM && irc_sasl_value(call->c, mechanisms))
		why = "Nickname is reserved; if it is your account's, log in with SASL or PASS NAME:PASSWORD";
	else if (error == -EPERM)
		why = "Nickname is reserved";
	irc_numeric(call, ERR_NICKNAMEINUSE, "%s :%s", nick, why);
}

/* --- a nick that somebody may have after a login --- */

/* Whether it is kept for that. */
static bool nick_keep(struct irc_call *call, const char *nick, size_t len)
{
	const struct irc_user *u = irc_user(call->c);
	char mechanisms[IRC_SASL_LIST_MAX];

	if (u->flags & IRC_REGISTERED || u->account[0] || !irc_sasl_value(call->c, mechanisms))
		return false;
	struct irc_user *change = irc_change(call);
	memset(change->renamed_from, 0, sizeof(change->renamed_from));
	memcpy(change->renamed_from, nick, len);
	change->renamed_len = (uint8_t)len;
	return true;
}

/* The one that was kept; 0: none. It is kept no more. */
static size_t nick_unkeep(struct irc_call *call, char ret[static TEXT_NICK_MAX + 1])
{
	const struct irc_user *u = irc_user(call->c);
	size_t len = u->flags & IRC_REGISTERED ? 0 : u->renamed_len;

	if (len == 0 || len > TEXT_NICK_MAX)
		return 0;
	memcpy(ret, u->renamed_from, len);
	ret[len] = 0;
	irc_change(call)->renamed_len = 0;
	return len;
}

/* One that it lost when the account came, which is its own now. */
static void nick_take_back(struct irc_call *call)
{
	struct shared *shared = irc_shared(call);
	const char *account = irc_user(call->c)->account;
	const struct client_state *st = irc_begin(call);
	struct roster_entry *entry;

	if (!*connection_roster(call->c) && st->nick_len > 0 &&
	    nick_equal(account, strlen(account), st->nick, st->nick_len) &&
	    nicks_claim(shared, clients_at(shared->clients, connection_index(call->c)), st->nick,
			st->nick_len, ROSTER_ENTITLED, &entry) == 0)
		irc_after(call, nick_taken, nick_untaken, entry);
}

void irc_take_nick(struct irc_call *call)
{
	struct shared *shared = irc_shared(call);
	char nick[TEXT_NICK_MAX + 1];
	struct roster_entry *entry;
	const struct irc_user *u = irc_user(call->c);

	if (!u->account[0])
		return;
	nick_take_back(call);
	u = irc_user(call->c);
	if (u->renamed_len == 0)
		return;
	size_t n = nick_unkeep(call, nick);
	bool owns =
	    n > 0 && nick_equal(nick, n, irc_user(call->c)->account, strlen(irc_user(call->c)->account));
	int r = n == 0 ? -EPERM
		       : nicks_claim(shared, clients_at(shared->clients, connection_index(call->c)), nick, n,
				     owns ? ROSTER_ENTITLED : 0, &entry);
	if (n > 0 && r < 0) {
		nick_not_had(call, nick, r);
	} else if (n > 0) {
		nick_change(call, nick, n);
		irc_after(call, nick_taken, nick_untaken, entry);
	}
}

void irc_give_up_nick(struct irc_call *call)
{
	char nick[TEXT_NICK_MAX + 1];

	if (irc_user(call->c)->renamed_len > 0 && nick_unkeep(call, nick) > 0)
		nick_not_had(call, nick, -EPERM);
}

static enum verdict nick_run(struct irc_call *call)
{
	struct shared *shared = irc_shared(call);
	struct connection *c = call->c;
	const struct irc_user *u = irc_user(c);
	const struct client_state *st = connection_state(c);
	char nick[TEXT_NICK_MAX + 1];
	struct roster_entry *entry;
	size_t n = nick_read(call, nick);

	if (n == 0 || (n == st->nick_len && memcmp(nick, st->nick, n) == 0))
		return HANDLER_MORE;
	if (u->flags & IRC_REGISTERED && !connection_may_rename(c)) {
		irc_numeric(call, ERR_UNAVAILRESOURCE, "%s", nick);
		return HANDLER_MORE;
	}
	bool owns = u->account[0] && nick_equal(nick, n, u->account, strlen(u->account));
	int r = nicks_claim(shared, clients_at(shared->clients, connection_index(c)), nick, n,
			    owns ? ROSTER_ENTITLED : 0, &entry);
	if (r == -EPERM && nick_keep(call, nick, n))
		return irc_maybe_register(call);
	if (r < 0) {
		if (st->nick_len == 0)
			irc_change(call)->flags |= IRC_NICK_REFUSED;
		nick_not_had(call, nick, r);
		return HANDLER_MORE;
	}
	nick_change(call, nick, n);
	irc_after(call, nick_taken, nick_untaken, entry);
	if (!(u->flags & IRC_REGISTERED)) {
		/* Its own from now on, whatever else registration may need. */
		return irc_maybe_register(call);
	}
	irc_after(call, nick_tell_rooms, NULL, NULL);
	return HANDLER_MORE;
}

const struct irc_command irc_commands_nick[] = {
    {.name = "NICK", .run = nick_run, .cost = 2, .early = true},
    {0},
};
