/* SPDX-License-Identifier: MIT */
/* The service as others see it: how it begins and ends, what it is told, and what it tells. */
#include "daemon/history/archive.h"

#include "daemon/base/clock.h"
#include "daemon/base/logger.h"
#include "daemon/channels/record.h"
#include "daemon/history/archive_own.h"
#include "daemon/history/backup.h"
#include "daemon/rooms/archived.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* What was said last is waited for so long when chatd ends for good, however slow the disk is. */
#define ARCHIVE_LINGER_US (10 * SECOND_US)
/* What is said is stored later than that: it is behind. */
#define ARCHIVE_BEHIND_US (2 * SECOND_US)

/* --- what is kept --- */

struct archive_rules *archive_rules_new(const struct history_config *config)
{
	struct archive_rules *r = calloc(1, sizeof(*r));
	size_t n = config->n_rooms;

	if (r) {
		r->at = calloc(n + 1, sizeof(*r->at));
		r->names = calloc(n + 1, sizeof(*r->names));
	}
	if (!r || !r->at || !r->names) {
		archive_rules_free(r);
		return NULL;
	}
	for (size_t i = 0; i <= n; i++) {
		r->names[i] = i < n ? config->rooms[i] : config->keep;
		const struct history_keep *k = &r->names[i];
		r->at[i] = (struct store_keep){.room = i < n ? k->room : NULL,
					       .us = k->us,
					       .messages = k->messages,
					       .bytes = k->bytes,
					       .nothing = k->nothing};
		r->forgets |= k->nothing;
	}
	r->n = n + 1;
	return r;
}

void archive_rules_free(struct archive_rules *r)
{
	if (!r)
		return;
	free(r->at);
	free(r->names);
	free(r);
}

bool archive_keeps(const struct archive *a, const char *room)
{
	struct archive *lockable = (struct archive *)a;

	if (!a)
		return false;
	pthread_mutex_lock(&lockable->lock);
	bool keeps = !history_config_keep(a->config, room)->nothing;
	pthread_mutex_unlock(&lockable->lock);
	return keeps;
}

static bool archive_keeps_room(const char *room, void *arg)
{
	return archive_keeps(arg, room);
}

/* Under the lock of the rooms, on any thread. Without memory a room is taken to be there still. */
static void archive_room_removed(const struct room *r, uint64_t first, uint64_t end, void *arg)
{
	struct archive *a = arg;
	struct archive_ended *e = calloc(1, sizeof(*e));

	if (!e)
		return;
	*e = (struct archive_ended){.epoch = r->epoch,
				    .first = first,
				    .end = end,
				    .raw = r->raw,
				    .read_only = r->read_only,
				    .members_only = r->members_only};
	memcpy(e->name, r->name, sizeof(e->name));
	pthread_mutex_lock(&a->lock);
	*a->last_ended = e;
	a->last_ended = &e->next;
	pthread_mutex_unlock(&a->lock);
}

static int archive_compare_room(const void *room, const void *streamed)
{
	return strcmp(room, ((const struct archive_streamed *)streamed)->room);
}

/* Under the lock of the rooms, on any thread. */
static uint64_t archive_find_place(const char *room, int64_t *ret_us, void *arg)
{
	const struct archive *a = arg;
	const struct archive_streamed *s =
	    a->n_streamed ? bsearch(room, a->streamed, a->n_streamed, sizeof(*s), archive_compare_room)
			  : NULL;

	*ret_us = s ? s->p.time_us : 0;
	return s ? s->p.place : 0;
}

static void archive_watch_rooms(struct archive *a)
{
	const struct rooms_archive archive = {a->ctx.slot, archive_keeps_room, archive_room_removed,
					      archive_find_place, a};

	rooms_archive(a->ctx.shared->rooms, &archive);
}

/* --- what it is told --- */

static void archive_wake(struct archive *a)
{
	uint64_t one = 1;

	if (write(a->urgent, &one, sizeof(one)) < 0)
		return; /* the counter is full: it is awake */
}

void archive_ask(struct archive *a, struct archive_task *t)
{
	bool taken = false;

	t->next = NULL;
	t->begun = false;
	if (a) {
		pthread_mutex_lock(&a->lock);
		taken = !a->closed;
		if (taken) {
			*a->last_task = t;
			a->last_task = &t->next;
		}
		pthread_mutex_unlock(&a->lock);
	}
	if (taken)
		archive_wake(a);
	else
		t->over(t, a ? -ESHUTDOWN : -EAGAIN);
}

void archive_leave(struct archive *a)
{
	if (a)
		atomic_store(&a->leaves, true);
}

static void archive_reloaded(struct service *s, const struct config *config)
{
	struct archive *a = (struct archive *)s;
	struct archive_rules *rules = config->history ? archive_rules_new(config->history) : NULL;

	if (!rules)
		return;
	history_config_hold(config->history);
	pthread_mutex_lock(&a->lock);
	struct history_config *old = a->config;
	a->config = config->history;
	pthread_mutex_unlock(&a->lock);
	archive_watch_rooms(a);
	/* Last: nothing is stored any more of what these rules remove. */
	pthread_mutex_lock(&a->lock);
	struct archive_rules *before = a->new_rules;
	a->new_rules = rules;
	pthread_mutex_unlock(&a->lock);
	history_config_free(old);
	archive_rules_free(before);
	archive_channels_again(a); /* of rooms that are stored from now on */
	archive_wake(a);
}

/* --- what it tells --- */

const char *archive_path(const struct archive *a)
{
	return a ? a->path : NULL;
}

static bool archive_count_waiting(struct room *r, void *arg)
{
	uint64_t count = logring_count(r->log), stored = atomic_load(&r->archived), from = r->kept_from;

	if (r->is_archived && count > (stored > from ? stored : from))
		*(uint64_t *)arg += count - (stored > from ? stored : from);
	return true;
}

bool archive_lacks(struct archive *a, const struct room *room)
{
	if (!a || room_is_stored(room))
		return false;
	pthread_mutex_lock(&a->lock);
	bool away = a->status.state == ARCHIVE_AWAY;
	pthread_mutex_unlock(&a->lock);
	return away || clock_us(CLOCK_MONOTONIC) - atomic_load(&a->whole_at) > ARCHIVE_BEHIND_US;
}

void archive_copy_status(struct archive *a, struct archive_status *ret)
{
	*ret = (struct archive_status){.state = ARCHIVE_OFF};
	if (!a)
		return;
	pthread_mutex_lock(&a->lock);
	*ret = a->status;
	pthread_mutex_unlock(&a->lock);
	ret->waiting = 0;
	rooms_each(a->ctx.shared->rooms, archive_count_waiting, &ret->waiting);
	int64_t late = clock_us(CLOCK_MONOTONIC) - atomic_load(&a->whole_at);
	if (ret->state == ARCHIVE_STORES && ret->waiting > 0 && late > ARCHIVE_BEHIND_US) {
		ret->state = ARCHIVE_BEHIND;
		ret->since_us = clock_us(CLOCK_REALTIME) - late;
	}
}

/* --- as a service --- */

static int archive_service_start(struct service *s, bool held)
{
	struct archive *a = (struct archive *)s;

	(void)held;
	if (a->started)
		return 0;
	atomic_store(&a->phase, ARCHIVE_RUN);
	atomic_store(&a->drained, false);
	a->closed = false;
	int r = -pthread_create(&a->thread, NULL, archive_run, a);
	a->started = r == 0;
	if (r < 0)
		log_error("history: %s", strerror(-r));
	return r;
}

static void archive_drain(struct service *s)
{
	struct archive *a = (struct archive *)s;

	atomic_store(&a->phase, ARCHIVE_DRAIN);
	archive_wake(a);
}

static bool archive_is_drained(const struct service *s)
{
	const struct archive *a = (const struct archive *)s;

	/* What a successor finds in the rooms needn't be waited for. */
	return !a->started || !atomic_load(&a->leaves) || atomic_load(&a->drained);
}

static int64_t archive_linger(const struct service *s)
{
	(void)s;
	return ARCHIVE_LINGER_US;
}

static void archive_quit(struct service *s, int64_t linger_us)
{
	struct archive *a = (struct archive *)s;

	if (linger_us > ARCHIVE_LINGER_US)
		linger_us = ARCHIVE_LINGER_US;
	atomic_store(&a->quit_until, clock_us(CLOCK_MONOTONIC) + linger_us);
	atomic_store(&a->phase, ARCHIVE_QUIT);
	archive_wake(a);
}

static bool archive_join(struct service *s, int64_t timeout_us)
{
	struct archive *a = (struct archive *)s;
	struct archive_status status;

	if (!service_join_thread(a->thread, &a->started, timeout_us))
		return false;
	archive_copy_status(a, &status);
	if (atomic_load(&a->leaves) && status.waiting > 0)
		log_event(LOG_WARNING, &(struct log_fields){.message_id = EVENT_HISTORY},
			  "history: %" PRIu64 " message%s could not be stored, and end with this process%s%s",
			  status.waiting, status.waiting == 1 ? "" : "s", *status.why ? ": " : "",
			  status.why);
	return true;
}

static void archive_free(struct service *s)
{
	struct archive *a = (struct archive *)s;

	if (a->started) {
		archive_quit(s, 0);
		pthread_join(a->thread, NULL);
	}
	store_close(a->store);
	store_close(a->past);
	a->ctx.shared->archive = NULL;
	slots_give(a->ctx.shared->slots, a->ctx.slot);
	for (struct archive_ended *e = a->ended, *next; e; e = next) {
		next = e->next;
		free(e);
	}
	history_config_free(a->config);
	archive_rules_free(a->rules);
	archive_rules_free(a->new_rules);
	pthread_mutex_destroy(&a->lock);
	if (a->urgent >= 0)
		close(a->urgent);
	for (size_t i = 0; i < a->n_streamed; i++)
		free(a->streamed[i].room);
	free(a->streamed);
	free(a->places);
	free(a->busy);
	free(a->held);
	free(a->records);
	free(a->text);
	free(a->channel);
	free(a->unpacked);
	free(a->path);
	free(a);
}

static const struct service_ops archive_ops = {
    .start = archive_service_start,
    .drain = archive_drain,
    .is_drained = archive_is_drained,
    .quit = archive_quit,
    .join = archive_join,
    .linger = archive_linger,
    .reloaded = archive_reloaded,
    .free = archive_free,
};

static int archive_allocate(struct archive *a, const struct config *config)
{
	a->urgent = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	a->path = config_state_path(config, config->history->database);
	a->rules = archive_rules_new(config->history);
	a->places = calloc(ROOMS_CAPACITY, sizeof(*a->places));
	a->busy = calloc(ROOMS_CAPACITY, sizeof(*a->busy));
	a->held = calloc(ARCHIVE_TURN_ROOMS, sizeof(*a->held));
	a->records = calloc(ARCHIVE_CHUNK_MESSAGES, sizeof(*a->records));
	a->channel = malloc(STORE_CHANNEL_MAX);
	a->unpacked = malloc(sizeof(*a->unpacked));
	if (a->urgent < 0)
		return -errno;
	return a->path && a->rules && a->places && a->busy && a->held && a->records && a->channel &&
		       a->unpacked
		   ? 0
		   : -ENOMEM;
}

int archive_open(struct shared *shared, const struct config *config)
{
	if (!config->history) {
		rooms_archive(shared->rooms, NULL);
		return 0;
	}
	struct archive *a = calloc(1, sizeof(*a));
	int r = a ? slots_take(shared->slots, false, &a->ctx.slot) : -ENOMEM;
	if (r < 0) {
		free(a);
		return r;
	}
	a->ctx.shared = shared;
	a->wakeup = slots_wakeup(shared->slots, a->ctx.slot);
	a->config = history_config_hold(config->history);
	a->search = config->history->search;
	a->service = (struct service){.ops = &archive_ops, .name = "chatd/history"};
	a->last_ended = &a->ended;
	a->last_task = &a->tasks;
	a->status = (struct archive_status){.state = ARCHIVE_STORES, .since_us = clock_us(CLOCK_REALTIME)};
	atomic_store(&a->whole_at, clock_us(CLOCK_MONOTONIC));
	pthread_mutex_init(&a->lock, NULL);
	services_add(&shared->services, &a->service);
	shared->archive = a;
	r = archive_allocate(a, config);
	if (r < 0)
		return r;
	if (!store_is_in_use(a->path)) /* by another chatd, whose copy it would be */
		backup_tidy(a->path);
	archive_name_messages(a);
	if (config->cluster)
		archive_learn_places(a);
	archive_watch_rooms(a);
	return 0;
}

int archive_start(struct archive *a)
{
	return a ? service_start(&a->service, true) : 0;
}
