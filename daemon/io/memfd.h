/* SPDX-License-Identifier: MIT */
/* Memory files (memfd_create(2)): where everything lives that has to outlive the process. */
#ifndef DAEMON_MEMFD_H
#define DAEMON_MEMFD_H

#include <stddef.h>
#include <stdint.h>

/* Every mapping begins and ends on this, whatever the machine's page size (up to 64 KiB on arm64). */
#define MEMFD_ALIGN 65536

static inline uint64_t memfd_align(uint64_t size)
{
	return (size + MEMFD_ALIGN - 1) & ~(uint64_t)(MEMFD_ALIGN - 1);
}

/* A new sparse memory file of that size, which can never shrink. Returns the fd (close-on-exec) or -errno. */
int memfd_new(const char *name, uint64_t size);

/*
 * Checks that an inherited fd is a memory file that can't shrink under us and that is at least that long.
 * Returns its size or -EBADF, -EINVAL.
 */
int64_t memfd_check(int fd, uint64_t min_size);

/* Maps [off, off+size) shared and writable. Returns 0 or -errno. */
int memfd_map(int fd, uint64_t off, size_t size, void **ret);

/* The same, with the last `again` bytes mapped a second time behind, so that a ring there reads without a
 * seam. */
int memfd_map_ring(int fd, uint64_t off, size_t size, size_t again, void **ret);

/* Gives the pages of a part back to the kernel; it reads as zeroes afterwards. Partial pages stay. */
void memfd_release(void *at, size_t size);

#endif
