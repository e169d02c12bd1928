/* SPDX-License-Identifier: MIT */
/*
 * The rooms' file and what the process makes of it: an index of names, and a log for each room. What a
 * process before left is checked, and rooms that don't add up begin empty.
 */
#include "daemon/rooms/directory.h"

#include "common/cleanup.h"
#include "daemon/base/clock.h"
#include "daemon/base/fault.h"
#include "daemon/base/logger.h"
#include "daemon/io/memfd.h"

#include <sodium.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

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

/* --- the index --- */

static uint32_t directory_bucket(const struct rooms *rs, const char *name)
{
	return (uint32_t)hash_bytes(&rs->key, name, strlen(name)) % (ROOMS_CAPACITY * 2);
}

/* The hidden ones can't be found by their names, and don't count. */
static bool directory_counts(const struct rooms *rs, uint32_t index)
{
	return index != ROOM_PRIVATE &&
	       atomic_load_explicit(&rs->dir->slots[index].kind, memory_order_relaxed) == ROOM_OPEN;
}

struct room *directory_find(const struct rooms *rs, const char *name)
{
	for (uint32_t i = directory_bucket(rs, name); rs->by_name[i]; i = (i + 1) % (ROOMS_CAPACITY * 2)) {
		struct room *r = rs->at[rs->by_name[i] - 1];
		if (strcmp(r->name, name) == 0)
			return r;
	}
	return NULL;
}

static void directory_index(struct rooms *rs, const struct room *r)
{
	uint32_t i = directory_bucket(rs, r->name);

	while (rs->by_name[i])
		i = (i + 1) % (ROOMS_CAPACITY * 2);
	rs->by_name[i] = r->index + 1;
}

static void directory_reindex(struct rooms *rs)
{
	memset(rs->by_name, 0, sizeof(rs->by_name));
	for (uint32_t i = 1; i < rs->high; i++)
		if (rs->at[i] && directory_counts(rs, i))
			directory_index(rs, rs->at[i]);
}

/* --- rooms --- */

/* The process's side of the room in slot index. */
static int directory_attach(struct rooms *rs, uint32_t index, bool fresh)
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
	r->rooms = rs;
	memcpy(r->name, s->name, sizeof(r->name));
	r->born = fresh;
	r->raw = s->raw;
	r->members_only = s->members_only;
	r->read_only = s->read_only;
	r->from_others = s->from_others;
	memcpy(r->opener, s->opener, sizeof(r->opener));
	r->epoch = s->epoch;
	r->number_base = s->number_base;
	r->history = rs->defaults.history;
	r->announce_max = rs->defaults.announce_max;
	r->empty_since = clock_us(CLOCK_MONOTONIC);
	rs->at[index] = r;
	if (index >= rs->high)
		rs->high = index + 1;
	if (directory_counts(rs, index)) {
		rs->n_rooms++;
		rs->n_from_others += r->from_others;
		directory_index(rs, r);
	}
	take_ptr(r);
	return 0;
}

static void directory_detach(struct rooms *rs, struct room *r)
{
	rs->at[r->index] = NULL;
	if (directory_counts(rs, r->index)) {
		rs->n_rooms--;
		rs->n_from_others -= r->from_others;
	}
	logring_close(r->log);
	free(r);
}

/* New logs begin above all numbers of those that were there: a clock may be set back. */
static void directory_raise_numbers(struct rooms *rs, uint64_t above)
{
	if (rs->dir->number_base < above)
		rs->dir->number_base = above;
}

void directory_remove(struct rooms *rs, struct room *r)
{
	struct room_slot *s = &rs->dir->slots[r->index];
	uint64_t off = s->off, extent = logring_extent(s->log_size);
	void *p;

	directory_raise_numbers(rs, r->number_base + logring_count(r->log));
	archived_detach(rs, r);

	for (uint32_t i = 1; !r->main && i < rs->high; i++)
		if (rs->at[i] && rs->at[i]->main == r) {
			directory_remove(rs, rs->at[i]);
			FAULT("outgoing-removed");
		}
	atomic_store(&s->used, 0);
	directory_detach(rs, r);
	directory_reindex(rs);
	if (memfd_map(rs->fd, off, extent, &p) == 0) {
		memfd_release(p, extent);
		munmap(p, extent);
	}
}

/* A room's numbers grow through all of its logs, also over a reboot: they are microseconds since 1970. */
static void directory_number_messages(struct rooms *rs, struct room_slot *s)
{
	directory_raise_numbers(rs, (uint64_t)clock_us(CLOCK_REALTIME));
	s->number_base = rs->dir->number_base;
	directory_raise_numbers(rs, s->number_base + 1);
}

void directory_renumber(struct rooms *rs, struct room *r)
{
	if (r->number_base >= rs->numbers_above)
		return;
	directory_number_messages(rs, &rs->dir->slots[r->index]);
	r->number_base = rs->dir->slots[r->index].number_base;
}

/* Hidden logs, and the private one, count from 0. */
static void directory_name_messages(struct rooms *rs, uint32_t index)
{
	struct room_slot *s = &rs->dir->slots[index];
	bool counts = directory_counts(rs, index);

	s->epoch = counts && rs->dir->epoch ? rs->dir->epoch : room_epoch_new();
	s->number_base = 0;
	if (counts)
		directory_number_messages(rs, s);
}

/* Makes a room in a free slot of that size or in a new one. Index 0 is the private log's. */
int directory_create(struct rooms *rs, const char *name, enum room_kind kind, const struct room_settings *set,
		     const uint8_t *opener, struct room **ret)
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
	atomic_store(&s->kind, kind);
	s->raw = set->raw;
	s->members_only = set->members_only;
	s->read_only = set->read_only;
	s->from_others = 0;
	memset(s->opener, 0, sizeof(s->opener));
	if (opener)
		memcpy(s->opener, opener, sizeof(s->opener));
	s->kept = false;
	s->kept_from = 0;
	directory_name_messages(rs, index);
	memset(s->boots, 0, sizeof(s->boots));
	int e = directory_attach(rs, index, true);
	if (e < 0)
		return e;
	archived_attach(rs, rs->at[index]);
	FAULT("room-create");
	atomic_store(&s->used, 1);
	if (ret)
		*ret = rs->at[index];
	return 0;
}

/* --- the file --- */

/* Whether a room of that kind may have that name. */
static bool directory_name_fits(const struct rooms *rs, const struct room_slot *s, size_t len)
{
	const size_t prefix = sizeof(OUTGOING_PREFIX) - 1;
	uint8_t kind = atomic_load(&s->kind);

	if (kind == ROOM_OPEN)
		return text_room_valid(s->name, len) && !directory_find(rs, s->name);
	/* That of the private messages has no name of its own. */
	return kind < ROOM_KINDS && len >= prefix && memcmp(s->name, OUTGOING_PREFIX, prefix) == 0 &&
	       (len == prefix || text_room_valid(s->name + prefix, len - prefix));
}

/* Whether no other one before it is the outgoing log of its room. */
static bool directory_is_alone(const struct rooms *rs, const struct room *o)
{
	for (uint32_t i = 1; i < o->index; i++)
		if (rs->at[i] && rs->at[i]->main == o->main &&
		    atomic_load(&rs->dir->slots[i].kind) == ROOM_OUTGOING)
			return false;
	return true;
}

/* Hidden rooms find their rooms. Without one, or if it has another, there is nothing that they are for. */
static void directory_pair(struct rooms *rs)
{
	for (uint32_t i = 1; i < rs->high; i++) {
		struct room *o = rs->at[i];
		if (!o || directory_counts(rs, i))
			continue;
		const char *name = o->name + sizeof(OUTGOING_PREFIX) - 1;
		o->main = *name ? directory_find(rs, name) : rs->at[ROOM_PRIVATE];
		bool is_current = atomic_load(&rs->dir->slots[i].kind) == ROOM_OUTGOING;
		if (o->main && (!is_current || directory_is_alone(rs, o)))
			continue;
		log_event(LOG_ERR, &(struct log_fields){.message_id = EVENT_STATE_REFUSED},
			  "room %u (%s): there is no room that it belongs to; it is dropped", i, o->name);
		directory_remove(rs, o);
	}
}

static int directory_take_back_room(struct rooms *rs, uint32_t index)
{
	struct room_slot *s = &rs->dir->slots[index];

	/* It is from a build that had no use for it. */
	if (s->number_base == 0 && directory_counts(rs, index))
		directory_number_messages(rs, s);
	return directory_attach(rs, index, false);
}

/* Takes the rooms of a predecessor back; what doesn't add up is left out. */
static int directory_take_back(struct rooms *rs)
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
		if (s->raw <= 1 && s->from_others <= 1 && s->number_base <= INT64_MAX &&
		    (i == ROOM_PRIVATE || directory_name_fits(rs, s, n)))
			e = directory_take_back_room(rs, i);
		if (e == -EBADMSG) {
			log_event(LOG_ERR, &(struct log_fields){.message_id = EVENT_STATE_REFUSED},
				  "room %u (%.*s): its log can't be trusted; it starts empty", i, (int)n,
				  s->name);
			atomic_store(&s->used, 0);
		} else if (e < 0) {
			return e;
		}
	}
	directory_pair(rs);
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
		rs->dir->begins = true;
	} else if (rs->dir->magic != ROOMS_MAGIC || rs->dir->layout != ROOMS_LAYOUT ||
		   rs->dir->capacity != ROOMS_CAPACITY || rs->dir->file_size != (uint64_t)size ||
		   rs->dir->number_base > INT64_MAX) {
		e = -EBADMSG;
		goto fail;
	} else {
		e = directory_take_back(rs);
		if (e < 0)
			goto fail;
	}
	if (!rs->at[ROOM_PRIVATE]) {
		e = directory_create(rs, "", ROOM_OPEN, &(struct room_settings){.log_size = PRIVATE_LOG_SIZE},
				     NULL, NULL);
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

bool rooms_begin(const struct rooms *rs)
{
	return rs->dir->begins;
}

void rooms_name_messages(struct rooms *rs, uint64_t epoch, uint64_t above)
{
	pthread_mutex_lock(&rs->lock);
	rs->dir->epoch = epoch;
	rs->numbers_above = above;
	directory_raise_numbers(rs, above);
	pthread_mutex_unlock(&rs->lock);
}

uint64_t rooms_epoch(const struct rooms *rs)
{
	return rs->dir->epoch;
}

void rooms_close(struct rooms *rs)
{
	if (!rs)
		return;
	for (uint32_t i = 0; i < rs->high; i++)
		if (rs->at[i])
			directory_detach(rs, rs->at[i]);
	if (rs->dir)
		munmap(rs->dir, memfd_align(sizeof(struct rooms_directory)));
	letter_nodes_free(rs->letter_nodes);
	pthread_mutex_destroy(&rs->lock);
	free(rs);
}
