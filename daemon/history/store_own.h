/* SPDX-License-Identifier: MIT */
/* What the parts of the store share: the connection, its statements, and what it remembers of the rooms. */
#ifndef DAEMON_STORE_OWN_H
#define DAEMON_STORE_OWN_H

#include "common/hash.h"
#include "daemon/history/store.h"

#include <sqlite3.h>
#include <stdatomic.h>

#define STORE_ID_MAX (INT64_C(1) << 52) /* a million messages a second for a hundred years */

#define STORE_APPLICATION_ID 0x63686174 /* "chat" */

enum store_statement {
	STORE_BEGIN,
	STORE_COMMIT,
	STORE_ROLLBACK,
	STORE_INSERT_MESSAGE,
	STORE_INSERT_GAP,
	STORE_INSERT_ROOM,
	STORE_UPDATE_ROOM,
	STORE_INSERT_RUN,
	STORE_MESSAGE,
	STORE_MESSAGES_UP,
	STORE_MESSAGES_DOWN,
	STORE_PUT_BLOCK,
	STORE_BLOCKS_UP,
	STORE_BLOCKS_DOWN,
	STORE_FIND_ROOM,
	STORE_ROOM_NAME,
	STORE_LIST_ROOMS,
	STORE_LIST_GAPS,
	STORE_TOTALS,
	STORE_INSERT_EPOCH,
	STORE_LIST_EPOCHS,
	STORE_DELETE_MESSAGE,
	STORE_DELETE_RUNS,
	STORE_DELETE_ALL_RUNS,
	STORE_DELETE_PLACE,
	STORE_DELETE_ROOM,
	STORE_DELETE_GAPS,
	STORE_DELETE_BLOCKS,
	STORE_MESSAGE_SIZE,
	STORE_NEXT_ROOM,
	STORE_NEXT_ID,
	STORE_ROOM_REMOVED,
	STORE_PART_REMOVED,
	STORE_PART_BEFORE,
	STORE_PART_BEGUN,
	STORE_PART_UNCLEAN,
	STORE_PART_OF_ID,
	STORE_PART_DONE,
	STORE_LAST_PART,
	STORE_PARTS_UP,
	STORE_PARTS_DOWN,
	STORE_INSERT_PART,
	STORE_UPDATE_PART,
	STORE_SET_VALUE,
	STORE_VALUE,
	STORE_SET_PLACE,
	STORE_PLACE,
	STORE_LIST_PLACES,
	STORE_SET_CHANNEL,
	STORE_CHANNEL,
	STORE_DELETE_CHANNEL,
	STORE_STATEMENTS,
};

/* The ids that a room got in the transaction that is open: see store_runs.c. */
#define STORE_RUN_MAX 512

struct store_run {
	unsigned n;
	int64_t first, last;
	uint8_t *steps;
	size_t len, size;
};

/* A room that was written to. What changes in a transaction goes to its row with the commit. */
struct store_known {
	int64_t id;
	const char *name; /* behind it in the same memory */
	bool raw, read_only, members_only;
	bool is_dirty;
	struct store_known *next_dirty;
	uint64_t epoch, next; /* next 0: the room had ended, or nothing was stored */
	int64_t epoch_id;
	struct store_run *run;		  /* or NULL: it got none */
	int64_t time_us, messages, bytes; /* the latter two: what the transaction adds */
};

/* Messages with the same id >> STORE_BLOCK_BITS are a block, of which the file has the times of the oldest and the newest:
 * messages of other machines may be older than what was stored before them, and clocks may be set back. */
#define STORE_BLOCK_BITS 12

struct store_block {
	int64_t id, oldest, newest;
	bool open; /* something in it is not in the file yet */
};

struct store {
	sqlite3 *db;
	sqlite3_stmt *statements[STORE_STATEMENTS];
	enum store_access access;
	char *path;
	int lock; /* STORE_WRITE: that file; -1: none */
	bool in_transaction;
	bool search; /* there is to be an index */
	uint64_t epoch;
	int64_t next_id;
	char why[STORE_WHY_MAX];

	/* In a hash table of capacity known_size, a power of two. */
	struct hash_key key;
	struct store_known **known;
	size_t n_known, known_size;
	struct store_known found;  /* a reader's, instead; without a name */
	struct store_known *dirty; /* what the transaction has changed */
	struct store_block block;  /* that of next_id */
	struct store_epoch {
		int64_t id;
		uint64_t epoch;
	} * epochs;
	size_t n_epochs;

	/* For searches. */
	Fts5Tokenizer *tokenizer;
	fts5_tokenizer tokenize;

	int64_t expired;    /* the room that store_expire() has done */
	int64_t expired_id; /* and in the next one the message up to which all are gone */
	int64_t slack;	    /* the page that store_scrub() goes on with; 0: it is not that far */
	bool reading;	    /* a query runs, which may be interrupted */
	atomic_bool interrupted;
	int64_t deadline; /* of the query that runs, CLOCK_MONOTONIC in us; 0: none */
};

/* --- store.c --- */

/* The system's error as one of store.h. */
int store_error_of_errno(int e);
/* The error of the last call of SQLite as one of ours, with the words for it; doing: "write", ... */
int store_failed(struct store *s, const char *doing);
/* -EBADMSG, with words. */
int store_bad(struct store *s, const char *what);
/* The prepared statement, ready to be bound; NULL: store_failed() says why. */
sqlite3_stmt *store_statement(struct store *s, enum store_statement which);
/* Steps a statement that gives nothing, and resets it. 0 or an error. */
int store_step(struct store *s, sqlite3_stmt *st, const char *doing);
/* Runs SQL that gives nothing. */
int store_run(struct store *s, const char *sql);
/* The single integer that this gives; -ENOENT: there is none. */
int store_integer(struct store *s, const char *sql, int64_t *ret);

/* Whether the query is to end: its time is up, or it was interrupted. */
bool store_is_over(struct store *s);

/* --- store_lock.c --- */

/* Whoever writes takes it before the file is opened. -EBUSY: another one does, and s->why says which process. */
int store_take_lock(struct store *s);
/* The file, with the lock, which ends when it is closed; or -errno. */
int store_open_lock(const char *path);

/* --- store_schema.c --- */

/* Makes the tables of a new database, or checks those that are there and brings them up to date. */
int store_schema(struct store *s, uint64_t epoch);

/* --- store_known.c --- */

/* Forgets what it remembers of rooms and epochs, as what is in the file may be something else. */
void store_forget_known(struct store *s);
/* The room as it is known, from the file if need be; NULL with *ret_error 0: there is none. */
struct store_known *store_find_room(struct store *s, const char *name, int *ret_error);
/* A room that is in the file from now on; *k without its name. NULL without memory. */
struct store_known *store_remember(struct store *s, const char *name, const struct store_known *k);
/* The id of an epoch, which is given one if it has none. */
int store_epoch_id(struct store *s, uint64_t epoch, int64_t *ret);
/* The epoch of an id in the file. -EBADMSG: there is none. */
int store_epoch_of(struct store *s, int64_t id, uint64_t *ret);
/* All that the store has to know about the file when it is opened. */
int store_learn(struct store *s);

/* --- store_write.c --- */

/* Numbers below that one were given. In a transaction. */
int store_raise_floor(struct store *s, uint64_t next);

/* The room, for what is to be written of it, which is written with the commit: it may be changed until then. */
int store_room_to_write(struct store *s, const struct store_room *room, struct store_known **ret);
void store_mark(struct store *s, struct store_known *k);

/* --- store_runs.c --- */

int store_add_to_run(struct store *s, struct store_known *k, int64_t id);
int store_end_run(struct store *s, struct store_known *k);
void store_free_run(struct store_known *k);

/* The ids of a room's messages from first to last; some of them may have been removed. */
struct store_ids {
	struct store *store;
	sqlite3_stmt *statement;
	int64_t first, last;
	bool up;
	unsigned n, at;
	int64_t id[STORE_RUN_MAX];
};

int store_ids_begin(struct store_ids *ids, struct store *s, int64_t room, int64_t first, int64_t last,
		    bool up);
/* 1: there is one more; 0: there is not; or an error. */
int store_ids_next(struct store_ids *ids, int64_t *ret);
void store_ids_end(struct store_ids *ids);

/* --- store_read.c --- */

/* A room's name by its id, which is kept for as long as the same one is asked for. */
struct store_name {
	int64_t id;
	char name[TEXT_ROOM_MAX + 1];
};

/* What is searched for: phrases of one word or more. Bits of begins and ends: the first and last words of phrases. */
#define STORE_WORDS_MAX 32

struct store_words {
	size_t n;
	uint64_t begins, ends;
	struct store_word {
		uint8_t len;
		bool prefix;
		char text[64];
	} word[STORE_WORDS_MAX];
};

/* A query that is being answered. */
struct store_reading {
	struct store *store;
	const struct store_query *query;
	bool (*fn)(const struct store_message *m, void *arg);
	void *arg;
	int64_t room;		  /* its id; 0: all */
	struct store_words words; /* n 0: any text */
	struct store_name name;
	unsigned given;
	bool ended; /* fn has enough, or the limit is reached */
};

/* Takes a row (id, room, epoch, number, stream, time, kind, raw, sender, nick, text) apart, and checks it. */
int store_row(struct store *s, sqlite3_stmt *st, int64_t *ret_room, struct store_message *ret);
bool store_has_nick(const struct speech_event *e, const char *nick);
/* Gives such a row if it is wanted. */
int store_give(struct store_reading *g, sqlite3_stmt *st);
/* All rows that st gives, until nothing more is wanted. */
int store_give_all(struct store_reading *g, sqlite3_stmt *st);
/* The next message behind an id. 1: there is one. */
int store_next_id(struct store *s, int64_t from, int64_t *ret);
/* All that is in the room, or in all, from one id to the other. */
int store_scan(struct store_reading *g, int64_t first, int64_t last);

/* --- store_words.c --- */

int store_parse_words(struct store *s, const char *text, struct store_words *ret);
/* After store_parse_words(). */
bool store_has_words(struct store *s, const struct store_words *w, const char *text, size_t len);
void store_tokenizer_free(struct store *s);

/* --- store_search.c --- */

/* A part of the index has the messages of one id >> STORE_PART_BITS, from first to last. */
#define STORE_PART_BITS 18

struct store_part {
	int64_t id, first, last;
};

int store_last_part(struct store *s, struct store_part *ret);
int store_new_part(struct store *s, int64_t first, int64_t replaces, struct store_part *ret);
int store_fill_part(struct store *s, struct store_part *part, int64_t last, unsigned *rows);
int store_drop_part(struct store *s, int64_t id);
int store_waiting(struct store *s, uint64_t *ret);
/* As store_scan(), of messages with the query's words. */
int store_search(struct store_reading *g, int64_t first, int64_t last);

/* --- store_slack.c --- */

/* Overwrites the unused space of some pages, from *page on (0: all), when the WAL is empty. 1: call again. */
int store_clean_slack(struct store *s, int64_t *page);

/* --- store_forget.c --- */

/* Removes a message; what its room counts is store_count_removed()'s. */
int store_remove(struct store *s, int64_t id);
int store_count_removed(struct store *s, int64_t room, int64_t messages, int64_t bytes);
/* Commits a step that went well, and abandons another one. */
int store_end_step(struct store *s, int r);

#endif
