/* SPDX-License-Identifier: MIT */
/*
 * The service that checks passwords. What is asked waits in a queue of its address, and the addresses take
 * turns; the thread takes one request at a time, for which no lock is held.
 */
#include "daemon/engine/logins.h"

#include "common/accounts.h"
#include "common/cleanup.h"
#include "common/hash.h"
#include "daemon/base/clock.h"
#include "daemon/base/logger.h"
#include "daemon/engine/limits.h"
#include "daemon/engine/worker.h"

#include <pthread.h>
#include <sodium.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

/* Every connection can wait for one answer, so this bounds memory and not people. */
#define WAITING_MAX CLIENTS_LIMIT
#define BUCKETS 1024
/* Others want the processor for what takes less long. */
#define NICENESS 10

struct login_request {
	struct job job;
	struct login_request *next, *prev; /* of the same address, while it waits */
	struct asker *asker;		   /* or NULL: its turn has come */
	struct worker *w;
	void (*answered)(struct context *ctx, const struct login_answer *answer);
	struct login_answer answer;
	unsigned failures_per_minute;
	char hash[ACCOUNTS_HASH_MAX];
	size_t len;
	char password[ACCOUNTS_PASSWORD_MAX];
};

/* An address with requests, or with failures that still count. */
struct asker {
	struct asker *next; /* in the bucket */
	uint8_t key[ADDRESS_KEY_LEN];
	struct login_request *first, *last;
	struct asker *turn;   /* whose turn comes after it, while it has requests */
	int64_t failures_due; /* limits.h */
	int64_t rests_until;
	bool busy; /* one of its requests is being checked */
};

struct logins {
	struct service service; /* first */
	pthread_mutex_t lock;
	pthread_cond_t news;
	pthread_t thread;
	bool started, paused, quit;
	bool busy; /* the thread is doing something that takes long */
	unsigned waiting;
	int64_t expired;
	struct hash_key bucket_key;
	struct asker *buckets[BUCKETS];
	struct asker *turns, **last_turn;
	uint8_t key[crypto_generichash_KEYBYTES]; /* of the subjects */
	char nobody[ACCOUNTS_HASH_MAX];		  /* what is checked where there is no account */
};

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

/* --- addresses --- */

static struct asker **logins_find_asker(struct logins *l, const uint8_t key[static ADDRESS_KEY_LEN])
{
	struct asker **p = &l->buckets[hash_bytes(&l->bucket_key, key, ADDRESS_KEY_LEN) % BUCKETS];

	while (*p && memcmp((*p)->key, key, ADDRESS_KEY_LEN) != 0)
		p = &(*p)->next;
	return p;
}

/* Forgets addresses whose failures are long ago. */
static void logins_expire(struct logins *l, int64_t now)
{
	if (now - l->expired < SECOND_US)
		return;
	l->expired = now;
	for (unsigned i = 0; i < BUCKETS; i++)
		for (struct asker **p = &l->buckets[i], *o; (o = *p);) {
			if (o->first || o->busy || o->failures_due > now - 60 * SECOND_US) {
				p = &o->next;
				continue;
			}
			*p = o->next;
			free(o);
		}
}

static void logins_dequeue(struct logins *l, struct login_request *a)
{
	struct asker *o = a->asker;

	if (a->prev)
		a->prev->next = a->next;
	else
		o->first = a->next;
	if (a->next)
		a->next->prev = a->prev;
	else
		o->last = a->prev;
	a->asker = NULL;
	l->waiting--;
}

static void logins_take_turn(struct logins *l, struct asker *o)
{
	o->turn = NULL;
	*l->last_turn = o;
	l->last_turn = &o->turn;
}

static void logins_lose_turn(struct logins *l, struct asker *o)
{
	struct asker **p = &l->turns;

	while (*p != o)
		p = &(*p)->turn;
	*p = o->turn;
	if (!*p)
		l->last_turn = p;
}

/* The next one that may be asked for, of the address whose turn it is; else NULL, and when to look again. */
static struct login_request *logins_next(struct logins *l, int64_t now, int64_t *ret_due,
					 struct asker **ret_asker)
{
	struct asker *o;

	*ret_due = INT64_MAX;
	for (struct asker **p = &l->turns; (o = *p); p = &o->turn) {
		if (o->rests_until > now) {
			if (o->rests_until < *ret_due)
				*ret_due = o->rests_until;
			continue;
		}
		*p = o->turn;
		if (!*p)
			l->last_turn = p;
		struct login_request *a = o->first;
		bool more = a->next;
		logins_dequeue(l, a);
		if (more)
			logins_take_turn(l, o);
		*ret_asker = o;
		return a;
	}
	return NULL;
}

/* --- the thread --- */

static void logins_check(struct logins *l, struct login_request *a)
{
	bool known = a->hash[0] != '\0';
	bool same = crypto_pwhash_str_verify(known ? a->hash : l->nobody, a->password, a->len) == 0;

	a->answer.good = known && same;
	sodium_memzero(a->password, sizeof(a->password));
}

/* A minute's worth may come at once; then the address rests until one more would be allowed. */
static void logins_note_failure(struct asker *o, unsigned per_minute)
{
	if (per_minute == 0)
		return;
	limits_charge(&o->failures_due, per_minute, 1, 60 * SECOND_US, clock_us(CLOCK_MONOTONIC));
	o->rests_until = o->failures_due + 60 * SECOND_US / per_minute;
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

/* It takes as long as a check does, for which no worker may wait. */
static void logins_hash_nobody(struct logins *l)
{
	if (!l->nobody[0] && crypto_pwhash_str(l->nobody, "", 0, crypto_pwhash_OPSLIMIT_INTERACTIVE,
					       crypto_pwhash_MEMLIMIT_INTERACTIVE) != 0)
		log_warning("logins: a name without an account can be told by the time that its check takes");
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
		struct login_request *a = logins_wait(l, &o);
		if (!a)
			continue;
		unsigned rate = a->failures_per_minute;
		l->busy = o->busy = true;
		pthread_mutex_unlock(&l->lock);
		logins_check(l, a);
		bool good = a->answer.good;
		worker_post(a->w, &a->job);
		pthread_mutex_lock(&l->lock);
		l->busy = o->busy = false;
		if (!good)
			logins_note_failure(o, rate);
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
	if (l->waiting > 0)
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
	for (unsigned i = 0; i < BUCKETS; i++)
		for (struct asker *o = l->buckets[i], *next; o; o = next) {
			next = o->next;
			for (struct login_request *a = o->first, *after; a; a = after) {
				after = a->next;
				login_forget(a);
			}
			free(o);
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
	struct asker **p = logins_find_asker(l, key);
	if (!*p) {
		logins_expire(l, clock_us(CLOCK_MONOTONIC));
		p = logins_find_asker(l, key);
		*p = calloc(1, sizeof(**p));
		if (!*p)
			return false;
		memcpy((*p)->key, key, ADDRESS_KEY_LEN);
	}
	struct asker *o = *p;
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
