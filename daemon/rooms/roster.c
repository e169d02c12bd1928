/* SPDX-License-Identifier: MIT */
/* The roster: a hash of all nicks by their keys, and a list for each room, under one lock. */
#include "daemon/rooms/roster.h"

#include "common/cleanup.h"
#include "common/nick.h"
#include "daemon/rooms/wakeup.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define BUCKETS 65536

/* An entry's place in the bucket of one of its keys. Where the keys are equal, only the first has a place. */
struct place {
	struct place *next;
	struct roster_entry *entry;
	uint64_t key;
};

/* An entry's seat in a room. */
struct seat {
	struct seat *prev, *next; /* in the room, newest first */
	struct seat *other;	  /* of the same entry */
	struct roster_entry *entry;
	uint32_t room; /* ROOMS_CAPACITY: none */
};

struct roster_entry {
	struct place places[NICK_KEYS];
	struct seat first; /* most have no other one */
	uint64_t id;
	uint32_t index;
	uint8_t len;
	char nick[];
};

struct roster {
	pthread_mutex_t lock;
	struct place *buckets[BUCKETS];
	struct seat *rooms[ROOMS_CAPACITY];
	uint32_t sizes[ROOMS_CAPACITY];
	uint64_t *reserved; /* keys, sorted */
	size_t n_reserved;
	struct nick_keys own[2]; /* chatd's */
};

int roster_new(struct roster **ret)
{
	struct roster *ro = calloc(1, sizeof(*ro));

	if (!ro)
		return -ENOMEM;
	pthread_mutex_init(&ro->lock, NULL);
	ro->own[0] = nick_keys("admin", 5);
	ro->own[1] = nick_keys("chatd", 5);
	*ret = ro;
	return 0;
}

void roster_free(struct roster *ro)
{
	if (!ro)
		return;
	for (size_t i = 0; i < BUCKETS; i++)
		while (ro->buckets[i])
			roster_release(ro, ro->buckets[i]->entry);
	pthread_mutex_destroy(&ro->lock);
	free(ro->reserved);
	free(ro);
}

static int roster_compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

void roster_reserve(struct roster *ro, uint64_t *keys, size_t n)
{
	if (n > 0)
		qsort(keys, n, sizeof(*keys), roster_compare);
	pthread_mutex_lock(&ro->lock);
	free(ro->reserved);
	ro->reserved = keys;
	ro->n_reserved = n;
	pthread_mutex_unlock(&ro->lock);
}

/* The lock is held. */
static bool roster_reserves(const struct roster *ro, const char *nick, size_t len,
			    const struct nick_keys *keys)
{
	/* A guest's name belongs to one client, whatever an account is called. */
	if (ro->n_reserved == 0 || nick_is_guest(nick, len))
		return false;
	for (unsigned i = 0; i < NICK_KEYS; i++)
		if (bsearch(&keys->at[i], ro->reserved, ro->n_reserved, sizeof(*ro->reserved),
			    roster_compare))
			return true;
	return false;
}

static struct place **roster_bucket(struct roster *ro, uint64_t key)
{
	return &ro->buckets[key % BUCKETS];
}

/* Somebody else of the same nick, or NULL. The lock is held. */
static const struct roster_entry *roster_find_keys(struct roster *ro, const struct nick_keys *keys,
						   uint64_t except)
{
	for (unsigned i = 0; i < NICK_KEYS; i++)
		for (const struct place *p = *roster_bucket(ro, keys->at[i]); p; p = p->next)
			if (p->key == keys->at[i] && p->entry->id != except)
				return p->entry;
	return NULL;
}

/* "guest7" belongs to client 7 alone, so that a new guest always finds its nick free. */
static bool roster_is_chatds(const struct roster *ro, const char *nick, size_t len,
			     const struct nick_keys *keys, uint64_t id)
{
	char own[TEXT_NICK_MAX + 1];

	if (nick_keys_meet(keys, &ro->own[0]) || nick_keys_meet(keys, &ro->own[1]))
		return true;
	size_t n = nick_of_guest(id, own);
	return nick_is_guest(nick, len) && !nick_same(nick, len, own, n);
}

static void roster_link(struct roster *ro, struct seat *s, uint32_t room)
{
	s->room = room;
	s->prev = NULL;
	s->next = ro->rooms[room];
	if (s->next)
		s->next->prev = s;
	ro->rooms[room] = s;
	ro->sizes[room]++;
}

static void roster_unlink(struct roster *ro, struct seat *s)
{
	if (s->room >= ROOMS_CAPACITY)
		return;
	if (s->prev)
		s->prev->next = s->next;
	else
		ro->rooms[s->room] = s->next;
	if (s->next)
		s->next->prev = s->prev;
	ro->sizes[s->room]--;
	s->room = ROOMS_CAPACITY;
}

int roster_claim(struct roster *ro, const char *nick, size_t len, uint64_t id, uint32_t index, bool entitled,
		 struct roster_entry **ret)
{
	struct nick_keys keys = nick_keys(nick, len);

	if (len > TEXT_NICK_MAX || roster_is_chatds(ro, nick, len, &keys, id))
		return -EPERM;
	struct roster_entry *e = malloc(sizeof(*e) + len);
	if (!e)
		return -ENOMEM;
	e->id = id;
	e->index = index;
	e->len = (uint8_t)len;
	e->first = (struct seat){.entry = e, .room = ROOMS_CAPACITY};
	memcpy(e->nick, nick, len);

	pthread_mutex_lock(&ro->lock);
	/* The same client may hold both while it changes the case of its nick. */
	int r = !entitled && roster_reserves(ro, nick, len, &keys) ? -EPERM
		: roster_find_keys(ro, &keys, id)		   ? -EEXIST
								   : 0;
	if (r < 0) {
		pthread_mutex_unlock(&ro->lock);
		free(e);
		return r;
	}
	for (unsigned i = 0; i < NICK_KEYS; i++) {
		struct place **b = roster_bucket(ro, keys.at[i]);
		e->places[i] = (struct place){*b, e, keys.at[i]};
		if (i == 0 || keys.at[i] != keys.at[0])
			*b = &e->places[i];
	}
	pthread_mutex_unlock(&ro->lock);
	*ret = e;
	return 0;
}

int roster_check(struct roster *ro, const char *nick, size_t len)
{
	struct nick_keys keys = nick_keys(nick, len);

	if (!nick_valid(nick, len))
		return -EINVAL;
	if (roster_is_chatds(ro, nick, len, &keys, 0))
		return -EPERM;
	pthread_mutex_lock(&ro->lock);
	int r = roster_reserves(ro, nick, len, &keys) ? -EPERM : roster_find_keys(ro, &keys, 0) ? -EEXIST : 0;
	pthread_mutex_unlock(&ro->lock);
	return r;
}

bool roster_is_reserved(struct roster *ro, const struct roster_entry *e)
{
	struct nick_keys keys = {{e->places[0].key, e->places[1].key}};

	pthread_mutex_lock(&ro->lock);
	bool r = roster_reserves(ro, e->nick, e->len, &keys);
	pthread_mutex_unlock(&ro->lock);
	return r;
}

/* The lock is held. */
static void roster_forget_keys(struct roster *ro, struct roster_entry *e)
{
	for (unsigned i = 0; i < NICK_KEYS; i++) {
		if (i > 0 && e->places[i].key == e->places[0].key)
			continue;
		struct place **p = roster_bucket(ro, e->places[i].key);
		while (*p != &e->places[i])
			p = &(*p)->next;
		*p = e->places[i].next;
	}
}

void roster_release(struct roster *ro, struct roster_entry *e)
{
	if (!e)
		return;
	pthread_mutex_lock(&ro->lock);
	roster_forget_keys(ro, e);
	for (struct seat *s = &e->first, *other; s; s = other) {
		other = s->other;
		roster_unlink(ro, s);
		if (s != &e->first)
			free(s);
	}
	pthread_mutex_unlock(&ro->lock);
	free(e);
}

void roster_replace(struct roster *ro, struct roster_entry **mine, struct roster_entry *with)
{
	struct roster_entry *e = *mine;

	*mine = with;
	if (!e)
		return;
	pthread_mutex_lock(&ro->lock);
	if (e->first.room < ROOMS_CAPACITY)
		roster_link(ro, &with->first, e->first.room);
	with->first.other = e->first.other;
	e->first.other = NULL;
	for (struct seat *s = with->first.other; s; s = s->other) {
		uint32_t room = s->room;
		roster_unlink(ro, s);
		s->entry = with;
		roster_link(ro, s, room);
	}
	pthread_mutex_unlock(&ro->lock);
	roster_release(ro, e);
}

int roster_enter(struct roster *ro, struct roster_entry *e, uint32_t room)
{
	if (!e || room >= ROOMS_CAPACITY)
		return 0;
	struct seat *s = &e->first;
	if (s->room < ROOMS_CAPACITY) {
		s = malloc(sizeof(*s));
		if (!s)
			return -ENOMEM;
		*s = (struct seat){.entry = e, .other = e->first.other};
	}
	pthread_mutex_lock(&ro->lock);
	if (s != &e->first)
		e->first.other = s;
	roster_link(ro, s, room);
	pthread_mutex_unlock(&ro->lock);
	return 0;
}

void roster_leave(struct roster *ro, struct roster_entry *e, uint32_t room)
{
	struct seat **at, *s;

	if (!e || room >= ROOMS_CAPACITY)
		return;
	pthread_mutex_lock(&ro->lock);
	if (e->first.room == room) {
		roster_unlink(ro, &e->first);
	} else {
		for (at = &e->first.other; (s = *at) && s->room != room;)
			at = &s->other;
		if (s) {
			roster_unlink(ro, s);
			*at = s->other;
			free(s);
		}
	}
	pthread_mutex_unlock(&ro->lock);
}

bool roster_find(struct roster *ro, const char *nick, size_t len, uint64_t *ret_id, uint32_t *ret_index)
{
	struct nick_keys keys = nick_keys(nick, len);

	pthread_mutex_lock(&ro->lock);
	const struct roster_entry *e = roster_find_keys(ro, &keys, 0);
	if (e) {
		*ret_id = e->id;
		*ret_index = e->index;
	}
	pthread_mutex_unlock(&ro->lock);
	return e;
}

size_t roster_list(struct roster *ro, uint32_t room, char *buf, size_t size, size_t *ret_shown)
{
	size_t n = 0, shown = 0, o = 0;

	buf[0] = '\0';
	pthread_mutex_lock(&ro->lock);
	if (room < ROOMS_CAPACITY) {
		n = ro->sizes[room];
		for (const struct seat *s = ro->rooms[room]; s && o + s->entry->len + 3 <= size;
		     s = s->next) {
			const struct roster_entry *e = s->entry;
			o += (size_t)snprintf(buf + o, size - o, "%s%.*s", o ? ", " : "", e->len, e->nick);
			shown++;
		}
	}
	pthread_mutex_unlock(&ro->lock);
	*ret_shown = shown;
	return n;
}
