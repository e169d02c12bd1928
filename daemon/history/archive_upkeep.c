/* SPDX-License-Identifier: MIT */
/*
 * What the archive does between two turns: it opens the database and gives it up, does what others ask for, keeps
 * the index up to date, and removes what was kept long enough; each in steps that take some milliseconds.
 */
#include "daemon/history/archive_own.h"

#include "daemon/base/clock.h"
#include "daemon/base/fault.h"
#include "daemon/base/logger.h"
#include "daemon/rooms/restore.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#define RETRY_FIRST_US SECOND_US
#define RETRY_MAX_US (30 * SECOND_US)
/* So long it is left to a process that was restarted or has crashed. */
#define COMES_BACK_US (60 * SECOND_US)
#define EXPIRE_EVERY_US (10 * SECOND_US)
#define FIGURES_EVERY_US (5 * SECOND_US)
/* Messages that can't be found by the index are read through, so they may wait for each other. */
#define INDEX_EVERY_US SECOND_US
#define EXPIRE_ROWS 500
#define INDEX_ROWS 8192
/* That it is still away is said again. */
#define TELL_AGAIN_US (600 * SECOND_US)

/* --- the database comes and goes --- */

static void upkeep_set_state(struct archive *a, enum archive_state state, const char *why)
{
	pthread_mutex_lock(&a->lock);
	if (a->status.state != state)
		a->status.since_us = clock_us(CLOCK_REALTIME);
	a->status.state = state;
	snprintf(a->status.why, sizeof(a->status.why), "%s", why);
	if (state == ARCHIVE_AWAY)
		a->status.messages = a->status.bytes = a->status.rooms = 0;
	pthread_mutex_unlock(&a->lock);
}

static void upkeep_away(struct archive *a, const char *why)
{
	bool said = strcmp(a->why, why) == 0 && a->ctx.now - a->told_at < TELL_AGAIN_US;

	upkeep_set_state(a, ARCHIVE_AWAY, why);
	snprintf(a->why, sizeof(a->why), "%s", why);
	a->retry_us = a->retry_us == 0 ? RETRY_FIRST_US : a->retry_us * 2;
	if (a->retry_us > RETRY_MAX_US)
		a->retry_us = RETRY_MAX_US;
	a->retry_at = clock_us(CLOCK_MONOTONIC) + a->retry_us;
	if (said)
		return;
	a->told_at = a->ctx.now;
	log_event(LOG_ERR, &(struct log_fields){.message_id = EVENT_HISTORY},
		  "history: nothing can be stored at the moment: %s", why);
}

/* What is damaged is kept for somebody to look at; another one begins at once. */
static void upkeep_set_aside(struct archive *a, const char *why)
{
	char name[PATH_MAX], text[STORE_WHY_MAX];
	int r = store_set_aside(a->path, name, sizeof(name));

	FAULT("archive-aside");
	if (r < 0) {
		snprintf(text, sizeof(text), "%.180s; it can't be renamed: %s", why, strerror(-r));
		upkeep_away(a, text);
		return;
	}
	log_event(LOG_ERR, &(struct log_fields){.message_id = EVENT_HISTORY},
		  "history: the database is damaged (%s): it is %s now, and another one begins", why, name);
	pthread_mutex_lock(&a->lock);
	a->status.set_aside++;
	pthread_mutex_unlock(&a->lock);
	snprintf(a->why, sizeof(a->why), "the database was damaged");
	a->retry_at = 0;
}

/* Another chatd's database stays its own while that is restarted. */
static bool upkeep_is_left_alone(struct archive *a, char why[static STORE_WHY_MAX])
{
	long by = a->refused ? store_left_by(a->path) : 0;

	if (by == 0) {
		a->left_at = 0;
		return false;
	}
	if (a->left_at == 0)
		a->left_at = a->ctx.now;
	snprintf(why, STORE_WHY_MAX, "%.100s: another chatd (process %ld) wrote to it, and may come back",
		 a->path, by);
	return a->ctx.now - a->left_at < COMES_BACK_US;
}

static int upkeep_open(struct archive *a, char why[static STORE_WHY_MAX])
{
	int r = upkeep_is_left_alone(a, why) ? -EBUSY
					     : store_open(a->path, STORE_WRITE, a->epoch, &a->store, why);

	a->refused = r == -EBUSY;
	if (r < 0)
		a->store = NULL;
	else
		store_set_search(a->store, a->search);
	return r;
}

void archive_connect(struct archive *a)
{
	char why[STORE_WHY_MAX] = "";
	int r = upkeep_open(a, why);

	if (r == -EBADMSG) {
		upkeep_set_aside(a, why);
		r = a->retry_at == 0 ? upkeep_open(a, why) : 1;
	}
	if (r < 0)
		upkeep_away(a, why[0] ? why : strerror(-r));
	if (r != 0)
		return;
	a->connection++;
	archive_channels_again(a);
	a->retry_us = 0;
	a->unindexed = 1; /* whether there is any is asked for */
	a->expire_at = a->figures_at = 0;
	a->expiring = a->rules->forgets;
	a->learns = rooms_past_is_unknown(a->ctx.shared->rooms);
	a->learn_at = 0;
	/* What somebody wanted forgotten may not be overwritten everywhere yet. */
	a->scrubbing = a->rules->forgets || store_is_unclean(a->store);
	atomic_store(&a->whole_at, a->ctx.now);
	if (a->why[0])
		log_event(LOG_NOTICE, &(struct log_fields){.message_id = EVENT_HISTORY},
			  "history: what is said is stored again");
	upkeep_set_state(a, ARCHIVE_STORES, "");
}

void archive_lost(struct archive *a, int error)
{
	char why[STORE_WHY_MAX];

	snprintf(why, sizeof(why), "%s", store_why(a->store)[0] ? store_why(a->store) : strerror(-error));
	archive_turn_failed(a);
	store_close(a->store);
	a->store = NULL;
	if (error == -EBADMSG)
		upkeep_set_aside(a, why);
	else
		upkeep_away(a, why);
}

/* A start without it has left open which rooms there were. */
static int upkeep_learn(struct archive *a)
{
	if (!a->learns || a->ctx.now < a->learn_at)
		return 0;
	int r = archive_learn_rooms(a);
	a->learns = r < 0;
	a->learn_at = a->ctx.now + RETRY_FIRST_US;
	return r == -ENOMEM || r == -ENOSPC ? 0 : r;
}

/* --- what others ask for --- */

static struct archive_task *upkeep_first_task(struct archive *a)
{
	pthread_mutex_lock(&a->lock);
	struct archive_task *t = a->tasks;
	pthread_mutex_unlock(&a->lock);
	return t;
}

static void upkeep_end_task(struct archive *a, struct archive_task *t, int r)
{
	pthread_mutex_lock(&a->lock);
	a->tasks = t->next;
	if (!a->tasks)
		a->last_task = &a->tasks;
	pthread_mutex_unlock(&a->lock);
	t->over(t, r);
}

/* All are told that there is no database, or no archive any more. */
void archive_end_tasks(struct archive *a, int error)
{
	struct archive_task *t;

	if (error == -ESHUTDOWN) {
		pthread_mutex_lock(&a->lock);
		a->closed = true;
		pthread_mutex_unlock(&a->lock);
	}
	while ((t = upkeep_first_task(a)))
		upkeep_end_task(a, t, error);
}

/* 1: it is to be called again. What an asker does wrong is no reason to give up the database. */
static int upkeep_task(struct archive *a)
{
	struct archive_task *t = upkeep_first_task(a);

	if (!t)
		return 0;
	/* A turn that began after it was asked is over before it begins. */
	if (!t->begun) {
		t->begun = true;
		return 1;
	}
	int r = t->step(t, a->store);
	if (r != 1) {
		upkeep_end_task(a, t, r);
		a->scrubbing =
		    true; /* of what was removed, if somebody's reading has kept some of it there */
	}
	return r == -EBADMSG || r == -EIO ? r : 1;
}

/* --- what was kept long enough --- */

static void upkeep_take_rules(struct archive *a)
{
	pthread_mutex_lock(&a->lock);
	struct archive_rules *new = a->new_rules;
	a->new_rules = NULL;
	pthread_mutex_unlock(&a->lock);
	if (!new)
		return;
	archive_rules_free(a->rules);
	a->rules = new;
	a->expire_at = 0;
	a->scrubbing |= new->forgets;
}

static int upkeep_expire(struct archive *a)
{
	bool more = false;
	int r = 0;

	if (!a->expiring && a->ctx.now >= a->expire_at)
		a->expiring = true;
	if (a->expiring) {
		a->expire_at = a->ctx.now + EXPIRE_EVERY_US;
		r = store_expire(a->store, a->rules->at, a->rules->n, clock_us(CLOCK_REALTIME), EXPIRE_ROWS,
				 &more);
		FAULT("archive-expired");
		a->expiring = more;
		a->scrubbing |= r == 0 && !more && a->rules->forgets && store_is_unclean(a->store);
	} else if (a->scrubbing) {
		r = store_scrub(a->store, &more);
		a->scrubbing = more;
	}
	return r < 0 ? r : more;
}

/* --- the index, and what is told --- */

static int upkeep_index(struct archive *a)
{
	if (a->unindexed == 0 || a->ctx.now - a->indexed_at < INDEX_EVERY_US)
		return 0;
	int r = store_index(a->store, INDEX_ROWS, &a->unindexed);
	if (a->unindexed == 0)
		a->indexed_at = a->ctx.now;
	return r < 0 ? r : a->unindexed > 0;
}

static int upkeep_figures(struct archive *a)
{
	struct store_figures f;

	if (a->ctx.now < a->figures_at)
		return 0;
	a->figures_at = a->ctx.now + FIGURES_EVERY_US;
	int r = store_figures(a->store, &f);
	if (r < 0)
		return r;
	pthread_mutex_lock(&a->lock);
	a->status.messages = f.messages;
	a->status.bytes = f.file_bytes;
	a->status.rooms = f.rooms;
	a->status.oldest_us = f.oldest_us;
	a->status.newest_us = f.newest_us;
	pthread_mutex_unlock(&a->lock);
	return 0;
}

int archive_upkeep(struct archive *a)
{
	static int (*const steps[])(struct archive * a) = {upkeep_learn, upkeep_task, upkeep_index,
							   upkeep_expire, upkeep_figures};
	int more = 0;

	upkeep_take_rules(a);
	for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
		int r = steps[i](a);
		if (r < 0)
			return r;
		more |= r;
	}
	return more;
}
