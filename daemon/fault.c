/* SPDX-License-Identifier: MIT */
#include "daemon/fault.h"

#ifdef ENABLE_FAULTS
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void fault(const char *name)
{
	static atomic_int passed;
	const char *want = getenv("CHATD_FAULT");
	size_t n = strlen(name);

	if (!want || strncmp(want, name, n) != 0 || (want[n] && want[n] != ':'))
		return;
	if (atomic_fetch_add(&passed, 1) + 1 < (want[n] ? atoi(want + n + 1) : 1))
		return;
	/* Once: the file is taken away by the first process that dies of it, so that its successor lives. */
	const char *once = getenv("CHATD_FAULT_ONCE");
	if (once && unlink(once) < 0)
		return;
	kill(getpid(), SIGKILL);
	pause();
}
#endif
