/* SPDX-License-Identifier: MIT */
/*
 * The rooms: a directory of logs in one memory file, and for each room who listens to it. Room 0 is the
 * hidden log of private messages. A thread that reads a room, for its members or by itself, is told of its
 * news through its slot (wakeup.h).
 */
#ifndef DAEMON_ROOM_H
#define DAEMON_ROOM_H

#include "common/address.h"
#include "common/text.h"
#include "daemon/rooms/logring.h"
#include "daemon/rooms/slots.h"
#include "daemon/rooms/wakeup.h"

#include <stdatomic.h>

#define ROOM_PRIVATE 0
#define ROOM_NONE UINT32_MAX

struct rooms;

/* What the configuration says of a room; a room that people opened has the defaults. */
struct room_settings {
	uint64_t log_size;
	unsigned history;
	unsigned announce_max;
	bool raw;
	bool read_only;
	bool members_only;
};

struct room {
	struct logring *log;
	uint32_t index;
	char name[TEXT_ROOM_MAX + 1];
	bool configured; /* under the lock of the rooms */
	/* May change with a reload while others look. */
	_Atomic unsigned history, announce_max;
	atomic_bool raw;
	/* These two stay until they are configured otherwise: a room that was for certain accounts and is no
	 * longer in the configuration has nobody who may enter, and is kept. */
	atomic_bool read_only, members_only;
	_Atomic uint32_t readers[LOGRING_READERS]; /* per slot */
	unsigned n_workers;			   /* whose readers are the members */
	int64_t empty_since;			   /* CLOCK_MONOTONIC in us, under the lock of the rooms */
	uint64_t epoch, number_base;		   /* of its messages: see file.h */
	bool born;			 /* in this process: nobody of the one before can be in it */
	uint8_t opener[ADDRESS_KEY_LEN]; /* address_site() of who opened it; 0: nobody from outside */
};

/*
 * Opens the rooms in fd (memfd); a fresh file is initialised. Rooms that can't be trusted are dropped with a
 * log line. The threads' slots stay the caller's; the workers have the members, and each of them gets the
 * private messages. -EBADMSG: not a rooms file of this layout.
 */
int rooms_open(int fd, bool fresh, const struct slots *slots, struct rooms **ret);
void rooms_close(struct rooms *rs);
/*
 * The clients of the process before are in their rooms again. Until then nobody knows which rooms are empty,
 * so none makes way. The state of a build that did not keep members_only says nothing of rooms that are no
 * longer configured; if has_stranger() finds somebody there who has no account, the room was open to all.
 */
void rooms_settle(struct rooms *rs, bool (*has_stranger)(uint32_t room, void *arg), void *arg);
/* The size to create the memory file with. */
uint64_t rooms_file_size(void);

struct rooms_limits {
	unsigned rooms, rooms_per_address; /* the latter 0: any number */
	int64_t linger_us;		   /* how long a room stays that is empty */
};

/* What the configuration says of one room. */
struct room_config {
	char name[TEXT_ROOM_MAX + 1];
	struct room_settings settings;
	char (*members)[TEXT_NICK_MAX + 1]; /* accounts that may enter, if it is members_only */
	size_t n_members;
};

/* Applies a (new) configuration: makes the named rooms, turns others into ones that people opened. 0 or
 * -errno. */
int rooms_configure(struct rooms *rs, const struct room_config *configured, size_t n,
		    const struct room_settings *defaults, const struct rooms_limits *limits);

/* Who enters a room. */
struct room_guest {
	bool is_member;		      /* of a room that is for its members only */
	const union address *address; /* or NULL: not limited in how many rooms it opens */
};

/*
 * Enters a room as one reader on slot, which is a member if the slot is a worker's; opens it if it isn't
 * there. Returns 0, -EACCES if it is for its members only, -EDQUOT if that address has opened as many as it
 * may, -ENOSPC if there are max_rooms already, or -errno. rooms_leave() must follow.
 */
int rooms_enter(struct rooms *rs, const char *name, unsigned slot, const struct room_guest *guest,
		struct room **ret);
/* The same for a room that exists, by name (-ENOENT) or by index as the state has it (NULL). */
int rooms_enter_existing(struct rooms *rs, const char *name, unsigned slot, struct room **ret);
struct room *rooms_enter_index(struct rooms *rs, uint32_t index, unsigned slot);
void rooms_leave(struct rooms *rs, struct room *r, unsigned slot);

struct room *rooms_private(struct rooms *rs);
/* The room of an index that the caller is a member of. */
struct room *rooms_at(struct rooms *rs, uint32_t index);

/* How many are there, over TCP or UDP. Bridges and `chatctl tail` read, but aren't counted. */
uint32_t room_members(const struct room *r);
/* How many workers have members there. */
unsigned room_workers(const struct room *r);

/* Closes rooms that have been empty for long; now in us of CLOCK_MONOTONIC. */
void rooms_expire(struct rooms *rs, int64_t now);

/* Calls fn for every room but the private one, in the order of their indices, until it returns false. The
 * lock is held, and workers wait for it, so fn only copies what it needs. */
void rooms_each(struct rooms *rs, bool (*fn)(struct room *r, void *arg), void *arg);

/* How many there are, without the private one. */
unsigned rooms_count(struct rooms *rs);

/* What is told of each of them, in an array to be freed; NULL without memory. */
struct room_info {
	char name[TEXT_ROOM_MAX + 1];
	bool raw, configured;
	uint32_t members;
	unsigned history, announce_max;
	uint64_t messages, log_size;
};
struct room_info *rooms_copy(struct rooms *rs, size_t *ret_n);

/* Marks the room dirty for all slots that read it; collects in *kick (one bit a slot) whom to wake. */
struct slot_set {
	uint64_t bits[2];
};
void rooms_mark(struct rooms *rs, struct room *r, struct slot_set *kick);
/* Marks it dirty for one slot, whose thread isn't running. */
void rooms_remark(struct rooms *rs, const struct room *r, unsigned slot);
/* Wakes the slots in *kick, but not self, and empties it. */
void rooms_kick(struct rooms *rs, struct slot_set *kick, unsigned self);

/* Whether comings and goings are announced there at the moment. */
bool room_announces(const struct room *r);

/* Whether a thread that reads for others is so far behind in this room that more text would overrun it. The
 * main thread has other work and is overrun: it finds out how much it missed. */
bool room_crowded(const struct rooms *rs, const struct room *r);

#endif
