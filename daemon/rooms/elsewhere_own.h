/* SPDX-License-Identifier: MIT */
/* Who is on other nodes, for its two files and nobody else: elsewhere.c changes it, elsewhere_ask.c has the answers. */
#ifndef DAEMON_ELSEWHERE_OWN_H
#define DAEMON_ELSEWHERE_OWN_H

#include "common/hash.h"
#include "daemon/rooms/elsewhere.h"
#include "daemon/rooms/nick_index.h"

#include <pthread.h>
#include <stdatomic.h>

/* A room with people of other nodes; it goes with the last one. */
struct hall {
	struct hall *next;		  /* in its bucket */
	struct hall *prev_one, *next_one; /* of all */
	struct away *first;
	uint32_t n;
	uint32_t tally; /* of one node's: see elsewhere_drop() */
	struct elsewhere_nick *gone;
	uint32_t n_gone;
	char name[TEXT_ROOM_MAX + 1];
};

struct away {
	struct away *next_id; /* in the bucket of its node and id */
	struct nick_link link;
	struct away *prev_here, *next_here; /* in its room */
	struct away *prev, *next;	    /* of its node */
	struct elsewhere_node *node;
	struct hall *hall; /* or NULL */
	uint64_t id;
	int64_t since_us;
	uint32_t round; /* of the node, in which it was put */
	bool account, reserved;
	uint8_t nick_len;
	char kind[ELSEWHERE_KIND_MAX + 1];
	char nick[];
};

struct elsewhere {
	pthread_mutex_t lock;
	struct hash_key key;
	uint32_t n_buckets;
	struct away **by_id;
	struct nick_index by_nick;
	struct hall **halls, *first_hall;
	size_t n_halls;
	size_t n;
	unsigned reserved_version;
	atomic_bool is_known;
	_Atomic(const struct elsewhere_listener *) listener;
	struct elsewhere_node nodes[ELSEWHERE_NODES];
};

/* --- the lock is held, or nobody else can change it --- */

/* Where the pointer to it is; to NULL if nobody is there. */
struct hall **elsewhere_find_hall(const struct elsewhere *el, const char *name);

#endif
