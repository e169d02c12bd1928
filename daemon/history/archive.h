/* SPDX-License-Identifier: MIT */
/*
 * The service that stores what is said in rooms, and the only one that writes to the database (store.h). It reads
 * the rooms' logs as a member does, and no room ever waits for it: if it is overrun, that is a gap, which is stored
 * as one. It is there only if the configuration has a history.
 */
#ifndef DAEMON_HISTORY_ARCHIVE_H
#define DAEMON_HISTORY_ARCHIVE_H

#include <stdbool.h>
#include <stdint.h>

struct archive;
struct config;
struct room;
struct shared;
struct store;

/*
 * Makes the service, if there is a history: before anything is said or configured and before the takeover. In a state
 * that begins, rooms go on counting where the database's end. 0 or -errno, which is logged: that a database can't be
 * read or written is no error.
 */
int archive_open(struct shared *shared, const struct config *config);
/* In a state that begins: gives the rooms their last messages back. The configured ones are there, and nobody else. */
void archive_restore(struct archive *a);
/* Begins its thread; a may be NULL, as everywhere here. */
int archive_start(struct archive *a);
/* Nothing is left for a successor, so what was said is stored before the end. On the main thread. */
void archive_leave(struct archive *a);

/* Any thread: where the database is, as long as a is there; NULL without one. */
const char *archive_path(const struct archive *a);
/* Whether what is said in a room of that name is stored. Any thread. */
bool archive_keeps(const struct archive *a, const char *room);

/* Whether something that was said in the room some seconds ago isn't stored yet. Any thread, which holds the room. */
bool archive_lacks(struct archive *a, const struct room *room);

enum archive_state {
	ARCHIVE_OFF,	/* nothing is stored: it isn't configured */
	ARCHIVE_STORES, /* what is said is in the database some tenths of a second later */
	ARCHIVE_BEHIND, /* more is said than it can store, or the disk is slow */
	ARCHIVE_AWAY,	/* nothing can be stored at the moment */
};

/* How it is. */
struct archive_status {
	enum archive_state state;
	int64_t since_us;   /* CLOCK_REALTIME, of that state */
	char why[256];	    /* why it is away: "disk full"; "" */
	uint64_t waiting;   /* messages in the rooms that are not stored yet */
	uint64_t stored;    /* messages that this process stored, */
	uint64_t commits;   /* in so many transactions, */
	uint64_t lost;	    /* messages that are in no database, as it was behind or away for too long */
	uint64_t gaps;	    /* so often */
	uint64_t set_aside; /* damaged databases that were renamed */
	int64_t commit_us;  /* that the last transaction took */
	/* Of the database, as of some seconds ago; 0 while it is away. */
	uint64_t messages, bytes, rooms;
	int64_t oldest_us, newest_us; /* CLOCK_REALTIME; 0: there are none */
};

/* Any thread. Without an archive: ARCHIVE_OFF. */
void archive_copy_status(struct archive *a, struct archive_status *ret);

/*
 * What others have done with the database, as only the archive's thread writes to it: forgetting, copies. A task is
 * the caller's, who embeds it, and the archive's from archive_ask() until its over() was called.
 */
struct archive_task {
	/*
	 * A step of some 10 ms at most, between two turns, on the archive's thread, in no transaction. The store is
	 * there, and what had been said when it was asked is stored. Returns 1 to be called again, 0 or -errno when
	 * it is over.
	 */
	int (*step)(struct archive_task *t, struct store *s);
	/* The end, with what step() returned; -EAGAIN: the database is away; -ESHUTDOWN: chatd ends. On any thread. */
	void (*over)(struct archive_task *t, int r);
	struct archive_task *next; /* the archive's */
	bool begun;		   /* likewise */
};
/* Any thread. Tasks are done one after the other. over() may be called before it returns. */
void archive_ask(struct archive *a, struct archive_task *t);

#endif
