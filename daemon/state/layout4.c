/* SPDX-License-Identifier: MIT */
/*
 * Reads the state of layout 4 (until version 0.1, its rooms' file counted as layout 1) and fills files of layout 5
 * from it. What is in the old files is believed only as far as nothing outside of them is touched; what is copied is
 * checked in full when the new files are opened and taken over, and an entry whose seal was broken gets a broken one.
 */
#include "common/cleanup.h"
#include "daemon/base/fault.h"
#include "daemon/rooms/room.h"
#include "daemon/rooms/speech.h"
#include "daemon/state/clients.h"
#include "daemon/state/layout4.h"
#include "daemon/state/layouts.h"
#include "daemon/state/memberships.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define CHUNK 65536

/* --- copying what is somewhere in a file --- */

static int layout4_read_at(int fd, void *buf, size_t n, uint64_t at)
{
	ssize_t r = pread(fd, buf, n, (off_t)at);

	return r == (ssize_t)n ? 0 : r < 0 ? -errno : -EBADMSG;
}

static int layout4_write_at(int fd, const void *buf, size_t n, uint64_t at)
{
	ssize_t r = pwrite(fd, buf, n, (off_t)at);

	return r == (ssize_t)n ? 0 : r < 0 ? -errno : -ENOSPC;
}

/* Copies len bytes, but not the pages that were never written. */
static int layout4_copy(int from, uint64_t from_at, int to, uint64_t to_at, uint64_t len)
{
	static char buf[CHUNK];
	const uint64_t end = from_at + len;
	int r = 0;

	for (uint64_t at = from_at; at < end && r == 0;) {
		off_t data = lseek(from, (off_t)at, SEEK_DATA);
		if (data < 0)
			return errno == ENXIO ? 0 : -errno;
		if ((uint64_t)data >= end)
			break;
		at = (uint64_t)data;
		size_t n = end - at < sizeof(buf) ? (size_t)(end - at) : sizeof(buf);
		off_t hole = lseek(from, (off_t)at, SEEK_HOLE);
		if (hole > (off_t)at && (uint64_t)hole - at < n)
			n = (size_t)((uint64_t)hole - at);
		r = layout4_read_at(from, buf, n, at);
		if (r == 0)
			r = layout4_write_at(to, buf, n, to_at + (at - from_at));
		at += n;
	}
	return r;
}

/* --- rooms --- */

static uint64_t layout4_old_records_at(uint64_t off)
{
	return off + MEMFD_ALIGN;
}

static uint64_t layout4_old_log_at(uint64_t off, uint64_t size)
{
	return off + MEMFD_ALIGN + memfd_align(size / 64 * sizeof(struct old_record));
}

static uint64_t layout4_old_extent(uint64_t size)
{
	return layout4_old_log_at(0, size) + size;
}

/* Where slots lie, and nothing else, is checked here: rooms_open() does it for what is in them. */
static bool layout4_old_slot_is_placed(const struct old_directory *d, uint32_t i, uint64_t file_size)
{
	const struct old_slot *s = &d->slots[i];

	if (s->log_size < LOGRING_SIZE_MIN || s->log_size > LOGRING_SIZE_MAX ||
	    s->log_size & (s->log_size - 1))
		return false;
	if (s->off % MEMFD_ALIGN || s->off < sizeof(*d) || s->off > file_size ||
	    layout4_old_extent(s->log_size) > file_size - s->off)
		return false;
	return i == 0 || s->off >= d->slots[i - 1].off + layout4_old_extent(d->slots[i - 1].log_size);
}

/*
 * The length of the nick in the line. Builds that did not write it tell it by where the text begins, which is
 * behind the nick unless the room was raw. Of an action they don't: its line may be "* NICK TEXT", as the server's
 * are, and speech_shows() has to look at it.
 */
static uint8_t layout4_old_nick_len(const struct old_record *r)
{
	size_t around = strlen(r->target != 0 ? "* [ -> you] " : ": ");

	if (r->nick_len > 0 || r->kind != RECORD_MESSAGE || r->text <= around ||
	    r->text - around > SPEECH_NICK_MAX)
		return r->nick_len;
	return (uint8_t)(r->text - around);
}

/* Where the nick stands in the line, if it does. */
static uint8_t layout4_old_nick_at(const struct old_record *r)
{
	return layout4_old_nick_len(r) == 0 ? 0 : r->kind > RECORD_NOTICE ? 2 : r->target != 0 ? 3 : 0;
}

static int layout4_convert_records(int from, uint64_t from_at, int to, uint64_t to_at, uint64_t n)
{
	static struct old_record old[1024];
	static struct record new[1024];
	int r = 0;

	for (uint64_t done = 0, k; done < n && r == 0; done += k) {
		k = n - done < 1024 ? n - done : 1024;
		r = layout4_read_at(from, old, k * sizeof(*old), from_at + done * sizeof(*old));
		if (r < 0)
			return r;
		for (uint64_t i = 0; i < k; i++)
			new[i] = (struct record){.end = old[i].end,
						 .time_us = old[i].time_us,
						 .sender = old[i].sender,
						 .target = old[i].target,
						 .text = old[i].text,
						 .kind = old[i].kind,
						 .nick_len = layout4_old_nick_len(&old[i]),
						 .nick_at = layout4_old_nick_at(&old[i]),
						 .target_index = old[i].target_index,
						 .notices = old[i].notices,
						 .sender_index = old[i].sender_index};
		r = layout4_write_at(to, new, k * sizeof(*new), to_at + done * sizeof(*new));
	}
	return r;
}

/* A log whose header is damaged is copied without what it is about, and so is refused when it is opened. */
static int layout4_convert_log(int from, uint64_t from_at, int to, uint64_t to_at, uint64_t size)
{
	struct logring_header h;
	uint64_t records = size / LOGRING_BYTES_PER_RECORD;
	int r = layout4_read_at(from, &h, sizeof(h), from_at);

	if (r == 0)
		r = layout4_write_at(to, &h, sizeof(h), to_at);
	if (r < 0 || h.magic != LOGRING_MAGIC || h.log_size != size || h.records != records)
		return r;
	uint64_t count = atomic_load(&h.count);
	r = layout4_convert_records(from, layout4_old_records_at(from_at), to, to_at + MEMFD_ALIGN,
				    count < records ? count : records);
	FAULT("convert-records");
	if (r == 0)
		r = layout4_copy(from, layout4_old_log_at(from_at, size), to,
				 to_at + logring_extent(size) - size, size);
	FAULT("convert-log");
	return r;
}

static int layout4_convert_slot(const struct old_slot *old, int from, struct room_slot *new, int to)
{
	int r = 0;

	memcpy(new->name, old->name, sizeof(old->name));
	new->raw = old->raw;
	new->members_only = old->members_only;
	new->read_only = old->read_only;
	memcpy(new->opener, old->opener, sizeof(old->opener));
	new->log_size = old->log_size;
	new->epoch = room_epoch_new();
	if (old->used) {
		r = layout4_convert_log(from, old->off, to, new->off, old->log_size);
		atomic_store(&new->used, old->used);
	}
	return r;
}

static int layout4_convert_directory(const struct old_directory *old, int from, struct rooms_directory *new,
				     int to)
{
	uint64_t off = memfd_align(sizeof(*new));
	int r = 0;

	new->magic = ROOMS_MAGIC;
	new->layout = ROOMS_LAYOUT;
	new->capacity = ROOMS_CAPACITY;
	new->file_size = rooms_file_size();
	new->revision = old->revision;
	for (uint32_t i = 0; i < ROOMS_CAPACITY && old->slots[i].off && r == 0; i++) {
		if (!layout4_old_slot_is_placed(old, i, old->file_size))
			return -EBADMSG;
		if (off + logring_extent(old->slots[i].log_size) > new->file_size)
			return -EBADMSG;
		new->slots[i].off = off;
		off += logring_extent(old->slots[i].log_size);
		r = layout4_convert_slot(&old->slots[i], from, &new->slots[i], to);
	}
	return r;
}

int layout4_convert_rooms(int rooms_fd)
{
	struct old_directory *old;
	struct rooms_directory *new;
	int64_t size = memfd_check(rooms_fd, sizeof(*old));
	_cleanup_close_ int fd = -1;

	if (size < 0)
		return (int)size;
	int r = memfd_map(rooms_fd, 0, sizeof(*old), (void **)&old);
	if (r < 0)
		return r;
	if (old->magic != ROOMS_MAGIC || old->layout != OLD_ROOMS_LAYOUT || old->capacity != ROOMS_CAPACITY ||
	    old->file_size != (uint64_t)size)
		r = -EBADMSG;
	fd = r == 0 ? memfd_new("chatd-rooms", rooms_file_size()) : r;
	if (r == 0)
		r = fd < 0 ? fd : memfd_map(fd, 0, sizeof(*new), (void **)&new);
	if (r == 0) {
		r = layout4_convert_directory(old, rooms_fd, new, fd);
		munmap(new, sizeof(*new));
	}
	munmap(old, sizeof(*old));
	return r < 0 ? r : take_fd(&fd);
}

/* --- clients --- */

/* How many messages a room has, as its file says. */
static uint64_t layout4_old_room_count(int rooms_fd, uint32_t room)
{
	struct old_slot s;
	struct logring_header h;

	if (rooms_fd < 0 || room >= ROOMS_CAPACITY ||
	    layout4_read_at(rooms_fd, &s, sizeof(s),
			    offsetof(struct old_directory, slots) + room * sizeof(s)) < 0 ||
	    !s.used || s.off % MEMFD_ALIGN || s.off > INT64_MAX / 2 ||
	    layout4_read_at(rooms_fd, &h, sizeof(h), s.off) < 0 || h.magic != LOGRING_MAGIC)
		return 0;
	return atomic_load(&h.count);
}

/* Which of an entry's states is true: the steps that a crash cut are carried out, as a takeover does it. */
static uint32_t layout4_old_live(const struct old_file *f, uint32_t index, int rooms_fd)
{
	uint32_t live = f->entries[index].live;

	for (unsigned i = 0; i < 64; i++) {
		const struct old_scratch *s = &f->scratches[i];
		if (s->intent != 0 && s->client == index && s->intent == old_intent(s) &&
		    s->live_after <= 1 && layout4_old_room_count(rooms_fd, s->room) >= s->count)
			live = s->live_after;
	}
	return live;
}

static void layout4_convert_state(const struct old_state *st, struct clients *cs, struct client *c)
{
	struct client_state *to = &c->st[0];

	memcpy(to->local, st->stream, sizeof(to->local));
	to->generation = 1;
	to->private_seq = st->private_seq;
	to->flags = st->flags;
	to->nick_len = st->nick_len;
	to->rights = st->rights;
	memcpy(to->nick, st->nick, sizeof(to->nick));
	/* The one room that a client can be in. */
	if (st->room != ROOM_NONE)
		membership_set_direct(cs, c, to, st->room, (struct position){st->cursor, st->cursor_seq});
}

static void layout4_convert_entry(const struct old_client *old, uint32_t live, struct clients *cs,
				  struct client *c)
{
	const struct old_state *st = &old->st[live & 1];

	c->id = old->id;
	c->connected_us = old->connected_us;
	c->origin = old->origin;
	c->kind = old->kind;
	memcpy(c->address_space, old->address, sizeof(c->address_space));
	atomic_store(&c->sent_seq, old->sent_seq);
	atomic_store(&c->active_us, old->active_us);
	layout4_convert_state(st, cs, c);
	client_seal(c, &c->st[0]);
	if (live > 1 || st->seal != old_seal(old, st))
		c->st[0].seal = ~c->st[0].seal; /* what was damaged stays so */
	atomic_store(&c->cookie, old->cookie);
}

static bool layout4_old_header_is_sound(const struct old_header *h)
{
	if (h->magic != CLIENTS_MAGIC || h->layout != OLD_CLIENTS_LAYOUT || h->capacity != OLD_CAPACITY ||
	    h->high > OLD_CAPACITY || h->n_origins > 1024 || h->next_id == 0 || h->next_id > UINT64_MAX / 2)
		return false;
	return true; /* the origins are looked at when the new file is opened */
}

static void layout4_convert_header(const struct old_file *old, struct file_header *h)
{
	const struct old_tallies *t = &old->tallies;

	h->revision = old->header.revision;
	atomic_store(&h->next_id, old->header.next_id);
	atomic_store(&h->high, old->header.high);
	atomic_store(&h->n_origins, old->header.n_origins);
	h->history = old->header.history;
	memcpy(h->origin, old->header.origins, old->header.n_origins * sizeof(h->origin[0]));
	memcpy(h->tallies, t->tallies, old->header.n_origins * sizeof(h->tallies[0]));
	for (uint32_t i = 0; i < old->header.n_origins; i++)
		atomic_store(&h->peers[i], old->header.peers[i]);
	memcpy(h->names, t->names, sizeof(h->names));
	memcpy(h->counters, t->counters, sizeof(h->counters));
	atomic_store(&h->n_names, t->n_names);
}

/* All but the intents, which are carried out: see layout4_old_live(). Those of threads that never were stay holes. */
static void layout4_convert_scratch(const struct old_scratch *old, struct scratch *s)
{
	static const struct old_scratch none;

	if (memcmp(old, &none, offsetof(struct old_scratch, space)) == 0)
		return;
	memcpy(s, old, offsetof(struct old_scratch, space));
	atomic_store(&s->intent, 0);
	if (old->owner)
		memcpy(s->data, old->data, sizeof(s->data));
}

/* What clients said, and are yet to hear. */
static int layout4_convert_areas(const struct old_file *old, int from, int to)
{
	const uint64_t size = CLIENT_IN_SIZE + CLIENT_OUT_SIZE;
	int r = 0;

	for (uint32_t i = 0; i < old->header.high && r == 0; i++)
		if (old->entries[i].cookie)
			r = layout4_copy(from, offsetof(struct old_file, areas) + i * size, to,
					 offsetof(struct file, areas) + i * (uint64_t)CLIENT_AREA_SIZE, size);
	return r;
}

static int layout4_convert_table(const struct old_file *old, int clients_fd, int rooms_fd, struct clients *cs,
				 int fd)
{
	layout4_convert_header(old, &cs->file->header);
	for (unsigned i = 0; i < 64; i++)
		layout4_convert_scratch(&old->scratches[i], &cs->file->scratches[i]);
	FAULT("convert-header");
	for (uint32_t i = 0; i < old->header.high; i++) {
		if (old->entries[i].cookie)
			layout4_convert_entry(&old->entries[i], layout4_old_live(old, i, rooms_fd), cs,
					      &cs->file->entries[i]);
		FAULT("convert-entry");
	}
	return layout4_convert_areas(old, clients_fd, fd);
}

int layout4_convert_clients(int clients_fd, int rooms_fd)
{
	/* What clients have said or are yet to hear is copied without being mapped, since it is mostly holes. */
	const size_t mapped = offsetof(struct old_file, areas);
	struct old_file *old;
	struct clients *cs = NULL;
	int64_t size = memfd_check(clients_fd, sizeof(*old));
	_cleanup_close_ int fd = -1;

	if (size < 0)
		return (int)size;
	int r = memfd_map(clients_fd, 0, mapped, (void **)&old);
	if (r < 0)
		return r;
	if (!layout4_old_header_is_sound(&old->header))
		r = -EBADMSG;
	fd = r == 0 ? memfd_new("chatd-clients", clients_file_size()) : r;
	if (r == 0)
		r = fd < 0 ? fd : clients_open(fd, true, &cs);
	if (r == 0)
		r = layout4_convert_table(old, clients_fd, rooms_fd, cs, fd);
	clients_close(cs);
	munmap(old, mapped);
	return r < 0 ? r : take_fd(&fd);
}
