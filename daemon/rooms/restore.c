/* SPDX-License-Identifier: MIT */
/* How rooms get their last messages back: see the header. */
#include "daemon/rooms/restore.h"

#include "daemon/base/fault.h"
#include "daemon/rooms/archived.h"
#include "daemon/rooms/directory.h"

#include <errno.h>
#include <string.h>

void rooms_set_past_unknown(struct rooms *rs, bool unknown)
{
	pthread_mutex_lock(&rs->lock);
	rs->dir->past_unknown = unknown;
	pthread_mutex_unlock(&rs->lock);
}

bool rooms_past_is_unknown(struct rooms *rs)
{
	pthread_mutex_lock(&rs->lock);
	bool unknown = rs->dir->past_unknown;
	pthread_mutex_unlock(&rs->lock);
	return unknown;
}

/* "* NICK is now ", and the newline: all of it but the nick. */
#define RESTORE_WORDS 24

static int restore_make(struct rooms *rs, const struct restored_room *what, struct room **ret)
{
	struct room_settings set = rs->defaults;

	if (!text_room_valid(what->name, strlen(what->name)))
		return -EINVAL;
	/* One that is for its members must not be opened anew by somebody else. */
	if (rs->n_rooms >= rs->limits.rooms && !what->members_only)
		return -ENOSPC;
	set.raw = what->raw;
	set.read_only = what->read_only;
	set.members_only = what->members_only;
	return outgoing_create_room(rs, what->name, &set, NULL, ret);
}

int rooms_restore(struct rooms *rs, const struct restored_room *what, struct room **ret)
{
	struct room *r;
	int e = 0;

	pthread_mutex_lock(&rs->lock);
	r = directory_find(rs, what->name);
	if (r && r->from_others && what->members_only) {
		r->members_only = true;
		rs->dir->slots[r->index].members_only = true;
	}
	if (r && (!rs->dir->begins || logring_count(r->log) > 0))
		e = -EEXIST;
	else if (!r)
		e = restore_make(rs, what, &r);
	if (e == 0) {
		directory_renumber(rs, r); /* first, as a process may have died between both */
		r->epoch = rs->dir->slots[r->index].epoch = what->epoch ? what->epoch : r->epoch;
		*ret = r;
	}
	pthread_mutex_unlock(&rs->lock);
	return e;
}

/* All of them become true at once, and none may be below the log's tail. */
size_t room_restore(struct room *r, const struct speech_event *events, size_t n)
{
	uint64_t space = logring_size(r->log) / 8 * LOGRING_FIRST_EIGHTHS;
	uint64_t most = space / LOGRING_BYTES_PER_RECORD;
	uint64_t last = 0;
	size_t first = n;
	struct speech s = {0};

	for (uint64_t bytes = 0; first > 0 && n - first < most; first--) {
		const struct speech_event *e = &events[first - 1];
		/* A line is its text (what is cleaned may grow), the nick and some words. */
		bytes += e->text_len * (e->raw ? TEXT_SANITISE_GROWTH : 1) + e->nick_len + RESTORE_WORDS;
		if (bytes > space)
			break;
	}
	for (size_t i = first; i < n; i++) {
		const struct speech_event *e = &events[i];
		if (e->number > last && e->number < r->number_base && speech_replay(&s, r, e) == 0)
			last = e->number;
	}
	if (!speech_room(&s))
		return 0;
	uint64_t put = logring_pending(r->log);
	FAULT("restore-put");
	logring_commit(r->log);
	FAULT("restore-commit");
	room_set_archived(r, put);
	logring_unlock(r->log);
	return put;
}
