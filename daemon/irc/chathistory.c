/* SPDX-License-Identifier: MIT */
/*
 * CHATHISTORY (https://ircv3.net/specs/extensions/chathistory): what was said in a channel that one is in. What the room's log
 * has is answered at once; for what lies before that, the line waits unconsumed for the history's answer.
 */
#include "daemon/irc/chathistory.h"

#include "daemon/base/fault.h"
#include "daemon/history/archive.h"
#include "daemon/irc/msgref.h"
#include "daemon/irc/names.h"
#include "daemon/irc/people.h"
#include "daemon/irc/playback.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* AROUND is two: up to the message, and from it on. */
#define PAST_SPANS 2

struct irc_past {
	struct irc_call *call;
	struct room *room; /* or that of private messages, */
	bool is_private;
	struct irc_letters letters; /* and whose they are */
	unsigned limit;
	struct irc_span spans[PAST_SPANS]; /* the earlier one first */
	unsigned n;
};

/* --- what is wrong --- */

void past_fail(struct irc_call *call, const char *code, bool target, const char *text)
{
	char context[IRC_BODY_MAX], sub[32], name[IRC_BODY_MAX / 2];
	const struct irc_line *line = call->line;

	snprintf(context, sizeof(context), "%s %s%s",
		 line->n_params > 0 ? irc_query_echo(line->params[0], sub, sizeof(sub)) : "*",
		 target && line->n_params > 1 ? irc_query_echo(line->params[1], name, sizeof(name)) : "",
		 target && line->n_params > 1 ? " " : "");
	irc_standard(call, "FAIL", "CHATHISTORY", code, context, text);
}

unsigned past_limit(const struct irc_call *call, unsigned i)
{
	const struct irc_arg a = call->line->params[i];
	const unsigned most = irc_history_most(irc_config(call));
	unsigned n = 0;

	if (i >= call->line->n_params || a.len == 0)
		return 0;
	for (size_t k = 0; k < a.len; k++) {
		if (a.at[k] < '0' || a.at[k] > '9')
			return 0;
		if (n < 1000000)
			n = n * 10 + (unsigned)(a.at[k] - '0');
	}
	return n < most ? n : most;
}

/* False, after the answer: that is no place in the past. */
static bool past_ref(struct irc_call *call, unsigned i, struct irc_ref *ret)
{
	int r = irc_ref_parse(call->line->params[i], ret);

	if (r == 0)
		return true;
	past_fail(call, r == -ENOTSUP ? "INVALID_MSGREFTYPE" : "INVALID_PARAMS", true,
		  r == -ENOTSUP ? "Messages are named by msgid and timestamp"
				: "That names no message and no time");
	return false;
}

/* --- what is wanted --- */

static void past_from(struct irc_span *s, const struct irc_ref *ref, bool with_it)
{
	if (ref->kind == IRC_REF_ID)
		s->from = ref->number + !with_it;
	else if (ref->kind == IRC_REF_TIME)
		s->since_us = ref->time_us / PAST_MS * PAST_MS + (with_it ? 0 : PAST_MS);
}

static void past_up_to(struct irc_span *s, const struct irc_ref *ref)
{
	if (ref->kind == IRC_REF_ID)
		s->before = ref->number;
	/* There is none before the first one. */
	if (ref->kind == IRC_REF_ID && ref->number == 0)
		s->limit = 0;
	if (ref->kind == IRC_REF_TIME)
		s->until_us = ref->time_us / PAST_MS * PAST_MS + (ref->time_us == 0);
}

static bool past_is_later(const struct irc_ref *a, const struct irc_ref *b)
{
	return a->kind == b->kind &&
	       (a->kind == IRC_REF_ID ? a->number > b->number : a->time_us > b->time_us);
}

static const struct past_command {
	const char *name;
	unsigned refs;
	bool may_be_any; /* "*" */
} past_commands[] = {
    {"BEFORE", 1, false}, {"AFTER", 1, false},	 {"LATEST", 1, true},
    {"AROUND", 1, false}, {"BETWEEN", 2, false},
};

static void past_set(struct irc_past *p, const char *what, const struct irc_ref refs[static 2])
{
	struct irc_span *s = &p->spans[0];
	bool back = past_is_later(&refs[0], &refs[1]);

	p->n = 1;
	s->limit = p->limit;
	if (strcmp(what, "BEFORE") == 0) {
		past_up_to(s, &refs[0]);
	} else if (strcmp(what, "AFTER") == 0) {
		past_from(s, &refs[0], false);
		s->forward = true;
	} else if (strcmp(what, "LATEST") == 0) {
		past_from(s, &refs[0], false);
	} else if (strcmp(what, "BETWEEN") == 0) {
		past_from(s, &refs[back], false);
		past_up_to(s, &refs[!back]);
		s->forward = !back;
	} else if (strcmp(what, "AROUND") == 0) {
		s->limit = (p->limit - 1) / 2;
		p->n = 2;
		p->spans[1] = (struct irc_span){.forward = true, .limit = p->limit - s->limit};
		past_up_to(s, &refs[0]);
		past_from(&p->spans[1], &refs[0], true);
	}
	for (unsigned i = 0; i < p->n; i++)
		p->spans[i].events = irc_has(p->call->c, IRC_CAP_EVENT_PLAYBACK);
}

/* False, after the answer. */
static bool past_read(struct irc_past *p, const struct past_command *cmd)
{
	struct irc_call *call = p->call;
	struct irc_ref refs[2] = {{.kind = IRC_REF_NONE}};

	if (call->line->n_params != 3 + cmd->refs) {
		past_fail(call, "INVALID_PARAMS", false,
			  call->line->n_params < 3 + cmd->refs ? "Insufficient parameters"
							       : "Too many parameters");
		return false;
	}
	for (unsigned i = 0; i < cmd->refs; i++) {
		if (!past_ref(call, 2 + i, &refs[i]))
			return false;
		if (refs[i].kind == IRC_REF_NONE && !cmd->may_be_any) {
			past_fail(call, "INVALID_PARAMS", true, "That names no message and no time");
			return false;
		}
	}
	p->limit = past_limit(call, 2 + cmd->refs);
	if (p->limit == 0) {
		past_fail(call, "INVALID_PARAMS", true, "The limit is a number from 1");
		return false;
	}
	/* Numbers of another epoch say nothing, unless the history has gone on with them. */
	for (unsigned i = 0; p->room && i < cmd->refs; i++)
		if (refs[i].kind == IRC_REF_ID && refs[i].epoch != p->room->epoch &&
		    (p->is_private || !archive_keeps(irc_shared(call)->archive, p->room->name))) {
			past_fail(call, "MESSAGE_ERROR", true, "There is no such message any more");
			return false;
		}
	past_set(p, cmd->name, refs);
	return true;
}

/* --- the questions --- */

/* Those of one line, whose answers are awaited together. */
struct past_wait {
	struct question *q[PAST_SPANS];
	unsigned n, told;
};

static void past_drop(void *what)
{
	struct past_wait *w = what;

	for (unsigned i = 0; i < PAST_SPANS; i++)
		question_drop(w->q[i]);
	free(w);
}

static void past_told(struct context *ctx, struct question *q)
{
	struct past_wait *w = question_who(q)->user;

	FAULT("irc-history-told");
	if (++w->told == w->n)
		connection_await_over(ctx, question_who(q)->index, question_who(q)->id, w);
}

static enum verdict past_ask(struct irc_past *p, const struct irc_playback played[static PAST_SPANS],
			     const bool complete[static PAST_SPANS])
{
	struct connection *c = p->call->c;
	struct past_wait *w = calloc(1, sizeof(*w));
	const struct question_caller caller = {.w = context_worker(connection_context(c)),
					       .answered = past_told,
					       .address = connection_address(c),
					       .index = connection_index(c),
					       .id = connection_id(c),
					       .user = w};
	int r = w ? 0 : -ENOMEM;

	for (unsigned i = 0; r == 0 && i < p->n; i++) {
		const struct question_request request = irc_playback_question(&played[i]);
		if (complete[i])
			continue;
		r = question_ask(irc_shared(p->call)->questions, &caller, &request, &w->q[i]);
		w->n += r == 0;
	}
	if (r == 0) {
		if (connection_await(c, w, past_drop))
			return HANDLER_WAITING;
	} else if (w) {
		past_drop(w);
	}
	past_fail(p->call, "MESSAGE_ERROR", true, "Too many are asking at the moment");
	return HANDLER_MORE;
}

/* --- the answer --- */

static enum verdict past_reply(struct irc_past *p, const struct irc_playback played[static PAST_SPANS])
{
	char batch[IRC_BODY_MAX / 2], name[TEXT_NICK_MAX + 1];

	if (p->is_private) /* as it was typed */
		snprintf(batch, sizeof(batch), "chathistory %s",
			 irc_query_echo(p->call->line->params[1], name, sizeof(name)));
	else
		snprintf(batch, sizeof(batch), "chathistory #%s", p->room->name);
	irc_batch_begin(p->call, batch);
	for (unsigned i = 0; i < p->n; i++)
		irc_playback_say(p->call, &played[i]);
	irc_batch_end(p->call);
	FAULT("irc-history-reply");
	return irc_query_done(p->call);
}

/* What was said so far comes first, and is no past yet. False: there is no space. */
static bool past_settle(struct irc_past *p, uint64_t *ret_count)
{
	struct logring_view v;

	irc_begin(p->call);
	*ret_count = UINT64_MAX;
	if (p->is_private)
		return true;
	logring_lock(p->room->log);
	bool settled = seats_settle(p->call->c, p->room, IRC_REPLY_MAX / 2);
	logring_peek(p->room->log, &v);
	logring_unlock(p->room->log);
	*ret_count = v.count;
	return settled;
}

/* What there is without the history, or with it (w). False: it isn't all. */
static bool past_collect(struct irc_past *p, uint64_t count, const struct past_wait *w,
			 struct irc_playback played[static PAST_SPANS], bool complete[static PAST_SPANS])
{
	const unsigned slot = irc_context(p->call)->slot;
	struct logring_view v;
	bool all = true;

	logring_pin(p->room->log, slot, &v);
	for (unsigned i = 0; i < p->n; i++) {
		const struct answer *a = w && w->q[i] ? question_answer(w->q[i]) : NULL;
		played[i] = irc_playback_of(p->call, p->room, p->spans[i]);
		played[i].count = count;
		played[i].letters = p->is_private ? &p->letters : NULL;
		complete[i] = true;
		if (a && (a->error == 0 || a->error == -ETIME))
			irc_playback_whole(&played[i], &v, a);
		else
			complete[i] = irc_playback_log(&played[i], &v);
		all &= complete[i];
	}
	logring_unpin(p->room->log, slot);
	return all;
}

/* Whether the log has forgotten something since that was asked which nobody asked for, as it had it then. */
static bool past_is_late(const struct irc_past *p, const struct past_wait *w,
			 const bool complete[static PAST_SPANS])
{
	for (unsigned i = 0; i < p->n; i++)
		if (!complete[i] && !w->q[i])
			return true;
	return false;
}

static enum verdict past_run(struct irc_past *p)
{
	struct connection *c = p->call->c;
	const struct shared *shared = irc_shared(p->call);
	struct irc_playback played[PAST_SPANS] = {{.n = 0}};
	bool complete[PAST_SPANS] = {false};
	uint64_t count;
	const struct past_wait *w = connection_awaited(c); /* of this line: commands.c */
	enum verdict verdict;

	if (!past_settle(p, &count)) {
		irc_abandon(p->call);
		return HANDLER_BLOCKED;
	}
	bool all = past_collect(p, count, w, played, complete);
	bool stored = shared->questions && !p->is_private && archive_keeps(shared->archive, p->room->name);
	/* Without the history's answer there is still what was said last; what came behind something isn't known. */
	if (all || !stored || (w && !past_is_late(p, w, complete) && !p->spans[0].forward && played[0].n > 0))
		verdict = past_reply(p, played);
	else if (!w || past_is_late(p, w, complete))
		verdict = past_ask(p, played, complete);
	else {
		past_fail(p->call, "MESSAGE_ERROR", true, "What is stored can't be read at the moment");
		verdict = HANDLER_MORE;
	}
	for (unsigned i = 0; i < p->n; i++)
		irc_playback_clear(&played[i]);
	return verdict;
}

/* --- the command --- */

/* Private messages are those that two clients of now have exchanged. */
static void past_find_person(struct irc_past *p)
{
	const struct irc_arg nick = p->call->line->params[1];
	struct irc_person who;

	if (irc_is_channel(nick) || !irc_person_find(p->call, nick, &who))
		return;
	p->room = rooms_private(irc_shared(p->call)->rooms);
	p->is_private = true;
	p->letters = (struct irc_letters){.mine = connection_id(p->call->c), .theirs = who.member.id};
	irc_nick(p->call->c, p->letters.my_nick);
	snprintf(p->letters.their_nick, sizeof(p->letters.their_nick), "%.*s", TEXT_NICK_MAX, who.nick);
}

static enum verdict past_command(struct irc_call *call, const struct past_command *cmd)
{
	struct irc_past p = {.call = call};
	char name[TEXT_ROOM_MAX + 1];

	if (call->line->n_params > 1 && irc_room_of(call, call->line->params[1], name))
		p.room = seats_room(call->c, name);
	else if (call->line->n_params > 1)
		past_find_person(&p);
	if (!past_read(&p, cmd))
		return HANDLER_MORE;
	if (!p.room || (!p.is_private && p.room->history == 0)) {
		past_fail(call, "INVALID_TARGET", true, "Messages could not be retrieved");
		return HANDLER_MORE;
	}
	return past_run(&p);
}

static enum verdict chathistory_run(struct irc_call *call)
{
	if (irc_arg_is(call->line->params[0], "TARGETS"))
		return past_targets(call);
	for (size_t i = 0; i < sizeof(past_commands) / sizeof(*past_commands); i++)
		if (irc_arg_is(call->line->params[0], past_commands[i].name))
			return past_command(call, &past_commands[i]);
	past_fail(call, "INVALID_PARAMS", false,
		  call->line->n_params ? "Unknown command" : "Insufficient parameters");
	return HANDLER_MORE;
}

const struct irc_command irc_commands_chathistory[] = {
    {.name = "CHATHISTORY", .run = chathistory_run, .cost = 4},
    {0},
};
