/* SPDX-License-Identifier: MIT */
/*
 * What the files of the archive share, and nobody else: archive.c is the service as others see it, archive_run.c its
 * thread, archive_turn.c what is stored in one turn, archive_channels.c what is decided in rooms, archive_upkeep.c what is done between two, archive_restore.c the
 * start. All of it is the thread's own, but where it says otherwise.
 */
#ifndef DAEMON_HISTORY_ARCHIVE_OWN_H
#define DAEMON_HISTORY_ARCHIVE_OWN_H

#include "daemon/config/history.h"
#include "daemon/engine/context.h"
#include "daemon/history/archive.h"
#include "daemon/history/store.h"

#include <pthread.h>
#include <stdatomic.h>

/* One transaction stores no more than that. What it holds dies with the process, and is read again. */
#define ARCHIVE_TURN_MESSAGES 20000
#define ARCHIVE_TURN_ROOMS 1024
/* A log's lock is held while so much of it is copied. */
#define ARCHIVE_CHUNK_BYTES (64U << 10)
#define ARCHIVE_CHUNK_MESSAGES 1024

enum archive_phase { ARCHIVE_RUN, ARCHIVE_DRAIN, ARCHIVE_QUIT };

/* How far the room at that index was stored. It is known of that log, in that connection to the database. */
struct archive_place {
	uint64_t epoch, number_base;
	uint64_t next; /* of its messages, the first that wasn't */
	uint32_t connection;
	bool busy; /* it is in archive.busy */
	/* Of a room that is shared with other machines: up to where in their stream it was stored before, and is now. */
	struct store_place before;
	uint64_t stored;
	/* What is decided there may be another than what is stored, and the check of that; 0: it isn't known. */
	bool channel_changed;
	uint64_t channel;
};

/* A room that is held for this turn. */
struct archive_held {
	struct room *room;
	uint64_t next, stored, channel; /* what these of archive_place become */
	bool is_decided;		/* what is decided there is what is stored then */
};

/* What a room's archive_place.stored was before this process. */
struct archive_streamed {
	char *room;
	struct store_place p;
};

/* A room that is gone, with what of it could not be stored: [first, end). */
struct archive_ended {
	struct archive_ended *next;
	char name[TEXT_ROOM_MAX + 1];
	uint64_t epoch, first, end;
	bool raw, read_only, members_only;
};

/* What is kept, as the thread has it: names and rules. */
struct archive_rules {
	struct store_keep *at;
	size_t n;
	struct history_keep *names;
	bool forgets; /* some rooms must leave no trace */
};

struct archive {
	struct service service; /* first */
	struct context ctx;
	char *path;
	struct wakeup *wakeup;
	int urgent; /* eventfd: the phase is another one, or there is a task */

	/* Of the main thread: */
	pthread_t thread;
	bool started;
	struct store *past; /* at the start of a state that begins, until rooms are restored; or NULL */

	/* Of the start, and then of all: by their names. */
	struct archive_streamed *streamed;
	size_t n_streamed;

	/* Of all: */
	atomic_int phase;
	atomic_bool leaves, drained;
	_Atomic int64_t quit_until;
	_Atomic int64_t whole_at; /* what was said until then is stored */
	pthread_mutex_t lock;	  /* of what follows, and the last one that is taken */
	struct history_config *config;
	struct archive_rules *new_rules; /* or NULL */
	struct archive_ended *ended, **last_ended;
	struct archive_task *tasks, **last_task;
	bool closed; /* no task is taken any more */
	struct archive_status status;

	/* Of the thread: */
	struct store *store; /* NULL: it is away */
	bool in_transaction;
	uint32_t connection; /* how often it was opened */
	uint64_t epoch;	     /* of a new one; from the start on */
	bool search;	     /* likewise */
	struct archive_place *places;
	uint32_t *busy; /* indices of rooms that have more to be stored */
	unsigned n_busy;
	struct archive_held *held;
	unsigned n_held;
	uint64_t n_put;		 /* messages in this turn */
	uint64_t n_lost, n_gaps; /* likewise */
	uint64_t unindexed;	 /* messages that can't be searched for yet */
	struct archive_ended *ended_now;
	struct record *records; /* of a chunk */
	char *text;
	size_t text_size;
	/* What is decided in a room that is stored, or at a start given back; and the latter unpacked. */
	uint8_t *channel;
	struct irc_channel *unpacked;
	char why[STORE_WHY_MAX]; /* of the gap that there will be, if there is one */
	int64_t retry_at, retry_us, indexed_at, figures_at, expire_at, told_at, learn_at;
	bool refused;	 /* another process had it the last time */
	int64_t left_at; /* since when nobody has had it, though somebody may come back to it; 0: not so */
	bool expiring, scrubbing;
	bool learns; /* which rooms there were isn't known yet */
	struct archive_rules *rules;
};

/* --- archive_restore.c, on the main thread --- */

/* Which epoch new rooms have, and which numbers their messages. */
void archive_name_messages(struct archive *a);
/* In a cluster: how far its stream was stored. */
void archive_learn_places(struct archive *a);
/*
 * On the archive's thread: the database could not be read at the start, and can be now. Which rooms there were is known
 * from then on: they are made, without their messages. 0 or an error; then it is still unknown.
 */
int archive_learn_rooms(struct archive *a);

/* --- archive_channels.c --- */

/* Calls fn, with a, for each room in which something may have been decided that isn't stored. */
void archive_channels_changed(struct archive *a, void (*fn)(uint32_t index, void *arg));
/* All of them may be such ones. Any thread. */
void archive_channels_again(struct archive *a);
/* What is decided in the room, which is held, into a->channel; returns the length, 0: nothing. *ret_check: as archive_place.channel. */
size_t archive_channel_pack(struct archive *a, struct room *r, uint64_t *ret_check);
/* Gives the room, which is held, back what was decided in it, unless something is. What can't be had is told. */
void archive_channel_restore(struct archive *a, struct store *s, struct room *room);

/* --- archive_turn.c --- */

/*
 * Stores what is new, in one transaction. Returns 0, 1 if there is more, or -errno; then nothing of it is stored,
 * and the connection is to be ended.
 */
int archive_turn(struct archive *a);
/* Ends what was begun, as it can't be stored. */
void archive_turn_failed(struct archive *a);

/* --- archive_upkeep.c --- */

/* Opens the database, or finds out why that isn't possible. */
void archive_connect(struct archive *a);
/* Something went wrong with it: it is closed, and opened again later. doing: what. */
void archive_lost(struct archive *a, int error);
/* A step of what is to be done beside storing: tasks, the index, what is kept long enough. 0, 1: more; -errno. */
int archive_upkeep(struct archive *a);
void archive_end_tasks(struct archive *a, int error);

/* --- archive.c --- */

struct archive_rules *archive_rules_new(const struct history_config *config);
void archive_rules_free(struct archive_rules *r);

/* --- archive_run.c --- */

void *archive_run(void *arg);

#endif
