/* SPDX-License-Identifier: MIT */
/* The list is short and searched from end to end; without bans, not even its lock is taken. */
#include "daemon/engine/bans.h"

#include "common/cleanup.h"
#include "daemon/base/clock.h"
#include "daemon/base/logger.h"

#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

struct bans {
	pthread_rwlock_t lock;
	atomic_size_t n; /* nobody takes the lock as long as there is nothing */
	struct ban *at;
	char *path;
};

static void bans_read_line(struct bans *b, char *line, unsigned number)
{
	char *space = strchr(line, ' '), *end;
	struct ban ban;

	line[strcspn(line, "\n")] = '\0';
	if (line[0] == '\0')
		return;
	if (space)
		*space++ = '\0';
	errno = 0;
	long long until = space ? strtoll(space, &end, 10) : 0;
	if (prefix_parse(line, &ban.prefix) < 0 || errno || until < 0 || until > INT64_MAX / SECOND_US ||
	    (space && (end == space || *end))) {
		log_warning("%s:%u: this isn't a ban; it is left out", b->path, number);
		return;
	}
	ban.until_us = until * SECOND_US;
	bans_add(b, &ban, SIZE_MAX);
}

static void bans_read_file(struct bans *b)
{
	FILE *f = fopen(b->path, "re");
	char line[256];

	if (!f) {
		if (errno != ENOENT)
			log_warning("%s: bans can't be read: %s", b->path, strerror(errno));
		return;
	}
	for (unsigned number = 1; fgets(line, sizeof(line), f); number++)
		bans_read_line(b, line, number);
	fclose(f);
	bans_expire(b);
}

int bans_new(const char *path, struct bans **ret)
{
	struct bans *b = calloc(1, sizeof(*b));

	if (!b)
		return -ENOMEM;
	pthread_rwlock_init(&b->lock, NULL);
	if (path) {
		b->path = strdup(path);
		if (!b->path) {
			bans_free(b);
			return -ENOMEM;
		}
		bans_read_file(b);
	}
	*ret = b;
	return 0;
}

void bans_free(struct bans *b)
{
	if (!b)
		return;
	pthread_rwlock_destroy(&b->lock);
	free(b->at);
	free(b->path);
	free(b);
}

static bool bans_is_over(const struct ban *ban, int64_t now)
{
	return ban->until_us != 0 && ban->until_us <= now;
}

bool bans_match(struct bans *b, const union address *a)
{
	bool found = false;

	if (!b || atomic_load_explicit(&b->n, memory_order_acquire) == 0)
		return false;
	int64_t now = clock_us(CLOCK_REALTIME);
	pthread_rwlock_rdlock(&b->lock);
	for (size_t i = 0; i < b->n && !found; i++)
		found = !bans_is_over(&b->at[i], now) && prefix_contains(&b->at[i].prefix, a);
	pthread_rwlock_unlock(&b->lock);
	return found;
}

static struct ban *bans_find(struct bans *b, const struct prefix *p)
{
	for (size_t i = 0; i < b->n; i++)
		if (prefix_equal(&b->at[i].prefix, p))
			return &b->at[i];
	return NULL;
}

int bans_add(struct bans *b, const struct ban *ban, size_t max)
{
	int r = 0;

	pthread_rwlock_wrlock(&b->lock);
	struct ban *known = bans_find(b, &ban->prefix);
	if (known) {
		*known = *ban;
	} else if (b->n >= max) {
		r = -ENOSPC;
	} else {
		struct ban *at = reallocarray(b->at, b->n + 1, sizeof(*at));
		if (at) {
			b->at = at;
			at[b->n] = *ban;
			b->n++;
		} else {
			r = -ENOMEM;
		}
	}
	pthread_rwlock_unlock(&b->lock);
	return r;
}

int bans_remove(struct bans *b, const struct prefix *p)
{
	pthread_rwlock_wrlock(&b->lock);
	struct ban *known = bans_find(b, p);
	if (known) {
		*known = b->at[b->n - 1];
		b->n--;
	}
	pthread_rwlock_unlock(&b->lock);
	return known ? 0 : -ENOENT;
}

void bans_expire(struct bans *b)
{
	int64_t now = clock_us(CLOCK_REALTIME);
	size_t kept = 0;

	if (b->n == 0)
		return;
	pthread_rwlock_wrlock(&b->lock);
	for (size_t i = 0; i < b->n; i++)
		if (!bans_is_over(&b->at[i], now))
			b->at[kept++] = b->at[i];
	b->n = kept;
	pthread_rwlock_unlock(&b->lock);
}

/* Only the main thread changes them, so it may read without the lock. */
static int bans_write_all(const struct bans *b, int fd)
{
	FILE *f = fdopen(fd, "w");

	if (!f) {
		close(fd);
		return -errno;
	}
	for (size_t i = 0; i < b->n; i++) {
		char text[ADDRESS_TEXT_MAX];
		/* Up to the next full second, so that a ban is never shorter than it was asked for. */
		fprintf(f, "%s %" PRId64 "\n", prefix_format(&b->at[i].prefix, text),
			(b->at[i].until_us + SECOND_US - 1) / SECOND_US);
	}
	int r = fflush(f) != 0 || fsync(fd) < 0 ? -errno : 0;
	if (ferror(f) && r == 0)
		r = -EIO;
	if (fclose(f) != 0 && r == 0)
		r = -errno;
	return r;
}

int bans_save(struct bans *b)
{
	_cleanup_free_ char *temporary = NULL;

	if (!b->path)
		return -ENOTSUP;
	/* A name of its own, so that a file which an earlier process left there is not in the way. */
	if (asprintf(&temporary, "%s.XXXXXX", b->path) < 0)
		return -ENOMEM;
	int fd = mkostemp(temporary, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	int r = bans_write_all(b, fd);
	if (r == 0 && rename(temporary, b->path) < 0)
		r = -errno;
	if (r < 0)
		unlink(temporary);
	return r;
}

struct ban *bans_list(struct bans *b, size_t *ret_n)
{
	struct ban *copy = calloc(b->n + 1, sizeof(*copy));

	*ret_n = copy ? b->n : 0;
	if (copy && b->n > 0)
		memcpy(copy, b->at, b->n * sizeof(*copy));
	return copy;
}
