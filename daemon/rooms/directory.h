/* SPDX-License-Identifier: MIT */
/*
 * The directory of rooms, for the files of this folder that share it and nobody else; room.h is what others
 * see. directory.c has the file and the index, configure.c what the configuration makes of the rooms, enter.c
 * who is in them, news.c who hears of what is said there. All of it but the news is under the lock.
 */
#ifndef DAEMON_ROOMS_DIRECTORY_H
#define DAEMON_ROOMS_DIRECTORY_H

#include "common/hash.h"
#include "daemon/rooms/file.h"
#include "daemon/rooms/room.h"

#include <pthread.h>

/* Of the file, within its layout: rooms say whether they are for their members only. */
#define ROOMS_REVISION 1

struct rooms {
	int fd;
	struct rooms_directory *dir;
	pthread_mutex_t lock;
	struct room *at[ROOMS_CAPACITY];
	struct hash_key key;		      /* of by_name */
	uint32_t by_name[ROOMS_CAPACITY * 2]; /* open hash of index + 1, rebuilt when rooms are removed */
	uint32_t high;			      /* slots below may be used */
	unsigned n_rooms;		      /* without the private one */
	struct room_settings defaults;
	struct rooms_limits limits;
	bool settled;		   /* who was in a room before is in it again */
	const struct slots *slots; /* of the readers */
};

/* The room of that name, or NULL. */
struct room *directory_find(struct rooms *rs, const char *name);
/*
 * Makes a room in a free slot whose log has that size, or in a new one. Index 0 is the private log's. opener:
 * address_site() of who opens it, or NULL. Returns 0 or -errno; ret may be NULL.
 */
int directory_create(struct rooms *rs, const char *name, const struct room_settings *set,
		     const uint8_t *opener, struct room **ret);
/* Empties the room's slot; its extent waits for the next room of that size. */
void directory_remove(struct rooms *rs, struct room *r);

static inline uint32_t room_count_readers(const struct room *r, unsigned n_slots)
{
	uint32_t n = 0;

	for (unsigned i = 0; i < n_slots; i++)
		n += atomic_load_explicit(&r->readers[i], memory_order_relaxed);
	return n;
}

#endif
