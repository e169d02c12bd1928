/* SPDX-License-Identifier: MIT */
/*
 * What is worked on of a client's in chat: a line, or what is as good as one, whatever it came in. As many plain lines as
 * come one behind the other are said as one step.
 */
#include "daemon/modes/chat.h"

#include "daemon/base/fault.h"

#include <errno.h>
#include <stdio.h>

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

/* --- lines --- */

struct chat_input chat_input(struct connection *c)
{
	return (struct chat_input){.c = c, .max = chat_config(c)->max_message};
}

void chat_end_run(struct chat_input *in)
{
	if (!in->run.room)
		return;
	connection_consume(in->c, in->run_consumed);
	connection_commit(in->c, speech_room(&in->run));
}

void chat_refuse_long(struct chat_input *in, size_t consumed, bool discard)
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

_Static_assert(SPEECH_TEXT_MAX / TEXT_SANITISE_GROWTH == CONFIG_MAX_MESSAGE,
	       "whatever is said may be said again");

/* It may not speak: its line has an answer after all. */
static enum verdict chat_refuse_silent(struct chat_input *in, const struct chat_line *l,
				       const struct room *room, enum irc_channel_why why)
{
	speech_drop(&in->run);
	in->work += CHAT_TURN_WORK / 16;
	if (connection_space(in->c) < CHAT_REPLY_MAX)
		return HANDLER_BLOCKED;
	chat_reply_silent(in->c, room, why, l->consumed);
	return HANDLER_MORE;
}

/* A message to the room. It joins the run, or begins one. */
static enum verdict chat_say(struct chat_input *in, const struct chat_line *l, struct room *room)
{
	struct connection *c = in->c;
	bool slashes = !l->plain && l->len > 1 && l->text[0] == '/'; /* "//x" says "/x" */
	int r = -EAGAIN;

	while (r == -EAGAIN) {
		if (!in->run.room) {
			if (!irc_others_try(chat_channels(c), &in->run, chat_shared(c)->rooms, room))
				return HANDLER_CROWDED;
			/* As long as the log is locked nothing else is decided there. */
			enum irc_channel_why why = chat_why_silent(c, room);
			if (why != IRC_WHY_MAY)
				return chat_refuse_silent(in, l, room, why);
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

enum verdict chat_may_answer(struct chat_input *in, unsigned cost, bool moot)
{
	struct connection *c = in->c;
	const struct room *room = connection_room(c);

	in->work += moot ? 1 : CHAT_TURN_WORK / 16;
	chat_end_run(in);
	if (connection_space(c) < CHAT_REPLY_MAX)
		return HANDLER_BLOCKED;
	if (!connection_may_talk(c, cost))
		return HANDLER_LIMITED;
	return room && room_crowded(chat_shared(c)->rooms, room) ? HANDLER_CROWDED : HANDLER_MORE;
}

static enum verdict chat_may_say(struct chat_input *in)
{
	in->work++;
	return connection_may_talk(in->c, 0) ? HANDLER_MORE : HANDLER_LIMITED;
}

enum verdict chat_line(struct chat_input *in, const struct chat_line *l)
{
	struct connection *c = in->c;
	struct room *room = connection_room(c);
	bool is_command = !l->plain && l->len <= in->max && chat_is_command(l->text, l->len);
	const struct chat_command *command = is_command ? chat_find_command(l->text, l->len) : NULL;
	bool replies = l->len > in->max || is_command || !room || room->read_only;
	bool moot = is_command && chat_command_is_moot(c, command);

	enum verdict verdict = replies
				   ? chat_may_answer(in, is_command ? chat_command_cost(c, command) : 0, moot)
				   : chat_may_say(in);
	if (verdict == HANDLER_MORE)
		verdict = replies ? chat_answer(in, l, is_command, command) : chat_say(in, l, room);
	if (verdict == HANDLER_MORE)
		connection_line_done(c);
	return verdict;
}

enum verdict chat_do(struct chat_input *in, const struct chat_call *call)
{
	struct connection *c = in->c;
	enum verdict verdict =
	    chat_may_answer(in, chat_command_cost(c, call->command), chat_command_is_moot(c, call->command));

	if (verdict == HANDLER_MORE)
		verdict = chat_run_call(c, call);
	if (verdict == HANDLER_MORE)
		connection_line_done(c);
	return verdict;
}
