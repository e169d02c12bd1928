/* SPDX-License-Identifier: MIT */
/*
 * The thread of the link to NATS: it makes one connection after the other, each with its subscriptions, waits for what is
 * wanted of it and for its end. Everything of a connection is made anew with it.
 */
#include "common/cleanup.h"
#include "daemon/base/clock.h"
#include "daemon/io/nats_link_own.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

/* Between attempts; a connection that held for a while was one, so that the next attempt comes at once. */
#define NATS_RETRY_MS 20
#define NATS_RETRY_MAX_MS 250
#define NATS_GOOD_US SECOND_US
/* As often as that the thread looks for heartbeats that don't come. */
#define NATS_LOOK_MS 100
#define NATS_SETTLE_MS 200
/* The same when the process ends, and a server that hangs would hold it up. */
#define NATS_SETTLE_LAST_MS 20
/* Before there is a subscription it asks, that often. */
#define NATS_PROBE_US SECOND_US

/* What hangs on a connection. */
struct nats_session {
	struct nats_life *life;
	const char *server;
	natsConnection *nc;
	jsCtx *js;
	natsSubscription *replies;
	/* The plain ones, and that to the stream. */
	natsSubscription **subs;
	size_t n_subs;
	bool subscribed;
	/* How many messages have come, and when there was one more: as much as a heartbeat every NATS_HEARTBEAT_MS. */
	natsStatistics *stats;
	uint64_t heard;
	int64_t heard_us;
	int64_t probed_us;
};

/* --- a connection's beginning --- */

static void nats_session_unsubscribed(void *life)
{
	nats_life_unref(life);
}

static natsStatus nats_session_listen(struct nats_session *c, const char *subject)
{
	natsSubscription *sub = NULL;
	natsStatus s = natsConnection_SubscribeSync(&sub, c->nc, subject);

	if (s != NATS_OK)
		return s;
	/* What it takes is bounded by what is read; a limit of libnats's would drop messages. */
	natsSubscription_SetPendingLimits(sub, -1, -1);
	c->subs[c->n_subs++] = sub;
	return NATS_OK;
}

static natsStatus nats_session_listen_replies(struct nats_session *c)
{
	char subject[sizeof(c->life->link->inbox) + 8];
	natsStatus s;

	snprintf(subject, sizeof(subject), "%s.r.*", c->life->link->inbox);
	s = natsConnection_Subscribe(&c->replies, c->nc, subject, nats_receive_reply, nats_life_ref(c->life));
	if (s != NATS_OK) {
		nats_life_unref(c->life);
		return s;
	}
	natsSubscription_SetPendingLimits(c->replies, -1, -1);
	/* It fails when the connection is closed already. Then its thread may be in the handler still: the life stays. */
	return natsSubscription_SetOnCompleteCB(c->replies, nats_session_unsubscribed, c->life);
}

static natsStatus nats_session_listen_all(struct nats_session *c)
{
	const struct nats_link *l = c->life->link;
	const struct nats_link_settings *settings = &l->settings;
	char deliver[sizeof(l->inbox) + 8];
	natsStatus s;

	c->subs = calloc(settings->n_plain + 1, sizeof(*c->subs));
	if (!c->subs)
		return NATS_NO_MEMORY;
	s = nats_session_listen_replies(c);
	for (size_t i = 0; s == NATS_OK && i < settings->n_plain; i++)
		s = nats_session_listen(c, settings->plain[i]);
	snprintf(deliver, sizeof(deliver), "%s.s", l->inbox);
	return s == NATS_OK ? nats_session_listen(c, deliver) : s;
}

static natsStatus nats_session_inbox(struct nats_link *l)
{
	natsInbox *inbox = NULL;
	natsStatus s = natsInbox_Create(&inbox);

	if (s == NATS_OK)
		snprintf(l->inbox, sizeof(l->inbox), "%s", inbox);
	natsInbox_Destroy(inbox);
	return s;
}

/* Without secrets: a URL may have some. */
static void nats_session_show(const char *server, char *ret, size_t size)
{
	const char *scheme = strstr(server, "://"), *at = strrchr(server, '@');
	int n = at && scheme ? (int)(scheme + 3 - server) : 0;

	snprintf(ret, size, "%.*s%s", n, server, at ? at + 1 : server);
}

/* All that a connection needs until it can be used. */
static int nats_session_begin(struct nats_session *c, char why[NATS_WHY_MAX])
{
	struct nats_link *l = c->life->link;
	natsStatus s;

	if (nats_connect(c->life, c->server, &c->nc, why) < 0)
		return -1;
	s = nats_session_inbox(l);
	if (s == NATS_OK)
		s = natsConnection_JetStream(&c->js, c->nc, NULL);
	if (s == NATS_OK)
		s = natsStatistics_Create(&c->stats);
	if (s == NATS_OK)
		s = nats_session_listen_all(c);
	if (s != NATS_OK) {
		nats_connect_why(s, why);
		return -1;
	}
	pthread_mutex_lock(&l->use);
	l->nc = c->nc;
	l->user = c->life;
	l->subs = c->subs;
	l->n_subs = c->n_subs;
	nats_socket_begin(l);
	pthread_mutex_unlock(&l->use);
	if (nats_stream_prepare(&l->settings, c->js, why) < 0)
		return -1;
	pthread_mutex_lock(&l->mutex);
	nats_session_show(c->server, l->server, sizeof(l->server));
	pthread_mutex_unlock(&l->mutex);
	pthread_mutex_lock(&l->use);
	l->open = c->life->generation;
	pthread_mutex_unlock(&l->use);
	return 0;
}

/* --- its end --- */

static bool nats_session_is_stopping(struct nats_link *l)
{
	bool r;

	pthread_mutex_lock(&l->mutex);
	r = l->stopping;
	pthread_mutex_unlock(&l->mutex);
	return r;
}

/* Nothing is to come any more: libnats loses the memory of a message whose second half it doesn't see. */
static void nats_session_settle(struct nats_session *c)
{
	if (!c->nc)
		return;
	natsSubscription_Unsubscribe(c->replies);
	for (size_t i = 0; i < c->n_subs; i++)
		natsSubscription_Unsubscribe(c->subs[i]);
	nats_socket_settle(c->life, c->nc,
			   nats_session_is_stopping(c->life->link) ? NATS_SETTLE_LAST_MS : NATS_SETTLE_MS);
}

/* What is over is over for everybody before libnats takes its time. why: of an attempt that failed, unless something better
 * is known, and then what is to be said of it. */
static void nats_session_end(struct nats_session *c, bool usable, char why[NATS_WHY_MAX])
{
	struct nats_life *life = c->life;
	struct nats_link *l = life->link;
	char server[sizeof(l->server)];

	nats_session_show(c->server, server, sizeof(server));
	nats_life_end(life, "%s", why);
	pthread_mutex_lock(&l->use);
	if (l->nc)
		nats_socket_end(l);
	l->nc = NULL;
	l->user = NULL;
	l->subs = NULL;
	l->n_subs = 0;
	l->open = 0;
	pthread_mutex_unlock(&l->use);
	pthread_mutex_lock(&l->mutex);
	l->life = NULL;
	l->asked = false;
	*l->server = '\0';
	snprintf(why, NATS_WHY_MAX, "%s: %.700s", server, life->why);
	nats_events_over(l, life->generation, usable ? why : NULL);
	pthread_mutex_unlock(&l->mutex);
	nats_session_settle(c);
	natsConnection_Close(c->nc);
	natsSubscription_Destroy(c->replies);
	for (size_t i = 0; i < c->n_subs; i++)
		natsSubscription_Destroy(c->subs[i]);
	free(c->subs);
	natsStatistics_Destroy(c->stats);
	jsCtx_Destroy(c->js);
	natsConnection_Destroy(c->nc);
	nats_life_unref(life);
}

/* --- in between --- */

static void nats_session_read(struct nats_session *c, uint64_t applied, int64_t time_ns)
{
	struct nats_life *life = c->life;
	struct nats_link *l = life->link;
	char why[NATS_WHY_MAX], deliver[sizeof(l->inbox) + 8];
	struct nats_event e;

	snprintf(deliver, sizeof(deliver), "%s.s", l->inbox);
	if (nats_stream_read(&l->settings, c->js, deliver, applied, time_ns, &e, why) < 0) {
		nats_life_end(life, "%s", why);
		return;
	}
	e.generation = life->generation;
	pthread_mutex_lock(&l->mutex);
	if (!life->over)
		nats_events_put(l, &e);
	life->flows = true;
	life->heard_us = clock_us(CLOCK_MONOTONIC);
	nats_link_wake(l);
	pthread_mutex_unlock(&l->mutex);
	c->subscribed = true;
}

static void nats_session_wait(struct nats_link *l, int64_t ms)
{
	int64_t until = clock_us(CLOCK_MONOTONIC) + ms * 1000;
	struct timespec at = {.tv_sec = until / SECOND_US, .tv_nsec = until % SECOND_US * 1000};

	pthread_cond_timedwait(&l->work, &l->mutex, &at);
}

static void nats_session_is_hung(struct nats_session *c)
{
	nats_life_end(c->life, "it doesn't answer any more");
	nats_socket_cut(c->life);
}

/* While nothing needs to come, it is asked. */
static void nats_session_probe(struct nats_session *c)
{
	int64_t now = clock_us(CLOCK_MONOTONIC);

	if (c->probed_us && now - c->probed_us < NATS_PROBE_US)
		return;
	if (c->probed_us && natsConnection_FlushTimeout(c->nc, NATS_SILENCE_US / 1000) == NATS_TIMEOUT &&
	    !nats_socket_is_behind(c->life))
		nats_session_is_hung(c);
	c->probed_us = clock_us(CLOCK_MONOTONIC);
}

/* The server, or the consumer there, may be silent although it should say something. Pings would wait behind all of a
 * backlog that comes by a slow way; what counts here is that anything comes, unless the owner doesn't read it. */
static void nats_session_look(struct nats_session *c)
{
	struct nats_life *life = c->life;
	int64_t now = clock_us(CLOCK_MONOTONIC);
	uint64_t heard = c->heard;
	bool silent, behind = nats_socket_is_behind(life);

	pthread_mutex_lock(&life->link->mutex);
	if (behind)
		life->heard_us = now;
	silent = now - life->heard_us > NATS_SILENCE_US;
	pthread_mutex_unlock(&life->link->mutex);
	if (natsConnection_GetStats(c->nc, c->stats) == NATS_OK)
		natsStatistics_GetCounts(c->stats, &heard, NULL, NULL, NULL, NULL);
	if (heard != c->heard || !c->heard_us || behind) {
		c->heard = heard;
		c->heard_us = now;
	}
	if (now - c->heard_us > NATS_SILENCE_US)
		nats_session_is_hung(c);
	if (silent)
		nats_life_end(life, "nothing is heard of the subscription to the stream");
}

/* Until it is over, or the link is to end. */
static void nats_session_serve(struct nats_session *c)
{
	struct nats_life *life = c->life;
	struct nats_link *l = life->link;

	pthread_mutex_lock(&l->mutex);
	nats_events_put(l, &(struct nats_event){.kind = NATS_CONNECTED,
						.generation = life->generation,
						.max_payload = (size_t)natsConnection_GetMaxPayload(c->nc)});
	while (!l->stopping && !life->over) {
		if (l->asked && !c->subscribed) {
			uint64_t applied = l->asked_applied;
			int64_t time_ns = l->asked_time_ns;

			l->asked = false;
			pthread_mutex_unlock(&l->mutex);
			nats_session_read(c, applied, time_ns);
			pthread_mutex_lock(&l->mutex);
			continue;
		}
		if (l->asked) {
			pthread_mutex_unlock(&l->mutex);
			nats_life_end(life, "the stream is to be read again");
			return;
		}
		nats_session_wait(l, NATS_LOOK_MS);
		pthread_mutex_unlock(&l->mutex);
		if (nats_socket_is_dead(life))
			nats_life_end(life, "the connection was closed");
		if (c->subscribed)
			nats_session_look(c);
		else
			nats_session_probe(c);
		pthread_mutex_lock(&l->mutex);
	}
	pthread_mutex_unlock(&l->mutex);
}

/* --- the thread --- */

/* One server. For how long it was usable; -1: not at all, and why. */
static int64_t nats_session_try(struct nats_link *l, const char *server, uint64_t generation,
				char why[NATS_WHY_MAX])
{
	struct nats_session c = {.life = nats_life_new(l, generation), .server = server};
	int64_t start = -1;

	if (!c.life) {
		snprintf(why, NATS_WHY_MAX, "out of memory");
		return -1;
	}
	if (nats_session_begin(&c, why) == 0) {
		start = clock_us(CLOCK_MONOTONIC);
		nats_session_serve(&c);
		snprintf(why, NATS_WHY_MAX, "the link is closed");
	}
	nats_session_end(&c, start >= 0, why);
	return start >= 0 ? clock_us(CLOCK_MONOTONIC) - start : -1;
}

/* All servers in turn, until one is usable; returns when that is over, and for how long it was. */
static int64_t nats_session_try_all(struct nats_link *l, uint64_t *generation)
{
	const struct nats_link_settings *s = &l->settings;
	char why[NATS_WHY_MAX], all[NATS_WHY_MAX] = "";
	size_t len = 0;

	for (size_t i = 0; i < s->n_servers && !nats_session_is_stopping(l); i++) {
		int64_t us = nats_session_try(l, s->servers[i], ++*generation, why);

		if (us >= 0)
			return us;
		if (len < sizeof(all))
			len += (size_t)snprintf(all + len, sizeof(all) - len, "%s%s", len ? "; " : "", why);
	}
	pthread_mutex_lock(&l->mutex);
	nats_events_failed(l, *generation, all);
	pthread_mutex_unlock(&l->mutex);
	return 0;
}

void *nats_session_run(void *arg)
{
	struct nats_link *l = arg;
	uint64_t generation = 0;
	int64_t delay = 0, until, left;

	pthread_setname_np(pthread_self(), "chatd/nats");
	while (!nats_session_is_stopping(l)) {
		if (nats_session_try_all(l, &generation) > NATS_GOOD_US)
			delay = 0;
		else if (!delay)
			delay = NATS_RETRY_MS;
		else
			delay = 2 * delay < NATS_RETRY_MAX_MS ? 2 * delay : NATS_RETRY_MAX_MS;
		until = clock_us(CLOCK_MONOTONIC) + delay * 1000;
		pthread_mutex_lock(&l->mutex);
		while (!l->stopping && (left = until - clock_us(CLOCK_MONOTONIC)) > 0)
			nats_session_wait(l, left / 1000 + 1);
		pthread_mutex_unlock(&l->mutex);
	}
	nats_connect_forget(l);
	pthread_mutex_lock(&l->mutex);
	l->ended = true;
	nats_link_wake(l);
	pthread_mutex_unlock(&l->mutex);
	nats_link_unref(l);
	return NULL;
}
