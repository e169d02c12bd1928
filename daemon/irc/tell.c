/* SPDX-License-Identifier: MIT */
/* A job for each worker, which writes to those of its connections that it is for. */
#include "daemon/irc/tell.h"

#include "common/cleanup.h"
#include "daemon/base/clock.h"
#include "daemon/channels/channels.h"
#include "daemon/engine/connections.h"
#include "daemon/engine/each_worker.h"
#include "daemon/engine/limits.h"
#include "daemon/irc/metadata_kept.h"
#include "daemon/irc/wire.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* So many connections that are passed by cost as much as one that is looked at: irc_work(). */
#define TELL_PASSED 32

struct irc_tell *irc_tell_new(struct irc_call *call)
{
	struct irc_tell *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	memcpy(t->account, irc_user(call->c)->account, sizeof(t->account));
	t->time_us = (uint64_t)clock_us(CLOCK_REALTIME);
	return t;
}

/* --- on each worker --- */

static bool tell_has_status(struct connection *c, struct room *room, uint8_t status)
{
	const char *account = irc_user(c)->account;

	logring_lock(room->log);
	const struct irc_channel *ch = irc_channels_get(connection_context(c)->shared->irc->channels, room);
	bool has = irc_channel_status_of(ch, connection_id(c), account) & status;
	logring_unlock(room->log);
	return has;
}

struct tell_room {
	const struct irc_tell *t;
	struct room *found;
};

static bool tell_compare_room(struct connection *c, struct room *room, void *arg)
{
	struct tell_room *r = arg;

	(void)c;
	for (unsigned i = 0; i < r->t->n_rooms && !r->found; i++)
		if (r->t->rooms[i] == room->index)
			r->found = room;
	return !r->found;
}

static bool tell_has_watcher(const struct irc_tell *t, uint64_t id)
{
	for (size_t i = 0; i < t->n_watchers; i++)
		if (t->watchers[i].id == id)
			return true;
	return false;
}

static bool tell_concerns(struct connection *c, const struct irc_tell *t)
{
	const struct irc_user *u = irc_user(c);
	struct tell_room r = {.t = t};
	uint64_t id = connection_id(c);

	if (!(u->flags & IRC_REGISTERED) || id == t->except_id || (t->to_id && id != t->to_id) ||
	    (u->caps & t->caps) != t->caps || u->caps & t->not_caps || (u->flags & t->flags) != t->flags ||
	    connection_state(c)->flags & CLIENT_CLOSING ||
	    (t->to_account[0] && strcmp(u->account, t->to_account) != 0) ||
	    (t->metadata_key[0] && !irc_metadata_wants(c, t->metadata_key)))
		return false;
	if ((t->n_rooms == 0 && t->n_watchers == 0) ||
	    (u->caps & IRC_CAP_EXTENDED_MONITOR && tell_has_watcher(t, id)))
		return true;
	seats_each(c, tell_compare_room, &r);
	return r.found && (!t->status || tell_has_status(c, r.found, t->status));
}

static bool tell_settle(struct connection *c, struct room *room, void *arg)
{
	(void)arg;
	logring_lock(room->log);
	seats_settle(c, room, IRC_REPLY_MAX);
	logring_unlock(room->log);
	return true;
}

static void tell_write(struct connection *c, void *arg)
{
	const struct irc_tell *t = arg;
	char tags[sizeof(t->client_tags) + 128], head[sizeof(tags) + 64], nick[TEXT_NICK_MAX + 1];
	char line[sizeof(t->line) + sizeof(t->head) + sizeof(nick) + 2];
	size_t n = 0;

	if (!tell_concerns(c, t))
		return;
	uint32_t caps = irc_user(c)->caps;
	tags[0] = 0;
	if (caps & IRC_CAP_MESSAGE_TAGS)
		n += (size_t)snprintf(tags, sizeof(tags), "%s", t->client_tags);
	if (caps & IRC_CAP_ACCOUNT_TAG && t->account[0])
		snprintf(tags + n, sizeof(tags) - n, "%saccount=%s", n ? ";" : "", t->account);
	n = irc_tags(caps, t->time_us, tags, head, sizeof(head));
	connection_begin(c);
	/* What was said before comes before. */
	seats_each(c, tell_settle, NULL);
	if (t->head[0])
		snprintf(line, sizeof(line), "%s %s %s", t->head, irc_nick(c, nick), t->line);
	else
		snprintf(line, sizeof(line), "%s", t->line);
	size_t len = text_cut(line, strlen(line), IRC_BODY_MAX - 2);
	if (connection_space(c) >= n + len + IRC_WIRE_MORE)
		irc_write_line(c, head, n, line, len);
	connection_commit(c, NULL);
	connection_hurry(c);
}

static void tell_one_here(struct context *ctx, uint32_t index, uint64_t id, struct irc_tell *t)
{
	struct connection *c = connections_served(ctx, index, id);

	if (c && irc_is_spoken(c))
		tell_write(c, t);
}

static bool tell_is_for_one_room(const struct irc_tell *t)
{
	return t->n_rooms == 1 && t->n_watchers == 0;
}

/* Whatever they have come by. */
static void tell_room_here(struct context *ctx, struct irc_tell *t)
{
	size_t n = 0;
	_cleanup_free_ struct roster_member *all = roster_members(ctx->shared->roster, t->rooms[0], &n);

	for (size_t i = 0; all && i < n; i++)
		tell_one_here(ctx, all[i].index, all[i].id, t);
}

static void tell_here(struct worker *w, void *what)
{
	struct context *ctx = worker_context(w);
	struct irc_tell *t = what;

	if (t->to_id) {
		tell_one_here(ctx, t->to_index, t->to_id, t);
	} else if (tell_is_for_one_room(t)) {
		tell_room_here(ctx, t);
	} else {
		connections_with(ctx, &handler_tcp_irc, tell_write, t);
		connections_with(ctx, &handler_http_irc, tell_write, t);
	}
}

static void tell_free(void *what)
{
	struct irc_tell *t = what;

	free(t->watchers);
	free(t);
}

void irc_tell_now(struct context *ctx, struct irc_tell *t)
{
	each_worker(ctx->shared, tell_here, tell_free, t);
}

static void tell_committed(struct irc_call *call, void *arg)
{
	for (struct irc_tell *t = arg, *next; t; t = next) {
		next = t->next;
		irc_tell_now(irc_context(call), t);
	}
}

static void tell_undone(struct irc_call *call, void *arg)
{
	(void)call;
	for (struct irc_tell *t = arg, *next; t; t = next) {
		next = t->next;
		tell_free(t);
	}
}

void irc_tell_later(struct irc_call *call, struct irc_tell *t)
{
	irc_after(call, tell_committed, tell_undone, t);
}

/* --- those who are near --- */

static bool tell_add_room(struct connection *c, struct room *room, void *arg)
{
	struct irc_tell *t = arg;

	(void)c;
	t->rooms[t->n_rooms++] = room->index;
	return t->n_rooms < IRC_TELL_ROOMS_MAX;
}

void irc_tell_add_rooms(struct irc_call *call, struct irc_tell *t)
{
	seats_each(call->c, tell_add_room, t);
}

/* Takes it over. */
static void tell_format(struct irc_call *call, struct irc_tell *t, const char *format, va_list ap)
{
	char source[IRC_SOURCE_MAX + 1], line[2 * IRC_BODY_MAX];
	int n = snprintf(line, sizeof(line), ":%s ", irc_source(call->c, source));

	vsnprintf(line + n, sizeof(line) - (size_t)n, format, ap);
	irc_text((struct irc_arg){line, strlen(line)}, t->line, IRC_BODY_MAX - 1);
	irc_tell_later(call, t);
}

static struct irc_tell *tell_new_to_others(struct irc_call *call, uint32_t caps)
{
	struct irc_tell *t = irc_tell_new(call);

	if (!t)
		return NULL;
	t->except_id = connection_id(call->c);
	t->caps = caps;
	return t;
}

void irc_tell_near(struct irc_call *call, uint32_t caps, const char *format, ...)
{
	struct irc_tell *t =
	    irc_user(call->c)->flags & IRC_REGISTERED ? tell_new_to_others(call, caps) : NULL;
	char nick[TEXT_NICK_MAX + 1];
	va_list ap;

	if (!t)
		return;
	seats_each(call->c, tell_add_room, t);
	irc_nick(call->c, nick);
	t->n_watchers = irc_watchers_find(irc_shared(call)->irc->watchers, nick, strlen(nick), &t->watchers);
	if (t->n_rooms == 0 && t->n_watchers == 0) {
		tell_free(t);
		return;
	}
	if (!tell_is_for_one_room(t)) /* all are passed by */
		irc_work(call, limits_total(irc_shared(call)->limits) / TELL_PASSED);
	va_start(ap, format);
	tell_format(call, t, format, ap);
	va_end(ap);
}

void irc_tell_room(struct irc_call *call, const struct room *room, uint32_t caps, const char *format, ...)
{
	struct irc_tell *t = tell_new_to_others(call, caps);
	va_list ap;

	if (!t)
		return;
	t->rooms[t->n_rooms++] = room->index;
	va_start(ap, format);
	tell_format(call, t, format, ap);
	va_end(ap);
}

void irc_tell_flagged(struct irc_call *call, uint32_t flags, const char *format, ...)
{
	struct irc_tell *t = irc_tell_new(call);
	va_list ap;

	if (!t)
		return;
	t->flags = flags;
	va_start(ap, format);
	tell_format(call, t, format, ap);
	va_end(ap);
}
