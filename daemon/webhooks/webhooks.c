/* SPDX-License-Identifier: MIT */
/* The service as others see it: how it begins and ends, and what it tells. */
#include "daemon/webhooks/webhooks.h"

#include "daemon/base/clock.h"
#include "daemon/base/logger.h"
#include "daemon/webhooks/webhooks_own.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* What is under way is waited for so long when chatd ends for good. */
#define WEBHOOKS_LINGER_US (2 * SECOND_US)

/* With the first webhook. */
static int webhooks_begin(struct webhooks *w)
{
	if (!w->has_slot) {
		int r = slots_take(w->ctx.shared->slots, false, &w->ctx.slot);
		if (r < 0)
			return r;
		w->has_slot = true;
		w->wakeup = slots_wakeup(w->ctx.shared->slots, w->ctx.slot);
	}
	if (!w->multi) {
		if (curl_global_init(CURL_GLOBAL_DEFAULT))
			return -ENOMEM;
		w->multi = curl_multi_init();
	}
	return w->multi ? 0 : -ENOMEM;
}

static void webhooks_apply(struct webhooks *w, const struct webhooks_config *config)
{
	int r = config || w->multi ? webhooks_begin(w) : 0;

	if (r == 0 && w->multi)
		hooks_want(w, config); /* which says what can't be */
	if (r < 0)
		log_event(LOG_ERR, &(struct log_fields){.message_id = EVENT_WEBHOOK}, "webhooks: %s",
			  strerror(-r));
}

static int webhooks_service_start(struct service *s, bool held)
{
	struct webhooks *w = (struct webhooks *)s;

	(void)held;
	if (w->started || !w->multi)
		return 0;
	atomic_store(&w->phase, COURIER_RUN);
	atomic_store(&w->drained, false);
	/* There is no thread yet, and status tells of them from the beginning. */
	if (!w->hooks)
		hooks_load(w);
	hooks_take_wanted(w);
	w->ctx.now = clock_us(CLOCK_MONOTONIC);
	/* Before anybody speaks: the next process, too, delivers from there on, even if this one is killed at once. */
	if (w->is_new)
		hooks_save(w);
	int r = -pthread_create(&w->thread, NULL, courier_run, w);
	w->started = r == 0;
	if (r < 0)
		log_error("webhooks: %s", strerror(-r));
	return r;
}

static void webhooks_reloaded(struct service *s, const struct config *config)
{
	struct webhooks *w = (struct webhooks *)s;

	webhooks_apply(w, config->webhooks);
	if (webhooks_service_start(s, true) == 0 && w->multi)
		curl_multi_wakeup(w->multi);
}

static void webhooks_drain(struct service *s)
{
	struct webhooks *w = (struct webhooks *)s;

	atomic_store(&w->drained, false);
	atomic_store(&w->phase, COURIER_DRAIN);
	if (w->multi)
		curl_multi_wakeup(w->multi);
}

static bool webhooks_is_drained(const struct service *s)
{
	const struct webhooks *w = (const struct webhooks *)s;

	/* A successor delivers again what is under way, so it needn't be waited for. */
	return !w->started || !atomic_load(&w->leaves) || atomic_load(&w->drained);
}

static int64_t webhooks_linger(const struct service *s)
{
	(void)s;
	return WEBHOOKS_LINGER_US;
}

static void webhooks_quit(struct service *s, int64_t linger_us)
{
	struct webhooks *w = (struct webhooks *)s;

	if (linger_us > WEBHOOKS_LINGER_US)
		linger_us = WEBHOOKS_LINGER_US;
	atomic_store(&w->quit_until, clock_us(CLOCK_MONOTONIC) + linger_us);
	atomic_store(&w->phase, COURIER_QUIT);
	if (w->multi)
		curl_multi_wakeup(w->multi);
}

static bool webhooks_join(struct service *s, int64_t timeout_us)
{
	struct webhooks *w = (struct webhooks *)s;

	return service_join_thread(w->thread, &w->started, timeout_us);
}

static void webhooks_free(struct service *s)
{
	struct webhooks *w = (struct webhooks *)s;

	if (w->started) {
		webhooks_quit(s, 0);
		pthread_join(w->thread, NULL);
	}
	hooks_free(w, w->wanted);
	hooks_free(w, w->hooks);
	if (w->multi) {
		curl_multi_cleanup(w->multi);
		curl_global_cleanup();
	}
	w->ctx.shared->webhooks = NULL;
	if (w->has_slot)
		slots_give(w->ctx.shared->slots, w->ctx.slot);
	pthread_mutex_destroy(&w->lock);
	free(w->path);
	free(w);
}

/* It isn't watched: a disk may be slow, and nobody waits for it. */
static const struct service_ops webhooks_ops = {
    .start = webhooks_service_start,
    .drain = webhooks_drain,
    .is_drained = webhooks_is_drained,
    .quit = webhooks_quit,
    .join = webhooks_join,
    .linger = webhooks_linger,
    .reloaded = webhooks_reloaded,
    .free = webhooks_free,
};

int webhooks_open(struct shared *shared, const struct config *config)
{
	struct webhooks *w = calloc(1, sizeof(*w));

	if (!w)
		return -ENOMEM;
	w->ctx.shared = shared;
	w->config = config;
	w->service = (struct service){.ops = &webhooks_ops, .name = "chatd/webhooks"};
	pthread_mutex_init(&w->lock, NULL);
	services_add(&shared->services, &w->service);
	shared->webhooks = w;
	w->path = config_state_path(config, CURSORS_FILE);
	return w->path ? 0 : -ENOMEM;
}

int webhooks_start(struct webhooks *w)
{
	if (!w)
		return 0;
	webhooks_apply(w, w->config->webhooks);
	w->config = NULL;
	return service_start(&w->service, true);
}

void webhooks_leave(struct webhooks *w)
{
	if (w)
		atomic_store(&w->leaves, true);
}

struct webhook_status *webhooks_copy_status(struct webhooks *w, size_t *ret_n)
{
	size_t n = 0;

	*ret_n = 0;
	if (!w)
		return NULL;
	struct webhook_status *at = calloc(WEBHOOKS_MAX, sizeof(*at));
	pthread_mutex_lock(&w->lock);
	for (const struct hook *h = w->hooks; h && at && n < WEBHOOKS_MAX; h = h->next) {
		at[n] = h->status;
		at[n++].waiting = payload_waiting(h->room, &h->cursor);
	}
	pthread_mutex_unlock(&w->lock);
	if (n == 0) {
		free(at);
		return NULL;
	}
	*ret_n = n;
	return at;
}
