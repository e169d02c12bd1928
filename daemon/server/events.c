/* SPDX-License-Identifier: MIT */
/*
 * The main thread's event loop: signals, timers, the watchdog, and news of rooms and of the log, which
 * clients of the control socket may follow.
 */
#include "daemon/base/log_watch.h"
#include "daemon/server/server.h"

#include "common/cleanup.h"
#include "daemon/base/clock.h"
#include "daemon/base/logger.h"
#include "daemon/cluster/cluster.h"
#include "daemon/engine/bans.h"
#include "daemon/engine/limits.h"
#include "daemon/state/keeper.h"
#include "daemon/state/sockets.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <systemd/sd-daemon.h>
#include <time.h>
#include <unistd.h>

/* The keeper's sockets are merged in steps, with a pause for the main thread's other work. */
#define MERGE_PAUSE_US 2000

static int events_end_signal(sd_event_source *source, const struct signalfd_siginfo *si, void *arg)
{
	struct server *s = arg;

	(void)source;
	/* RestartKillSignal=: the service manager keeps the state for the process that it starts next. */
	s->ending = si->ssi_signo == SIGUSR1 && sockets_have_store() ? END_HANDOVER : END_STOP;
	return sd_event_exit(s->event, 0);
}

static int events_reload_signal(sd_event_source *source, const struct signalfd_siginfo *si, void *arg)
{
	_cleanup_free_ char *errors = NULL;

	(void)source;
	(void)si;
	reload_server(arg, &errors);
	return 0;
}

static int events_restart_signal(sd_event_source *source, const struct signalfd_siginfo *si, void *arg)
{
	_cleanup_free_ char *why = NULL;

	(void)source;
	(void)si;
	restart_server(arg, &why);
	return 0;
}

/* The marks need no look one by one: each stream that follows a room checks it. */
static void events_ignore_mark(uint32_t room, void *arg)
{
	(void)room;
	(void)arg;
}

static int events_news(sd_event_source *source, int fd, uint32_t events, void *arg)
{
	struct server *s = arg;
	struct wakeup *w = slots_wakeup(s->shared.slots, s->host.ctx.slot);

	(void)source;
	(void)fd;
	(void)events;
	wakeup_clear(w);
	wakeup_take(w, events_ignore_mark, NULL);
	if (s->control)
		control_news(s->control);
	return 0;
}

static int events_log(sd_event_source *source, int fd, uint32_t events, void *arg)
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

/* Once in a while is enough to complain: it is tried again when they change, and each hour. */
static void events_save_names(struct server *s)
{
	int r = cluster_save_names(s->shared.cluster);

	if (r < 0)
		log_event(LOG_WARNING, &(struct log_fields){.message_id = EVENT_NODE},
			  "the names that other nodes reserve can't be saved: %s", strerror(-r));
}

static int events_second(sd_event_source *source, uint64_t now, void *arg)
{
	struct server *s = arg;

	rooms_expire(s->shared.rooms, clock_us(CLOCK_MONOTONIC));
	bans_expire(s->shared.bans);
	ban_follow(s);
	reserved_follow(s);
	events_save_names(s);
	if (sd_event_source_get_enabled(s->merge_timer, NULL) == 0)
		sd_event_source_set_enabled(s->merge_timer, SD_EVENT_ON);
	status_tell(s);
	status_tell_uncovered(s);
	status_note_starving(s);
	return sd_event_source_set_time(source, now + SECOND_US);
}

static int events_merge(sd_event_source *source, uint64_t now, void *arg)
{
	struct server *s = arg;

	if (keeper_merge(s->shared.keeper, limits_total(s->shared.limits)))
		return sd_event_source_set_time(source, now + MERGE_PAUSE_US);
	return sd_event_source_set_enabled(source, SD_EVENT_OFF);
}

/* Many connections at once fill the keeper faster than once a second. */
static int events_keeper(sd_event_source *source, int fd, uint32_t events, void *arg)
{
	struct server *s = arg;

	(void)source;
	(void)fd;
	(void)events;
	keeper_relieve(s->shared.keeper);
	return sd_event_source_set_enabled(s->merge_timer, SD_EVENT_ON);
}

static int events_watchdog(sd_event_source *source, uint64_t now, void *arg)
{
	const struct server *s = arg;

	if (threads_are_alive(s))
		sd_notify(false, "WATCHDOG=1");
	return sd_event_source_set_time(source, now + s->watchdog_us / 4);
}

static int events_add_timer(struct server *s, uint64_t in_us, sd_event_time_handler_t handler,
			    sd_event_source **ret)
{
	sd_event_source *source;
	int r = sd_event_add_time_relative(s->event, &source, CLOCK_MONOTONIC, in_us, 1000, handler, s);

	if (r < 0)
		return r;
	/* A handler that fails must not be switched off silently. */
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

int events_add(struct server *s)
{
	const struct {
		int number;
		sd_event_signal_handler_t handler;
	} signals[] = {
	    {SIGTERM, events_end_signal},     {SIGINT, events_end_signal},    {SIGUSR1, events_end_signal},
	    {SIGUSR2, events_restart_signal}, {SIGHUP, events_reload_signal},
	};
	int r = 0;

	for (size_t i = 0; r >= 0 && i < sizeof(signals) / sizeof(*signals); i++)
		r = sd_event_add_signal(s->event, NULL, signals[i].number, signals[i].handler, s);
	if (r >= 0)
		r = sd_event_add_io(s->event, NULL,
				    wakeup_fd(slots_wakeup(s->shared.slots, s->host.ctx.slot)), EPOLLIN,
				    events_news, s);
	int log_fd = log_watch_fd();
	if (r >= 0)
		r = log_fd < 0 ? log_fd : sd_event_add_io(s->event, NULL, log_fd, EPOLLIN, events_log, s);
	if (r >= 0)
		r = events_add_timer(s, SECOND_US, events_second, NULL);
	if (r >= 0)
		r = events_add_timer(s, SECOND_US, events_merge, &s->merge_timer);
	if (r >= 0)
		r = sd_event_add_io(s->event, NULL, keeper_fd(s->shared.keeper), EPOLLIN, events_keeper, s);
	if (r >= 0 && sd_watchdog_enabled(false, &s->watchdog_us) > 0)
		r = events_add_timer(s, s->watchdog_us / 4, events_watchdog, NULL);
	return r < 0 ? r : 0;
}
