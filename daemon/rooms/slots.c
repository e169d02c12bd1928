/* SPDX-License-Identifier: MIT */
/* The slots of the threads that read rooms: see the header. */
#include "daemon/rooms/slots.h"

#include "common/cleanup.h"

int slots_new(unsigned n_workers, struct slots **ret)
{
	struct slots *s = calloc(1, sizeof(*s));
	unsigned slot;
	int r = 0;

	if (!s)
		return -ENOMEM;
	for (s->n_workers = 0; r == 0 && s->n_workers < n_workers; s->n_workers++)
		r = slots_take(s, true, &slot);
	if (r < 0) {
		slots_free(s);
		return r;
	}
	*ret = s;
	return 0;
}

void slots_free(struct slots *s)
{
	if (!s)
		return;
	for (unsigned i = 0; i < SLOTS_MAX; i++)
		wakeup_free(s->at[i]);
	free(s);
}

int slots_take(struct slots *s, bool waited_for, unsigned *ret)
{
	unsigned slot = 0;

	while (slot < SLOTS_MAX && s->taken[slot])
		slot++;
	if (slot == SLOTS_MAX)
		return -ENOSPC;
	if (!s->at[slot]) {
		int r = wakeup_new(&s->at[slot]);
		if (r < 0)
			return r;
	}
	s->taken[slot] = true;
	s->waited_for[slot] = waited_for;
	if (slot >= slots_count(s))
		atomic_store_explicit(&s->n, slot + 1, memory_order_release);
	*ret = slot;
	return 0;
}

void slots_give(struct slots *s, unsigned slot)
{
	s->taken[slot] = false;
}
