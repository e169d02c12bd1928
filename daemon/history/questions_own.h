/* SPDX-License-Identifier: MIT */
/*
 * What the files of the questions share, and nobody else includes: question.c has a question's life, questions.c who
 * comes when, lookup.c what is done for an answer.
 */
#ifndef DAEMON_HISTORY_QUESTIONS_OWN_H
#define DAEMON_HISTORY_QUESTIONS_OWN_H

#include "daemon/engine/worker.h"
#include "daemon/history/questions.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

/* It only goes forward. */
enum question_state { QUESTION_WAITS, QUESTION_IN_WORK, QUESTION_ANSWERED };

struct question {
	struct job job; /* first: it goes back to the worker */
	struct questions *qs;
	struct question *next;	/* while it waits */
	atomic_uint references; /* the caller's, and the service's until the caller was told */
	atomic_int state; /* enum question_state; when it is answered, the service isn't needed any more */
	atomic_bool dropped;
	struct question_caller who;
	uint8_t key[ADDRESS_KEY_LEN]; /* of the address */
	uint64_t round;
	struct question_request request;
	char *strings; /* that it points to */
	/* What of it is within the limits. */
	unsigned messages;
	int64_t time_limit_us;
	size_t bytes;
	struct answer answer;
	size_t answer_bytes;
};

struct questions {
	struct service service; /* first */
	const struct slots *slots;
	pthread_mutex_t lock;
	pthread_cond_t news;
	pthread_t thread;
	bool started, paused, quit;
	struct question *first;	  /* those that wait */
	struct question *current; /* the one in work */
	unsigned waiting;
	struct questions_limits limits; /* under the lock */
	uint64_t round;
	uint8_t last_key[ADDRESS_KEY_LEN]; /* whose question was the last one */
	/* The thread's own. */
	struct store *store; /* NULL: it isn't open */
	struct stat file;    /* which file that is */
	char database[];
};

/* --- question.c --- */

/* NULL without memory. One reference is the caller's, one the service's. */
struct question *question_new(struct questions *qs, const struct question_caller *caller,
			      const struct question_request *request);
/* Within the limits. */
void question_bound(struct question *q, const struct questions_limits *limits);
void question_unref(struct question *q);
void question_forget_answer(struct question *q);

/* --- lookup.c, on the thread --- */

/* Fills the answer. If it was interrupted, and not because it was dropped, it has to be asked again. */
void lookup_run(struct questions *qs, struct question *q);
/* Closes the database. */
void lookup_end(struct questions *qs);

#endif
