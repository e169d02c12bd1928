/* SPDX-License-Identifier: MIT */
/*
 * The service: it is made before anybody says anything, as rooms are shared from then on, and its thread takes the
 * core from turn to turn. How it is, is copied for other threads after each of them.
 */
#include "daemon/cluster/cluster.h"

#include "common/cleanup.h"
#include "daemon/base/clock.h"
#include "daemon/base/logger.h"
#include "daemon/channels/accounts.h"
#include "daemon/cluster/core.h"
#include "daemon/engine/context.h"
#include "daemon/engine/limits.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* So many events of the link are worked on before what was said here is published. */
#define CLUSTER_BURST 64
/* A room that has to be delivered first is tried again after that. */
#define CLUSTER_CROWDED_US 1000
/* In the end, what was said last is published and waited for so long. Longer if drain() has not done it before. */
#define CLUSTER_LINGER_US 250000
#define CLUSTER_COPY_US 20000
/* How long the thread's end may take. */
#define CLUSTER_END_US (10 * SECOND_US)

enum cluster_phase { CLUSTER_RUN, CLUSTER_DRAIN, CLUSTER_QUIT };

struct cluster {
	struct service service; /* first */
	struct context ctx;
	struct cluster_config *rooms; /* as it was at the start: which rooms are shared stays */
	struct core *core;
	struct wakeup *wakeup;

	/* Of the main thread: */
	struct cluster_config *config; /* in use */
	pthread_t thread;
	bool started;
	int64_t linger_us;

	/* Of both: */
	atomic_int phase, when_away;
	atomic_bool drained, leaves;
	_Atomic int64_t beat, away_after_us, reserve_for_us, quit_until;
	pthread_mutex_t lock; /* of what is shown */
	struct cluster_status status;
	struct cluster_node *nodes;
	size_t n_nodes;

	/* Of its own thread, while that runs: */
	struct nats_link *link;
	struct nats_event event; /* if held: a room has to be delivered first */
	bool held, draining;
	int64_t copied_at;
};

/* --- the way to NATS --- */

static void cluster_subscribe(void *arg, uint64_t generation, uint64_t applied, int64_t time_ns)
{
	nats_link_subscribe(((struct cluster *)arg)->link, generation, applied, time_ns);
}

static int cluster_publish(void *arg, uint64_t generation, uint64_t id, const char *subject, const void *data,
			   size_t len)
{
	return nats_link_publish(((struct cluster *)arg)->link, generation, id, subject, data, len);
}

static int cluster_send(void *arg, const char *subject, const void *data, size_t len)
{
	return nats_link_send(((struct cluster *)arg)->link, subject, data, len);
}

static void cluster_end_link(struct cluster *c)
{
	if (c->held)
		nats_event_free(&c->event);
	c->held = false;
	nats_link_free(c->link);
	c->link = NULL;
}

/* --- what is told of it --- */

static void cluster_tell(struct cluster *c)
{
	const struct core *core = c->core;
	struct cluster_node *nodes = calloc(core->n_nodes, sizeof(*nodes));
	char server[sizeof(c->status.server)] = "";

	c->copied_at = core->now;
	c->core->clients = limits_total(c->ctx.shared->limits);
	nats_link_server(c->link, server, sizeof(server));
	for (unsigned i = 0; nodes && i < core->n_nodes; i++)
		nodes[i] = core->nodes[i]->shown;
	pthread_mutex_lock(&c->lock);
	memcpy(server, *server ? server : c->status.server, sizeof(server));
	c->status = core->status;
	c->status.waiting_lines = core_waiting(core);
	memcpy(c->status.server, server, sizeof(server));
	if (nodes) {
		free(c->nodes);
		c->nodes = nodes;
		c->n_nodes = core->n_nodes;
	}
	pthread_mutex_unlock(&c->lock);
}

void cluster_copy_status(struct cluster *c, struct cluster_status *ret)
{
	*ret = (struct cluster_status){0};
	if (!c)
		return;
	pthread_mutex_lock(&c->lock);
	*ret = c->status;
	pthread_mutex_unlock(&c->lock);
}

struct cluster_node *cluster_copy_nodes(struct cluster *c, size_t *ret_n)
{
	*ret_n = 0;
	if (!c)
		return calloc(1, sizeof(struct cluster_node));
	pthread_mutex_lock(&c->lock);
	struct cluster_node *nodes = calloc(c->n_nodes + 1, sizeof(*nodes));
	if (nodes && c->n_nodes > 0)
		memcpy(nodes, c->nodes, c->n_nodes * sizeof(*nodes));
	*ret_n = nodes ? c->n_nodes : 0;
	pthread_mutex_unlock(&c->lock);
	return nodes;
}

/* --- the thread --- */

static void cluster_said(uint32_t room, void *arg)
{
	core_said(((struct cluster *)arg)->core, room);
}

/* False: a room has to be delivered first. */
static bool cluster_take_events(struct cluster *c)
{
	for (unsigned i = 0; i < CLUSTER_BURST; i++) {
		if (!c->held && !nats_link_next(c->link, &c->event))
			return true;
		c->held = !core_event(c->core, &c->event);
		if (c->held)
			return false;
		nats_event_free(&c->event);
	}
	return true;
}

static void cluster_wait(struct cluster *c, int64_t us)
{
	struct pollfd p[] = {{.fd = wakeup_fd(c->wakeup), .events = POLLIN},
			     {.fd = c->held ? -1 : nats_link_fd(c->link), .events = POLLIN}};
	const struct timespec ts = {us / SECOND_US, us % SECOND_US * 1000};

	(void)!ppoll(p, 2, &ts, NULL);
	if (p[0].revents)
		wakeup_clear(c->wakeup);
	c->ctx.now = clock_us(CLOCK_MONOTONIC);
	atomic_store_explicit(&c->beat, c->ctx.now, memory_order_relaxed);
}

/* If the node ends, what was said before the drain began has come back. Else the next process has all of it. */
static void cluster_look_whether_drained(struct cluster *c, int phase)
{
	if (phase != CLUSTER_DRAIN) {
		c->draining = false;
		return;
	}
	if (!c->draining)
		core_mark(c->core);
	c->draining = true;
	if (!atomic_load(&c->leaves) || !core_is_waiting(c->core))
		atomic_store(&c->drained, true);
}

static bool cluster_goes_on(struct cluster *c, int phase)
{
	return phase != CLUSTER_QUIT ||
	       (atomic_load(&c->leaves) && c->core->connected && core_waiting(c->core) > 0 &&
		c->ctx.now < atomic_load(&c->quit_until));
}

static void *cluster_run(void *arg)
{
	struct cluster *c = arg;
	int64_t wait = 0;
	int phase;

	pthread_setname_np(pthread_self(), c->service.name);
	do {
		cluster_wait(c, wait);
		c->core->start.when_away = (enum cluster_away)atomic_load(&c->when_away);
		c->core->start.away_after_us = atomic_load(&c->away_after_us);
		c->core->start.reserve_for_us = atomic_load(&c->reserve_for_us);
		c->core->now = c->ctx.now;
		phase = atomic_load(&c->phase);
		wakeup_take(c->wakeup, cluster_said, c);
		if (atomic_load(&c->leaves))
			people_leave(c->core->people);
		bool all = cluster_take_events(c);
		wait = core_turn(c->core, c->ctx.now);
		if (!all)
			wait = CLUSTER_CROWDED_US;
		rooms_kick(c->ctx.shared->rooms, &c->ctx.kick, c->ctx.slot);
		cluster_look_whether_drained(c, phase);
		int64_t age = c->ctx.now - c->copied_at;
		if (age >= CLUSTER_COPY_US)
			cluster_tell(c);
		else if (wait > CLUSTER_COPY_US - age)
			wait = CLUSTER_COPY_US - age;
	} while (cluster_goes_on(c, phase));
	cluster_tell(c);
	return NULL;
}

/* --- as a service --- */

static int cluster_start_thread(struct cluster *c)
{
	int r = c->link ? 0 : link_new(c->config, c->core, &c->link);

	atomic_store(&c->phase, CLUSTER_RUN);
	atomic_store(&c->drained, false);
	atomic_store(&c->beat, clock_us(CLOCK_MONOTONIC));
	if (r == 0)
		r = -pthread_create(&c->thread, NULL, cluster_run, c);
	c->started = r == 0;
	return r;
}

static int cluster_service_start(struct service *s, bool held)
{
	struct cluster *c = (struct cluster *)s;

	(void)held;
	return c->started ? 0 : cluster_start_thread(c);
}

static void cluster_set_phase(struct cluster *c, enum cluster_phase phase)
{
	atomic_store(&c->phase, phase);
	wakeup_kick(c->wakeup);
}

static void cluster_drain(struct service *s)
{
	cluster_set_phase((struct cluster *)s, CLUSTER_DRAIN);
}

static bool cluster_is_drained(const struct service *s)
{
	const struct cluster *c = (const struct cluster *)s;

	return !c->started || !atomic_load(&c->leaves) || atomic_load(&c->drained);
}

static void cluster_quit(struct service *s, int64_t linger_us)
{
	struct cluster *c = (struct cluster *)s;

	if (linger_us > CLUSTER_LINGER_US)
		linger_us = CLUSTER_LINGER_US;
	atomic_store(&c->quit_until, clock_us(CLOCK_MONOTONIC) + linger_us);
	cluster_set_phase(c, CLUSTER_QUIT);
}

/* What is not in the stream ends with the node. */
static void cluster_tell_what_is_left(const struct cluster *c)
{
	uint64_t n = core_waiting(c->core);

	if (n > 0 && atomic_load(&c->leaves))
		log_event(LOG_WARNING, &(struct log_fields){.message_id = EVENT_GAP},
			  "cluster: of what was said here %" PRIu64
			  " line%s had not gone out, and end with this node",
			  n, n == 1 ? "" : "s");
}

static bool cluster_join(struct service *s, int64_t timeout_us)
{
	struct cluster *c = (struct cluster *)s;

	if (!service_join_thread(c->thread, &c->started, timeout_us))
		return false;
	cluster_tell_what_is_left(c);
	cluster_end_link(c);
	core_lost(c->core, "the service has ended");
	return true;
}

void cluster_leave(struct cluster *c)
{
	if (c)
		atomic_store(&c->leaves, true);
}

static int64_t cluster_linger(const struct service *s)
{
	(void)s;
	return CLUSTER_LINGER_US;
}

static void cluster_reloaded(struct service *s, const struct config *config)
{
	struct cluster *c = (struct cluster *)s;
	struct cluster_config *old = c->config, *new = config->cluster;

	if (!new || new == old)
		return;
	atomic_store(&c->when_away, new->when_away);
	atomic_store(&c->away_after_us, new->away_after_us);
	atomic_store(&c->reserve_for_us, new->reserve_for_us);
	c->config = cluster_config_hold(new);
	if (c->started && !link_is_same(old, new)) {
		cluster_quit(s, 0);
		if (!cluster_join(s, CLUSTER_END_US))
			abort(); /* a crash is recovered from */
		(void)cluster_start_thread(c);
	}
	cluster_config_free(old);
}

static int64_t cluster_beat(const struct service *s)
{
	const struct cluster *c = (const struct cluster *)s;

	return c->started ? atomic_load_explicit(&c->beat, memory_order_relaxed) : INT64_MAX;
}

static void cluster_free(struct service *s)
{
	struct cluster *c = (struct cluster *)s;

	if (c->started) {
		cluster_quit(s, 0);
		pthread_join(c->thread, NULL);
	}
	cluster_end_link(c);
	if (c->core)
		people_free(c->core->people);
	core_free(c->core);
	cluster_config_free(c->config);
	cluster_config_free(c->rooms);
	c->ctx.shared->cluster = NULL;
	slots_give(c->ctx.shared->slots, c->ctx.slot);
	pthread_mutex_destroy(&c->lock);
	free(c->nodes);
	free(c);
}

static const struct service_ops cluster_ops = {
    .start = cluster_service_start,
    .drain = cluster_drain,
    .is_drained = cluster_is_drained,
    .quit = cluster_quit,
    .join = cluster_join,
    .linger = cluster_linger,
    .reloaded = cluster_reloaded,
    .beat = cluster_beat,
    .free = cluster_free,
};

/* --- the beginning --- */

static bool cluster_has_room(const char *name, void *arg)
{
	return cluster_config_has_room(arg, name);
}

struct cluster_shown {
	struct cluster_file *file;
	const char *node;
};

static uint64_t cluster_find_shown(const struct room *outgoing, void *arg)
{
	const struct cluster_shown *s = arg;
	const struct outgoing_boot b = outgoing_boot(outgoing);
	const struct cluster_position *p = boots_position(s->file, s->node, outgoing, &b);

	return p ? p->expected : 0;
}

static int cluster_share_rooms(struct shared *shared, struct cluster_config *config)
{
	struct cluster_shown shown = {shared->cluster_file, NULL};

	if (shown.file)
		shown.node = cluster_file_node(shown.file);
	rooms_cluster_shown(shared->rooms, shown.file ? cluster_find_shown : NULL, &shown);
	int r = rooms_cluster(shared->rooms, config ? cluster_has_room : NULL, config);
	rooms_cluster_shown(shared->rooms, NULL, NULL);
	return r;
}

static int cluster_open_core(struct cluster *c)
{
	struct shared *shared = c->ctx.shared;
	const struct core_start start = {.rooms = shared->rooms,
					 .channels = &shared->channels,
					 .slot = c->ctx.slot,
					 .kick = &c->ctx.kick,
					 .file = shared->cluster_file,
					 .roster = shared->roster,
					 .link = {c, cluster_subscribe, cluster_publish, cluster_send},
					 .node = c->rooms->node,
					 .stream = c->rooms->stream,
					 .when_away = c->rooms->when_away,
					 .away_after_us = c->rooms->away_after_us,
					 .has_room = cluster_has_room,
					 .arg = c->rooms,
					 .now = clock_us(CLOCK_MONOTONIC)};

	rooms_cluster_reader(shared->rooms, c->ctx.slot, NULL, NULL);
	int r = cluster_share_rooms(shared, c->rooms);
	irc_channels_share(atomic_load(&shared->channels), shared->rooms);
	if (r == 0)
		r = core_new(&start, &c->core);
	const struct people_start people = {c->core,	       shared->roster, shared->elsewhere,
					    shared->ban_share, shared->slots,  c->ctx.slot};
	return r < 0 ? r : people_new(&people, &c->core->people);
}

int cluster_open(struct shared *shared, const struct config *config)
{
	struct cluster_config *g = config->cluster;

	if (!g)
		return cluster_share_rooms(shared, NULL);
	struct cluster *c = calloc(1, sizeof(*c));
	int r = c ? slots_take(shared->slots, true, &c->ctx.slot) : -ENOMEM;
	if (r < 0) {
		free(c);
		return r;
	}
	c->ctx.shared = shared;
	c->wakeup = slots_wakeup(shared->slots, c->ctx.slot);
	c->config = cluster_config_hold(g);
	c->rooms = cluster_config_hold(g);
	atomic_store(&c->when_away, g->when_away);
	atomic_store(&c->away_after_us, g->away_after_us);
	atomic_store(&c->reserve_for_us, g->reserve_for_us);
	pthread_mutex_init(&c->lock, NULL);
	c->service = (struct service){.ops = &cluster_ops, .name = "chatd/cluster"};
	r = cluster_open_core(c);
	if (r < 0) {
		cluster_free(&c->service);
		return r;
	}
	services_add(&shared->services, &c->service);
	shared->cluster = c;
	return 0;
}

int cluster_keep_names(struct cluster *c, const char *path)
{
	return c ? people_keep_names(c->core->people, path) : 0;
}

int cluster_save_names(struct cluster *c)
{
	return c ? people_save_names(c->core->people) : 0;
}

int cluster_start(struct cluster *c)
{
	return c ? service_start(&c->service, true) : 0;
}
