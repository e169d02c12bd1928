/* SPDX-License-Identifier: MIT */
/*
 * What is stored in one turn: the news of the rooms, each of which is held until the transaction is over. How far a
 * room was stored is in the database, in the same transaction; what is known of it here is the same, or is forgotten.
 */
#include "daemon/history/archive_own.h"

#include "daemon/base/clock.h"
#include "daemon/base/fault.h"
#include "daemon/base/logger.h"
#include "daemon/rooms/archived.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* By so much the clocks of nodes may differ. */
#define NEWS_CLOCKS_US (60 * SECOND_US)
/* The index takes up what was stored when it is that many: so large a piece of it costs a fifth less than small ones. When
 * more is said than can be stored the index can wait, but what is said can't. */
#define NEWS_INDEX_MESSAGES 16384
#define NEWS_INDEX_HURRY 2048

static int news_begin(struct archive *a)
{
	if (a->in_transaction)
		return 0;
	int r = store_begin(a->store);
	a->in_transaction = r == 0;
	return r;
}

static struct store_room news_describe(const struct room *r)
{
	return (struct store_room){.name = r->name,
				   .epoch = r->epoch,
				   .raw = r->raw,
				   .read_only = r->read_only,
				   .members_only = r->members_only};
}

/* --- gaps --- */

static const char *news_why(const struct archive *a)
{
	return a->why[0] ? a->why : "more was said than could be stored";
}

/* Messages that can't be had any more. Those of a database that was set aside are stored, but not in this one. */
static int news_gap(struct archive *a, const struct store_room *room, uint64_t first, uint64_t end)
{
	int r = news_begin(a);

	if (r == 0)
		r = store_gap(a->store, room, first, end, clock_us(CLOCK_REALTIME), news_why(a));
	if (r == -EEXIST)
		return 0;
	if (r < 0)
		return r;
	FAULT("archive-gap");
	a->n_lost += end - first;
	a->n_gaps++;
	log_event(LOG_WARNING, &(struct log_fields){.message_id = EVENT_HISTORY, .room = room->name},
		  "history: %" PRIu64 " message%s of room %s could not be stored: %s", end - first,
		  end - first == 1 ? "" : "s", room->name, news_why(a));
	return 0;
}

/* --- rooms that have news --- */

static void news_add_busy(uint32_t index, void *arg)
{
	struct archive *a = arg;

	if (index >= ROOMS_CAPACITY || a->places[index].busy)
		return;
	a->places[index].busy = true;
	a->busy[a->n_busy++] = index;
}

static void news_add_decided(uint32_t index, void *arg)
{
	struct archive *a = arg;

	if (index < ROOMS_CAPACITY)
		a->places[index].channel_changed = true;
	news_add_busy(index, arg);
}

/* --- rooms that are gone --- */

/* One of that name may be there again. What is decided in it may be stored already, as that of the one before. */
static bool news_room_is_there(struct archive *a, const char *name)
{
	struct room *r;

	if (rooms_enter_existing(a->ctx.shared->rooms, name, a->ctx.slot, &r) < 0)
		return false;
	a->places[r->index].channel = 0;
	news_add_decided(r->index, a);
	rooms_leave(a->ctx.shared->rooms, r, a->ctx.slot);
	return true;
}

static int news_end_room(struct archive *a, const struct archive_ended *e)
{
	const struct store_room room = {.name = e->name,
					.epoch = e->epoch,
					.raw = e->raw,
					.read_only = e->read_only,
					.members_only = e->members_only};
	uint64_t next, first = e->first;

	if (!archive_keeps(a, e->name)) /* not even its name */
		return 0;
	int r = news_begin(a);

	if (r == 0 && store_position(a->store, e->name, e->epoch, &next) == 0 && next > first)
		first = next;
	if (r == 0 && first < e->end)
		r = news_gap(a, &room, first, e->end);
	if (r == 0)
		r = store_set_channel(a->store, &room, 0, NULL, 0);
	if (r == 0 && !news_room_is_there(a, e->name))
		r = store_room_ended(a->store, e->name);
	return r;
}

static int news_end_rooms(struct archive *a)
{
	int r = 0;

	if (!a->ended_now) {
		pthread_mutex_lock(&a->lock);
		a->ended_now = a->ended;
		a->ended = NULL;
		a->last_ended = &a->ended;
		pthread_mutex_unlock(&a->lock);
	}
	for (const struct archive_ended *e = a->ended_now; e && r == 0; e = e->next)
		r = news_end_room(a, e);
	return r;
}

static void news_forget_ended(struct archive *a)
{
	for (struct archive_ended *e = a->ended_now, *next; e; e = next) {
		next = e->next;
		free(e);
	}
	a->ended_now = NULL;
}

/* --- what rooms have to be stored --- */

/* With the log's lock: the first message that has that number or a higher one. */
static uint64_t news_find(const struct room *r, const struct logring_view *v, uint64_t number)
{
	uint64_t low = speech_find_number(r, v, number);

	/* Those before the first one that is there are gone, and were not stored. */
	if (low == v->first && number >= r->number_base && number - r->number_base < low)
		low = number - r->number_base;
	else if (low == v->first && number < r->number_base)
		low = 0;
	return low;
}

/*
 * Whether it came from the stream and was stored before; a stream that is made anew has later lines at such places. A new
 * memory of a node reads the stream from its beginning: if the database could not be read then, it is all in the room again.
 */
static bool news_was_stored(const struct archive_place *p, const struct record *record)
{
	return record->target != 0 && record->target <= p->before.place &&
	       (int64_t)record->time_us <= p->before.time_us + NEWS_CLOCKS_US;
}

/* All that it had when it was there is stored, or is in this transaction. */
static int news_put_place(struct archive *a, const struct room *r, const struct archive_place *p,
			  const struct store_place *now, uint64_t *ret_stored)
{
	*ret_stored = now->place;
	if (now->place == 0 || now->place == p->stored)
		return 0;
	int e = news_begin(a);
	return e < 0 ? e : store_set_place(a->store, r->name, now);
}

/* How far the room was stored, if this connection does not know it yet. */
static int news_learn(struct archive *a, struct room *r, struct archive_place *p)
{
	struct logring_view v;
	uint64_t number, next = 0;

	if (p->connection == a->connection && p->epoch == r->epoch && p->number_base == r->number_base)
		return 0;
	int e = store_place(a->store, r->name, &p->before);
	if (e < 0)
		return e;
	e = store_position(a->store, r->name, r->epoch, &number);
	if (e < 0 && e != -ENOENT)
		return e;
	if (e == 0) {
		logring_lock(r->log);
		logring_peek(r->log, &v);
		next = news_find(r, &v, number);
		logring_unlock(r->log);
	}
	p->epoch = r->epoch;
	p->number_base = r->number_base;
	p->connection = a->connection;
	p->next = next;
	p->stored = p->before.place;
	p->channel = 0;
	return 0;
}

/* What the log had from *next on is copied, as far as there is space. Returns how many messages that is. */
static unsigned news_copy(struct archive *a, struct room *r, uint64_t *next, uint64_t *ret_start)
{
	struct logring_view v;
	uint64_t end;
	unsigned n = 0;

	logring_lock(r->log);
	logring_peek(r->log, &v);
	if (*next < v.first)
		*next = v.first;
	*ret_start = end = *next < v.count ? logring_start(r->log, &v, *next) : v.head;
	/* Asked for with the lock: from the moment when a room is not to be stored, nothing that is said is. */
	for (; r->is_archived && *next + n < v.count && n < ARCHIVE_CHUNK_MESSAGES; n++) {
		const struct record *record = logring_record(r->log, *next + n);
		if (n > 0 && record->end - *ret_start > ARCHIVE_CHUNK_BYTES)
			break;
		a->records[n] = *record;
		end = record->end;
	}
	size_t bytes = end - *ret_start;
	if (bytes > a->text_size) {
		char *text = realloc(a->text, bytes);
		if (!text)
			abort(); /* a crash is recovered from */
		a->text = text;
		a->text_size = bytes;
	}
	if (bytes > 0)
		memcpy(a->text, logring_at(&v, *ret_start), bytes);
	logring_unlock(r->log);
	return n;
}

static int news_put(struct archive *a, struct room *r, const struct store_room *room, uint64_t seq,
		    const struct record *record, uint64_t start)
{
	struct store_message m = {
	    .epoch = r->epoch, .number = room_number(r, record, seq), .stream = record->target};

	if (record->forgotten) /* before it was stored */
		return 0;
	speech_event_of(record, a->text + start, record->end - start, &m.event);
	int e = store_put(a->store, room, &m);
	if (e == -EINVAL) /* nothing that was said, but it has a number */
		return news_gap(a, room, m.number, m.number + 1);
	if (e == 0)
		a->n_put++;
	return e == -EEXIST ? 0 : e;
}

/* 0, 1 if there is more, or -errno. */
static int news_read(struct archive *a, struct room *r, struct archive_place *p, struct archive_held *h)
{
	const struct store_room room = news_describe(r);
	/* First the place, as what is put into the room later than that is read, too, or isn't. */
	const struct store_place place = {.place = atomic_load(&r->place),
					  .time_us = atomic_load(&r->place_us)};
	uint64_t next = p->next > r->kept_from ? p->next : r->kept_from, from = next, start;
	int e = 0;

	for (;;) {
		unsigned n = news_copy(a, r, &next, &start);
		if (next > from)
			e = news_gap(a, &room, r->number_base + from, r->number_base + next);
		if (e == 0 && n > 0)
			e = news_begin(a);
		for (unsigned i = 0; i < n && e == 0; i++) {
			struct record *record = &a->records[i];
			uint64_t begin = i > 0 ? a->records[i - 1].end - start : 0;
			struct record relative = *record;
			relative.end = record->end - start;
			if (!news_was_stored(p, record))
				e = news_put(a, r, &room, next + i, &relative, begin);
		}
		next += n;
		from = next;
		h->next = next;
		if (e == 0 && n == 0)
			e = news_put_place(a, r, p, &place, &h->stored);
		if (e < 0 || n == 0)
			return e;
		FAULT("archive-put");
		if (a->n_put >= ARCHIVE_TURN_MESSAGES)
			return 1;
	}
}

/* When all is stored that was said before. */
static int news_decided(struct archive *a, struct room *r, const struct archive_place *p,
			struct archive_held *h)
{
	const struct store_room room = news_describe(r);
	size_t len = archive_channel_pack(a, r, &h->channel);
	int e = 0;

	h->is_decided = true;
	if (len == 0 || h->channel == p->channel) /* somebody without an account has another status */
		return 0;
	e = news_begin(a);
	if (e == 0)
		e = store_set_channel(a->store, &room, r->number_base + h->next, a->channel, len);
	FAULT("archive-channel");
	return e;
}

/* Holds the room, and stores what is new. */
static int news_store_room(struct archive *a, uint32_t index)
{
	struct room *r = rooms_enter_index(a->ctx.shared->rooms, index, a->ctx.slot);
	struct archive_place *p = &a->places[index];
	struct archive_held *h = &a->held[a->n_held];

	if (!r)
		return 0;
	h->room = r;
	h->next = 0;
	h->stored = p->stored;
	h->channel = p->channel;
	h->is_decided = false;
	a->n_held++;
	int e = r->is_archived ? news_learn(a, r, p) : 0;
	if (e == 0 && r->is_archived)
		e = news_read(a, r, p, h);
	if (e == 0 && r->is_archived && p->channel_changed)
		e = news_decided(a, r, p, h);
	return e;
}

/* --- the turn --- */

/* It is true now, or (stored is false) nothing of it is. */
static void news_let_go(struct archive *a, bool stored)
{
	for (unsigned i = 0; i < a->n_held; i++) {
		struct archive_held *h = &a->held[i];
		struct archive_place *p = &a->places[h->room->index];
		if (stored && h->room->is_archived) {
			p->next = h->next;
			p->stored = h->stored;
			p->channel = h->channel;
			p->channel_changed = p->channel_changed && !h->is_decided;
			room_set_archived(h->room, h->next);
		}
		rooms_leave(a->ctx.shared->rooms, h->room, a->ctx.slot);
	}
	a->n_held = 0;
}

/* The rooms of which all is stored needn't be looked at before they have news. */
static void news_drop_done(struct archive *a, unsigned done)
{
	for (unsigned i = 0; i < done; i++)
		a->places[a->busy[i]].busy = false;
	memmove(a->busy, a->busy + done, (a->n_busy - done) * sizeof(*a->busy));
	a->n_busy -= done;
}

static int news_commit(struct archive *a)
{
	int r = 0;

	a->unindexed += a->n_put;
	if (a->in_transaction && a->unindexed >= NEWS_INDEX_MESSAGES)
		r = store_index(a->store,
				a->n_put < ARCHIVE_TURN_MESSAGES ? 2 * NEWS_INDEX_MESSAGES : NEWS_INDEX_HURRY,
				&a->unindexed);
	if (r < 0 || !a->in_transaction)
		return r;
	int64_t began = clock_us(CLOCK_MONOTONIC);
	FAULT("archive-commit");
	r = store_commit(a->store);
	FAULT("archive-committed");
	if (r < 0)
		return r;
	a->in_transaction = false;
	pthread_mutex_lock(&a->lock);
	a->status.commit_us = clock_us(CLOCK_MONOTONIC) - began;
	a->status.commits++;
	a->status.stored += a->n_put;
	a->status.messages += a->n_put; /* until they are counted anew */
	a->status.lost += a->n_lost;
	a->status.gaps += a->n_gaps;
	pthread_mutex_unlock(&a->lock);
	return 0;
}

int archive_turn(struct archive *a)
{
	unsigned done = 0;
	int r;

	a->n_put = a->n_lost = a->n_gaps = 0;
	r = news_end_rooms(a);
	wakeup_take(a->wakeup, news_add_busy, a);
	archive_channels_changed(a, news_add_decided);
	while (r == 0 && done < a->n_busy && a->n_held < ARCHIVE_TURN_ROOMS) {
		r = news_store_room(a, a->busy[done]);
		done += r == 0;
	}
	if (r >= 0) {
		int e = news_commit(a);
		r = e < 0 ? e : r;
	}
	if (r < 0)
		return r;
	news_let_go(a, true);
	FAULT("archive-stored");
	news_forget_ended(a);
	news_drop_done(a, done);
	return a->n_busy > 0;
}

void archive_turn_failed(struct archive *a)
{
	if (a->in_transaction)
		store_abandon(a->store);
	a->in_transaction = false;
	news_let_go(a, false);
}
