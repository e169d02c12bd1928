/* SPDX-License-Identifier: MIT */
#include "daemon/logins.h"

#include "common/accounts.h"
#include "common/cleanup.h"
#include "daemon/connection.h"
#include "daemon/worker.h"

#include <pthread.h>
#include <sodium.h>
#include <string.h>

/* Some seconds' worth: who would wait longer is told to try again. */
#define WAITING_MAX 64

struct request {
	struct job job;
	struct request *next;
	struct worker *w;
	uint32_t index;
	uint64_t id;
	bool good;
	char hash[ACCOUNTS_HASH_MAX];
	size_t len;
	char password[ACCOUNTS_PASSWORD_MAX];
};

struct logins {
	pthread_mutex_t lock;
	pthread_cond_t news;
	pthread_t thread;
	bool started, quit;
	unsigned waiting;
	struct request *first, **last;
	char nobody[ACCOUNTS_HASH_MAX]; /* what is checked where there is no account */
};

static void answer(struct worker *w, struct job *job)
{
	struct request *a = (struct request *)job;

	if (w) {
		struct connection *c = *worker_by_index(w, a->index);
		if (c && connection_id(c) == a->id)
			connection_login_result(c, a->good);
	}
	free(a);
}

static void *run(void *arg)
{
	struct logins *l = arg;

	pthread_setname_np(pthread_self(), "chatd/login");
	pthread_mutex_lock(&l->lock);
	while (!l->quit) {
		struct request *a = l->first;
		if (!a) {
			pthread_cond_wait(&l->news, &l->lock);
			continue;
		}
		l->first = a->next;
		if (!l->first)
			l->last = &l->first;
		l->waiting--;
		pthread_mutex_unlock(&l->lock);
		bool known = a->hash[0] != '\0';
		bool same = crypto_pwhash_str_verify(known ? a->hash : l->nobody, a->password, a->len) == 0;
		a->good = known && same;
		sodium_memzero(a->password, sizeof(a->password));
		worker_post(a->w, &a->job);
		pthread_mutex_lock(&l->lock);
	}
	pthread_mutex_unlock(&l->lock);
	return NULL;
}

int logins_new(struct logins **ret)
{
	struct logins *l = calloc(1, sizeof(*l));

	if (!l)
		return -ENOMEM;
	pthread_mutex_init(&l->lock, NULL);
	pthread_cond_init(&l->news, NULL);
	l->last = &l->first;
	*ret = l;
	return 0;
}

void logins_free(struct logins *l)
{
	if (!l)
		return;
	pthread_mutex_lock(&l->lock);
	l->quit = true;
	pthread_cond_signal(&l->news);
	pthread_mutex_unlock(&l->lock);
	if (l->started)
		pthread_join(l->thread, NULL);
	for (struct request *a = l->first, *next; a; a = next) {
		next = a->next;
		sodium_memzero(a->password, sizeof(a->password));
		free(a);
	}
	pthread_cond_destroy(&l->news);
	pthread_mutex_destroy(&l->lock);
	free(l);
}

/* With the first login, since most servers have none. */
static bool start(struct logins *l)
{
	if (l->started)
		return true;
	if (sodium_init() < 0 || crypto_pwhash_str(l->nobody, "", 0, crypto_pwhash_OPSLIMIT_INTERACTIVE,
						   crypto_pwhash_MEMLIMIT_INTERACTIVE) != 0)
		return false;
	l->started = pthread_create(&l->thread, NULL, run, l) == 0;
	return l->started;
}

bool logins_ask(struct logins *l, struct worker *w, uint32_t index, uint64_t id, const char *hash,
		const char *password, size_t len)
{
	struct request *a = len <= sizeof(a->password) ? calloc(1, sizeof(*a)) : NULL;
	bool taken = false;

	if (!a)
		return false;
	a->job.run = answer;
	a->w = w;
	a->index = index;
	a->id = id;
	if (hash)
		memcpy(a->hash, hash, strlen(hash) + 1);
	memcpy(a->password, password, len);
	a->len = len;
	pthread_mutex_lock(&l->lock);
	if (l->waiting < WAITING_MAX && start(l)) {
		*l->last = a;
		l->last = &a->next;
		l->waiting++;
		taken = true;
		pthread_cond_signal(&l->news);
	}
	pthread_mutex_unlock(&l->lock);
	if (!taken) {
		sodium_memzero(a->password, sizeof(a->password));
		free(a);
	}
	return taken;
}
