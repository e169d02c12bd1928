/* SPDX-License-Identifier: MIT */
/* Messages of the history become a delivery like those of the log; what neither has is missing. */
#include "daemon/webhooks/backlog.h"

#include "daemon/base/clock.h"
#include "daemon/base/logger.h"
#include "daemon/history/archive.h"
#include "daemon/history/questions.h"
#include "daemon/webhooks/webhooks_own.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* A clock may have been set back by so much. */
#define BACKLOG_CLOCK_US (60 * SECOND_US)
/* The history is busy. */
#define BACKLOG_AGAIN_US SECOND_US

void backlog_drop(struct hook *h)
{
	question_drop(h->question);
	h->question = NULL;
}

static int backlog_ask(struct webhooks *w, struct hook *h, uint64_t first)
{
	const struct question_caller caller = {.slot = w->ctx.slot};
	int64_t since = (int64_t)h->cursor.time_us - BACKLOG_CLOCK_US;
	/* Comings and goings as well, so that each number is accounted for. */
	const struct question_request request = {.query = {.room = h->config.room,
							   .since_us = since > 0 ? since : 0,
							   .after = h->backlog_after,
							   .oldest_first = true,
							   .notices = true,
							   .limit = h->max},
						 .before_number = first,
						 .bytes = PAYLOAD_BYTES};

	if (question_ask(w->ctx.shared->questions, &caller, &request, &h->question) < 0) {
		h->question = NULL;
		h->retry_at = w->ctx.now + BACKLOG_AGAIN_US;
	}
	return -EAGAIN;
}

/* The numbers [from, to) are nowhere. Between two logs of a room numbers jump, and nothing is missing there. */
static void backlog_count_hole(const struct hook *h, struct payload *p, uint64_t from, uint64_t to)
{
	if (to > from && !(from < h->room->number_base && to >= h->room->number_base))
		p->missed += to - from;
}

/* Whether it is to be delivered. */
static bool backlog_wants(const struct hook *h, const struct store_message *m, struct payload *p,
			  int64_t oldest_us)
{
	bool wanted = h->config.notices || m->event.kind < RECORD_NOTICE;
	bool old = (int64_t)m->event.time_us < oldest_us;

	p->missed += wanted && old;
	return wanted && !old;
}

/* Returns how many there are in at. */
static unsigned backlog_take(struct hook *h, const struct answer *a, struct payload_item *at)
{
	int64_t oldest_us = clock_us(CLOCK_REALTIME) - h->config.keep_us;
	struct payload *p = &h->payload;
	unsigned n = 0;

	for (size_t i = 0; i < a->n; i++) {
		const struct store_message *m = a->at[i];
		h->backlog_after = m->id;
		if (m->epoch != h->cursor.epoch || m->number < p->after.next)
			continue;
		backlog_count_hole(h, p, p->after.next, m->number);
		p->after.next = m->number + 1;
		p->after.time_us = m->event.time_us;
		if (backlog_wants(h, m, p, oldest_us))
			at[n++] = (struct payload_item){m->event, m->number};
	}
	return n;
}

static int backlog_take_answer(struct hook *h, const struct answer *a, uint64_t first)
{
	struct payload_item *at = calloc(a->n + 1, sizeof(*at));
	int r = -ENOMEM;

	h->payload = (struct payload){.after = h->cursor};
	if (at) {
		unsigned n = backlog_take(h, a, at);
		h->payload.more = true;
		if (!a->more && a->error == 0) {
			/* From here on it is in the log. */
			backlog_count_hole(h, &h->payload, h->payload.after.next, first);
			h->payload.after.next = first;
			h->backlog_after = 0;
		}
		r = payload_compose(&h->config, h->room->name, at, n, &h->payload);
	}
	free(at);
	return r;
}

int backlog_make(struct webhooks *w, struct hook *h)
{
	uint64_t first = payload_first(h->room);

	if (h->cursor.epoch != h->room->epoch || h->cursor.next >= first || h->backlog_gone_below == first ||
	    !w->ctx.shared->questions || !archive_keeps(w->ctx.shared->archive, h->config.room)) {
		backlog_drop(h);
		return -ENODATA;
	}
	if (!h->question)
		return backlog_ask(w, h, first);
	const struct answer *a = question_answer(h->question);
	if (!a)
		return -EAGAIN;
	first = question_request(h->question)->before_number;
	int error = a->error == -ETIME && a->n > 0 ? 0 : a->error;
	int r = error == 0 ? backlog_take_answer(h, a, first) : -EAGAIN;
	if (error == -EBUSY)
		h->retry_at = w->ctx.now + BACKLOG_AGAIN_US;
	if (error < 0 && error != -EBUSY) {
		log_event(LOG_WARNING,
			  &(struct log_fields){.message_id = EVENT_WEBHOOK, .room = h->config.room},
			  "webhook %s: the history can't be read: %s", h->config.name,
			  a->why[0] ? a->why : strerror(-error));
		h->backlog_gone_below = first;
		r = -ENODATA;
	}
	backlog_drop(h);
	return r;
}
