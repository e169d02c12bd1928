/* SPDX-License-Identifier: MIT */
/* From the oldest message on, some at a time, as writers wait meanwhile. */
#include "daemon/rooms/forget.h"

#include "common/nick.h"

#include <string.h>

#define FORGET_AT_ONCE 500

static bool forget_is_meant(const struct record *r, const char *line, const struct room_forget *what)
{
	int64_t time = (int64_t)r->time_us;

	if (r->forgotten || (what->since_us && time < what->since_us) ||
	    (what->before_us && time >= what->before_us))
		return false;
	return !what->nick || nick_equal(line + r->nick_at, r->nick_len, what->nick, strlen(what->nick));
}

/* With the lock. Returns how many it was, and moves *seq on. */
static uint64_t forget_some(struct logring *log, uint64_t *seq, uint64_t end, const struct room_forget *what)
{
	struct logring_view v;
	uint64_t n = 0;

	logring_peek(log, &v);
	if (*seq < v.first)
		*seq = v.first;
	for (unsigned i = 0; i < FORGET_AT_ONCE && *seq < end; i++, ++*seq) {
		const char *line = logring_at(&v, logring_start(log, &v, *seq));
		if (!forget_is_meant(logring_record(log, *seq), line, what))
			continue;
		logring_forget(log, &v, *seq);
		n++;
	}
	return n;
}

uint64_t room_forget(struct room *room, const struct room_forget *what)
{
	uint64_t n = 0, seq = 0, end = logring_count(room->log);

	while (seq < end) {
		logring_lock(room->log);
		n += forget_some(room->log, &seq, end, what);
		logring_unlock(room->log);
	}
	return n;
}
