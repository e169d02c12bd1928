/* SPDX-License-Identifier: MIT */
/* Which webhooks there are: the main thread wants them as they are configured, the service's thread takes them over. */
#include "daemon/webhooks/webhooks_own.h"

#include "daemon/base/clock.h"
#include "daemon/base/fault.h"
#include "daemon/base/logger.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* A disk that is full is tried again. */
#define HOOKS_SAVE_AGAIN_US SECOND_US

static void hook_free(struct webhooks *w, struct hook *h)
{
	transfer_abort(w, h);
	if (h->room)
		rooms_leave(w->ctx.shared->rooms, h->room, w->ctx.slot);
	webhook_config_release(&h->config);
	free(h);
}

void hooks_free(struct webhooks *w, struct hook *first)
{
	for (struct hook *h = first, *next; h; h = next) {
		next = h->next;
		hook_free(w, h);
	}
}

/* --- on the main thread --- */

static int hook_new(struct webhooks *w, const struct webhook_config *config, struct hook **ret)
{
	static const struct room_guest guest = {.is_member = true};
	struct hook *h = calloc(1, sizeof(*h));

	if (!h || !webhook_config_copy(config, &h->config)) {
		free(h);
		return -ENOMEM;
	}
	int r = rooms_enter(w->ctx.shared->rooms, h->config.room, w->ctx.slot, &guest, &h->room);
	if (r < 0) {
		hook_free(w, h);
		return r;
	}
	h->max = h->config.batch;
	memcpy(h->cursor.name, h->config.name, sizeof(h->cursor.name));
	memcpy(h->cursor.room, h->config.room, sizeof(h->cursor.room));
	memcpy(h->status.name, h->config.name, sizeof(h->status.name));
	memcpy(h->status.room, h->config.room, sizeof(h->status.room));
	h->status.since_us = clock_us(CLOCK_REALTIME);
	payload_end(h->room, &h->cursor);
	h->cursor.time_us = (uint64_t)clock_us(CLOCK_REALTIME);
	*ret = h;
	return 0;
}

int hooks_want(struct webhooks *w, const struct webhooks_config *config)
{
	struct hook *first = NULL, **last = &first;
	int r = 0;

	for (size_t i = 0; config && i < config->n; i++) {
		int e = hook_new(w, &config->at[i], last);
		if (e < 0) {
			log_event(
			    LOG_ERR,
			    &(struct log_fields){.message_id = EVENT_WEBHOOK, .room = config->at[i].room},
			    "webhook %s: room %s can't be read: %s", config->at[i].name, config->at[i].room,
			    strerror(-e));
			r = e;
		} else {
			last = &(*last)->next;
		}
	}
	pthread_mutex_lock(&w->lock);
	struct hook *before = w->wanted;
	w->wanted = first;
	w->has_wanted = true;
	pthread_mutex_unlock(&w->lock);
	hooks_free(w, before);
	return r;
}

/* --- on the thread --- */

/* A webhook that is new begins where its room ended when it was made, or where it was before. */
static void hook_begin(struct webhooks *w, struct hook *h, const struct hook *before)
{
	const struct cursor *c = before ? &before->cursor : NULL;

	for (size_t i = 0; !c && i < w->stored.n; i++)
		if (strcmp(w->stored.at[i].name, h->config.name) == 0)
			c = &w->stored.at[i];
	if (c && strcmp(c->room, h->config.room) == 0)
		h->cursor = *c;
	else
		w->is_new = true;
	if (before && strcmp(before->config.room, h->config.room) == 0)
		h->status = before->status;
	w->dirty = true;
}

static void hook_push(struct hook **list, struct hook *h)
{
	h->next = *list;
	*list = h;
}

/* The same one stays as it is, with what it has under way; what is not needed any more goes to *gone. */
static struct hook *hook_merge(struct webhooks *w, struct hook *new, struct hook **old, struct hook **gone)
{
	struct hook **p = old;

	while (*p && strcmp((*p)->config.name, new->config.name) != 0)
		p = &(*p)->next;
	struct hook *before = *p;
	if (before)
		*p = before->next;
	if (!before || !webhook_config_equal(&before->config, &new->config)) {
		hook_begin(w, new, before);
		if (before)
			hook_push(gone, before);
		return new;
	}
	hook_push(gone, new);
	return before;
}

void hooks_take_wanted(struct webhooks *w)
{
	struct hook *merged = NULL, **last = &merged, *gone = NULL;

	pthread_mutex_lock(&w->lock);
	struct hook *new = w->wanted, *old = w->hooks;
	bool has = w->has_wanted;
	w->wanted = NULL;
	w->has_wanted = false;
	while (has && new) {
		struct hook *h = new;
		new = h->next;
		h = hook_merge(w, h, &old, &gone);
		h->next = NULL;
		*last = h;
		last = &h->next;
	}
	if (has)
		w->hooks = merged;
	pthread_mutex_unlock(&w->lock);
	if (!has)
		return;
	w->dirty |= old != NULL;
	hooks_free(w, old);
	hooks_free(w, gone);
	w->stored.n = 0;
}

void hooks_load(struct webhooks *w)
{
	int r = cursors_load(w->path, &w->stored);

	if (r < 0 && r != -ENOENT)
		log_event(LOG_ERR, &(struct log_fields){.message_id = EVENT_WEBHOOK},
			  "webhooks: %s can't be used, so they begin with what is said from now on: %s",
			  w->path, strerror(-r));
}

void hooks_save(struct webhooks *w)
{
	struct cursors c = {.n = 0};

	if (!w->dirty || w->ctx.now < w->save_at)
		return;
	for (const struct hook *h = w->hooks; h && c.n < WEBHOOKS_MAX; h = h->next)
		c.at[c.n++] = h->cursor;
	int r = cursors_save(w->path, &c);
	FAULT("webhook-saved");
	w->dirty = r < 0;
	w->is_new = false;
	w->save_at = r < 0 ? w->ctx.now + HOOKS_SAVE_AGAIN_US : 0;
	if (r < 0 && !w->told_save)
		log_event(LOG_ERR, &(struct log_fields){.message_id = EVENT_WEBHOOK},
			  "webhooks: how far they have got can't be kept in %s, so a restart would deliver "
			  "messages again: %s",
			  w->path, strerror(-r));
	w->told_save = r < 0;
}
