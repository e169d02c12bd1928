/* SPDX-License-Identifier: MIT */
#include "daemon/state/clients.h"

#include "common/cleanup.h"
#include "common/hash.h"
#include "daemon/io/memfd.h"

#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

#define CLIENTS_MAGIC 0x736e6c6364746863ULL
#define CLIENTS_LAYOUT 4

/* Behind what the first builds of this layout had, in space that was 0. */
struct accounts {
	struct client_tally tallies[CLIENTS_ORIGINS];
	_Atomic uint64_t n_names;	  /* 0: the counters mean nothing */
	uint64_t names[CLIENTS_COUNTERS]; /* their hashes: which counter is which */
	_Atomic uint64_t counters[CLIENTS_MORE_COUNTERS][CLIENTS_COUNTERS];
};

struct header {
	uint64_t magic;
	uint32_t layout, capacity;
	_Atomic uint64_t next_id;
	_Atomic uint32_t high;	    /* entries from here on were never used */
	_Atomic uint32_t n_origins; /* stored behind the origin */
	struct client_history history;
	struct client_origin origins[CLIENTS_ORIGINS];
	_Atomic uint32_t peers[CLIENTS_ORIGINS];
	uint32_t revision;
};

#define HEADER_SPACE 262144

struct file {
	union {
		struct header header;
		struct {
			char header_space[HEADER_SPACE - sizeof(struct accounts)];
			struct accounts accounts;
		};
	};
	struct scratch scratches[CLIENTS_SCRATCHES];
	struct client entries[CLIENTS_CAPACITY];
	char areas[CLIENTS_CAPACITY][CLIENT_IN_SIZE + CLIENT_OUT_SIZE];
};

/* Pages are given back by the area, whatever their size. */
_Static_assert(offsetof(struct file, scratches) == HEADER_SPACE, "part of the state's layout");
_Static_assert(sizeof(struct header) <= HEADER_SPACE - sizeof(struct accounts), "they lie side by side");
_Static_assert(offsetof(struct scratch, data) == 4096, "part of the state's layout");
_Static_assert(offsetof(struct file, entries) % MEMFD_ALIGN == 0, "part of the state's layout");
_Static_assert(offsetof(struct file, areas) % MEMFD_ALIGN == 0, "part of the state's layout");

struct clients {
	struct file *file;
	pthread_mutex_t lock;
	uint32_t *free; /* stack, so that used entries stay close together */
	uint32_t n_free, room_free;
	atomic_uint holds[CLIENTS_ORIGINS];
};

uint64_t clients_file_size(void)
{
	return sizeof(struct file);
}

int clients_open(int fd, bool fresh, struct clients **ret)
{
	struct clients *cs = calloc(1, sizeof(*cs));
	int64_t size;
	int e;

	if (!cs)
		return -ENOMEM;
	size = memfd_check(fd, sizeof(struct file));
	e = size < 0 ? (int)size : memfd_map(fd, 0, sizeof(struct file), (void **)&cs->file);
	if (e < 0) {
		free(cs);
		return e;
	}
	pthread_mutex_init(&cs->lock, NULL);
	struct header *h = &cs->file->header;
	if (fresh) {
		h->magic = CLIENTS_MAGIC;
		h->layout = CLIENTS_LAYOUT;
		h->capacity = CLIENTS_CAPACITY;
		h->revision = CLIENTS_REVISION;
		atomic_store(&h->next_id, 1);
	} else if (h->magic != CLIENTS_MAGIC || h->layout != CLIENTS_LAYOUT ||
		   h->capacity != CLIENTS_CAPACITY || atomic_load(&h->high) > CLIENTS_CAPACITY ||
		   h->n_origins > CLIENTS_ORIGINS || atomic_load(&h->next_id) > UINT64_MAX / 2) {
		clients_close(cs);
		return -EBADMSG;
	}
	for (uint32_t i = 0; i < h->n_origins; i++) {
		struct client_origin *o = &h->origins[i];
		if (!memchr(o->listener, 0, sizeof(o->listener)) || !memchr(o->type, 0, sizeof(o->type)) ||
		    !memchr(o->mode, 0, sizeof(o->mode)) || !memchr(o->room, 0, sizeof(o->room))) {
			clients_close(cs);
			return -EBADMSG;
		}
	}
	*ret = cs;
	return 0;
}

void clients_close(struct clients *cs)
{
	if (!cs)
		return;
	munmap(cs->file, sizeof(struct file));
	pthread_mutex_destroy(&cs->lock);
	free(cs->free);
	free(cs);
}

struct client_history *clients_history(struct clients *cs)
{
	return &cs->file->header.history;
}

static int push_free(struct clients *cs, uint32_t index)
{
	if (cs->n_free == cs->room_free) {
		uint32_t n = cs->room_free ? cs->room_free * 2 : 256;
		uint32_t *p = reallocarray(cs->free, n, sizeof(*p));
		if (!p)
			return -ENOMEM; /* the entry is found again at the next start */
		cs->free = p;
		cs->room_free = n;
	}
	cs->free[cs->n_free++] = index;
	return 0;
}

struct client *clients_allocate(struct clients *cs)
{
	struct header *h = &cs->file->header;
	struct client *c = NULL;

	pthread_mutex_lock(&cs->lock);
	if (cs->n_free > 0)
		c = &cs->file->entries[cs->free[--cs->n_free]];
	else if (atomic_load(&h->high) < CLIENTS_CAPACITY)
		c = &cs->file->entries[atomic_fetch_add(&h->high, 1)];
	pthread_mutex_unlock(&cs->lock);
	if (!c)
		return NULL;
	memset((char *)c + sizeof(c->cookie), 0, sizeof(*c) - sizeof(c->cookie));
	c->id = atomic_fetch_add(&h->next_id, 1);
	return c;
}

void clients_release(struct clients *cs, struct client *c)
{
	atomic_store(&c->cookie, 0);
	pthread_mutex_lock(&cs->lock);
	push_free(cs, clients_index(cs, c));
	pthread_mutex_unlock(&cs->lock);
}

void clients_rebuild(struct clients *cs)
{
	pthread_mutex_lock(&cs->lock);
	cs->n_free = 0;
	for (uint32_t i = atomic_load(&cs->file->header.high); i-- > 0;)
		if (atomic_load(&cs->file->entries[i].cookie) == 0)
			push_free(cs, i);
	pthread_mutex_unlock(&cs->lock);
}

_Atomic uint32_t *clients_peers(struct clients *cs, unsigned origin)
{
	return &cs->file->header.peers[origin % CLIENTS_ORIGINS];
}

struct client_tally *clients_tally(struct clients *cs, unsigned origin)
{
	return &cs->file->accounts.tallies[origin % CLIENTS_ORIGINS];
}

_Atomic uint64_t *clients_counters(struct clients *cs, unsigned set)
{
	return set < CLIENTS_SCRATCHES ? cs->file->scratches[set].counters
				       : cs->file->accounts.counters[set - CLIENTS_SCRATCHES];
}

/* Where the counter of that name is in the state; CLIENTS_COUNTERS: nowhere. */
static unsigned find_counter(const struct accounts *a, const char *name)
{
	uint64_t n = atomic_load(&a->n_names), h = hash_fixed(name, strlen(name));

	for (unsigned i = 0; i < n && i < CLIENTS_COUNTERS; i++)
		if (a->names[i] == h)
			return i;
	return CLIENTS_COUNTERS;
}

void clients_order_counters(struct clients *cs, const char *const names[], unsigned n)
{
	struct accounts *a = &cs->file->accounts;
	unsigned from[CLIENTS_COUNTERS];
	bool same = atomic_load(&a->n_names) == n;

	for (unsigned i = 0; i < n; i++) {
		from[i] = find_counter(a, names[i]);
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

uint32_t clients_index(const struct clients *cs, const struct client *c)
{
	return (uint32_t)(c - cs->file->entries);
}

struct client *clients_at(struct clients *cs, uint32_t index)
{
	return index < atomic_load(&cs->file->header.high) ? &cs->file->entries[index] : NULL;
}

char *clients_inbox(struct clients *cs, const struct client *c)
{
	return cs->file->areas[clients_index(cs, c)];
}

char *clients_outbox(struct clients *cs, const struct client *c)
{
	return cs->file->areas[clients_index(cs, c)] + CLIENT_IN_SIZE;
}

struct scratch *clients_scratch(struct clients *cs, unsigned worker)
{
	return &cs->file->scratches[worker];
}

static bool origin_used(struct clients *cs, unsigned number)
{
	if (atomic_load(&cs->holds[number]) > 0)
		return true;
	for (uint32_t i = 0; i < atomic_load(&cs->file->header.high); i++)
		if (atomic_load(&cs->file->entries[i].cookie) && cs->file->entries[i].origin == number)
			return true;
	return false;
}

int clients_intern(struct clients *cs, const struct client_origin *origin)
{
	struct header *h = &cs->file->header;

	for (uint32_t i = 0; i < h->n_origins; i++)
		if (memcmp(&h->origins[i], origin, sizeof(*origin)) == 0)
			return (int)i;
	if (h->n_origins < CLIENTS_ORIGINS) {
		uint32_t number = h->n_origins;
		h->origins[number] = *origin;
		memset(&cs->file->accounts.tallies[number], 0, sizeof(cs->file->accounts.tallies[number]));
		atomic_store(&h->n_origins, number + 1);
		return (int)number;
	}
	for (uint32_t i = 0; i < h->n_origins; i++)
		if (!origin_used(cs, i)) {
			h->origins[i] = *origin;
			memset(&cs->file->accounts.tallies[i], 0, sizeof(cs->file->accounts.tallies[i]));
			return (int)i;
		}
	return -ENOSPC;
}

const struct client_origin *clients_origin(const struct clients *cs, unsigned number)
{
	return number < cs->file->header.n_origins ? &cs->file->header.origins[number] : NULL;
}
