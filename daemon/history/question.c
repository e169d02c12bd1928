/* SPDX-License-Identifier: MIT */
/*
 * One question: a copy of what is asked, and its answer. The caller has one reference to it, and the service another one,
 * until the caller was told.
 */
#include "daemon/history/questions_own.h"

#include <stdlib.h>
#include <string.h>

void question_forget_answer(struct question *q)
{
	for (size_t i = 0; i < q->answer.n; i++)
		free(q->answer.at[i]);
	free(q->answer.at);
	free(q->answer.gaps);
	q->answer = (struct answer){0};
	q->answer_bytes = 0;
}

void question_unref(struct question *q)
{
	if (atomic_fetch_sub(&q->references, 1) > 1)
		return;
	question_forget_answer(q);
	free(q->strings);
	free(q);
}

/* The service's reference to it, on its way to a worker, or to one that has ended. */
static void question_told(struct worker *w, struct job *job)
{
	struct question *q = (struct question *)job;

	if (w && !atomic_load(&q->dropped))
		q->who.answered(worker_context(w), q);
	question_unref(q);
}

/* Copies a string behind the others; NULL stays NULL. */
static const char *question_keep(char **at, const char *s)
{
	if (!s)
		return NULL;
	char *copy = *at;
	size_t n = strlen(s) + 1;
	memcpy(copy, s, n);
	*at += n;
	return copy;
}

static size_t question_size(const char *s)
{
	return s ? strlen(s) + 1 : 0;
}

void question_bound(struct question *q, const struct questions_limits *limits)
{
	const struct question_request *r = &q->request;

	q->messages =
	    r->query.limit == 0 || r->query.limit > limits->messages ? limits->messages : r->query.limit;
	q->time_limit_us = limits->time_limit_us;
	if (r->query.time_limit_us > 0 &&
	    (q->time_limit_us == 0 || r->query.time_limit_us < q->time_limit_us))
		q->time_limit_us = r->query.time_limit_us;
	q->bytes = r->bytes == 0 || r->bytes > QUESTION_BYTES_MAX ? QUESTION_BYTES_MAX : r->bytes;
}

struct question *question_new(struct questions *qs, const struct question_caller *caller,
			      const struct question_request *request)
{
	const struct store_query *query = &request->query;
	struct question *q = calloc(1, sizeof(*q));
	char *at =
	    malloc(question_size(query->room) + question_size(query->nick) + question_size(query->text) + 1);

	if (!q || !at) {
		free(q);
		free(at);
		return NULL;
	}
	q->job.run = question_told;
	q->qs = qs;
	q->who = *caller;
	q->who.address = NULL; /* the caller's own */
	q->strings = at;
	q->request = *request;
	q->request.query.room = question_keep(&at, query->room);
	q->request.query.nick = question_keep(&at, query->nick);
	q->request.query.text = question_keep(&at, query->text);
	if (caller->address)
		address_site(caller->address, q->key);
	atomic_store(&q->references, 2);
	return q;
}

const struct answer *question_answer(const struct question *q)
{
	return atomic_load_explicit(&q->state, memory_order_acquire) == QUESTION_ANSWERED ? &q->answer : NULL;
}

const struct question_caller *question_who(const struct question *q)
{
	return &q->who;
}

const struct question_request *question_request(const struct question *q)
{
	return &q->request;
}
