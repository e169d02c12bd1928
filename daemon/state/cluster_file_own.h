/* SPDX-License-Identifier: MIT */
/*
 * The cluster's file, for the files of this folder that are one: cluster_file.c changes it, cluster_file_open.c takes
 * it over from a process before, cluster_positions.c finds positions.
 */
#ifndef DAEMON_CLUSTER_FILE_OWN_H
#define DAEMON_CLUSTER_FILE_OWN_H

#include "common/hash.h"
#include "daemon/base/checksum.h"
#include "daemon/state/cluster_file.h"

#define CLUSTER_MAGIC 0x74736c6364746863ULL
#define CLUSTER_LAYOUT 1
#define CLUSTER_TABLE_AT 4096

/* --- in the file --- */

struct cluster_half {
	struct cluster_applied applied;
	uint64_t check;
};

struct cluster_intent {
	uint32_t room, row; /* ROOM_NONE: it depends on no log */
	uint64_t epoch, count;
	struct cluster_applied applied;
	struct cluster_position position;
	uint64_t mark; /* the check of what stands before; 0: there is no intent */
};

struct cluster_header {
	uint64_t magic;
	uint32_t layout, capacity;
	uint64_t identity;
	char node[CLUSTER_FILE_NODE_MAX + 1];
	struct cluster_half half[2];
	uint64_t live;
	struct cluster_intent intent;
	uint64_t away;
	/* When it was made, CLOCK_REALTIME and CLOCK_BOOTTIME (0: by a build that did not note it), and by the stream's
	 * clock (0: not known yet). */
	int64_t made_real_ns, made_boot_ns, made_stream_ns;
	/* Instead of node, with 1. */
	char other_node[CLUSTER_FILE_NODE_MAX + 1];
	uint64_t node_live;
};

_Static_assert(sizeof(struct cluster_position) == 64, "part of the state's layout");
_Static_assert(sizeof(struct cluster_header) == 360, "part of the state's layout");

/* --- in memory --- */

/* Of a position; rows are counted from 1 here, 0: none. */
struct cluster_link {
	uint32_t next; /* in its bucket, or among the free ones */
	uint32_t older, newer;
};

struct cluster_file {
	struct cluster_header *header;
	struct cluster_position *table;
	size_t map_size;
	uint64_t identity;		      /* of the rooms as they are */
	char node[CLUSTER_FILE_NODE_MAX + 1]; /* what this node is called now */
	uint32_t capacity, high;	      /* rows from there on were never used */
	uint32_t free;
	uint32_t pending; /* at the start: of the intent, until it is known what became of it; 0: none */
	uint32_t oldest, newest; /* of those that may make way */
	struct hash_key key;
	uint32_t n_buckets; /* a power of two */
	uint32_t *buckets;
	struct cluster_link *links;
};

/* --- single stores and checks --- */

/* What is stored before a step is so for whoever looks after it; a process that dies has stored what it has stored. */
static inline void cluster_file_step(uint64_t *to, uint64_t value)
{
	atomic_signal_fence(memory_order_seq_cst);
	atomic_store_explicit((_Atomic uint64_t *)to, value, memory_order_release);
	atomic_signal_fence(memory_order_seq_cst);
}

/* Never 0. */
static inline uint64_t cluster_file_checksum(const void *data, size_t len)
{
	uint64_t h = checksum_add(CLUSTER_MAGIC, data, len);

	return h ? h : 1;
}

static inline uint64_t cluster_half_check(const struct cluster_half *h)
{
	return cluster_file_checksum(&h->applied, sizeof(h->applied));
}

static inline uint64_t cluster_position_check(const struct cluster_position *p)
{
	return cluster_file_checksum(p, offsetof(struct cluster_position, check));
}

static inline void cluster_position_set_check(struct cluster_position *p, uint64_t check)
{
	cluster_file_step(&p->check, check);
}

static inline uint64_t cluster_intent_mark(const struct cluster_intent *i)
{
	return cluster_file_checksum(i, offsetof(struct cluster_intent, mark));
}

static inline struct cluster_position *cluster_file_row(const struct cluster_file *f, uint32_t row)
{
	return &f->table[row - 1];
}

static inline uint32_t cluster_file_row_of(const struct cluster_file *f, const struct cluster_position *p)
{
	return (uint32_t)(p - f->table) + 1;
}

/* --- cluster_file.c --- */

/* Does what the intent says: may be done again by the next process, from wherever this one died. */
void cluster_file_carry_out(struct cluster_file *f);

/* --- cluster_positions.c; rows in the table, from 1 on --- */

uint32_t cluster_positions_find(const struct cluster_file *f, const uint8_t key[static 16], uint64_t boot);
void cluster_positions_index(struct cluster_file *f, uint32_t row);
/* The end of the line of those that may make way. */
void cluster_positions_append(struct cluster_file *f, uint32_t row);
void cluster_positions_take_out(struct cluster_file *f, uint32_t row);
/* Nobody's: the next one that is wanted. */
void cluster_positions_give(struct cluster_file *f, uint32_t row);
/* A place in the table, also that of somebody who makes way; 0: there is none. */
uint32_t cluster_positions_take(struct cluster_file *f);

#endif
