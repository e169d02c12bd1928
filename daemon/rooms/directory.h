/* SPDX-License-Identifier: MIT */
/*
 * The directory of rooms, for the files of this folder that share it and nobody else; room.h is what others
 * see. directory.c has the file and the index, configure.c what the configuration makes of the rooms, outgoing.c
 * the hidden ones of those that are shared with other machines, archived.c and restore.c those whose messages are
 * stored, enter.c who is in them, news.c who hears of what is said there. All of it but the news is under the lock.
 */
#ifndef DAEMON_ROOMS_DIRECTORY_H
#define DAEMON_ROOMS_DIRECTORY_H

#include "common/hash.h"
#include "daemon/rooms/file.h"
#include "daemon/rooms/room.h"

#include <pthread.h>

/* Of the file, within its layout: rooms say whether they are for their members only. */
#define ROOMS_REVISION 1
/* Of private messages, and of those to other nodes. */
#define PRIVATE_LOG_SIZE (4ULL << 20)

struct rooms {
	int fd;
	struct rooms_directory *dir;
	pthread_mutex_t lock;
	struct room *at[ROOMS_CAPACITY];
	struct room *letters;		      /* hidden: private messages to other nodes; NULL: no cluster */
	struct letter_nodes *letter_nodes;    /* where those nodes have theirs */
	struct hash_key key;		      /* of by_name */
	uint32_t by_name[ROOMS_CAPACITY * 2]; /* open hash of index + 1, rebuilt when rooms are removed */
	uint32_t high;			      /* slots below may be used */
	unsigned n_rooms;		      /* without the hidden ones */
	unsigned n_from_others;		      /* of these */
	struct room_settings defaults;
	struct rooms_limits limits;
	bool settled;		/* who was in a room before is in it again */
	uint64_t numbers_above; /* of rooms that are restored */
	struct {
		bool (*is_clustered)(const char *name, void *arg); /* NULL: no room is */
		void *arg;
		bool has_reader;
		unsigned reader; /* the slot of who reads the outgoing logs */
		uint64_t (*shown)(const struct room *outgoing, void *arg);
		void *shown_arg;
	} cluster;
	struct rooms_archive archive; /* keeps NULL: nothing is stored */
	const struct slots *slots;    /* of the readers */
};

/* The room of that name, or NULL. */
struct room *directory_find(const struct rooms *rs, const char *name);
/*
 * Makes a room in a free slot whose log has that size, or in a new one. Index 0 is the private log's. opener:
 * address_site() of who opens it, or NULL. Returns 0 or -errno; ret may be NULL.
 */
int directory_create(struct rooms *rs, const char *name, enum room_kind kind, const struct room_settings *set,
		     const uint8_t *opener, struct room **ret);
/* A room that has no messages gets numbers above all that there were before. */
void directory_renumber(struct rooms *rs, struct room *r);
/* Empties the room's slot; its extent waits for the next room of that size. Its hidden rooms go before it. */
void directory_remove(struct rooms *rs, struct room *r);

/* archived.c: whether what is said in a room that is new, or from a process before, is stored. */
void archived_attach(struct rooms *rs, struct room *r);
/* It is about to go. */
void archived_detach(struct rooms *rs, struct room *r);

/* letter_nodes.c; NULL without memory. */
struct letter_nodes *letter_nodes_new(void);
void letter_nodes_free(struct letter_nodes *ln);

/* outgoing.c: makes a room that people see, with an outgoing log if it is to have one. */
int outgoing_create_room(struct rooms *rs, const char *name, const struct room_settings *set,
			 const uint8_t *opener, struct room **ret);
/* Nobody is in it or holds it, and all that was said there came back. */
bool outgoing_room_is_idle(const struct rooms *rs, const struct room *r);
/* After the takeover: those that have retired, or whose lines come back to their senders first. */
void outgoing_remove_retired(struct rooms *rs);

/* Whether nobody is in it or holds it: whoever stores what is said is a reader always. */
bool room_is_unread(const struct room *r);

/* Somebody here is in the room, or it is configured: it is as any other. */
static inline void directory_adopt(struct rooms *rs, struct room *r)
{
	rs->n_from_others -= r->from_others;
	r->from_others = false;
	rs->dir->slots[r->index].from_others = 0;
}

static inline uint32_t room_count_readers(const struct room *r, unsigned n_slots)
{
	uint32_t n = 0;

	for (unsigned i = 0; i < n_slots; i++)
		n += atomic_load_explicit(&r->readers[i], memory_order_relaxed);
	return n;
}

#endif
