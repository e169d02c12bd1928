/* SPDX-License-Identifier: MIT */
/*
 * The set of a worker's connections, its look-ups, and whatever goes through all of them: ticks, reloads,
 * lists, kicks and the end of the server.
 */
#include "daemon/engine/connections.h"

#include "common/cleanup.h"
#include "daemon/base/clock.h"
#include "daemon/engine/connection_own.h"
#include "daemon/state/sockets.h"

/* So many places of the table are looked at in a turn of the tick, so that nobody waits for that. */
#define TICK_PLACES 8192
/* Buffers whose pages are given back in such a turn, which takes up to 4 ms; in the whole tick so many, or a share of all. */
#define RELEASES_TURN 512
#define RELEASES_MIN 512
#define RELEASES_SHARE 32

static struct connections *connections_of(struct worker *w)
{
	return worker_context(w)->connections;
}

void connections_add(struct connections *cs, struct connection *c)
{
	uint32_t index = connection_index(c);

	cs->by_index[index] = c;
	if (index >= cs->high)
		cs->high = index + 1;
	atomic_fetch_add(&cs->all, 1);
	if (!c->stream.ops->survives)
		atomic_fetch_add(&cs->mortal, 1);
	if (!c->covered)
		atomic_fetch_add(&cs->uncovered, 1);
}

void connections_remove(struct connections *cs, struct connection *c)
{
	activity_forget(c);
	cs->by_index[connection_index(c)] = NULL;
	atomic_fetch_sub(&cs->all, 1);
	if (!c->stream.ops->survives)
		atomic_fetch_sub(&cs->mortal, 1);
	if (!c->covered)
		atomic_fetch_sub(&cs->uncovered, 1);
}

struct connection *connections_find(const struct context *ctx, uint32_t index, uint64_t id)
{
	struct connection *c = index < CLIENTS_CAPACITY ? ctx->connections->by_index[index] : NULL;

	return c && connection_id(c) == id ? c : NULL;
}

struct connection *connections_served(const struct context *ctx, uint32_t index, uint64_t id)
{
	struct connection *c = connections_find(ctx, index, id);

	return c && c->phase < PHASE_DOOMED ? c : NULL;
}

/* --- numbers, from any thread --- */

struct connections_tally connections_tally(struct worker *w)
{
	const struct connections *cs = connections_of(w);

	return (struct connections_tally){
	    .all = atomic_load_explicit(&cs->all, memory_order_relaxed),
	    .uncovered = atomic_load_explicit(&cs->uncovered, memory_order_relaxed),
	    .mortal = atomic_load_explicit(&cs->mortal, memory_order_relaxed),
	};
}

struct connections_tally connections_total(const struct shared *shared)
{
	struct connections_tally sum = {0};

	for (unsigned i = 0; i < shared->n_workers; i++) {
		struct connections_tally t = connections_tally(shared->workers[i]);
		sum.all += t.all;
		sum.uncovered += t.uncovered;
		sum.mortal += t.mortal;
	}
	return sum;
}

unsigned connections_at_risk(const struct shared *shared)
{
	struct connections_tally sum = connections_total(shared);

	return sockets_have_store() ? sum.uncovered : sum.all;
}

/* --- all of them --- */

/*
 * The next one from place *at on, which goes on behind it; NULL: there is none. Any of them may end in
 * between.
 */
static struct connection *connections_next(const struct connections *cs, uint32_t *at)
{
	while (*at < cs->high) {
		struct connection *c = cs->by_index[(*at)++];
		if (c)
			return c;
	}
	return NULL;
}

void connections_with(struct context *ctx, const struct handler *handler,
		      void (*fn)(struct connection *c, void *arg), void *arg)
{
	struct connection *c;

	for (uint32_t at = 0; (c = connections_next(ctx->connections, &at));)
		if (c->handler == handler && c->phase < PHASE_DOOMED)
			fn(c, arg);
}

/* The next places of the tick. True if there are more. */
static bool connections_tick_on(struct resident *r)
{
	struct connections *cs = (struct connections *)r;
	uint32_t end = cs->tick_end - cs->tick_at < TICK_PLACES ? cs->tick_end : cs->tick_at + TICK_PLACES;
	unsigned share = cs->releases < RELEASES_TURN ? cs->releases : RELEASES_TURN, left = share;

	for (; cs->tick_at < end; cs->tick_at++) {
		struct connection **c = &cs->by_index[cs->tick_at];
		if (*c && cs->looks_for_losses)
			connection_reloaded(*c);
		if (*c)
			connection_tick(*c, &left);
	}
	cs->releases -= share - left;
	return cs->tick_at < cs->tick_end;
}

static void connections_tick(struct resident *r)
{
	struct connections *cs = (struct connections *)r;
	unsigned all = atomic_load_explicit(&cs->all, memory_order_relaxed);

	activity_tick(cs);
	if (cs->tick_at < cs->tick_end)
		return; /* the one before is not over */
	cs->tick_at = 0;
	cs->tick_end = cs->high;
	unsigned losses = roster_losses(cs->ctx->shared->roster);
	cs->looks_for_losses = losses != cs->losses;
	cs->losses = losses;
	cs->releases = all / RELEASES_SHARE > RELEASES_MIN ? all / RELEASES_SHARE : RELEASES_MIN;
	connections_tick_on(r);
}

static void connections_deliver(struct resident *r, uint32_t room)
{
	struct connections *cs = (struct connections *)r;

	if (room == ROOM_PRIVATE)
		private_deliver(cs);
	if (cs->waiting[room])
		seats_turn_all(cs, room);
	if (!cs->members[room] || cs->ctx->shared->n_workers == 1) {
		output_deliver(cs, room);
		return;
	}
	int64_t began = clock_us(CLOCK_MONOTONIC);
	uint64_t messages, bytes;
	logring_reader_lag(cs->members[room]->room->log, cs->ctx->slot, &messages, &bytes);
	output_deliver(cs, room);
	if (messages > 0)
		batch_delivered(&cs->batch, room, messages, began, clock_us(CLOCK_MONOTONIC));
}

static int64_t connections_delay(struct resident *r)
{
	struct connections *cs = (struct connections *)r;
	const struct connection *member = cs->members[cs->batch.room];
	uint64_t messages, bytes;

	if (!member || cs->ctx->shared->n_workers == 1)
		return 0;
	logring_reader_lag(member->room->log, cs->ctx->slot, &messages, &bytes);
	return batch_delay(&cs->batch, bytes, messages, room_workers(member->room));
}

static void connections_reload(struct resident *r)
{
	struct connections *cs = (struct connections *)r;
	struct connection *c;

	for (uint32_t at = 0; (c = connections_next(cs, &at));)
		connection_reloaded(c);
}

static void connections_freeze(struct resident *r)
{
	struct connections *cs = (struct connections *)r;
	struct connection *c;

	for (uint32_t at = 0; (c = connections_next(cs, &at));)
		connection_freeze(c);
}

/* Or the next process would have to render all that again; and if it rendered otherwise, it could not. */
static void connections_rest(struct resident *r)
{
	struct connections *cs = (struct connections *)r;
	struct connection *c;

	for (uint32_t at = 0; (c = connections_next(cs, &at));)
		output_tell_place(c);
}

static void connections_goodbye(struct resident *r)
{
	struct connections *cs = (struct connections *)r;
	struct connection *c;

	for (uint32_t at = 0; (c = connections_next(cs, &at));)
		connection_end(c);
}

static void connections_each(struct resident *r, void (*fn)(const struct client_info *info, void *arg),
			     void *arg)
{
	struct connections *cs = (struct connections *)r;
	struct connection *c;

	for (uint32_t at = 0; (c = connections_next(cs, &at));) {
		struct client_info info;
		connection_info(c, &info);
		fn(&info, arg);
	}
}

static bool connections_kick(struct resident *r, uint64_t id, const struct notice *why,
			     union address *ret_from)
{
	struct connections *cs = (struct connections *)r;
	struct connection *c;

	for (uint32_t at = 0; (c = connections_next(cs, &at));) {
		if (connection_id(c) != id)
			continue;
		*ret_from = *connection_address(c);
		return connection_kick(c, why);
	}
	return false;
}

static unsigned connections_evict(struct resident *r, const struct prefix *from, const struct notice *why)
{
	struct connections *cs = (struct connections *)r;
	struct connection *c;
	unsigned n = 0;

	for (uint32_t at = 0; (c = connections_next(cs, &at));)
		if (prefix_contains(from, connection_address(c)))
			n += connection_kick(c, why);
	return n;
}

static void connections_free(struct resident *r)
{
	struct connections *cs = (struct connections *)r;
	struct connection *c;

	for (uint32_t at = 0; (c = connections_next(cs, &at));)
		connection_free(c);
	free(cs->members);
	free(cs->seats);
	free(cs->waiting);
	free(cs->by_index);
	free(cs->activities);
	renderings_free(cs->renderings);
	free(cs);
}

static const struct resident_ops connections_ops = {
    .again = connections_tick_on,
    .tick = connections_tick,
    .deliver = connections_deliver,
    .delay = connections_delay,
    .reload = connections_reload,
    .rest = connections_rest,
    .freeze = connections_freeze,
    .goodbye = connections_goodbye,
    .each = connections_each,
    .kick = connections_kick,
    .evict = connections_evict,
    .free = connections_free,
};

int connections_new(struct worker *w)
{
	struct connections *cs = calloc(1, sizeof(*cs));

	if (!cs)
		return -ENOMEM;
	cs->resident.ops = &connections_ops;
	cs->ctx = worker_context(w);
	/* calloc() of that size is untouched pages: what isn't used costs nothing. */
	cs->members = calloc(ROOMS_CAPACITY, sizeof(*cs->members));
	cs->by_index = calloc(CLIENTS_CAPACITY, sizeof(*cs->by_index));
	cs->seats = calloc(CLIENTS_CAPACITY, sizeof(*cs->seats));
	cs->waiting = calloc(ROOMS_CAPACITY, sizeof(*cs->waiting));
	if (!cs->members || !cs->by_index || !cs->seats || !cs->waiting ||
	    renderings_new(cs->ctx->shared, &cs->renderings) < 0) {
		connections_free(&cs->resident);
		return -ENOMEM;
	}
	cs->ctx->connections = cs;
	worker_add(w, &cs->resident);
	return 0;
}

/* --- the end of the server --- */

void connections_drain(struct worker *w)
{
	struct connections *cs = connections_of(w);
	unsigned releases = 0; /* the process ends, and its memory with it */
	struct connection *c;

	for (uint32_t at = 0; (c = connections_next(cs, &at));)
		connection_tick(c, &releases);
}

void connections_cover(struct worker *w)
{
	struct connections *cs = connections_of(w);
	struct connection *c;

	for (uint32_t at = 0; (c = connections_next(cs, &at));)
		connection_cover(c);
}

struct renderings *connections_renderings(struct worker *w)
{
	return connections_of(w)->renderings;
}

void connections_tell_places(struct worker *w)
{
	connections_rest(&connections_of(w)->resident);
	renderings_forget(connections_of(w)->renderings);
}

/* What is sent is cipher text, whose keys end with this process. */
void connections_dismiss_mortals(struct worker *w)
{
	struct connections *cs = connections_of(w);
	struct connection *c;

	for (uint32_t at = 0; (c = connections_next(cs, &at));)
		if (!c->stream.ops->survives)
			connection_kick(c, &(struct notice){.kind = NOTICE_RESTARTING});
}

void connections_hang_up(struct worker *w, bool mortals_only)
{
	struct connections *cs = connections_of(w);
	struct connection *c;

	for (uint32_t at = 0; (c = connections_next(cs, &at));)
		if (!mortals_only || !c->stream.ops->survives)
			connection_hang_up(c);
}
