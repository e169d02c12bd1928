/* SPDX-License-Identifier: MIT */
/* The journal: a mark for each place in the table of clients, and a list of those that have changed. */
#include "daemon/rooms/journal.h"

#include <stdlib.h>
#include <string.h>

struct journal {
	struct journal_mark *at;
	uint32_t *dirty; /* indices; each is there once */
	uint32_t n, n_dirty;
};

struct journal *journal_new(void)
{
	return calloc(1, sizeof(struct journal));
}

void journal_free(struct journal *j)
{
	if (!j)
		return;
	free(j->at);
	free(j->dirty);
	free(j);
}

static void journal_grow(struct journal *j, uint32_t index)
{
	uint32_t n = j->n ? j->n : 1024;

	while (n <= index)
		n *= 2;
	struct journal_mark *at = reallocarray(j->at, n, sizeof(*at));
	if (!at)
		abort(); /* a crash is recovered from */
	memset(at + j->n, 0, (n - j->n) * sizeof(*at));
	j->at = at;
	uint32_t *dirty = reallocarray(j->dirty, n, sizeof(*dirty));
	if (!dirty)
		abort();
	j->dirty = dirty;
	j->n = n;
}

struct journal_mark *journal_note(struct journal *j, uint32_t index)
{
	if (index >= j->n)
		journal_grow(j, index);
	struct journal_mark *m = &j->at[index];
	if (!m->dirty) {
		m->dirty = true;
		j->dirty[j->n_dirty++] = index;
	}
	return m;
}

const struct journal_mark *journal_at(const struct journal *j, uint32_t index)
{
	return index < j->n ? &j->at[index] : NULL;
}

struct journal_mark *journal_take(struct journal *j)
{
	if (j->n_dirty == 0)
		return NULL;
	struct journal_mark *m = &j->at[j->dirty[--j->n_dirty]];
	m->dirty = false;
	return m;
}
