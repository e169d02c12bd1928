/* SPDX-License-Identifier: MIT */
/* A hash table by the nick's first key, under one lock. Nicks that only look alike have the same key, and are told apart then. */
#include "daemon/irc/watchers.h"

#include "common/nick.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define WATCHERS_BUCKETS 16384

struct watching {
	struct watching *next;
	uint64_t key;
	struct irc_watcher who;
	uint8_t len;
	char nick[TEXT_NICK_MAX];
};

struct irc_watchers {
	pthread_mutex_t lock;
	atomic_size_t n;
	struct watching *buckets[WATCHERS_BUCKETS];
};

static struct watching **watchers_bucket(struct irc_watchers *ws, uint64_t key)
{
	return &ws->buckets[key % WATCHERS_BUCKETS];
}

static bool watchers_is(const struct watching *w, uint64_t key, const char *nick, size_t len)
{
	return w->key == key && nick_equal(w->nick, w->len, nick, len);
}

/* Where that one is, or the end. The lock is held. */
static struct watching **watchers_at(struct irc_watchers *ws, uint64_t key, const char *nick, size_t len,
				     uint64_t id)
{
	struct watching **w = watchers_bucket(ws, key);

	while (*w && ((*w)->who.id != id || !watchers_is(*w, key, nick, len)))
		w = &(*w)->next;
	return w;
}

bool irc_watchers_add(struct irc_watchers *ws, const char *nick, size_t len, const struct irc_watcher *who)
{
	uint64_t key = nick_keys(nick, len).at[0];
	struct watching *new = calloc(1, sizeof(*new));

	if (!new || len > TEXT_NICK_MAX) {
		free(new);
		return false;
	}
	new->key = key;
	new->who = *who;
	new->len = (uint8_t)len;
	memcpy(new->nick, nick, len);
	pthread_mutex_lock(&ws->lock);
	struct watching **w = watchers_at(ws, key, nick, len, who->id);
	bool is_new = !*w;
	if (is_new) {
		*w = new;
		atomic_fetch_add(&ws->n, 1);
	}
	pthread_mutex_unlock(&ws->lock);
	if (!is_new)
		free(new);
	return true;
}

void irc_watchers_remove(struct irc_watchers *ws, const char *nick, size_t len, const struct irc_watcher *who)
{
	uint64_t key = nick_keys(nick, len).at[0];

	pthread_mutex_lock(&ws->lock);
	struct watching **w = watchers_at(ws, key, nick, len, who->id), *old = *w;
	if (old) {
		*w = old->next;
		atomic_fetch_sub(&ws->n, 1);
	}
	pthread_mutex_unlock(&ws->lock);
	free(old);
}

size_t irc_watchers_find(struct irc_watchers *ws, const char *nick, size_t len, struct irc_watcher **ret)
{
	size_t n = 0;

	*ret = NULL;
	if (atomic_load(&ws->n) == 0)
		return 0;
	uint64_t key = nick_keys(nick, len).at[0];
	pthread_mutex_lock(&ws->lock);
	for (const struct watching *w = *watchers_bucket(ws, key); w; w = w->next)
		n += watchers_is(w, key, nick, len);
	*ret = n > 0 ? malloc(n * sizeof(**ret)) : NULL;
	size_t i = 0;
	for (const struct watching *w = *watchers_bucket(ws, key); w && *ret; w = w->next)
		if (watchers_is(w, key, nick, len))
			(*ret)[i++] = w->who;
	pthread_mutex_unlock(&ws->lock);
	return i;
}

int irc_watchers_new(struct irc_watchers **ret)
{
	struct irc_watchers *ws = calloc(1, sizeof(*ws));

	if (!ws)
		return -ENOMEM;
	pthread_mutex_init(&ws->lock, NULL);
	*ret = ws;
	return 0;
}

void irc_watchers_free(struct irc_watchers *ws)
{
	if (!ws)
		return;
	for (size_t i = 0; i < WATCHERS_BUCKETS; i++)
		for (struct watching *w = ws->buckets[i], *next; w; w = next) {
			next = w->next;
			free(w);
		}
	pthread_mutex_destroy(&ws->lock);
	free(ws);
}
