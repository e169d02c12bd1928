/* SPDX-License-Identifier: MIT */
/*
 * What people and admins want to know of the history. A thread of its own (chatd/search) looks it up, with a
 * connection to the database that only reads, so that neither chat nor the storing waits for it. It takes one
 * question at a time, addresses take turns, and each question is bounded in messages, bytes and time. If too
 * many wait, whoever has the most of them in the queue is told so.
 *
 *	question_ask(qs, &caller, &request, &q);	// then something else is done, until told
 *	const struct answer *a = question_answer(q);	// NULL: not yet
 *	question_drop(q);				// at any time; nobody waits for it then
 *
 * What doesn't fit one answer is asked for by the next question, which begins behind the last message that came
 * (its id as query.before, or as query.after if the oldest come first).
 */
#ifndef DAEMON_HISTORY_QUESTIONS_H
#define DAEMON_HISTORY_QUESTIONS_H

#include "common/address.h"
#include "daemon/history/store.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct config;
struct context;
struct question;
struct questions;
struct shared;
struct slots;
struct worker;

/* The most text in one answer. */
#define QUESTION_BYTES_MAX (1U << 20)

struct questions_limits {
	unsigned waiting;      /* how many may wait */
	unsigned messages;     /* in one answer; whoever wants more gets so many, and "more" */
	int64_t time_limit_us; /* for one; 0: none */
};

/* Makes it one of the services, if there is a history: behind the archive. Returns 0 or -errno. */
int questions_open(struct shared *shared, const struct config *config);
/* One that isn't a service, whose callers have these slots. Returns 0 or -ENOMEM. */
int questions_new(const char *database, const struct questions_limits *limits, const struct slots *slots,
		  struct questions **ret);
/* Ends the thread; nobody who asks may run any more. */
void questions_free(struct questions *qs);

/* Who asks. */
struct question_caller {
	/* A worker: answered() is called on its thread, once, unless the question was dropped before. */
	struct worker *w;
	void (*answered)(struct context *ctx, struct question *q);
	/* w is NULL: the thread with this slot is woken (the main thread then calls all follow()s), and looks for
	 * itself whether there is an answer. */
	unsigned slot;
	const union address *address; /* NULL: an admin */
	/* For answered(): of the client, and whatever else the caller wants to find there. */
	uint32_t index;
	uint64_t id;
	void *user;
};

/* The messages are in the order that the query asked for. All of it lives as long as the question. */
struct answer_gap {
	uint64_t first, end; /* the numbers of what could not be stored: [first, end) */
	int64_t time_us;
};

struct answer {
	/*
	 * 0; -EBUSY: too many are asking; -ETIME: it took too long, and what was found until then is here;
	 * -EINVAL: there is no word to look for; or why the database can't be read at the moment (any other).
	 */
	int error;
	bool more; /* there are more behind the last one */
	size_t n;
	struct store_message **at;
	/* If it was about all that was said in one room: what is missing between where it began and the last of them, or, if
	 * there is no more, all that is missing in that direction; the newest first, at most 64. */
	size_t n_gaps;
	struct answer_gap *gaps;
	/* Likewise: from that number on nothing of the log with that epoch was stored yet, nor known to be missing, when this
	 * began to be looked up. 0: that isn't known. */
	uint64_t epoch, next;
	char why[STORE_WHY_MAX]; /* for people, if there is an error */
};

/* All zero: everything, within the bounds. */
struct question_request {
	struct store_query query;
	/* Only what has a lower number than this in query.room; 0: no limit. It is what people go on by, as a message
	 * has its number from the beginning. */
	uint64_t before_number;
	/* Only what has a higher number there; 0: no limit. For those who ask for the oldest first. */
	uint64_t after_number;
	size_t bytes; /* the most text in the answer; one message there is in any case */
};

/*
 * Asks; all that the request points to is copied. Returns 0, -EBUSY if too many are waiting, most of them of
 * this address, or -ENOMEM.
 */
int question_ask(struct questions *qs, const struct question_caller *caller,
		 const struct question_request *request, struct question **ret);
/* NULL: it isn't there yet. From the caller's thread, as are all of these. */
const struct answer *question_answer(const struct question *q);
const struct question_caller *question_who(const struct question *q);
/* What was asked. */
const struct question_request *question_request(const struct question *q);
/* Ends the caller's use of it; if it is not answered yet, it won't be. May be NULL. */
void question_drop(struct question *q);

#endif
