/* SPDX-License-Identifier: MIT */
/* Messages are copied under the log's lock, and become JSON without it. */
#include "daemon/webhooks/payload.h"

#include "common/cleanup.h"

#include <inttypes.h>
#include <jansson.h>
#include <string.h>

/* How many records one look at the log looks at. */
#define PAYLOAD_LOOK_AT 4096

struct payload_copy {
	struct record record;
	uint64_t number;
	size_t start, len;
};

struct payload_look {
	const struct webhook_config *c;
	unsigned max;
	uint64_t oldest_us; /* what was said before is too old */
	struct payload_copy *at;
	unsigned n;
	char *text;
	size_t len, size;
	uint64_t missed;
};

/* --- where it begins --- */

/* The number that the log's next message will have, if it was made anew. */
static uint64_t payload_end_number(const struct room *room, const struct logring_view *v)
{
	uint64_t end = room->number_base + v->count;

	if (v->count > v->first) {
		uint64_t last = room_number(room, logring_record(room->log, v->count - 1), v->count - 1);
		/* What was restored, or came from others, has numbers of its own. */
		if (last >= end)
			end = last + 1;
	}
	return end;
}

/* Which messages before the first one that there is were not delivered: how many, or that nobody knows. */
static void payload_note_gap(const struct room *room, const struct logring_view *v, const struct cursor *from,
			     struct payload *p)
{
	bool any = v->first < v->count;
	uint64_t first = any ? room_number(room, logring_record(room->log, v->first), v->first)
			     : room->number_base + v->count;
	/* Its numbers go on from where the cursor is, unless it is another log, whose numbers begin anew. */
	bool goes_on = from->epoch == room->epoch &&
		       (from->next >= room->number_base || (any && first < room->number_base));

	if (from->epoch == room->epoch && from->next >= first)
		return;
	if (goes_on)
		p->missed = first - from->next;
	else if (from->left != CURSOR_LEFT_UNKNOWN)
		p->missed = from->left;
	else
		p->unknown = true;
}

/* --- copying --- */

/* Whether the receiver wants it; *ret_old: it would have, but it is too old. */
static bool payload_wants(const struct payload_look *l, const struct room *room, const struct record *r,
			  const char *line, bool *ret_old)
{
	bool wanted = !r->forgotten && (l->c->notices || !record_is_notice(r)) && speech_shows(room, r, line);

	*ret_old = wanted && r->time_us < l->oldest_us;
	return wanted && !*ret_old;
}

static bool payload_put(struct payload_look *l, const struct record *r, uint64_t number, const char *line,
			size_t len)
{
	if (l->n == l->max || l->len + len > l->size)
		return false;
	memcpy(l->text + l->len, line, len);
	l->at[l->n++] = (struct payload_copy){*r, number, l->len, len};
	l->len += len;
	return true;
}

/* With the lock. */
static void payload_look_at(struct payload_look *l, struct room *room, const struct cursor *from,
			    struct payload *p)
{
	struct logring_view v;

	logring_peek(room->log, &v);
	payload_note_gap(room, &v, from, p);
	uint64_t seq = from->epoch == room->epoch ? speech_find_number(room, &v, from->next) : v.first;
	uint64_t end = seq + PAYLOAD_LOOK_AT, number = 0;
	p->more = true;
	for (; seq < v.count && seq < end; seq++) {
		const struct record *r = logring_record(room->log, seq);
		uint64_t start = logring_start(room->log, &v, seq);
		const char *line = logring_at(&v, start);
		bool old, wanted = payload_wants(l, room, r, line, &old);
		if (wanted && !payload_put(l, r, room_number(room, r, seq), line, r->end - start))
			break;
		/* What is too old and comes before the first that isn't is missing; behind it nothing is. */
		p->missed += old;
		number = room_number(room, r, seq);
		p->after.next = number + 1;
		p->after.time_us = r->time_us;
	}
	if (seq == v.count) {
		p->more = false;
		p->after.next = payload_end_number(room, &v);
	}
	p->after.epoch = room->epoch;
	p->after.left = CURSOR_LEFT_UNKNOWN;
}

/* --- JSON --- */

static json_t *payload_text(const char *s, size_t len)
{
	_cleanup_free_ char *buf = NULL;
	const char *clean = s ? text_clean(s, &len, &buf) : NULL;

	return clean ? json_stringn(clean, len) : json_null();
}

static json_t *payload_message(const struct payload_item *item, uint64_t epoch)
{
	const struct speech_event *e = &item->event;
	char id[PAYLOAD_ID_SIZE];

	snprintf(id, sizeof(id), "%" PRIx64 "-%" PRIu64, epoch, item->number);
	return json_pack("{s:s,s:I,s:I,s:s,s:o,s:o}", "id", id, "number", (json_int_t)item->number, "time",
			 (json_int_t)e->time_us, "kind", speech_kind_name(e->kind), "nick",
			 payload_text(e->nick_len > 0 ? e->nick : NULL, e->nick_len), "text",
			 payload_text(e->text, e->text_len));
}

int payload_compose(const struct webhook_config *c, const char *room, const struct payload_item *at,
		    unsigned n, struct payload *p)
{
	char epoch[20];

	p->messages = n;
	/* Not of comings and goings behind it, so that the same messages have the same id again. */
	snprintf(p->id, sizeof(p->id), "%" PRIx64 "-%" PRIu64, p->after.epoch,
		 n > 0 ? at[n - 1].number : p->after.next - 1);
	if (n == 0 && p->missed == 0 && !p->unknown)
		return 0;
	json_t *messages = json_array();
	for (unsigned i = 0; i < n; i++)
		json_array_append_new(messages, payload_message(&at[i], p->after.epoch));
	snprintf(epoch, sizeof(epoch), "%" PRIx64, p->after.epoch);
	json_t *o =
	    json_pack("{s:s,s:s,s:s,s:o,s:O}", "webhook", c->name, "room", room, "epoch", epoch, "missed",
		      p->unknown ? json_null() : json_integer((json_int_t)p->missed), "messages", messages);
	if (o && json_array_size(messages) == n)
		p->body = json_dumps(o, JSON_COMPACT);
	json_decref(messages);
	json_decref(o);
	p->len = p->body ? strlen(p->body) : 0;
	return p->body ? 0 : -ENOMEM;
}

static int payload_write(const struct payload_look *l, const struct room *room, struct payload *p)
{
	_cleanup_free_ struct payload_item *items = calloc(l->n + 1, sizeof(*items));

	if (!items)
		return -ENOMEM;
	for (unsigned i = 0; i < l->n; i++) {
		items[i].number = l->at[i].number;
		speech_event_of(&l->at[i].record, l->text + l->at[i].start, l->at[i].len, &items[i].event);
	}
	return payload_compose(l->c, room->name, items, l->n, p);
}

int payload_make(struct room *room, const struct webhook_config *c, const struct cursor *from, unsigned max,
		 int64_t now_us, struct payload *ret)
{
	_cleanup_free_ struct payload_copy *at = calloc(max, sizeof(*at));
	_cleanup_free_ char *text = malloc(PAYLOAD_BYTES);
	struct payload_look l = {.c = c,
				 .max = max,
				 .oldest_us = now_us > c->keep_us ? (uint64_t)(now_us - c->keep_us) : 0,
				 .at = at,
				 .text = text,
				 .size = PAYLOAD_BYTES};

	*ret = (struct payload){.after = *from};
	if (!at || !text)
		return -ENOMEM;
	logring_lock(room->log);
	payload_look_at(&l, room, from, ret);
	logring_unlock(room->log);
	return payload_write(&l, room, ret);
}

void payload_free(struct payload *p)
{
	free(p->body);
	p->body = NULL;
}

/* --- what else is asked of a room --- */

uint64_t payload_first(struct room *room)
{
	struct logring_view v;

	logring_lock(room->log);
	logring_peek(room->log, &v);
	uint64_t first = v.first < v.count ? room_number(room, logring_record(room->log, v.first), v.first)
					   : payload_end_number(room, &v);
	logring_unlock(room->log);
	return first;
}

void payload_end(struct room *room, struct cursor *ret)
{
	struct logring_view v;

	logring_lock(room->log);
	logring_peek(room->log, &v);
	ret->next = payload_end_number(room, &v);
	logring_unlock(room->log);
	ret->epoch = room->epoch;
	ret->left = CURSOR_LEFT_UNKNOWN;
}

uint64_t payload_waiting(struct room *room, const struct cursor *c)
{
	struct cursor end;

	payload_end(room, &end);
	if (c->epoch == end.epoch && c->next >= room->number_base)
		return end.next > c->next ? end.next - c->next : 0;
	/* From before this log: all of it. */
	return logring_count(room->log);
}
