/* SPDX-License-Identifier: MIT */
/*
 * The start of the daemon, in the order in which things need each other, how a start that fails ends, and the
 * way from the start to the event loop and the end.
 */
#include "daemon/server/server.h"

#include "common/cleanup.h"
#include "daemon/base/clock.h"
#include "daemon/base/logger.h"
#include "daemon/cluster/cluster.h"
#include "daemon/engine/worker.h"
#include "daemon/history/archive.h"
#include "daemon/irc/cloak.h"
#include "daemon/webhooks/webhooks.h"
#include "daemon/modes/table.h"
#include "daemon/server/supervise.h"
#include "daemon/server/takeover.h"
#include "daemon/state/sockets.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sysexits.h>
#include <systemd/sd-daemon.h>
#include <time.h>
#include <unistd.h>

/* Signals are for the main thread's event loop; the workers are made with them blocked. */
static void start_block_signals(void)
{
	static const int numbers[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2};
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++)
		sigaddset(&set, numbers[i]);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
}

/* Without its supervisor nobody keeps what is stored, or starts it again: then it ends in order. */
static void start_follow_supervisor(void)
{
	const char *parent = getenv(SUPERVISE_VARIABLE);

	if (!parent)
		return;
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != atoi(parent))
		kill(getpid(), SIGTERM); /* it is gone already */
}

static void start_raise_nofile(void)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l) == 0)
		setrlimit(RLIMIT_NOFILE, &(struct rlimit){l.rlim_max, l.rlim_max});
}

static void start_tell_nofile(const struct config *config)
{
	int enough = sockets_for_clients();

	if (enough > 0 && (unsigned)enough < config->max_clients)
		log_notice("max_clients is %u, but file descriptors are allowed for %d clients at most: "
			   "LimitNOFILE= (or "
			   "ulimit -n) raises that",
			   config->max_clients, enough);
}

static int start_find_program(struct server *s)
{
	char path[4096];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);

	if (n < 0)
		return -errno;
	path[n] = '\0';
	s->program = strdup(path);
	return s->program ? 0 : -ENOMEM;
}

static int start_load_config(struct server *s)
{
	_cleanup_free_ char *text = NULL, *warned = NULL;
	size_t size, warned_size;
	FILE *errors = open_memstream(&text, &size);

	if (!errors)
		return -ENOMEM;
	FILE *warnings = open_memstream(&warned, &warned_size); /* without memory nobody is warned */
	int r = config_load(s->host.config_path, handlers, errors, warnings, &s->config);
	fclose(errors);
	if (warnings)
		fclose(warnings);
	if (r < 0)
		reload_report(LOG_ERR, text);
	else if (warned)
		reload_report(LOG_WARNING, warned);
	return last_good_load(s, r < 0 ? text : NULL) == 0 ? 0 : r;
}

/* Without metrics people can still talk, so a mistake here doesn't stop the start. */
static void start_open_metrics(struct server *s)
{
	_cleanup_free_ char *text = NULL;
	size_t size;
	FILE *errors = open_memstream(&text, &size);

	if (!errors)
		return;
	reload_metrics(s, s->config, errors);
	fclose(errors);
	reload_report(LOG_ERR, text);
}

struct strangers {
	struct clients *clients;
	bool *in; /* per room; made when somebody asks */
};

static void start_find_strangers(struct strangers *s)
{
	const struct client *c;

	for (uint32_t i = 0; (c = clients_at(s->clients, i)); i++) {
		if (!atomic_load(&c->cookie) || client_live(c)->flags & CLIENT_ACCOUNT)
			continue;
		for (const struct membership *m = NULL; (m = membership_next(s->clients, c, m));)
			if (m->room < ROOMS_CAPACITY)
				s->in[m->room] = true;
	}
}

/* Whether somebody is in the room who has not logged in. Without memory nobody is, so that it stays as closed as it was. */
static bool start_has_stranger(uint32_t room, void *arg)
{
	struct strangers *s = arg;

	if (!s->in) {
		s->in = calloc(ROOMS_CAPACITY, sizeof(*s->in));
		if (s->in)
			start_find_strangers(s);
	}
	return s->in && room < ROOMS_CAPACITY && s->in[room];
}

static bool start_has_home(unsigned origin, void *arg)
{
	return listeners_has_origin(arg, origin);
}

/* People were served until then by the process before (0: there was none), and are again. A start that fails says nothing. */
static void start_tell_takeover(struct server *s, uint64_t until, uint64_t again,
				const struct takeover *result)
{
	struct client_history *h = clients_history(s->shared.clients);

	if (until == 0)
		return;
	h->takeovers++;
	h->last_us = (uint64_t)clock_us(CLOCK_REALTIME);
	h->last_clients = result->taken;
	h->last_closed = result->closed;
	h->last_gap_us = again > until ? again - until : 0;
	log_event(LOG_NOTICE, &(struct log_fields){.message_id = EVENT_TAKEOVER},
		  "%u client%s taken over, %u closed; nobody was served for %.3f s", result->taken,
		  result->taken == 1 ? "" : "s", result->closed, (double)h->last_gap_us / 1e6);
}

static void start_settle_rooms(struct server *s)
{
	struct strangers strangers = {.clients = s->shared.clients};

	rooms_settle(s->shared.rooms, start_has_stranger, &strangers);
	free(strangers.in);
}

/* An impossible path is a mistake in the configuration, like those that config_load() finds. */
static int start_open_control(struct server *s)
{
	const struct config *config = s->config;
	int r = control_new(&s->host, s->event, config->control_socket, config->control_group, &s->control);

	s->mistaken = r < 0;
	return r;
}

static int start_server(struct server *s)
{
	struct takeover taken;
	int r;

	log_open(LOG_INFO);
	start_block_signals();
	start_follow_supervisor();
	r = start_find_program(s);
	if (r == 0)
		r = sockets_take(&s->sockets);
	if (r == 0)
		r = start_load_config(s);
	if (!s->config)
		return r < 0 ? r : -EINVAL;
	irc_cloak_complete(s->config, NULL);
	s->host.ctx.config = s->config;
	log_set_level(s->config->log_level);
	start_raise_nofile();
	r = sd_event_new(&s->event);
	if (r >= 0)
		r = shared_open(s);
	if (r == 0)
		r = threads_new(s);
	if (r < 0)
		return r;
	uint64_t until = gap_served_until(s->shared.clients);
	takeover_run(&s->shared, &taken);
	r = listeners_new(&s->shared, s->sockets, &s->listeners);
	s->host.listeners = s->listeners;
	if (r == 0)
		r = listeners_open(s->listeners, s->config, until > 0);
	if (r == 0)
		takeover_orphans(&s->shared, start_has_home, s->listeners);
	if (r == 0)
		start_settle_rooms(s);
	if (r == 0)
		r = webhooks_start(s->shared.webhooks);
	if (r == 0)
		r = events_add(s);
	if (r == 0)
		r = threads_start(s);
	if (r == 0)
		r = cluster_start(s->shared.cluster);
	if (r == 0)
		r = archive_start(s->shared.archive);
	if (r < 0)
		return r;
	uint64_t served = (uint64_t)clock_us(CLOCK_MONOTONIC);
	sockets_settle(s->sockets);
	start_open_metrics(s);
	r = start_open_control(s);
	if (r < 0)
		return r;
	start_tell_takeover(s, until, served, &taken);
	if (until == 0)
		start_tell_nofile(s->config);
	last_good_keep(s);
	return 0;
}

static void start_undo(struct server *s)
{
	control_free(s->control);
	metrics_listener_free(s->metrics);
	threads_free(s);
	listeners_free(s->listeners);
	shared_free(s);
	sockets_close(s->sockets);
	sd_event_source_unref(s->merge_timer);
	sd_event_unref(s->event);
	config_free(s->config);
	if (s->copies_fd >= 0)
		close(s->copies_fd);
	if (s->refused_fd >= 0)
		close(s->refused_fd);
	free(s->host.mistakes);
	free(s->program);
	free(s);
}

/*
 * Waits for a second or until SIGTERM. What the kernel does for this thread, such as io_uring, interrupts the
 * call.
 */
static void start_pause(void)
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

static void start_announce(struct server *s)
{
	const char *sender = s->shared.n_workers > 0 ? worker_sender_name(s->shared.workers[0]) : "";
	size_t listeners = listeners_count(s->listeners);
	char threads[THREADS_TEXT_MAX];

	log_event(LOG_INFO, &(struct log_fields){.message_id = EVENT_STARTED},
		  "chatd %s serves %zu listener%s with %s (%s)", PACKAGE_VERSION, listeners,
		  listeners == 1 ? "" : "s", threads_text(s, threads), sender);
	if (!sockets_have_store())
		log_info("there is no fd store (FileDescriptorStoreMax= of systemd, or chatd --supervise): "
			 "clients survive `chatctl restart`, but none of them a crash");
	status_tell(s);
	sd_notify(false, "READY=1");
}

/*
 * How a start that failed ends. Where connections wait, in the fd store or at passed sockets, the service
 * manager tries again until the mistake is mended: chatd.service. It does so at once, so the pause is ours.
 */
static int start_failed(struct server *s, int error)
{
	if (s->config)
		log_error("chatd can't start: %s", strerror(-error));
	threads_quit(s);
	bool joined = threads_join(s);
	if (!services_end(&s->shared.services) || !joined)
		_exit(EXIT_FAILURE);
	if ((!s->config || s->mistaken) && s->sockets && !sockets_were_passed(s->sockets))
		return EX_CONFIG;
	if (last_good_refuse(s) && sd_notify_barrier(false, 5 * SECOND_US) > 0)
		return EXIT_FAILURE;
	if (sd_notify(false, "STATUS=can't start; the log says why") > 0)
		start_pause();
	return EXIT_FAILURE;
}

int server_run(const char *config_path, char **argv)
{
	struct server *s = calloc(1, sizeof(*s));
	int status;

	if (!s)
		return EXIT_FAILURE;
	s->host = (struct host){.ctx.shared = &s->shared,
				.config_path = config_path,
				.reload = reload_server,
				.restart = restart_server,
				.print = last_good_print};
	s->argv = argv;
	s->rooms_fd = s->clients_fd = s->secrets_fd = s->cluster_fd = s->irc_fd = s->copies_fd =
	    s->refused_fd = -1;
	s->host.started_us = clock_us(CLOCK_REALTIME);
	s->host.began_us = clock_us(CLOCK_MONOTONIC);
	int r = start_server(s);
	if (r < 0) {
		status = start_failed(s, r);
	} else {
		start_announce(s);
		r = sd_event_loop(s->event);
		if (r < 0)
			log_error("event loop: %s", strerror(-r));
		status = stop_server(s);
	}
	start_undo(s);
	return r < 0 && status == EXIT_SUCCESS ? EXIT_FAILURE : status;
}
