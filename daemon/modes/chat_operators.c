/* SPDX-License-Identifier: MIT */
/*
 * What operators of a room decide from chat: /topic, /kick, /mode, and short forms of that. Each is one step: the record
 * (daemon/channels), what the room is told, and that the line is used up become true together. All of a command is done, or nothing.
 */
#include "common/cleanup.h"
#include "daemon/base/fault.h"
#include "daemon/channels/accounts.h"
#include "daemon/channels/channels.h"
#include "daemon/channels/decide.h"
#include "daemon/channels/mask.h"
#include "daemon/channels/nicks.h"
#include "daemon/engine/expel.h"
#include "daemon/modes/chat.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define OPERATORS_KICK_REASON 255
/* How long a list of masks gets before its rest is only counted. */
#define OPERATORS_LIST_MAX 2048

/* One command; the room's log is locked from operators_begin() on. */
struct operating {
	struct connection *c;
	const struct chat_call *call;
	struct room *room;
	struct speaker who;
	struct speech speech;
	struct irc_deciding d;
	const char *at, *end; /* the arguments of modes that are left */
	bool changed;	      /* the room is told of something */
	char why[160];	      /* why nothing is done; "": there is no reason yet */
};

static void operators_refuse(struct operating *o, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void operators_refuse(struct operating *o, const char *format, ...)
{
	va_list ap;

	if (o->why[0])
		return;
	va_start(ap, format);
	vsnprintf(o->why, sizeof(o->why), format, ap);
	va_end(ap);
}

/* --- beginning and end --- */

/* False: it is answered why not, and nothing is locked. */
static bool operators_begin(struct operating *o, struct connection *c, const struct chat_call *call)
{
	struct room *room = connection_room(c);

	*o = (struct operating){.c = c, .call = call, .room = room, .who = chat_speaker(c)};
	if (!room) {
		chat_reply(c, call->consumed, "* You are in no room; /join one.\n");
		return false;
	}
	if (room->raw) {
		chat_reply(c, call->consumed, "* Nothing can be decided in %s.\n", room->name);
		return false;
	}
	speech_begin_reading(&o->speech, room);
	o->d = (struct irc_deciding){.channels = chat_channels(c), .room = room, .by = &o->who};
	return true;
}

/* The log is given back; what was changed is forgotten. */
static void operators_leave(struct operating *o)
{
	irc_channels_forget(o->d.channels, o->room);
	speech_drop(&o->speech);
}

static enum verdict operators_answer(struct operating *o, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static enum verdict operators_answer(struct operating *o, const char *format, ...)
{
	char text[OPERATORS_LIST_MAX + 256];
	va_list ap;

	va_start(ap, format);
	int n = vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	operators_leave(o);
	/* What was decided by an earlier build may be anything. */
	size_t len = n < 0 ? 0 : (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1;
	_cleanup_free_ char *buf = NULL;
	const char *clean = text_clean(text, &len, &buf);
	chat_begin_reply(o->c, o->call->consumed);
	connection_write(o->c, "* ", 2);
	connection_write(o->c, clean ? clean : "", clean ? len : 0);
	connection_write(o->c, "\n", 1);
	connection_commit(o->c, NULL);
	return HANDLER_MORE;
}

/* The room is told already, in o->speech. */
static void operators_commit(struct operating *o)
{
	connection_begin(o->c);
	connection_consume(o->c, o->call->consumed);
	FAULT("irc-chat-decided");
	irc_channels_seal(o->d.channels, o->room, logring_pending(o->room->log));
	connection_commit(o->c, speech_room(&o->speech));
}

static const struct irc_channel *operators_channel(const struct operating *o)
{
	return irc_channels_now(o->d.channels, o->room);
}

static bool operators_may(struct operating *o)
{
	const struct irc_other other = chat_other(o->c, &o->who);

	if (irc_others_may_decide(o->d.channels, o->room, &other))
		return true;
	operators_refuse(o, "Only operators of %s can do that.", o->room->name);
	return false;
}

/* Somebody in the room. */
static bool operators_find(struct operating *o, const char *nick, size_t len, struct roster_member *ret)
{
	if (irc_decide_find(chat_shared(o->c)->roster, o->room, nick, len, ret))
		return true;
	operators_refuse(o, "There is nobody by that name in %s.", o->room->name);
	return false;
}

/* --- the topic --- */

enum verdict chat_topic(struct connection *c, const struct chat_call *call)
{
	struct operating o;
	char topic[IRC_TOPIC_MAX + 1];

	if (!operators_begin(&o, c, call))
		return HANDLER_MORE;
	const struct irc_channel *ch = operators_channel(&o);
	if (call->args[0].len == 0)
		return ch && ch->topic[0] ? operators_answer(&o, "The topic of %s is, by %s: %s",
							     o.room->name, ch->topic_by, ch->topic)
					  : operators_answer(&o, "%s has no topic.", o.room->name);
	const struct irc_other other = chat_other(c, &o.who);
	if (!irc_others_may_set_topic(o.d.channels, o.room, &other))
		return operators_answer(&o, "Only operators of %s can do that.", o.room->name);
	irc_decide_text(call->args[0].at, call->args[0].len, topic, sizeof(topic));
	if (!o.room->outgoing) /* or it is changed when it comes back */
		irc_decide_topic(&o.d, topic);
	(void)!speech_topic(&o.speech, o.room, &o.who, topic, strlen(topic));
	operators_commit(&o);
	return HANDLER_MORE;
}

/* --- removing --- */

enum verdict chat_kick(struct connection *c, const struct chat_call *call)
{
	const struct shared *shared = chat_shared(c);
	struct operating o;
	struct roster_member victim;
	char nick[TEXT_NICK_MAX + 1], reason[OPERATORS_KICK_REASON + 1];

	if (!operators_begin(&o, c, call))
		return HANDLER_MORE;
	if (o.room->outgoing)
		operators_refuse(&o, "Nobody can be removed from %s, which several nodes share.",
				 o.room->name);
	if (o.why[0] || !operators_may(&o) ||
	    !operators_find(&o, call->args[0].at, call->args[0].len, &victim))
		return operators_answer(&o, "%s", o.why);
	const struct client *client = clients_at(shared->clients, victim.index);
	if (client && client_is_datagram(client))
		return operators_answer(&o, "%.*s has no connection that could leave %s.", victim.len,
					victim.nick, o.room->name);
	snprintf(nick, sizeof(nick), "%.*s", victim.len, victim.nick);
	irc_decide_text(call->args[1].at, call->args[1].len, reason, sizeof(reason));
	if (!reason[0])
		snprintf(reason, sizeof(reason), "%.*s", (int)o.who.nick_len, o.who.nick);
	enum irc_decided done = irc_decide_removal(&o.d, shared->roster, &victim, NULL);
	if (done == IRC_DECIDED_SAME)
		return operators_answer(&o, "%s is on the way out already.", nick);
	if (done == IRC_DECIDED_FULL) {
		operators_leave(&o);
		return HANDLER_YIELD;
	}
	(void)!speech_kick(&o.speech, o.room, &o.who, nick, reason, strlen(reason));
	struct expulsion *e =
	    expel_new(victim.id, victim.index, o.room->index, o.who.nick, o.who.nick_len, reason);
	operators_commit(&o);
	if (e)
		expel_now(connection_context(c), e);
	return HANDLER_MORE;
}

/* --- modes --- */

/* The next argument, clean; false: there is none. */
static bool operators_argument(struct operating *o, char letter, char *ret, size_t size)
{
	while (o->at < o->end && *o->at == ' ')
		o->at++;
	const char *space = memchr(o->at, ' ', (size_t)(o->end - o->at));
	const char *stop = space ? space : o->end;
	irc_decide_text(o->at, (size_t)(stop - o->at), ret, size);
	o->at = stop;
	/* In a line of IRC that would be all the rest. */
	if (ret[0] && ret[0] != ':')
		return true;
	operators_refuse(o, "Mode %c needs a word behind it.", letter);
	return false;
}

static enum irc_decided operators_mask(struct operating *o, char sign, char letter)
{
	char given[IRC_MASK_MAX + 1], shown[IRC_SHOWN_MAX + 1], mask[IRC_MASK_MAX + 1];
	struct roster_member who;

	if (!operators_argument(o, letter, given, sizeof(given)))
		return IRC_DECIDED_SAME;
	/* Somebody who is there, as IRC people see that one. */
	if (irc_decide_find(chat_shared(o->c)->roster, o->room, given, strlen(given), &who)) {
		irc_nick_show(who.nick, who.len, shown);
		irc_mask_normalise(shown, strlen(shown), mask, sizeof(mask));
	} else {
		irc_mask_normalise(given, strlen(given), mask, sizeof(mask));
	}
	return irc_decide_mask(&o->d, sign, letter, mask);
}

/* In a shared room. */
static enum irc_decided operators_account(struct operating *o, char sign, char letter, const char *nick)
{
	const struct shared *shared = chat_shared(o->c);
	char account[TEXT_NICK_MAX + 1];

	if (irc_decide_find_account(&o->d, shared->roster, shared->elsewhere, nick, strlen(nick), account))
		return irc_decide_status_of_account(&o->d, sign, letter, account);
	operators_refuse(o, "Nobody is logged in as that, and several nodes share %s.", o->room->name);
	return IRC_DECIDED_SAME;
}

static enum irc_decided operators_status(struct operating *o, char sign, char letter)
{
	char nick[TEXT_NICK_MAX + 1];
	struct roster_member who;

	if (!operators_argument(o, letter, nick, sizeof(nick)))
		return IRC_DECIDED_SAME;
	if (o->room->outgoing)
		return operators_account(o, sign, letter, nick);
	if (!operators_find(o, nick, strlen(nick), &who))
		return IRC_DECIDED_SAME;
	return irc_decide_status(&o->d, sign, letter, &who, NULL);
}

/* A key or a limit. */
static enum irc_decided operators_value(struct operating *o, char sign, char letter)
{
	char text[IRC_KEY_MAX + 2] = "";

	if (sign == '+' && !operators_argument(o, letter, text, sizeof(text)))
		return IRC_DECIDED_SAME;
	return letter == 'k' ? irc_decide_key(&o->d, sign, text) : irc_decide_limit(&o->d, sign, text);
}

static void operators_mode(struct operating *o, char sign, char letter)
{
	enum irc_decided done = strchr("beI", letter)  ? operators_mask(o, sign, letter)
				: strchr("ov", letter) ? operators_status(o, sign, letter)
				: strchr("kl", letter) ? operators_value(o, sign, letter)
						       : irc_decide_flag(&o->d, sign, letter);

	if (done == IRC_DECIDED_UNKNOWN)
		operators_refuse(o, "There is no mode %c; there are b C e i I k l m M n o R s t v.", letter);
	else if (done == IRC_DECIDED_INVALID && letter == 'k')
		operators_refuse(o, "A key is one word of at most %d bytes, without : and a comma.",
				 IRC_KEY_MAX);
	else if (done == IRC_DECIDED_INVALID)
		operators_refuse(o, "A limit is a number from 1 to %d.", IRC_DECIDE_LIMIT_MAX);
	else if (done == IRC_DECIDED_FULL)
		operators_refuse(o, "There are %d masks in the lists of %s already.", IRC_DECIDE_LIST_MAX,
				 o->room->name);
}

/* Tells the room of what was changed since it was told before. */
static void operators_tell(struct operating *o)
{
	char text[IRC_TOLD_MAX];
	size_t n = irc_told_text(&o->d.told, text);

	if (n > 0)
		(void)!speech_mode(&o->speech, o->room, &o->who, text, n);
	o->changed |= n > 0;
	o->d.told = (struct irc_told){.n_letters = 0};
}

/* letters: "+m-o"; the arguments are in o->at. */
static enum verdict operators_modes(struct operating *o, const char *letters, size_t len)
{
	char sign = '+';
	unsigned n = 0;

	for (size_t i = 0; i < len && operators_may(o) && !o->why[0]; i++) {
		if (letters[i] == '+' || letters[i] == '-')
			sign = letters[i];
		else if (letters[i] < '!' || letters[i] > '~')
			operators_refuse(o, "Modes are letters, such as +m or -k.");
		else if (n++ == IRC_DECIDE_CHANGES_MAX)
			operators_refuse(o, "At most %d modes can be changed at once.",
					 IRC_DECIDE_CHANGES_MAX);
		else
			operators_mode(o, sign, letters[i]);
		if (irc_told_is_full(&o->d.told))
			operators_tell(o);
	}
	operators_tell(o);
	if (!o->changed)
		operators_refuse(o, "That is so already.");
	if (o->why[0])
		return operators_answer(o, "%s", o->why);
	if (o->room->outgoing) /* it is changed when that comes back */
		irc_channels_forget(o->d.channels, o->room);
	operators_commit(o);
	return HANDLER_MORE;
}

enum verdict chat_mode(struct connection *c, const struct chat_call *call)
{
	struct operating o;
	char modes[IRC_DECIDE_MODES_MAX];

	if (!operators_begin(&o, c, call))
		return HANDLER_MORE;
	if (call->args[0].len == 0) {
		irc_decide_modes(operators_channel(&o), true, modes);
		return operators_answer(&o, "The modes of %s are %s", o.room->name, modes);
	}
	o.at = call->args[1].at;
	o.end = o.at + call->args[1].len;
	return operators_modes(&o, call->args[0].at, call->args[0].len);
}

/* --- short forms --- */

static enum verdict operators_short(struct connection *c, const struct chat_call *call, const char *letters)
{
	struct operating o;

	if (!operators_begin(&o, c, call))
		return HANDLER_MORE;
	o.at = call->args[0].at;
	o.end = o.at + call->args[0].len;
	return operators_modes(&o, letters, strlen(letters));
}

enum verdict chat_op(struct connection *c, const struct chat_call *call)
{
	return operators_short(c, call, "+o");
}

enum verdict chat_deop(struct connection *c, const struct chat_call *call)
{
	return operators_short(c, call, "-o");
}

enum verdict chat_voice(struct connection *c, const struct chat_call *call)
{
	return operators_short(c, call, "+v");
}

enum verdict chat_devoice(struct connection *c, const struct chat_call *call)
{
	return operators_short(c, call, "-v");
}

/* Without a mask: who is banned. */
enum verdict chat_ban(struct connection *c, const struct chat_call *call)
{
	struct operating o;
	char list[OPERATORS_LIST_MAX];
	size_t n = 0, len = 0;

	if (call->args[0].len > 0)
		return operators_short(c, call, "+b");
	if (!operators_begin(&o, c, call))
		return HANDLER_MORE;
	const struct irc_channel *ch = operators_channel(&o);
	list[0] = '\0';
	for (uint32_t i = 0; ch && i < ch->n_list; i++) {
		if (ch->list[i].kind != 'b')
			continue;
		n++;
		if (len + IRC_MASK_MAX + 2 < sizeof(list))
			len += (size_t)snprintf(list + len, sizeof(list) - len, " %s", ch->list[i].mask);
	}
	return operators_answer(&o, "%zu banned in %s%s%s", n, o.room->name, n ? ":" : "", list);
}

enum verdict chat_unban(struct connection *c, const struct chat_call *call)
{
	return operators_short(c, call, "-b");
}
