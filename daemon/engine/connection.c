/* SPDX-License-Identifier: MIT */
/*
 * The life of a TCP connection: how it begins or is taken over from the process before, what its handler may
 * ask of it, and what happens to it once a second. Its end is in closing.c, its bytes in input.c and
 * output.c.
 */
#include "daemon/engine/connection_own.h"

#include "common/cleanup.h"
#include "daemon/base/clock.h"
#include "daemon/base/logger.h"
#include "daemon/engine/limits.h"
#include "daemon/engine/transaction.h"
#include "daemon/state/sockets.h"

#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

/* --- what handlers see --- */

uint64_t connection_id(const struct connection *c)
{
	return c->client->id;
}

uint32_t connection_index(const struct connection *c)
{
	return clients_index(c->ctx->shared->clients, c->client);
}

struct context *connection_context(const struct connection *c)
{
	return c->ctx;
}

const struct client_state *connection_state(const struct connection *c)
{
	return client_live(c->client);
}

struct roster_entry **connection_roster(struct connection *c)
{
	return &c->roster;
}

struct room *connection_room(const struct connection *c)
{
	return c->room;
}

const struct handler *connection_handler(const struct connection *c)
{
	return c->handler;
}

const char *connection_listener(const struct connection *c)
{
	const struct client_origin *o = clients_origin(c->ctx->shared->clients, c->client->origin);

	return o ? o->listener : "?";
}

const char *connection_first_room(const struct connection *c)
{
	const struct client_origin *o = clients_origin(c->ctx->shared->clients, c->client->origin);

	return o ? o->room : "";
}

const union address *connection_address(const struct connection *c)
{
	return c->client->address.sa.sa_family ? &c->client->address : c->address;
}

size_t connection_peer_name(const struct connection *c, char ret[static TLS_PEER_MAX + 1])
{
	const struct tls_place place = clients_tls(c->ctx->shared->clients, c->client);

	return tls_place_peer(&place, ret);
}

int64_t connection_began(const struct connection *c)
{
	return atomic_load_explicit(&c->client->active_us, memory_order_relaxed);
}

bool connection_is_ending(const struct connection *c)
{
	return c->ending;
}

bool connection_is_unheard(const struct connection *c)
{
	return c->unheard;
}

void connection_link(struct connection *c, struct room *room)
{
	struct connection **head = &c->ctx->connections->members[room->index];

	c->room = room;
	c->room_prev = NULL;
	c->room_next = *head;
	if (*head)
		(*head)->room_prev = c;
	*head = c;
}

void connection_unlink(struct connection *c)
{
	if (c->room_prev)
		c->room_prev->room_next = c->room_next;
	else
		c->ctx->connections->members[c->room->index] = c->room_next;
	if (c->room_next)
		c->room_next->room_prev = c->room_prev;
}

void connection_give_room_back(struct connection *c, struct room *room)
{
	struct connections *cs = c->ctx->connections;

	if (!cs->members[room->index] && !cs->waiting[room->index])
		renderings_forget(cs->renderings);
	rooms_leave(c->ctx->shared->rooms, room, c->ctx->slot);
}

void connection_set_room(struct connection *c, struct room *room)
{
	if (c->room) {
		connection_unlink(c);
		connection_give_room_back(c, c->room);
	}
	c->room = NULL;
	if (room)
		connection_link(c, room);
}

/* --- transactions --- */

struct client_state *connection_begin(struct connection *c)
{
	struct client_state *next = transaction_begin(c->ctx->shared->clients, c->client);

	c->drafting = true;
	writing_begin(c);
	if (c->sent >= next->out_end) {
		/* The outbox is empty, so the stream's next byte is the log's at pos. */
		next->out_end = c->sent;
		connection_go_on_at(c, (struct position){c->pos, c->seq});
	}
	return next;
}

void connection_go_on_at(struct connection *c, struct position p)
{
	const struct client_state *draft = connection_draft(c);
	struct membership *m = membership_direct(c->ctx->shared->clients, draft);

	if (m)
		membership_move(c->client, draft, m, p);
}

void connection_place(struct connection *c, const struct room *room, struct position p)
{
	membership_set_direct(c->ctx->shared->clients, c->client, connection_draft(c),
			      room ? room->index : ROOM_NONE, p);
}

struct client_state *connection_draft(const struct connection *c)
{
	return c->drafting ? transaction_draft(c->client) : NULL;
}

void connection_abandon(struct connection *c)
{
	writing_abandon(c);
	c->drafting = false;
}

void connection_consume(struct connection *c, size_t n)
{
	struct client_state *draft = connection_draft(c);

	draft->in_parsed += n;
	if (n > 0)
		draft->rights &= (uint8_t)~CLIENT_NEW;
}

void connection_commit(struct connection *c, struct room *locked)
{
	writing_commit(c);
	transaction_commit(c->ctx, c->client, locked);
	const struct position p = membership_place(c->ctx->shared->clients, connection_state(c));
	c->pos = p.cursor;
	c->seq = p.seq;
	c->untold = 0;
	c->drafting = false;
}

void connection_set_flags(struct connection *c, uint16_t flags)
{
	connection_begin(c)->flags |= flags;
	connection_commit(c, NULL);
}

/* --- the epoll set and the worker's next turn --- */

void connection_retry(struct connection *c)
{
	worker_retry(context_worker(c->ctx), &c->task);
}

void connection_limit_unsent(struct connection *c, int bytes)
{
	/* 0 is what the system has, which is no limit. If it can't be set, that stays. */
	(void)!setsockopt(c->stream.fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &bytes, sizeof(bytes));
}

void connection_hurry(struct connection *c)
{
	connection_retry(c);
}

/* Has epoll watch for what the connection waits for now. */
void connection_rewatch(struct connection *c)
{
	bool lingers = c->phase == PHASE_LINGERING || c->phase == PHASE_ARRIVED;
	uint32_t events = lingers || (connection_may_read(c) && !c->eof) ? EPOLLIN : 0;

	if (c->phase == PHASE_DEAD || c->unwatched)
		return;
	if (c->blocked || stream_is_waiting(&c->stream))
		events |= EPOLLOUT;
	if (events == c->watched)
		return;
	int r = worker_rewatch(context_worker(c->ctx), c->stream.fd, events, &c->source);
	if (r < 0)
		closing_doom(c, -r);
	c->watched = (uint8_t)events;
}

void connection_unwatch(struct connection *c)
{
	worker_unwatch(context_worker(c->ctx), c->stream.fd);
	c->unwatched = true;
	c->watched = 0;
}

/* --- its beginning --- */

static struct connection *connection_of(struct task *t)
{
	return (struct connection *)((char *)t - offsetof(struct connection, task));
}

static void connection_again(struct task *t)
{
	struct connection *c = connection_of(t);

	if (c->phase == PHASE_DOOMED)
		closing_close(c);
	else
		input_again(c);
	connection_cover(c);
}

static void connection_task_free(struct task *t)
{
	connection_free(connection_of(t));
}

static const struct task_ops connection_task_ops = {.again = connection_again, .free = connection_task_free};

/* Takes all of start over; NULL: it is closed, for lack of memory. */
static struct connection *connection_new(struct worker *w, const struct connection_start *start)
{
	struct shared *shared = worker_context(w)->shared;
	struct stream stream = start->stream;
	struct client *client = start->client;
	bool addressed = client->address.sa.sa_family != 0;
	struct connection *c = calloc(1, sizeof(*c) + (addressed ? 0 : sizeof(c->address[0])));
	int64_t began;

	stream_attach(&stream, worker_context(w)->tls);
	if (c) {
		*c = (struct connection){
		    .source.ready = input_ready,
		    .task.ops = &connection_task_ops,
		    .stream = stream,
		    .client = client,
		    .handler = start->handler,
		    .ctx = worker_context(w),
		    .covered = start->covered,
		    .active = worker_context(w)->now,
		    .watched = EPOLLIN, /* for most it stays so */
		};
		if (!addressed)
			c->address[0] = start->address;
		/* An entry of an older build doesn't say, and a damaged one is not believed. */
		began = atomic_load(&client->active_us);
		if (began <= 0 || began > c->active)
			atomic_store(&client->active_us, c->active);
		if (worker_watch(w, stream.fd, EPOLLIN, &c->source) == 0) {
			connections_add(c->ctx->connections, c);
			return c;
		}
	}
	free(c);
	stream_free(&stream);
	shutdown(stream.fd, SHUT_RDWR);
	close(stream.fd);
	limits_give(shared->limits, &start->address, client->origin);
	clients_release(shared->clients, client);
	return NULL;
}

int connection_open(struct worker *w, const struct connection_start *start)
{
	struct connection *c = connection_new(w, start);
	const struct client *client = start->client;
	char from[ADDRESS_TEXT_MAX];

	if (!c)
		return -ENOMEM;
	count(worker_context(w)->counters, COUNT_CLIENTS_ACCEPTED, 1);
	if (!c->covered)
		count(worker_context(w)->counters, COUNT_UNCOVERED, 1);
	log_event(LOG_DEBUG,
		  &(struct log_fields){.message_id = EVENT_CLIENT_OPENED,
				       .client = client->id,
				       .listener = connection_listener(c),
				       .address = connection_address(c)},
		  "client %" PRIu64 " from %s connected", client->id,
		  address_peer(connection_address(c), from));
	c->handler->opened(c, connection_first_room(c));
	input_pump(c);
	connection_cover(c);
	return 0;
}

int connection_restore(struct worker *w, const struct connection_start *start,
		       const struct connection_progress *progress)
{
	struct connection *c = connection_new(w, start);
	const struct client *client = start->client;
	const struct handler *handler = start->handler;
	const struct client_state *st = client_live(client);

	if (!c)
		return -ENOMEM;
	c->sent = progress->sent;
	const struct position p = membership_place(c->ctx->shared->clients, st);
	c->pos = p.cursor;
	c->seq = p.seq;
	if (handler->mirrors && !(st->flags & CLIENT_CLOSING) && c->sent > st->out_end) {
		uint64_t straight = c->sent - st->out_end;
		connection_begin(c);
		connection_consume(c, straight);
		connection_commit(c, NULL);
		st = connection_state(c);
	}
	c->leftover = (uint32_t)(progress->received - st->in_parsed);
	c->out_touched = c->in_touched = true; /* whatever is there is looked at once */
	c->spoke = true;		       /* or it has been given its time already */
	c->behind = true;
	if (st->flags & CLIENT_CLOSING) {
		closing_begin(c);
		if (c->sent > st->out_end)
			c->sent = st->out_end;
	}
	handler->restored(c);
	if (c->room && c->sent >= st->out_end && !output_restore(c, c->sent - st->out_end))
		closing_doom(c, EBADMSG); /* it was checked before */
	if (!(st->flags & CLIENT_GREETED))
		handler->opened(c, connection_first_room(c));
	if (c->leftover > 0)
		c->pause |= PAUSE_TURN; /* so that it is worked on in the first turn */
	if (progress->gone)
		closing_lose_peer(c, progress->gone);
	connection_retry(c);
	connection_reloaded(c);
	return 0;
}

/* --- what happens to it --- */

void connection_reloaded(struct connection *c)
{
	if (c->phase == PHASE_DEAD || !c->handler->reloaded)
		return;
	c->handler->reloaded(c);
	if (c->phase != PHASE_DEAD && output_is_pending(c))
		connection_retry(c);
}

bool connection_kick(struct connection *c, const struct notice *why)
{
	if (c->phase != PHASE_OPEN)
		return false;
	writing_leave(c, why);
	closing_retire(c);
	writing_leave(c, NULL);
	connection_begin(c)->flags |= CLIENT_CLOSING;
	if (why)
		connection_notify(c, why);
	connection_commit(c, NULL);
	c->kicked = true;
	closing_begin(c);
	output_run(c);
	return true;
}

void connection_freeze(struct connection *c)
{
	c->pause |= PAUSE_FROZEN;
	connection_rewatch(c);
}

void connection_end(struct connection *c)
{
	c->ending = c->behind = true;
	if (c->phase != PHASE_DEAD)
		output_run(c);
}

void connection_hang_up(struct connection *c)
{
	struct logring_view v;
	bool behind = c->handler->many && seats_lack_something(c);

	if (c->room) {
		logring_lock(c->room->log);
		logring_peek(c->room->log, &v);
		behind = c->pos < v.head;
		logring_unlock(c->room->log);
	}
	if (behind || closing_lacks_something(c))
		sockets_reset(c->stream.fd);
	else
		shutdown(c->stream.fd, SHUT_RDWR);
}

void connection_free(struct connection *c)
{
	if (c->stream.fd >= 0)
		close(c->stream.fd);
	stream_free(&c->stream);
	connection_await_end(c);
	seats_free(c);
	roster_release(c->ctx->shared->roster, c->roster);
	free(c);
}

void connection_info(const struct connection *c, struct client_info *ret)
{
	const struct client_state *st = connection_state(c);

	*ret = (struct client_info){
	    .lease_us = -1,
	    .id = c->client->id,
	    .address = *connection_address(c),
	    .mode = c->handler->mode,
	    .age_us = c->ctx->now - connection_began(c),
	    .idle_us = c->ctx->now - c->active,
	    .received = st->in_parsed + c->leftover,
	    .sent = c->sent,
	    .behind = st->out_end > c->sent ? st->out_end - c->sent : 0,
	    .covered = c->covered,
	    .tls = c->stream.ops->secret,
	};
	snprintf(ret->listener, sizeof(ret->listener), "%s", connection_listener(c));
	memcpy(ret->nick, st->nick, st->nick_len);
	if (c->handler->many)
		seats_describe(c, ret->room, sizeof(ret->room));
	if (c->room) {
		struct logring_view v;
		if (!c->handler->many)
			snprintf(ret->room, sizeof(ret->room), "%.*s", TEXT_ROOM_MAX, c->room->name);
		logring_lock(c->room->log);
		logring_peek(c->room->log, &v);
		logring_unlock(c->room->log);
		ret->behind += v.head > c->pos ? v.head - c->pos : 0;
	}
}
