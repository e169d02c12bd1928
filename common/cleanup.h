/* SPDX-License-Identifier: MIT */
/* Ownership by scope, as systemd has it: a variable marked _cleanup_(f) is released by f when it goes out
 * of scope. */
#ifndef COMMON_CLEANUP_H
#define COMMON_CLEANUP_H

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(f) __attribute__((cleanup(f)))
#define _cleanup_free_ _cleanup_(cleanup_free)
#define _cleanup_close_ _cleanup_(cleanup_close)

static inline void cleanup_free(void *p)
{
	free(*(void **)p);
}

static inline void cleanup_close(int *fd)
{
	if (*fd >= 0) {
		int saved = errno;
		close(*fd);
		errno = saved;
	}
}

/* Hands over a file descriptor: the variable no longer closes it. */
static inline int take_fd(int *fd)
{
	int r = *fd;
	*fd = -1;
	return r;
}

#define take_ptr(p)                                                                                          \
	({                                                                                                   \
		__typeof__(p) *pp_ = &(p);                                                                   \
		__typeof__(p) r_ = *pp_;                                                                     \
		*pp_ = NULL;                                                                                 \
		r_;                                                                                          \
	})

#endif
