/* SPDX-License-Identifier: MIT */
/*
 * Finds whatever has a nick by the nick's keys: a hash in which each one is linked in the bucket of each of its keys, once.
 * For the roster and for who is elsewhere, each under its own lock.
 */
#ifndef DAEMON_NICK_INDEX_H
#define DAEMON_NICK_INDEX_H

#include "common/nick.h"

#include <stddef.h>
#include <stdint.h>

/* What has a nick has one of these. */
struct nick_link {
	struct nick_link *next[NICK_KEYS];
	struct nick_keys keys; /* set before it is added */
};

struct nick_index {
	struct nick_link **buckets;
	uint64_t n_buckets; /* a power of two */
};

/* Returns 0 or -ENOMEM. The index is the caller's to free: buckets. */
int nick_index_open(struct nick_index *ix, uint64_t n_buckets);
void nick_index_add(struct nick_index *ix, struct nick_link *l);
void nick_index_remove(struct nick_index *ix, struct nick_link *l);

/* The next one whose keys meet those; from zeros on. One that meets by both keys may come twice. NULL: no more. */
struct nick_cursor {
	struct nick_link *at;
	unsigned key;
};
struct nick_link *nick_index_next(const struct nick_index *ix, const struct nick_keys *keys,
				  struct nick_cursor *c);
/* The first one in that bucket, or the one after l; each one is in one bucket for this. NULL: no more. */
struct nick_link *nick_index_walk(const struct nick_index *ix, uint64_t bucket, const struct nick_link *l);

#define NICK_LINK_OWNER(l, type, member) ((type *)(void *)((char *)(l)-offsetof(type, member)))

#endif
