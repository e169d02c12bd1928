/* SPDX-License-Identifier: MIT */
/* Who of the rooms is stored: see the header. */
#include "daemon/rooms/archived.h"

#include "daemon/base/fault.h"
#include "daemon/rooms/directory.h"

static bool archived_wants(const struct rooms *rs, const struct room *r)
{
	return rs->archive.keeps && r->index != ROOM_PRIVATE &&
	       atomic_load_explicit(&rs->dir->slots[r->index].kind, memory_order_relaxed) == ROOM_OPEN &&
	       rs->archive.keeps(r->name, rs->archive.arg);
}

/* From which message on it is stored becomes true before it is. */
static void archived_begin(struct rooms *rs, struct room *r)
{
	struct room_slot *s = &rs->dir->slots[r->index];
	struct wakeup *w = slots_wakeup(rs->slots, rs->archive.slot);

	if (!s->kept) {
		s->kept_from = logring_count(r->log);
		FAULT("archived-from");
		s->kept = true;
	}
	r->kept_from = s->kept_from;
	r->is_archived = true;
	if (atomic_fetch_add(&r->readers[rs->archive.slot], 1) == 0)
		logring_caught_up(r->log, rs->archive.slot);
	/* A process before may not have stored all of it. */
	if (wakeup_mark(w, r->index))
		wakeup_kick(w);
}

static void archived_end(struct rooms *rs, struct room *r)
{
	rs->dir->slots[r->index].kept = false;
	if (atomic_exchange(&r->is_archived, false))
		atomic_fetch_sub(&r->readers[rs->archive.slot], 1);
}

void archived_attach(struct rooms *rs, struct room *r)
{
	if (archived_wants(rs, r))
		archived_begin(rs, r);
}

void rooms_archive(struct rooms *rs, const struct rooms_archive *archive)
{
	pthread_mutex_lock(&rs->lock);
	rs->archive = archive ? *archive : (struct rooms_archive){0};
	for (uint32_t i = 1; i < rs->high; i++) {
		struct room *r = rs->at[i];
		if (!r || r->main)
			continue;
		if (!archived_wants(rs, r))
			archived_end(rs, r);
		else if (!r->is_archived)
			archived_begin(rs, r);
	}
	pthread_mutex_unlock(&rs->lock);
}

void room_set_archived(struct room *r, uint64_t seq)
{
	atomic_store(&r->archived, seq);
}

void room_note_place(struct room *r, uint64_t place, int64_t time_us)
{
	const struct rooms *rs = r->rooms;

	atomic_store(&r->place_us, time_us);
	atomic_store(&r->place, place);
	if (!r->is_archived)
		return;
	struct wakeup *w = slots_wakeup(rs->slots, rs->archive.slot);
	if (wakeup_mark(w, r->index))
		wakeup_kick(w);
}

uint64_t room_stored_place(const struct room *r, int64_t *ret_us)
{
	struct rooms *rs = (struct rooms *)r->rooms;
	uint64_t place = 0;

	pthread_mutex_lock(&rs->lock);
	if (rs->archive.place)
		place = rs->archive.place(r->name, ret_us, rs->archive.arg);
	pthread_mutex_unlock(&rs->lock);
	return place;
}

/* The first of its messages that can be stored and isn't. */
static uint64_t archived_next(const struct room *r)
{
	uint64_t stored = atomic_load(&r->archived);

	return stored > r->kept_from ? stored : r->kept_from;
}

bool room_is_stored(const struct room *r)
{
	return !r->is_archived || archived_next(r) >= logring_count(r->log);
}

void archived_detach(struct rooms *rs, struct room *r)
{
	uint64_t end = r->number_base + logring_count(r->log);

	if (r->is_archived)
		rs->archive.removed(r, room_is_stored(r) ? end : r->number_base + archived_next(r), end,
				    rs->archive.arg);
}

bool room_is_unread(const struct room *r)
{
	return room_count_readers(r, LOGRING_READERS) <= r->is_archived;
}
