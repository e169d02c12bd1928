/* SPDX-License-Identifier: MIT */
/* Which places of the file of clients are free, as the process remembers it. */
#include "daemon/state/file.h"

#include <stdlib.h>

bool free_places_push(struct free_places *f, uint32_t index)
{
	if (f->n == f->capacity) {
		uint32_t n = f->capacity ? f->capacity * 2 : 256;
		uint32_t *p = reallocarray(f->at, n, sizeof(*p));
		if (!p)
			return false;
		f->at = p;
		f->capacity = n;
	}
	f->at[f->n++] = index;
	return true;
}
