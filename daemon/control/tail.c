/* SPDX-License-Identifier: MIT */
/*
 * Tail: the last lines of a room, and those that come. A tail is a reader of the log like any other, and is
 * lapped if its client reads too slowly.
 */
#include "common/cleanup.h"
#include "daemon/control/host.h"
#include "daemon/control/methods.h"
#include "daemon/rooms/speech.h"

#include <stdlib.h>
#include <string.h>

/* How many lines there are if the call doesn't say. */
#define TAIL_LINES 10
/* What one look at the log copies, and how many records it looks at. */
#define TAKE_LINES 100
#define TAKE_BYTES 65536
#define LOOK_AT 1000

struct tail {
	struct room *room;
	uint64_t seq;
	uint64_t live; /* announcements before this number are not shown */
	bool follow, replied;
};

static const char *tail_kind(const struct record *r)
{
	return record_is_notice(r) ? "notice" : r->kind == RECORD_ACTION ? "action" : "message";
}

struct taken {
	struct {
		struct record record;
		size_t start, len;
	} at[TAKE_LINES];
	size_t n, len;
	char text[2 * TAKE_BYTES]; /* the longest line fits behind the others */
};

/*
 * Copies the next messages from t->seq on; true if there are more. The log is locked and senders wait
 * for it, so everything else comes later.
 */
static bool tail_take(struct tail *t, struct taken *k, uint64_t *ret_skipped)
{
	struct logring_view v;

	logring_peek(t->room->log, &v);
	*ret_skipped = t->seq < v.first ? v.first - t->seq : 0;
	t->seq += *ret_skipped;
	k->n = k->len = 0;
	for (unsigned i = 0; i < LOOK_AT && t->seq < v.count && k->n < TAKE_LINES && k->len < TAKE_BYTES;
	     i++, t->seq++) {
		const struct record *r = logring_record(t->room->log, t->seq);
		uint64_t start = logring_start(t->room->log, &v, t->seq);
		size_t len = r->end - start - 1;
		if ((record_is_notice(r) && t->seq < t->live) || len > sizeof(k->text) - k->len ||
		    !speech_shows(t->room, r, logring_at(&v, start)))
			continue;
		k->at[k->n].record = *r;
		k->at[k->n].start = k->len;
		k->at[k->n++].len = len;
		memcpy(k->text + k->len, logring_at(&v, start), len);
		k->len += len;
	}
	return t->seq < v.count;
}

static json_t *tail_json(const struct taken *k)
{
	json_t *array = json_array();

	for (size_t i = 0; i < k->n; i++) {
		const struct record *r = &k->at[i].record;
		const char *line = k->text + k->at[i].start;
		size_t len = k->at[i].len, text = speech_text_at(r);
		json_array_append_new(array, json_pack("{s:f,s:s,s:I,s:o?,s:o?}", "time",
						       control_seconds((int64_t)r->time_us), "kind",
						       tail_kind(r), "client", (json_int_t)r->sender, "line",
						       report_string(line, len), "text",
						       report_string(line + text, len - text)));
	}
	return array;
}

static void tail_forget(struct control_client *c, void *data)
{
	struct tail *t = data;
	struct host *h = control_host(c);

	rooms_leave(h->ctx.shared->rooms, t->room, h->ctx.slot);
	free(t);
}

static void tail_follow(struct control_client *c, void *data)
{
	struct tail *t = data;
	_cleanup_free_ struct taken *k = malloc(sizeof(*k));
	bool more = k != NULL;

	while (more && !control_is_full(c)) {
		uint64_t skipped;
		logring_lock(t->room->log);
		more = tail_take(t, k, &skipped);
		logring_unlock(t->room->log);
		json_t *array = tail_json(k);
		bool last = !more && !t->follow;
		if (json_array_size(array) > 0 || skipped > 0 || last || !t->replied)
			control_reply(c,
				      json_pack("{s:o,s:I,s:I}", "messages", array, "skipped",
						(json_int_t)skipped, "next", (json_int_t)t->seq),
				      !last);
		else
			json_decref(array);
		t->replied = true;
		if (last) {
			control_stream_end(c);
			return;
		}
	}
}

/* Moves back to where the last n messages begin. */
static void tail_go_back(struct tail *t, json_int_t n)
{
	bool more = n > 0;

	/* Senders wait for a few records, not for all that there may be. */
	while (more) {
		struct logring_view v;
		logring_lock(t->room->log);
		logring_peek(t->room->log, &v);
		for (unsigned i = 0; i < LOOK_AT && n > 0 && t->seq > v.first; i++, t->seq--)
			if (!record_is_notice(logring_record(t->room->log, t->seq - 1)))
				n--;
		more = n > 0 && t->seq > v.first;
		logring_unlock(t->room->log);
	}
}

/* Begins at the message that is wanted, or the given number of messages before the end. */
static void tail_begin(struct tail *t, const json_t *from, json_int_t lines)
{
	struct logring_view v;

	logring_lock(t->room->log);
	logring_peek(t->room->log, &v);
	logring_unlock(t->room->log);
	t->seq = t->live = v.count;
	if (json_is_integer(from))
		/* A number that isn't there yet belongs to an earlier log, so all of this one is news. */
		t->seq = t->live = (uint64_t)json_integer_value(from) <= v.count
				       ? (uint64_t)json_integer_value(from)
				       : v.first;
	else
		tail_go_back(t, lines);
}

static bool tail_is_number(const json_t *v)
{
	return !v || json_is_null(v) || (json_is_integer(v) && json_integer_value(v) >= 0);
}

void control_tail(struct control_client *c, const json_t *parameters, bool more)
{
	static const struct control_stream ops = {tail_follow, tail_forget};
	struct host *h = control_host(c);
	const char *name = json_string_value(json_object_get(parameters, "room"));
	const json_t *lines = json_object_get(parameters, "lines"),
		     *from = json_object_get(parameters, "from");

	if (!name || !tail_is_number(lines) || !tail_is_number(from)) {
		control_invalid(c, !name ? "room" : !tail_is_number(lines) ? "lines" : "from");
		return;
	}
	if (!more) {
		control_refuse(c, "Tail has many replies, so the call must say \"more\"");
		return;
	}
	struct tail *t = calloc(1, sizeof(*t));
	if (!t || rooms_enter_existing(h->ctx.shared->rooms, name, h->ctx.slot, &t->room) < 0) {
		free(t);
		control_refuse(c, "there is no room %s", name);
		return;
	}
	t->follow = json_is_true(json_object_get(parameters, "follow"));
	tail_begin(t, from, json_is_integer(lines) ? json_integer_value(lines) : TAIL_LINES);
	control_stream(c, &ops, t);
}
