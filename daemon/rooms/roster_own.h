/* SPDX-License-Identifier: MIT */
/* The roster, for its files and nobody else: roster.c has who is here, roster_people.c answers who asks, roster_cluster.c has what
 * other nodes have to do with it. */
#ifndef DAEMON_ROSTER_OWN_H
#define DAEMON_ROSTER_OWN_H

#include "daemon/rooms/elsewhere.h"
#include "daemon/rooms/journal.h"
#include "daemon/rooms/nick_index.h"
#include "daemon/rooms/room.h"
#include "daemon/rooms/roster.h"
#include "daemon/rooms/wakeup.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>

/* An entry's seat in a room. An entry's seats are a ring, of one for most. */
struct seat {
	struct seat *prev, *next; /* in the room, newest first */
	struct seat *other;	  /* the ring's next one */
	uint32_t room;		  /* ROOMS_CAPACITY: none */
	bool own;		  /* it begins its entry; the others are on the heap */
};

struct roster_entry {
	struct seat seat; /* first: see roster_entry_of() */
	struct nick_link link;
	uint64_t id;
	uint32_t index;
	uint8_t len;
	uint8_t title; /* enum roster_title */
	char nick[];
};

/* As for struct connection: with a nick of ten bytes and malloc's header that is 96. */
_Static_assert(offsetof(struct roster_entry, nick) <= 78,
	       "an idle connection costs no more than 0.7 kB in all");

struct roster {
	pthread_mutex_t lock;
	struct nick_index index;
	struct seat *rooms[ROOMS_CAPACITY];
	uint32_t sizes[ROOMS_CAPACITY];
	uint64_t *reserved; /* keys, sorted */
	size_t n_reserved;
	struct nick_keys own[2]; /* chatd's */
	_Atomic(const struct roster_listener *) listener;

	/* With a cluster; else there is none of it. */
	struct journal *journal;
	struct elsewhere *elsewhere;
	const char *node;
	char node_name[ELSEWHERE_NODE_MAX + 1];
	struct wakeup *wakeup; /* or NULL */
	atomic_bool hurries;
	atomic_uint losses;
	char (*names)[TEXT_NICK_MAX + 1]; /* that are reserved, for the others */
	size_t n_names;
	unsigned names_version;
};

static inline struct roster_entry *roster_entry_of(struct seat *s)
{
	while (!s->own)
		s = s->other;
	return (struct roster_entry *)s;
}

/* Whether it looks like a guest's. */
static inline bool roster_looks_like_guest(const struct roster *ro, const char *nick, size_t len)
{
	return ro->node ? nick_is_guest_of_node(nick, len) : nick_is_guest(nick, len);
}

/* --- roster_cluster.c; the lock is held --- */

/* What the watcher gets to know. */
void roster_note_change(struct roster *ro, const struct roster_entry *e);
void roster_note_claim(struct roster *ro, struct roster_entry *e, int64_t since_us);
void roster_note_replace(struct roster *ro, struct roster_entry *with);
void roster_note_release(struct roster *ro, const struct roster_entry *e);
/* Whether somebody elsewhere has it who need not make way. Held, so that roster_contest() sees the entry if that one comes
 * later. */
bool roster_is_elsewhere(struct roster *ro, const struct roster_entry *e, const struct roster_person *who);

#endif
