/* SPDX-License-Identifier: MIT */
/*
 * The archive's thread. The first news after a pause is stored at once, and then what came in each further 50 ms in
 * one transaction; meanwhile it isn't woken by what is said. When it can't keep up it goes on without a pause.
 */
#include "daemon/history/archive_own.h"

#include "daemon/base/clock.h"

#include <poll.h>
#include <sys/resource.h>
#include <unistd.h>

#define RUN_EVERY_US 50000
/* Between two steps of what isn't urgent. */
#define RUN_UPKEEP_US 5000
/* Without news there is upkeep all the same. */
#define RUN_IDLE_US SECOND_US
/* Who talks comes first, where there isn't enough processor time for all. */
#define RUN_NICENESS 5

/* For the time, or until it is told something; with_news: or until something is said. */
static void run_wait(struct archive *a, bool with_news, int64_t us)
{
	struct pollfd p[] = {{.fd = a->urgent, .events = POLLIN},
			     {.fd = with_news ? wakeup_fd(a->wakeup) : -1, .events = POLLIN}};
	const struct timespec ts = {us / SECOND_US, us % SECOND_US * 1000};
	uint64_t n;

	if (us > 0)
		(void)!ppoll(p, 2, &ts, NULL);
	if (p[0].revents && read(a->urgent, &n, sizeof(n)) < 0)
		n = 0; /* it was read already */
	a->ctx.now = clock_us(CLOCK_MONOTONIC);
}

/* A turn and some upkeep. Returns after how long the next one is due, and whether news are waited for. */
static int64_t run_turn(struct archive *a, bool *ret_with_news)
{
	int64_t began = a->ctx.now;

	*ret_with_news = false;
	wakeup_clear(a->wakeup);
	int r = archive_turn(a);
	bool news = a->n_put > 0, more = r > 0;
	if (r == 0) {
		atomic_store(&a->whole_at, began);
		a->why[0] = '\0';
	}
	if (r >= 0)
		r = archive_upkeep(a);
	if (r < 0) {
		archive_lost(a, r);
		return 0;
	}
	if (more)
		return 0;
	int64_t left = began + RUN_EVERY_US - clock_us(CLOCK_MONOTONIC);
	if (r > 0)
		return left > RUN_UPKEEP_US ? RUN_UPKEEP_US : left > 0 ? left : 0;
	if (news)
		return left > 0 ? left : 0;
	*ret_with_news = true;
	return RUN_IDLE_US;
}

static int64_t run_without(struct archive *a)
{
	archive_end_tasks(a, -EAGAIN);
	int64_t left = a->retry_at - clock_us(CLOCK_MONOTONIC);
	return left > 0 ? left : 0;
}

/* For good: what is there is stored, if it can be within the time. Else a successor stores it. */
static bool run_goes_on(struct archive *a, bool whole)
{
	if (atomic_load(&a->phase) != ARCHIVE_QUIT)
		return true;
	return atomic_load(&a->leaves) && !whole && a->store &&
	       clock_us(CLOCK_MONOTONIC) < atomic_load(&a->quit_until);
}

void *archive_run(void *arg)
{
	struct archive *a = arg;
	bool with_news = false, whole;
	int64_t wait = 0;

	pthread_setname_np(pthread_self(), a->service.name);
	setpriority(PRIO_PROCESS, (id_t)gettid(), RUN_NICENESS);
	do {
		run_wait(a, with_news, wait);
		int phase = atomic_load(&a->phase);
		with_news = false;
		if (!a->store && a->ctx.now >= a->retry_at)
			archive_connect(a);
		wait = a->store ? run_turn(a, &with_news) : run_without(a);
		whole = a->store && a->n_busy == 0 && a->n_put == 0;
		if (phase == ARCHIVE_DRAIN && (whole || !a->store))
			atomic_store(&a->drained, true);
		if (phase != ARCHIVE_RUN && !whole && a->store)
			wait = 0;
	} while (run_goes_on(a, whole));
	archive_end_tasks(a, -ESHUTDOWN);
	if (atomic_load(&a->leaves))
		store_leave(a->store);
	store_close(a->store);
	a->store = NULL;
	return NULL;
}
