/* SPDX-License-Identifier: MIT */
#include "common/cleanup.h"
#include "common/nick.h"
#include "daemon/base/clock.h"
#include "daemon/base/logger.h"
#include "daemon/control/host.h"
#include "daemon/control/methods.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

/* A JSON string holds UTF-8 only, which lines of raw rooms need not be. */
static json_t *clean_string(const char *s, size_t len)
{
	_cleanup_free_ char *buf = malloc(len * TEXT_SANITISE_GROWTH + 1);

	return buf ? json_stringn(buf, text_sanitise(buf, s, len)) : NULL;
}

/* --- Send --- */

/* Gives a room that is full of undelivered text a moment. */
static bool wait_for_room(struct host *h, struct room *room)
{
	for (unsigned i = 0; i < 500; i++) {
		if (!room_crowded(h->ctx.shared->rooms, room))
			return true;
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	}
	return false;
}

void control_send(struct control_client *c, const json_t *parameters, bool more)
{
	struct host *h = control_host(c);
	struct shared *shared = h->ctx.shared;
	const char *name = json_string_value(json_object_get(parameters, "room"));
	const json_t *text = json_object_get(parameters, "text"), *as = json_object_get(parameters, "as");
	const char *nick = as && !json_is_null(as) ? json_string_value(as) : "admin";
	size_t len = json_string_length(text);
	uint64_t id;
	uint32_t index;
	struct room *room;

	(void)more;
	if (!name || !json_is_string(text) || !nick) {
		control_invalid(c, !name ? "room" : !nick ? "as" : "text");
		return;
	}
	char normal[TEXT_NICK_MAX + 1];
	int nick_len = nick_normalise(nick, strlen(nick), normal);
	if (nick_len < 0) {
		control_refuse(c, "\"%s\" is not a valid nick", nick);
		return;
	}
	/* Nobody else can be called admin. */
	if (roster_find(shared->roster, normal, (size_t)nick_len, &id, &index)) {
		control_refuse(c, "nick %s is in use", nick);
		return;
	}
	if (len > h->ctx.config->max_message) {
		control_refuse(c, "the message is longer than max_message (%u bytes)",
			       h->ctx.config->max_message);
		return;
	}
	if (memchr(json_string_value(text), '\n', len)) {
		control_refuse(c, "a message is one line");
		return;
	}
	if (rooms_enter_existing(shared->rooms, name, h->ctx.slot, &room) < 0) {
		control_refuse(c, "there is no room %s", name);
		return;
	}
	/* In a named room nobody can say nothing; in a raw one an empty line is a line. */
	if (len == 0 && !room->raw) {
		rooms_leave(shared->rooms, room, h->ctx.slot);
		control_refuse(c, "the message is empty");
		return;
	}
	if (!wait_for_room(h, room)) {
		rooms_leave(shared->rooms, room, h->ctx.slot);
		control_refuse(c, "room %s is too busy", name);
		return;
	}

	_cleanup_free_ char *clean = malloc(len * TEXT_SANITISE_GROWTH + 1);
	char head[TEXT_NICK_MAX + 2];
	struct slot_set kick = {{0}};
	const char *body = json_string_value(text);
	bool raw = room->raw;
	size_t head_len = room_head(raw, normal, (size_t)nick_len, body, len, head);
	struct record record = {.time_us = (uint64_t)clock_us(CLOCK_REALTIME),
				.kind = RECORD_MESSAGE,
				.text = (uint16_t)head_len};
	if (clean) {
		if (!raw) {
			len = text_sanitise(clean, body, len);
			body = clean;
		}
		logring_lock(room->log);
		logring_put(room->log, &record, head, head_len, body, len);
		logring_commit(room->log);
		logring_unlock(room->log);
		rooms_mark(shared->rooms, room, &kick);
		/* The main thread is told as well: `chatctl tail` may follow the room. */
		rooms_kick(shared->rooms, &kick, UINT32_MAX);
		count(h->ctx.counters, COUNT_MESSAGES, 1);
	}
	rooms_leave(shared->rooms, room, h->ctx.slot);
	log_event(LOG_DEBUG, &(struct log_fields){.message_id = EVENT_CONTROL, .room = name},
		  "control: %s sent to room %s", control_peer(c), name);
	control_reply(c, NULL, false);
}

/* --- Tail --- */

struct tail {
	struct room *room;
	uint64_t seq;
	uint64_t live; /* announcements before this one are old news */
	bool follow, replied;
};

static const char *const kind_names[RECORD_KINDS] = {"message", "action", "notice"};

/* What one look at the log copies. */
#define TAKE_LINES 100
#define TAKE_BYTES 65536
#define LOOK_AT 1000

struct taken {
	struct {
		struct record record;
		size_t start, len;
	} at[TAKE_LINES];
	size_t n, len;
	char text[2 * TAKE_BYTES]; /* the longest line fits behind the others */
};

/* Copies the next messages from t->seq on; true if there are more. The log is locked: senders wait meanwhile,
 * so everything else comes later. */
static bool take_lines(struct tail *t, struct taken *k, uint64_t *ret_skipped)
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
		if ((r->kind == RECORD_NOTICE && t->seq < t->live) || len > sizeof(k->text) - k->len ||
		    !room_shows(t->room, r, logring_at(&v, start)))
			continue;
		k->at[k->n].record = *r;
		k->at[k->n].start = k->len;
		k->at[k->n++].len = len;
		memcpy(k->text + k->len, logring_at(&v, start), len);
		k->len += len;
	}
	return t->seq < v.count;
}

static json_t *lines_json(const struct taken *k)
{
	json_t *array = json_array();

	for (size_t i = 0; i < k->n; i++) {
		const struct record *r = &k->at[i].record;
		const char *line = k->text + k->at[i].start;
		size_t len = k->at[i].len;
		json_array_append_new(array, json_pack("{s:f,s:s,s:I,s:o?,s:o?}", "time",
						       control_seconds((int64_t)r->time_us), "kind",
						       kind_names[r->kind], "client", (json_int_t)r->sender,
						       "line", clean_string(line, len), "text",
						       clean_string(line + r->text, len - r->text)));
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
		more = take_lines(t, k, &skipped);
		logring_unlock(t->room->log);
		json_t *array = lines_json(k);
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

/* To where the last n messages begin. */
static void go_back(struct tail *t, json_int_t n)
{
	bool more = n > 0;

	/* Senders wait for a few records, not for all that there may be. */
	while (more) {
		struct logring_view v;
		logring_lock(t->room->log);
		logring_peek(t->room->log, &v);
		for (unsigned i = 0; i < LOOK_AT && n > 0 && t->seq > v.first; i++, t->seq--)
			if (logring_record(t->room->log, t->seq - 1)->kind != RECORD_NOTICE)
				n--;
		more = n > 0 && t->seq > v.first;
		logring_unlock(t->room->log);
	}
}

void control_tail(struct control_client *c, const json_t *parameters, bool more)
{
	static const struct control_stream ops = {tail_follow, tail_forget};
	struct host *h = control_host(c);
	struct shared *shared = h->ctx.shared;
	const char *name = json_string_value(json_object_get(parameters, "room"));
	const json_t *lines = json_object_get(parameters, "lines"),
		     *follow = json_object_get(parameters, "follow");
	const json_t *from = json_object_get(parameters, "from");
	json_int_t n = lines && !json_is_null(lines) ? json_integer_value(lines) : 10;
	struct logring_view v;

	if (!name || n < 0 || (lines && !json_is_integer(lines) && !json_is_null(lines))) {
		control_invalid(c, !name ? "room" : "lines");
		return;
	}
	if (from && !json_is_null(from) && (!json_is_integer(from) || json_integer_value(from) < 0)) {
		control_invalid(c, "from");
		return;
	}
	if (!more) {
		control_refuse(c, "Tail has many replies, so the call must say \"more\"");
		return;
	}
	struct tail *t = calloc(1, sizeof(*t));
	if (!t || rooms_enter_existing(shared->rooms, name, h->ctx.slot, &t->room) < 0) {
		free(t);
		control_refuse(c, "there is no room %s", name);
		return;
	}
	t->follow = json_is_true(follow);
	logring_lock(t->room->log);
	logring_peek(t->room->log, &v);
	logring_unlock(t->room->log);
	t->seq = t->live = v.count;
	if (json_is_integer(from))
		/* A number that isn't there yet is of a log before this one, all of which is news. */
		t->seq = t->live = (uint64_t)json_integer_value(from) <= v.count
				       ? (uint64_t)json_integer_value(from)
				       : v.first;
	else
		go_back(t, n);
	control_stream(c, &ops, t);
}

/* --- Watch --- */

struct watch {
	uint64_t next;
	bool replied;
};

static void watch_forget(struct control_client *c, void *data)
{
	(void)c;
	log_unwatch();
	free(data);
}

static void watch_follow(struct control_client *c, void *data)
{
	struct watch *w = data;
	struct log_entry e;
	uint64_t missed, all_missed = 0;

	while (!control_is_full(c)) {
		json_t *array = json_array();
		unsigned n = 0;
		for (; n < 100 && log_watch_next(&w->next, &e, &missed); n++, all_missed += missed) {
			json_t *o = json_pack("{s:f,s:s,s:s}", "time", control_seconds(e.time_us), "kind",
					      e.kind, "text", e.text);
			if (e.client)
				json_object_set_new(o, "client", json_integer((json_int_t)e.client));
			if (e.room[0])
				json_object_set_new(o, "room", json_string(e.room));
			if (e.listener[0])
				json_object_set_new(o, "listener", json_string(e.listener));
			if (e.address[0])
				json_object_set_new(o, "address", json_string(e.address));
			if (e.reason[0])
				json_object_set_new(o, "reason", json_string(e.reason));
			if (e.until_us)
				json_object_set_new(o, "until", json_real(control_seconds(e.until_us)));
			json_array_append_new(array, o);
		}
		if (n == 0 && w->replied) {
			json_decref(array);
			return;
		}
		w->replied = true;
		control_reply(c, json_pack("{s:o,s:I}", "events", array, "missed", (json_int_t)all_missed),
			      true);
		all_missed = 0;
	}
}

void control_watch(struct control_client *c, const json_t *parameters, bool more)
{
	static const struct control_stream ops = {watch_follow, watch_forget};
	struct watch *w = more ? calloc(1, sizeof(*w)) : NULL;

	(void)parameters;
	if (!w) {
		control_refuse(c, more ? "out of memory"
				       : "Watch has many replies, so the call must say \"more\"");
		return;
	}
	w->next = log_watch();
	control_stream(c, &ops, w);
}
