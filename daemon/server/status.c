/* SPDX-License-Identifier: MIT */
/*
 * What the main thread tells about the whole daemon once a second: the line in `systemctl status`, and
 * whether all clients would survive a crash.
 */
#include "daemon/server/server.h"

#include "daemon/base/clock.h"
#include "daemon/base/logger.h"
#include "daemon/control/metrics.h"
#include "daemon/engine/connections.h"
#include "daemon/engine/limits.h"

#include <stdio.h>
#include <string.h>
#include <systemd/sd-daemon.h>

void status_tell(struct server *s)
{
	unsigned rooms = rooms_count(s->shared.rooms), clients = limits_total(s->shared.limits);
	char status[sizeof(s->status)], threads[THREADS_TEXT_MAX];

	snprintf(status, sizeof(status), "%u client%s in %u room%s, %zu listener%s, %s%s", clients,
		 clients == 1 ? "" : "s", rooms, rooms == 1 ? "" : "s", listeners_count(s->listeners),
		 listeners_count(s->listeners) == 1 ? "" : "s", threads_text(s, threads),
		 s->host.mistakes ? "; the configuration has mistakes (chatctl status)" : "");
	if (strcmp(status, s->status) == 0)
		return;
	memcpy(s->status, status, sizeof(status));
	sd_notifyf(false, "STATUS=%s", status);
}

void status_note_starving(struct server *s)
{
	uint64_t pauses = metrics_total(&s->host, COUNT_ACCEPT_PAUSES);

	/* They go on counting after a restart. */
	if (s->counted && pauses != s->accept_pauses)
		s->host.starved_us = clock_us(CLOCK_MONOTONIC);
	s->accept_pauses = pauses;
	s->counted = true;
}

/*
 * Clients whose sockets the keeper has no space for; those whose TLS never survives don't count here.
 */
void status_tell_uncovered(struct server *s)
{
	struct connections_tally tally = connections_total(&s->shared);
	unsigned n = tally.uncovered, tls = tally.mortal;

	n -= tls < n ? tls : n;
	s->host.uncovered = sockets_have_store() ? n < s->uncovered_now ? n : s->uncovered_now : 0;
	s->uncovered_now = n;
	if (!sockets_have_store() || (n > 0 && n <= 2 * s->uncovered) || n == s->uncovered)
		return;
	s->uncovered = n;
	if (n > 0)
		log_warning("%u client%s would not survive a crash: the keeper of their sockets has no space "
			    "(see net.core.wmem_max, LimitNOFILE=)",
			    n, n == 1 ? "" : "s");
	else
		log_notice("all clients would survive a crash again");
}
