/* SPDX-License-Identifier: MIT */
/*
 * How fast a connection may talk, command, and change its nick or room. Who is too fast is not read from for a
 * while; nothing is lost.
 */
#include "daemon/engine/connection_own.h"

#include "common/cleanup.h"
#include "daemon/base/clock.h"
#include "daemon/base/logger.h"
#include "daemon/engine/limits.h"

#include <inttypes.h>

/* Who asks for too much waits at least so long. */
#define COMMANDS_PAUSE_US 250000
/* A client that is too fast hears of it so often. */
#define NOTICE_US 10000000

bool connection_may_talk(struct connection *c, unsigned command_cost)
{
	const struct config *config = c->ctx->config;
	int64_t now = c->ctx->now, wait;

	if (!c->pace.paid_line) {
		wait = limits_wait(&c->pace.lines_due, config->lines_per_second, 1, SECOND_US, now);
		c->pace.too_many = "lines";
		if (wait > 0) {
			c->deadline = now + wait;
			return false;
		}
		c->pace.paid_line = true;
	}
	if (!c->pace.paid_command) {
		wait = limits_wait(&c->pace.commands_due, config->commands_per_second, command_cost,
				   SECOND_US, now);
		c->pace.too_many = "commands";
		if (wait > 0) {
			/* Several at once, as each time all that it has sent is looked at. */
			c->deadline = now + (wait > COMMANDS_PAUSE_US ? wait : COMMANDS_PAUSE_US);
			return false;
		}
		c->pace.paid_command = true;
	}
	return true;
}

void connection_line_done(struct connection *c)
{
	c->pace.paid_line = c->pace.paid_command = false;
}

static bool pace_allow(struct connection *c, int64_t *due, unsigned rate)
{
	char from[ADDRESS_TEXT_MAX];

	if (limits_allow(due, rate, 60 * SECOND_US, c->ctx->now))
		return true;
	count(c->ctx->counters, COUNT_CHANGES_REFUSED, 1);
	log_limited(LOG_TOPIC_RATE, LOG_INFO, CONNECTION_FIELDS(c, EVENT_CLIENT_SLOWED),
		    "client %" PRIu64 " from %s changes its nick or room too often", c->client->id,
		    address_peer(&c->address, from));
	return false;
}

bool connection_may_rename(struct connection *c)
{
	return pace_allow(c, &c->pace.nicks_due, c->ctx->config->nick_changes_per_minute);
}

bool connection_may_move(struct connection *c)
{
	return pace_allow(c, &c->pace.rooms_due, c->ctx->config->joins_per_minute);
}

/* Reading rests until c->deadline; a person is told why, now and then. */
void pace_slow_down(struct connection *c, const char *what)
{
	int64_t now = c->ctx->now;
	char from[ADDRESS_TEXT_MAX];

	if (!(c->pause & PAUSE_LIMITED))
		count(c->ctx->counters, COUNT_RATE_PAUSES, 1);
	c->pause |= PAUSE_LIMITED;
	log_limited(LOG_TOPIC_RATE, LOG_INFO, CONNECTION_FIELDS(c, EVENT_CLIENT_SLOWED),
		    "client %" PRIu64 " from %s sends too many %s a second and is slowed down", c->client->id,
		    address_peer(&c->address, from), what);
	if (!c->handler->notice || (c->pace.noticed && now - c->pace.noticed < NOTICE_US) ||
	    connection_space(c) < NOTICE_MAX)
		return;
	c->pace.noticed = now;
	connection_begin(c);
	connection_notify(c, &(struct notice){.kind = NOTICE_SLOWED, .text = what});
	connection_commit(c, NULL);
	c->behind = true;
}
