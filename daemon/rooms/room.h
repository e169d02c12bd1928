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

/* A hidden room's name is this and the name of its room. No room that people open begins with it. */
#define OUTGOING_PREFIX ">"

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
	/* Of a room that is shared with other machines, the hidden one that has what is said here; and of that
	 * one, its room. They stay as long as the room does. See outgoing.h. */
	struct room *outgoing, *main;
	uint32_t index;
	char name[sizeof(OUTGOING_PREFIX) + TEXT_ROOM_MAX];
	/* Under the lock of the rooms. The latter: opened for what other nodes say, and nobody here was in it. */
	bool configured, from_others;
	/* May change with a reload while others look. */
	_Atomic unsigned history, announce_max;
	atomic_bool raw;
	/* These two stay until they are configured otherwise: a room that was for certain accounts and is no
	 * longer in the configuration has nobody who may enter, and is kept. */
	atomic_bool read_only, members_only;
	_Atomic uint32_t
	    members_sum; /* of the names of those that the configuration has, in whatever order */
	_Atomic uint32_t readers[LOGRING_READERS]; /* per slot */
	unsigned n_workers;			   /* whose readers are the members */
	const struct rooms *rooms;		   /* among which it is */
	int64_t empty_since;			   /* CLOCK_MONOTONIC in us, under the lock of the rooms */
	uint64_t epoch, number_base;		   /* of its messages: see file.h */
	_Atomic uint64_t kept_from, archived;	   /* see archived.h */
	_Atomic uint64_t place;			   /* likewise: in the cluster's stream, 0: none, */
	_Atomic int64_t place_us;		   /* and the time there */
	atomic_bool is_archived;
	atomic_uint decided;		 /* enum room_decided */
	bool born;			 /* in this process: nobody of the one before can be in it */
	uint8_t opener[ADDRESS_KEY_LEN]; /* address_site() of who opened it; 0: nobody from outside */
};

/* What is decided there, as far as it matters to who asks about the room. */
enum room_decided {
	ROOM_DECIDED = 1 << 0, /* something that differs from any new room */
	ROOM_CLOSED = 1 << 1,  /* not everybody may come in */
	ROOM_SECRET = 1 << 2,  /* who isn't in it is told nothing of it */
};

/* Whether everybody may read there who asks, without being in it. */
static inline bool room_is_open(const struct room *room)
{
	return !room->members_only && !(room->decided & ROOM_CLOSED);
}

/* Where what is said in a room is put. */
static inline struct room *room_spoken_to(struct room *room)
{
	return __builtin_expect(room->outgoing != NULL, 0) ? room->outgoing : room;
}

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

/*
 * Whether this state begins: nobody was served from it yet, and rooms may be restored (restore.h). That ends with
 * rooms_settle(), and not when a process dies before.
 */
bool rooms_begin(const struct rooms *rs);
/* The epoch of new logs, and which number their messages' are above. Any thread; those of rooms that are there stay. */
void rooms_name_messages(struct rooms *rs, uint64_t epoch, uint64_t above);
uint64_t rooms_epoch(const struct rooms *rs);

/* Who stores what is said: archived.h. */
struct rooms_archive {
	unsigned slot;
	bool (*keeps)(const char *room, void *arg);
	/* A room goes; its messages from number first up to end, if any, can't be stored any more. */
	void (*removed)(const struct room *r, uint64_t first, uint64_t end, void *arg);
	/* Up to which place in the cluster's stream what a room had was stored before this process; 0: unknown. */
	uint64_t (*place)(const char *room, int64_t *ret_us, void *arg);
	void *arg;
};

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
	bool is_member; /* of a room that is for its members only */
	const union address
	    *address; /* or NULL: as the configuration names the room, it is not limited in which it opens */
	bool from_others; /* nobody here, but what other nodes say */
};

/*
 * Enters a room as one reader on slot, which is a member if the slot is a worker's; opens it if it isn't
 * there. Returns 0, -EACCES if it is for its members only, -EDQUOT if that address has opened as many as it
 * may, -ENOSPC if there are max_rooms already, or -errno. rooms_leave() must follow.
 * -EAGAIN: it isn't known yet whether there was such a room before, and who might enter it: see restore.h.
 * Rooms that only other nodes have spoken in don't count for those who are here, and make way first.
 */
int rooms_enter(struct rooms *rs, const char *name, unsigned slot, const struct room_guest *guest,
		struct room **ret);
/* The same for a room that exists, by name (-ENOENT) or by index as the state has it (NULL). */
int rooms_enter_existing(struct rooms *rs, const char *name, unsigned slot, struct room **ret);
struct room *rooms_enter_index(struct rooms *rs, uint32_t index, unsigned slot);
void rooms_leave(struct rooms *rs, struct room *r, unsigned slot);
/*
 * What is decided there: enum room_decided. A room that is shared with other nodes stays then, also while nobody here is in it, as
 * there may be people in it elsewhere. Any thread.
 */
void room_set_decided(const struct room *r, unsigned decided);
/* Whether there is one of that name at the moment. */
bool rooms_exists(struct rooms *rs, const char *name);

struct room *rooms_private(struct rooms *rs);
/* The room of an index that the caller is a member of; it may be a hidden one. */
struct room *rooms_at(struct rooms *rs, uint32_t index);

/* Whether there is no room of that name, and one would be shared with other nodes. */
bool rooms_would_share(struct rooms *rs, const char *name);
/* The name of the room of that index, if it is shared with other nodes, else false. For who isn't in it. */
bool rooms_shared_name(struct rooms *rs, uint32_t index, char ret[TEXT_ROOM_MAX + 1]);

/*
 * What a message of its log is called, record being its seq-th one: no other message ever has that number in a room of
 * this name and epoch, and later ones have higher ones.
 */
static inline uint64_t room_number(const struct room *r, const struct record *record, uint64_t seq)
{
	return record->number ? record->number : r->number_base + seq;
}

/* How many are there, over TCP or UDP. Bridges and `chatctl tail` read, but aren't counted. */
uint32_t room_members(const struct room *r);
/* How many workers have members there. */
unsigned room_workers(const struct room *r);

/* Closes rooms that have been empty for long; now in us of CLOCK_MONOTONIC. */
void rooms_expire(struct rooms *rs, int64_t now);

/* Calls fn for every room but the hidden ones, in the order of their indices, until it returns false. The
 * lock is held, and workers wait for it, so fn only copies what it needs. */
void rooms_each(struct rooms *rs, bool (*fn)(struct room *r, void *arg), void *arg);

/* How many there are, without the hidden ones. */
unsigned rooms_count(struct rooms *rs);

/* What is told of each of them, in an array to be freed; NULL without memory. */
struct room_info {
	char name[TEXT_ROOM_MAX + 1];
	bool raw, configured, shared; /* with other nodes */
	bool read_only, members_only;
	bool open, secret; /* room_is_open(), ROOM_SECRET */
	uint64_t epoch,
	    last; /* the latter: the number of the newest message that isn't a notice; 0: there is none */
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

/* Whether comings and goings are announced there at the moment: not in a large room, nor while more of them
 * would overrun what waits to be sent to other machines. */
bool room_announces(const struct room *r);

/* Whether a thread that reads for others is so far behind in this room, or in its outgoing log, that more text
 * would overrun it. The main thread has other work and is overrun: it finds out how much it missed. */
bool room_crowded(const struct rooms *rs, const struct room *r);
/* The same of the room's own log only. What comes back from other machines is put there however much waits in
 * the outgoing log: it is what makes space in it. */
bool room_log_is_crowded(const struct rooms *rs, const struct room *r);

#endif
