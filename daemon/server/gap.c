/* SPDX-License-Identifier: MIT */
/*
 * For how long nobody was served when a process took over from another: what the process before left in the
 * table of clients, and when the kernel made this one.
 */
#include "daemon/server/server.h"

#include "daemon/base/clock.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/*
 * When this process was made (CLOCK_MONOTONIC, us); 0: not known. The service manager makes one as soon as
 * the one before has died.
 */
static uint64_t gap_made_at(void)
{
	char text[1024];
	FILE *f = fopen("/proc/self/stat", "re");
	size_t n = f ? fread(text, 1, sizeof(text) - 1, f) : 0;
	unsigned long long ticks = 0;

	if (f)
		fclose(f);
	text[n] = '\0';
	const char *after = strrchr(text, ')'); /* a name may hold anything */
	if (!after ||
	    sscanf(after,
		   ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
		   &ticks) != 1)
		return 0;
	int64_t age =
	    clock_us(CLOCK_BOOTTIME) - (int64_t)(ticks * SECOND_US / (uint64_t)sysconf(_SC_CLK_TCK));
	return (uint64_t)(clock_us(CLOCK_MONOTONIC) - (age > 0 ? age : 0));
}

/*
 * A worker that is in a turn serves nobody from its last beat on, for it may hang there. One that waits
 * serves whoever comes at once until it dies. That is no later than when this process was made, and no later
 * than when its next beat was due.
 */
uint64_t gap_served_until(struct clients *clients)
{
	uint64_t made = gap_made_at(), last = 0;

	for (unsigned i = 0; i < CLIENTS_SCRATCHES; i++) {
		struct scratch *scratch = clients_scratch(clients, i);
		uint64_t until = atomic_load(&scratch->beat_us);
		if (until > 0 && atomic_load(&scratch->waits) == 1 && made > until)
			until = made - until < SECOND_US ? made : until + SECOND_US;
		if (until > last)
			last = until;
		/* If this process fails, the next one still knows. */
		atomic_store(&scratch->beat_us, until);
		atomic_store(&scratch->waits, 0);
	}
	return last;
}
