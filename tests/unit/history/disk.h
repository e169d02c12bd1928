/* SPDX-License-Identifier: MIT */
/*
 * A disk that remembers: a VFS of SQLite that hands everything to the real one, and records what is written, cut, removed
 * and synced. disk_after() makes the files as a power cut at any moment could have left them: all that was synced is there,
 * and of what was not, any part.
 */
#ifndef TESTS_DISK_H
#define TESTS_DISK_H

#include <assert.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DISK_SECTOR 512

static const char *const disk_suffixes[] = {"", "-wal", "-journal"};
#define DISK_FILES 3

enum disk_kind { DISK_WRITE, DISK_CUT, DISK_SYNC, DISK_REMOVE, DISK_COMMITTED };

struct disk_op {
	enum disk_kind kind;
	int file;
	int64_t offset; /* the size, of DISK_CUT; which state, of DISK_COMMITTED */
	size_t len;
	unsigned char *data;
};

static struct disk {
	const char *path; /* of the database that is recorded; NULL: none */
	struct disk_op *op;
	size_t n;
} disk;

static void disk_record(enum disk_kind kind, int file, int64_t offset, const void *data, size_t len)
{
	struct disk_op *op;

	disk.op = reallocarray(disk.op, disk.n + 1, sizeof(*op));
	assert(disk.op);
	op = &disk.op[disk.n++];
	*op = (struct disk_op){
	    .kind = kind, .file = file, .offset = offset, .len = len, .data = malloc(len + 1)};
	assert(op->data);
	if (len)
		memcpy(op->data, data, len);
}

/* Which of the files it is, or -1. */
static int disk_file(const char *name)
{
	size_t n = disk.path ? strlen(disk.path) : 0;

	if (!disk.path || !name || strncmp(name, disk.path, n) != 0)
		return -1;
	for (int i = 0; i < DISK_FILES; i++)
		if (strcmp(name + n, disk_suffixes[i]) == 0)
			return i;
	return -1;
}

/* --- the VFS --- */

struct disk_handle {
	sqlite3_file base;
	int file;
	sqlite3_file *real;
};

#define DISK_REAL(f) (((struct disk_handle *)(f))->real)
#define DISK_CALL(f, method, ...) (DISK_REAL(f)->pMethods->method(DISK_REAL(f), ##__VA_ARGS__))

static int disk_close(sqlite3_file *f)
{
	return DISK_CALL(f, xClose);
}

static int disk_read(sqlite3_file *f, void *p, int n, sqlite3_int64 at)
{
	return DISK_CALL(f, xRead, p, n, at);
}

static int disk_write(sqlite3_file *f, const void *p, int n, sqlite3_int64 at)
{
	int file = ((struct disk_handle *)f)->file;

	if (file >= 0)
		disk_record(DISK_WRITE, file, at, p, (size_t)n);
	return DISK_CALL(f, xWrite, p, n, at);
}

static int disk_truncate(sqlite3_file *f, sqlite3_int64 size)
{
	int file = ((struct disk_handle *)f)->file;

	if (file >= 0)
		disk_record(DISK_CUT, file, size, NULL, 0);
	return DISK_CALL(f, xTruncate, size);
}

static int disk_sync(sqlite3_file *f, int flags)
{
	int file = ((struct disk_handle *)f)->file, r = DISK_CALL(f, xSync, flags);

	if (file >= 0)
		disk_record(DISK_SYNC, file, 0, NULL, 0);
	return r;
}

static int disk_size(sqlite3_file *f, sqlite3_int64 *ret)
{
	return DISK_CALL(f, xFileSize, ret);
}

static int disk_lock(sqlite3_file *f, int how)
{
	return DISK_CALL(f, xLock, how);
}

static int disk_unlock(sqlite3_file *f, int how)
{
	return DISK_CALL(f, xUnlock, how);
}

static int disk_check_lock(sqlite3_file *f, int *ret)
{
	return DISK_CALL(f, xCheckReservedLock, ret);
}

static int disk_control(sqlite3_file *f, int what, void *arg)
{
	return DISK_CALL(f, xFileControl, what, arg);
}

static int disk_sector(sqlite3_file *f)
{
	return DISK_CALL(f, xSectorSize);
}

static int disk_traits(sqlite3_file *f)
{
	return DISK_CALL(f, xDeviceCharacteristics);
}

static int disk_shm_map(sqlite3_file *f, int page, int size, int extend, void volatile **ret)
{
	return DISK_CALL(f, xShmMap, page, size, extend, ret);
}

static int disk_shm_lock(sqlite3_file *f, int offset, int n, int flags)
{
	return DISK_CALL(f, xShmLock, offset, n, flags);
}

static void disk_shm_barrier(sqlite3_file *f)
{
	DISK_CALL(f, xShmBarrier);
}

static int disk_shm_unmap(sqlite3_file *f, int remove)
{
	return DISK_CALL(f, xShmUnmap, remove);
}

static const sqlite3_io_methods disk_methods = {
    .iVersion = 2,
    .xClose = disk_close,
    .xRead = disk_read,
    .xWrite = disk_write,
    .xTruncate = disk_truncate,
    .xSync = disk_sync,
    .xFileSize = disk_size,
    .xLock = disk_lock,
    .xUnlock = disk_unlock,
    .xCheckReservedLock = disk_check_lock,
    .xFileControl = disk_control,
    .xSectorSize = disk_sector,
    .xDeviceCharacteristics = disk_traits,
    .xShmMap = disk_shm_map,
    .xShmLock = disk_shm_lock,
    .xShmBarrier = disk_shm_barrier,
    .xShmUnmap = disk_shm_unmap,
};

static sqlite3_vfs disk_vfs, *disk_below;

static int disk_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *f, int flags, int *ret_flags)
{
	struct disk_handle *h = (struct disk_handle *)f;
	int r;

	(void)vfs;
	*h = (struct disk_handle){.file = disk_file(name), .real = (sqlite3_file *)(h + 1)};
	r = disk_below->xOpen(disk_below, name, h->real, flags, ret_flags);
	h->base.pMethods = h->real->pMethods ? &disk_methods : NULL;
	return r;
}

static int disk_delete(sqlite3_vfs *vfs, const char *name, int sync)
{
	int file = disk_file(name);

	(void)vfs;
	if (file >= 0)
		disk_record(DISK_REMOVE, file, 0, NULL, 0);
	return disk_below->xDelete(disk_below, name, sync);
}

/* All databases are on it from now on; those at disk.path are recorded. */
static void disk_begin(void)
{
	if (!disk_below) {
		disk_below = sqlite3_vfs_find(NULL);
		disk_vfs = *disk_below;
		disk_vfs.zName = "disk";
		disk_vfs.szOsFile = (int)sizeof(struct disk_handle) + disk_below->szOsFile;
		disk_vfs.xOpen = disk_open;
		disk_vfs.xDelete = disk_delete;
		sqlite3_vfs_register(&disk_vfs, 1);
	}
}

static void disk_free(void)
{
	for (size_t i = 0; i < disk.n; i++)
		free(disk.op[i].data);
	free(disk.op);
	disk = (struct disk){0};
}

/* --- what a power cut leaves --- */

struct disk_image {
	bool exists;
	unsigned char *data;
	size_t size, capacity;
};

static void disk_resize(struct disk_image *f, size_t size)
{
	if (size > f->capacity) {
		f->data = realloc(f->data, f->capacity = size * 2);
		assert(f->data);
	}
	if (size > f->size)
		memset(f->data + f->size, 0, size - f->size);
	f->size = size;
	f->exists = true;
}

/* sectors: of a write, which of its sectors arrive; bit i % 64. */
static void disk_apply(struct disk_image *f, const struct disk_op *op, uint64_t sectors)
{
	switch (op->kind) {
	case DISK_WRITE:
		for (size_t at = 0, i = 0; at < op->len; i++) {
			size_t offset = (size_t)op->offset + at, n = DISK_SECTOR - offset % DISK_SECTOR;

			n = n < op->len - at ? n : op->len - at;
			if (sectors >> (i % 64) & 1) {
				if (offset + n > f->size)
					disk_resize(f, offset + n);
				memcpy(f->data + offset, op->data + at, n);
			}
			at += n;
		}
		break;
	case DISK_CUT:
		disk_resize(f, (size_t)op->offset);
		break;
	case DISK_REMOVE:
		f->size = 0;
		f->exists = false;
		break;
	case DISK_SYNC:
	case DISK_COMMITTED:
		break;
	}
}

/* How much of an operation that wasn't synced arrives: none, all, or some sectors of it. */
typedef uint64_t disk_choice(size_t op, void *arg);

/* The files at to, as they are when the power goes right before operation number cut. */
static void disk_after(size_t cut, disk_choice *choice, void *arg, const char *to)
{
	size_t synced[DISK_FILES] = {0};
	struct disk_image image[DISK_FILES] = {0};
	char name[256];

	for (size_t i = 0; i < cut; i++)
		if (disk.op[i].kind == DISK_SYNC || disk.op[i].kind == DISK_REMOVE)
			synced[disk.op[i].file] = i + 1;
	image[0].exists = true;
	for (size_t i = 0; i < cut; i++) {
		const struct disk_op *op = &disk.op[i];
		uint64_t sectors = UINT64_MAX;

		if (op->kind == DISK_COMMITTED)
			continue;
		if (i >= synced[op->file])
			sectors = choice(i, arg);
		if (sectors)
			disk_apply(&image[op->file], op, sectors);
	}
	for (int i = 0; i < DISK_FILES; i++) {
		FILE *f;

		snprintf(name, sizeof(name), "%s%s", to, disk_suffixes[i]);
		unlink(name);
		if (image[i].exists) {
			f = fopen(name, "w");
			assert(f);
			assert(fwrite(image[i].data ? (void *)image[i].data : "", 1, image[i].size, f) ==
			       image[i].size);
			fclose(f);
		}
		free(image[i].data);
	}
	snprintf(name, sizeof(name), "%s-shm", to);
	unlink(name);
}

#endif
