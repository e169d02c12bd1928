/* SPDX-License-Identifier: MIT */
/* The list is short and searched from end to end; without bans, not even its lock is taken. */
#include "daemon/engine/bans.h"

#include "common/cleanup.h"
#include "daemon/base/clock.h"
#include "daemon/base/logger.h"
#include "daemon/io/replace.h"

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
	int64_t saved_us;
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
	struct stat st;
	if (fstat(fileno(f), &st) == 0)
		b->saved_us = st.st_mtim.tv_sec * SECOND_US + st.st_mtim.tv_nsec / 1000;
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

const char *bans_path(const struct bans *b)
{
	return b->path;
}

int64_t bans_saved_us(const struct bans *b)
{
	return b->saved_us;
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
int bans_save(struct bans *b)
{
	_cleanup_free_ char *text = NULL;
	size_t len;

	if (!b->path)
		return -ENOTSUP;
	FILE *f = open_memstream(&text, &len);
	if (!f)
		return -ENOMEM;
	for (size_t i = 0; i < b->n; i++) {
		char prefix[ADDRESS_TEXT_MAX];
		/* Up to the next full second, so that a ban is never shorter than it was asked for. */
		fprintf(f, "%s %" PRId64 "\n", prefix_format(&b->at[i].prefix, prefix),
			(b->at[i].until_us + SECOND_US - 1) / SECOND_US);
	}
	return fclose(f) != 0 ? -ENOMEM : replace_file(b->path, text, len);
}

size_t bans_count(const struct bans *b)
{
	return b->n;
}

struct ban *bans_list(struct bans *b, size_t *ret_n)
{
	struct ban *copy = calloc(b->n + 1, sizeof(*copy));

	*ret_n = copy ? b->n : 0;
	if (copy && b->n > 0)
		memcpy(copy, b->at, b->n * sizeof(*copy));
	return copy;
}
