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

#define PRIVATE_LOG_SIZE (4ULL << 20)

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

struct room *directory_find(struct rooms *rs, const char *name)
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
		if (rs->at[i])
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
		directory_index(rs, r);
	}
	take_ptr(r);
	return 0;
}

static void directory_detach(struct rooms *rs, struct room *r)
{
	rs->at[r->index] = NULL;
	if (r->index != ROOM_PRIVATE)
		rs->n_rooms--;
	logring_close(r->log);
	free(r);
}

/* Empties the room's slot; its extent waits for the next room of that size. */
void directory_remove(struct rooms *rs, struct room *r)
{
	struct room_slot *s = &rs->dir->slots[r->index];
	uint64_t off = s->off, extent = logring_extent(s->log_size);
	void *p;

	atomic_store(&s->used, 0);
	directory_detach(rs, r);
	directory_reindex(rs);
	if (memfd_map(rs->fd, off, extent, &p) == 0) {
		memfd_release(p, extent);
		munmap(p, extent);
	}
}

/* Makes a room in a free slot of that size or in a new one. Index 0 is the private log's. */
int directory_create(struct rooms *rs, const char *name, const struct room_settings *set,
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
	s->raw = set->raw;
	s->members_only = set->members_only;
	s->read_only = set->read_only;
	memset(s->opener, 0, sizeof(s->opener));
	if (opener)
		memcpy(s->opener, opener, sizeof(s->opener));
	s->epoch = room_epoch_new();
	s->number_base = 0;
	int e = directory_attach(rs, index, true);
	if (e < 0)
		return e;
	FAULT("room-create");
	atomic_store(&s->used, 1);
	if (ret)
		*ret = rs->at[index];
	return 0;
}

/* --- the file --- */

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
		if (s->raw <= 1 &&
		    (i == ROOM_PRIVATE || (text_room_valid(s->name, n) && !directory_find(rs, s->name))))
			e = directory_attach(rs, i, false);
		if (e == -EBADMSG) {
			log_event(LOG_ERR, &(struct log_fields){.message_id = EVENT_STATE_REFUSED},
				  "room %u (%.*s): its log can't be trusted; it starts empty", i, (int)n,
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
		e = directory_take_back(rs);
		if (e < 0)
			goto fail;
	}
	if (!rs->at[ROOM_PRIVATE]) {
		e = directory_create(rs, "", &(struct room_settings){.log_size = PRIVATE_LOG_SIZE}, NULL,
				     NULL);
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
			directory_detach(rs, rs->at[i]);
	if (rs->dir)
		munmap(rs->dir, memfd_align(sizeof(struct rooms_directory)));
	pthread_mutex_destroy(&rs->lock);
	free(rs);
}
