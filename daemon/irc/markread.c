/* SPDX-License-Identifier: MIT */
/*
 * MARKREAD (https://ircv3.net/specs/extensions/read-marker): up to when somebody has read a channel, or what a person said. It is
 * the account's, and its other clients are told; without an account it is the nick's.
 */
#include "daemon/irc/commands.h"

#include "common/nick.h"
#include "daemon/irc/markers.h"
#include "daemon/irc/msgref.h"
#include "daemon/irc/names.h"
#include "daemon/irc/people.h"
#include "daemon/irc/tell.h"

#include <stdio.h>
#include <string.h>

/* What it is kept for: how it is called to the client, and in which case it is the same. */
struct markread {
	struct irc_call *call;
	char owner[TEXT_NICK_MAX + 3];
	char target[IRC_CHANNEL_MAX + 1], shown[IRC_BODY_MAX / 4];
};

#define MARKREAD_LINE_MAX (IRC_BODY_MAX / 4 + IRC_TIME_MAX + 32)

_Static_assert(IRC_CHANNEL_MAX >= TEXT_NICK_MAX, "a nick fits as well");

static void markread_lower(char *s)
{
	for (; *s; s++)
		if (*s >= 'A' && *s <= 'Z')
			*s = (char)(*s + 'a' - 'A');
}

static void markread_find_owner(struct markread *m)
{
	const struct irc_user *u = irc_user(m->call->c);
	char nick[TEXT_NICK_MAX + 1];

	snprintf(m->owner, sizeof(m->owner), "%c:%s", u->account[0] ? 'a' : 'n',
		 u->account[0] ? u->account : irc_nick(m->call->c, nick));
	if (!u->account[0])
		markread_lower(m->owner);
}

static void markread_fail(const struct markread *m, const char *code, const char *text)
{
	char context[sizeof(m->shown) + 2];

	snprintf(context, sizeof(context), "%s%s", m->shown, m->shown[0] ? " " : "");
	irc_standard(m->call, "FAIL", "MARKREAD", code, context, text);
}

/* False, after the answer: that is nobody and no channel. */
static bool markread_find_target(struct markread *m)
{
	const struct irc_arg a = m->call->line->params[0];
	char room[TEXT_ROOM_MAX + 1];

	if (m->call->line->n_params == 0 || a.len == 0) {
		markread_fail(m, "NEED_MORE_PARAMS", "Missing parameters");
		return false;
	}
	irc_query_echo(a, m->shown, sizeof(m->shown));
	if (irc_room_of(m->call, a, room)) {
		snprintf(m->target, sizeof(m->target), "#%s", room);
		memcpy(m->shown, m->target, sizeof(m->target));
	} else if (!irc_is_channel(a) && nick_valid(a.at, a.len)) {
		snprintf(m->target, sizeof(m->target), "%.*s", (int)a.len, a.at);
	} else {
		markread_fail(m, "INVALID_PARAMS", "That is nobody and no channel");
		return false;
	}
	markread_lower(m->target);
	return true;
}

/* "MARKREAD #x timestamp=..." */
static void markread_line(const struct markread *m, uint64_t us, char *ret, size_t size)
{
	char time[IRC_TIME_MAX];

	snprintf(ret, size, "MARKREAD %s %s%s", m->shown, us > 0 ? "timestamp=" : "",
		 us > 0 ? irc_time_format(us, time) : "*");
}

static void markread_tell_others(const struct markread *m, const char *line)
{
	const struct irc_user *u = irc_user(m->call->c);
	struct irc_tell *t = u->account[0] ? irc_tell_new(m->call) : NULL;

	if (!t)
		return;
	memcpy(t->to_account, u->account, sizeof(t->to_account));
	t->account[0] = '\0'; /* the server says it */
	t->caps = IRC_CAP_READ_MARKER;
	t->except_id = connection_id(m->call->c);
	snprintf(t->line, sizeof(t->line), ":%s %s", irc_config(m->call)->irc.server_name, line);
	irc_tell_later(m->call, t);
}

static enum verdict markread_run(struct irc_call *call)
{
	struct irc_markers *ms = irc_shared(call)->irc->markers;
	struct markread m = {.call = call};
	struct irc_ref ref = {.kind = IRC_REF_NONE};
	char line[MARKREAD_LINE_MAX];

	if (!markread_find_target(&m))
		return HANDLER_MORE;
	markread_find_owner(&m);
	if (call->line->n_params > 1 &&
	    (irc_ref_parse(call->line->params[1], &ref) < 0 || ref.kind != IRC_REF_TIME)) {
		markread_fail(&m, "INVALID_PARAMS", "That is no timestamp");
		return HANDLER_MORE;
	}
	/* As it is told, in milliseconds. */
	uint64_t us = ref.time_us / 1000 * 1000;
	uint64_t holds =
	    us > 0 ? irc_marker_raise(ms, m.owner, m.target, us) : irc_marker_get(ms, m.owner, m.target);
	markread_line(&m, holds, line, sizeof(line));
	irc_from_server(call, "%s", line);
	if (us > 0 && holds == us)
		markread_tell_others(&m, line);
	return HANDLER_MORE;
}

void irc_markread_joined(struct irc_call *call, const struct room *room)
{
	struct markread m = {.call = call};
	char line[MARKREAD_LINE_MAX];

	if (!irc_has(call->c, IRC_CAP_READ_MARKER))
		return;
	snprintf(m.target, sizeof(m.target), "#%.*s", TEXT_ROOM_MAX, room->name);
	memcpy(m.shown, m.target, sizeof(m.target));
	markread_lower(m.target);
	markread_find_owner(&m);
	markread_line(&m, irc_marker_get(irc_shared(call)->irc->markers, m.owner, m.target), line,
		      sizeof(line));
	irc_from_server(call, "%s", line);
}

const struct irc_command irc_commands_markread[] = {
    {.name = "MARKREAD", .run = markread_run},
    {0},
};
