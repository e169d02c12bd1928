/* SPDX-License-Identifier: MIT */
/* Memory files: made, checked before they are believed, and mapped, also as a ring. */
#include "daemon/io/memfd.h"

#include "common/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

int memfd_new(const char *name, uint64_t size)
{
	_cleanup_close_ int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)size) < 0 || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) < 0)
		return -errno;
	return take_fd(&fd);
}

int64_t memfd_check(int fd, uint64_t min_size)
{
	struct stat st;
	int seals = fcntl(fd, F_GET_SEALS);

	if (seals < 0 || !(seals & F_SEAL_SHRINK) || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return -EBADF;
	if (st.st_size < 0 || (uint64_t)st.st_size < min_size)
		return -EINVAL;
	return st.st_size;
}

int memfd_map(int fd, uint64_t off, size_t size, void **ret)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, (off_t)off);

	if (p == MAP_FAILED)
		return -errno;
	/* A core dump of terabytes of holes helps nobody; the state survives in the fd store anyway. */
	madvise(p, size, MADV_DONTDUMP);
	*ret = p;
	return 0;
}

int memfd_map_ring(int fd, uint64_t off, size_t size, size_t again, void **ret)
{
	const int prot = PROT_READ | PROT_WRITE, flags = MAP_SHARED | MAP_NORESERVE | MAP_FIXED;
	char *p = mmap(NULL, size + again, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		return -errno;
	if (mmap(p, size, prot, flags, fd, (off_t)off) == MAP_FAILED ||
	    mmap(p + size, again, prot, flags, fd, (off_t)(off + size - again)) == MAP_FAILED) {
		int r = -errno;
		munmap(p, size + again);
		return r;
	}
	madvise(p, size + again, MADV_DONTDUMP);
	*ret = p;
	return 0;
}

void memfd_release(void *at, size_t size)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t skip = -(uintptr_t)at & (page - 1);

	if (size >= skip + page)
		madvise((char *)at + skip, (size - skip) & ~(page - 1), MADV_REMOVE);
}
