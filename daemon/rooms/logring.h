/* SPDX-License-Identifier: MIT */
/*
 * A room's log: a ring of bytes in wire format beside a ring of records, in a memory file.
 *
 *	extent: [ header page | records | log ]    and behind it, in memory only, the log once more
 *
 * Positions are counted in bytes from the log's beginning and never wrap; a message is the bytes between the
 * end of the record before it and its own. Every message ends in '\n' and holds no other. A message is visible
 * as soon as the header's count is stored; bytes below the header's tail may be overwritten. Writers and the
 * slow readers (history, tail) take the lock. The fast path, sending from the log, holds a pin instead, which
 * no writer overtakes.
 */
#ifndef DAEMON_LOGRING_H
#define DAEMON_LOGRING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOGRING_SIZE_MIN (64ULL << 10)
#define LOGRING_SIZE_MAX (1ULL << 30)
/* So much of a log may be put into it before the first commit; later an eighth. */
#define LOGRING_FIRST_EIGHTHS 6

/* How many threads can hold a pin; slots.h hands their numbers out. */
#define LOGRING_READERS 83

/* What happened: see speech.h, which makes all of them. */
enum record_kind {
	RECORD_MESSAGE, /* "NICK: TEXT", in a raw room "TEXT"; a private one: "* [NICK -> you] TEXT" */
	RECORD_ACTION,	/* "/me": "NICK * TEXT" */
	/* From here on they are notices, which the server writes: */
	RECORD_NOTICE, /* "* TEXT"; before there were those below, they were this, too */
	RECORD_JOIN,   /* "* NICK joined TEXT", the room */
	RECORD_LEAVE,  /* "* NICK left TEXT", the room, maybe with ": " and why */
	RECORD_RENAME, /* "* NICK is now TEXT" */
	RECORD_QUIT,   /* "* NICK left TEXT", as the client is gone */
	RECORD_TOPIC,  /* "* NICK set the topic: TEXT" */
	RECORD_MODE,   /* "* NICK set mode TEXT", such as "+o bob" */
	RECORD_KICK,   /* "* NICK removed TEXT", a nick, maybe with ": " and why */
	/* "* Node NODE is gone, with N people who were here: NICK, NICK.", TEXT from "Node" on; or "* Back on node NODE: NICK, NICK.",
	 * which processes before there was that take for a notice. */
	RECORD_GONE,
	RECORD_KINDS,
};

/* A cache line. */
struct record {
	uint64_t end;	  /* position after the message's newline */
	uint64_t time_us; /* CLOCK_REALTIME */
	uint64_t sender;  /* client id, 0: chatd itself or an admin */
	uint64_t
	    target; /* private messages: the receiver's client id; others: place in a stream, see speech.h */
	uint16_t text; /* where TEXT, as above, begins in the line */
	uint8_t kind;
	uint8_t nick_len;      /* of NICK; 0: there is none in the line, or it isn't known */
	uint32_t target_index; /* and its place in the table */
	uint32_t notices;      /* how many right before it are notices; 0 may also mean that it isn't known */
	/* Private messages: the place of the sender, plus 1; 0: not known. Others: see speaker.persona. */
	uint32_t sender_index;
	uint8_t nick_at;    /* where the nick begins */
	uint8_t forgotten;  /* 1: its bytes were overwritten by blanks, and nobody is shown it any more */
	uint8_t unanswered; /* 1: said so that no program answers it, as IRC's NOTICE */
	uint8_t reserved;
	/* Private messages from another node, instead of sender_index: the sender's place there, plus 1, and
	 * which node that is (letter_tag()); from 0: they are from this one. Others, and those: see speech.attachment. */
	uint32_t from_index;
	union {
		uint64_t from;
		uint64_t number; /* others: 0: its place in the log, see room_number() */
	};
};

_Static_assert(sizeof(struct record) == 64, "part of the state's layout");

static inline bool record_is_notice(const struct record *r)
{
	return r->kind >= RECORD_NOTICE;
}

struct logring;

/* What a reader may send while it holds its pin: [floor, head), the messages first .. count - 1. */
struct logring_view {
	const char *log; /* position p is at log[p & mask], contiguous up to head */
	uint64_t mask;
	uint64_t floor, head;
	uint64_t first, count;
};

static inline const char *logring_at(const struct logring_view *v, uint64_t pos)
{
	return v->log + (pos & v->mask);
}

/* The bytes a log of that size (rounded up to a power of two) needs in the file. */
uint64_t logring_extent(uint64_t log_size);
uint64_t logring_round(uint64_t log_size);

/*
 * Opens the log at off of the memory file; a fresh one is initialised, another one is checked in full.
 * Returns 0, -EBADMSG when it can't be trusted, or -errno. logring_close() keeps what is in the file.
 */
int logring_open(int fd, uint64_t off, uint64_t log_size, bool fresh, struct logring **ret);
void logring_close(struct logring *r);

/* The bytes of text that the log has space for. */
uint64_t logring_size(const struct logring *r);
uint64_t logring_count(struct logring *r);

void logring_lock(struct logring *r);
void logring_unlock(struct logring *r);

/*
 * With the lock held: writes a message made of two parts behind the last one, invisible until
 * logring_commit(). record->end is filled in. False when so much is uncommitted that it has to be committed
 * first.
 */
bool logring_put(struct logring *r, struct record *record, const char *a, size_t a_len, const char *b,
		 size_t b_len);
/* The count that logring_commit() will store. */
uint64_t logring_pending(const struct logring *r);
void logring_commit(struct logring *r);
/* Where the log will end with that commit, and its count. */
uint64_t logring_pending_head(const struct logring *r);
/* Forgets what was put since the last commit. */
void logring_abandon(struct logring *r);

/* Takes reader's pin; what lies below ret->floor is lost to it. It waits for nobody, whatever log is locked. No log may be
 * locked before logring_unpin(). */
void logring_pin(struct logring *r, unsigned reader, struct logring_view *ret);
/* The number of the message that begins at pos or that contains it; pos in [floor, head]. Needs the pin or
 * the lock. */
uint64_t logring_seek(const struct logring *r, const struct logring_view *v, uint64_t pos);
/* Where message number seq begins (first <= seq <= count). Needs the pin or the lock. */
uint64_t logring_start(const struct logring *r, const struct logring_view *v, uint64_t seq);
/* Where a reader that was overtaken goes on: the first message of the newer three quarters. Needs the pin. */
uint64_t logring_resume(const struct logring *r, const struct logring_view *v, uint64_t *ret_seq);
void logring_unpin(struct logring *r, unsigned reader);

/* With the lock held: what is there now, from the oldest whole message on. */
void logring_peek(struct logring *r, struct logring_view *ret);
/* With the lock or a pin held: message number seq, first <= seq < count. */
const struct record *logring_record(const struct logring *r, uint64_t seq);
/* With the lock held: message number seq is forgotten. Its newline stays, as it ends the message for who is to receive it. */
void logring_forget(struct logring *r, const struct logring_view *v, uint64_t seq);
/* With the lock or a pin held: the newest message below seq that isn't a notice. False if there is none from v->first on. */
bool logring_back(const struct logring *r, const struct logring_view *v, uint64_t *seq);

/*
 * Progress of the readers, so that writers wait for a reader that has not run yet, never for a slow client:
 * logring_flushed() says how far the reader has gone; logring_reader_behind() tells whether it is three
 * eighths of the ring behind.
 */
void logring_flushed(struct logring *r, unsigned reader, const struct logring_view *v);
/* The same by numbers: message seq, which begins at pos, is the reader's next one. */
void logring_flushed_to(struct logring *r, unsigned reader, uint64_t pos, uint64_t seq);
void logring_caught_up(struct logring *r, unsigned reader);
bool logring_reader_behind(struct logring *r, unsigned reader);
/* The reader's next message. */
uint64_t logring_reader_at(struct logring *r, unsigned reader);
/* How much of the log's size that is, be it by bytes or by the records that messages need. */
uint64_t logring_weight(uint64_t bytes, uint64_t messages);
/* How many messages and bytes there are that the reader has not got yet. */
void logring_reader_lag(struct logring *r, unsigned reader, uint64_t *ret_messages, uint64_t *ret_bytes);

#endif
