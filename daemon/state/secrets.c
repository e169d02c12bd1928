/* SPDX-License-Identifier: MIT */
/* The file of TLS secrets: see secrets.h. */
#include "daemon/state/secrets.h"

#include "common/cleanup.h"
#include "daemon/io/memfd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

#ifndef SECRETMEM_MAGIC
#define SECRETMEM_MAGIC 0x5345434d
#endif

struct secrets {
	struct tls_secrets *at;
	uint32_t capacity;
	bool hidden;
};

static uint64_t secrets_size(uint32_t places)
{
	return memfd_align(places * (uint64_t)sizeof(struct tls_secrets));
}

static bool secrets_fd_is_hidden(int fd)
{
	struct statfs fs;

	return fstatfs(fd, &fs) == 0 && fs.f_type == SECRETMEM_MAGIC;
}

/* One of either kind can't shrink under us. */
static int secrets_check(int fd, uint64_t size)
{
	struct stat st;

	if (!secrets_fd_is_hidden(fd)) {
		int64_t r = memfd_check(fd, size);
		return r < 0 ? (int)r : 0;
	}
	return fstat(fd, &st) == 0 && (uint64_t)st.st_size >= size ? 0 : -EINVAL;
}

/* Hidden memory counts as locked, all that is mapped of it: so it is as much as is allowed. */
int secrets_open(int fd, uint32_t places, uint32_t needed, struct secrets **ret)
{
	struct secrets *s = calloc(1, sizeof(*s));
	uint64_t size = secrets_size(places), least = secrets_size(needed);
	int r = s ? secrets_check(fd, size) : -ENOMEM;

	if (r == 0) {
		while ((r = memfd_map(fd, 0, size, (void **)&s->at)) == -EAGAIN || r == -ENOMEM) {
			if (size <= least)
				break;
			size = memfd_align(size / 2) > least ? memfd_align(size / 2) : least;
		}
	}
	if (r < 0) {
		free(s);
		return r;
	}
	s->capacity = (uint32_t)(size / sizeof(struct tls_secrets));
	s->hidden = secrets_fd_is_hidden(fd);
	*ret = s;
	return 0;
}

static int secrets_new_hidden(uint64_t size)
{
	_cleanup_close_ int fd = (int)syscall(SYS_memfd_secret, O_CLOEXEC);

	if (fd < 0 || ftruncate(fd, (off_t)size) < 0)
		return -errno;
	return take_fd(&fd);
}

int secrets_new(uint32_t places, uint32_t needed, struct secrets **ret)
{
	_cleanup_close_ int fd = secrets_new_hidden(secrets_size(places));

	if (fd >= 0 && secrets_open(fd, places, needed, ret) == 0)
		return take_fd(&fd);
	if (fd >= 0)
		close(take_fd(&fd));
	fd = memfd_new(SECRETS_NAME, secrets_size(places));
	int r = fd < 0 ? fd : secrets_open(fd, places, needed, ret);
	return r < 0 ? r : take_fd(&fd);
}

void secrets_free(struct secrets *s)
{
	if (s)
		munmap(s->at, s->capacity * sizeof(*s->at));
	free(s);
}

struct tls_secrets *secrets_at(const struct secrets *s, uint32_t index)
{
	return s && index < s->capacity ? &s->at[index] : NULL;
}

bool secrets_are_hidden(const struct secrets *s)
{
	return s && s->hidden;
}
