/* SPDX-License-Identifier: MIT */
/* For LD_PRELOAD: each write to a database, and each fsync(), takes as many milliseconds longer as the file SLOW_DISK says. */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

static void slow_down(int fd)
{
	char name[64], path[4096], text[16] = "";
	const char *says = getenv("SLOW_DISK");

	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	ssize_t n = readlink(name, path, sizeof(path) - 1);
	if (n < 0 || !says)
		return;
	path[n] = '\0';
	if (!strstr(path, ".db"))
		return;
	int file = open(says, O_RDONLY | O_CLOEXEC);
	if (file < 0)
		return;
	if (read(file, text, sizeof(text) - 1) < 0)
		text[0] = '\0';
	close(file);
	long ms = strtol(text, NULL, 10);
	nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
}

ssize_t pwrite64(int fd, const void *data, size_t len, off64_t at)
{
	static ssize_t (*next)(int fd, const void *data, size_t len, off64_t at);

	if (!next)
		next = (ssize_t(*)(int, const void *, size_t, off64_t))dlsym(RTLD_NEXT, "pwrite64");
	slow_down(fd);
	return next(fd, data, len, at);
}

ssize_t pwrite(int fd, const void *data, size_t len, off_t at)
{
	return pwrite64(fd, data, len, at);
}

int fdatasync(int fd)
{
	static int (*next)(int fd);

	if (!next)
		next = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
	slow_down(fd);
	return next(fd);
}

int fsync(int fd)
{
	return fdatasync(fd);
}
