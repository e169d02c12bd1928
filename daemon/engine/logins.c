/* SPDX-License-Identifier: MIT */
/*
 * The service that checks passwords. What is asked waits in a queue of its address, and the addresses take
 * turns; the thread takes one request at a time, for which no lock is held.
 */
#include "daemon/engine/logins_own.h"

#include "common/cleanup.h"
#include "daemon/base/clock.h"
#include "daemon/base/logger.h"

#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

/* Every connection can wait for one answer, so this bounds memory and not people. */
#define WAITING_MAX CLIENTS_LIMIT
/* Each is of an address that may ask for few of them in a minute. */
#define ERRANDS_MAX 1024
/* Others want the processor for what takes less long. */
#define NICENESS 10

static void login_answer(struct worker *w, struct job *job)
{
	struct login_request *a = (struct login_request *)job;

	if (w)
		a->answered(worker_context(w), &a->answer);
	free(a);
}

static void login_forget(struct login_request *a)
{
	sodium_memzero(a->password, sizeof(a->password));
	free(a);
}

/* --- the thread --- */

static void logins_check(struct logins *l, struct login_request *a)
{
	bool known = a->hash[0] != '\0';
	bool same = crypto_pwhash_str_verify(known ? a->hash : l->nobody, a->password, a->len) == 0;

	a->answer.good = known && same;
	sodium_memzero(a->password, sizeof(a->password));
}

/* Waits until there is something to do. NULL: look again. */
static struct login_request *logins_wait(struct logins *l, struct asker **ret_asker)
{
	int64_t now = clock_us(CLOCK_MONOTONIC), due = INT64_MAX;
	struct login_request *a = l->paused ? NULL : logins_next(l, now, &due, ret_asker);

	if (a)
		return a;
	if (due == INT64_MAX) {
		pthread_cond_wait(&l->news, &l->lock);
	} else {
		struct timespec ts = {due / SECOND_US, due % SECOND_US * 1000};
		pthread_cond_clockwait(&l->news, &l->lock, CLOCK_MONOTONIC, &ts);
	}
	return NULL;
}

/* With the lock, which is given back meanwhile. False: there is none, or it has to wait. */
static bool logins_run_errand(struct logins *l)
{
	struct login_errand *e = l->paused ? NULL : l->errands;

	if (!e)
		return false;
	l->errands = e->next;
	if (!l->errands)
		l->last_errand = &l->errands;
	l->n_errands--;
	l->busy = true;
	pthread_mutex_unlock(&l->lock);
	e->run(e);
	pthread_mutex_lock(&l->lock);
	l->busy = false;
	return true;
}

/* It takes as long as a check does, for which no worker may wait. */
static void logins_hash_nobody(struct logins *l)
{
	if (!l->nobody[0] && crypto_pwhash_str(l->nobody, "", 0, crypto_pwhash_OPSLIMIT_INTERACTIVE,
					       crypto_pwhash_MEMLIMIT_INTERACTIVE) != 0)
		log_warning("logins: a name without an account can be told by the time that its check takes");
}

/* Before anybody hears of it, so that nobody who has can try once more. */
static void logins_count_failure(struct logins *l, struct asker *o, const struct login_request *a)
{
	pthread_mutex_lock(&l->lock);
	logins_note_failures(o, 1, a->failures_per_minute);
	pthread_mutex_unlock(&l->lock);
}

static void *logins_run(void *arg)
{
	struct logins *l = arg;

	pthread_setname_np(pthread_self(), l->service.name);
	setpriority(PRIO_PROCESS, (id_t)gettid(), NICENESS);
	logins_hash_nobody(l);
	pthread_mutex_lock(&l->lock);
	l->busy = false;
	while (!l->quit) {
		struct asker *o;
		if (logins_run_errand(l))
			continue;
		struct login_request *a = logins_wait(l, &o);
		if (!a)
			continue;
		l->busy = o->busy = true;
		pthread_mutex_unlock(&l->lock);
		logins_check(l, a);
		if (!a->answer.good)
			logins_count_failure(l, o, a);
		worker_post(a->w, &a->job);
		pthread_mutex_lock(&l->lock);
		l->busy = o->busy = false;
	}
	pthread_mutex_unlock(&l->lock);
	return NULL;
}

/* With the lock. With the first question, since most servers have none. */
static int logins_start_thread(struct logins *l)
{
	if (l->started)
		return 0;
	l->busy = true;
	int r = pthread_create(&l->thread, NULL, logins_run, l);
	l->started = r == 0;
	l->busy = l->started;
	return -r;
}

/* --- as a service --- */

static int logins_start(struct service *s, bool held)
{
	struct logins *l = (struct logins *)s;
	int r = 0;

	(void)held;
	pthread_mutex_lock(&l->lock);
	l->paused = l->quit = false;
	if (l->waiting > 0 || l->errands)
		r = logins_start_thread(l);
	pthread_cond_signal(&l->news);
	pthread_mutex_unlock(&l->lock);
	if (r < 0)
		log_error("logins: %s", strerror(-r));
	return r;
}

static void logins_drain(struct service *s)
{
	struct logins *l = (struct logins *)s;

	pthread_mutex_lock(&l->lock);
	l->paused = true;
	pthread_mutex_unlock(&l->lock);
}

static bool logins_is_drained(const struct service *s)
{
	struct logins *l = (struct logins *)s;

	pthread_mutex_lock(&l->lock);
	bool busy = l->busy;
	pthread_mutex_unlock(&l->lock);
	return !busy;
}

static void logins_quit(struct service *s, int64_t linger_us)
{
	struct logins *l = (struct logins *)s;

	(void)linger_us;
	pthread_mutex_lock(&l->lock);
	l->quit = true;
	pthread_cond_signal(&l->news);
	pthread_mutex_unlock(&l->lock);
}

static bool logins_join(struct service *s, int64_t timeout_us)
{
	struct logins *l = (struct logins *)s;

	return service_join_thread(l->thread, &l->started, timeout_us);
}

static void logins_close(struct service *s)
{
	logins_free((struct logins *)s);
}

/* It is neither watched, as a check takes long, nor shown, as nobody is connected to it. */
static const struct service_ops logins_ops = {
    .start = logins_start,
    .drain = logins_drain,
    .is_drained = logins_is_drained,
    .quit = logins_quit,
    .join = logins_join,
    .free = logins_close,
};

int logins_new(struct logins **ret)
{
	struct logins *l = sodium_init() < 0 ? NULL : calloc(1, sizeof(*l));

	if (!l)
		return -ENOMEM;
	pthread_mutex_init(&l->lock, NULL);
	pthread_cond_init(&l->news, NULL);
	l->service = (struct service){.ops = &logins_ops, .name = "chatd/login"};
	l->last_turn = &l->turns;
	l->last_errand = &l->errands;
	randombytes_buf(l->key, sizeof(l->key));
	l->bucket_key = hash_key_new();
	*ret = l;
	return 0;
}

int logins_open(struct shared *shared, const struct config *config)
{
	(void)config;
	int r = logins_new(&shared->logins);

	if (r == 0)
		services_add(&shared->services, &shared->logins->service);
	return r;
}

void logins_free(struct logins *l)
{
	if (!l)
		return;
	logins_quit(&l->service, 0);
	if (l->started)
		pthread_join(l->thread, NULL);
	for (unsigned i = 0; i < LOGINS_BUCKETS; i++)
		for (struct asker *o = l->buckets[i], *next; o; o = next) {
			next = o->next;
			for (struct login_request *a = o->first, *after; a; a = after) {
				after = a->next;
				login_forget(a);
			}
			free(o);
		}
	for (struct login_errand *e = l->errands, *next; e; e = next) {
		next = e->next;
		e->drop(e);
	}
	pthread_cond_destroy(&l->news);
	pthread_mutex_destroy(&l->lock);
	free(l);
}

void logins_subject(const struct logins *l, const struct login_question *q,
		    uint8_t ret[static LOGIN_SUBJECT_LEN])
{
	const char *hash = q->hash ? q->hash : "";
	crypto_generichash_state s;

	crypto_generichash_init(&s, l->key, sizeof(l->key), LOGIN_SUBJECT_LEN);
	crypto_generichash_update(&s, (const unsigned char *)hash, strlen(hash) + 1);
	crypto_generichash_update(&s, (const unsigned char *)q->nick, q->nick_len);
	crypto_generichash_update(&s, (const unsigned char *)" ", 1); /* which no nick has */
	crypto_generichash_update(&s, (const unsigned char *)q->password, q->len);
	crypto_generichash_final(&s, ret, LOGIN_SUBJECT_LEN);
}

static bool logins_enqueue(struct logins *l, struct login_request *a,
			   const uint8_t key[static ADDRESS_KEY_LEN])
{
	if (l->quit || l->waiting >= WAITING_MAX || logins_start_thread(l) < 0)
		return false;
	struct asker *o = logins_make_asker(l, key);
	if (!o)
		return false;
	if (!o->first)
		logins_take_turn(l, o);
	a->asker = o;
	a->prev = o->last;
	if (o->last)
		o->last->next = a;
	else
		o->first = a;
	o->last = a;
	l->waiting++;
	pthread_cond_signal(&l->news);
	return true;
}

bool logins_ask(struct logins *l, const struct login_caller *caller, const struct login_question *q,
		struct login_request **ret)
{
	struct login_request *a = q->len <= sizeof(a->password) ? calloc(1, sizeof(*a)) : NULL;
	uint8_t key[ADDRESS_KEY_LEN];

	if (!a)
		return false;
	a->job.run = login_answer;
	a->w = caller->w;
	a->answered = caller->answered;
	a->answer.index = caller->index;
	a->answer.id = caller->id;
	a->failures_per_minute = caller->failures_per_minute;
	logins_subject(l, q, a->answer.subject);
	if (q->hash)
		memcpy(a->hash, q->hash, strlen(q->hash) + 1);
	memcpy(a->password, q->password, q->len);
	a->len = q->len;
	address_site(caller->address, key);
	pthread_mutex_lock(&l->lock);
	bool taken = logins_enqueue(l, a, key);
	pthread_mutex_unlock(&l->lock);
	if (taken)
		*ret = a;
	else
		login_forget(a);
	return taken;
}

void logins_cancel(struct logins *l, struct login_request *a)
{
	pthread_mutex_lock(&l->lock);
	struct asker *o = a->asker;
	if (o)
		logins_dequeue(l, a);
	if (o && !o->first)
		logins_lose_turn(l, o);
	pthread_mutex_unlock(&l->lock);
	if (o)
		login_forget(a); /* else the answer is on its way, and finds nobody */
}

bool logins_do(struct logins *l, struct login_errand *e)
{
	pthread_mutex_lock(&l->lock);
	bool taken = !l->quit && l->n_errands < ERRANDS_MAX && logins_start_thread(l) == 0;
	if (taken) {
		e->next = NULL;
		*l->last_errand = e;
		l->last_errand = &e->next;
		l->n_errands++;
		pthread_cond_signal(&l->news);
	}
	pthread_mutex_unlock(&l->lock);
	return taken;
}
