/* SPDX-License-Identifier: MIT */
/*
 * The file of clients, layout 5, for those who read and write it: clients.c, memberships.c and layouts. What is
 * where, all of it sparse (a page exists once something was written to it):
 *
 *	header		magic, layout, sizes; origins, counters, and space to grow
 *	scratches	one for each worker
 *	entries		struct client, by the client's index
 *	memberships	struct membership, in no order
 *	tls		struct tls_state, by the client's index
 *	later		since when they have their nicks, and space for what clients will need, by the client's index
 *	tls_scratches	one for each worker's TLS
 *	areas		the inbox, the outbox, and TLS's rests, by the client's index
 *
 * Another layout is another set of structs: state/layouts.h says how one becomes the next.
 */
#ifndef DAEMON_STATE_FILE_H
#define DAEMON_STATE_FILE_H

#include "daemon/io/memfd.h"
#include "daemon/state/entry.h"

#include <pthread.h>

#define CLIENTS_MAGIC 0x736e6c6364746863ULL
#define CLIENTS_LAYOUT 5
#define CLIENTS_HEADER_SIZE 524288
#define CLIENT_LATER_SIZE 64
#define CLIENT_NICK_NOTES 2

/* What must be the same in the build that wrote the file. */
struct file_shape {
	uint32_t capacity, memberships;
	uint32_t scratches, origins, counters, counter_sets;
	uint32_t entry_size, membership_size, tls_size, area_size;
	uint64_t entries_at, memberships_at, tls_at, areas_at;
};

struct file_header {
	uint64_t magic;
	uint32_t layout;
	uint32_t revision;
	struct file_shape shape;
	uint64_t made_from; /* the inode of the file that it was converted from; 0: none */
	_Atomic uint64_t next_id;
	_Atomic uint32_t high;		   /* entries from here on were never used */
	_Atomic uint32_t memberships_high; /* nor memberships */
	_Atomic uint32_t n_origins;	   /* stored behind the origin */
	uint32_t reserved;
	struct client_history history;
	uint8_t reserved2[3936];

	struct client_origin origin[CLIENTS_ORIGINS];
	_Atomic uint32_t peers[CLIENTS_ORIGINS];
	struct client_tally tallies[CLIENTS_ORIGINS];
	_Atomic uint64_t n_names;	  /* of counters; 0: they mean nothing */
	uint64_t names[CLIENTS_COUNTERS]; /* their hashes: which counter is which */
	_Atomic uint64_t counters[CLIENTS_MORE_COUNTERS][CLIENTS_COUNTERS];
};

/* Beside an entry; without a cluster nothing is written there. */
struct client_later {
	struct client_nick_note {
		int64_t since_us; /* CLOCK_REALTIME */
		uint64_t check; /* of that, the client and its nick; 0: nothing is noted. See nick_since.c */
	} nicks[CLIENT_NICK_NOTES];
	uint8_t reserved[CLIENT_LATER_SIZE - CLIENT_NICK_NOTES * sizeof(struct client_nick_note)];
};

_Static_assert(sizeof(struct client_later) == CLIENT_LATER_SIZE, "part of the state's layout");

struct file {
	union {
		struct file_header header;
		char header_space[CLIENTS_HEADER_SIZE];
	};
	struct scratch scratches[CLIENTS_SCRATCHES];
	struct client entries[CLIENTS_CAPACITY];
	struct membership memberships[MEMBERSHIPS_CAPACITY];
	struct tls_state tls[CLIENTS_CAPACITY];
	struct client_later later[CLIENTS_CAPACITY];
	struct tls_scratch tls_scratches[CLIENTS_SCRATCHES];
	char areas[CLIENTS_CAPACITY][CLIENT_AREA_SIZE];
};

_Static_assert(offsetof(struct file_header, origin) == 4096, "the first page has space to grow");
_Static_assert(sizeof(struct file_header) < CLIENTS_HEADER_SIZE, "the header has space to grow");
_Static_assert(offsetof(struct file, scratches) == CLIENTS_HEADER_SIZE, "part of the state's layout");
_Static_assert(offsetof(struct scratch, data) == 4096, "part of the state's layout");
_Static_assert(CLIENTS_LIMIT <= CLIENTS_CAPACITY, "everybody has a place");
/* Pages are given back by the area, whatever their size. */
_Static_assert(offsetof(struct file, entries) % MEMFD_ALIGN == 0, "part of the state's layout");
_Static_assert(offsetof(struct file, memberships) % MEMFD_ALIGN == 0, "part of the state's layout");
_Static_assert(offsetof(struct file, tls) % MEMFD_ALIGN == 0, "part of the state's layout");
_Static_assert(offsetof(struct file, areas) % MEMFD_ALIGN == 0, "part of the state's layout");

#define FILE_SHAPE                                                                                           \
	((struct file_shape){CLIENTS_CAPACITY, MEMBERSHIPS_CAPACITY, CLIENTS_SCRATCHES, CLIENTS_ORIGINS,     \
			     CLIENTS_COUNTERS, CLIENTS_COUNTER_SETS, sizeof(struct client),                  \
			     sizeof(struct membership), sizeof(struct tls_state), CLIENT_AREA_SIZE,          \
			     offsetof(struct file, entries), offsetof(struct file, memberships),             \
			     offsetof(struct file, tls), offsetof(struct file, areas)})

/* A stack of places that are free again, so that used ones stay close together. */
struct free_places {
	uint32_t *at;
	uint32_t n, capacity;
};

/* False without memory: the place is found again at the next start. */
bool free_places_push(struct free_places *f, uint32_t index);

/* The process's side of the file. */
struct clients {
	struct file *file;
	size_t mapped;
	uint32_t capacity;	 /* entries whose areas are mapped */
	struct secrets *secrets; /* or NULL */
	pthread_mutex_t lock;
	struct free_places free, free_memberships;
	atomic_uint holds[CLIENTS_ORIGINS];
};

static inline uint32_t file_index(const struct clients *cs, const struct client *c)
{
	return (uint32_t)(c - cs->file->entries);
}

/* NULL: there never was one at that place. */
static inline struct client *file_entry(struct clients *cs, uint32_t index)
{
	return index < atomic_load(&cs->file->header.high) ? &cs->file->entries[index] : NULL;
}

#endif
