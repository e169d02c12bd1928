/* SPDX-License-Identifier: MIT */
/*
 * What is to be the file is written beside it, under a name that nobody else has, and takes its place. Where file
 * descriptors have run out that is done by a thread with a table of descriptors of its own: to close another one
 * for it would not do, as a library's thread may accept a connection with the number before it is opened again.
 */
#include "daemon/io/replace.h"

#include "common/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int replace_write(int fd, const char *data, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, data, len);
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0) {
			data += n;
			len -= (size_t)n;
		}
	}
	return fsync(fd) < 0 ? -errno : 0;
}

static int replace_by_rename(const char *path, const char *data, size_t len)
{
	_cleanup_free_ char *temporary = NULL;

	/* A name of its own, so that a file which an earlier process left there is not in the way. */
	if (asprintf(&temporary, "%s.XXXXXX", path) < 0)
		return -ENOMEM;
	int fd = mkostemp(temporary, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	int r = replace_write(fd, data, len);
	if (close(fd) < 0 && r == 0)
		r = -errno;
	if (r == 0 && rename(temporary, path) < 0)
		r = -errno;
	if (r < 0)
		unlink(temporary);
	return r;
}

struct replacement {
	const char *path, *data;
	size_t len;
	int r;
};

static void *replace_apart(void *arg)
{
	struct replacement *p = arg;

	p->r = close_range(STDERR_FILENO + 1, ~0U, CLOSE_RANGE_UNSHARE) < 0
		   ? -EMFILE
		   : replace_by_rename(p->path, p->data, p->len);
	return NULL;
}

int replace_file(const char *path, const char *data, size_t len)
{
	struct replacement p = {path, data, len, replace_by_rename(path, data, len)};
	pthread_t thread;

	if (p.r == -EMFILE && pthread_create(&thread, NULL, replace_apart, &p) == 0)
		pthread_join(thread, NULL);
	return p.r;
}
