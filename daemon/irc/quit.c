/* SPDX-License-Identifier: MIT */
/* How people go: QUIT, and whatever ends a connection. */
#include "daemon/irc/commands.h"

#include "daemon/channels/channels.h"
#include "daemon/engine/connections.h"
#include "daemon/irc/whowas.h"

#include <stdio.h>
#include <string.h>

struct leaving {
	struct irc_call *call;
	const char *reason, *muted;
};

/* One room, in a step of its own: who dies in between goes on with the others. */
static bool quit_leave(struct connection *c, struct room *room, void *arg)
{
	struct leaving *l = arg;
	struct irc_call *call = l->call;
	const struct speaker who = irc_speaker(c);

	irc_begin(call);
	speech_begin_reading(&call->speech, room);
	/* What was said before it went is still its to read, if there is space. */
	seats_settle(c, room, IRC_REPLY_MAX);
	if (!connection_is_ending(c) && !irc_is_expelled(call, room)) {
		const char *reason = l->muted && !irc_may_speak(call, room) ? l->muted : l->reason;
		speech_leave_because(&call->speech, room, &who, true, reason, strlen(reason));
	}
	irc_leave_room(call, room);
	irc_commit_step(call);
	return true;
}

static void quit_release_nick(struct irc_call *call, void *arg)
{
	(void)arg;
	roster_release(irc_shared(call)->roster, *connection_roster(call->c));
	*connection_roster(call->c) = NULL;
}

void irc_leave_all(struct irc_call *call, const char *reason, const char *muted)
{
	struct leaving l = {call, reason, muted};
	struct connection *c = call->c;

	irc_abandon(call);
	seats_each(c, quit_leave, &l);
	if (connection_state(c)->nick_len == 0) {
		quit_release_nick(call, NULL);
		return;
	}
	if (irc_user(c)->flags & IRC_REGISTERED)
		irc_whowas_note(connection_state(c)->nick, connection_state(c)->nick_len, irc_user(c));
	/* In an entry that is about to go: otherwise a successor would have two clients of a nick that is free already. */
	client_set_nick(irc_begin(call), "", 0);
	connection_draft(c)->flags |= CLIENT_CLOSING;
	irc_after(call, quit_release_nick, NULL, NULL);
}

void irc_end(struct irc_call *call, const char *why)
{
	const struct irc_user *u = irc_user(call->c);

	irc_say(call, "", "ERROR :Closing link: %s (%s)", u->host, why);
	irc_begin(call)->flags |= CLIENT_CLOSING;
}

static enum verdict quit_run(struct irc_call *call)
{
	char reason[IRC_BODY_MAX], text[IRC_BODY_MAX + 8];

	irc_param(call, 0, reason, sizeof(reason));
	snprintf(text, sizeof(text), "Quit%s%s", reason[0] ? ": " : "", reason);
	irc_leave_all(call, text, "Quit");
	irc_end(call, text);
	return HANDLER_CLOSE;
}

static bool quit_ping_settle(struct connection *c, struct room *room, void *arg)
{
	bool *settled = arg;

	logring_lock(room->log);
	*settled = seats_settle(c, room, IRC_REPLY_MAX / 2);
	logring_unlock(room->log);
	return *settled;
}

/* Whoever waits for the answer has then seen all that was said before the question, on whichever worker that was. */
static enum verdict quit_ping(struct irc_call *call)
{
	char token[IRC_BODY_MAX];
	bool settled = true;

	if (irc_user(call->c)->flags & IRC_REGISTERED) {
		connections_deliver_private(irc_context(call));
		if (connection_space(call->c) < IRC_REPLY_MAX / 2)
			return HANDLER_BLOCKED;
		irc_begin(call);
		seats_each(call->c, quit_ping_settle, &settled);
	}
	if (!settled)
		return HANDLER_BLOCKED;
	if (irc_param(call, 0, token, sizeof(token))[0] == 0)
		irc_numeric(call, ERR_NOORIGIN, "%s", "");
	else
		irc_from_server(call, "PONG %s :%s", irc_config(call)->irc.server_name, token);
	return HANDLER_MORE;
}

static enum verdict quit_pong(struct irc_call *call)
{
	(void)call;
	return HANDLER_MORE;
}

const struct irc_command irc_commands_quit[] = {
    {.name = "QUIT", .run = quit_run, .early = true},
    {.name = "PING", .run = quit_ping, .needs = 1, .early = true, .only_asks = true},
    {.name = "PONG", .run = quit_pong, .early = true},
    {0},
};
