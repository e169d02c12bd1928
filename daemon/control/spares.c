/* SPDX-License-Identifier: MIT */
/* Descriptors of /dev/null, kept open only to be closed. */
#include "daemon/control/spares.h"

#include "common/cleanup.h"

#include <fcntl.h>
#include <time.h>

void spares_init(struct spares *s)
{
	for (unsigned i = 0; i < SPARES_N; i++)
		s->fd[i] = -1;
}

bool spares_take(struct spares *s)
{
	for (unsigned i = 0; i < SPARES_N; i++) {
		if (s->fd[i] < 0)
			s->fd[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
		if (s->fd[i] < 0)
			return false;
	}
	return true;
}

bool spares_gather(struct spares *s)
{
	const struct timespec step = {.tv_nsec = 2000000};

	for (unsigned ms = 0; ms < SPARES_WAIT_MS; ms += 2) {
		if (spares_take(s))
			return true;
		nanosleep(&step, NULL);
	}
	return false;
}

void spares_use(struct spares *s)
{
	for (unsigned i = 0; i < SPARES_N; i++)
		if (s->fd[i] >= 0)
			close(take_fd(&s->fd[i]));
}
