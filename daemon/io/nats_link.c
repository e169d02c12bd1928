/* SPDX-License-Identifier: MIT */
/*
 * The link to NATS: its beginning and its end, and what is called from outside. nats_link_free() doesn't depend on what
 * libnats does: whatever that still calls finds its life there, and that it is over.
 */
#include "common/cleanup.h"
#include "daemon/base/clock.h"
#include "daemon/io/nats_link_own.h"

#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>

/* nats_link_free(): how often what blocks is interrupted, and how long all of it may take. */
#define NATS_JOIN_US INT64_C(50000)
#define NATS_JOINS 40
#define NATS_PATIENT_JOINS 5

/* --- who holds what --- */

void nats_link_unref(struct nats_link *l)
{
	struct nats_link_settings *s = &l->settings;
	const char *const texts[] = {s->name,	     s->user,	 s->password,	     s->token,
				     s->credentials, s->tls_ca,	 s->tls_certificate, s->tls_key,
				     s->stream,	     s->subjects};

	if (atomic_fetch_sub(&l->refs, 1) > 1)
		return;
	nats_events_clear(l);
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
		free((char *)texts[i]);
	for (size_t i = 0; s->servers && i < s->n_servers; i++)
		free((char *)s->servers[i]);
	for (size_t i = 0; s->plain && i < s->n_plain; i++)
		free((char *)s->plain[i]);
	free((char **)s->servers);
	free((char **)s->plain);
	pthread_cond_destroy(&l->work);
	pthread_mutex_destroy(&l->mutex);
	pthread_mutex_destroy(&l->use);
	cleanup_close(&l->fd);
	cleanup_close(&l->epoll);
	free(l);
}

struct nats_life *nats_life_new(struct nats_link *l, uint64_t generation)
{
	struct nats_life *life = malloc(sizeof(*life));

	if (!life)
		return NULL;
	*life = (struct nats_life){
	    .refs = 1, .link = l, .generation = generation, .session = pthread_self(), .socket = -1};
	atomic_fetch_add(&l->refs, 1);
	pthread_mutex_lock(&l->mutex);
	l->life = life;
	pthread_mutex_unlock(&l->mutex);
	return life;
}

void nats_life_unref(struct nats_life *life)
{
	if (atomic_fetch_sub(&life->refs, 1) > 1)
		return;
	nats_link_unref(life->link);
	free(life);
}

void nats_link_wake(struct nats_link *l)
{
	pthread_cond_broadcast(&l->work);
}

void nats_life_end(struct nats_life *life, const char *format, ...)
{
	va_list args;

	pthread_mutex_lock(&life->link->mutex);
	if (!life->over) {
		life->over = true;
		va_start(args, format);
		vsnprintf(life->why, sizeof(life->why), format, args);
		va_end(args);
		nats_link_wake(life->link);
	}
	pthread_mutex_unlock(&life->link->mutex);
}

/* --- the settings --- */

static bool nats_link_copy_text(const char **ret, const char *s)
{
	*ret = s ? strdup(s) : NULL;
	return !s || *ret;
}

static bool nats_link_copy_texts(const char *const **ret, size_t *n_ret, const char *const *texts, size_t n)
{
	const char **copy = calloc(n ? n : 1, sizeof(*copy));

	*ret = copy;
	*n_ret = 0;
	while (copy && *n_ret < n && nats_link_copy_text(&copy[*n_ret], texts[*n_ret]))
		++*n_ret;
	return copy && *n_ret == n;
}

static int nats_link_copy(struct nats_link_settings *ret, const struct nats_link_settings *s)
{
	bool ok;

	if (!s->n_servers || !s->stream || !s->subjects)
		return -EINVAL;
	ret->replicas = s->replicas;
	ret->max_age_s = s->max_age_s;
	ret->max_bytes = s->max_bytes;
	ok = nats_link_copy_texts(&ret->servers, &ret->n_servers, s->servers, s->n_servers) &&
	     nats_link_copy_texts(&ret->plain, &ret->n_plain, s->plain, s->n_plain) &&
	     nats_link_copy_text(&ret->name, s->name) && nats_link_copy_text(&ret->user, s->user) &&
	     nats_link_copy_text(&ret->password, s->password) && nats_link_copy_text(&ret->token, s->token) &&
	     nats_link_copy_text(&ret->credentials, s->credentials) &&
	     nats_link_copy_text(&ret->tls_ca, s->tls_ca) &&
	     nats_link_copy_text(&ret->tls_certificate, s->tls_certificate) &&
	     nats_link_copy_text(&ret->tls_key, s->tls_key) && nats_link_copy_text(&ret->stream, s->stream) &&
	     nats_link_copy_text(&ret->subjects, s->subjects);
	return ok ? 0 : -ENOMEM;
}

/* --- beginning and end --- */

/* Waits are measured by the clock that nobody sets. */
static void nats_link_make_locks(struct nats_link *l)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&l->work, &attr);
	pthread_condattr_destroy(&attr);
	pthread_mutex_init(&l->mutex, NULL);
	pthread_mutex_init(&l->use, NULL);
}

/* libnats's threads are made by this one, and so have its mask. */
static int nats_link_start(struct nats_link *l)
{
	sigset_t all, before;
	int r;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = -pthread_create(&l->thread, NULL, nats_session_run, l);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return r;
}

static int nats_link_make_descriptors(struct nats_link *l)
{
	struct epoll_event e = {.events = EPOLLIN};

	l->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	l->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (l->fd < 0 || l->epoll < 0 || epoll_ctl(l->epoll, EPOLL_CTL_ADD, l->fd, &e) < 0)
		return -errno;
	return 0;
}

int nats_link_new(const struct nats_link_settings *settings, struct nats_link **ret)
{
	struct nats_link *l = calloc(1, sizeof(*l));
	int r;

	*ret = NULL;
	if (!l)
		return -ENOMEM;
	nats_link_make_locks(l);
	atomic_init(&l->refs, 1);
	r = nats_link_make_descriptors(l);
	if (r == 0)
		r = nats_link_copy(&l->settings, settings);
	if (r == 0)
		r = nats_connect_prepare();
	if (r == 0) {
		atomic_fetch_add(&l->refs, 1);
		r = nats_link_start(l);
		if (r == 0) {
			*ret = l;
			return 0;
		}
		nats_link_unref(l);
	}
	nats_link_unref(l);
	return r;
}

/* Closing the connection ends the questions to a server that doesn't answer. */
static void nats_link_close(struct nats_link *l)
{
	pthread_mutex_lock(&l->use);
	if (l->nc)
		natsConnection_Close(l->nc);
	pthread_mutex_unlock(&l->use);
}

/* False: it isn't. */
static bool nats_link_wait_ended(struct nats_link *l)
{
	int64_t until = clock_us(CLOCK_MONOTONIC) + NATS_JOIN_US;
	struct timespec at = {.tv_sec = until / SECOND_US, .tv_nsec = until % SECOND_US * 1000};
	bool ended;

	pthread_mutex_lock(&l->mutex);
	while (!l->ended && pthread_cond_timedwait(&l->work, &l->mutex, &at) == 0)
		;
	ended = l->ended;
	pthread_mutex_unlock(&l->mutex);
	return ended;
}

void nats_link_free(struct nats_link *l)
{
	bool ended;

	if (!l)
		return;
	pthread_mutex_lock(&l->mutex);
	l->stopping = true;
	nats_link_wake(l);
	pthread_mutex_unlock(&l->mutex);
	ended = nats_link_wait_ended(l);
	for (int i = 0; !ended && i < NATS_JOINS; i++) {
		nats_connect_interrupt(l->thread);
		if (i >= NATS_PATIENT_JOINS)
			nats_link_close(l);
		ended = nats_link_wait_ended(l);
	}
	/* It looks up a name, perhaps: it ends when it can. */
	if (ended)
		pthread_join(l->thread, NULL);
	else
		pthread_detach(l->thread);
	nats_link_unref(l);
}

/* --- what is asked of it --- */

void nats_link_subscribe(struct nats_link *l, uint64_t generation, uint64_t applied, int64_t time_ns)
{
	pthread_mutex_lock(&l->mutex);
	if (l->life && l->life->generation == generation) {
		l->asked = true;
		l->asked_applied = applied;
		l->asked_time_ns = time_ns;
		nats_link_wake(l);
	}
	pthread_mutex_unlock(&l->mutex);
}

/* What libnats can't send for another reason than its size ends the connection, which may have half of it. */
static int nats_link_sent(struct nats_link *l, natsStatus s)
{
	struct nats_life *life = NULL;
	char why[NATS_WHY_MAX];

	if (s == NATS_OK && !nats_socket_press(l))
		s = NATS_TIMEOUT;
	if (s == NATS_OK)
		return 0;
	if (s == NATS_MAX_PAYLOAD)
		return -EMSGSIZE;
	pthread_mutex_lock(&l->mutex);
	if (l->life)
		life = nats_life_ref(l->life);
	pthread_mutex_unlock(&l->mutex);
	if (life) {
		nats_connect_why(s, why);
		nats_life_end(life, "%s", why);
		nats_life_unref(life);
	}
	return s == NATS_CONNECTION_CLOSED ? -ENOTCONN : -EIO;
}

int nats_link_publish(struct nats_link *l, uint64_t generation, uint64_t id, const char *subject,
		      const void *data, size_t len)
{
	char reply[sizeof(l->inbox) + 32];
	int r = -ENOTCONN;

	if (len > INT_MAX)
		return -EMSGSIZE;
	pthread_mutex_lock(&l->use);
	if (l->nc && generation && l->open == generation) {
		snprintf(reply, sizeof(reply), "%s.r.%llu", l->inbox, (unsigned long long)id);
		natsStatus s = id ? natsConnection_PublishRequest(l->nc, subject, reply, data, (int)len)
				  : natsConnection_Publish(l->nc, subject, data, (int)len);
		r = nats_link_sent(l, s);
	}
	pthread_mutex_unlock(&l->use);
	return r;
}

int nats_link_send(struct nats_link *l, const char *subject, const void *data, size_t len)
{
	int r = -ENOTCONN;

	if (len > INT_MAX)
		return -EMSGSIZE;
	pthread_mutex_lock(&l->use);
	if (l->nc && l->open)
		r = nats_link_sent(l, natsConnection_Publish(l->nc, subject, data, (int)len));
	pthread_mutex_unlock(&l->use);
	return r;
}

/* --- what comes of it --- */

static bool nats_link_read(struct nats_link *l, struct nats_event *ret)
{
	bool over, flows;

	pthread_mutex_lock(&l->mutex);
	bool taken = nats_events_take(l, ret);
	over = !l->nc || l->user->over;
	flows = l->nc && l->user->flows;
	pthread_mutex_unlock(&l->mutex);
	return taken || (!over && nats_receive_next(l, flows, ret));
}

bool nats_link_next(struct nats_link *l, struct nats_event *ret)
{
	*ret = (struct nats_event){0};
	pthread_mutex_lock(&l->use);
	bool r = nats_link_read(l, ret);
	pthread_mutex_unlock(&l->use);
	return r;
}

int nats_link_fd(const struct nats_link *l)
{
	return l->epoll;
}

void nats_link_server(const struct nats_link *l, char *ret, size_t size)
{
	pthread_mutex_lock((pthread_mutex_t *)&l->mutex);
	snprintf(ret, size, "%s", l->server);
	pthread_mutex_unlock((pthread_mutex_t *)&l->mutex);
}
