/* SPDX-License-Identifier: MIT */
/*
 * The rooms' file, layout 5, for those who read and write it: directory.c, logring.c and state/layouts. A
 * directory of slots, each of which has an extent of the file behind it, handed out upwards:
 *
 *	extent: [ header page | records | log ]
 *
 * All of it is sparse: a page exists once something was written to it.
 */
#ifndef DAEMON_ROOMS_FILE_H
#define DAEMON_ROOMS_FILE_H

#include "common/address.h"
#include "daemon/rooms/wakeup.h"

#include <stdatomic.h>
#include <stdint.h>

#define ROOMS_MAGIC 0x6d6f6f7264746863ULL
#define ROOMS_LAYOUT 5
#define LOGRING_MAGIC 0x676f6c6474616863ULL /* "chatdlog" */

/* There is one record for this many bytes of a log. */
#define LOGRING_BYTES_PER_RECORD 64

/* A room. A free slot keeps its extent for the next room of that size. */
struct room_slot {
	char name[128]; /* with space for longer ones than today's */
	uint8_t raw, members_only, read_only;
	uint8_t reserved[5];
	uint64_t off, log_size;
	_Atomic uint64_t used;		 /* stored last */
	uint8_t opener[ADDRESS_KEY_LEN]; /* address_site() of who opened it; 0: nobody from outside */
	/* Made at random with the log, never 0: a number of a message means something only with the epoch. */
	uint64_t epoch;
	/* The number of the log's first message: a log that begins empty may go on counting. */
	uint64_t number_base;
	uint8_t reserved2[832]; /* for a topic, modes, lists */
};

struct rooms_directory {
	uint64_t magic;
	uint32_t layout, capacity;
	uint64_t file_size;
	uint32_t revision; /* 0: from a build that did not keep members_only */
	uint8_t reserved[996];
	struct room_slot slots[ROOMS_CAPACITY];
};

struct logring_header {
	uint64_t magic;
	uint64_t log_size;
	uint64_t records;
	_Atomic uint64_t count; /* messages ever committed */
	_Atomic uint64_t tail;	/* bytes below may be overwritten */
};

_Static_assert(sizeof(struct room_slot) == 1024, "part of the state's layout");
_Static_assert(sizeof(struct rooms_directory) == 1024 * (1 + ROOMS_CAPACITY), "part of the state's layout");

/* A new epoch. */
uint64_t room_epoch_new(void);

#endif
