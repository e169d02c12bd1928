/* SPDX-License-Identifier: MIT */
/* A file is replaced under a lock on its directory, by one that has all of its text and the change. */
#include "common/rewrite.h"

#include "common/accounts.h"
#include "common/cleanup.h"

#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

#define LOCK_TRIES 200 /* 20 ms apart */

/* Two that change the file at once would lose one another's work: the directory is the lock, so that none
 * is left behind. Whoever may read it can lock it, too, so nobody waits for ever. */
static int rewrite_lock_directory(const char *path)
{
	const char *slash = strrchr(path, '/');
	_cleanup_free_ char *directory = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");

	if (!directory)
		return -ENOMEM;
	int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	for (unsigned tries = 0; flock(fd, LOCK_EX | LOCK_NB) < 0; tries++)
		if (tries == LOCK_TRIES || (errno != EWOULDBLOCK && errno != EINTR)) {
			int r = -errno;
			close(fd);
			return r;
		} else {
			nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
		}
	return fd;
}

/* All of the new file, ready to be renamed. Takes fd over. */
static int rewrite_write(int fd, const struct stat *st, const char *text, const struct rewrite *how)
{
	FILE *f = fdopen(fd, "w");

	if (!f) {
		int r = -errno;
		close(fd);
		return r;
	}
	int r = how->write(f, text, how->arg);
	/* Who may read the file is the admin's affair; it isn't an error where that can't be kept. */
	if (fchown(fd, st->st_uid, st->st_gid) < 0 && errno != EPERM && r == 0)
		r = -errno;
	if ((fchmod(fd, st->st_mode & 07777) < 0 || fflush(f) != 0 || fsync(fd) < 0) && r == 0)
		r = -errno;
	if (ferror(f) && r == 0)
		r = -EIO;
	if (fclose(f) != 0 && r == 0)
		r = -errno;
	return r;
}

int rewrite_file(const char *path, const struct rewrite *how)
{
	/* Of a link it is the file behind it that is replaced. */
	_cleanup_free_ char *text = NULL, *temporary = NULL, *real = realpath(path, NULL);
	struct stat st = {.st_mode = 0640, .st_uid = (uid_t)-1, .st_gid = (gid_t)how->group};

	if (!real && errno != ENOENT)
		return -errno;
	if (!real && lstat(path, &st) == 0 && S_ISLNK(st.st_mode))
		return -ENOLINK;
	path = real ? real : path;
	_cleanup_close_ int directory = rewrite_lock_directory(path);
	if (directory < 0)
		return directory;
	int r = accounts_read_text(path, &text);
	if (r == 0 && stat(path, &st) < 0)
		return -errno;
	if (r < 0 && (r != -ENOENT || !how->creates))
		return r;
	/* A name of its own: what an earlier one left when it was interrupted is in nobody's way. */
	if (asprintf(&temporary, "%s.XXXXXX", path) < 0)
		return -ENOMEM;
	int fd = mkostemp(temporary, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	r = rewrite_write(fd, &st, text ? text : "", how);
	if (r == 0 && rename(temporary, path) < 0)
		r = -errno;
	if (r == 0 && fsync(directory) < 0)
		r = -errno;
	if (r < 0)
		unlink(temporary);
	return r;
}
