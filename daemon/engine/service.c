/* SPDX-License-Identifier: MIT */
/* What the server does with all services: see the header. */
#include "daemon/engine/service.h"

#include "common/cleanup.h"
#include "daemon/base/clock.h"
#include "daemon/base/logger.h"

#include <string.h>
#include <time.h>

/* How long the end of a thread may take beyond its linger. */
#define SERVICE_END_US (10 * SECOND_US)
#define SERVICE_DRAIN_POLL_NS 1000000
/* A timed join would know the wall clock only, which may jump. */
#define SERVICE_JOIN_POLL_NS 200000

void services_add(struct services *ss, struct service *s)
{
	struct service **p = &ss->first;

	while (*p)
		p = &(*p)->next;
	s->next = NULL;
	*p = s;
}

void services_remove(struct services *ss, struct service *s)
{
	struct service **p = &ss->first;

	while (*p && *p != s)
		p = &(*p)->next;
	if (*p)
		*p = s->next;
}

struct service *services_next(const struct services *ss, const struct service *s)
{
	return s ? s->next : ss->first;
}

bool services_has(const struct services *ss, const char *name)
{
	for (const struct service *s = ss->first; s; s = s->next)
		if (strcmp(s->name, name) == 0)
			return true;
	return false;
}

static void service_wait_drained(const struct service *s, int64_t until)
{
	while (!s->ops->is_drained(s) && clock_us(CLOCK_MONOTONIC) < until)
		nanosleep(&(struct timespec){.tv_nsec = SERVICE_DRAIN_POLL_NS}, NULL);
}

void services_drain(struct services *ss, int64_t timeout_us)
{
	int64_t until = clock_us(CLOCK_MONOTONIC) + timeout_us;

	for (struct service *s = ss->first; s; s = s->next)
		s->ops->drain(s);
	for (struct service *s = ss->first; s; s = s->next)
		service_wait_drained(s, until);
}

bool services_end(struct services *ss)
{
	int64_t began = clock_us(CLOCK_MONOTONIC);
	bool all = true;

	for (struct service *s = ss->first; s; s = s->next)
		s->ops->quit(s, INT64_MAX);
	for (struct service *s = ss->first; s; s = s->next) {
		int64_t linger = s->ops->linger ? s->ops->linger(s) : 0;
		int64_t left = began + linger + SERVICE_END_US - clock_us(CLOCK_MONOTONIC);
		if (s->ops->join(s, left > 0 ? left : 0))
			continue;
		log_event(LOG_ERR, &(struct log_fields){.message_id = EVENT_WORKER, .listener = s->listener},
			  "service %s does not end", s->name);
		all = false;
	}
	return all;
}

void services_start(struct services *ss)
{
	for (struct service *s = ss->first; s; s = s->next)
		service_start(s, true);
}

void services_reloaded(struct services *ss, const struct config *config)
{
	for (struct service *s = ss->first; s; s = s->next)
		if (s->ops->reloaded)
			s->ops->reloaded(s, config);
}

void services_free(struct services *ss)
{
	for (struct service *s = ss->first, *next; s; s = next) {
		next = s->next;
		if (!s->ops->free)
			continue;
		services_remove(ss, s);
		s->ops->free(s);
	}
}

unsigned services_shown(const struct services *ss)
{
	unsigned n = 0;

	for (const struct service *s = ss->first; s; s = s->next)
		n += s->ops->peers != NULL;
	return n;
}

bool services_are_alive(const struct services *ss, int64_t now, int64_t limit_us)
{
	for (const struct service *s = ss->first; s; s = s->next) {
		if (!s->ops->beat || now - s->ops->beat(s) <= limit_us)
			continue;
		log_event(LOG_WARNING,
			  &(struct log_fields){.message_id = EVENT_WORKER, .listener = s->listener},
			  "service %s makes no progress; the watchdog is not fed", s->name);
		return false;
	}
	return true;
}

void service_end(struct service *s, int64_t timeout_us)
{
	int64_t until = clock_us(CLOCK_MONOTONIC) + timeout_us;

	s->ops->drain(s);
	service_wait_drained(s, until);
	s->ops->quit(s, timeout_us);
	if (!s->ops->join(s, timeout_us + SERVICE_END_US))
		abort(); /* what the thread uses can't be freed; a crash is recovered from */
}

bool service_join_thread(pthread_t thread, bool *started, int64_t timeout_us)
{
	int64_t until = clock_us(CLOCK_MONOTONIC) + timeout_us;

	while (*started) {
		if (pthread_tryjoin_np(thread, NULL) == 0)
			*started = false;
		else if (clock_us(CLOCK_MONOTONIC) >= until)
			return false;
		else
			nanosleep(&(struct timespec){.tv_nsec = SERVICE_JOIN_POLL_NS}, NULL);
	}
	return true;
}
