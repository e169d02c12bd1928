/* SPDX-License-Identifier: MIT */
/* The hash by two keys: of one whose keys fall into the same bucket only the first link is used. */
#include "daemon/rooms/nick_index.h"

#include <errno.h>
#include <stdlib.h>

int nick_index_open(struct nick_index *ix, uint64_t n_buckets)
{
	ix->n_buckets = n_buckets;
	ix->buckets = calloc(n_buckets, sizeof(struct nick_link *));
	return ix->buckets ? 0 : -ENOMEM;
}

static uint64_t nick_index_bucket(const struct nick_index *ix, const struct nick_keys *keys, unsigned key)
{
	return keys->at[key] & (ix->n_buckets - 1);
}

/* Where it says what comes after it in that bucket. */
static struct nick_link **nick_index_after(const struct nick_index *ix, struct nick_link *l, uint64_t bucket)
{
	return &l->next[nick_index_bucket(ix, &l->keys, 0) != bucket];
}

void nick_index_add(struct nick_index *ix, struct nick_link *l)
{
	uint64_t first = nick_index_bucket(ix, &l->keys, 0), second = nick_index_bucket(ix, &l->keys, 1);

	l->next[0] = ix->buckets[first];
	ix->buckets[first] = l;
	if (second == first)
		return;
	l->next[1] = ix->buckets[second];
	ix->buckets[second] = l;
}

void nick_index_remove(struct nick_index *ix, struct nick_link *l)
{
	for (unsigned i = 0; i < NICK_KEYS; i++) {
		uint64_t bucket = nick_index_bucket(ix, &l->keys, i);
		struct nick_link **p = &ix->buckets[bucket];
		while (*p && *p != l)
			p = nick_index_after(ix, *p, bucket);
		if (*p)
			*p = *nick_index_after(ix, l, bucket);
	}
}

struct nick_link *nick_index_next(const struct nick_index *ix, const struct nick_keys *keys,
				  struct nick_cursor *c)
{
	for (; c->key < NICK_KEYS; c->key++) {
		uint64_t bucket = nick_index_bucket(ix, keys, c->key);
		if (c->key > 0 && bucket == nick_index_bucket(ix, keys, 0))
			continue;
		c->at = c->at ? *nick_index_after(ix, c->at, bucket) : ix->buckets[bucket];
		while (c->at && !nick_keys_meet(&c->at->keys, keys))
			c->at = *nick_index_after(ix, c->at, bucket);
		if (c->at)
			return c->at;
	}
	return NULL;
}

struct nick_link *nick_index_walk(const struct nick_index *ix, uint64_t bucket, const struct nick_link *l)
{
	struct nick_link *at = l ? l->next[0] : ix->buckets[bucket];

	while (at && nick_index_bucket(ix, &at->keys, 0) != bucket)
		at = at->next[1];
	return at;
}
