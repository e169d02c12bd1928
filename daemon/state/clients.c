/* SPDX-License-Identifier: MIT */
/* The table of clients: opens its file, and hands out its entries, origins and counters. */
#include "daemon/state/clients.h"

#include "common/cleanup.h"
#include "common/hash.h"
#include "daemon/base/fault.h"
#include "daemon/state/file.h"
#include "daemon/state/memberships.h"
#include "daemon/state/secrets.h"

#include <string.h>
#include <sys/mman.h>

/* With less address space than for everybody, fewer are taken. */
#define CAPACITY_MIN 65536

uint64_t clients_file_size(void)
{
	return sizeof(struct file);
}

static bool clients_header_is_ours(const struct file_header *h)
{
	static const struct file_shape shape = FILE_SHAPE;

	if (h->magic != CLIENTS_MAGIC || h->layout != CLIENTS_LAYOUT ||
	    memcmp(&h->shape, &shape, sizeof(shape)) != 0 || atomic_load(&h->high) > CLIENTS_CAPACITY ||
	    atomic_load(&h->memberships_high) > MEMBERSHIPS_CAPACITY ||
	    atomic_load(&h->n_origins) > CLIENTS_ORIGINS || atomic_load(&h->next_id) == 0 ||
	    atomic_load(&h->next_id) > UINT64_MAX / 2)
		return false;
	for (uint32_t i = 0; i < atomic_load(&h->n_origins); i++) {
		const struct client_origin *o = &h->origin[i];
		if (!memchr(o->listener, 0, sizeof(o->listener)) || !memchr(o->type, 0, sizeof(o->type)) ||
		    !memchr(o->mode, 0, sizeof(o->mode)) || !memchr(o->room, 0, sizeof(o->room)))
			return false;
	}
	return true;
}

/* Maps the file; where there is not enough address space (39 bits of it, ulimit -v), with fewer areas. */
static int clients_map_file(struct clients *cs, int fd)
{
	int r = -ENOMEM;

	for (cs->capacity = CLIENTS_CAPACITY; r == -ENOMEM && cs->capacity >= CAPACITY_MIN;) {
		cs->mapped = offsetof(struct file, areas) + cs->capacity * (size_t)CLIENT_AREA_SIZE;
		r = memfd_map(fd, 0, cs->mapped, (void **)&cs->file);
		if (r < 0)
			cs->capacity /= 2;
	}
	return r;
}

int clients_open(int fd, bool fresh, struct clients **ret)
{
	struct clients *cs = calloc(1, sizeof(*cs));
	int64_t size;
	int e;

	if (!cs)
		return -ENOMEM;
	size = memfd_check(fd, sizeof(struct file));
	e = size < 0 ? (int)size : clients_map_file(cs, fd);
	if (e < 0) {
		free(cs);
		return e;
	}
	pthread_mutex_init(&cs->lock, NULL);
	struct file_header *h = &cs->file->header;
	if (fresh) {
		h->magic = CLIENTS_MAGIC;
		h->layout = CLIENTS_LAYOUT;
		h->shape = FILE_SHAPE;
		h->revision = CLIENTS_REVISION;
		atomic_store(&h->next_id, 1);
	} else if (!clients_header_is_ours(h)) {
		clients_close(cs);
		return -EBADMSG;
	} else if (atomic_load(&h->high) > cs->capacity) {
		clients_close(cs);
		return -ENOMEM;
	}
	*ret = cs;
	return 0;
}

void clients_close(struct clients *cs)
{
	if (!cs)
		return;
	munmap(cs->file, cs->mapped);
	pthread_mutex_destroy(&cs->lock);
	free(cs->free.at);
	free(cs->free_memberships.at);
	free(cs);
}

struct client_history *clients_history(struct clients *cs)
{
	return &cs->file->header.history;
}

struct client *clients_allocate(struct clients *cs)
{
	struct file_header *h = &cs->file->header;
	struct client *c = NULL;

	pthread_mutex_lock(&cs->lock);
	if (cs->free.n > 0)
		c = &cs->file->entries[cs->free.at[--cs->free.n]];
	else if (atomic_load(&h->high) < cs->capacity)
		c = &cs->file->entries[atomic_fetch_add(&h->high, 1)];
	pthread_mutex_unlock(&cs->lock);
	if (!c)
		return NULL;
	memset((char *)c + sizeof(c->cookie), 0, sizeof(*c) - sizeof(c->cookie));
	c->id = atomic_fetch_add(&h->next_id, 1);
	return c;
}

/* What is left of the TLS of who has gone. */
static void clients_wipe_tls(struct clients *cs, uint32_t index)
{
	struct tls_state *s = &cs->file->tls[index];

	if (s->suite.version != 0 || s->peer_len != 0)
		tls_place_wipe(s, secrets_at(cs->secrets, index));
}

void clients_release(struct clients *cs, struct client *c)
{
	atomic_store(&c->cookie, 0);
	FAULT("release-entry");
	clients_wipe_tls(cs, clients_index(cs, c));
	memberships_release(cs, c);
	pthread_mutex_lock(&cs->lock);
	free_places_push(&cs->free, clients_index(cs, c));
	pthread_mutex_unlock(&cs->lock);
}

void clients_rebuild(struct clients *cs)
{
	pthread_mutex_lock(&cs->lock);
	cs->free.n = 0;
	for (uint32_t i = atomic_load(&cs->file->header.high); i-- > 0;)
		if (atomic_load(&cs->file->entries[i].cookie) == 0) {
			clients_wipe_tls(cs, i);
			free_places_push(&cs->free, i);
		}
	pthread_mutex_unlock(&cs->lock);
}

_Atomic uint32_t *clients_peers(struct clients *cs, unsigned origin)
{
	return &cs->file->header.peers[origin % CLIENTS_ORIGINS];
}

struct client_tally *clients_tally(struct clients *cs, unsigned origin)
{
	return &cs->file->header.tallies[origin % CLIENTS_ORIGINS];
}

_Atomic uint64_t *clients_counters(struct clients *cs, unsigned set)
{
	return set < CLIENTS_SCRATCHES ? cs->file->scratches[set].counters
				       : cs->file->header.counters[set - CLIENTS_SCRATCHES];
}

/* Where the counter of that name is in the state; CLIENTS_COUNTERS: nowhere. */
static unsigned clients_find_counter(const struct file_header *a, const char *name)
{
	uint64_t n = atomic_load(&a->n_names), h = hash_fixed(name, strlen(name));

	for (unsigned i = 0; i < n && i < CLIENTS_COUNTERS; i++)
		if (a->names[i] == h)
			return i;
	return CLIENTS_COUNTERS;
}

void clients_order_counters(struct clients *cs, const char *const names[], unsigned n)
{
	struct file_header *a = &cs->file->header;
	unsigned from[CLIENTS_COUNTERS];
	bool same = atomic_load(&a->n_names) == n;

	for (unsigned i = 0; i < n; i++) {
		from[i] = clients_find_counter(a, names[i]);
		same &= from[i] == i;
	}
	if (same)
		return;
	/* Killed within this, the next process begins at 0. */
	atomic_store(&a->n_names, 0);
	for (unsigned set = 0; set < CLIENTS_COUNTER_SETS; set++) {
		_Atomic uint64_t *v = clients_counters(cs, set);
		uint64_t old[CLIENTS_COUNTERS];
		for (unsigned i = 0; i < CLIENTS_COUNTERS; i++)
			old[i] = atomic_load(&v[i]);
		for (unsigned i = 0; i < CLIENTS_COUNTERS; i++)
			atomic_store(&v[i], i < n && from[i] < CLIENTS_COUNTERS ? old[from[i]] : 0);
	}
	for (unsigned i = 0; i < n; i++)
		a->names[i] = hash_fixed(names[i], strlen(names[i]));
	atomic_store(&a->n_names, n);
}

unsigned clients_layout(void)
{
	return CLIENTS_LAYOUT;
}

unsigned clients_revision(const struct clients *cs)
{
	return cs->file->header.revision;
}

void clients_set_revision(struct clients *cs, unsigned revision)
{
	cs->file->header.revision = revision;
}

void clients_hold_origin(struct clients *cs, unsigned number)
{
	atomic_fetch_add(&cs->holds[number % CLIENTS_ORIGINS], 1);
}

void clients_drop_origin(struct clients *cs, unsigned number)
{
	atomic_fetch_sub(&cs->holds[number % CLIENTS_ORIGINS], 1);
}

uint64_t clients_next_id(const struct clients *cs)
{
	return atomic_load(&cs->file->header.next_id);
}

uint32_t clients_high(const struct clients *cs)
{
	return atomic_load(&cs->file->header.high);
}

uint32_t clients_index(const struct clients *cs, const struct client *c)
{
	return file_index(cs, c);
}

struct client *clients_at(struct clients *cs, uint32_t index)
{
	return file_entry(cs, index);
}

char *clients_inbox(struct clients *cs, const struct client *c)
{
	return cs->file->areas[clients_index(cs, c)];
}

char *clients_outbox(struct clients *cs, const struct client *c)
{
	return cs->file->areas[clients_index(cs, c)] + CLIENT_IN_SIZE;
}

void clients_set_secrets(struct clients *cs, struct secrets *s)
{
	cs->secrets = s;
}

struct tls_place clients_tls(struct clients *cs, const struct client *c)
{
	uint32_t i = clients_index(cs, c);

	return (struct tls_place){.state = &cs->file->tls[i],
				  .secrets = secrets_at(cs->secrets, i),
				  .rests = (uint8_t *)cs->file->areas[i] + CLIENT_IN_SIZE + CLIENT_OUT_SIZE,
				  .id = c->id};
}

struct tls_scratch *clients_tls_scratches(struct clients *cs)
{
	return cs->file->tls_scratches;
}

struct scratch *clients_scratch(struct clients *cs, unsigned worker)
{
	return &cs->file->scratches[worker];
}

/* The first that is nobody's; CLIENTS_ORIGINS: there is none. */
static unsigned clients_free_origin(struct clients *cs)
{
	bool used[CLIENTS_ORIGINS];

	for (unsigned i = 0; i < CLIENTS_ORIGINS; i++)
		used[i] = atomic_load(&cs->holds[i]) > 0;
	for (uint32_t i = 0; i < atomic_load(&cs->file->header.high); i++)
		if (atomic_load(&cs->file->entries[i].cookie))
			used[cs->file->entries[i].origin % CLIENTS_ORIGINS] = true;
	for (unsigned i = 0; i < CLIENTS_ORIGINS; i++)
		if (!used[i])
			return i;
	return CLIENTS_ORIGINS;
}

int clients_intern(struct clients *cs, const struct client_origin *origin)
{
	struct file_header *h = &cs->file->header;

	for (uint32_t i = 0; i < h->n_origins; i++)
		if (memcmp(&h->origin[i], origin, sizeof(*origin)) == 0)
			return (int)i;
	if (h->n_origins < CLIENTS_ORIGINS) {
		uint32_t number = h->n_origins;
		h->origin[number] = *origin;
		memset(&cs->file->header.tallies[number], 0, sizeof(cs->file->header.tallies[number]));
		atomic_store(&h->n_origins, number + 1);
		return (int)number;
	}
	unsigned i = clients_free_origin(cs);
	if (i == CLIENTS_ORIGINS)
		return -ENOSPC;
	h->origin[i] = *origin;
	memset(&cs->file->header.tallies[i], 0, sizeof(cs->file->header.tallies[i]));
	return (int)i;
}

const struct client_origin *clients_origin(const struct clients *cs, unsigned number)
{
	return number < cs->file->header.n_origins ? &cs->file->header.origin[number] : NULL;
}
