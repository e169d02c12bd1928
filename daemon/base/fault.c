/* SPDX-License-Identifier: MIT */
/* Kills the process at the point that the environment names; empty in builds without fault points. */
#include "daemon/base/fault.h"

#ifdef ENABLE_FAULTS
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* One is armed as long as its file is there, which goes with the process that dies of it. */
static void fault_die_at(const char *name, const char *want, const char *once, atomic_int *passed)
{
	size_t n = strlen(name);

	if (!want || strncmp(want, name, n) != 0 || (want[n] && want[n] != ':'))
		return;
	if (atomic_fetch_add(passed, 1) + 1 < (want[n] ? atoi(want + n + 1) : 1))
		return;
	if (once && unlink(once) < 0)
		return;
	kill(getpid(), SIGKILL);
	pause();
}

void fault(const char *name)
{
	static atomic_int passed, passed_then;
	const char *once = getenv("CHATD_FAULT_ONCE");
	int saved = errno; /* it stands between a system call and the look at how that went */

	fault_die_at(name, getenv("CHATD_FAULT"), once, &passed);
	if (once && access(once, F_OK) < 0)
		fault_die_at(name, getenv("CHATD_FAULT_THEN"), getenv("CHATD_FAULT_THEN_ONCE"), &passed_then);
	errno = saved;
}
#endif
