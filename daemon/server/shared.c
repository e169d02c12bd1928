/* SPDX-License-Identifier: MIT */
/*
 * What all threads share: wake-ups, the state files of rooms and clients, limits, bans, accounts, and the
 * keeper of client sockets. A state that can't be trusted is refused, and replaced by an empty one.
 */
#include "daemon/server/server.h"

#include "common/cleanup.h"
#include "daemon/base/logger.h"
#include "daemon/cluster/ban_share.h"
#include "daemon/cluster/cluster.h"
#include "daemon/config/cluster.h"
#include "daemon/engine/bans.h"
#include "daemon/engine/late_accounts.h"
#include "daemon/engine/limits.h"
#include "daemon/history/archive.h"
#include "daemon/io/memfd.h"
#include "daemon/irc/store.h"
#include "daemon/state/cluster_file.h"
#include "daemon/state/keeper.h"
#include "daemon/state/layouts.h"
#include "daemon/state/secrets.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static unsigned shared_count_cpus(void)
{
	cpu_set_t set;
	int n = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;

	return n < CONFIG_MAX_WORKERS ? (unsigned)n : CONFIG_MAX_WORKERS;
}

static int shared_make_slots(struct server *s)
{
	int r = slots_new(s->config->workers ? s->config->workers : shared_count_cpus(), &s->shared.slots);

	/* No room waits for the main thread, which may be busy with something else. */
	return r < 0 ? r : slots_take(s->shared.slots, false, &s->host.ctx.slot);
}

static int shared_open_rooms(struct server *s, int fd, bool fresh)
{
	return rooms_open(fd, fresh, s->shared.slots, &s->shared.rooms);
}

static int shared_open_clients(struct server *s, int fd, bool fresh)
{
	_Static_assert(COUNTERS_N <= CLIENTS_COUNTERS, "the state has no space for them");
	const char *names[COUNTERS_N];
	int r = clients_open(fd, fresh, &s->shared.clients);

	if (r < 0)
		return r;
	for (int i = 0; i < COUNTERS_N; i++)
		names[i] = counter_name((enum counter)i);
	clients_order_counters(s->shared.clients, names, COUNTERS_N);
	s->host.ctx.counters = context_counters(&s->shared, s->host.ctx.slot);
	return 0;
}

/*
 * The state file of the process before if it can be trusted, else a new one, which the service manager keeps.
 */
static int shared_open_state(struct server *s, const char *name, uint64_t size,
			     int (*open_file)(struct server *s, int fd, bool fresh), int *ret_fd,
			     bool *ret_refused)
{
	_cleanup_close_ int fd = sockets_claim(s->sockets, name);
	int r;

	*ret_refused = false;
	if (fd >= 0) {
		r = open_file(s, fd, false);
		if (r == 0) {
			*ret_fd = take_fd(&fd);
			return 0;
		}
		layouts_tell_refused(name, r);
		*ret_refused = true;
		sockets_unstore(name);
		close(take_fd(&fd));
	}
	fd = memfd_new(name, size);
	if (fd < 0)
		return take_fd(&fd);
	r = open_file(s, fd, true);
	if (r < 0)
		return r;
	sockets_store(fd, name);
	*ret_fd = take_fd(&fd);
	return 0;
}

/*
 * The secrets of TLS: of the process before, or new ones, without which the connections of that one are closed. Those
 * of clients whose table is gone are nobody's.
 */
static int shared_open_secrets(struct server *s, bool fresh)
{
	_cleanup_close_ int fd = sockets_claim(s->sockets, SECRETS_NAME);
	uint32_t high = clients_high(s->shared.clients);
	uint32_t most = s->config->max_clients > high ? s->config->max_clients : high;
	/* Whoever has no place in what can be mapped had none before, if nothing else has changed: others keep theirs. */
	int r = fd < 0 || fresh ? -ENOENT : secrets_open(fd, CLIENTS_CAPACITY, 0, &s->shared.secrets);

	if (r < 0 && fd >= 0) {
		if (!fresh)
			layouts_tell_refused(SECRETS_NAME, r);
		sockets_unstore(SECRETS_NAME);
		close(take_fd(&fd));
	}
	if (r < 0) {
		fd = secrets_new(CLIENTS_CAPACITY, most, &s->shared.secrets);
		if (fd < 0)
			return take_fd(&fd);
		sockets_store(fd, SECRETS_NAME);
	}
	clients_set_secrets(s->shared.clients, s->shared.secrets);
	s->secrets_fd = take_fd(&fd);
	return 0;
}

static int shared_open_cluster_file(struct server *s, int fd, bool fresh)
{
	_Static_assert(CLUSTER_NODE_MAX <= CLUSTER_FILE_NODE_MAX, "there is space for a node's name");

	return cluster_file_open(fd, fresh, s->config->cluster->node, rooms_private(s->shared.rooms)->epoch,
				 &s->shared.cluster_file);
}

/* What there is of a cluster that is configured no longer tells what was shown of it, and stays. */
static int shared_open_old_cluster(struct server *s)
{
	s->cluster_fd = sockets_claim(s->sockets, CLUSTER_FILE_NAME);
	int r = s->cluster_fd < 0
		    ? 0
		    : cluster_file_open(s->cluster_fd, false, NULL, rooms_private(s->shared.rooms)->epoch,
					&s->shared.cluster_file);

	if (r != -EBADMSG)
		return r;
	layouts_tell_refused(CLUSTER_FILE_NAME, r);
	sockets_unstore(CLUSTER_FILE_NAME);
	close(take_fd(&s->cluster_fd));
	return 0;
}

/* Before anything is said in a room: how far its log has got tells what was under way. */
static int shared_open_cluster(struct server *s)
{
	bool refused;
	int r = !s->config->cluster ? shared_open_old_cluster(s)
				    : shared_open_state(s, CLUSTER_FILE_NAME, cluster_file_size(),
							shared_open_cluster_file, &s->cluster_fd, &refused);

	if (r == 0 && s->shared.cluster_file)
		cluster_file_recover(s->shared.cluster_file, s->shared.rooms);
	if (r == 0 && s->config->cluster)
		boots_take_name(s->shared.rooms, s->shared.cluster_file, s->config->cluster);
	return r;
}

static bool shared_wants_irc(const struct config *config)
{
	for (size_t i = 0; i < config->n_listeners; i++)
		if (strcmp(config->listeners[i].handler->mode, "irc") == 0)
			return true;
	return false;
}

static void shared_have_irc(struct server *s, struct irc *irc)
{
	atomic_store(&s->shared.channels, irc->channels);
	atomic_store(&s->shared.irc, irc);
}

/* That of the process before, whether or not anybody may come any more: who is there is. */
static int shared_open_irc(struct server *s, bool strangers)
{
	_cleanup_close_ int fd = sockets_claim(s->sockets, IRC_STORE_NAME);
	struct irc *irc;
	int r = fd < 0 ? 0 : irc_store_open(fd, false, strangers, s->shared.clients, s->shared.rooms, &irc);

	if (fd >= 0 && r < 0) {
		layouts_tell_refused(IRC_STORE_NAME, r);
		sockets_unstore(IRC_STORE_NAME);
	} else if (fd >= 0) {
		s->irc_fd = take_fd(&fd);
		shared_have_irc(s, irc);
	}
	return shared_make_irc(s, s->config);
}

int shared_make_irc(struct server *s, const struct config *config)
{
	struct irc *irc;

	if (atomic_load(&s->shared.irc) || !shared_wants_irc(config))
		return 0;
	_cleanup_close_ int fd = memfd_new(IRC_STORE_NAME, irc_store_size());
	int r = fd < 0 ? fd : irc_store_open(fd, true, true, s->shared.clients, s->shared.rooms, &irc);
	if (r < 0)
		return r;
	sockets_store(fd, IRC_STORE_NAME);
	s->irc_fd = take_fd(&fd);
	shared_have_irc(s, irc);
	return 0;
}

static void shared_end_client(int fd, void *arg)
{
	++*(unsigned *)arg;
	shutdown(fd, SHUT_RDWR);
	close(fd);
}

static int shared_open_bans(struct server *s)
{
	_cleanup_free_ char *path = config_state_path(s->config, "bans");

	return path ? bans_new(path, &s->shared.bans) : -ENOMEM;
}

static int shared_keep_names(struct server *s)
{
	_cleanup_free_ char *path = s->shared.cluster ? config_state_path(s->config, "reserved") : NULL;

	if (!s->shared.cluster)
		return 0;
	return path ? cluster_keep_names(s->shared.cluster, path) : -ENOMEM;
}

/* With a cluster: who is elsewhere, and what has changed here. */
static int shared_watch_roster(struct server *s)
{
	int r = elsewhere_new(UINT32_MAX, &s->shared.elsewhere);

	if (r == 0)
		r = ban_share_new(&s->shared.ban_share);
	return r < 0 ? r : roster_watch(s->shared.roster, s->config->cluster->node, s->shared.elsewhere);
}

int shared_open(struct server *s)
{
	bool rooms_refused = false, clients_refused = false, old_refused = false;
	int r = shared_make_slots(s);

	if (r == 0)
		r = layouts_adopt(s->sockets, &old_refused);
	if (r == 0)
		r = shared_open_state(s, LAYOUTS_ROOMS_NAME, rooms_file_size(), shared_open_rooms,
				      &s->rooms_fd, &rooms_refused);
	if (r == 0)
		r = shared_open_cluster(s);
	if (r == 0)
		r = shared_open_state(s, LAYOUTS_CLIENTS_NAME, clients_file_size(), shared_open_clients,
				      &s->clients_fd, &clients_refused);
	if (r == 0)
		r = shared_open_secrets(s, clients_refused || old_refused ||
					       clients_high(s->shared.clients) == 0);
	if (r == 0)
		r = shared_open_irc(s,
				    clients_refused || old_refused || clients_high(s->shared.clients) == 0);
	if (r == 0)
		r = roster_new(s->config->max_clients, &s->shared.roster);
	if (r == 0 && s->config->cluster)
		r = shared_watch_roster(s);
	if (r == 0)
		r = limits_new(s->config->max_clients, &s->shared.limits);
	if (r == 0)
		r = services_open(&s->shared, s->config);
	if (r == 0)
		r = shared_open_bans(s);
	if (r == 0)
		r = shared_keep_names(s);
	if (r == 0 && s->shared.ban_share)
		ban_follow_begin(s);
	if (r == 0) {
		s->shared.late_accounts = late_accounts_new();
		r = s->shared.late_accounts ? 0 : -ENOMEM;
	}
	if (r == 0)
		reserved_apply(s->shared.roster, s->config, NULL);
	if (r == 0)
		r = keeper_new(s->sockets, &s->shared.keeper);
	if (r == 0 && (clients_refused || old_refused)) {
		unsigned n = 0;
		keeper_each(s->shared.keeper, shared_end_client, &n);
		r = keeper_forget(s->shared.keeper);
		log_event(LOG_ERR, &(struct log_fields){.message_id = EVENT_STATE_REFUSED},
			  "%u connection%s could not be taken over and %s closed", n, n == 1 ? "" : "s",
			  n == 1 ? "is" : "are");
	}
	if (r == 0)
		r = rooms_configure(s->shared.rooms, s->config->rooms, s->config->n_rooms,
				    &s->config->room_defaults, &s->config->room_limits);
	if (r == 0)
		archive_restore(s->shared.archive);
	return r;
}

void shared_free(struct server *s)
{
	keeper_free(s->shared.keeper);
	limits_free(s->shared.limits);
	late_accounts_free(s->shared.late_accounts);
	bans_free(s->shared.bans);
	roster_free(s->shared.roster);
	elsewhere_free(s->shared.elsewhere);
	ban_share_free(s->shared.ban_share);
	irc_store_close(atomic_load(&s->shared.irc));
	clients_close(s->shared.clients);
	secrets_free(s->shared.secrets);
	cluster_file_close(s->shared.cluster_file);
	rooms_close(s->shared.rooms);
	slots_free(s->shared.slots);
	if (s->rooms_fd >= 0)
		close(s->rooms_fd);
	if (s->cluster_fd >= 0)
		close(s->cluster_fd);
	if (s->clients_fd >= 0)
		close(s->clients_fd);
	if (s->secrets_fd >= 0)
		close(s->secrets_fd);
	if (s->irc_fd >= 0)
		close(s->irc_fd);
}
