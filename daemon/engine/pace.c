/* SPDX-License-Identifier: MIT */
/*
 * How fast a connection may talk, command, and change its nick or room. One that is too fast is not read from
 * for a while; nothing is lost.
 */
#include "daemon/engine/connection_own.h"

#include "common/cleanup.h"
#include "daemon/base/clock.h"
#include "daemon/base/logger.h"
#include "daemon/engine/limits.h"

#include <inttypes.h>

/* A client that asks for too much waits at least this long. */
#define COMMANDS_PAUSE_US 250000
/* One command keeps others waiting for at most so long. */
#define CHARGE_MOST_S 30
/* Who comes back may enter at once what would take so long otherwise. */
#define ENTRIES_BURST_S 30
/* A client that is too fast is told so this often. */
#define NOTICE_US 10000000
/* Without memory it waits so long before it is tried again. */
#define NO_MEMORY_US 10000

/* As limits_wait(). Without memory it isn't allowed yet. */
static int64_t pace_pay(struct connection *c, enum pace what, unsigned rate, unsigned cost, int64_t per_us)
{
	if (rate == 0 || cost == 0)
		return 0;
	struct activity *a = activity_make(c);
	if (!a)
		return NO_MEMORY_US;
	int64_t wait = limits_wait(&a->due[what], rate, cost, per_us, c->ctx->now);
	activity_matters(a, a->due[what] + limits_window(rate, cost, per_us));
	return wait;
}

/* False: it has to rest first. */
static bool pace_allows(struct connection *c, enum pace what, unsigned rate, unsigned cost, int64_t rest_min,
			const char *name)
{
	int64_t wait = pace_pay(c, what, rate, cost, SECOND_US);
	struct activity *a = activity_of(c);

	if (wait > 0 && a) {
		a->too_many = name;
		a->rests_until = c->ctx->now + (wait > rest_min ? wait : rest_min);
	}
	return wait == 0;
}

bool connection_may_talk(struct connection *c, unsigned command_cost)
{
	const struct config *config = c->ctx->config;

	if (!c->paid_line)
		c->paid_line = pace_allows(c, PACE_LINES, config->lines_per_second, 1, 0, "lines");
	/* Several at once, as each time all that it has sent is looked at. */
	if (c->paid_line && !c->paid_command)
		c->paid_command = pace_allows(c, PACE_COMMANDS, config->commands_per_second, command_cost,
					      COMMANDS_PAUSE_US, "commands");
	return c->paid_line && c->paid_command;
}

void connection_line_done(struct connection *c)
{
	c->paid_line = c->paid_command = false;
}

static bool pace_allows_change(struct connection *c, enum pace what, unsigned rate)
{
	char from[ADDRESS_TEXT_MAX];

	if (pace_pay(c, what, rate, 1, 60 * SECOND_US) == 0)
		return true;
	count(c->ctx->counters, COUNT_CHANGES_REFUSED, 1);
	log_limited(LOG_TOPIC_RATE, LOG_INFO, CONNECTION_FIELDS(c, EVENT_CLIENT_SLOWED),
		    "client %" PRIu64 " from %s changes its nick or room too often", c->client->id,
		    address_peer(connection_address(c), from));
	return false;
}

bool connection_may_rename(struct connection *c)
{
	return pace_allows_change(c, PACE_NICKS, c->ctx->config->nick_changes_per_minute);
}

bool connection_may_move(struct connection *c)
{
	return pace_allows_change(c, PACE_ROOMS, c->ctx->config->joins_per_minute);
}

static void pace_charge(struct connection *c, enum pace what, uint64_t work, int64_t burst_s)
{
	const uint64_t rate = (uint64_t)c->ctx->config->commands_per_second * CONNECTION_COMMAND_WORK;
	const uint64_t most = rate * CHARGE_MOST_S;
	struct activity *a = rate > 0 && work > 0 ? activity_make(c) : NULL;

	c->ctx->worked = (c->ctx->worked_at == c->ctx->now ? c->ctx->worked : 0) + work;
	c->ctx->worked_at = c->ctx->now;
	if (!a)
		return;
	limits_charge(&a->due[what], (unsigned)(rate * (uint64_t)burst_s), work < most ? work : most,
		      burst_s * SECOND_US, c->ctx->now);
	activity_matters(a, a->due[what] + burst_s * SECOND_US);
}

bool connection_has_turn(const struct connection *c)
{
	return c->ctx->worked_at != c->ctx->now || c->ctx->worked < CONNECTION_TURN_WORK;
}

void connection_charge(struct connection *c, uint64_t work)
{
	pace_charge(c, PACE_COMMANDS, work, 1);
}

void connection_charge_entries(struct connection *c, uint64_t work)
{
	pace_charge(c, PACE_ENTRIES, work, ENTRIES_BURST_S);
}

bool connection_may_enter(struct connection *c)
{
	struct activity *a = activity_of(c);
	int64_t wait = a ? a->due[PACE_ENTRIES] - c->ctx->now : 0;

	if (wait <= 0 || c->ctx->config->commands_per_second == 0)
		return true;
	a->too_many = "commands";
	a->rests_until = c->ctx->now + (wait > COMMANDS_PAUSE_US ? wait : COMMANDS_PAUSE_US);
	return false;
}

int64_t pace_received(struct connection *c, uint64_t n)
{
	unsigned rate = c->ctx->config->bytes_per_second;

	if (rate == 0)
		return 0;
	struct activity *a = activity_make(c);
	if (!a)
		return NO_MEMORY_US;
	int64_t rest = limits_charge(&a->due[PACE_BYTES], rate, n, SECOND_US, c->ctx->now);
	activity_matters(a, a->due[PACE_BYTES] + SECOND_US);
	return rest;
}

void pace_wait(struct connection *c)
{
	const struct activity *a = activity_of(c);

	if (a)
		pace_slow_down(c, a->rests_until - c->ctx->now, a->too_many);
	else
		c->pause |= PAUSE_LIMITED;
}

void pace_slow_down(struct connection *c, int64_t rest, const char *what)
{
	int64_t now = c->ctx->now;
	struct activity *a = activity_make(c);
	char from[ADDRESS_TEXT_MAX];

	if (!(c->pause & PAUSE_LIMITED))
		count(c->ctx->counters, COUNT_RATE_PAUSES, 1);
	c->pause |= PAUSE_LIMITED;
	if (!a)
		return;
	a->rests_until = now + rest;
	log_limited(LOG_TOPIC_RATE, LOG_INFO, CONNECTION_FIELDS(c, EVENT_CLIENT_SLOWED),
		    "client %" PRIu64 " from %s sends too many %s a second and is slowed down", c->client->id,
		    address_peer(connection_address(c), from), what);
	if (!c->handler->notice || (a->noticed && now - a->noticed < NOTICE_US) ||
	    connection_space(c) < NOTICE_MAX)
		return;
	a->noticed = now;
	activity_matters(a, now + NOTICE_US);
	connection_begin(c);
	connection_notify(c, &(struct notice){.kind = NOTICE_SLOWED, .text = what});
	connection_commit(c, NULL);
	c->behind = true;
}

bool pace_rests(const struct connection *c)
{
	const struct activity *a = activity_of(c);

	return c->pause & PAUSE_LIMITED && a && c->ctx->now < a->rests_until;
}
