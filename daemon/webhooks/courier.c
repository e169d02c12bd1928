/* SPDX-License-Identifier: MIT */
/*
 * The service's thread. It sleeps in curl_multi_poll(), and wakes when a receiver answers, when something is said in a
 * room that can be delivered, or when it is told something. Each webhook has at most one delivery under way.
 */
#include "daemon/webhooks/webhooks_own.h"

#include "daemon/base/clock.h"
#include "daemon/base/logger.h"

#include <inttypes.h>
#include <poll.h>
#include <sys/resource.h>
#include <unistd.h>

#define COURIER_IDLE_US (60 * SECOND_US)
/* Who talks comes first, where there isn't enough processor time for all. */
#define COURIER_NICENESS 5
/* While chatd ends, the thread looks so often (us) whether all has been delivered. */
#define COURIER_PAUSE_US 20000

static void courier_seen(uint32_t room, void *arg)
{
	(void)room;
	(void)arg; /* a look at each webhook costs no more */
}

/* Whether it can begin a delivery. */
static bool courier_is_free(const struct webhooks *w, const struct hook *h)
{
	return !h->easy && h->retry_at <= w->ctx.now;
}

/* Reads and writes what can be; returns whether a delivery is over. */
static bool courier_work(struct webhooks *w)
{
	const CURLMsg *m;
	int left;
	bool any = false;

	curl_multi_perform(w->multi, &left);
	while ((m = curl_multi_info_read(w->multi, &left))) {
		CURL *easy = m->easy_handle;
		CURLcode result = m->data.result;
		struct hook *h = NULL;
		if (m->msg == CURLMSG_DONE && !curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&h) && h) {
			transfer_end(w, h, result);
			any = true;
		}
	}
	return any;
}

/* Returns until when there is nothing to do, *ret_free whether news are of interest, *ret_idle that all is delivered that
 * can be at the moment. */
static int64_t courier_turn(struct webhooks *w, bool begins, bool *ret_free, bool *ret_idle)
{
	int64_t until = w->ctx.now + COURIER_IDLE_US;

	*ret_free = false;
	*ret_idle = true;
	courier_work(w);
	for (struct hook *h = w->hooks; h; h = h->next) {
		if (begins && courier_is_free(w, h))
			transfer_begin(w, h);
		if (h->easy || h->question)
			*ret_idle = false;
		if (h->question)
			*ret_free = true; /* its answer comes as news do */
		if (h->easy)
			continue;
		if (h->retry_at <= w->ctx.now)
			*ret_free = true;
		else if (h->retry_at < until)
			until = h->retry_at;
	}
	if (courier_work(w)) {
		*ret_idle = false;
		until = w->ctx.now;
	}
	hooks_save(w);
	if (w->dirty && w->save_at < until)
		until = w->save_at;
	return until;
}

static void courier_wait(struct webhooks *w, bool with_news, int64_t until)
{
	struct curl_waitfd news = {.fd = wakeup_fd(w->wakeup), .events = CURL_WAIT_POLLIN};
	int64_t us = until - clock_us(CLOCK_MONOTONIC);

	curl_multi_poll(w->multi, &news, with_news ? 1 : 0, us > 0 ? (int)(us / 1000) + 1 : 0, NULL);
	w->ctx.now = clock_us(CLOCK_MONOTONIC);
}

/* Whether something may still be delivered that nobody delivers later. */
static bool courier_lingers(struct webhooks *w, bool idle)
{
	return atomic_load(&w->leaves) && !idle && w->ctx.now < atomic_load(&w->quit_until);
}

/* For good: the next state begins with another log, and is to know what was not delivered of this one. */
static void courier_note_left(struct webhooks *w)
{
	for (struct hook *h = w->hooks; h; h = h->next) {
		h->cursor.left = payload_waiting(h->room, &h->cursor);
		w->dirty = true;
		if (h->cursor.left == 0)
			continue;
		log_event(LOG_WARNING,
			  &(struct log_fields){.message_id = EVENT_WEBHOOK, .room = h->config.room},
			  "webhook %s: %" PRIu64
			  " message%s of room %s could not be delivered, and end%s with this process",
			  h->config.name, h->cursor.left, h->cursor.left == 1 ? "" : "s", h->config.room,
			  h->cursor.left == 1 ? "s" : "");
	}
}

void *courier_run(void *arg)
{
	struct webhooks *w = arg;
	bool with_news, idle;

	pthread_setname_np(pthread_self(), w->service.name);
	setpriority(PRIO_PROCESS, (id_t)gettid(), COURIER_NICENESS);
	w->ctx.now = clock_us(CLOCK_MONOTONIC);
	for (;;) {
		int phase = atomic_load(&w->phase);
		bool leaves = atomic_load(&w->leaves);
		hooks_take_wanted(w);
		wakeup_clear(w->wakeup);
		wakeup_take(w->wakeup, courier_seen, NULL);
		int64_t until = courier_turn(w, phase == COURIER_RUN || leaves, &with_news, &idle);
		atomic_store(&w->drained, phase == COURIER_DRAIN && idle);
		if (phase == COURIER_QUIT && !courier_lingers(w, idle))
			break;
		/* Whoever waits for the end waits until all is idle, and is not told. */
		if (phase != COURIER_RUN && until > w->ctx.now + COURIER_PAUSE_US)
			until = w->ctx.now + COURIER_PAUSE_US;
		courier_wait(w, with_news, until);
	}
	for (struct hook *h = w->hooks; h; h = h->next)
		transfer_abort(w, h);
	if (atomic_load(&w->leaves))
		courier_note_left(w);
	w->save_at = 0;
	hooks_save(w);
	return NULL;
}
