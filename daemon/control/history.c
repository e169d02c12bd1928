/* SPDX-License-Identifier: MIT */
/*
 * History: what the database has of rooms, in pages. Each is a question that the thread chatd/search answers; the next
 * one begins behind the last message of the page before, once the client has read that.
 */
#include "common/cleanup.h"
#include "daemon/control/host.h"
#include "daemon/control/methods.h"
#include "daemon/history/questions.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* What one reply holds, so that the main thread gets to its other work in between. */
#define HISTORY_PAGE 500
#define HISTORY_PAGE_BYTES (64U << 10)

struct history_call {
	struct question_request request;
	char *room, *nick, *text; /* that it points to */
	json_int_t left;	  /* of how many were asked for; -1: all */
	struct question *question;
};

static void history_forget(struct control_client *c, void *data)
{
	struct history_call *k = data;

	(void)c;
	question_drop(k->question);
	free(k->room);
	free(k->nick);
	free(k->text);
	free(k);
}

/* --- what is asked --- */

/* A member that is missing or null leaves *ret as it is. */
static bool history_take_string(const json_t *parameters, const char *key, char **ret)
{
	const json_t *v = json_object_get(parameters, key);

	if (!v || json_is_null(v))
		return true;
	if (json_string_length(v) == 0)
		return false;
	*ret = strdup(json_string_value(v));
	return *ret;
}

static bool history_take_integer(const json_t *parameters, const char *key, json_int_t *ret)
{
	const json_t *v = json_object_get(parameters, key);

	if (!v || json_is_null(v))
		return true;
	*ret = json_integer_value(v);
	return json_is_integer(v) && *ret >= 0;
}

static bool history_take_bool(const json_t *parameters, const char *key, bool *ret)
{
	const json_t *v = json_object_get(parameters, key);

	*ret = json_is_true(v);
	return !v || json_is_null(v) || json_is_boolean(v);
}

/* The name of the member that makes no sense; NULL: all of them do. */
static const char *history_take(struct history_call *k, const json_t *parameters)
{
	struct store_query *q = &k->request.query;
	json_int_t before = 0, after = 0;

	k->left = -1;
	if (!history_take_string(parameters, "room", &k->room))
		return "room";
	if (!history_take_string(parameters, "nick", &k->nick))
		return "nick";
	if (!history_take_string(parameters, "text", &k->text))
		return "text";
	if (!report_take_time(parameters, "since", &q->since_us))
		return "since";
	if (!report_take_time(parameters, "until", &q->until_us))
		return "until";
	if (!history_take_integer(parameters, "before", &before))
		return "before";
	if (!history_take_integer(parameters, "after", &after))
		return "after";
	if (!history_take_integer(parameters, "limit", &k->left))
		return "limit";
	if (!history_take_bool(parameters, "oldest_first", &q->oldest_first))
		return "oldest_first";
	if (!history_take_bool(parameters, "notices", &q->notices))
		return "notices";
	q->before = before;
	q->after = after;
	q->room = k->room;
	q->nick = k->nick;
	q->text = k->text;
	k->request.bytes = HISTORY_PAGE_BYTES;
	return NULL;
}

/* --- what is answered --- */

static json_t *history_json(const struct store_message *m)
{
	const struct speech_event *e = &m->event;
	char epoch[17];

	snprintf(epoch, sizeof(epoch), "%016" PRIx64, m->epoch);
	json_t *o =
	    json_pack("{s:I,s:s,s:f,s:s,s:s,s:I,s:o?}", "id", (json_int_t)m->id, "room", m->room, "time",
		      control_seconds((int64_t)e->time_us), "kind", speech_kind_name(e->kind), "epoch", epoch,
		      "number", (json_int_t)m->number, "text", report_string(e->text, e->text_len));
	if (o && e->nick_len > 0)
		json_object_set_new(o, "nick", report_string(e->nick, e->nick_len));
	return o;
}

static void history_reply_page(struct control_client *c, const struct answer *a, bool last)
{
	json_t *array = json_array();

	for (size_t i = 0; i < a->n; i++)
		json_array_append_new(array, history_json(a->at[i]));
	control_reply(c, json_pack("{s:o}", "messages", array), !last);
}

static void history_fail(struct control_client *c, int error, const char *why)
{
	if (error == -EBUSY && !*why)
		why = "too many questions are waiting; try again in a moment";
	else if (error == -ETIME)
		why = "that takes longer than history.time_limit allows; narrow it down by room or time";
	else if (error == -EINVAL)
		why = "there is no word in that to look for";
	control_refuse(c, "%s", *why ? why : strerror(-error));
}

/* Asks for the next page. If that is refused, the call ends. */
static void history_ask(struct control_client *c, struct history_call *k)
{
	struct host *h = control_host(c);
	const struct question_caller caller = {.slot = h->ctx.slot};

	k->request.query.limit = k->left >= 0 && k->left < HISTORY_PAGE ? (unsigned)k->left : HISTORY_PAGE;
	int r = question_ask(h->ctx.shared->questions, &caller, &k->request, &k->question);
	if (r == 0)
		return;
	history_fail(c, r, "");
	control_stream_end(c);
}

/* Takes the answer. False: the call has ended with it. */
static bool history_take_answer(struct control_client *c, struct history_call *k, const struct answer *a)
{
	struct store_query *q = &k->request.query;
	/* A search that found nothing in its time would find nothing again. */
	bool fails = a->error < 0 && !(a->error == -ETIME && a->n > 0);

	if (k->left >= 0)
		k->left -= (json_int_t)a->n;
	bool last = fails || !a->more || k->left == 0;
	if (a->n > 0 && q->oldest_first)
		q->after = a->at[a->n - 1]->id;
	else if (a->n > 0)
		q->before = a->at[a->n - 1]->id;
	if (a->n > 0 || !fails)
		history_reply_page(c, a, last && !fails);
	if (fails)
		history_fail(c, a->error, a->why);
	question_drop(k->question);
	k->question = NULL;
	if (last)
		control_stream_end(c);
	return !last;
}

static void history_follow(struct control_client *c, void *data)
{
	struct history_call *k = data;
	const struct answer *a = k->question ? question_answer(k->question) : NULL;

	if (control_is_full(c) || (k->question && !a))
		return;
	if (!a || history_take_answer(c, k, a))
		history_ask(c, k);
}

void control_history(struct control_client *c, const json_t *parameters, bool more)
{
	static const struct control_stream ops = {history_follow, history_forget};
	struct history_call *k = calloc(1, sizeof(*k));
	const char *wrong = k ? history_take(k, parameters) : NULL;

	if (!k || wrong || !more || !control_host(c)->ctx.shared->questions) {
		if (!k)
			control_refuse(c, "out of memory");
		else if (wrong)
			control_invalid(c, wrong);
		else if (!more)
			control_refuse(c, "History has many replies, so the call must say \"more\"");
		else
			control_refuse(c, "there is no history: the configuration has no group history");
		if (k)
			history_forget(c, k);
		return;
	}
	if (k->left == 0) {
		history_forget(c, k);
		control_reply(c, json_pack("{s:[]}", "messages"), false);
		return;
	}
	control_stream(c, &ops, k);
}
