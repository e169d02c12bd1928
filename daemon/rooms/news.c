/* SPDX-License-Identifier: MIT */
/*
 * The news of rooms: which threads are told that something was said, whether they can take more, and whether
 * comings and goings are news at all.
 */
#include "daemon/rooms/directory.h"

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

/* Inline, as it is asked for every batch of lines. */
static inline bool news_are_late(const struct rooms *rs, const struct room *r)
{
	unsigned n = slots_count(rs->slots);

	for (unsigned i = 0; i < n; i++)
		if (slots_waited_for(rs->slots, i) &&
		    atomic_load_explicit(&r->readers[i], memory_order_relaxed) > 0 &&
		    logring_reader_behind(r->log, i))
			return true;
	return false;
}

bool room_log_is_crowded(const struct rooms *rs, const struct room *r)
{
	return news_are_late(rs, r);
}

bool room_announces(const struct room *r)
{
	return !r->raw && room_members(r) <= r->announce_max &&
	       __builtin_expect(!r->outgoing || !room_log_is_crowded(r->rooms, r->outgoing), 1);
}

bool room_crowded(const struct rooms *rs, const struct room *r)
{
	return news_are_late(rs, r) ||
	       __builtin_expect(r->outgoing && room_log_is_crowded(rs, r->outgoing), 0);
}
