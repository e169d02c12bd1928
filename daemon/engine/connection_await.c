/* SPDX-License-Identifier: MIT */
/*
 * A connection that waits for what a service finds out: reading pauses until it is told, or for some seconds, and
 * then its handler works on the same line once more.
 */
#include "daemon/engine/connection_own.h"

#include "daemon/base/clock.h"
#include "daemon/engine/connections.h"

/* A service that doesn't answer in that time (us) won't soon: its disk hangs. */
#define AWAIT_MAX_US (10 * SECOND_US)

bool connection_await(struct connection *c, void *what, void (*drop)(void *what))
{
	struct activity *a = activity_make(c);

	connection_await_end(c);
	if (!a) {
		drop(what);
		return false;
	}
	a->awaited = what;
	a->drop_awaited = drop;
	a->awaited_until = c->ctx->now + AWAIT_MAX_US;
	return true;
}

void *connection_awaited(const struct connection *c)
{
	const struct activity *a = activity_of(c);

	return a ? a->awaited : NULL;
}

void connection_await_end(struct connection *c)
{
	struct activity *a = activity_of(c);

	if (!a || !a->awaited)
		return;
	a->drop_awaited(a->awaited);
	a->awaited = NULL;
}

/* The line is worked on again in this turn. */
static void connection_go_on(struct connection *c)
{
	c->pause &= (uint8_t)~PAUSE_ANSWER;
	c->pause |= PAUSE_TURN;
	connection_retry(c);
}

static bool connection_is_awaiting(const struct connection *c)
{
	return c->phase == PHASE_OPEN && c->pause & PAUSE_ANSWER && connection_awaited(c);
}

void connection_await_over(struct context *ctx, uint32_t index, uint64_t id, const void *what)
{
	struct connection *c = connections_find(ctx, index, id);

	if (c && connection_is_awaiting(c) && connection_awaited(c) == what)
		connection_go_on(c);
}

void connection_await_no_more(struct connection *c)
{
	if (connection_is_awaiting(c))
		connection_go_on(c);
}

void connection_await_tick(struct connection *c)
{
	if (connection_is_awaiting(c) && c->ctx->now > activity_of(c)->awaited_until)
		connection_go_on(c);
}
