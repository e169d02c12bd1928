/* SPDX-License-Identifier: MIT */
/* A table of when the next one is due, by the token's name: two that meet in one place share their rate, which is rare. */
#include "daemon/web/pace.h"

#include "common/hash.h"
#include "daemon/base/clock.h"
#include "daemon/engine/limits.h"

#include <pthread.h>
#include <string.h>

#define WEB_PACES 1024

static pthread_mutex_t web_pace_lock = PTHREAD_MUTEX_INITIALIZER;
static int64_t web_pace_due[WEB_PACES];

int64_t web_pace(const char *name, unsigned rate, int64_t now)
{
	if (rate == 0)
		return 0;
	/* The names are the admin's. */
	uint64_t h = hash_fixed(name, strlen(name));
	pthread_mutex_lock(&web_pace_lock);
	int64_t wait = limits_wait(&web_pace_due[h % WEB_PACES], rate, 1, SECOND_US, now);
	pthread_mutex_unlock(&web_pace_lock);
	return wait;
}
