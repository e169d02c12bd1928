/* SPDX-License-Identifier: MIT */
/*
 * TCP mode "chat": lines for people with nc and telnet. A line is a message to the sender's room; "/" begins
 * a command; what the server says begins with "* ". docs/PROTOCOL.md is the users' side of this. Here are the
 * handler and the taking apart of the input into lines; chat.h says where the rest is.
 */
#include "daemon/modes/chat.h"

#include "common/nick.h"
#include "daemon/base/fault.h"
#include "daemon/config/handler.h"
#include "daemon/config/mode_settings.h"
#include "daemon/io/foreign.h"
#include "daemon/modes/notices.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* What one connection may do in a turn, in plain lines, before the others have theirs. */
#define CHAT_TURN_WORK 1024

/* --- answers --- */

void chat_begin_reply(struct connection *c, size_t consumed)
{
	struct room *room = connection_room(c);

	connection_begin(c);
	if (room) {
		logring_lock(room->log);
		/* If it is far behind it gets the reply before the room's news. */
		connection_settle(c, CHAT_REPLY_MAX);
		logring_unlock(room->log);
	}
	connection_consume(c, consumed);
}

void chat_reply(struct connection *c, size_t consumed, const char *format, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, format);
	int n = vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	chat_begin_reply(c, consumed);
	connection_write(c, text, (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1);
	connection_commit(c, NULL);
}

/* --- the input, line by line --- */

struct chat_input {
	struct connection *c;
	const char *data;
	size_t len, at; /* up to at it is dealt with, or in the run */
	bool eof;
	bool dry; /* what is left is not a whole line */
	unsigned max;
	unsigned work; /* of CHAT_TURN_WORK */
	/* As many plain lines as come are put into the log under one lock and committed as one step. */
	struct speech run;
	struct speaker who;
	size_t run_consumed;
};

struct chat_line {
	const char *text;
	size_t len;	 /* without its end */
	size_t consumed; /* with it */
	bool ended;	 /* by a newline */
};

static void chat_end_run(struct chat_input *in)
{
	if (!in->run.room)
		return;
	connection_consume(in->c, in->run_consumed);
	connection_commit(in->c, speech_room(&in->run));
}

static struct chat_line chat_cut_line(const struct chat_input *in)
{
	const char *text = in->data + in->at;
	const char *newline = in->at < in->len ? memchr(text, '\n', in->len - in->at) : NULL;
	size_t n = newline ? (size_t)(newline - text) : in->len - in->at;

	return (struct chat_line){text, n, n + (newline ? 1 : 0), newline != NULL};
}

/* The rest of a line that has been refused already. */
static void chat_discard(struct chat_input *in, const struct chat_line *l)
{
	struct client_state *next = connection_begin(in->c);

	if (l->ended)
		next->flags &= (uint16_t)~CLIENT_DISCARD;
	connection_consume(in->c, l->consumed);
	connection_commit(in->c, NULL);
	in->at += l->consumed;
	in->dry = !l->ended && !in->eof;
}

static void chat_refuse_long(struct chat_input *in, size_t consumed, bool discard)
{
	struct connection *c = in->c;

	count(chat_counters(c), COUNT_LINES_REFUSED, 1);
	chat_begin_reply(c, consumed);
	connection_printf(c, "* That message was longer than %u bytes and has been refused.\n", in->max);
	if (discard)
		connection_draft(c)->flags |= CLIENT_DISCARD;
	FAULT("discard");
	connection_commit(c, NULL);
}

/* A line whose end hasn't come yet: it is waited for, unless it is too long already. */
static enum verdict chat_unfinished(struct chat_input *in, const struct chat_line *l)
{
	/* One byte more may be the '\r' of a line that is just not too long. */
	if (l->len <= in->max + 1u) {
		in->dry = true;
		return HANDLER_MORE;
	}
	chat_end_run(in);
	if (connection_space(in->c) < CHAT_REPLY_MAX)
		return HANDLER_BLOCKED;
	chat_refuse_long(in, l->len, true);
	in->at += l->len;
	return HANDLER_MORE;
}

/* A message to the room. It joins the run, or begins one. */
static enum verdict chat_say(struct chat_input *in, const struct chat_line *l, struct room *room)
{
	struct connection *c = in->c;
	bool slashes = l->len > 1 && l->text[0] == '/'; /* "//x" says "/x" */
	int r = -EAGAIN;

	while (r == -EAGAIN) {
		if (!in->run.room) {
			if (!speech_try(&in->run, chat_shared(c)->rooms, room))
				return HANDLER_CROWDED;
			connection_begin(c);
			in->run_consumed = 0;
			in->who = chat_speaker(c);
		}
		r = speech_say(&in->run, room, &in->who, l->text + slashes, l->len - slashes);
		if (r == -EAGAIN)
			chat_end_run(in);
	}
	in->run_consumed += l->consumed;
	return HANDLER_MORE;
}

/* A line that has a reply. */
static enum verdict chat_answer(struct chat_input *in, const struct chat_line *l, bool is_command,
				const struct chat_command *command)
{
	struct connection *c = in->c;
	const struct room *room = connection_room(c);

	if (l->len > in->max)
		chat_refuse_long(in, l->consumed, false);
	else if (is_command)
		return chat_run_command(c, command, l->text, l->len, l->consumed);
	else if (connection_state(c)->nick_len == 0)
		chat_ask_for_login(c, l->consumed);
	else if (room)
		chat_may_speak(c, room, l->consumed);
	else
		chat_reply(c, l->consumed, "* You are in no room; /join one.\n");
	return HANDLER_MORE;
}

static enum verdict chat_take_line(struct chat_input *in, const struct chat_line *l)
{
	struct connection *c = in->c;
	struct room *room = connection_room(c);
	bool is_command = l->len <= in->max && chat_is_command(l->text, l->len);
	const struct chat_command *command = is_command ? chat_find_command(l->text, l->len) : NULL;
	bool replies = l->len > in->max || is_command || !room || room->read_only;

	in->work += replies && !(is_command && chat_command_is_moot(c, command)) ? CHAT_TURN_WORK / 16 : 1;
	if (replies) {
		chat_end_run(in);
		if (connection_space(c) < CHAT_REPLY_MAX)
			return HANDLER_BLOCKED;
	}
	if (!connection_may_talk(c, is_command ? chat_command_cost(c, command) : 0))
		return HANDLER_LIMITED;
	if (replies && room && room_crowded(chat_shared(c)->rooms, room))
		return HANDLER_CROWDED;
	enum verdict verdict = replies ? chat_answer(in, l, is_command, command) : chat_say(in, l, room);
	if (verdict != HANDLER_MORE)
		return verdict;
	connection_line_done(c);
	in->at += l->consumed;
	return HANDLER_MORE;
}

/* HANDLER_MORE: there may be another line. */
static enum verdict chat_next(struct chat_input *in)
{
	struct connection *c = in->c;

	if (in->work >= CHAT_TURN_WORK)
		return HANDLER_YIELD;
	if (connection_state(c)->flags & CLIENT_CLOSING)
		return HANDLER_CLOSE;
	struct chat_line l = chat_cut_line(in);
	if (l.consumed == 0) { /* the end of the input: an unfinished line before it was a line */
		chat_end_run(in);
		return chat_leave(c, CHAT_QUITS) ? HANDLER_CLOSE : HANDLER_BLOCKED;
	}
	if (connection_state(c)->flags & CLIENT_DISCARD) {
		chat_discard(in, &l);
		return HANDLER_MORE;
	}
	if (!l.ended && !in->eof)
		return chat_unfinished(in, &l);
	if (l.len > 0 && l.text[l.len - 1] == '\r')
		l.len--;
	return chat_take_line(in, &l);
}

/* A client that speaks HTTP or TLS is told so in its own words, where it has some, and goes; nothing of it is
 * said. */
static enum verdict chat_turn_away(struct connection *c, enum foreign what, size_t len)
{
	static const char http[] =
	    "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Type: text/plain\r\n"
	    "Content-Length: 42\r\n\r\nThis is a chat server, not a web server.\r\n";
	static const char tls[] = "* TLS is not spoken here.\n";
	const char *name = what == FOREIGN_HTTP ? "HTTP" : "TLS";
	char from[ADDRESS_TEXT_MAX];

	if (!chat_leave(c, CHAT_QUITS))
		return HANDLER_BLOCKED;
	count(chat_counters(c), COUNT_FOREIGN, 1);
	const struct log_fields fields = chat_fields(c, EVENT_CLIENT_REFUSED, NULL);
	log_limited(LOG_TOPIC_REFUSED, LOG_NOTICE, &fields,
		    "client %" PRIu64 " from %s is turned away: it speaks %s", connection_id(c),
		    address_peer(connection_address(c), from), name);
	connection_begin(c)->flags |= CLIENT_CLOSING;
	if (what == FOREIGN_HTTP)
		connection_write(c, http, sizeof(http) - 1);
	else
		connection_write(c, tls, sizeof(tls) - 1);
	connection_consume(c, len);
	FAULT("foreign");
	connection_commit(c, NULL);
	return HANDLER_CLOSE;
}

static enum verdict chat_received(struct connection *c, const char *data, size_t len, bool eof)
{
	struct chat_input in = {
	    .c = c, .data = data, .len = len, .eof = eof, .max = chat_config(c)->max_message};
	enum verdict verdict = HANDLER_MORE;

	if (len > 0 && connection_state(c)->rights & CLIENT_NEW) {
		enum foreign what = foreign_find(data, len, eof, in.max + 1u);
		if (what != FOREIGN_NONE)
			return chat_turn_away(c, what, len);
	}
	while (verdict == HANDLER_MORE && !in.dry && (in.at < len || eof))
		verdict = chat_next(&in);
	chat_end_run(&in);
	if (verdict == HANDLER_MORE && connection_state(c)->flags & CLIENT_CLOSING)
		verdict = HANDLER_CLOSE;
	return verdict;
}

/* --- coming, coming back, and the end --- */

static void chat_opened(struct connection *c, const char *room_name)
{
	struct room *room = NULL;
	char nick[TEXT_NICK_MAX + 1];

	if (!(connection_state(c)->rights & CLIENT_OPEN)) {
		connection_begin(c)->flags |= CLIENT_GREETED;
		connection_printf(c, "* Welcome. Please log in: /login NAME PASSWORD\n");
		connection_commit(c, NULL);
		return;
	}
	size_t n = nick_of_guest(connection_id(c), nick);
	int r = roster_claim(chat_shared(c)->roster, nick, n, connection_id(c), connection_index(c), false,
			     connection_roster(c));
	if (r == 0)
		r = text_room_valid(room_name, strlen(room_name)) ? chat_find_room(c, room_name, NULL, &room)
								  : -ENOENT;
	struct client_state *next = connection_begin(c);
	if (!room) {
		const struct log_fields fields = chat_fields(c, NULL, room_name);
		log_event(LOG_WARNING, &fields, "client %" PRIu64 " can't enter room %s: %s",
			  connection_id(c), room_name, strerror(-r));
		next->flags |= CLIENT_GREETED | CLIENT_CLOSING;
		connection_printf(c, "* Sorry, room %s %s.\n", room_name, chat_why_not_entered(r));
		connection_commit(c, NULL);
		return;
	}
	next->flags |= CLIENT_GREETED;
	client_set_nick(next, nick, n);
	connection_printf(c, "* Welcome, %s. You are in %s; /help lists the commands.\n", nick, room->name);
	FAULT("greet");
	chat_enter(c, next, room);
}

static void chat_restored(struct connection *c)
{
	struct shared *shared = chat_shared(c);
	const struct client_state *st = connection_state(c);
	uint32_t room = membership_room(shared->clients, st);

	if (!(st->flags & CLIENT_GREETED) || st->nick_len == 0 ||
	    (st->flags & CLIENT_CLOSING && room == ROOM_NONE))
		return;
	/* If it isn't its nick any more, chat_reloaded() sees to that. */
	if (nick_valid(st->nick, st->nick_len) &&
	    roster_claim(shared->roster, st->nick, st->nick_len, connection_id(c), connection_index(c),
			 st->flags & CLIENT_ACCOUNT, connection_roster(c)) == 0)
		(void)!roster_enter(shared->roster, *connection_roster(c), room);
	if (room != ROOM_NONE)
		connection_set_room(c, rooms_enter_index(shared->rooms, room, chat_slot(c)));
}

static void chat_reloaded(struct connection *c)
{
	if (!chat_lost_account(c))
		chat_check_nick(c);
}

static void chat_closed(struct connection *c)
{
	if (connection_room(c))
		chat_leave(c, CHAT_IS_GONE);
	else if (connection_state(c)->nick_len > 0)
		chat_give_up_nick(c);
	roster_release(chat_shared(c)->roster, *connection_roster(c));
	*connection_roster(c) = NULL;
}

static const struct mode_settings chat_settings = {
    .common = {mode_socket_keys, mode_tcp_keys, mode_room_keys, mode_login_keys},
    .complete = mode_default_room,
};

const struct handler handler_tcp_chat = {
    .type = "tcp",
    .mode = "chat",
    .transport = TRANSPORT_TCP,
    .settings = &chat_settings,
    .has_nicks = true,
    .opened = chat_opened,
    .restored = chat_restored,
    .reloaded = chat_reloaded,
    .received = chat_received,
    .notice = notices_line,
    .closed = chat_closed,
};
