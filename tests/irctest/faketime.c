/* SPDX-License-Identifier: MIT */
/*
 * For LD_PRELOAD, where there is no faketime: the wall clock goes FAKETIME_FACTOR times as fast from the start on, and the others
 * as always.
 */
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

static int real(clockid_t clock, struct timespec *ret)
{
	static int (*next)(clockid_t clock, struct timespec * ret);

	if (!next)
		next = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
	return next(clock, ret);
}

int clock_gettime(clockid_t clock, struct timespec *ret)
{
	static long long began;
	const char *factor = getenv("FAKETIME_FACTOR");
	int r = real(clock, ret);

	if (r < 0 || clock != CLOCK_REALTIME || !factor)
		return r;
	long long now = ret->tv_sec * 1000000000LL + ret->tv_nsec;
	if (!began)
		began = now;
	now = began + (now - began) * strtol(factor, NULL, 10);
	*ret = (struct timespec){now / 1000000000, now % 1000000000};
	return r;
}

time_t time(time_t *ret)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	if (ret)
		*ret = now.tv_sec;
	return now.tv_sec;
}

int gettimeofday(struct timeval *restrict ret, void *restrict zone)
{
	struct timespec now;

	(void)zone;
	clock_gettime(CLOCK_REALTIME, &now);
	*ret = (struct timeval){now.tv_sec, now.tv_nsec / 1000};
	return 0;
}
