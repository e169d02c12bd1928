/* SPDX-License-Identifier: MIT */
#include "daemon/server/server.h"

#include "common/cleanup.h"
#include "common/nick.h"
#include "daemon/base/clock.h"
#include "daemon/base/logger.h"
#include "daemon/control/control.h"
#include "daemon/control/host.h"
#include "daemon/control/metrics.h"
#include "daemon/engine/bans.h"
#include "daemon/engine/connection.h"
#include "daemon/engine/limits.h"
#include "daemon/engine/logins.h"
#include "daemon/io/memfd.h"
#include "daemon/server/recovery.h"
#include "daemon/state/handover.h"
#include "daemon/state/keeper.h"
#include "daemon/state/sockets.h"

#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>
#include <time.h>

#define ROOMS_FD_NAME "chatd-rooms"
#define CLIENTS_FD_NAME "chatd-clients"
/* How long workers may take over a change of what they do. */
#define CALL_TIMEOUT_US (5 * SECOND_US)
#define JOIN_TIMEOUT_US (10 * SECOND_US)
#define PROBE_TIMEOUT_MS 5000
/* A merge of the keeper's sockets is done in steps, with a pause for the main thread's other work. */
#define MERGE_PAUSE_US 2000

/* What comes after the event loop. */
enum ending {
	END_STOP,     /* clients are told, and closed */
	END_HANDOVER, /* everything is left for the successor that the service manager starts */
	END_BROKEN,   /* a restart failed half-way */
};

struct server {
	struct host host; /* first: what the control socket's methods see of it */
	sd_event *event;
	char **argv;
	char *program; /* the binary's path when it was started: an upgrade puts the new one there */
	struct config *config;
	struct sockets *sockets;
	int rooms_fd, clients_fd;
	struct shared shared;
	unsigned n_workers;
	unsigned n_slots; /* the workers', the ZeroMQ listeners' and, the last, the main thread's */
	struct listeners *listeners;
	struct control *control;
	struct metrics_listener *metrics; /* or NULL */
	uint64_t watchdog_us;		  /* 0: no watchdog */
	sd_event_source *merge_timer;
	char status[160];
	unsigned uncovered; /* as it was logged last */
	enum ending ending;
};

/* --- names that belong to somebody --- */

struct names {
	uint64_t *keys;
	size_t n;
};

static void reserve(struct names *names, const char *nick)
{
	size_t len = strlen(nick);
	struct nick_keys keys = nick_keys(nick, len);

	if (len <= TEXT_NICK_MAX) { /* a listener's may be longer */
		memcpy(names->keys + names->n, keys.at, sizeof(keys.at));
		names->n += NICK_KEYS;
	}
}

/*
 * Nobody else may be called as an account is, or as a room's member, whose account may just not be here at
 * the moment, or as a relay that speaks in a room.
 */
static void reserve_nicks(struct server *s, const struct config *config)
{
	struct names names = {.n = 0};
	size_t most = config->n_listeners + 1;

	for (size_t i = 0; i < config->n_listeners; i++)
		most += config->listeners[i].accounts.n;
	for (size_t i = 0; i < config->n_rooms; i++)
		most += config->rooms[i].n_members;
	names.keys = calloc(most, NICK_KEYS * sizeof(*names.keys));
	if (!names.keys)
		abort(); /* a crash is recovered from */
	for (size_t i = 0; i < config->n_listeners; i++) {
		const struct listener_config *l = &config->listeners[i];
		for (size_t k = 0; k < l->accounts.n; k++)
			reserve(&names, l->accounts.at[k].nick);
		if (l->handler->may_have_room && l->room[0])
			reserve(&names, l->name);
	}
	for (size_t i = 0; i < config->n_rooms; i++)
		for (size_t k = 0; k < config->rooms[i].n_members; k++)
			reserve(&names, config->rooms[i].members[k]);
	roster_reserve(s->shared.roster, names.keys, names.n);
}

/* --- reload --- */

static void note_what_waits(const struct config *old, const struct config *new)
{
	if (old->io_uring != new->io_uring)
		log_notice("io_uring changes at the next restart");
	if (old->workers != new->workers)
		log_notice("the number of workers changes at the next restart");
	if (strcmp(old->control_socket, new->control_socket) != 0 ||
	    strcmp(old->control_group, new->control_group) != 0)
		log_notice("the control socket changes at the next restart");
	if (strcmp(old->state_directory ? old->state_directory : "",
		   new->state_directory ? new->state_directory : "") != 0)
		log_notice("state_directory changes at the next restart");
}

static bool same_address(const union address *a, const union address *b)
{
	return a->sa.sa_family == b->sa.sa_family && (a->sa.sa_family == 0 || address_equal(a, b));
}

/* The listener of the metrics as the configuration has it, in place of the one before. */
static int open_metrics(struct server *s, const struct config *config, FILE *errors)
{
	struct metrics_listener *new = NULL;
	char text[ADDRESS_TEXT_MAX];

	if (config->metrics.sa.sa_family) {
		int r = metrics_listen(&s->host, s->event, &config->metrics, &new);
		if (r < 0) {
			fprintf(errors, "%s: metrics: %s: %s\n",
				config->metrics_where ? config->metrics_where : "?",
				address_format(&config->metrics, text), strerror(-r));
			return r;
		}
		log_event(LOG_INFO, &(struct log_fields){.message_id = EVENT_LISTENER},
			  "metrics at http://%s/metrics", address_format(&config->metrics, text));
	}
	metrics_listener_free(s->metrics);
	s->metrics = new;
	return 0;
}

static int apply_config(struct server *s, struct config *new, FILE *errors)
{
	int r = listeners_prepare(s->listeners, new, errors);

	if (r < 0)
		return r;
	if (!same_address(&s->config->metrics, &new->metrics) || (new->metrics.sa.sa_family && !s->metrics)) {
		r = open_metrics(s, new, errors);
		if (r < 0) {
			listeners_cancel(s->listeners);
			return r;
		}
	}
	r = rooms_configure(s->shared.rooms, new->rooms, new->n_rooms, &new->room_defaults,
			    &new->room_limits);
	if (r < 0) {
		fprintf(errors, "the rooms can't be made: %s\n", strerror(-r));
		listeners_cancel(s->listeners);
		return r;
	}
	note_what_waits(s->config, new);
	struct config *old = s->config;
	s->config = new;
	s->host.ctx.config = new;
	log_set_level(new->log_level);
	reserve_nicks(s, new);
	listeners_apply(s->listeners, new, old);
	return 0;
}

static void log_config(int level, const char *text)
{
	for (const char *line = text; *line;) {
		size_t n = strcspn(line, "\n");
		log_event(level, &(struct log_fields){.message_id = EVENT_CONFIG_ERROR}, "%.*s", (int)n,
			  line);
		line += n + (line[n] == '\n');
	}
}

static int reload(struct host *h, char **ret_text)
{
	struct server *s = (struct server *)h;
	_cleanup_free_ char *warned = NULL;
	struct config *new = NULL;
	size_t size, warned_size;
	int r;

	*ret_text = NULL;
	FILE *errors = open_memstream(ret_text, &size), *warnings = open_memstream(&warned, &warned_size);
	if (!errors || !warnings) {
		if (errors)
			fclose(errors);
		if (warnings)
			fclose(warnings);
		return -ENOMEM;
	}
	sd_notifyf(false, "RELOADING=1\nMONOTONIC_USEC=%" PRId64, clock_us(CLOCK_MONOTONIC));
	/* libconfig's time grows with the square of a group's settings: another process tries it first. */
	_cleanup_free_ char *why = NULL;
	r = handover_probe("/proc/self/exe", s->host.config_path, PROBE_TIMEOUT_MS, &why);
	if (r == -ETIMEDOUT)
		fprintf(errors, "%s: this takes more than %d s to read\n", s->host.config_path,
			PROBE_TIMEOUT_MS / 1000);
	else
		r = config_load(s->host.config_path, errors, warnings, &new);
	if (r == 0) {
		r = apply_config(s, new, errors);
		if (r < 0)
			config_free(new);
	}
	fclose(errors);
	fclose(warnings);
	sd_notify(false, "READY=1");
	if (r < 0) {
		log_config(LOG_ERR, *ret_text);
		log_event(LOG_ERR, &(struct log_fields){.message_id = EVENT_CONFIG_ERROR},
			  "%s is not used; nothing has changed", s->host.config_path);
	} else {
		log_event(LOG_INFO, &(struct log_fields){.message_id = EVENT_RELOADED}, "%s is in use",
			  s->host.config_path);
		log_config(LOG_WARNING, warned);
		free(*ret_text);
		*ret_text = warned;
		warned = NULL;
	}
	return r;
}

/* --- the end of the workers --- */

static void quit_workers(struct server *s)
{
	for (unsigned i = 0; i < s->shared.n_workers; i++)
		worker_quit(s->shared.workers[i]);
}

/* False if one does not end. */
static bool join_workers(struct server *s)
{
	int64_t until = clock_us(CLOCK_MONOTONIC) + JOIN_TIMEOUT_US;
	bool all = true;

	for (unsigned i = 0; i < s->shared.n_workers; i++) {
		int64_t left = until - clock_us(CLOCK_MONOTONIC);
		if (worker_join(s->shared.workers[i], left > 0 ? left : 0)) {
			log_event(LOG_DEBUG, &(struct log_fields){.message_id = EVENT_WORKER},
				  "worker chatd/%u ended", i);
			continue;
		}
		log_event(LOG_ERR, &(struct log_fields){.message_id = EVENT_WORKER},
			  "worker chatd/%u does not end", i);
		all = false;
	}
	return all;
}

static void freeze(struct worker *w, void *arg)
{
	(void)arg;
	for (struct listener *l = *worker_listeners(w), *next; l; l = next) {
		next = l->next;
		l->ops->freeze(l);
	}
	for (struct connection *c = *worker_all(w); c; c = connection_next(c))
		connection_freeze(c);
}

static void say_goodbye(struct worker *w, void *arg)
{
	(void)arg;
	for (struct connection *c = *worker_all(w), *next; c; c = next) {
		next = connection_next(c);
		connection_end(c, "* chatd is going down\n");
	}
	for (struct listener *l = *worker_listeners(w); l; l = l->next)
		if (l->ops->goodbye)
			l->ops->goodbye(l);
}

static void tick_all(struct worker *w, void *arg)
{
	unsigned releases = 0; /* the process ends, and its memory with it */

	(void)arg;
	for (struct connection *c = *worker_all(w), *next; c; c = next) {
		next = connection_next(c);
		connection_tick(c, &releases);
	}
}

/* What has been said is sent to whoever reads, then the connections end; all that within the time allowed. */
static void drain(struct server *s)
{
	int64_t until = clock_us(CLOCK_MONOTONIC) + s->config->drain_timeout_us;

	/* Everybody stops talking before the first is sent away, so that all get all. */
	if (workers_call(&s->shared, NULL, freeze, NULL, NULL, s->config->drain_timeout_us) < 0)
		return;
	listeners_drain_zmq(s->listeners, until - clock_us(CLOCK_MONOTONIC));
	workers_call(&s->shared, NULL, say_goodbye, NULL, NULL, s->config->drain_timeout_us);
	while (workers_sum(&s->shared, worker_connections) > 0 && clock_us(CLOCK_MONOTONIC) < until) {
		nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
		workers_call(&s->shared, NULL, tick_all, NULL, NULL, s->config->drain_timeout_us);
	}
	unsigned left = workers_sum(&s->shared, worker_connections);
	if (left > 0)
		log_notice("%u client%s had not read everything after drain_timeout", left,
			   left == 1 ? "" : "s");
}

static void close_all(struct worker *w)
{
	for (struct connection *c = *worker_all(w); c; c = connection_next(c))
		connection_hang_up(c);
}

static void unstore(const char *name, int fd, void *arg)
{
	(void)fd;
	(void)arg;
	sockets_unstore(name);
}

/* A real end: whoever is still there is disconnected, and nothing is left for a successor. */
static void forget_state(struct server *s)
{
	for (unsigned i = 0; i < s->shared.n_workers; i++)
		close_all(s->shared.workers[i]);
	listeners_unstore(s->listeners);
	keeper_pairs(s->shared.keeper, unstore, NULL);
	sockets_unstore(CLIENTS_FD_NAME);
	sockets_unstore(ROOMS_FD_NAME);
}

/* --- the handover to the program on disk --- */

static void cover_all(struct worker *w, void *arg)
{
	(void)arg;
	for (struct connection *c = *worker_all(w); c; c = connection_next(c))
		connection_cover(c);
}

/* What is sent is cipher text, whose keys end with this process. */
static void dismiss_mortals(struct worker *w, void *arg)
{
	(void)arg;
	for (struct connection *c = *worker_all(w), *next; c; c = next) {
		next = connection_next(c);
		if (connection_is_mortal(c))
			connection_kick(c, "* chatd restarts; please connect again.\n");
	}
}

/* Those that have not read all of it by now: see connection_hang_up(). The workers have ended. */
static void hang_up_mortals(struct server *s)
{
	for (unsigned i = 0; i < s->shared.n_workers; i++)
		for (struct connection *c = *worker_all(s->shared.workers[i]); c; c = connection_next(c))
			if (connection_is_mortal(c))
				connection_hang_up(c);
}

/* While everybody is still served: nothing is left in hands that the successor can't reach. */
static void prepare_handover(struct server *s)
{
	int64_t patience = s->config->drain_timeout_us < SECOND_US ? s->config->drain_timeout_us : SECOND_US;
	int64_t until = clock_us(CLOCK_MONOTONIC) + patience;

	workers_call(&s->shared, NULL, cover_all, NULL, NULL, CALL_TIMEOUT_US);
	if (workers_sum(&s->shared, worker_mortal) > 0)
		workers_call(&s->shared, NULL, dismiss_mortals, NULL, NULL, CALL_TIMEOUT_US);
	while (workers_sum(&s->shared, worker_mortal) > 0 && clock_us(CLOCK_MONOTONIC) < until)
		nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
	listeners_drain_zmq(s->listeners, s->config->drain_timeout_us);
}

static int restart_workers(struct server *s)
{
	for (unsigned i = 0; i < s->shared.n_workers; i++) {
		int r = worker_start(s->shared.workers[i]);
		if (r < 0)
			return r;
	}
	return 0;
}

static void exec_successor(struct server *s)
{
	struct handover *h;
	int r = handover_new(&h);

	if (r < 0)
		return;
	log_event(LOG_NOTICE, &(struct log_fields){.message_id = EVENT_TAKEOVER}, "handing over to %s",
		  s->program);
	prepare_handover(s);
	quit_workers(s);
	if (join_workers(s)) /* one that is stuck ends with the exec */
		hang_up_mortals(s);
	listeners_end_zmq(s->listeners);
	handover_add(ROOMS_FD_NAME, s->rooms_fd, h);
	handover_add(CLIENTS_FD_NAME, s->clients_fd, h);
	keeper_pairs(s->shared.keeper, handover_add, h);
	sockets_each(s->sockets, handover_add, h);
	listeners_each_socket(s->listeners, handover_add, h);
	control_free(s->control);
	s->control = NULL;
	r = handover_exec(h, s->program, s->argv);
	handover_free(h);
	log_event(LOG_ERR, &(struct log_fields){.message_id = EVENT_TAKEOVER}, "%s can't be run: %s",
		  s->program, strerror(-r));
	listeners_restart_zmq(s->listeners);
	if (control_new(&s->host, s->event, s->config->control_socket, s->config->control_group,
			&s->control) < 0 ||
	    restart_workers(s) < 0) {
		s->ending = END_BROKEN;
		sd_event_exit(s->event, 0);
	}
}

static int on_restart(sd_event_source *source, uint64_t now, void *arg)
{
	(void)now;
	sd_event_source_disable_unref(source);
	exec_successor(arg);
	return 0;
}

static int restart(struct host *h, char **ret_why)
{
	struct server *s = (struct server *)h;
	sd_event_source *source;
	int r = handover_probe(s->program, s->host.config_path, PROBE_TIMEOUT_MS, ret_why);

	if (r < 0) {
		log_event(LOG_ERR, &(struct log_fields){.message_id = EVENT_TAKEOVER}, "no restart: %s",
			  *ret_why ? *ret_why : strerror(-r));
		return r;
	}
	/* In a moment, so that the answer gets out. */
	return sd_event_add_time_relative(s->event, &source, CLOCK_MONOTONIC, 20000, 1000, on_restart, s);
}

/* --- events --- */

static int on_end_signal(sd_event_source *source, const struct signalfd_siginfo *si, void *arg)
{
	struct server *s = arg;

	(void)source;
	/* RestartKillSignal=: the service manager keeps the state for the process that it starts next. */
	s->ending = si->ssi_signo == SIGUSR1 && sockets_have_store() ? END_HANDOVER : END_STOP;
	return sd_event_exit(s->event, 0);
}

static int on_reload_signal(sd_event_source *source, const struct signalfd_siginfo *si, void *arg)
{
	_cleanup_free_ char *errors = NULL;

	(void)source;
	(void)si;
	reload(arg, &errors);
	return 0;
}

static int on_restart_signal(sd_event_source *source, const struct signalfd_siginfo *si, void *arg)
{
	_cleanup_free_ char *why = NULL;

	(void)source;
	(void)si;
	restart(arg, &why);
	return 0;
}

/* The marks need not be looked at one by one: whoever follows a room looks for itself. */
static void ignore_mark(uint32_t room, void *arg)
{
	(void)room;
	(void)arg;
}

static int on_news(sd_event_source *source, int fd, uint32_t events, void *arg)
{
	struct server *s = arg;
	struct wakeup *w = s->shared.slots[s->host.ctx.slot];

	(void)source;
	(void)fd;
	(void)events;
	wakeup_clear(w);
	wakeup_take(w, ignore_mark, NULL);
	if (s->control)
		control_news(s->control);
	return 0;
}

static int on_log(sd_event_source *source, int fd, uint32_t events, void *arg)
{
	const struct server *s = arg;
	uint64_t n;

	(void)source;
	(void)events;
	if (read(fd, &n, sizeof(n)) < 0)
		return 0;
	if (s->control)
		control_news(s->control);
	return 0;
}

/* All that are stopped before the main thread: the workers, and ZeroMQ's. */
static unsigned n_threads(const struct server *s)
{
	const struct listener_entry *e;
	unsigned n = s->shared.n_workers;

	for (size_t i = 0; (e = listeners_at(s->listeners, i)); i++)
		n += e->zmq != NULL;
	return n;
}

static void tell_status(struct server *s)
{
	unsigned rooms = rooms_count(s->shared.rooms), clients = limits_total(s->shared.limits);
	char status[sizeof(s->status)];

	snprintf(status, sizeof(status), "%u client%s in %u room%s, %zu listener%s, %u worker%s", clients,
		 clients == 1 ? "" : "s", rooms, rooms == 1 ? "" : "s", listeners_count(s->listeners),
		 listeners_count(s->listeners) == 1 ? "" : "s", n_threads(s), n_threads(s) == 1 ? "" : "s");
	if (strcmp(status, s->status) == 0)
		return;
	memcpy(s->status, status, sizeof(status));
	sd_notifyf(false, "STATUS=%s", status);
}

/* Says so when clients would not survive a crash for want of space in the keeper, and when all would again.
 */
static void tell_uncovered(struct server *s)
{
	unsigned n = workers_sum(&s->shared, worker_uncovered), tls = workers_sum(&s->shared, worker_mortal);

	n -= tls < n ? tls : n;
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

static int on_second(sd_event_source *source, uint64_t now, void *arg)
{
	struct server *s = arg;

	rooms_expire(s->shared.rooms, clock_us(CLOCK_MONOTONIC));
	bans_expire(s->shared.bans);
	if (sd_event_source_get_enabled(s->merge_timer, NULL) == 0)
		sd_event_source_set_enabled(s->merge_timer, SD_EVENT_ON);
	tell_status(s);
	tell_uncovered(s);
	return sd_event_source_set_time(source, now + SECOND_US);
}

static int on_merge(sd_event_source *source, uint64_t now, void *arg)
{
	struct server *s = arg;

	if (keeper_merge(s->shared.keeper, limits_total(s->shared.limits)))
		return sd_event_source_set_time(source, now + MERGE_PAUSE_US);
	return sd_event_source_set_enabled(source, SD_EVENT_OFF);
}

/* Many connections at once fill the keeper faster than once a second. */
static int on_keeper(sd_event_source *source, int fd, uint32_t events, void *arg)
{
	struct server *s = arg;

	(void)source;
	(void)fd;
	(void)events;
	keeper_relieve(s->shared.keeper);
	return sd_event_source_set_enabled(s->merge_timer, SD_EVENT_ON);
}

/* A worker that makes no progress starves the watchdog, so that the service manager restarts the service. */
static bool workers_are_alive(const struct server *s)
{
	int64_t now = clock_us(CLOCK_MONOTONIC), limit = (int64_t)s->watchdog_us / 2;

	if (limit < SECOND_US + SECOND_US / 2)
		limit = SECOND_US + SECOND_US / 2; /* an idle worker beats once a second */
	for (unsigned i = 0; i < s->shared.n_workers; i++)
		if (now - worker_beat(s->shared.workers[i]) > limit) {
			log_event(LOG_WARNING, &(struct log_fields){.message_id = EVENT_WORKER},
				  "worker chatd/%u makes no progress; the watchdog is not fed", i);
			return false;
		}
	const struct listener_entry *e;
	for (size_t i = 0; (e = listeners_at(s->listeners, i)); i++)
		if (e->zmq && now - zmq_listener_beat(e->zmq) > limit) {
			log_event(
			    LOG_WARNING,
			    &(struct log_fields){.message_id = EVENT_WORKER, .listener = e->config.name},
			    "worker %s makes no progress; the watchdog is not fed",
			    zmq_listener_thread_name(e->zmq));
			return false;
		}
	return true;
}

static int on_watchdog(sd_event_source *source, uint64_t now, void *arg)
{
	const struct server *s = arg;

	if (workers_are_alive(s))
		sd_notify(false, "WATCHDOG=1");
	return sd_event_source_set_time(source, now + s->watchdog_us / 4);
}

static int add_timer(struct server *s, uint64_t in_us, sd_event_time_handler_t handler, sd_event_source **ret)
{
	sd_event_source *source;
	int r = sd_event_add_time_relative(s->event, &source, CLOCK_MONOTONIC, in_us, 1000, handler, s);

	if (r < 0)
		return r;
	/* A handler that fails must not stay off without a word. */
	sd_event_source_set_enabled(source, SD_EVENT_ON);
	sd_event_source_set_exit_on_failure(source, true);
	if (ret) {
		*ret = source;
		return 0;
	}
	r = sd_event_source_set_floating(source, true);
	sd_event_source_unref(source);
	return r;
}

static int add_events(struct server *s)
{
	const struct {
		int number;
		sd_event_signal_handler_t handler;
	} signals[] = {
	    {SIGTERM, on_end_signal},	  {SIGINT, on_end_signal},    {SIGUSR1, on_end_signal},
	    {SIGUSR2, on_restart_signal}, {SIGHUP, on_reload_signal},
	};
	int r = 0;

	for (size_t i = 0; r >= 0 && i < sizeof(signals) / sizeof(*signals); i++)
		r = sd_event_add_signal(s->event, NULL, signals[i].number, signals[i].handler, s);
	if (r >= 0)
		r = sd_event_add_io(s->event, NULL, wakeup_fd(s->shared.slots[s->host.ctx.slot]), EPOLLIN,
				    on_news, s);
	int log_fd = log_watch_fd();
	if (r >= 0)
		r = log_fd < 0 ? log_fd : sd_event_add_io(s->event, NULL, log_fd, EPOLLIN, on_log, s);
	if (r >= 0)
		r = add_timer(s, SECOND_US, on_second, NULL);
	if (r >= 0)
		r = add_timer(s, SECOND_US, on_merge, &s->merge_timer);
	if (r >= 0)
		r = sd_event_add_io(s->event, NULL, keeper_fd(s->shared.keeper), EPOLLIN, on_keeper, s);
	if (r >= 0 && sd_watchdog_enabled(false, &s->watchdog_us) > 0)
		r = add_timer(s, s->watchdog_us / 4, on_watchdog, NULL);
	return r < 0 ? r : 0;
}

/* --- start --- */

/* Signals are for the main thread's event loop; the workers are made with them blocked. */
static void block_signals(void)
{
	static const int numbers[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2};
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++)
		sigaddset(&set, numbers[i]);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
}

static void raise_nofile(const struct config *config)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l) < 0)
		return;
	l.rlim_cur = l.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &l) < 0)
		return;
	if (l.rlim_cur < config->max_clients)
		log_info("at most %llu file descriptors are allowed, less than max_clients: LimitNOFILE= (or "
			 "ulimit -n) "
			 "raises that",
			 (unsigned long long)l.rlim_cur);
}

static unsigned count_cpus(void)
{
	cpu_set_t set;
	int n = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;

	return n < CONFIG_MAX_WORKERS ? (unsigned)n : CONFIG_MAX_WORKERS;
}

static int make_slots(struct server *s)
{
	s->n_workers = s->config->workers ? s->config->workers : count_cpus();
	s->n_slots = s->n_workers + CONFIG_MAX_ZMQ + 1;
	s->host.ctx.slot = s->n_slots - 1;
	s->shared.slots = calloc(s->n_slots, sizeof(struct wakeup *));
	if (!s->shared.slots)
		return -ENOMEM;
	for (unsigned i = 0; i < s->n_slots; i++) {
		int r = wakeup_new(&s->shared.slots[i]);
		if (r < 0)
			return r;
	}
	return 0;
}

static int open_rooms(struct server *s, int fd, bool fresh)
{
	return rooms_open(fd, fresh, s->shared.slots, s->n_slots, s->n_workers, &s->shared.rooms);
}

static int open_clients(struct server *s, int fd, bool fresh)
{
	_Static_assert(COUNTERS_N <= CLIENTS_COUNTERS, "the state has no space for them");
	const char *names[COUNTERS_N];
	int r = clients_open(fd, fresh, &s->shared.clients);

	if (r < 0)
		return r;
	for (int i = 0; i < COUNTERS_N; i++)
		names[i] = counter_name((enum counter)i);
	clients_order_counters(s->shared.clients, names, COUNTERS_N);
	s->host.ctx.counters =
	    (struct counters *)clients_counters(s->shared.clients, CLIENTS_COUNTER_SETS - 1);
	return 0;
}

/* A state file of the process before, if it can be trusted, else a new one, which the service manager keeps.
 */
static int open_state(struct server *s, const char *name, uint64_t size,
		      int (*open_file)(struct server *s, int fd, bool fresh), int *ret_fd, bool *ret_refused)
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
		log_event(LOG_ERR, &(struct log_fields){.message_id = EVENT_STATE_REFUSED},
			  "the state in %s can't be used: %s", name,
			  r == -EBADMSG ? "it is damaged or of another version's layout" : strerror(-r));
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

static void end_client(int fd, void *arg)
{
	++*(unsigned *)arg;
	shutdown(fd, SHUT_RDWR);
	close(fd);
}

/* The configured directory, else the service manager's, else the control socket's. */
static int open_bans(struct server *s)
{
	_cleanup_free_ char *path = NULL;
	const char *dir = s->config->state_directory ? s->config->state_directory : getenv("STATE_DIRECTORY");
	size_t len = dir ? strcspn(dir, ":")
			 : (size_t)(strrchr(s->config->control_socket, '/') - s->config->control_socket);

	if (asprintf(&path, "%.*s/bans", (int)len, dir ? dir : s->config->control_socket) < 0)
		return -ENOMEM;
	return bans_new(path, &s->shared.bans);
}

static int open_shared(struct server *s)
{
	bool rooms_refused = false, clients_refused = false;
	int r = make_slots(s);

	if (r == 0)
		r = open_state(s, ROOMS_FD_NAME, rooms_file_size(), open_rooms, &s->rooms_fd, &rooms_refused);
	if (r == 0)
		r = open_state(s, CLIENTS_FD_NAME, clients_file_size(), open_clients, &s->clients_fd,
			       &clients_refused);
	if (r == 0)
		r = roster_new(&s->shared.roster);
	if (r == 0)
		r = limits_new(&s->shared.limits);
	if (r == 0)
		r = logins_new(&s->shared.logins);
	if (r == 0)
		r = open_bans(s);
	if (r == 0)
		reserve_nicks(s, s->config);
	if (r == 0)
		r = keeper_new(s->sockets, &s->shared.keeper);
	if (r == 0 && clients_refused) {
		unsigned n = 0;
		keeper_each(s->shared.keeper, end_client, &n);
		r = keeper_forget(s->shared.keeper);
		log_event(LOG_ERR, &(struct log_fields){.message_id = EVENT_STATE_REFUSED},
			  "%u connection%s could not be taken over and %s closed", n, n == 1 ? "" : "s",
			  n == 1 ? "is" : "are");
	}
	if (r == 0)
		r = rooms_configure(s->shared.rooms, s->config->rooms, s->config->n_rooms,
				    &s->config->room_defaults, &s->config->room_limits);
	return r;
}

static int make_workers(struct server *s)
{
	unsigned n = s->n_workers;

	s->shared.workers = calloc(n, sizeof(struct worker *));
	if (!s->shared.workers)
		return -ENOMEM;
	for (; s->shared.n_workers < n; s->shared.n_workers++) {
		unsigned i = s->shared.n_workers;
		int r = worker_new(&s->shared, i, s->config, &s->shared.workers[i]);
		if (r < 0)
			return r;
	}
	return 0;
}

/* CLOCK_MONOTONIC in us of when this process was made, which the service manager does as soon as one has
 * died; 0: not known. */
static uint64_t made_at(void)
{
	char text[1024];
	FILE *f = fopen("/proc/self/stat", "re");
	size_t n = f ? fread(text, 1, sizeof(text) - 1, f) : 0;
	unsigned long long ticks = 0;

	if (f)
		fclose(f);
	text[n] = '\0';
	const char *after = strrchr(text, ')'); /* a name may hold anything */
	if (!after ||
	    sscanf(after,
		   ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
		   &ticks) != 1)
		return 0;
	int64_t age =
	    clock_us(CLOCK_BOOTTIME) - (int64_t)(ticks * SECOND_US / (uint64_t)sysconf(_SC_CLK_TCK));
	return (uint64_t)(clock_us(CLOCK_MONOTONIC) - (age > 0 ? age : 0));
}

/*
 * Until when the process before would have served somebody; 0 if there was none. A worker that is in a turn
 * serves nobody from its last beat on, should it hang there. One that waits serves at once whoever comes,
 * until it dies, which is no later than when this process was made, nor than when it would have beaten again.
 */
static uint64_t served_until(const struct server *s)
{
	uint64_t made = made_at(), last = 0;

	for (unsigned i = 0; i < CLIENTS_SCRATCHES; i++) {
		struct scratch *scratch = clients_scratch(s->shared.clients, i);
		uint64_t until = atomic_load(&scratch->beat_us);
		if (until > 0 && atomic_load(&scratch->waits) == 1 && made > until)
			until = made - until < SECOND_US ? made : until + SECOND_US;
		if (until > last)
			last = until;
		/* Should this process fail, the next one knows as well. */
		atomic_store(&scratch->beat_us, until);
		atomic_store(&scratch->waits, 0);
	}
	return last;
}

/* Whether there was a process before. */
static bool take_over(struct server *s)
{
	uint64_t until = served_until(s);
	struct recovery result;

	recovery_run(&s->shared, &result);
	if (until == 0)
		return false;
	struct client_history *h = clients_history(s->shared.clients);
	uint64_t now = (uint64_t)clock_us(CLOCK_MONOTONIC);
	h->takeovers++;
	h->last_us = (uint64_t)clock_us(CLOCK_REALTIME);
	h->last_clients = result.taken;
	h->last_closed = result.closed;
	h->last_gap_us = now > until ? now - until : 0;
	log_event(LOG_NOTICE, &(struct log_fields){.message_id = EVENT_TAKEOVER},
		  "%u client%s taken over, %u closed; nobody was served for %.3f s", result.taken,
		  result.taken == 1 ? "" : "s", result.closed, (double)h->last_gap_us / 1e6);
	return true;
}

static int find_program(struct server *s)
{
	char path[4096];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);

	if (n < 0)
		return -errno;
	path[n] = '\0';
	s->program = strdup(path);
	return s->program ? 0 : -ENOMEM;
}

static int load_config(struct server *s)
{
	_cleanup_free_ char *text = NULL, *warned = NULL;
	size_t size, warned_size;
	FILE *errors = open_memstream(&text, &size);

	if (!errors)
		return -ENOMEM;
	FILE *warnings = open_memstream(&warned, &warned_size); /* without memory there are none */
	int r = config_load(s->host.config_path, errors, warnings, &s->config);
	fclose(errors);
	if (warnings)
		fclose(warnings);
	if (r < 0)
		log_config(LOG_ERR, text);
	else if (warned)
		log_config(LOG_WARNING, warned);
	return r;
}

/* People talk as well without them. */
static void open_metrics_first(struct server *s)
{
	_cleanup_free_ char *text = NULL;
	size_t size;
	FILE *errors = open_memstream(&text, &size);

	if (!errors)
		return;
	open_metrics(s, s->config, errors);
	fclose(errors);
	log_config(LOG_ERR, text);
}

/* Whether somebody is in the room who has not logged in. */
static bool has_stranger(uint32_t room, void *arg)
{
	struct clients *clients = arg;
	const struct client *c;

	for (uint32_t i = 0; (c = clients_at(clients, i)); i++) {
		const struct client_state *st = client_live(c);
		if (atomic_load(&c->cookie) && st->room == room && !(st->flags & CLIENT_ACCOUNT))
			return true;
	}
	return false;
}

static bool has_home(unsigned origin, void *arg)
{
	return listeners_has_origin(arg, origin);
}

static int start(struct server *s)
{
	int r;

	log_open(LOG_INFO);
	block_signals();
	r = find_program(s);
	if (r == 0)
		r = sockets_take(&s->sockets);
	if (r == 0)
		r = load_config(s);
	if (!s->config)
		return r < 0 ? r : -EINVAL;
	s->host.ctx.config = s->config;
	log_set_level(s->config->log_level);
	raise_nofile(s->config);
	r = sd_event_new(&s->event);
	if (r >= 0)
		r = open_shared(s);
	if (r == 0)
		r = make_workers(s);
	if (r < 0)
		return r;
	bool taken_over = take_over(s);
	r = listeners_new(&s->shared, s->sockets, &s->listeners);
	s->host.listeners = s->listeners;
	if (r == 0)
		r = listeners_open(s->listeners, s->config, taken_over);
	if (r == 0)
		recovery_orphans(&s->shared, has_home, s->listeners);
	if (r == 0)
		rooms_settle(s->shared.rooms, has_stranger, s->shared.clients);
	if (r == 0)
		r = add_events(s);
	if (r == 0)
		r = restart_workers(s);
	if (r < 0)
		return r;
	sockets_settle(s->sockets);
	open_metrics_first(s);
	return control_new(&s->host, s->event, s->config->control_socket, s->config->control_group,
			   &s->control);
}

static void server_free(struct server *s)
{
	control_free(s->control);
	metrics_listener_free(s->metrics);
	logins_free(s->shared.logins);
	for (unsigned i = 0; i < s->shared.n_workers; i++)
		worker_free(s->shared.workers[i]);
	free(s->shared.workers);
	listeners_free(s->listeners);
	keeper_free(s->shared.keeper);
	limits_free(s->shared.limits);
	bans_free(s->shared.bans);
	roster_free(s->shared.roster);
	clients_close(s->shared.clients);
	rooms_close(s->shared.rooms);
	for (unsigned i = 0; i < s->n_slots && s->shared.slots; i++)
		wakeup_free(s->shared.slots[i]);
	free(s->shared.slots);
	if (s->rooms_fd >= 0)
		close(s->rooms_fd);
	if (s->clients_fd >= 0)
		close(s->clients_fd);
	sockets_close(s->sockets);
	sd_event_source_unref(s->merge_timer);
	sd_event_unref(s->event);
	config_free(s->config);
	free(s->program);
	free(s);
}

/* Workers first, then the rest. Returns the exit status. */
static int finish(struct server *s)
{
	sd_notify(false, s->ending == END_HANDOVER ? "STOPPING=1\nSTATUS=handing over"
						   : "STOPPING=1\nSTATUS=stopping");
	log_event(LOG_INFO, &(struct log_fields){.message_id = EVENT_STOPPED},
		  s->ending == END_HANDOVER ? "handing over to the next process" : "stopping");
	if (s->ending == END_STOP && s->config->drain_timeout_us > 0)
		drain(s);
	else if (s->ending == END_HANDOVER)
		prepare_handover(s);
	quit_workers(s);
	bool joined = join_workers(s);
	joined &= listeners_end_zmq(s->listeners);
	log_event(LOG_INFO, &(struct log_fields){.message_id = EVENT_WORKER}, "%u worker%s ended",
		  n_threads(s), n_threads(s) == 1 ? "" : "s");
	if (!joined)
		_exit(EXIT_FAILURE); /* what it uses can't be freed; the state itself is whole */
	if (s->ending == END_STOP)
		forget_state(s);
	else
		hang_up_mortals(s);
	log_event(LOG_INFO, &(struct log_fields){.message_id = EVENT_STOPPED}, "stopped");
	return s->ending == END_BROKEN ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* A second, or until SIGTERM. Other work for this thread, such as io_uring's, interrupts the call. */
static void pause_before_the_end(void)
{
	int64_t until = clock_us(CLOCK_MONOTONIC) + SECOND_US, left;
	sigset_t end;

	sigemptyset(&end);
	sigaddset(&end, SIGTERM);
	while ((left = until - clock_us(CLOCK_MONOTONIC)) > 0) {
		const struct timespec ts = {left / SECOND_US, left % SECOND_US * 1000};
		if (sigtimedwait(&end, NULL, &ts) == SIGTERM)
			return;
	}
}

/*
 * How a start that failed ends. Where connections wait, in the fd store or at passed sockets, the service
 * manager tries again until the mistake is mended: chatd.service. That is at once, so the pause is ours.
 */
static int fail(const struct server *s)
{
	if (!s->config && s->sockets && !sockets_were_passed(s->sockets))
		return EX_CONFIG;
	if (sd_notify(false, "STATUS=can't start; the log says why") > 0)
		pause_before_the_end();
	return EXIT_FAILURE;
}

int server_run(const char *config_path, char **argv)
{
	struct server *s = calloc(1, sizeof(*s));
	int status;

	if (!s)
		return EXIT_FAILURE;
	s->host = (struct host){
	    .ctx.shared = &s->shared, .config_path = config_path, .reload = reload, .restart = restart};
	s->argv = argv;
	s->rooms_fd = s->clients_fd = -1;
	s->host.started_us = clock_us(CLOCK_REALTIME);
	s->host.began_us = clock_us(CLOCK_MONOTONIC);
	int r = start(s);
	if (r < 0) {
		if (s->config)
			log_error("chatd can't start: %s", strerror(-r));
		quit_workers(s);
		if (!join_workers(s))
			_exit(EXIT_FAILURE);
		status = fail(s);
		server_free(s);
		return status;
	}
	const char *sender = s->shared.n_workers > 0 ? worker_sender_name(s->shared.workers[0]) : "";
	log_event(LOG_INFO, &(struct log_fields){.message_id = EVENT_STARTED},
		  "chatd %s serves %zu listener%s with %u worker%s (%s)", PACKAGE_VERSION,
		  listeners_count(s->listeners), listeners_count(s->listeners) == 1 ? "" : "s", n_threads(s),
		  n_threads(s) == 1 ? "" : "s", sender);
	if (!sockets_have_store())
		log_info(
		    "there is no fd store (FileDescriptorStoreMax= of systemd): clients survive `chatctl "
		    "restart`, but none of them a crash");
	tell_status(s);
	sd_notify(false, "READY=1");
	r = sd_event_loop(s->event);
	if (r < 0)
		log_error("event loop: %s", strerror(-r));
	status = finish(s);
	server_free(s);
	return r < 0 ? EXIT_FAILURE : status;
}
