/* SPDX-License-Identifier: MIT */
/*
 * The lock of who writes. SQLite's own locks let two processes write in turns, and each would take what the other has put
 * there for damage. It is on a file of its own, as closing one that SQLite has open would take SQLite's locks away; and it
 * is the kernel's, so it is gone with its process, however that ends.
 */
#include "daemon/history/store_own.h"

#include "common/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Under whatever name the database is known, it has the same one. */
static char *store_lock_path(const char *path)
{
	_cleanup_free_ char *real = realpath(path, NULL);
	char *ret;

	return asprintf(&ret, "%s-lock", real ? real : path) > 0 ? ret : NULL;
}

static int store_open_lock_file(const char *path, int flags)
{
	_cleanup_free_ char *name = store_lock_path(path);
	int fd = name ? open(name, O_RDWR | O_CLOEXEC | O_NOFOLLOW | flags, 0600) : -1;

	return fd >= 0 ? fd : name ? -errno : -ENOMEM;
}

int store_open_lock(const char *path)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	int fd = store_open_lock_file(path, O_CREAT), r;

	if (fd < 0 || fcntl(fd, F_OFD_SETLK, &lock) == 0)
		return fd;
	r = errno == EAGAIN || errno == EACCES ? -EBUSY : -errno;
	close(fd);
	return r;
}

/* For people; it may be that of a process that has ended meanwhile. */
static long store_lock_holder(const char *path)
{
	_cleanup_free_ char *name = store_lock_path(path);
	_cleanup_close_ int fd = name ? open(name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW) : -1;
	char text[32] = "";

	return fd >= 0 && read(fd, text, sizeof(text) - 1) > 0 ? strtol(text, NULL, 10) : 0;
}

int store_take_lock(struct store *s)
{
	int fd = store_open_lock(s->path);

	if (fd >= 0) {
		s->lock = fd;
		if (ftruncate(fd, 0) < 0 || dprintf(fd, "%ld\n", (long)getpid()) < 0)
			return 0; /* it is locked, but doesn't say by whom */
		return 0;
	}
	if (fd == -EBUSY)
		snprintf(s->why, sizeof(s->why), "another chatd (process %ld) writes to it",
			 store_lock_holder(s->path));
	else
		snprintf(s->why, sizeof(s->why), "can't lock it: %s", strerror(-fd));
	return fd == -EBUSY ? fd : store_error_of_errno(-fd);
}

/* Looks without taking it, as whoever is to have it may come just then. */
bool store_is_in_use(const char *path)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	_cleanup_close_ int fd = store_open_lock_file(path, 0);

	return fd >= 0 && fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

long store_left_by(const char *path)
{
	long by = store_is_in_use(path) ? 0 : store_lock_holder(path);

	return by == getpid() ? 0 : by; /* this one's lock ended with a try that failed */
}

void store_leave(struct store *s)
{
	if (s && s->lock >= 0)
		(void)!ftruncate(s->lock, 0);
}

/* Who has taken it a moment ago hasn't said so yet: then it is the name of somebody who is gone. */
bool store_is_anothers(const char *path)
{
	pid_t holder = store_is_in_use(path) ? (pid_t)store_lock_holder(path) : 0;

	return holder > 0 && holder != getpid() && (kill(holder, 0) == 0 || errno != ESRCH);
}
