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

/* What a slot holds; outgoing.h says more of the hidden ones. A build that doesn't know of them drops them. */
enum room_kind {
	ROOM_OPEN,     /* a room, or the private messages */
	ROOM_OUTGOING, /* the outgoing log of another one */
	ROOM_RETIRING, /* it was one: what had not come back is being put into its room */
	ROOM_RETIRED,  /* all of that is done */
	ROOM_KINDS,
};

/* Of an outgoing log, from the line with that number on: see outgoing.h. */
struct room_boot {
	uint64_t boot; /* 0: the log's epoch, from its first line on */
	uint64_t from;
	uint64_t skip_from, skip_to;
	uint64_t before, before_end;
};

/* A room. A free slot keeps its extent for the next room of that size. */
struct room_slot {
	char name[128]; /* with space for longer ones than today's */
	uint8_t raw, members_only, read_only;
	_Atomic uint8_t kind; /* enum room_kind */
	uint8_t from_others;  /* 1: only other nodes have said something in it, and nobody here was there */
	uint8_t kept;	      /* what is said is to be stored */
	uint8_t reserved[2];
	uint64_t off, log_size;
	_Atomic uint64_t used;		 /* stored last */
	uint8_t opener[ADDRESS_KEY_LEN]; /* address_site() of who opened it; 0: nobody from outside */
	/* Of the log, never 0: a number of a message means something only with the epoch. */
	uint64_t epoch;
	/* The number of the log's first message: above all that were in a log of this name and epoch. */
	uint64_t number_base;
	/* Of a room that is ROOM_RETIRING: from which of its messages on they are moved, to which place. */
	uint64_t moved_from, moved_to;
	uint64_t kept_from; /* of its messages, those below were said when nothing was to be stored */
	/* Of a ROOM_OUTGOING: twice, with the number of the one that counts. */
	struct room_boot boots[2];
	_Atomic uint64_t boot_live;
	uint8_t reserved2[704]; /* for a topic, modes, lists */
};

struct rooms_directory {
	uint64_t magic;
	uint32_t layout, capacity;
	uint64_t file_size;
	uint32_t revision; /* 0: from a build that did not keep members_only */
	/* Nobody was served from this state yet, and its rooms may lack what they had before it. */
	uint32_t begins;
	uint64_t epoch;	      /* of new logs; 0: each has its own */
	uint64_t number_base; /* a new log's is not below */
	uint64_t
	    past_unknown; /* 1: which rooms there were before this state, nobody could tell yet: restore.h */
	uint8_t reserved[968];
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
