/* SPDX-License-Identifier: MIT */
/*
 * TCP mode "irc": the handler. RFC 1459 and 2812 as modern.ircdocs.horse has them, with what IRCv3 adds. Here the input is
 * taken apart into lines, and here is how a connection begins, comes back in a new process, and ends.
 */
#include "daemon/irc/irc.h"

#include "common/nick.h"
#include "daemon/base/fault.h"
#include "daemon/base/logger.h"
#include "daemon/config/irc_settings.h"
#include "daemon/engine/nicks.h"
#include "daemon/irc/cloak.h"
#include "daemon/irc/wire.h"
#include "daemon/modes/notices.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* What a command costs of IRC_TURN_WORK, unless it costs no more than a line of chat does. */
#define IRC_COMMAND_WORK 16

const struct irc_listener_config *irc_listener(struct connection *c)
{
	const struct listener_config *l =
	    config_listener(connection_context(c)->config, connection_listener(c));

	return l && l->handler == connection_handler(c) ? l->own : NULL;
}

/* --- lines --- */

struct irc_input {
	struct connection *c;
	const char *data;
	size_t len, at;
	bool eof;
	bool dry;      /* what is left is not a whole line */
	unsigned work; /* of IRC_TURN_WORK */
};

/* Consumes without an answer. */
static void input_skip(struct irc_input *in, size_t n, bool discard)
{
	struct client_state *next = connection_begin(in->c);

	next->flags &= (uint16_t)~CLIENT_DISCARD;
	if (discard)
		next->flags |= CLIENT_DISCARD;
	connection_consume(in->c, n);
	connection_commit(in->c, NULL);
	in->at += n;
}

/* A line that can't be worked on: why is said in the words of IRC. */
static enum verdict input_refuse(struct irc_input *in, const struct irc_line *line, size_t consumed,
				 int error, bool discard)
{
	struct irc_call call = {.c = in->c, .line = line, .consumed = consumed};
	char command[32];

	if (connection_space(in->c) < IRC_REPLY_MAX)
		return HANDLER_BLOCKED;
	if (!connection_may_talk(in->c, 1))
		return HANDLER_LIMITED;
	count(irc_context(&call)->counters, COUNT_LINES_REFUSED, 1);
	if (error == -EILSEQ) {
		if (irc_arg_copy(line->command, command, sizeof(command)) < 0 || !command[0] ||
		    !text_is_utf8(command, strlen(command)))
			snprintf(command, sizeof(command), "*");
		irc_standard(&call, "FAIL", command, "INVALID_UTF8", "", "Only UTF-8 is spoken here");
	} else {
		irc_numeric(&call, ERR_INPUTTOOLONG, "%s", "");
	}
	if (discard)
		irc_begin(&call)->flags |= CLIENT_DISCARD;
	irc_commit(&call);
	connection_line_done(in->c);
	in->at += consumed;
	return HANDLER_MORE;
}

static enum verdict input_line(struct irc_input *in, const char *text, size_t len, size_t consumed)
{
	struct irc_line line;
	int r = irc_line_parse(text, len, &line);

	if (r == -E2BIG || r == -EMSGSIZE)
		return input_refuse(in, &line, consumed, r, false);
	if (r < 0) { /* nothing is in it */
		input_skip(in, consumed, false);
		return HANDLER_MORE;
	}
	if (!text_is_utf8(text, len))
		return input_refuse(in, &line, consumed, -EILSEQ, false);
	struct irc_call call = {.c = in->c, .line = &line, .consumed = consumed};
	enum verdict verdict = irc_run(&call);
	if (verdict == HANDLER_MORE || verdict == HANDLER_CLOSE)
		in->at += consumed;
	in->work += call.command && call.command->cost == 0 ? 1 : IRC_COMMAND_WORK;
	in->work += call.work;
	return verdict;
}

enum verdict irc_take_line(struct connection *c, const char *text, size_t len, size_t consumed,
			   unsigned *work)
{
	static const struct irc_line none;
	struct irc_input in = {.c = c};

	enum verdict verdict = len > IRC_INPUT_MAX ? input_refuse(&in, &none, consumed, -EMSGSIZE, false)
						   : input_line(&in, text, len, consumed);
	*work += in.work > 0 ? in.work : 1;
	return verdict;
}

static enum verdict input_next(struct irc_input *in)
{
	const char *text = in->data + in->at;
	size_t left = in->len - in->at;
	const char *newline = left > 0 ? memchr(text, '\n', left) : NULL;
	size_t n = newline ? (size_t)(newline - text) : left;
	bool discarding = connection_state(in->c)->flags & CLIENT_DISCARD;

	if (connection_state(in->c)->flags & CLIENT_CLOSING)
		return HANDLER_CLOSE;
	if (!newline && in->eof) /* a line that has no end is none */
		return HANDLER_CLOSE;
	if (discarding) {
		in->dry = !newline;
		if (left > 0)
			input_skip(in, newline ? n + 1 : n, !newline);
		return HANDLER_MORE;
	}
	if (!newline && n <= IRC_INPUT_MAX) {
		in->dry = true;
		return HANDLER_MORE;
	}
	if (!newline) {
		static const struct irc_line none;
		return input_refuse(in, &none, n, -EMSGSIZE, true);
	}
	size_t len = n;
	while (len > 0 && text[len - 1] == '\r')
		len--;
	return input_line(in, text, len, n + 1);
}

static enum verdict irc_received(struct connection *c, const char *data, size_t len, bool eof)
{
	struct irc_input in = {.c = c, .data = data, .len = len, .eof = eof};
	enum verdict verdict = HANDLER_MORE;

	while (verdict == HANDLER_MORE && !in.dry) {
		if (in.work >= IRC_TURN_WORK)
			return HANDLER_YIELD;
		in.work++;
		verdict = input_next(&in);
	}
	return verdict;
}

/* --- a connection's life --- */

void irc_come(struct irc_call *call)
{
	struct connection *c = call->c;
	const struct config *config = irc_config(call);

	struct client_state *st = irc_begin(call);

	st->flags |= CLIENT_GREETED;
	if (st->flags & CLIENT_TLS)
		irc_change(call)->flags |= IRC_SECURE;
	irc_cloak_host(config, config_listener(config, connection_listener(c)), connection_address(c),
		       irc_change(call)->host);
}

static void irc_opened(struct connection *c, const char *room)
{
	struct irc_call call = {.c = c};

	(void)room;
	irc_come(&call);
	irc_commit(&call);
}

/* Its nick is in the roster again, and so are its rooms. */
static bool irc_enter_again(struct connection *c, struct room *room, void *arg)
{
	(void)arg;
	(void)!roster_enter(connection_context(c)->shared->roster, *connection_roster(c), room->index);
	return true;
}

void irc_restored(struct connection *c)
{
	struct shared *shared = connection_context(c)->shared;
	const struct client_state *st = connection_state(c);
	struct irc_call call = {.c = c};

	if (st->nick_len > 0 && nick_valid(st->nick, st->nick_len))
		(void)!nicks_claim(shared, clients_at(shared->clients, connection_index(c)), st->nick,
				   st->nick_len, st->flags & CLIENT_ACCOUNT ? ROSTER_ENTITLED : 0,
				   connection_roster(c));
	seats_restore(c);
	seats_each(c, irc_enter_again, NULL);
	irc_monitor_restored(c);
	if (!(st->flags & CLIENT_CLOSING))
		irc_tell_nick(&call);
}

static bool irc_reloaded_room(struct connection *c, struct room *room, void *arg)
{
	(void)arg;
	irc_leave_where_expelled(c, room);
	return true;
}

void irc_reloaded(struct connection *c)
{
	/* Also those whom the process before didn't get to. */
	seats_each(c, irc_reloaded_room, NULL);
	irc_account_reload(c);
	irc_host_reload(c);
}

void irc_closed(struct connection *c)
{
	struct irc_call call = {.c = c};

	irc_monitor_closed(c);
	irc_leave_all(&call, "", NULL);
	irc_commit_step(&call);
}

size_t irc_notice(const struct connection *c, const struct notice *n, char *text, size_t size)
{
	char line[NOTICE_MAX];
	size_t len = notices_line(c, n, line, sizeof(line));
	const char *server =
	    c ? connection_context((struct connection *)c)->config->irc.server_name : "chatd";

	if (len < 3)
		return 0;
	/* Without its "* " and its newline. */
	if (n->kind == NOTICE_SKIPPED || n->kind == NOTICE_SLOWED)
		len = (size_t)snprintf(text, size, ":%s NOTICE %s%s :%.*s\r\n", server, n->room ? "#" : "*",
				       n->room ? n->room->name : "", (int)len - 3, line + 2);
	else
		len = (size_t)snprintf(text, size, "ERROR :%.*s\r\n", (int)len - 3, line + 2);
	return len < size ? len : 0;
}

#define IRC_FORMS ((UINT64_C(1) << (IRC_CAPS_FORM + 1)) - 1)

const struct handler handler_tcp_irc = {
    .type = "tcp",
    .mode = "irc",
    .transport = TRANSPORT_TCP,
    .settings = &irc_mode_settings,
    .has_nicks = true,
    .many = true,
    .opened = irc_opened,
    .restored = irc_restored,
    .reloaded = irc_reloaded,
    .received = irc_received,
    .renders = IRC_FORMS | IRC_FORMS << IRC_FORM_BATCH,
    .render = irc_render,
    .letter = irc_render_letter,
    .sees = irc_sees,
    .notice = irc_notice,
    .closed = irc_closed,
    .expelled = irc_expelled,
};
