/* SPDX-License-Identifier: MIT */
/*
 * For LD_PRELOAD: what is done to the files of a database (*.db, *.db-wal, *.db-journal) goes to the end of the file DISK_LOG:
 * struct entry, and behind it the bytes that are written. And the clock is CLOCK_BACK seconds behind, if that is set.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdint.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { DISK_WRITE, DISK_CUT, DISK_SYNC, DISK_REMOVE };

struct entry {
	uint64_t time_us;
	uint32_t kind, file;
	uint64_t offset, len;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

#define NEXT(function) ((__typeof__(&function))dlsym(RTLD_NEXT, #function))

static int file_of_path(const char *path)
{
	static const char *const ends[] = {".db", ".db-wal", ".db-journal"};

	for (int i = 0; i < 3; i++) {
		size_t n = strlen(path), m = strlen(ends[i]);
		if (n > m && strcmp(path + n - m, ends[i]) == 0)
			return i;
	}
	return -1;
}

static int file_of(int fd)
{
	char name[64], path[4096];

	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	ssize_t n = readlink(name, path, sizeof(path) - 1);
	if (n < 0)
		return -1;
	path[n] = '\0';
	return file_of_path(path);
}

/* With the lock: the order in the log is that in which it happens. */
static void note(int file, uint32_t kind, uint64_t offset, const void *data, size_t len)
{
	static int log_fd = -1;
	const char *path = getenv("DISK_LOG");
	struct timespec ts;

	if (file < 0 || !path)
		return;
	if (log_fd < 0)
		log_fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	NEXT(clock_gettime)(CLOCK_REALTIME, &ts);
	struct entry e = {(uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000, kind, (uint32_t)file,
			  offset, len};
	struct iovec iov[] = {{&e, sizeof(e)}, {(void *)data, len}};
	if (writev(log_fd, iov, 2) != (ssize_t)(sizeof(e) + len))
		abort();
}

ssize_t pwrite64(int fd, const void *data, size_t len, off64_t at)
{
	int file = file_of(fd);

	pthread_mutex_lock(&lock);
	note(file, DISK_WRITE, (uint64_t)at, data, len);
	ssize_t n = NEXT(pwrite64)(fd, data, len, at);
	pthread_mutex_unlock(&lock);
	return n;
}

ssize_t pwrite(int fd, const void *data, size_t len, off_t at)
{
	return pwrite64(fd, data, len, at);
}

int ftruncate64(int fd, off64_t size)
{
	int file = file_of(fd);

	pthread_mutex_lock(&lock);
	note(file, DISK_CUT, (uint64_t)size, NULL, 0);
	int r = NEXT(ftruncate64)(fd, size);
	pthread_mutex_unlock(&lock);
	return r;
}

int ftruncate(int fd, off_t size)
{
	return ftruncate64(fd, size);
}

/* What was written before it began is there when it is over. */
static int synced(int fd, int (*next)(int fd))
{
	int file = file_of(fd), r = next(fd);

	pthread_mutex_lock(&lock);
	note(file, DISK_SYNC, 0, NULL, 0);
	pthread_mutex_unlock(&lock);
	return r;
}

int fdatasync(int fd)
{
	return synced(fd, NEXT(fdatasync));
}

int fsync(int fd)
{
	return synced(fd, NEXT(fsync));
}

int unlink(const char *path)
{
	pthread_mutex_lock(&lock);
	note(file_of_path(path), DISK_REMOVE, 0, NULL, 0);
	int r = NEXT(unlink)(path);
	pthread_mutex_unlock(&lock);
	return r;
}

int clock_gettime(clockid_t clock, struct timespec *ts)
{
	const char *back = getenv("CLOCK_BACK");
	int r = NEXT(clock_gettime)(clock, ts);

	if (r == 0 && back && clock == CLOCK_REALTIME)
		ts->tv_sec -= strtol(back, NULL, 10);
	return r;
}
