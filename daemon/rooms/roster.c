/* SPDX-License-Identifier: MIT */
/* The roster: a hash of all nicks by their keys, and a list for each room, under one lock. */
#include "daemon/rooms/roster.h"

#include "common/cleanup.h"
#include "common/nick.h"
#include "daemon/rooms/wakeup.h"

#include <inttypes.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

/* As many as the largest power of two that is not above the number of clients, and no fewer than this. */
#define BUCKETS_MIN 4096

/* An entry's seat in a room. An entry's seats are a ring, of one for most. */
struct seat {
	struct seat *prev, *next; /* in the room, newest first */
	struct seat *other;	  /* the ring's next one */
	uint32_t room;		  /* ROOMS_CAPACITY: none */
	bool own;		  /* it begins its entry; the others are on the heap */
};

struct roster_entry {
	struct seat seat;		      /* first: see roster_entry_of() */
	struct roster_entry *next[NICK_KEYS]; /* in the bucket of each key; it is in each of them once */
	struct nick_keys keys;
	uint64_t id;
	uint32_t index;
	uint8_t len;
	char nick[];
};

/* As for struct connection: with a nick of ten bytes and malloc's header that is 96. */
_Static_assert(offsetof(struct roster_entry, nick) <= 78,
	       "an idle connection costs no more than 0.7 kB in all");

struct roster {
	pthread_mutex_t lock;
	struct roster_entry **buckets;
	uint64_t n_buckets;
	struct seat *rooms[ROOMS_CAPACITY];
	uint32_t sizes[ROOMS_CAPACITY];
	uint64_t *reserved; /* keys, sorted */
	size_t n_reserved;
	struct nick_keys own[2]; /* chatd's */
};

int roster_new(uint32_t clients, struct roster **ret)
{
	struct roster *ro = calloc(1, sizeof(*ro));

	if (!ro)
		return -ENOMEM;
	for (ro->n_buckets = BUCKETS_MIN; 2 * ro->n_buckets <= clients;)
		ro->n_buckets *= 2;
	ro->buckets = calloc(ro->n_buckets, sizeof(*ro->buckets));
	if (!ro->buckets) {
		free(ro);
		return -ENOMEM;
	}
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
	for (uint64_t i = 0; i < ro->n_buckets; i++)
		while (ro->buckets[i])
			roster_release(ro, ro->buckets[i]);
	pthread_mutex_destroy(&ro->lock);
	free(ro->reserved);
	free(ro->buckets);
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

static struct roster_entry *roster_entry_of(struct seat *s)
{
	while (!s->own)
		s = s->other;
	return (struct roster_entry *)s;
}

/* Where it says what comes after it in that bucket. */
static struct roster_entry **roster_after(const struct roster *ro, struct roster_entry *e, uint64_t bucket)
{
	return &e->next[(e->keys.at[0] & (ro->n_buckets - 1)) != bucket];
}

static void roster_hash(struct roster *ro, struct roster_entry *e)
{
	uint64_t first = e->keys.at[0] & (ro->n_buckets - 1), second = e->keys.at[1] & (ro->n_buckets - 1);

	e->next[0] = ro->buckets[first];
	ro->buckets[first] = e;
	if (second == first)
		return;
	e->next[1] = ro->buckets[second];
	ro->buckets[second] = e;
}

static void roster_unhash(struct roster *ro, struct roster_entry *e)
{
	for (unsigned i = 0; i < NICK_KEYS; i++) {
		uint64_t bucket = e->keys.at[i] & (ro->n_buckets - 1);
		struct roster_entry **p = &ro->buckets[bucket];
		while (*p && *p != e)
			p = roster_after(ro, *p, bucket);
		if (*p)
			*p = *roster_after(ro, e, bucket);
	}
}

/* Somebody else of the same nick, or NULL. The lock is held. */
static const struct roster_entry *roster_find_keys(struct roster *ro, const struct nick_keys *keys,
						   uint64_t except)
{
	for (unsigned i = 0; i < NICK_KEYS; i++) {
		uint64_t bucket = keys->at[i] & (ro->n_buckets - 1);
		for (struct roster_entry *e = ro->buckets[bucket]; e; e = *roster_after(ro, e, bucket))
			if (e->id != except && nick_keys_meet(&e->keys, keys))
				return e;
	}
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
	struct roster_entry *e = malloc(offsetof(struct roster_entry, nick) + len);
	if (!e)
		return -ENOMEM;
	e->id = id;
	e->index = index;
	e->len = (uint8_t)len;
	e->seat = (struct seat){.other = &e->seat, .room = ROOMS_CAPACITY, .own = true};
	e->keys = keys;
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
	roster_hash(ro, e);
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
	pthread_mutex_lock(&ro->lock);
	bool r = roster_reserves(ro, e->nick, e->len, &e->keys);
	pthread_mutex_unlock(&ro->lock);
	return r;
}

void roster_release(struct roster *ro, struct roster_entry *e)
{
	if (!e)
		return;
	pthread_mutex_lock(&ro->lock);
	roster_unhash(ro, e);
	roster_unlink(ro, &e->seat);
	for (struct seat *s = e->seat.other, *other; s != &e->seat; s = other) {
		other = s->other;
		roster_unlink(ro, s);
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
	if (e->seat.room < ROOMS_CAPACITY)
		roster_link(ro, &with->seat, e->seat.room);
	struct seat *last = &e->seat;
	while (last->other != &e->seat) {
		last = last->other;
		uint32_t room = last->room;
		roster_unlink(ro, last);
		roster_link(ro, last, room);
	}
	/* The two rings become one, without the old entry's own seat. */
	last->other = with->seat.other;
	with->seat.other = e->seat.other;
	e->seat.other = &e->seat;
	pthread_mutex_unlock(&ro->lock);
	roster_release(ro, e);
}

int roster_enter(struct roster *ro, struct roster_entry *e, uint32_t room)
{
	if (!e || room >= ROOMS_CAPACITY)
		return 0;
	struct seat *s = &e->seat;
	if (s->room < ROOMS_CAPACITY) {
		s = malloc(sizeof(*s));
		if (!s)
			return -ENOMEM;
		*s = (struct seat){0};
	}
	pthread_mutex_lock(&ro->lock);
	if (s != &e->seat) {
		s->other = e->seat.other;
		e->seat.other = s;
	}
	roster_link(ro, s, room);
	pthread_mutex_unlock(&ro->lock);
	return 0;
}

void roster_leave(struct roster *ro, struct roster_entry *e, uint32_t room)
{
	if (!e || room >= ROOMS_CAPACITY)
		return;
	pthread_mutex_lock(&ro->lock);
	if (e->seat.room == room) {
		roster_unlink(ro, &e->seat);
	} else {
		struct seat *before = &e->seat, *s;
		while ((s = before->other) != &e->seat && s->room != room)
			before = s;
		if (s != &e->seat) {
			roster_unlink(ro, s);
			before->other = s->other;
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
		for (struct seat *s = ro->rooms[room]; s; s = s->next) {
			const struct roster_entry *e = roster_entry_of(s);
			if (o + e->len + 3 > size)
				break;
			o += (size_t)snprintf(buf + o, size - o, "%s%.*s", o ? ", " : "", e->len, e->nick);
			shown++;
		}
	}
	pthread_mutex_unlock(&ro->lock);
	*ret_shown = shown;
	return n;
}
