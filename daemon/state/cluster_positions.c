/* SPDX-License-Identifier: MIT */
/* The cluster's positions in memory: an index, the free places, and the line of those that may make way. */
#include "daemon/state/cluster_file_own.h"

#include "daemon/base/fault.h"

#include <string.h>

static uint32_t *cluster_positions_bucket(const struct cluster_file *f, const uint8_t key[static 16],
					  uint64_t boot)
{
	struct {
		uint8_t key[16];
		uint64_t boot;
	} k = {.boot = boot};

	memcpy(k.key, key, sizeof(k.key));
	return &f->buckets[hash_bytes(&f->key, &k, sizeof(k)) & (f->n_buckets - 1)];
}

uint32_t cluster_positions_find(const struct cluster_file *f, const uint8_t key[static 16], uint64_t boot)
{
	uint32_t row = *cluster_positions_bucket(f, key, boot);

	for (; row; row = f->links[row - 1].next) {
		const struct cluster_position *p = cluster_file_row(f, row);
		if (p->boot == boot && memcmp(p->key, key, sizeof(p->key)) == 0)
			break;
	}
	return row;
}

void cluster_positions_index(struct cluster_file *f, uint32_t row)
{
	const struct cluster_position *p = cluster_file_row(f, row);
	uint32_t *bucket = cluster_positions_bucket(f, p->key, p->boot);

	f->links[row - 1].next = *bucket;
	*bucket = row;
}

static void cluster_positions_unindex(struct cluster_file *f, uint32_t row)
{
	const struct cluster_position *p = cluster_file_row(f, row);
	uint32_t *link = cluster_positions_bucket(f, p->key, p->boot);

	while (*link != row)
		link = &f->links[*link - 1].next;
	*link = f->links[row - 1].next;
}

void cluster_positions_give(struct cluster_file *f, uint32_t row)
{
	f->links[row - 1].next = f->free;
	f->free = row;
}

void cluster_positions_append(struct cluster_file *f, uint32_t row)
{
	struct cluster_link *l = &f->links[row - 1];

	l->older = f->newest;
	l->newer = 0;
	*(f->newest ? &f->links[f->newest - 1].newer : &f->oldest) = row;
	f->newest = row;
}

void cluster_positions_take_out(struct cluster_file *f, uint32_t row)
{
	const struct cluster_link *l = &f->links[row - 1];

	*(l->older ? &f->links[l->older - 1].newer : &f->oldest) = l->newer;
	*(l->newer ? &f->links[l->newer - 1].older : &f->newest) = l->older;
}

uint32_t cluster_positions_take(struct cluster_file *f)
{
	uint32_t row = f->free;

	if (row) {
		f->free = f->links[row - 1].next;
	} else if (f->high < f->capacity) {
		row = ++f->high;
	} else if (f->oldest) {
		row = f->oldest;
		cluster_positions_take_out(f, row);
		cluster_positions_unindex(f, row);
		cluster_position_set_check(cluster_file_row(f, row), 0);
		FAULT("cluster-position-evicted");
	}
	return row;
}
