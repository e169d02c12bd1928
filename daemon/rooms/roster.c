/* SPDX-License-Identifier: MIT */
/* The roster: a hash of all nicks by their keys, and a list for each room, under one lock. */
#include "daemon/rooms/roster_own.h"

#include "common/cleanup.h"

#include <stdio.h>
#include <string.h>

/* As many as the largest power of two that is not above the number of clients, and no fewer than this. */
#define BUCKETS_MIN 4096

int roster_new(uint32_t clients, struct roster **ret)
{
	struct roster *ro = calloc(1, sizeof(*ro));

	if (!ro)
		return -ENOMEM;
	uint64_t n_buckets = BUCKETS_MIN;
	while (2 * n_buckets <= clients)
		n_buckets *= 2;
	if (nick_index_open(&ro->index, n_buckets) < 0) {
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
	for (uint64_t i = 0; i < ro->index.n_buckets; i++)
		while (ro->index.buckets[i])
			roster_release(ro, NICK_LINK_OWNER(ro->index.buckets[i], struct roster_entry, link));
	pthread_mutex_destroy(&ro->lock);
	journal_free(ro->journal);
	free(ro->reserved);
	free(ro->names);
	free(ro->index.buckets);
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

size_t roster_guest(const struct roster *ro, uint64_t id, char ret[static TEXT_NICK_MAX + 1])
{
	return nick_of_guest(id, ro->node, ret);
}

/* The lock is held. */
static bool roster_reserves(const struct roster *ro, const char *nick, size_t len,
			    const struct nick_keys *keys)
{
	/* A guest's name belongs to one client, whatever an account is called. */
	if ((ro->n_reserved == 0 && !ro->elsewhere) || roster_looks_like_guest(ro, nick, len))
		return false;
	if (elsewhere_reserves(ro->elsewhere, keys))
		return true;
	for (unsigned i = 0; i < NICK_KEYS && ro->n_reserved > 0; i++)
		if (bsearch(&keys->at[i], ro->reserved, ro->n_reserved, sizeof(*ro->reserved),
			    roster_compare))
			return true;
	return false;
}

/* Somebody else of the same nick, or NULL. The lock is held. */
static const struct roster_entry *roster_find_keys(struct roster *ro, const struct nick_keys *keys,
						   uint64_t except)
{
	struct nick_cursor at = {0};

	for (const struct nick_link *l; (l = nick_index_next(&ro->index, keys, &at));) {
		const struct roster_entry *e = NICK_LINK_OWNER(l, const struct roster_entry, link);
		if (e->id != except)
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
	size_t n = roster_guest(ro, id, own);
	return roster_looks_like_guest(ro, nick, len) && !nick_same(nick, len, own, n);
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

void roster_listen(struct roster *ro, const struct roster_listener *l)
{
	atomic_store(&ro->listener, l);
}

static void roster_tell(struct roster *ro, const struct roster_entry *e)
{
	const struct roster_listener *l = atomic_load(&ro->listener);

	if (l)
		l->fn(l->arg, e->nick, e->len);
}

int roster_claim(struct roster *ro, const char *nick, size_t len, const struct roster_person *who,
		 struct roster_entry **ret)
{
	struct nick_keys keys = nick_keys(nick, len);

	if (len > TEXT_NICK_MAX || roster_is_chatds(ro, nick, len, &keys, who->id))
		return -EPERM;
	struct roster_entry *e = malloc(offsetof(struct roster_entry, nick) + len);
	if (!e)
		return -ENOMEM;
	e->id = who->id;
	e->index = who->index;
	e->len = (uint8_t)len;
	e->title = (uint8_t)(who->title & ~ROSTER_AGAIN);
	e->seat = (struct seat){.other = &e->seat, .room = ROOMS_CAPACITY, .own = true};
	e->link.keys = keys;
	memcpy(e->nick, nick, len);

	pthread_mutex_lock(&ro->lock);
	/* The same client may hold both while it changes the case of its nick. */
	int r = !(who->title & ROSTER_ENTITLED) && roster_reserves(ro, nick, len, &keys) ? -EPERM
		: roster_find_keys(ro, &keys, who->id)					 ? -EEXIST
		: roster_is_elsewhere(ro, e, who)					 ? -EEXIST
											 : 0;
	if (r < 0) {
		pthread_mutex_unlock(&ro->lock);
		free(e);
		return r;
	}
	nick_index_add(&ro->index, &e->link);
	roster_note_claim(ro, e, who->since_us);
	pthread_mutex_unlock(&ro->lock);
	roster_tell(ro, e); /* it is the caller's, who alone can give it up */
	*ret = e;
	return 0;
}

int roster_check(struct roster *ro, const char *nick, size_t len)
{
	struct nick_keys keys = nick_keys(nick, len);
	struct elsewhere_found found;

	if (!nick_valid(nick, len))
		return -EINVAL;
	if (roster_is_chatds(ro, nick, len, &keys, 0))
		return -EPERM;
	pthread_mutex_lock(&ro->lock);
	int r = roster_reserves(ro, nick, len, &keys)						 ? -EPERM
		: roster_find_keys(ro, &keys, 0) || elsewhere_find(ro->elsewhere, &keys, &found) ? -EEXIST
												 : 0;
	pthread_mutex_unlock(&ro->lock);
	return r;
}

bool roster_is_reserved(struct roster *ro, const struct roster_entry *e)
{
	pthread_mutex_lock(&ro->lock);
	bool r = e->title & ROSTER_LOST || roster_reserves(ro, e->nick, e->len, &e->link.keys);
	pthread_mutex_unlock(&ro->lock);
	return r;
}

void roster_release(struct roster *ro, struct roster_entry *e)
{
	if (!e)
		return;
	pthread_mutex_lock(&ro->lock);
	roster_note_release(ro, e);
	nick_index_remove(&ro->index, &e->link);
	roster_unlink(ro, &e->seat);
	for (struct seat *s = e->seat.other, *other; s != &e->seat; s = other) {
		other = s->other;
		roster_unlink(ro, s);
		free(s);
	}
	pthread_mutex_unlock(&ro->lock);
	roster_tell(ro, e);
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
	roster_note_replace(ro, with);
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
	roster_note_change(ro, e);
	pthread_mutex_unlock(&ro->lock);
	return 0;
}

void roster_leave(struct roster *ro, struct roster_entry *e, uint32_t room)
{
	if (!e || room >= ROOMS_CAPACITY)
		return;
	pthread_mutex_lock(&ro->lock);
	roster_note_change(ro, e);
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
