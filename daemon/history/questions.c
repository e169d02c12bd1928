/* SPDX-License-Identifier: MIT */
/*
 * The service that looks into the history for whoever asks. Questions wait in the order of their rounds: in each
 * round every address has one. So the last one in the queue is of whoever has the most, and is the one that
 * goes when there are too many.
 */
#include "daemon/history/questions_own.h"

#include "common/cleanup.h"
#include "daemon/base/fault.h"
#include "daemon/base/logger.h"
#include "daemon/config/history.h"
#include "daemon/history/archive.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* Others want the processor for what takes less long. */
#define QUESTIONS_NICENESS 10

/* --- the queue --- */

/* Which round is this address's next one. */
static uint64_t questions_round(const struct questions *qs, const uint8_t key[static ADDRESS_KEY_LEN])
{
	uint64_t round = qs->round;

	if (memcmp(qs->last_key, key, ADDRESS_KEY_LEN) == 0)
		round++;
	for (const struct question *o = qs->first; o; o = o->next)
		if (o->round >= round && memcmp(o->key, key, ADDRESS_KEY_LEN) == 0)
			round = o->round + 1;
	return round;
}

static void questions_enqueue(struct questions *qs, struct question *q)
{
	struct question **p = &qs->first;

	q->round = questions_round(qs, q->key);
	while (*p && (*p)->round <= q->round)
		p = &(*p)->next;
	q->next = *p;
	*p = q;
	qs->waiting++;
}

static struct question *questions_next(struct questions *qs)
{
	struct question *q = qs->paused ? NULL : qs->first;

	if (!q)
		return NULL;
	qs->first = q->next;
	qs->waiting--;
	qs->round = q->round;
	memcpy(qs->last_key, q->key, ADDRESS_KEY_LEN);
	return q;
}

/* Takes it out of the queue; false if it isn't there. */
static bool questions_take_out(struct questions *qs, const struct question *q)
{
	for (struct question **p = &qs->first; *p; p = &(*p)->next)
		if (*p == q) {
			*p = q->next;
			qs->waiting--;
			return true;
		}
	return false;
}

/* The last one, if there are too many. */
static struct question *questions_overflow(struct questions *qs)
{
	struct question **p = &qs->first;

	if (qs->waiting <= qs->limits.waiting)
		return NULL;
	while ((*p)->next)
		p = &(*p)->next;
	qs->waiting--;
	return take_ptr(*p);
}

/* It is answered: hands the service's reference over, or gives it back. The lock isn't held. */
static void questions_tell(struct questions *qs, struct question *q)
{
	struct worker *w = q->who.w;
	unsigned slot = q->who.slot;

	atomic_store_explicit(&q->state, QUESTION_ANSWERED, memory_order_release);
	FAULT("question-answered");
	if (w && !atomic_load(&q->dropped)) {
		worker_post(w, &q->job);
		return;
	}
	question_unref(q);
	if (!w)
		wakeup_kick(slots_wakeup(qs->slots, slot));
}

/* With the lock, which it gives back meanwhile. */
static void questions_work_on(struct questions *qs, struct question *q)
{
	qs->current = q;
	atomic_store(&q->state, QUESTION_IN_WORK);
	pthread_mutex_unlock(&qs->lock);
	lookup_run(qs, q);
	pthread_mutex_lock(&qs->lock);
	qs->current = NULL;
	if (qs->quit && !atomic_load(&q->dropped)) { /* it was interrupted, and is asked again */
		question_forget_answer(q);
		q->next = qs->first;
		qs->first = q;
		qs->waiting++;
		return;
	}
	pthread_mutex_unlock(&qs->lock);
	questions_tell(qs, q);
	pthread_mutex_lock(&qs->lock);
}

static void *questions_run(void *arg)
{
	struct questions *qs = arg;

	pthread_setname_np(pthread_self(), qs->service.name);
	setpriority(PRIO_PROCESS, (id_t)gettid(), QUESTIONS_NICENESS);
	pthread_mutex_lock(&qs->lock);
	while (!qs->quit) {
		struct question *q = questions_next(qs);
		if (q)
			questions_work_on(qs, q);
		else
			pthread_cond_wait(&qs->news, &qs->lock);
	}
	pthread_mutex_unlock(&qs->lock);
	lookup_end(qs);
	return NULL;
}

/* With the lock. With the first question, since there may never be one. */
static int questions_start_thread(struct questions *qs)
{
	if (qs->started)
		return 0;
	int r = pthread_create(&qs->thread, NULL, questions_run, qs);
	qs->started = r == 0;
	return -r;
}

/* --- as a service --- */

static int questions_start(struct service *s, bool held)
{
	struct questions *qs = (struct questions *)s;
	int r = 0;

	(void)held;
	pthread_mutex_lock(&qs->lock);
	qs->paused = qs->quit = false;
	if (qs->waiting > 0)
		r = questions_start_thread(qs);
	pthread_cond_signal(&qs->news);
	pthread_mutex_unlock(&qs->lock);
	if (r < 0)
		log_error("questions: %s", strerror(-r));
	return r;
}

static void questions_drain(struct service *s)
{
	struct questions *qs = (struct questions *)s;

	pthread_mutex_lock(&qs->lock);
	qs->paused = true;
	pthread_mutex_unlock(&qs->lock);
}

static bool questions_is_drained(const struct service *s)
{
	struct questions *qs = (struct questions *)s;

	pthread_mutex_lock(&qs->lock);
	bool busy = qs->current;
	pthread_mutex_unlock(&qs->lock);
	return !busy;
}

static void questions_quit(struct service *s, int64_t linger_us)
{
	struct questions *qs = (struct questions *)s;

	(void)linger_us;
	pthread_mutex_lock(&qs->lock);
	qs->quit = true;
	if (qs->current && qs->store)
		store_interrupt(qs->store);
	pthread_cond_signal(&qs->news);
	pthread_mutex_unlock(&qs->lock);
}

static bool questions_join(struct service *s, int64_t timeout_us)
{
	struct questions *qs = (struct questions *)s;

	return service_join_thread(qs->thread, &qs->started, timeout_us);
}

static struct questions_limits questions_configured(const struct history_config *c)
{
	return (struct questions_limits){c->questions, c->lines, c->time_limit_us};
}

static void questions_reloaded(struct service *s, const struct config *config)
{
	struct questions *qs = (struct questions *)s;

	pthread_mutex_lock(&qs->lock);
	if (config->history)
		qs->limits = questions_configured(config->history);
	pthread_mutex_unlock(&qs->lock);
}

static void questions_close(struct service *s)
{
	questions_free((struct questions *)s);
}

/* It is neither watched, as a disk may take long, nor shown, as nobody is connected to it. */
static const struct service_ops questions_ops = {
    .start = questions_start,
    .drain = questions_drain,
    .is_drained = questions_is_drained,
    .quit = questions_quit,
    .join = questions_join,
    .reloaded = questions_reloaded,
    .free = questions_close,
};

int questions_new(const char *database, const struct questions_limits *limits, const struct slots *slots,
		  struct questions **ret)
{
	size_t size = strlen(database) + 1;
	struct questions *qs = calloc(1, sizeof(*qs) + size);

	if (!qs)
		return -ENOMEM;
	pthread_mutex_init(&qs->lock, NULL);
	pthread_cond_init(&qs->news, NULL);
	qs->service = (struct service){.ops = &questions_ops, .name = "chatd/search"};
	qs->slots = slots;
	qs->limits = *limits;
	memset(qs->last_key, 0xff, sizeof(qs->last_key)); /* nobody's, not even an admin's */
	memcpy(qs->database, database, size);
	*ret = qs;
	return 0;
}

int questions_open(struct shared *shared, const struct config *config)
{
	const char *database = archive_path(shared->archive);

	if (!database || !config->history)
		return 0;
	const struct questions_limits limits = questions_configured(config->history);
	int r = questions_new(database, &limits, shared->slots, &shared->questions);
	if (r == 0)
		services_add(&shared->services, &shared->questions->service);
	return r;
}

void questions_free(struct questions *qs)
{
	if (!qs)
		return;
	questions_quit(&qs->service, 0);
	if (qs->started)
		pthread_join(qs->thread, NULL);
	for (struct question *q = qs->first, *next; q; q = next) {
		next = q->next;
		q->answer.error = -ECANCELED; /* nobody looks; but it needs no service any more */
		atomic_store(&q->state, QUESTION_ANSWERED);
		question_unref(q);
	}
	pthread_cond_destroy(&qs->news);
	pthread_mutex_destroy(&qs->lock);
	free(qs);
}

/* --- asking --- */

int question_ask(struct questions *qs, const struct question_caller *caller,
		 const struct question_request *request, struct question **ret)
{
	struct question *q = question_new(qs, caller, request), *refused = NULL;

	if (!q)
		return -ENOMEM;
	pthread_mutex_lock(&qs->lock);
	question_bound(q, &qs->limits);
	int r = qs->quit ? -EBUSY : questions_start_thread(qs);
	if (r == 0) {
		questions_enqueue(qs, q);
		refused = questions_overflow(qs);
		pthread_cond_signal(&qs->news);
	}
	pthread_mutex_unlock(&qs->lock);
	if (r == 0 && refused == q)
		r = -EBUSY;
	else if (refused)
		refused->answer.error = -EBUSY;
	if (r < 0) {
		atomic_store(&q->references, 1);
		question_unref(q);
		return r;
	}
	if (refused)
		questions_tell(qs, refused);
	*ret = q;
	return 0;
}

void question_drop(struct question *q)
{
	if (!q)
		return;
	if (!question_answer(q)) {
		struct questions *qs = q->qs;
		pthread_mutex_lock(&qs->lock);
		atomic_store(&q->dropped, true);
		if (questions_take_out(qs, q))
			atomic_fetch_sub(&q->references, 1); /* the service's */
		else if (qs->current == q && qs->store)
			store_interrupt(qs->store);
		pthread_mutex_unlock(&qs->lock);
	}
	atomic_store(&q->dropped, true);
	question_unref(q);
}
