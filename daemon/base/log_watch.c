/* SPDX-License-Identifier: MIT */
/* The last events, in a ring that everybody who watches reads at a place of their own. */
#include "daemon/base/log_watch.h"

#include "common/text.h"
#include "daemon/base/clock.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define LOG_WATCH_ENTRIES 1024

static struct {
	pthread_mutex_t lock;
	atomic_uint watchers; /* nobody: nothing is kept */
	int fd;
	uint64_t next;
	struct log_entry ring[LOG_WATCH_ENTRIES];
} watch = {.lock = PTHREAD_MUTEX_INITIALIZER, .fd = -1};

bool log_watch_wants(const struct log_fields *fields)
{
	return atomic_load_explicit(&watch.watchers, memory_order_relaxed) > 0 && fields &&
	       event_kind(fields->message_id);
}

void log_watch_keep(const struct log_fields *fields, const char *text, size_t n)
{
	uint64_t one = 1;

	pthread_mutex_lock(&watch.lock);
	struct log_entry *e = &watch.ring[watch.next++ % LOG_WATCH_ENTRIES];
	*e = (struct log_entry){.time_us = clock_us(CLOCK_REALTIME),
				.kind = event_kind(fields->message_id),
				.client = fields->client,
				.until_us = fields->until_us};
	snprintf(e->room, sizeof(e->room), "%s", fields->room ? fields->room : "");
	snprintf(e->listener, sizeof(e->listener), "%s", fields->listener ? fields->listener : "");
	if (fields->address)
		address_format(fields->address, e->address);
	else
		snprintf(e->address, sizeof(e->address), "%s", fields->prefix ? fields->prefix : "");
	if (fields->reason)
		text_escape(e->reason, sizeof(e->reason), fields->reason, strlen(fields->reason));
	text_escape(e->text, sizeof(e->text), text, n);
	pthread_mutex_unlock(&watch.lock);
	if (watch.fd >= 0 && write(watch.fd, &one, sizeof(one)) < 0)
		(void)0; /* it is readable already */
}

int log_watch_fd(void)
{
	if (watch.fd < 0)
		watch.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return watch.fd < 0 ? -errno : watch.fd;
}

uint64_t log_watch(void)
{
	atomic_fetch_add(&watch.watchers, 1);
	pthread_mutex_lock(&watch.lock);
	uint64_t next = watch.next;
	pthread_mutex_unlock(&watch.lock);
	return next;
}

void log_unwatch(void)
{
	atomic_fetch_sub(&watch.watchers, 1);
}

bool log_watch_next(uint64_t *number, struct log_entry *ret, uint64_t *ret_missed)
{
	*ret_missed = 0;
	pthread_mutex_lock(&watch.lock);
	if (watch.next > LOG_WATCH_ENTRIES && *number < watch.next - LOG_WATCH_ENTRIES) {
		*ret_missed = watch.next - LOG_WATCH_ENTRIES - *number;
		*number = watch.next - LOG_WATCH_ENTRIES;
	}
	bool there = *number < watch.next;
	if (there)
		*ret = watch.ring[(*number)++ % LOG_WATCH_ENTRIES];
	pthread_mutex_unlock(&watch.lock);
	return there;
}
