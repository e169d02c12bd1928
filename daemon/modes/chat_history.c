/* SPDX-License-Identifier: MIT */
/*
 * What was said before, for people of the TCP mode "chat": /history and /search, of the room they are in. What the room's
 * log has is answered at once; all else is a question to the history (history/questions.h), for which the line waits
 * unconsumed. So a process that dies meanwhile leaves the question to its successor, and each has one answer.
 */
#include "common/cleanup.h"
#include "common/text.h"
#include "daemon/base/fault.h"
#include "daemon/config/history.h"
#include "daemon/history/archive.h"
#include "daemon/modes/chat.h"
#include "daemon/modes/past.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHAT_HISTORY_LINES 20
/* More don't fit what can wait for one client, anyway. */
#define CHAT_HISTORY_MAX 1000
#define CHAT_SEARCH_MAX 256
/* The lines before and behind what was said. */
#define CHAT_HISTORY_FRAME (1024 + CHAT_SEARCH_MAX * TEXT_SANITISE_GROWTH)

_Static_assert(PAST_LINE_MAX + CHAT_HISTORY_FRAME <= CHAT_REPLY_MAX, "the longest line fits a reply");

/* What somebody wants to know. */
struct chat_past {
	const struct chat_call *call;
	struct room *room;
	unsigned lines;
	uint64_t before;  /* 0: the newest */
	const char *text; /* to be found; NULL: whatever was said */
};

/* --- the answer --- */

static void chat_past_write_head(struct connection *c, const struct chat_past *w, const struct past *p)
{
	const char *of = w->text ? " with these words" : "", *before = w->before ? " before that" : "";

	if (p->n > 0)
		connection_printf(c, "* %u message%s%s in %s%s, times in UTC:\n", p->n, p->n == 1 ? "" : "s",
				  of, w->room->name, before);
	else
		connection_printf(c, "* There is no message%s in %s%s.\n", of, w->room->name, before);
}

static void chat_past_write_tail(struct connection *c, const struct chat_past *w, const struct past *p,
				 const char *remark)
{
	if (remark)
		connection_printf(c, "* %s\n", remark);
	if (p->n == 0 || !p->more)
		return;
	if (w->text)
		connection_printf(c, "* Older ones: /search %s before:%" PRIu64 "\n", w->text, p->oldest);
	else
		connection_printf(c, "* Older ones: /history %u before:%" PRIu64 "\n", w->lines, p->oldest);
}

static void chat_past_write(struct connection *c, const struct chat_past *w, const struct past *p,
			    const char *remark)
{
	chat_past_write_head(c, w, p);
	connection_write(c, p->text, p->len);
	chat_past_write_tail(c, w, p, remark);
}

/* Where it is put in other words, it is not in lines, which need space for what wrapping adds. */
static size_t chat_past_space(struct connection *c, const struct chat_words *words)
{
	size_t space = words ? connection_wire_space(c) : connection_space(c);
	size_t reserve = words ? CHAT_HISTORY_FRAME + 4096 : CHAT_REPLY_MAX;
	size_t least = words ? PAST_JSON_MAX : PAST_LINE_MAX;

	return space > reserve + least ? space - reserve : least;
}

/* False: not all that is wanted is in the log, and nothing was answered. a: NULL: it is only the log that has it. */
static bool chat_past_reply(struct connection *c, const struct chat_past *w, const struct answer *a,
			    bool log_will_do, const char *remark)
{
	const struct chat_words *words = chat_words(c);
	struct past p = {.style = words ? PAST_JSON : PAST_CHAT,
			 .wanted = w->lines,
			 .before = w->before,
			 .stored_only = w->text};

	connection_begin(c);
	logring_lock(w->room->log);
	connection_settle(c, CHAT_REPLY_MAX); /* as for any reply */
	p.space = chat_past_space(c, words);
	int r = past_collect(&p, w->room, a);
	logring_unlock(w->room->log);
	bool done = log_will_do || p.more;
	if (done) {
		connection_consume(c, w->call->consumed);
		if (r < 0)
			connection_printf(c, "* Not possible now.\n");
		else if (words)
			words->past(c, w->room, &p, w->text, remark);
		else
			chat_past_write(c, w, &p, remark);
		FAULT("question-reply");
		connection_commit(c, NULL);
	} else {
		connection_abandon(c);
	}
	past_free(&p);
	return done;
}

/* What is to be said of an answer, beside what was found. */
static const char *chat_past_remark(struct connection *c, const struct chat_past *w, const struct answer *a)
{
	if (!a)
		return "The history does not answer at the moment.";
	switch (a->error) {
	case 0:
		return w->text && !w->before && archive_lacks(chat_shared(c)->archive, w->room)
			   ? "What was said last isn't stored yet, so it isn't among that; /history has it."
			   : NULL;
	case -EBUSY:
		return "Too many are asking at the moment; try again in a while.";
	case -ETIME:
		return "It took too long; there may be more.";
	case -EINVAL:
		return "There is no word in that which could be looked for.";
	default:
		return w->text
			   ? "What is stored can't be searched at the moment; try again in a while."
			   : "What is stored can't be read at the moment; this is what the room still has.";
	}
}

static void chat_past_answer(struct connection *c, const struct chat_past *w, const struct answer *a)
{
	const char *remark = chat_past_remark(c, w, a);

	/* What would only be guessed isn't shown. */
	if (w->text && (!a || (a->error < 0 && a->n == 0)))
		chat_reply(c, w->call->consumed, "* %s\n", remark);
	else
		chat_past_reply(c, w, a, true, remark);
	connection_await_end(c);
}

/* --- the question --- */

static bool chat_past_is_about(const struct question *q, const struct chat_past *w)
{
	const struct question_request *r = question_request(q);

	return strcmp(r->query.room, w->room->name) == 0 && r->query.limit == w->lines &&
	       r->before_number == w->before &&
	       (w->text ? r->query.text && strcmp(r->query.text, w->text) == 0 : !r->query.text);
}

static void chat_past_told(struct context *ctx, struct question *q)
{
	FAULT("question-told");
	connection_await_over(ctx, question_who(q)->index, question_who(q)->id, q);
}

static void chat_past_drop(void *what)
{
	question_drop(what);
}

static enum verdict chat_past_ask(struct connection *c, const struct chat_past *w)
{
	struct questions *qs = chat_shared(c)->questions;
	const struct question_caller caller = {.w = context_worker(connection_context(c)),
					       .answered = chat_past_told,
					       .address = connection_address(c),
					       .index = connection_index(c),
					       .id = connection_id(c)};
	const struct question_request request = {
	    .query = {.room = w->room->name, .text = w->text, .limit = w->lines},
	    .before_number = w->before,
	    .bytes = CLIENT_OUT_SIZE};
	struct question *q;

	FAULT("question-ask");
	int r = question_ask(qs, &caller, &request, &q);
	if (r == 0 && connection_await(c, q, chat_past_drop))
		return HANDLER_WAITING;
	chat_past_answer(c, w, &(const struct answer){.error = r < 0 ? r : -ENOMEM});
	return HANDLER_MORE;
}

static enum verdict chat_past_run(struct connection *c, const struct chat_past *w)
{
	struct question *q = connection_awaited(c);
	const struct shared *shared = chat_shared(c);

	if (q && chat_past_is_about(q, w)) {
		chat_past_answer(c, w, question_answer(q));
		return HANDLER_MORE;
	}
	connection_await_end(c);
	bool stored = shared->questions && archive_keeps(shared->archive, w->room->name);
	if (!w->text && chat_past_reply(c, w, NULL, !stored, NULL))
		return HANDLER_MORE;
	return chat_past_ask(c, w);
}

/* --- the commands --- */

/* NULL: the reply says why there is nothing to see. */
static struct room *chat_past_room(struct connection *c, const struct chat_call *call)
{
	struct room *room = connection_room(c);

	if (!room)
		chat_reply(c, call->consumed, "* You are in no room; /join one.\n");
	else if (room->history == 0)
		chat_reply(c, call->consumed, "* Room %s shows nothing of what was said before.\n",
			   room->name);
	else
		return room;
	return NULL;
}

static unsigned chat_past_most(struct connection *c)
{
	const struct history_config *h = chat_config(c)->history;

	return h && h->lines < CHAT_HISTORY_MAX ? h->lines : CHAT_HISTORY_MAX;
}

/* A number of lines; false if it is something else. */
static bool chat_past_lines(const char *s, size_t len, unsigned most, unsigned *ret)
{
	unsigned v = 0;

	for (size_t i = 0; i < len; i++) {
		if (s[i] < '0' || s[i] > '9')
			return false;
		if (v < 1000000)
			v = v * 10 + (unsigned)(s[i] - '0');
	}
	if (len == 0)
		v = CHAT_HISTORY_LINES;
	*ret = v < most ? v : most;
	return v > 0;
}

enum verdict chat_history(struct connection *c, const struct chat_call *call)
{
	struct chat_past w = {.call = call, .room = chat_past_room(c, call)};
	size_t len = call->args[0].len;

	if (!w.room)
		return HANDLER_MORE;
	past_cut_before(call->args[0].at, &len, &w.before);
	while (len > 0 && call->args[0].at[len - 1] == ' ')
		len--;
	if (chat_past_lines(call->args[0].at, len, chat_past_most(c), &w.lines))
		return chat_past_run(c, &w);
	chat_reply_usage(c, call);
	return HANDLER_MORE;
}

enum verdict chat_search(struct connection *c, const struct chat_call *call)
{
	struct chat_past w = {.call = call, .room = chat_past_room(c, call), .lines = CHAT_HISTORY_LINES};
	const struct shared *shared = chat_shared(c);
	const struct history_config *h = chat_config(c)->history;
	size_t len = call->args[0].len;
	char text[CHAT_SEARCH_MAX * TEXT_SANITISE_GROWTH + 1];

	if (!w.room)
		return HANDLER_MORE;
	if (!shared->questions || !h || !h->search || !archive_keeps(shared->archive, w.room->name)) {
		chat_reply(c, call->consumed, "* There is no search in %s.\n", w.room->name);
		return HANDLER_MORE;
	}
	past_cut_before(call->args[0].at, &len, &w.before);
	if (len == 0 || len > CHAT_SEARCH_MAX) {
		chat_reply_usage(c, call);
		return HANDLER_MORE;
	}
	text[text_sanitise(text, call->args[0].at, len)] = '\0';
	w.text = text;
	if (w.lines > chat_past_most(c))
		w.lines = chat_past_most(c);
	return chat_past_run(c, &w);
}
