/* SPDX-License-Identifier: MIT */
#include "daemon/rooms/room.h"

#include "common/cleanup.h"
#include "common/hash.h"
#include "daemon/base/clock.h"
#include "daemon/base/fault.h"
#include "daemon/base/logger.h"
#include "daemon/io/memfd.h"
#include "daemon/rooms/file.h"

#include <pthread.h>
#include <sched.h>
#include <sodium.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define ROOMS_REVISION 1
#define PRIVATE_LOG_SIZE (4ULL << 20)
/* So many rooms are looked at before whoever waits for the lock gets it. */
#define LOCKED_MAX 64
/* Rooms that are over are removed for so long; the others' turn is a second later. */
#define EXPIRE_US 10000

struct rooms {
	int fd;
	struct rooms_directory *dir;
	pthread_mutex_t lock;
	struct room *at[ROOMS_CAPACITY];
	struct hash_key key;		      /* of by_name */
	uint32_t by_name[ROOMS_CAPACITY * 2]; /* open hash of index + 1, rebuilt when rooms are removed */
	uint32_t high;			      /* slots below may be used */
	unsigned n_rooms;		      /* without the private one */
	struct room_settings defaults;
	struct rooms_limits limits;
	bool settled;		   /* who was in a room before is in it again */
	const struct slots *slots; /* of the readers */
};

static const uint8_t nobody[ADDRESS_KEY_LEN];

uint64_t rooms_file_size(void)
{
	return 1ULL << 43; /* a sparse file; pages exist only where something was written */
}

uint64_t room_epoch_new(void)
{
	uint64_t epoch;

	randombytes_buf(&epoch, sizeof(epoch));
	return epoch | 1;
}

static uint32_t bucket_of(const struct rooms *rs, const char *name)
{
	return (uint32_t)(hash_bytes(&rs->key, name, strlen(name)) % (ROOMS_CAPACITY * 2));
}

static struct room *find(struct rooms *rs, const char *name)
{
	for (uint32_t i = bucket_of(rs, name); rs->by_name[i]; i = (i + 1) % (ROOMS_CAPACITY * 2)) {
		struct room *r = rs->at[rs->by_name[i] - 1];
		if (strcmp(r->name, name) == 0)
			return r;
	}
	return NULL;
}

static void index_name(struct rooms *rs, const struct room *r)
{
	uint32_t i = bucket_of(rs, r->name);

	while (rs->by_name[i])
		i = (i + 1) % (ROOMS_CAPACITY * 2);
	rs->by_name[i] = r->index + 1;
}

static void rebuild_index(struct rooms *rs)
{
	memset(rs->by_name, 0, sizeof(rs->by_name));
	for (uint32_t i = 1; i < rs->high; i++)
		if (rs->at[i])
			index_name(rs, rs->at[i]);
}

/* The process's side of the room in slot index. */
static int attach(struct rooms *rs, uint32_t index, bool fresh)
{
	const struct room_slot *s = &rs->dir->slots[index];
	_cleanup_free_ struct room *r = calloc(1, sizeof(*r));
	int e;

	if (!r)
		return -ENOMEM;
	e = logring_open(rs->fd, s->off, s->log_size, fresh, &r->log);
	if (e < 0)
		return e;
	r->index = index;
	r->n_workers = rs->slots->n_workers;
	memcpy(r->name, s->name, sizeof(r->name));
	r->born = fresh;
	r->raw = s->raw;
	r->members_only = s->members_only;
	r->read_only = s->read_only;
	memcpy(r->opener, s->opener, sizeof(r->opener));
	r->epoch = s->epoch;
	r->number_base = s->number_base;
	r->history = rs->defaults.history;
	r->announce_max = rs->defaults.announce_max;
	r->empty_since = clock_us(CLOCK_MONOTONIC);
	rs->at[index] = r;
	if (index >= rs->high)
		rs->high = index + 1;
	if (index != ROOM_PRIVATE) {
		rs->n_rooms++;
		index_name(rs, r);
	}
	take_ptr(r);
	return 0;
}

static void detach(struct rooms *rs, struct room *r)
{
	rs->at[r->index] = NULL;
	if (r->index != ROOM_PRIVATE)
		rs->n_rooms--;
	logring_close(r->log);
	free(r);
}

/* Empties the room's slot; its extent waits for the next room of that size. */
static void remove_room(struct rooms *rs, struct room *r)
{
	struct room_slot *s = &rs->dir->slots[r->index];
	uint64_t off = s->off, extent = logring_extent(s->log_size);
	void *p;

	atomic_store(&s->used, 0);
	detach(rs, r);
	rebuild_index(rs);
	if (memfd_map(rs->fd, off, extent, &p) == 0) {
		memfd_release(p, extent);
		munmap(p, extent);
	}
}

/* Makes a room in a free slot of that size or in a new one. Index 0 is the private log's. */
static int create(struct rooms *rs, const char *name, const struct room_settings *set,
		  const uint8_t opener[static ADDRESS_KEY_LEN], struct room **ret)
{
	uint64_t size = logring_round(set->log_size), off = memfd_align(sizeof(struct rooms_directory));
	uint32_t index = ROOM_NONE, virgin = ROOM_NONE;

	for (uint32_t i = 0; i < ROOMS_CAPACITY; i++) {
		const struct room_slot *s = &rs->dir->slots[i];
		if (s->off == 0) {
			virgin = i;
			break; /* slots are taken in order */
		}
		if (!rs->at[i] && s->log_size == size && index == ROOM_NONE)
			index = i;
		if (s->off + logring_extent(s->log_size) > off)
			off = s->off + logring_extent(s->log_size);
	}
	if (index == ROOM_NONE)
		index = virgin;
	if (index == ROOM_NONE || (index == virgin && off + logring_extent(size) > rs->dir->file_size))
		return -ENOSPC;

	struct room_slot *s = &rs->dir->slots[index];
	if (index == virgin) {
		s->log_size = size;
		s->off = off;
	}
	memset(s->name, 0, sizeof(s->name));
	memcpy(s->name, name, strlen(name));
	s->raw = set->raw;
	s->members_only = set->members_only;
	s->read_only = set->read_only;
	memcpy(s->opener, opener, sizeof(s->opener));
	s->epoch = room_epoch_new();
	s->number_base = 0;
	int e = attach(rs, index, true);
	if (e < 0)
		return e;
	FAULT("room-create");
	atomic_store(&s->used, 1);
	if (ret)
		*ret = rs->at[index];
	return 0;
}

/* Takes the rooms of a predecessor back; what doesn't add up is left out. */
static int take_back(struct rooms *rs)
{
	for (uint32_t i = 0; i < ROOMS_CAPACITY && rs->dir->slots[i].off; i++) {
		struct room_slot *s = &rs->dir->slots[i];
		uint64_t extent;
		size_t n = strnlen(s->name, sizeof(s->name));
		int e = -EBADMSG;

		if (s->log_size < LOGRING_SIZE_MIN || s->log_size > LOGRING_SIZE_MAX ||
		    s->log_size & (s->log_size - 1))
			return -EBADMSG;
		extent = logring_extent(s->log_size);
		if (s->off % MEMFD_ALIGN || s->off < sizeof(struct rooms_directory) ||
		    s->off > rs->dir->file_size || extent > rs->dir->file_size - s->off)
			return -EBADMSG;
		/* Extents are handed out upwards, so one that begins inside another is damage. */
		if (i > 0 &&
		    s->off < rs->dir->slots[i - 1].off + logring_extent(rs->dir->slots[i - 1].log_size))
			return -EBADMSG;
		if (!atomic_load(&s->used))
			continue;
		if (s->raw <= 1 && (i == ROOM_PRIVATE || (text_room_valid(s->name, n) && !find(rs, s->name))))
			e = attach(rs, i, false);
		if (e == -EBADMSG) {
			log_event(LOG_ERR, &(struct log_fields){.message_id = EVENT_STATE_REFUSED},
				  "room %u (%.*s): its log can't be trusted, it starts anew", i, (int)n,
				  s->name);
			atomic_store(&s->used, 0);
		} else if (e < 0) {
			return e;
		}
	}
	return 0;
}

int rooms_open(int fd, bool fresh, const struct slots *slots, struct rooms **ret)
{
	struct rooms *rs = calloc(1, sizeof(*rs));
	int64_t size;
	int e;

	if (!rs)
		return -ENOMEM;
	pthread_mutex_init(&rs->lock, NULL);
	rs->key = hash_key_new();
	rs->fd = fd;
	rs->slots = slots;
	rs->limits.rooms = ROOMS_CAPACITY - 1;
	rs->settled = fresh;
	size = memfd_check(fd, sizeof(struct rooms_directory));
	e = size < 0 ? (int)size
		     : memfd_map(fd, 0, memfd_align(sizeof(struct rooms_directory)), (void **)&rs->dir);
	if (e < 0)
		goto fail;
	if (fresh) {
		rs->dir->magic = ROOMS_MAGIC;
		rs->dir->layout = ROOMS_LAYOUT;
		rs->dir->capacity = ROOMS_CAPACITY;
		rs->dir->file_size = (uint64_t)size;
		rs->dir->revision = ROOMS_REVISION;
	} else if (rs->dir->magic != ROOMS_MAGIC || rs->dir->layout != ROOMS_LAYOUT ||
		   rs->dir->capacity != ROOMS_CAPACITY || rs->dir->file_size != (uint64_t)size) {
		e = -EBADMSG;
		goto fail;
	} else {
		e = take_back(rs);
		if (e < 0)
			goto fail;
	}
	if (!rs->at[ROOM_PRIVATE]) {
		e = create(rs, "", &(struct room_settings){.log_size = PRIVATE_LOG_SIZE}, nobody, NULL);
		if (e == 0 && !rs->at[ROOM_PRIVATE])
			e = -EBADMSG;
		if (e < 0)
			goto fail;
	}
	for (unsigned i = 0; i < slots->n_workers; i++)
		rs->at[ROOM_PRIVATE]->readers[i] = 1; /* every worker looks for its clients' messages */
	*ret = rs;
	return 0;
fail:
	rooms_close(rs);
	return e;
}

void rooms_close(struct rooms *rs)
{
	if (!rs)
		return;
	for (uint32_t i = 0; i < rs->high; i++)
		if (rs->at[i])
			detach(rs, rs->at[i]);
	if (rs->dir)
		munmap(rs->dir, memfd_align(sizeof(struct rooms_directory)));
	pthread_mutex_destroy(&rs->lock);
	free(rs);
}

static uint32_t count_readers(const struct room *r, unsigned n_slots)
{
	uint32_t n = 0;

	for (unsigned i = 0; i < n_slots; i++)
		n += atomic_load_explicit(&r->readers[i], memory_order_relaxed);
	return n;
}

static bool is_empty(const struct room *r)
{
	return !r->configured && !r->members_only && count_readers(r, LOGRING_READERS) == 0;
}

/* Rooms that only their members could enter, who are no longer known. */
static void tell_of_closed(const struct rooms *rs)
{
	for (uint32_t i = 1; i < rs->high; i++)
		if (rs->at[i] && rs->at[i]->members_only && !rs->at[i]->configured)
			log_notice(
			    "room %s had members and isn't in the configuration any more: nobody can enter "
			    "it until it is there again",
			    rs->at[i]->name);
}

/* A log can't change its size under its readers; an empty room just starts anew. */
static struct room *find_of_size(struct rooms *rs, const struct room_config *c)
{
	struct room *r = find(rs, c->name);

	if (!r || logring_size(r->log) == logring_round(c->settings.log_size))
		return r;
	if (rs->settled && count_readers(r, LOGRING_READERS) == 0 && logring_count(r->log) == 0) {
		remove_room(rs, r);
		return NULL;
	}
	log_notice("room %s keeps its log_size of %llu until chatd is stopped and started", c->name,
		   (unsigned long long)logring_size(r->log));
	return r;
}

/* What a room was for stays, also when it is no longer in the configuration. */
static void configure(struct rooms *rs, struct room *r, const struct room_settings *set)
{
	struct room_slot *s = &rs->dir->slots[r->index];

	r->configured = true;
	r->history = set->history;
	r->announce_max = set->announce_max;
	r->raw = set->raw;
	s->raw = set->raw;
	r->read_only = set->read_only;
	s->read_only = set->read_only;
	r->members_only = set->members_only;
	s->members_only = set->members_only;
	memset(r->opener, 0, sizeof(r->opener));
	memset(s->opener, 0, sizeof(s->opener));
}

/* Rooms that were made for a configuration that isn't used. */
static void forget_new(struct rooms *rs, const struct room_config *configured, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct room *r = find(rs, configured[i].name);
		if (r && !r->configured && count_readers(r, LOGRING_READERS) == 0 &&
		    logring_count(r->log) == 0)
			remove_room(rs, r);
	}
}

int rooms_configure(struct rooms *rs, const struct room_config *configured, size_t n,
		    const struct room_settings *defaults, const struct rooms_limits *limits)
{
	int e = 0;

	pthread_mutex_lock(&rs->lock);
	/* First what may fail, so that a failure changes nothing. */
	for (size_t i = 0; i < n && e == 0; i++)
		if (!find_of_size(rs, &configured[i]))
			e = create(rs, configured[i].name, &configured[i].settings, nobody, NULL);
	if (e < 0)
		forget_new(rs, configured, n);
	if (e == 0) {
		rs->defaults = *defaults;
		rs->limits = *limits;
		for (uint32_t i = 1; i < rs->high; i++)
			if (rs->at[i]) {
				rs->at[i]->configured = false;
				rs->at[i]->history = defaults->history;
				rs->at[i]->announce_max = defaults->announce_max;
			}
		for (size_t i = 0; i < n; i++)
			configure(rs, find(rs, configured[i].name), &configured[i].settings);
		tell_of_closed(rs);
	}
	pthread_mutex_unlock(&rs->lock);
	return e;
}

/* With max_rooms reached, the room that has been empty for the longest time makes way. */
static bool evict(struct rooms *rs)
{
	struct room *oldest = NULL;

	for (uint32_t i = 1; rs->settled && i < rs->high; i++)
		if (rs->at[i] && is_empty(rs->at[i]) &&
		    (!oldest || rs->at[i]->empty_since < oldest->empty_since))
			oldest = rs->at[i];
	if (oldest)
		remove_room(rs, oldest);
	return oldest;
}

void rooms_settle(struct rooms *rs, bool (*has_stranger)(uint32_t room, void *arg), void *arg)
{
	pthread_mutex_lock(&rs->lock);
	for (uint32_t i = 1; rs->dir->revision == 0 && i < rs->high; i++) {
		struct room *r = rs->at[i];
		if (!r || r->configured || r->born || has_stranger(i, arg))
			continue;
		/* It may have been for members only, and nobody is there to ask. */
		if (count_readers(r, LOGRING_READERS) == 0) {
			remove_room(rs, r);
		} else {
			r->members_only = true;
			rs->dir->slots[i].members_only = true;
		}
	}
	rs->dir->revision = ROOMS_REVISION;
	rs->settled = true;
	pthread_mutex_unlock(&rs->lock);
}

static void add_reader(struct room *r, unsigned slot)
{
	if (atomic_fetch_add(&r->readers[slot], 1) == 0)
		logring_caught_up(r->log, slot); /* it has missed nothing yet */
}

static unsigned count_opened(const struct rooms *rs, const uint8_t opener[static ADDRESS_KEY_LEN])
{
	unsigned n = 0;

	for (uint32_t i = 1; i < rs->high; i++)
		n += rs->at[i] && memcmp(rs->at[i]->opener, opener, ADDRESS_KEY_LEN) == 0;
	return n;
}

/* A room that somebody opens. */
static int open_room(struct rooms *rs, const char *name, const union address *address, struct room **ret)
{
	uint8_t opener[ADDRESS_KEY_LEN] = {0};

	if (address)
		address_site(address, opener);
	if (address && rs->limits.rooms_per_address > 0 &&
	    count_opened(rs, opener) >= rs->limits.rooms_per_address)
		return -EDQUOT;
	if (rs->n_rooms >= rs->limits.rooms && !evict(rs))
		return -ENOSPC;
	return create(rs, name, &rs->defaults, opener, ret);
}

int rooms_enter(struct rooms *rs, const char *name, unsigned slot, const struct room_guest *guest,
		struct room **ret)
{
	struct room *r;
	int e = 0;

	pthread_mutex_lock(&rs->lock);
	r = find(rs, name);
	if (!r)
		e = open_room(rs, name, guest->address, &r);
	else if (r->members_only && !guest->is_member)
		e = -EACCES;
	if (e == 0) {
		add_reader(r, slot);
		*ret = r;
	}
	pthread_mutex_unlock(&rs->lock);
	return e;
}

int rooms_enter_existing(struct rooms *rs, const char *name, unsigned slot, struct room **ret)
{
	pthread_mutex_lock(&rs->lock);
	struct room *r = find(rs, name);
	if (r)
		add_reader(r, slot);
	pthread_mutex_unlock(&rs->lock);
	*ret = r;
	return r ? 0 : -ENOENT;
}

struct room *rooms_enter_index(struct rooms *rs, uint32_t index, unsigned slot)
{
	if (index == ROOM_PRIVATE || index >= ROOMS_CAPACITY)
		return NULL;
	pthread_mutex_lock(&rs->lock);
	struct room *r = rs->at[index];
	if (r)
		add_reader(r, slot);
	pthread_mutex_unlock(&rs->lock);
	return r;
}

void rooms_leave(struct rooms *rs, struct room *r, unsigned slot)
{
	pthread_mutex_lock(&rs->lock);
	atomic_fetch_sub(&r->readers[slot], 1);
	if (count_readers(r, LOGRING_READERS) == 0)
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

uint32_t room_members(const struct room *r)
{
	return count_readers(r, r->n_workers);
}

/* Between two looks at the table, which change nothing for each other. */
static void let_others_in(struct rooms *rs)
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
		bool over =
		    rs->at[i] && is_empty(rs->at[i]) && now - rs->at[i]->empty_since > rs->limits.linger_us;
		if (over)
			remove_room(rs, rs->at[i]);
		/* Giving a log's memory back takes its time, which nobody who enters a room has to wait for.
		 */
		if (over && clock_us(CLOCK_MONOTONIC) > until)
			break;
		if (over || ++looked_at % LOCKED_MAX == 0)
			let_others_in(rs);
	}
	pthread_mutex_unlock(&rs->lock);
}

void rooms_each(struct rooms *rs, bool (*fn)(struct room *r, void *arg), void *arg)
{
	unsigned n = 0;

	pthread_mutex_lock(&rs->lock);
	for (uint32_t i = 1; i < rs->high; i++) {
		if (rs->at[i] && !fn(rs->at[i], arg))
			break;
		if (++n % LOCKED_MAX == 0)
			let_others_in(rs);
	}
	pthread_mutex_unlock(&rs->lock);
}

unsigned rooms_count(struct rooms *rs)
{
	pthread_mutex_lock(&rs->lock);
	unsigned n = rs->n_rooms;
	pthread_mutex_unlock(&rs->lock);
	return n;
}

void rooms_mark(struct rooms *rs, struct room *r, struct slot_set *kick)
{
	unsigned n = slots_count(rs->slots);

	for (unsigned i = 0; i < n; i++)
		if (atomic_load(&r->readers[i]) > 0 && wakeup_mark(slots_wakeup(rs->slots, i), r->index))
			kick->bits[i / 64] |= 1ULL << (i % 64);
}

void rooms_remark(struct rooms *rs, const struct room *r, unsigned slot)
{
	wakeup_mark(slots_wakeup(rs->slots, slot), r->index);
}

void rooms_kick(struct rooms *rs, struct slot_set *kick, unsigned self)
{
	for (unsigned w = 0; w < 2; w++) {
		uint64_t bits = kick->bits[w];
		kick->bits[w] = 0;
		while (bits) {
			unsigned i = w * 64 + (unsigned)__builtin_ctzll(bits);
			bits &= bits - 1;
			if (i != self)
				wakeup_kick(slots_wakeup(rs->slots, i));
		}
	}
}

bool room_announces(const struct room *r)
{
	return !r->raw && room_members(r) <= r->announce_max;
}

bool room_crowded(const struct rooms *rs, const struct room *r)
{
	unsigned n = slots_count(rs->slots);

	for (unsigned i = 0; i < n; i++)
		if (slots_waited_for(rs->slots, i) &&
		    atomic_load_explicit(&r->readers[i], memory_order_relaxed) > 0 &&
		    logring_reader_behind(r->log, i))
			return true;
	return false;
}
