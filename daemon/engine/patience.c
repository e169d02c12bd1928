/* SPDX-License-Identifier: MIT */
/* What a handler waits for of its peer, such as the rest of a request: whoever sends a byte now and then is not waited for for ever. */
#include "daemon/engine/connection_own.h"

#include "common/cleanup.h"
#include "daemon/base/clock.h"
#include "daemon/base/logger.h"

#include <inttypes.h>

void connection_expect(struct connection *c, unsigned what, int64_t us)
{
	struct activity *a = what ? activity_make(c) : activity_of(c);

	if (!a || a->expects == what)
		return;
	a->expects = (uint8_t)what;
	a->expects_until = c->ctx->now + us;
	if (what)
		activity_matters(a, a->expects_until + 5 * SECOND_US); /* long enough to be noticed */
}

unsigned connection_expects(const struct connection *c)
{
	const struct activity *a = activity_of(c);

	return a ? a->expects : 0;
}

bool connection_is_late(struct connection *c)
{
	const struct activity *a = activity_of(c);
	char from[ADDRESS_TEXT_MAX];

	/* Whoever is not read from has no chance to say it. */
	if (!a || !a->expects || c->pause || c->ctx->now < a->expects_until)
		return false;
	count(c->ctx->counters, COUNT_CLIENTS_MUTE, 1);
	log_limited(LOG_TOPIC_TIMEOUT, LOG_INFO, CONNECTION_FIELDS(c, EVENT_CLIENT_CLOSED),
		    "client %" PRIu64 " from %s said nothing in time", c->client->id,
		    address_peer(connection_address(c), from));
	connection_kick(c, &(struct notice){.kind = NOTICE_LATE});
	return true;
}
