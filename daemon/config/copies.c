/* SPDX-License-Identifier: MIT */
/* Copies of files, in memory and in a memory file: see copies.h. */
#include "daemon/config/copies.h"

#include "common/cleanup.h"

#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

/* Of one file, and of all of them. */
#define FILE_MAX ((size_t)64 << 20)
#define ALL_MAX ((size_t)512 << 20)
#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

/* The memory file: this, and then for each file a struct record, its path and its content, each with a NUL behind it. */
static const char magic[16] = "chatd-copies-1\n";

struct record {
	uint64_t path_len, size; /* bytes, without the NULs */
};

struct copy {
	char *path, *data;
	size_t size;
};

struct copies {
	struct copy *at;
	size_t n;
};

struct copies *copies_new(void)
{
	return calloc(1, sizeof(struct copies));
}

void copies_free(struct copies *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < c->n; i++) {
		explicit_bzero(c->at[i].data, c->at[i].size);
		free(c->at[i].data);
		free(c->at[i].path);
	}
	free(c->at);
	free(c);
}

static const struct copy *copies_find(const struct copies *c, const char *path)
{
	for (size_t i = 0; i < c->n; i++)
		if (strcmp(c->at[i].path, path) == 0)
			return &c->at[i];
	return NULL;
}

int copies_add(struct copies *c, const char *path, const char *data, size_t size)
{
	if (copies_find(c, path))
		return 0;
	struct copy *at = reallocarray(c->at, c->n + 1, sizeof(*at));
	if (!at)
		return -ENOMEM;
	c->at = at;
	struct copy new = {strdup(path), malloc(size + 1), size};
	if (!new.path || !new.data) {
		free(new.path);
		free(new.data);
		return -ENOMEM;
	}
	memcpy(new.data, data, size);
	new.data[size] = '\0';
	c->at[c->n++] = new;
	return 0;
}

/* Exactly size bytes from the file's beginning. */
static int copies_read(int fd, char *dst, size_t size)
{
	for (size_t n = 0; n < size;) {
		ssize_t r = pread(fd, dst + n, size - n, (off_t)n);
		if (r < 0)
			return -errno;
		if (r == 0)
			return -EBADMSG;
		n += (size_t)r;
	}
	return 0;
}

static int copies_write(int fd, const void *data, size_t size)
{
	for (const char *p = data; size > 0;) {
		ssize_t r = write(fd, p, size);
		if (r < 0)
			return -errno;
		p += r;
		size -= (size_t)r;
	}
	return 0;
}

int copies_add_file(struct copies *c, const char *path)
{
	struct stat st;

	if (copies_find(c, path))
		return 0;
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	if ((size_t)st.st_size > FILE_MAX)
		return -EFBIG;
	size_t size = (size_t)st.st_size;
	_cleanup_free_ char *data = malloc(size + 1);
	if (!data)
		return -ENOMEM;
	int r = copies_read(fd, data, size);
	if (r == 0)
		r = copies_add(c, path, data, size);
	explicit_bzero(data, size);
	return r;
}

const char *copies_first(const struct copies *c)
{
	return c->n > 0 ? c->at[0].path : NULL;
}

const char *copies_text(const struct copies *c, const char *path)
{
	const struct copy *f = copies_find(c, path);

	return f ? f->data : NULL;
}

int copies_open(const struct copies *c, const char *path)
{
	const struct copy *f = copies_find(c, path);

	if (!f)
		return -ENOENT;
	_cleanup_close_ int fd = memfd_create("chatd-copy", MFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	int r = copies_write(fd, f->data, f->size);
	return r < 0 ? r : take_fd(&fd);
}

int copies_save(const struct copies *c)
{
	_cleanup_close_ int fd = memfd_create("chatd-config", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int r = fd < 0 ? -errno : copies_write(fd, magic, sizeof(magic));

	for (size_t i = 0; r == 0 && i < c->n; i++) {
		const struct copy *f = &c->at[i];
		const struct record record = {strlen(f->path), f->size};
		r = copies_write(fd, &record, sizeof(record));
		if (r == 0)
			r = copies_write(fd, f->path, record.path_len + 1);
		if (r == 0)
			r = copies_write(fd, f->data, f->size + 1);
	}
	if (r == 0 && fcntl(fd, F_ADD_SEALS, SEALS) < 0)
		r = -errno;
	return r < 0 ? r : take_fd(&fd);
}

/* The next record, behind *p. */
static int copies_parse(struct copies *c, const char **p, const char *end)
{
	struct record record;

	if ((size_t)(end - *p) < sizeof(record))
		return -EBADMSG;
	memcpy(&record, *p, sizeof(record));
	*p += sizeof(record);
	size_t left = (size_t)(end - *p);
	if (record.path_len >= left || record.size >= left - record.path_len - 1)
		return -EBADMSG;
	const char *path = *p, *data = path + record.path_len + 1;
	if (strnlen(path, record.path_len + 1) != record.path_len || data[record.size] != '\0')
		return -EBADMSG;
	*p = data + record.size + 1;
	return copies_find(c, path) ? -EBADMSG : copies_add(c, path, data, record.size);
}

int copies_load(int fd, struct copies **ret)
{
	struct stat st;
	int seals = fcntl(fd, F_GET_SEALS);

	if (seals < 0 || (seals & SEALS) != SEALS || fstat(fd, &st) < 0 ||
	    (size_t)st.st_size < sizeof(magic) || (size_t)st.st_size > ALL_MAX)
		return -EBADMSG;
	size_t size = (size_t)st.st_size;
	struct copies *c = copies_new();
	char *data = malloc(size);
	int r = c && data ? copies_read(fd, data, size) : -ENOMEM;
	if (r == 0 && memcmp(data, magic, sizeof(magic)) != 0)
		r = -EBADMSG;
	for (const char *p = data + sizeof(magic), *end = data + size; r == 0 && p < end;)
		r = copies_parse(c, &p, end);
	if (data)
		explicit_bzero(data, size);
	free(data);
	if (r == 0 && c->n == 0)
		r = -EBADMSG;
	if (r < 0)
		copies_free(c);
	else
		*ret = c;
	return r;
}

bool copies_are_same(int a, int b)
{
	char x[4096], y[4096];
	struct stat sa, sb;

	if (fstat(a, &sa) < 0 || fstat(b, &sb) < 0 || sa.st_size != sb.st_size)
		return false;
	for (off_t at = 0; at < sa.st_size;) {
		ssize_t n = pread(a, x, sizeof(x), at);
		if (n <= 0 || pread(b, y, (size_t)n, at) != n || memcmp(x, y, (size_t)n) != 0)
			return false;
		at += n;
	}
	return true;
}
