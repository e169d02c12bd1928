/* SPDX-License-Identifier: MIT */
/* One delivery: a POST request by libcurl, what becomes of it, and when it is tried again. */
#include "daemon/webhooks/backlog.h"
#include "daemon/webhooks/sign.h"
#include "daemon/webhooks/webhooks_own.h"

#include "daemon/base/clock.h"
#include "daemon/base/fault.h"
#include "daemon/base/logger.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TRANSFER_RETRY_MIN_US SECOND_US
#define TRANSFER_RETRY_MAX_US (300 * SECOND_US)
/* That a receiver is still away is said again. */
#define TRANSFER_TELL_AGAIN_US (600 * SECOND_US)
#define TRANSFER_CONNECT_MS 10000L
#define TRANSFER_TOO_LARGE 413

/* --- the request --- */

static size_t transfer_take_answer(char *data, size_t size, size_t n, void *arg)
{
	(void)data;
	(void)arg;
	return size * n; /* it means nothing */
}

/* All that comes on the wire counts, as a receiver could send what is no body: fields behind it, or the frames of chunks. */
static int transfer_count_answer(CURL *e, curl_infotype type, char *data, size_t n, void *arg)
{
	struct hook *h = arg;

	(void)e;
	(void)data;
	if (type == CURLINFO_HEADER_IN || type == CURLINFO_DATA_IN)
		h->answered += n;
	return 0;
}

static size_t transfer_take_header(char *data, size_t size, size_t n, void *arg)
{
	const struct hook *h = arg;

	(void)data;
	return h->answered > TRANSFER_ANSWER_MAX ? 0 : size * n; /* 0: that is enough of it */
}

static int transfer_has_enough(void *arg, curl_off_t down, curl_off_t done, curl_off_t up, curl_off_t sent)
{
	const struct hook *h = arg;

	(void)down;
	(void)done;
	(void)up;
	(void)sent;
	return h->answered > TRANSFER_ANSWER_MAX;
}

static CURLcode transfer_limit_answer(CURL *e, struct hook *h)
{
	CURLcode r = curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, transfer_take_answer);

	if (!r)
		r = curl_easy_setopt(e, CURLOPT_VERBOSE, 1L);
	if (!r)
		r = curl_easy_setopt(e, CURLOPT_DEBUGFUNCTION, transfer_count_answer);
	if (!r)
		r = curl_easy_setopt(e, CURLOPT_DEBUGDATA, h);
	if (!r)
		r = curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, transfer_take_header);
	if (!r)
		r = curl_easy_setopt(e, CURLOPT_HEADERDATA, h);
	if (!r)
		r = curl_easy_setopt(e, CURLOPT_NOPROGRESS, 0L);
	if (!r)
		r = curl_easy_setopt(e, CURLOPT_XFERINFOFUNCTION, transfer_has_enough);
	if (!r)
		r = curl_easy_setopt(e, CURLOPT_XFERINFODATA, h);
	return r;
}

static bool transfer_add_header(struct hook *h, const char *name, const char *value)
{
	char line[256];

	snprintf(line, sizeof(line), "%s: %s", name, value);
	struct curl_slist *list = curl_slist_append(h->headers, line);
	if (list)
		h->headers = list;
	return list;
}

static bool transfer_make_headers(struct hook *h)
{
	const struct payload *p = &h->payload;
	char signature[SIGN_SIZE], timestamp[24];
	int64_t now_s = clock_us(CLOCK_REALTIME) / SECOND_US;

	snprintf(timestamp, sizeof(timestamp), "%" PRId64, now_s);
	sign_delivery(h->config.secret, p->id, now_s, p->body, p->len, signature);
	return transfer_add_header(h, "Content-Type", "application/json") &&
	       transfer_add_header(h, "Webhook-Id", p->id) &&
	       transfer_add_header(h, "Webhook-Timestamp", timestamp) &&
	       transfer_add_header(h, "Webhook-Signature", signature) &&
	       transfer_add_header(h, "Expect", ""); /* no answer is waited for before the body */
}

/* The address and whom to trust. */
static CURLcode transfer_set_target(CURL *e, const struct webhook_config *c)
{
	struct curl_blob ca = {c->ca, c->ca ? strlen(c->ca) : 0, CURL_BLOB_NOCOPY};
	CURLcode r = curl_easy_setopt(e, CURLOPT_URL, c->url);

	if (!r)
		r = curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
	if (!r)
		r = curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
	if (!r)
		r = curl_easy_setopt(e, CURLOPT_PROXY, ""); /* whatever the environment says */
	if (!r && c->ca)
		r = curl_easy_setopt(e, CURLOPT_CAINFO_BLOB, &ca);
	if (!r && c->ca)
		r = curl_easy_setopt(e, CURLOPT_CAPATH, NULL);
	if (!r)
		r = curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)(c->timeout_us / 1000));
	return r;
}

static CURLcode transfer_set_request(CURL *e, struct hook *h)
{
	CURLcode r = curl_easy_setopt(e, CURLOPT_HTTPHEADER, h->headers);

	if (!r)
		r = curl_easy_setopt(e, CURLOPT_POSTFIELDS, h->payload.body);
	if (!r)
		r = curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)h->payload.len);
	if (!r)
		r = curl_easy_setopt(e, CURLOPT_USERAGENT, "chatd/" PACKAGE_VERSION);
	if (!r)
		r = transfer_limit_answer(e, h);
	if (!r)
		r = curl_easy_setopt(e, CURLOPT_PRIVATE, h);
	if (!r)
		r = curl_easy_setopt(e, CURLOPT_ERRORBUFFER, h->error);
	if (!r)
		r = curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
	if (!r)
		r = curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, TRANSFER_CONNECT_MS);
	/* A name that nobody resolves holds up neither a reload nor the end. */
	if (!r)
		r = curl_easy_setopt(e, CURLOPT_QUICK_EXIT, 1L);
	return r;
}

/* --- the end --- */

static void transfer_free(struct webhooks *w, struct hook *h)
{
	if (h->easy) {
		curl_multi_remove_handle(w->multi, h->easy);
		curl_easy_cleanup(h->easy);
	}
	h->easy = NULL;
	curl_slist_free_all(h->headers);
	h->headers = NULL;
	payload_free(&h->payload);
}

void transfer_abort(struct webhooks *w, struct hook *h)
{
	backlog_drop(h);
	transfer_free(w, h);
}

static void transfer_tell_missed(struct hook *h, bool delivered)
{
	const struct payload *p = &h->payload;
	const struct log_fields fields = {.message_id = EVENT_WEBHOOK, .room = h->config.room};

	if (p->missed == 0 && !p->unknown) {
		h->told_missed = false;
		return;
	}
	if (h->told_missed && !delivered)
		return;
	h->told_missed = !delivered;
	if (p->unknown)
		log_event(LOG_WARNING, &fields,
			  "webhook %s: what was said in room %s before this log of it may be missing",
			  h->config.name, h->config.room);
	else
		log_event(LOG_WARNING, &fields,
			  "webhook %s: %" PRIu64 " message%s of room %s %s too old, or gone, so %s missing",
			  h->config.name, p->missed, p->missed == 1 ? "" : "s", h->config.room,
			  p->missed == 1 ? "is" : "are", p->missed == 1 ? "it is" : "they are");
}

static void transfer_advance(struct webhooks *w, struct hook *h)
{
	const struct cursor *after = &h->payload.after;

	pthread_mutex_lock(&w->lock);
	h->cursor.epoch = after->epoch;
	h->cursor.next = after->next;
	h->cursor.time_us = after->time_us;
	h->cursor.left = CURSOR_LEFT_UNKNOWN;
	pthread_mutex_unlock(&w->lock);
}

static void transfer_succeeded(struct webhooks *w, struct hook *h)
{
	curl_off_t took = 0;

	FAULT("webhook-answered");
	curl_easy_getinfo(h->easy, CURLINFO_TOTAL_TIME_T, &took);
	transfer_tell_missed(h, true);
	transfer_advance(w, h);
	w->dirty = true;
	h->retry_at = h->retry_us = 0;
	pthread_mutex_lock(&w->lock);
	struct webhook_status *s = &h->status;
	bool was_away = s->away;
	if (was_away)
		s->since_us = clock_us(CLOCK_REALTIME);
	s->away = false;
	s->why[0] = '\0';
	s->deliveries++;
	s->delivered += h->payload.messages;
	s->missed += h->payload.missed;
	s->took_us = took;
	pthread_mutex_unlock(&w->lock);
	if (was_away)
		log_event(
		    LOG_NOTICE, &(struct log_fields){.message_id = EVENT_WEBHOOK, .room = h->config.room},
		    "webhook %s: what is said in room %s is delivered again", h->config.name, h->config.room);
}

/* When it is tried again: later each time, or when the receiver says, within bounds. */
static void transfer_back_off(struct webhooks *w, struct hook *h, curl_off_t after_s)
{
	h->retry_us = h->retry_us == 0 ? TRANSFER_RETRY_MIN_US : h->retry_us * 2;
	if (h->retry_us > TRANSFER_RETRY_MAX_US)
		h->retry_us = TRANSFER_RETRY_MAX_US;
	int64_t us = h->retry_us;
	if (after_s > 0)
		us =
		    after_s > TRANSFER_RETRY_MAX_US / SECOND_US ? TRANSFER_RETRY_MAX_US : after_s * SECOND_US;
	h->retry_at = w->ctx.now + us;
}

static void transfer_failed(struct webhooks *w, struct hook *h, const char *why, curl_off_t after_s)
{
	transfer_tell_missed(h, false);
	transfer_back_off(w, h, after_s);
	h->backlog_after = 0; /* the next try begins at the cursor again */
	pthread_mutex_lock(&w->lock);
	struct webhook_status *s = &h->status;
	bool said = s->away && w->ctx.now - h->told_at < TRANSFER_TELL_AGAIN_US;
	if (!s->away)
		s->since_us = clock_us(CLOCK_REALTIME);
	s->away = true;
	s->failures++;
	snprintf(s->why, sizeof(s->why), "%s", why);
	pthread_mutex_unlock(&w->lock);
	if (said)
		return;
	h->told_at = w->ctx.now;
	log_event(LOG_WARNING, &(struct log_fields){.message_id = EVENT_WEBHOOK, .room = h->config.room},
		  "webhook %s: what is said in room %s can't be delivered at the moment: %s", h->config.name,
		  h->config.room, why);
}

void transfer_end(struct webhooks *w, struct hook *h, CURLcode result)
{
	bool cut = h->answered > TRANSFER_ANSWER_MAX;
	curl_off_t after_s = 0;
	char why[sizeof(h->status.why)];
	long code = 0;

	curl_easy_getinfo(h->easy, CURLINFO_RESPONSE_CODE, &code);
	curl_easy_getinfo(h->easy, CURLINFO_RETRY_AFTER, &after_s);
	if (result != CURLE_OK && !cut) {
		snprintf(why, sizeof(why), "%s", h->error[0] ? h->error : curl_easy_strerror(result));
		transfer_failed(w, h, why, 0);
	} else if (code >= 200 && code < 300) {
		transfer_succeeded(w, h);
	} else {
		snprintf(why, sizeof(why), "it answers with %ld%s", code,
			 code >= 300 && code < 400 ? ", and redirections are not followed" : "");
		if (code == TRANSFER_TOO_LARGE && h->payload.messages > 1) {
			h->max = h->payload.messages / 2; /* until a reload changes it */
			h->retry_us = 0;
		}
		transfer_failed(w, h, why, after_s);
	}
	transfer_free(w, h);
}

/* --- the beginning --- */

/* 0 and no body: there is nothing to deliver. */
static int transfer_make(struct webhooks *w, struct hook *h)
{
	int r;

	do {
		r = backlog_make(w, h);
		if (r == -ENODATA)
			r = payload_make(h->room, &h->config, &h->cursor, h->max, clock_us(CLOCK_REALTIME),
					 &h->payload);
		/* Comings and goings only. */
		if (r == 0 && !h->payload.body)
			transfer_advance(w, h);
	} while (r == 0 && !h->payload.body && h->payload.more);
	return r;
}

bool transfer_begin(struct webhooks *w, struct hook *h)
{
	uint64_t count = logring_count(h->room->log);

	if (h->has_seen && h->seen == count)
		return false;
	h->has_seen = false;
	int r = transfer_make(w, h);
	if (r == -EAGAIN)
		return false;
	if (r == 0 && !h->payload.body) {
		h->seen = count;
		h->has_seen = true;
		return false;
	}
	FAULT("webhook-deliver");
	h->answered = 0;
	h->error[0] = '\0';
	h->easy = r == 0 ? curl_easy_init() : NULL;
	if (!h->easy || !transfer_make_headers(h) || transfer_set_target(h->easy, &h->config) ||
	    transfer_set_request(h->easy, h) || curl_multi_add_handle(w->multi, h->easy)) {
		transfer_failed(w, h, "out of memory", 0);
		transfer_free(w, h);
	}
	return true;
}
