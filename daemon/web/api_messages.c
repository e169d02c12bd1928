/* SPDX-License-Identifier: MIT */
/*
 * GET /api/v1/rooms/NAME/messages: what was said, as JSON. What the room's log has is answered at once; what lies before it
 * is a question to the history (history/questions.h), for which the request waits unconsumed.
 */
#include "daemon/web/api.h"

#include "common/cleanup.h"
#include "daemon/base/fault.h"
#include "daemon/config/history.h"
#include "daemon/history/archive.h"
#include "daemon/history/questions.h"

#include <errno.h>
#include <string.h>

#define API_LIMIT 50
#define API_LIMIT_MAX 500
/* Of the log's messages so many are looked at; senders wait meanwhile. */
#define API_LOOKS 20000
/* Space for what is missing (64 gaps at most) around the messages. */
#define API_FRAME 4096

struct api_past {
	const struct web_call *call;
	struct room *room;
	uint64_t limit, before, after; /* before 0: the newest; has_after: forwards from there */
	bool has_after;
	json_t *list; /* the oldest first */
	size_t bytes; /* as text */
	bool more;
	bool lacks;   /* there may be some before what the log has */
	json_t *gaps; /* what can't be had: {"from","to"}, the newest first */
};

/* --- the list --- */

/* False: that is all there can be. o is consumed. */
static bool api_past_add(struct api_past *p, json_t *o, bool at_the_begin)
{
	size_t len = o ? json_dumpb(o, NULL, 0, JSON_COMPACT) + 1 : 0;

	if (!o || json_array_size(p->list) >= p->limit || p->bytes + len > API_LIST_MAX - API_FRAME) {
		json_decref(o);
		p->more = true;
		return false;
	}
	p->bytes += len;
	if (at_the_begin)
		json_array_insert_new(p->list, 0, o);
	else
		json_array_append_new(p->list, o);
	return true;
}

static void api_past_add_gap(struct api_past *p, uint64_t first, uint64_t end)
{
	json_array_append_new(
	    p->gaps, json_pack("{s:I, s:I}", "from", (json_int_t)first, "to", (json_int_t)(end - 1)));
}

static uint64_t api_past_first(const struct room *room, const struct logring_view *v)
{
	return v->first < v->count ? room_number(room, logring_record(room->log, v->first), v->first)
				   : UINT64_MAX;
}

/* One message of the log; false: enough. */
static bool api_past_look(struct api_past *p, const struct logring_view *v, uint64_t seq)
{
	const struct record *r = logring_record(p->room->log, seq);
	uint64_t start = logring_start(p->room->log, v, seq);
	const char *line = logring_at(v, start);

	if (record_is_notice(r) || r->forgotten || !speech_shows(p->room, r, line))
		return true;
	return api_past_add(p, message_json_of(p->room, seq, r, line, r->end - start), !p->has_after);
}

/* With the log pinned. False: it doesn't have all that is wanted. */
static bool api_past_take_log(struct api_past *p, const struct logring_view *v)
{
	unsigned looks = 0;

	if (p->has_after) {
		p->lacks = p->after + 1 < api_past_first(p->room, v);
		if (p->lacks && p->after > 0 && v->first < v->count)
			api_past_add_gap(p, p->after + 1, api_past_first(p->room, v));
		for (uint64_t seq = speech_find_number(p->room, v, p->after + 1); seq < v->count; seq++) {
			/* Where there is none yet, nobody could tell where to go on. */
			if (++looks > API_LOOKS && json_array_size(p->list) > 0)
				p->more = true;
			if (p->more || !api_past_look(p, v, seq))
				return true;
		}
		return true;
	}
	uint64_t seq = p->before > 0 ? speech_find_number(p->room, v, p->before) : v->count;
	while (logring_back(p->room->log, v, &seq)) {
		if (++looks > API_LOOKS)
			p->more = true;
		if (p->more || !api_past_look(p, v, seq))
			return true;
	}
	return false;
}

/* What the log (whose first is end) doesn't have any more, and nobody has stored or given up yet: [return, end). */
static uint64_t api_past_unstored(const struct api_past *p, const struct answer *a, uint64_t end)
{
	uint64_t from = a->next;

	if (from == 0 || end == UINT64_MAX || a->epoch != p->room->epoch || p->room->outgoing)
		return end;
	/* Some may have been since that was looked up. */
	for (size_t i = 0; i < a->n; i++)
		if (a->at[i]->number >= from)
			from = a->at[i]->number + 1;
	for (size_t i = 0; i < a->n_gaps; i++)
		if (a->gaps[i].end > from)
			from = a->gaps[i].end;
	return from < end ? from : end;
}

static void api_past_add_between(struct api_past *p, uint64_t first, uint64_t end, uint64_t low,
				 uint64_t high)
{
	first = first > low ? first : low;
	end = end < high ? end : high;
	if (first < end)
		api_past_add_gap(p, first, end);
}

/* What is missing among what is told: what lies beyond it comes with the next answer. */
static void api_past_take_gaps(struct api_past *p, const struct answer *a, uint64_t end)
{
	uint64_t low = p->has_after ? p->after + 1 : 0, high = end;

	if (!p->has_after && p->before > 0 && p->before < high)
		high = p->before;
	if (p->more && json_array_size(p->list) > 0) {
		size_t last = p->has_after ? json_array_size(p->list) - 1 : 0;
		uint64_t told =
		    (uint64_t)json_integer_value(json_object_get(json_array_get(p->list, last), "number"));
		if (!p->has_after)
			low = told;
		else if (told < high)
			high = told;
	}
	if (end != UINT64_MAX)
		api_past_add_between(p, api_past_unstored(p, a, end), end, low, high);
	for (size_t i = 0; i < a->n_gaps; i++)
		api_past_add_between(p, a->gaps[i].first, a->gaps[i].end, low, high);
}

/* What the history has, in the order of the question; only what the log hasn't. */
static void api_past_take_answer(struct api_past *p, const struct answer *a, uint64_t end)
{
	bool log_follows = false, full = false;

	for (size_t i = 0; i < a->n && !log_follows && !full; i++) {
		const struct store_message *m = a->at[i];
		log_follows = p->has_after && m->number >= end;
		if (m->number >= end || (m->event.raw && !p->room->raw)) /* as speech_shows() has it */
			continue;
		full = !api_past_add(p, message_json(m->number, &m->event), !p->has_after);
	}
	p->more |= a->more && !log_follows && !full;
	/* What comes next may be stored in a moment. */
	if (p->has_after && json_array_size(p->list) > 0)
		p->more |= api_past_unstored(p, a, end) < end;
	api_past_take_gaps(p, a, end);
}

/* --- the answer --- */

static enum verdict api_past_reply(struct api_past *p)
{
	char epoch[MESSAGE_EPOCH_MAX];

	message_epoch(p->room->epoch, epoch);
	json_t *o = json_pack("{s:s, s:s, s:O, s:b}", "room", p->room->name, "epoch", epoch, "messages",
			      p->list, "more", (int)p->more);
	if (json_array_size(p->gaps) > 0)
		json_object_set(o, "gaps", p->gaps);
	return api_answer(p->call, o, NULL);
}

/* a: NULL: the log alone. False: the log doesn't have all of it, and the history may. */
static bool api_past_collect(struct api_past *p, const struct answer *a, bool log_will_do)
{
	struct logring_view v;

	json_array_clear(p->list);
	p->bytes = 0;
	p->more = false;
	json_array_clear(p->gaps);
	p->lacks = false;
	/* Making JSON takes long, and whoever speaks wants the lock. */
	const unsigned slot = connection_context(p->call->c)->slot;
	logring_pin(p->room->log, slot, &v);
	uint64_t first = api_past_first(p->room, &v);
	bool whole = true;
	if (p->has_after && a) {
		/* The oldest first: what is stored, and then what the log has behind it. */
		api_past_take_answer(p, a, first);
		size_t known = json_array_size(p->gaps);
		if (!p->more)
			api_past_take_log(p, &v);
		/* What the log lacks, the history has, but for its own gaps. */
		while (json_array_size(p->gaps) > known)
			json_array_remove(p->gaps, known);
	} else {
		whole = api_past_take_log(p, &v) && !p->lacks;
		if (!whole && a)
			api_past_take_answer(p, a, first);
	}
	logring_unpin(p->room->log, slot);
	return whole || a || log_will_do;
}

/* --- the question --- */

static void api_past_told(struct context *ctx, struct question *q)
{
	FAULT("http-question-told");
	connection_await_over(ctx, question_who(q)->index, question_who(q)->id, q);
}

static void api_past_drop(void *what)
{
	question_drop(what);
}

static bool api_past_is_about(const struct question *q, const struct api_past *p)
{
	const struct question_request *r = question_request(q);

	return strcmp(r->query.room, p->room->name) == 0 && r->query.limit == p->limit &&
	       r->before_number == p->before && r->query.oldest_first == p->has_after &&
	       r->after_number == p->after;
}

static enum verdict api_past_ask(struct api_past *p)
{
	struct connection *c = p->call->c;
	const struct question_caller caller = {.w = context_worker(connection_context(c)),
					       .answered = api_past_told,
					       .address = connection_address(c),
					       .index = connection_index(c),
					       .id = connection_id(c)};
	const struct question_request request = {
	    .query = {.room = p->room->name, .limit = (unsigned)p->limit, .oldest_first = p->has_after},
	    .before_number = p->before,
	    .after_number = p->after,
	    .bytes = WEB_BODY_MAX};
	struct question *q;

	int r = question_ask(connection_context(c)->shared->questions, &caller, &request, &q);
	if (r == 0 && connection_await(c, q, api_past_drop))
		return HANDLER_WAITING;
	return web_refuse_with(p->call, r == -EBUSY ? 429 : 503, "Too many are asking at the moment.",
			       "Retry-After: 2\r\n");
}

static enum verdict api_past_run(struct api_past *p)
{
	struct connection *c = p->call->c;
	const struct shared *shared = connection_context(c)->shared;
	struct question *q = connection_awaited(c);

	if (q && api_past_is_about(q, p)) {
		const struct answer *a = question_answer(q);
		bool read = a && (a->error == 0 || a->error == -ETIME);
		if (read) {
			api_past_collect(p, a, true);
			p->more |= a->error == -ETIME;
		}
		connection_await_end(c);
		return read ? api_past_reply(p)
			    : web_refuse_with(p->call, 503, "What is stored can't be read at the moment.",
					      "Retry-After: 2\r\n");
	}
	connection_await_end(c);
	bool stored = shared->questions && archive_keeps(shared->archive, p->room->name);
	return api_past_collect(p, NULL, !stored) ? api_past_reply(p) : api_past_ask(p);
}

/* --- the request --- */

static const char *api_past_read(struct api_past *p, unsigned most)
{
	const struct http_request *r = p->call->r;
	char text[24];

	p->limit = API_LIMIT;
	if (http_query_number(r, "limit", &p->limit) < 0 || p->limit == 0)
		return "limit must be a number from 1.";
	if (p->limit > most)
		p->limit = most;
	p->has_after = http_query(r, "after", text, sizeof(text)) != -ENOENT;
	if (http_query_number(r, "before", &p->before) < 0 || http_query_number(r, "after", &p->after) < 0)
		return "before and after must be numbers of messages.";
	if (p->before > 0 && p->has_after)
		return "Either before or after.";
	return NULL;
}

enum verdict web_api_messages(const struct web_call *call)
{
	struct context *ctx = connection_context(call->c);
	const struct history_config *h = ctx->config->history;
	struct api_past p = {.call = call};
	const struct token *t;

	if (call->r->method == HTTP_POST)
		return web_api_say(call);
	if (web_token(call->c, call->r, &t) == WEB_LIAR)
		return web_refuse_token(call);
	const char *wrong = api_past_read(&p, h && h->lines < API_LIMIT_MAX ? h->lines : API_LIMIT_MAX);
	if (wrong)
		return web_refuse(call, 400, wrong);
	enum verdict verdict = api_enter(call, t, &p.room);
	if (!p.room)
		return verdict;
	p.list = json_array();
	p.gaps = json_array();
	if (!p.list || !p.gaps)
		verdict = web_refuse(call, 503, NULL);
	else if (p.room->history == 0)
		verdict = web_refuse(call, 403, "The room shows nothing of what was said before.");
	else
		verdict = api_past_run(&p);
	json_decref(p.list);
	json_decref(p.gaps);
	rooms_leave(ctx->shared->rooms, p.room, ctx->slot);
	return verdict;
}
