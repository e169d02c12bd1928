/* SPDX-License-Identifier: MIT */
/*
 * What is seen to once a second for each connection: time-outs, pages of memory that it has no use for; and
 * sooner, a socket that the keeper has not got yet.
 */
#include "daemon/engine/connection_own.h"

#include "common/cleanup.h"
#include "daemon/base/clock.h"
#include "daemon/base/logger.h"
#include "daemon/io/memfd.h"
#include "daemon/state/keeper.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

/* So often within user_timeout the peers that were sent something are looked at. */
#define LOOKS 4
#define SPREAD 1024

void connection_cover(struct connection *c)
{
	if (c->covered || c->phase == PHASE_DEAD || !c->stream.ops->survives)
		return;
	int r = keeper_add(c->ctx->shared->keeper, &c->stream.fd, 1);
	if (r == 0) {
		c->covered = true;
		atomic_fetch_sub(&c->ctx->connections->uncovered, 1);
	} else if (r == -EAGAIN) {
		/* The main thread makes more pairs, which takes it a moment. For all else the next second is early enough. */
		worker_retry_later(context_worker(c->ctx), &c->task);
	}
}

/* Clients that have to say something, or who they are, within a time. */
static void upkeep_check_beginning(struct connection *c)
{
	const struct config *config = c->ctx->config;
	const struct client_state *st = connection_state(c);
	bool nameless = c->handler->has_nicks && st->nick_len == 0;
	int64_t first = config->first_line_timeout_us, login = nameless ? config->login_timeout_us : 0;

	if ((first == 0 || c->spoke) && login == 0)
		return;
	int64_t age = c->ctx->now - connection_began(c);
	struct notice why = {.kind = NOTICE_NOT_LOGGED_IN};
	char from[ADDRESS_TEXT_MAX];
	if (login == 0 || age <= login) {
		if (first == 0 || c->spoke || age <= first)
			return;
		why.kind = NOTICE_MUTE;
	}
	count(c->ctx->counters, COUNT_CLIENTS_MUTE, 1);
	log_limited(LOG_TOPIC_TIMEOUT, LOG_INFO, CONNECTION_FIELDS(c, EVENT_CLIENT_CLOSED),
		    "client %" PRIu64 " from %s said nothing in time", c->client->id,
		    address_peer(connection_address(c), from));
	connection_kick(c, &why);
}

/* The pages of buffers that are empty; each costs two system calls, so there is a limit a tick for all. */
static void upkeep_release_pages(struct connection *c, unsigned *releases)
{
	struct clients *clients = c->ctx->shared->clients;

	/* A client that is talking will need them again. */
	if (*releases == 0 || c->ctx->now - c->active < SECOND_US)
		return;
	if (c->out_touched && !output_is_pending(c)) {
		memfd_release(clients_outbox(clients, c->client), CLIENT_OUT_SIZE);
		c->out_touched = false;
		--*releases;
	}
	if (*releases > 0 && c->in_touched && c->leftover == 0) {
		memfd_release(clients_inbox(clients, c->client), CLIENT_IN_SIZE);
		c->in_touched = false;
		--*releases;
	}
	if (*releases > 0 && stream_relax(&c->stream, false))
		--*releases;
}

/* Whether it was silent for too long, though it could have talked. */
static bool upkeep_is_idle(const struct connection *c)
{
	int64_t idle = c->ctx->config->idle_timeout_us;

	return idle > 0 && !c->pause && c->ctx->now - c->active > idle;
}

/*
 * Whether the peer takes some of what it was sent, however little that is. The first look finds that something is under way,
 * and as many as there are within user_timeout that nothing of it has arrived since.
 */
static bool upkeep_peer_takes(struct connection *c)
{
	int64_t timeout = c->ctx->config->user_timeout_us, now = c->ctx->now;
	struct tcp_info info;
	socklen_t len = sizeof(info);

	if (timeout == 0 || c->unheard || now < c->deadline)
		return true;
	if (c->deadline == 0) {
		/* Where all have been taken over at once, they are not looked at all at once. */
		c->deadline = now + timeout / LOOKS * (connection_index(c) % SPREAD) / SPREAD;
		return true;
	}
	memset(&info, 0, sizeof(info));
	if (getsockopt(c->stream.fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0)
		return true;
	bool stuck = (info.tcpi_unacked > 0 || info.tcpi_notsent_bytes > 0) &&
		     (uint32_t)info.tcpi_bytes_acked == c->acked;
	c->looks = stuck ? c->looks + 1U : 0;
	c->acked = (uint32_t)info.tcpi_bytes_acked;
	c->deadline = now + timeout / LOOKS;
	return c->looks <= LOOKS;
}

void connection_tick(struct connection *c, unsigned *releases)
{
	char from[ADDRESS_TEXT_MAX];

	if (c->phase >= PHASE_DOOMED)
		return;
	if (c->phase != PHASE_OPEN) {
		closing_watch(c);
		return;
	}
	if (c->unheard && c->ctx->now >= c->deadline) {
		closing_doom(c, ETIMEDOUT); /* or what it left would keep its nick for hours */
		return;
	}
	if (!upkeep_peer_takes(c)) {
		count(c->ctx->counters, COUNT_CLIENTS_UNREAD, 1);
		log_limited(LOG_TOPIC_TIMEOUT, LOG_INFO, CONNECTION_FIELDS(c, EVENT_CLIENT_CLOSED),
			    "client %" PRIu64 " from %s is given up: it takes nothing of what it was sent",
			    c->client->id, address_peer(connection_address(c), from));
		closing_lose_peer(c, ETIMEDOUT);
		return;
	}
	connection_cover(c);
	/* What it was sent may be rendered by what isn't kept as long as the log is. */
	if (c->handler->many)
		output_tell_place(c);
	upkeep_release_pages(c, releases);
	if (upkeep_is_idle(c)) {
		count(c->ctx->counters, COUNT_CLIENTS_IDLE, 1);
		log_limited(LOG_TOPIC_TIMEOUT, LOG_INFO, CONNECTION_FIELDS(c, EVENT_CLIENT_CLOSED),
			    "client %" PRIu64 " from %s was silent for too long", c->client->id,
			    address_peer(connection_address(c), from));
		connection_kick(c, &(struct notice){.kind = NOTICE_SILENT});
		return;
	}
	if (!connection_is_late(c))
		upkeep_check_beginning(c);
}
