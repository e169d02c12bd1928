/* SPDX-License-Identifier: MIT */
/*
 * Each share is a few places, looked at one by one. They are found by a keyed hash, so that nobody can choose a name that has
 * somebody else's share.
 */
#include "daemon/irc/markers.h"

#include "daemon/base/clock.h"
#include "daemon/base/fault.h"
#include "daemon/irc/file.h"

#include <errno.h>
#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define STRIPES 16

struct irc_markers {
	struct irc_file *file;
	pthread_mutex_t locks[STRIPES]; /* by the share */
};

struct marker_key {
	uint64_t owner, name; /* of the latter: of both */
};

static uint64_t irc_markers_hash(const struct irc_markers *ms, uint64_t seed, const char *s)
{
	uint8_t key[crypto_shorthash_KEYBYTES];
	uint64_t h;

	_Static_assert(sizeof(ms->file->header.marker_key) == sizeof(key) &&
			   crypto_shorthash_BYTES == sizeof(h),
		       "a hash is a number");
	memcpy(key, ms->file->header.marker_key, sizeof(key));
	for (size_t i = 0; i < sizeof(seed); i++)
		key[i] ^= (uint8_t)(seed >> 8 * i);
	crypto_shorthash((uint8_t *)&h, (const uint8_t *)s, strlen(s), key);
	return h;
}

static struct marker_key irc_markers_key(const struct irc_markers *ms, const char *owner, const char *target)
{
	uint64_t h = irc_markers_hash(ms, 0, owner);

	return (struct marker_key){.owner = h, .name = irc_markers_hash(ms, h, target)};
}

static bool irc_markers_is(const struct irc_marker_place *p, const struct marker_key *k)
{
	return p->owner == k->owner && p->name == k->name && p->us > 0 &&
	       p->check == irc_file_marker_check(p);
}

/* The place of that one, or NULL; *ret_free: the one that another one takes. The share is locked. */
static struct irc_marker_place *irc_markers_find(struct irc_markers *ms, const struct marker_key *k,
						 struct irc_marker_place **ret_free)
{
	size_t share = k->owner % IRC_MARKER_SHARES;
	struct irc_marker_place *all = ms->file->markers[share];

	*ret_free = all;
	if (!atomic_load(&ms->file->marked[share]))
		return NULL;
	for (size_t i = 0; i < IRC_MARKERS; i++) {
		if (irc_markers_is(&all[i], k))
			return &all[i];
		if (all[i].changed_us < (*ret_free)->changed_us)
			*ret_free = &all[i];
	}
	return NULL;
}

static pthread_mutex_t *irc_markers_lock(struct irc_markers *ms, const struct marker_key *k)
{
	pthread_mutex_t *lock = &ms->locks[k->owner % IRC_MARKER_SHARES % STRIPES];

	pthread_mutex_lock(lock);
	return lock;
}

uint64_t irc_marker_get(struct irc_markers *ms, const char *owner, const char *target)
{
	const struct marker_key k = irc_markers_key(ms, owner, target);
	struct irc_marker_place *free_one;
	pthread_mutex_t *lock = irc_markers_lock(ms, &k);
	const struct irc_marker_place *p = irc_markers_find(ms, &k, &free_one);
	uint64_t us = p ? p->us : 0;

	pthread_mutex_unlock(lock);
	return us;
}

uint64_t irc_marker_raise(struct irc_markers *ms, const char *owner, const char *target, uint64_t us)
{
	const struct marker_key k = irc_markers_key(ms, owner, target);
	struct irc_marker_place *free_one;
	pthread_mutex_t *lock = irc_markers_lock(ms, &k);
	struct irc_marker_place *p = irc_markers_find(ms, &k, &free_one);

	if (p && p->us >= us) {
		us = p->us;
	} else {
		p = p ? p : free_one;
		p->check = 0;
		FAULT("irc-marker-begun");
		p->owner = k.owner;
		p->name = k.name;
		p->us = us;
		p->changed_us = (uint64_t)clock_us(CLOCK_REALTIME);
		FAULT("irc-marker-written");
		p->check = irc_file_marker_check(p);
		atomic_store(&ms->file->marked[k.owner % IRC_MARKER_SHARES], 1);
	}
	pthread_mutex_unlock(lock);
	return us;
}

int irc_markers_new(struct irc_file *file, struct irc_markers **ret)
{
	struct irc_markers *ms = calloc(1, sizeof(*ms));

	if (!ms)
		return -ENOMEM;
	ms->file = file;
	for (unsigned i = 0; i < STRIPES; i++)
		pthread_mutex_init(&ms->locks[i], NULL);
	*ret = ms;
	return 0;
}

void irc_markers_free(struct irc_markers *ms)
{
	if (!ms)
		return;
	for (unsigned i = 0; i < STRIPES; i++)
		pthread_mutex_destroy(&ms->locks[i]);
	free(ms);
}
