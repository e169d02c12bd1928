/* SPDX-License-Identifier: MIT */
/*
 * Hidden rooms: how they are made, found again, and given up. One that has no room, or whose room has another
 * one already, is dropped. One whose room isn't shared any more retires: what was said and not shown goes into
 * the room, but the hidden one stays until the takeover is over, as intents may speak of it.
 */
#include "daemon/rooms/outgoing.h"

#include "daemon/base/fault.h"
#include "daemon/base/logger.h"
#include "daemon/rooms/directory.h"
#include "daemon/rooms/letter.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static enum room_kind outgoing_kind(const struct rooms *rs, const struct room *r)
{
	return atomic_load(&rs->dir->slots[r->index].kind);
}

bool outgoing_settled(const struct room *room)
{
	const struct room *o = room->outgoing;
	uint64_t messages, bytes;

	for (unsigned i = 0; o && i < slots_count(o->rooms->slots); i++) {
		if (atomic_load_explicit(&o->readers[i], memory_order_relaxed) == 0)
			continue;
		logring_reader_lag(o->log, i, &messages, &bytes);
		if (messages > 0)
			return false;
	}
	return true;
}

/* --- boots --- */

struct outgoing_boot outgoing_boot(const struct room *o)
{
	const struct room_slot *slot = &o->rooms->dir->slots[o->index];
	const struct room_boot *b = &slot->boots[atomic_load(&slot->boot_live) & 1];

	if (!b->boot)
		return (struct outgoing_boot){.boot = o->epoch};
	return (struct outgoing_boot){b->boot, b->from, b->skip_from, b->skip_to, b->before, b->before_end};
}

void outgoing_set_boot(struct room *o, const struct outgoing_boot *b)
{
	struct room_slot *slot = &o->rooms->dir->slots[o->index];
	uint64_t next = !(atomic_load(&slot->boot_live) & 1);

	slot->boots[next] =
	    (struct room_boot){b->boot, b->from, b->skip_from, b->skip_to, b->before, b->before_end};
	FAULT("outgoing-boot-written");
	atomic_store(&slot->boot_live, next);
	FAULT("outgoing-boot");
}

void outgoing_each(struct rooms *rs, void (*fn)(struct room *o, void *arg), void *arg)
{
	for (uint32_t i = 1; i < rs->high; i++)
		if (rs->at[i] && rs->at[i]->main && outgoing_kind(rs, rs->at[i]) == ROOM_OUTGOING)
			fn(rs->at[i], arg);
}

/* --- pairs --- */

/* The number of the first line that was not put into its room, of those that are there; and where it begins. */
static uint64_t outgoing_find_shown(const struct rooms *rs, struct room *o, uint64_t *ret_pos)
{
	uint64_t seq = rs->cluster.shown ? rs->cluster.shown(o, rs->cluster.shown_arg) : 0;
	struct logring_view v;

	logring_lock(o->log);
	logring_peek(o->log, &v);
	seq = seq < v.first ? v.first : seq > v.count ? v.count : seq;
	*ret_pos = seq == v.count ? v.head : logring_start(o->log, &v, seq);
	logring_unlock(o->log);
	return seq;
}

static void outgoing_link(struct rooms *rs, struct room *o)
{
	unsigned reader = rs->cluster.reader;
	uint64_t pos, seq;

	if (rs->cluster.has_reader) {
		seq = outgoing_find_shown(rs, o, &pos);
		logring_flushed_to(o->log, reader, pos, seq);
		atomic_store(&o->readers[reader], 1);
	}
	/* What is said in private here goes into the private log as ever. */
	if (o->main->index == ROOM_PRIVATE)
		rs->letters = o;
	else
		o->main->outgoing = o;
}

/* What a process before left in it has to be seen to; the reader's thread isn't running yet. */
static void outgoing_link_back(struct rooms *rs, struct room *o)
{
	outgoing_link(rs, o);
	if (rs->cluster.has_reader && !outgoing_settled(o->main))
		rooms_remark(rs, o, rs->cluster.reader);
}

static bool outgoing_is_wanted(const struct rooms *rs, const struct room *main)
{
	return rs->cluster.is_clustered &&
	       (main->index == ROOM_PRIVATE || rs->cluster.is_clustered(main->name, rs->cluster.arg));
}

/* For private messages to other nodes. */
static int outgoing_create_letters(struct rooms *rs)
{
	struct room *o;
	int e = directory_create(rs, OUTGOING_PREFIX, ROOM_OUTGOING,
				 &(struct room_settings){.log_size = PRIVATE_LOG_SIZE}, NULL, &o);

	if (e < 0)
		return e;
	o->main = rs->at[ROOM_PRIVATE];
	outgoing_link(rs, o);
	return 0;
}

/* If it is to have one. */
static int outgoing_create(struct rooms *rs, struct room *main)
{
	const struct room_settings set = {.log_size = logring_size(main->log)};
	char name[sizeof(main->name)];
	struct room *o;

	if (!outgoing_is_wanted(rs, main))
		return 0;
	FAULT("outgoing-lacking");
	snprintf(name, sizeof(name), OUTGOING_PREFIX "%.*s", TEXT_ROOM_MAX, main->name);
	int e = directory_create(rs, name, ROOM_OUTGOING, &set, NULL, &o);
	if (e < 0)
		return e;
	o->main = main;
	outgoing_link(rs, o);
	return 0;
}

int outgoing_create_room(struct rooms *rs, const char *name, const struct room_settings *set,
			 const uint8_t *opener, struct room **ret)
{
	struct room *r;
	int e = directory_create(rs, name, ROOM_OPEN, set, opener, &r);

	if (e < 0)
		return e;
	e = outgoing_create(rs, r);
	if (e < 0) {
		directory_remove(rs, r);
		return e;
	}
	if (ret)
		*ret = r;
	return 0;
}

bool outgoing_room_is_idle(const struct rooms *rs, const struct room *r)
{
	/* Whoever sends what is said in it is a reader always. */
	unsigned base = rs->cluster.has_reader;

	return room_is_unread(r) &&
	       (!r->outgoing ||
		(room_count_readers(r->outgoing, LOGRING_READERS) <= base && outgoing_settled(r)));
}

/* --- retiring --- */

/* A message to another node, which its sender is told of instead. Nobody is (0), if none of this node is. */
static bool outgoing_put_back(struct logring *to, const struct record *r, const char *line, size_t len)
{
	struct record record = {.time_us = r->time_us, .kind = RECORD_NOTICE, .text = 2};
	struct speech_event e;
	struct letter letter;
	char text[TEXT_NICK_MAX + 100];

	speech_event_of(r, line, len + 1, &e);
	bool is_message = letter_read(&e, &letter) && !letter.is_return;
	if (is_message && r->sender_index > 0) {
		record.target = r->sender;
		record.target_index = r->sender_index - 1;
	}
	int n = snprintf(text, sizeof(text), LETTER_DOUBT "this node has left the cluster.",
			 is_message ? letter.to.nick_len : 0, is_message ? letter.to.nick : "");
	return logring_put(to, &record, "* ", 2, text, (size_t)n);
}

static bool outgoing_put(const struct room *o, struct logring *to, struct record *r, const char *line,
			 size_t len)
{
	return o->main->index == ROOM_PRIVATE ? outgoing_put_back(to, r, line, len)
					      : logring_put(to, r, line, len, "", 0);
}

/*
 * Puts its lines into its room. Nobody else says anything there meanwhile, so how much the room's log has grown
 * says how far a process before has come.
 */
static void outgoing_move(struct rooms *rs, struct room *o)
{
	const struct room_slot *slot = &rs->dir->slots[o->index];
	struct logring *to = o->main->log;
	uint64_t moved = logring_count(to) - slot->moved_to, seq = slot->moved_from + moved;
	struct logring_view v;

	logring_lock(to);
	logring_lock(o->log);
	logring_peek(o->log, &v);
	if (logring_count(to) < slot->moved_to || seq < v.first)
		seq = v.count; /* it doesn't add up */
	for (; seq < v.count; seq++) {
		struct record r = *logring_record(o->log, seq);
		uint64_t start = logring_start(o->log, &v, seq);
		size_t len = r.end - start - 1;
		while (!outgoing_put(o, to, &r, logring_at(&v, start), len)) {
			logring_commit(to);
			FAULT("outgoing-moved-part");
		}
	}
	FAULT("outgoing-moving");
	logring_commit(to);
	logring_unlock(o->log);
	logring_unlock(to);
}

/*
 * In two parts, as an intent may speak of the private log: that has to be as the process before left it until the
 * takeover is over.
 */
static void outgoing_retire(struct rooms *rs, struct room *o, bool is_taken_over)
{
	struct room_slot *slot = &rs->dir->slots[o->index];
	uint64_t pos;

	if (outgoing_kind(rs, o) == ROOM_OUTGOING) {
		slot->moved_from = outgoing_find_shown(rs, o, &pos);
		slot->moved_to = logring_count(o->main->log);
		FAULT("outgoing-noted");
		atomic_store(&slot->kind, ROOM_RETIRING);
	}
	if (outgoing_kind(rs, o) == ROOM_RETIRING && (is_taken_over || o->main->index != ROOM_PRIVATE)) {
		outgoing_move(rs, o);
		FAULT("outgoing-moved");
		atomic_store(&slot->kind, ROOM_RETIRED);
	}
}

void outgoing_remove_retired(struct rooms *rs)
{
	for (uint32_t i = 1; i < rs->high; i++) {
		if (!rs->at[i] || !rs->at[i]->main)
			continue;
		if (outgoing_kind(rs, rs->at[i]) == ROOM_RETIRING)
			outgoing_retire(rs, rs->at[i], true);
		if (outgoing_kind(rs, rs->at[i]) == ROOM_RETIRED)
			directory_remove(rs, rs->at[i]);
	}
}

/* --- the whole --- */

void rooms_cluster_reader(struct rooms *rs, unsigned slot,
			  uint64_t (*shown)(const struct room *outgoing, void *arg), void *arg)
{
	rs->cluster.has_reader = true;
	rs->cluster.reader = slot;
	rooms_cluster_shown(rs, shown, arg);
}

void rooms_cluster_shown(struct rooms *rs, uint64_t (*shown)(const struct room *outgoing, void *arg),
			 void *arg)
{
	rs->cluster.shown = shown;
	rs->cluster.shown_arg = arg;
}

int rooms_cluster(struct rooms *rs, bool (*is_clustered)(const char *name, void *arg), void *arg)
{
	int e = 0;

	pthread_mutex_lock(&rs->lock);
	rs->cluster.is_clustered = is_clustered;
	rs->cluster.arg = arg;
	for (uint32_t i = 1; i < rs->high; i++) {
		struct room *o = rs->at[i];
		if (!o || !o->main)
			continue;
		if (outgoing_kind(rs, o) == ROOM_OUTGOING && outgoing_is_wanted(rs, o->main))
			outgoing_link_back(rs, o);
		else
			outgoing_retire(rs, o, false);
	}
	if (is_clustered && !rs->letter_nodes)
		e = (rs->letter_nodes = letter_nodes_new()) ? 0 : -ENOMEM;
	if (is_clustered && !rs->letters && e == 0)
		e = outgoing_create_letters(rs);
	for (uint32_t i = 1; i < rs->high && e == 0; i++) {
		struct room *r = rs->at[i];
		if (!r || r->main || r->outgoing)
			continue;
		e = outgoing_create(rs, r);
		if (e == -ENOSPC) {
			log_warning("room %s can't be shared with other machines: there are too many rooms",
				    r->name);
			e = 0;
		}
	}
	pthread_mutex_unlock(&rs->lock);
	return e;
}
