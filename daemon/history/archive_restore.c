/* SPDX-License-Identifier: MIT */
/*
 * The start, on the main thread and before anybody is greeted: in a state that begins, after a stop or a reboot, rooms
 * go on counting where the database ends, and get their last messages back from it. Only reads: whatever is wrong with
 * the database, chatd starts, and the archive's thread sees to it.
 */
#include "common/cleanup.h"
#include "daemon/base/clock.h"
#include "daemon/base/fault.h"
#include "daemon/base/logger.h"
#include "daemon/history/archive_own.h"
#include "daemon/rooms/file.h"
#include "daemon/rooms/restore.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Comings and goings among the last messages come back, too, unless there are too many. */
#define RESTORE_NOTICES 4
/* Nobody is served meanwhile. Rooms whose turn does not come are made when somebody enters them. */
#define RESTORE_MAX_US SECOND_US
/* After a power cut numbers above the database's had been given, too, and the clock may be behind it. They are far less
 * than that. */
#define RESTORE_NUMBERS UINT64_C(3600000000)
/* A file of a later time (the year 2200) says nothing. */
#define RESTORE_LATEST INT64_C(7258118400)

/* More rooms than ever were shared. */
#define RESTORE_PLACES (1U << 20)

/* The rooms that there were. */
struct restore_rooms {
	struct restored_room *at;
	size_t n, space;
	bool lacks_memory;
};

/* The last messages of one, the newest first. */
struct restore_lines {
	const struct restored_room *room;
	struct speech_event *at;
	size_t n, space;
	unsigned said, history;
};

struct restored {
	size_t rooms, lines, left;
	bool lacks_closed; /* one that is for members only could not be made */
	bool without_lines;
};

/* -ENOENT: there is no history yet. lacking: what isn't possible without. */
static int restore_open_store(const struct archive *a, const char *lacking, struct store **ret)
{
	char why[STORE_WHY_MAX] = "";
	int r = store_open(a->path, STORE_READ, 0, ret, why);

	if (r == -ESTALE) { /* an upgrade */
		r = store_open(a->path, STORE_WRITE, 0, ret, why);
		if (r == 0) {
			store_close(*ret);
			r = store_open(a->path, STORE_READ, 0, ret, why);
		}
	}
	if (r < 0)
		*ret = NULL;
	if (r < 0 && r != -ENOENT)
		log_event(LOG_ERR, &(struct log_fields){.message_id = EVENT_HISTORY}, "history: %s: %s",
			  lacking, why);
	return r;
}

/*
 * When the database was written to last. Numbers are times, so those that are in it are below that, unless the clock
 * had been set back before; then the new epoch still tells messages apart.
 */
static uint64_t restore_last_written(const struct archive *a)
{
	static const char *const suffixes[] = {"", "-wal"};
	int64_t last = 0;

	for (size_t i = 0; i < sizeof(suffixes) / sizeof(*suffixes); i++) {
		_cleanup_free_ char *path = NULL;
		struct stat st;
		if (asprintf(&path, "%s%s", a->path, suffixes[i]) > 0 && stat(path, &st) == 0 &&
		    st.st_mtim.tv_sec < RESTORE_LATEST && st.st_mtim.tv_sec > last)
			last = st.st_mtim.tv_sec;
	}
	return last > 0 ? (uint64_t)(last + 1) * SECOND_US + RESTORE_NUMBERS : 0;
}

/* Above all numbers that were given. */
static int restore_floor(struct store *s, uint64_t *ret)
{
	int r = store_floor(s, ret);

	if (r == 0 && *ret > 0 && *ret < INT64_MAX - RESTORE_NUMBERS)
		*ret += RESTORE_NUMBERS;
	return r;
}

void archive_name_messages(struct archive *a)
{
	struct rooms *rooms = a->ctx.shared->rooms;
	uint64_t epoch = rooms_epoch(rooms), above = 0;

	if (rooms_begin(rooms)) {
		int r = restore_open_store(a,
					   "rooms can't get their messages back, and until it is known which "
					   "there were, no rooms are opened",
					   &a->past);
		if (r == 0)
			r = restore_floor(a->past, &above);
		if (r == 0)
			epoch = store_epoch(a->past);
		else if (r != -ENOENT)
			above = restore_last_written(a);
		rooms_set_past_unknown(rooms, r < 0 && r != -ENOENT);
	}
	if (epoch == 0)
		epoch = room_epoch_new();
	a->epoch = epoch;
	rooms_name_messages(rooms, epoch, above);
}

/* --- how far the stream was stored --- */

static bool restore_add_place(const char *room, const struct store_place *p, void *arg)
{
	struct archive *a = arg;
	struct archive_streamed *more = reallocarray(a->streamed, a->n_streamed + 1, sizeof(*more));

	if (!more)
		return false;
	a->streamed = more;
	more[a->n_streamed] = (struct archive_streamed){.room = strdup(room), .p = *p};
	a->n_streamed += more[a->n_streamed].room != NULL;
	return a->n_streamed < RESTORE_PLACES;
}

void archive_learn_places(struct archive *a)
{
	struct store *s = a->past;

	if (!s && !rooms_begin(a->ctx.shared->rooms))
		restore_open_store(a, "how far the other nodes' messages are stored can't be read", &s);
	if (s && store_places(s, restore_add_place, a) < 0)
		log_event(LOG_ERR, &(struct log_fields){.message_id = EVENT_HISTORY},
			  "history: how far the other nodes' messages are stored can't be read: %s",
			  store_why(s));
	if (s != a->past)
		store_close(s);
}

/* --- which rooms there were --- */

static bool restore_add_room(const struct store_room *room, uint64_t next, int64_t last_us, void *arg)
{
	struct restore_rooms *l = arg;

	(void)last_us;
	if (next == 0)
		return true; /* it was over */
	if (l->n == l->space)
		return false;
	struct restored_room *r = &l->at[l->n];
	*r = (struct restored_room){.name = strdup(room->name),
				    .epoch = room->epoch,
				    .raw = room->raw,
				    .read_only = room->read_only,
				    .members_only = room->members_only};
	l->n += r->name != NULL;
	l->lacks_memory |= !r->name;
	return true;
}

static void restore_free_rooms(struct restore_rooms *l)
{
	for (size_t i = 0; i < l->n; i++)
		free((char *)l->at[i].name);
	free(l->at);
}

/* --- what was said there --- */

static bool restore_add_line(const struct store_message *m, void *arg)
{
	struct restore_lines *l = arg;
	const struct speech_event *e = &m->event;

	if (m->epoch != l->room->epoch || l->n == l->space)
		return false; /* another log's numbers mean nothing in this one */
	char *text = malloc(e->nick_len + e->text_len + 1);
	if (!text)
		return false;
	memcpy(text, e->nick, e->nick_len);
	memcpy(text + e->nick_len, e->text, e->text_len);
	struct speech_event *to = &l->at[l->n++];
	*to = *e;
	to->nick = text;
	to->text = text + e->nick_len;
	to->number = m->number;
	to->stream = m->stream;
	to->sender = 0; /* clients of another time */
	l->said += e->kind < RECORD_NOTICE;
	return l->said < l->history;
}

static void restore_turn_round(struct restore_lines *l)
{
	for (size_t i = 0; i < l->n / 2; i++) {
		struct speech_event e = l->at[i];
		l->at[i] = l->at[l->n - 1 - i];
		l->at[l->n - 1 - i] = e;
	}
}

static void restore_forget_lines(struct restore_lines *l)
{
	for (size_t i = 0; i < l->n; i++)
		free((char *)l->at[i].nick);
	l->n = 0;
	l->said = 0;
}

static int restore_read_lines(struct store *s, struct restore_lines *l, bool notices)
{
	const struct store_query q = {.room = l->room->name,
				      .notices = notices,
				      .limit = (unsigned)l->space,
				      .time_limit_us = RESTORE_MAX_US};

	restore_forget_lines(l);
	return store_read(s, &q, restore_add_line, l);
}

static int restore_lines(struct store *s, const struct restored_room *what, struct room *room, size_t *n)
{
	struct restore_lines l = {.room = what, .history = room->history};

	l.space = (size_t)RESTORE_NOTICES * l.history;
	if (l.history == 0)
		return 0;
	l.at = calloc(l.space, sizeof(*l.at));
	int r = l.at ? restore_read_lines(s, &l, true) : -ENOMEM;
	/* So much coming and going that it leaves no space for what was said. */
	if (r == 0 && l.n == l.space && l.said < l.history)
		r = restore_read_lines(s, &l, false);
	restore_turn_round(&l);
	if (r == 0)
		*n += room_restore(room, l.at, l.n);
	restore_forget_lines(&l);
	free(l.at);
	return r;
}

/* --- all of it --- */

/* Held, as the late ones may end as soon as they are there. */
static void restore_decided(struct archive *a, struct store *s, const char *name)
{
	struct rooms *rooms = a->ctx.shared->rooms;
	struct room *room;

	if (rooms_enter_existing(rooms, name, a->ctx.slot, &room) < 0)
		return;
	archive_channel_restore(a, s, room);
	rooms_leave(rooms, room, a->ctx.slot);
}

/* Those that are for members only, or the others. */
static int restore_some(struct archive *a, struct store *s, const struct restore_rooms *l, bool members_only,
			int64_t until, struct restored *ret)
{
	int r = 0, e;

	/* What can't be read of one room keeps no other one away, nor that one open to those who may not enter. */
	for (size_t i = 0; i < l->n; i++) {
		struct room *room;
		if (l->at[i].members_only != members_only)
			continue;
		if (clock_us(CLOCK_MONOTONIC) >= until) {
			ret->left++;
			continue;
		}
		if (!archive_keeps(a, l->at[i].name))
			continue;
		e = rooms_restore(a->ctx.shared->rooms, &l->at[i], &room);
		ret->lacks_closed |= members_only && e < 0 && e != -EEXIST && e != -EINVAL;
		if (e == 0 || e == -EEXIST)
			restore_decided(a, s, l->at[i].name);
		if (e < 0)
			continue;
		ret->rooms++;
		e = ret->without_lines ? 0 : restore_lines(s, &l->at[i], room, &ret->lines);
		r = e < 0 ? e : r;
	}
	return r;
}

/* What of them is there now, into ret. A room that can't be read is no error of the others: r is the last one's. */
static int restore_rooms(struct archive *a, struct store *s, const struct restore_rooms *l,
			 struct restored *ret)
{
	int64_t until = clock_us(CLOCK_MONOTONIC) + RESTORE_MAX_US;

	/* However long it takes: who opened such a room anew would read what was said there. */
	int r = restore_some(a, s, l, true, INT64_MAX, ret), e = restore_some(a, s, l, false, until, ret);
	if (ret->rooms > 0)
		log_event(LOG_NOTICE, &(struct log_fields){.message_id = EVENT_HISTORY},
			  "history: %zu room%s restored, with %zu message%s", ret->rooms,
			  ret->rooms == 1 ? "" : "s", ret->lines, ret->lines == 1 ? "" : "s");
	if (ret->left > 0)
		log_event(LOG_WARNING, &(struct log_fields){.message_id = EVENT_HISTORY},
			  "history: %zu rooms are not restored: it would take too long", ret->left);
	return r < 0 ? r : e;
}

/* *ret_known: all that are closed are there, and stay closed. */
static int restore_all(struct archive *a, struct store *s, struct restored *ret, bool *ret_known)
{
	struct restore_rooms l = {.space = ROOMS_CAPACITY / 2};

	l.at = calloc(l.space, sizeof(*l.at));
	int r = l.at ? store_rooms(s, restore_add_room, &l) : -ENOMEM;
	*ret_known = r == 0 && !l.lacks_memory;
	if (r == 0)
		r = restore_rooms(a, s, &l, ret);
	*ret_known &= !ret->lacks_closed;
	restore_free_rooms(&l);
	return r;
}

void archive_restore(struct archive *a)
{
	struct store *s = a ? take_ptr(a->past) : NULL;
	struct restored got = {0};
	bool known;

	if (!s)
		return;
	int r = restore_all(a, s, &got, &known);
	if (!known)
		rooms_set_past_unknown(a->ctx.shared->rooms, true);
	if (r < 0)
		log_event(LOG_ERR, &(struct log_fields){.message_id = EVENT_HISTORY},
			  "history: rooms can't get their messages back: %s",
			  store_why(s)[0] ? store_why(s) : strerror(-r));
	store_close(s);
}

int archive_learn_rooms(struct archive *a)
{
	struct rooms *rooms = a->ctx.shared->rooms;
	struct restored got = {.without_lines = true};
	uint64_t above;
	bool known = false;
	int r = restore_floor(a->store, &above);

	if (r == 0) {
		rooms_name_messages(rooms, rooms_epoch(rooms), above);
		r = restore_all(a, a->store, &got, &known);
	}
	if (!known)
		return r < 0 ? r : -ENOSPC;
	FAULT("archive-learned");
	rooms_set_past_unknown(rooms, false);
	log_event(LOG_NOTICE, &(struct log_fields){.message_id = EVENT_HISTORY},
		  "history: which rooms there were is known now, and rooms are opened again");
	return 0;
}
