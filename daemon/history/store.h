/* SPDX-License-Identifier: MIT */
/*
 * The database of what was said: one SQLite file, in WAL mode, which people may read with sqlite3 while chatd runs. One
 * thread writes through a store opened with STORE_WRITE; whoever else reads has one of its own, STORE_READ. A store is
 * used by one thread at a time; only store_interrupt() is for any.
 *
 * Built without libsqlite3 (configure --without-sqlite3), store_open() returns -EOPNOTSUPP.
 *
 * Errors, of all functions:
 *	-EBADMSG	what is there is damaged, or nothing that chatd can have written: store_set_aside()
 *	-EPROTONOSUPPORT	it is a newer chatd's, or not chatd's at all: it is left alone
 *	-ESTALE	(STORE_READ) it is an older chatd's, and whoever opens it to write brings it up to date
 *	-ENOSPC, -EROFS, -EACCES, -EIO, -EBUSY, -ENOMEM	it may work later (-EBUSY: another process has it)
 *	-EINTR, -ETIME	store_interrupt() was called, or the query's time is up
 * store_why() has it in words. After an error between store_begin() and store_commit() nothing of the transaction is
 * true, and store_abandon() ends it.
 */
#ifndef DAEMON_STORE_H
#define DAEMON_STORE_H

#include "common/text.h"
#include "daemon/rooms/speech.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STORE_WHY_MAX 256
/* What a message counts for keep_bytes and in the figures, beside its text and nick: about what it takes in the file. */
#define STORE_MESSAGE_BYTES 64

struct store;

enum store_access {
	STORE_WRITE, /* makes the file if it isn't there */
	STORE_READ,
};

/*
 * Opens the database at path, brings an older schema up to date (STORE_WRITE only), and checks that it is chatd's. Only
 * one at a time writes, on the whole machine: who does has a lock on the file NAME-lock, which stays when it ends.
 * epoch is a new one's; 0: random. why is for people. Returns 0, -ENOENT (STORE_READ: not there), or an error as above.
 */
int store_open(const char *path, enum store_access access, uint64_t epoch, struct store **ret,
	       char why[static STORE_WHY_MAX]);
void store_close(struct store *s);
/* Whether somebody writes to it, and whether that is another process. */
bool store_is_in_use(const char *path);
bool store_is_anothers(const char *path);
/* The other process that wrote to it last and is gone, without having said by store_leave() that nobody follows; 0: none. */
long store_left_by(const char *path);
/* Before store_close(), of a process that leaves nothing for a successor. */
void store_leave(struct store *s);
/* Of rooms that are made. Chosen once, with the file. */
uint64_t store_epoch(const struct store *s);
/* The last error in words. */
const char *store_why(const struct store *s);
/* Renames a damaged, closed database with what belongs to it to NAME.damaged-TIME, which it puts into ret_name. 0 or
 * -errno. */
int store_set_aside(const char *path, char *ret_name, size_t size);

struct store_room {
	const char *name;
	uint64_t epoch; /* of its log */
	bool raw, read_only, members_only;
};

/* A message as it was said. Reading gives pointers that are valid until the function returns. */
struct store_message {
	const char *room;
	int64_t id; /* its place in the database: later ones are higher, and none is given twice */
	uint64_t epoch, number;
	uint64_t stream; /* its place in the cluster's stream; 0: none */
	struct speech_event event;
};

/* --- writing: all between begin and commit becomes true at once, with the positions --- */

int store_begin(struct store *s);
/* The position of (room, epoch) becomes number + 1. -EEXIST: it is beyond that already, so the message is stored. m->room
 * and m->id aren't looked at. */
int store_put(struct store *s, const struct store_room *room, const struct store_message *m);
/* The messages [first, end) are missing, and why is for people. The position becomes end. */
int store_gap(struct store *s, const struct store_room *room, uint64_t first, uint64_t end, int64_t time_us,
	      const char *why);
/* A place in the cluster's stream, and the time there, up to which all that came into the room from it is stored. Of a room
 * of which nothing was stored ever none is noted. */
struct store_place {
	uint64_t place; /* 0: none */
	int64_t time_us;
};
int store_set_place(struct store *s, const char *room, const struct store_place *p);
int store_place(struct store *s, const char *room, struct store_place *ret);
/* Of all rooms that have one, by their names. */
int store_places(struct store *s, bool (*fn)(const char *room, const struct store_place *p, void *arg),
		 void *arg);
/*
 * What is decided in a room, as bytes that only the caller reads; len 0: nothing any more. next: the number of the room's next
 * message, which becomes the position if nothing was stored of that log. store_channel() gives what there is: -ENOENT: nothing;
 * -EBADMSG: something that was never put there. It goes with its room, by store_expire(), when that has no position and no messages,
 * or is to leave no trace.
 */
#define STORE_CHANNEL_MAX 65536
int store_set_channel(struct store *s, const struct store_room *room, uint64_t next, const void *data,
		      size_t len);
int store_channel(struct store *s, const char *room, uint8_t ret[static STORE_CHANNEL_MAX], size_t *ret_len);
/* A number that the archive keeps there, such as the time at which the cluster's stream was made; in a transaction. */
int store_set_value(struct store *s, const char *key, int64_t value);
/* When it returns 0, all of it outlives a power cut. */
int store_commit(struct store *s);
void store_abandon(struct store *s);
/* The number of the next message to be stored; -ENOENT: nothing was stored of that room's log. */
int store_position(struct store *s, const char *room, uint64_t epoch, uint64_t *ret_next);
/* The room is gone from chatd: its position isn't needed any more. Its messages stay. In a transaction. */
int store_room_ended(struct store *s, const char *room);
/* Above every number that was ever stored. */
int store_floor(struct store *s, uint64_t *ret);
int store_value(struct store *s, const char *key, int64_t *ret); /* -ENOENT: there is none */

/* --- searching needs an index, which is made behind the writing --- */

/* Whether there is to be one. Without (the default of a writer), what there is is taken away by store_index(). */
void store_set_search(struct store *s, bool on);
/*
 * Takes up to max_rows messages that were stored into the index, in the transaction that is open or in one of its own.
 * *ret_waiting: how many are left; a search reads through those, so some thousands are no harm, and many at a time are
 * cheaper.
 */
int store_index(struct store *s, unsigned max_rows, uint64_t *ret_waiting);

/* --- reading: what is given was checked --- */

struct store_query {
	const char *room; /* NULL: all */
	const char *nick; /* NULL: anybody; without regard to case */
	const char
	    *text; /* words, all of which are in it, "some words" beside each other, and begin*; NULL: any */
	int64_t since_us, until_us; /* [since, until); 0: no limit */
	int64_t before, after;	    /* ids, both exclusive; 0: no limit */
	bool oldest_first;
	bool notices;	       /* comings and goings, too */
	unsigned limit;	       /* 0: all */
	int64_t time_limit_us; /* 0: none */
};

/* Gives what is asked for until fn returns false. -ETIME: all that was given is right, but there may be more. -EINVAL: the
 * text holds no word. */
int store_read(struct store *s, const struct store_query *q,
	       bool (*fn)(const struct store_message *m, void *arg), void *arg);
/* Those to which something was stored, the newest first. next: its position; 0: the room had ended. */
int store_rooms(struct store *s,
		bool (*fn)(const struct store_room *room, uint64_t next, int64_t last_us, void *arg),
		void *arg);

/* Up to which number a room is stored, or known to be missing, of the log with that epoch: next is the first one that isn't;
 * as it is now, also in a store that only reads. -ENOENT: nothing is known of it. */
int store_room_next(struct store *s, const char *room, uint64_t *ret_epoch, uint64_t *ret_next);

struct store_gap {
	const char *room, *why;
	int64_t
	    before; /* the id of the first message that was stored later: the gap is right before it, or at the end */
	uint64_t epoch, first, end;
	int64_t time_us;
};
/* In a room, or in all (NULL), the newest first, until fn returns false. */
int store_gaps(struct store *s, const char *room, bool (*fn)(const struct store_gap *g, void *arg),
	       void *arg);

struct store_figures {
	uint64_t messages, rooms, gaps;
	uint64_t bytes;		      /* of the messages, as keep_bytes counts them */
	uint64_t file_bytes;	      /* of the database's files */
	uint64_t waiting;	      /* messages that the index has not got yet */
	int64_t oldest_us, newest_us; /* 0: there are none */
};
int store_figures(struct store *s, struct store_figures *ret);

/* Ends the store_read() that is running, or the next one, with -EINTR. For any thread. */
void store_interrupt(struct store *s);

/* --- keeping and forgetting, in small steps; *ret_more: call again --- */

/* What is kept of a room. What none of its limits allows goes, the oldest first. */
struct store_keep {
	const char *room;	  /* NULL: all others; such a rule comes last */
	int64_t us;		  /* 0: for ever */
	uint64_t messages, bytes; /* 0: any number */
	bool nothing;		  /* also its name goes */
};
int store_expire(struct store *s, const struct store_keep *rules, size_t n, int64_t now_us, unsigned max_rows,
		 bool *ret_more);

/* Whose messages are to be forgotten; a field that is NULL or 0 limits nothing, but room or nick is given. */
struct store_forget {
	const char *room, *nick;
	int64_t since_us, before_us;
	uint64_t number; /* of one message; others may have the same time */
	int64_t last;	 /* an id: what is stored behind it stays; 0: nothing */
};
/* The id that was given last. */
int64_t store_last_id(const struct store *s);
/*
 * Looks through up to max_rows messages, and removes those. *from is 0 at first, and is handed back in each further step.
 * *ret_n: how many it was. Then store_scrub(), which store_is_unclean() asks for until it is done, in later processes, too.
 */
int store_forget(struct store *s, const struct store_forget *f, unsigned max_rows, int64_t *from,
		 uint64_t *ret_n, bool *ret_more);
/* Of what was removed nothing is left in the file or in the WAL when *ret_more is false. A reader that is busy delays
 * that. */
int store_scrub(struct store *s, bool *ret_more);
bool store_is_unclean(struct store *s);

/* --- a copy of it --- */

/* A consistent copy, at a path where nothing is, mode 0600. It takes as long as that takes: for a store of its own. */
int store_backup(struct store *s, const char *path);
/* Puts a copy of another file into a backup: it becomes a row of the table files. */
int store_add_file(const char *backup, const char *path, unsigned mode, const void *content, size_t len,
		   char why[static STORE_WHY_MAX]);

#endif
