/* SPDX-License-Identifier: MIT */
/*
 * Entering rooms and leaving them. A room is opened by the first who enters it, and closes when it has been
 * empty for long, or when there are too many.
 */
#include "daemon/base/clock.h"
#include "daemon/rooms/archived.h"
#include "daemon/rooms/directory.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* This many rooms are looked at before whoever waits for the lock gets it. */
#define LOCKED_MAX 64
/* Rooms whose time is over are removed for this long; the others' turn is a second later. */
#define EXPIRE_US 10000

/* --- entering and leaving --- */

static bool room_is_empty(const struct rooms *rs, const struct room *r)
{
	return !r->main && !r->configured && !r->members_only && !(r->outgoing && r->decided) &&
	       outgoing_room_is_idle(rs, r);
}

void room_set_decided(const struct room *r, unsigned decided)
{
	atomic_store(&((struct room *)r)->decided, decided);
}

/* Whoever made it anew would be shown what is stored of it, and was closed to others. */
static bool room_guards_past(const struct room *r)
{
	return r->is_archived && r->decided & ROOM_CLOSED;
}

/* Whether a goes rather than b (NULL: none): as nothing of it is lost, or it has been empty for longer. */
static bool room_goes_before(const struct room *a, const struct room *b)
{
	bool stored = room_is_stored(a);

	if (b && room_guards_past(a) != room_guards_past(b))
		return room_guards_past(b);
	return !b || stored > room_is_stored(b) ||
	       (stored == room_is_stored(b) && a->empty_since < b->empty_since);
}

/* With max_rooms reached, the room that has been empty for the longest time makes way: of those that only other nodes
 * have spoken in, or of those that were opened here. */
static bool room_evict(struct rooms *rs, bool from_others)
{
	struct room *oldest = NULL;

	for (uint32_t i = 1; rs->settled && i < rs->high; i++)
		if (rs->at[i] && rs->at[i]->from_others == from_others && room_is_empty(rs, rs->at[i]) &&
		    room_goes_before(rs->at[i], oldest))
			oldest = rs->at[i];
	if (oldest)
		directory_remove(rs, oldest);
	return oldest;
}

static void room_add_reader(struct room *r, unsigned slot)
{
	if (atomic_fetch_add(&r->readers[slot], 1) == 0)
		logring_caught_up(r->log, slot); /* it has missed nothing yet */
}

static unsigned room_count_opened(const struct rooms *rs, const uint8_t opener[static ADDRESS_KEY_LEN])
{
	unsigned n = 0;

	for (uint32_t i = 1; i < rs->high; i++)
		n += rs->at[i] && memcmp(rs->at[i]->opener, opener, ADDRESS_KEY_LEN) == 0;
	return n;
}

/* Whatever other nodes say, there are max_rooms for those who are here. */
static bool room_has_space(struct rooms *rs, bool from_others)
{
	if (!from_others && rs->n_rooms - rs->n_from_others >= rs->limits.rooms)
		return room_evict(rs, false);
	return rs->n_rooms < rs->limits.rooms || (rs->n_from_others > 0 && room_evict(rs, true)) ||
	       !from_others;
}

/*
 * Whether somebody from outside wants what may have been there before, and been closed to them. What other nodes say
 * there is taken, as nobody here sees it.
 */
static bool room_waits_for_past(const struct rooms *rs, const struct room *r, const struct room_guest *guest)
{
	return rs->dir->past_unknown && rs->archive.keeps && guest->address && (!r || r->from_others);
}

/* A room that somebody opens. */
static int room_open(struct rooms *rs, const char *name, const struct room_guest *guest, struct room **ret)
{
	const union address *address = guest->address;
	uint8_t opener[ADDRESS_KEY_LEN] = {0};

	if (address)
		address_site(address, opener);
	if (address && rs->limits.rooms_per_address > 0 &&
	    room_count_opened(rs, opener) >= rs->limits.rooms_per_address)
		return -EDQUOT;
	if (!room_has_space(rs, guest->from_others))
		return -ENOSPC;
	int e = outgoing_create_room(rs, name, &rs->defaults, opener, ret);
	if (e == 0 && guest->from_others) {
		(*ret)->from_others = true;
		rs->dir->slots[(*ret)->index].from_others = 1;
		rs->n_from_others++;
	}
	return e;
}

int rooms_enter(struct rooms *rs, const char *name, unsigned slot, const struct room_guest *guest,
		struct room **ret)
{
	struct room *r;
	int e = 0;

	pthread_mutex_lock(&rs->lock);
	r = directory_find(rs, name);
	if (room_waits_for_past(rs, r, guest))
		e = -EAGAIN;
	else if (!r)
		e = room_open(rs, name, guest, &r);
	else if (r->members_only && !guest->is_member)
		e = -EACCES;
	if (e == 0) {
		if (!guest->from_others)
			directory_adopt(rs, r);
		room_add_reader(r, slot);
		*ret = r;
	}
	pthread_mutex_unlock(&rs->lock);
	return e;
}

int rooms_enter_existing(struct rooms *rs, const char *name, unsigned slot, struct room **ret)
{
	pthread_mutex_lock(&rs->lock);
	struct room *r = directory_find(rs, name);
	if (r)
		room_add_reader(r, slot);
	pthread_mutex_unlock(&rs->lock);
	*ret = r;
	return r ? 0 : -ENOENT;
}

bool rooms_exists(struct rooms *rs, const char *name)
{
	pthread_mutex_lock(&rs->lock);
	bool exists = directory_find(rs, name) != NULL;
	pthread_mutex_unlock(&rs->lock);
	return exists;
}

struct room *rooms_enter_index(struct rooms *rs, uint32_t index, unsigned slot)
{
	if (index == ROOM_PRIVATE || index >= ROOMS_CAPACITY)
		return NULL;
	pthread_mutex_lock(&rs->lock);
	struct room *r = rs->at[index];
	if (r)
		room_add_reader(r, slot);
	pthread_mutex_unlock(&rs->lock);
	return r;
}

void rooms_leave(struct rooms *rs, struct room *r, unsigned slot)
{
	pthread_mutex_lock(&rs->lock);
	atomic_fetch_sub(&r->readers[slot], 1);
	if (room_is_unread(r))
		r->empty_since = clock_us(CLOCK_MONOTONIC);
	pthread_mutex_unlock(&rs->lock);
}

struct room *rooms_private(struct rooms *rs)
{
	return rs->at[ROOM_PRIVATE];
}

struct room *rooms_at(struct rooms *rs, uint32_t index)
{
	return index < ROOMS_CAPACITY ? rs->at[index] : NULL;
}

bool rooms_would_share(struct rooms *rs, const char *name)
{
	pthread_mutex_lock(&rs->lock);
	bool r = !directory_find(rs, name) && rs->cluster.is_clustered &&
		 rs->cluster.is_clustered(name, rs->cluster.arg);
	pthread_mutex_unlock(&rs->lock);
	return r;
}

bool rooms_shared_name(struct rooms *rs, uint32_t index, char ret[TEXT_ROOM_MAX + 1])
{
	if (index >= ROOMS_CAPACITY)
		return false;
	pthread_mutex_lock(&rs->lock);
	const struct room *r = rs->at[index];
	bool shared = r && r->outgoing;
	if (shared)
		memcpy(ret, r->name, TEXT_ROOM_MAX + 1);
	pthread_mutex_unlock(&rs->lock);
	return shared;
}

uint32_t room_members(const struct room *r)
{
	return room_count_readers(r, r->n_workers);
}

unsigned room_workers(const struct room *r)
{
	unsigned n = 0;

	for (unsigned i = 0; i < r->n_workers; i++)
		n += atomic_load_explicit(&r->readers[i], memory_order_relaxed) > 0;
	return n;
}

/* --- all of them --- */

/* Between two looks at the table, which change nothing for each other. */
static void room_let_others_in(struct rooms *rs)
{
	pthread_mutex_unlock(&rs->lock);
	sched_yield();
	pthread_mutex_lock(&rs->lock);
}

void rooms_expire(struct rooms *rs, int64_t now)
{
	int64_t until = clock_us(CLOCK_MONOTONIC) + EXPIRE_US;
	unsigned looked_at = 0;

	pthread_mutex_lock(&rs->lock);
	for (uint32_t i = 1; i < rs->high; i++) {
		bool over = rs->at[i] && room_is_empty(rs, rs->at[i]) && !room_guards_past(rs->at[i]) &&
			    now - rs->at[i]->empty_since > rs->limits.linger_us && room_is_stored(rs->at[i]);
		if (over)
			directory_remove(rs, rs->at[i]);
		/* Giving a log's memory back takes a while. Nobody who enters a room shall wait for that. */
		if (over && clock_us(CLOCK_MONOTONIC) > until)
			break;
		if (over || ++looked_at % LOCKED_MAX == 0)
			room_let_others_in(rs);
	}
	pthread_mutex_unlock(&rs->lock);
}

void rooms_each(struct rooms *rs, bool (*fn)(struct room *r, void *arg), void *arg)
{
	unsigned n = 0;

	pthread_mutex_lock(&rs->lock);
	for (uint32_t i = 1; i < rs->high; i++) {
		if (rs->at[i] && !rs->at[i]->main && !fn(rs->at[i], arg))
			break;
		if (++n % LOCKED_MAX == 0)
			room_let_others_in(rs);
	}
	pthread_mutex_unlock(&rs->lock);
}

struct room_infos {
	struct room_info *at;
	size_t n, space;
};

static uint64_t room_last_number(struct room *r)
{
	struct logring_view v;

	logring_lock(r->log);
	logring_peek(r->log, &v);
	uint64_t seq = v.count;
	uint64_t last = logring_back(r->log, &v, &seq) ? room_number(r, logring_record(r->log, seq), seq) : 0;
	logring_unlock(r->log);
	return last;
}

static bool room_add_info(struct room *r, void *arg)
{
	struct room_infos *l = arg;

	if (l->n == l->space)
		return false; /* it was made after they were counted */
	struct room_info *i = &l->at[l->n++];
	*i = (struct room_info){.raw = r->raw,
				.configured = r->configured,
				.read_only = r->read_only,
				.members_only = r->members_only,
				.open = room_is_open(r),
				.secret = r->decided & ROOM_SECRET,
				.epoch = r->epoch,
				.last = room_last_number(r),
				.shared = r->outgoing != NULL,
				.members = room_members(r),
				.history = r->history,
				.announce_max = r->announce_max,
				.messages = logring_count(r->log),
				.log_size = logring_size(r->log)};
	memcpy(i->name, r->name, sizeof(i->name));
	return true;
}

struct room_info *rooms_copy(struct rooms *rs, size_t *ret_n)
{
	struct room_infos l = {.space = rooms_count(rs)};

	l.at = calloc(l.space + 1, sizeof(*l.at));
	if (l.at)
		rooms_each(rs, room_add_info, &l);
	*ret_n = l.n;
	return l.at;
}

unsigned rooms_count(struct rooms *rs)
{
	pthread_mutex_lock(&rs->lock);
	unsigned n = rs->n_rooms;
	pthread_mutex_unlock(&rs->lock);
	return n;
}
