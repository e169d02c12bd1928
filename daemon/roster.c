/* SPDX-License-Identifier: MIT */
#include "daemon/roster.h"

#include "common/cleanup.h"
#include "daemon/wakeup.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define BUCKETS 65536

struct roster_entry {
	struct roster_entry *next;		    /* in the bucket */
	struct roster_entry *room_prev, *room_next; /* in the room, newest first */
	uint64_t id;
	uint32_t index, room;
	uint8_t len;
	char nick[TEXT_NICK_MAX];
};

struct roster {
	pthread_mutex_t lock;
	struct roster_entry *buckets[BUCKETS];
	struct roster_entry *rooms[ROOMS_CAPACITY];
	uint32_t sizes[ROOMS_CAPACITY];
	char (*reserved)[TEXT_NICK_MAX + 1];
	size_t n_reserved;
};

int roster_new(struct roster **ret)
{
	struct roster *ro = calloc(1, sizeof(*ro));

	if (!ro)
		return -ENOMEM;
	pthread_mutex_init(&ro->lock, NULL);
	*ret = ro;
	return 0;
}

void roster_free(struct roster *ro)
{
	if (!ro)
		return;
	for (size_t i = 0; i < BUCKETS; i++)
		for (struct roster_entry *e = ro->buckets[i], *next; e; e = next) {
			next = e->next;
			free(e);
		}
	pthread_mutex_destroy(&ro->lock);
	free(ro->reserved);
	free(ro);
}

void roster_reserve(struct roster *ro, char (*nicks)[TEXT_NICK_MAX + 1], size_t n)
{
	pthread_mutex_lock(&ro->lock);
	free(ro->reserved);
	ro->reserved = nicks;
	ro->n_reserved = n;
	pthread_mutex_unlock(&ro->lock);
}

static int compare(const void *a, const void *b)
{
	return strcasecmp(a, b);
}

static bool is_an_account(const struct roster *ro, const char *nick, size_t len)
{
	char key[TEXT_NICK_MAX + 1];

	if (ro->n_reserved == 0)
		return false;
	memcpy(key, nick, len);
	key[len] = '\0';
	return bsearch(key, ro->reserved, ro->n_reserved, sizeof(*ro->reserved), compare) != NULL;
}

static char fold(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

static uint32_t bucket(const char *nick, size_t len)
{
	uint32_t h = 2166136261u;

	for (size_t i = 0; i < len; i++)
		h = (h ^ (unsigned char)fold(nick[i])) * 16777619u;
	return h % BUCKETS;
}

static bool same(const struct roster_entry *e, const char *nick, size_t len)
{
	if (e->len != len)
		return false;
	for (size_t i = 0; i < len; i++)
		if (fold(e->nick[i]) != fold(nick[i]))
			return false;
	return true;
}

static struct roster_entry *find(struct roster *ro, const char *nick, size_t len)
{
	struct roster_entry *e = ro->buckets[bucket(nick, len)];

	while (e && !same(e, nick, len))
		e = e->next;
	return e;
}

/* "guest7" belongs to client 7 alone, so that a new guest always finds its nick free. */
static bool reserved(const char *nick, size_t len, uint64_t id)
{
	char text[TEXT_NICK_MAX + 1], own[TEXT_NICK_MAX + 1];

	for (size_t i = 0; i < len; i++)
		text[i] = fold(nick[i]);
	text[len] = '\0';
	if (strcmp(text, "admin") == 0 || strcmp(text, "chatd") == 0)
		return true;
	snprintf(own, sizeof(own), "guest%" PRIu64, id);
	return strncmp(text, "guest", 5) == 0 && len > 5 && strspn(text + 5, "0123456789") == len - 5 &&
	       strcmp(text, own) != 0;
}

static void link_room(struct roster *ro, struct roster_entry *e, uint32_t room)
{
	e->room = room;
	e->room_prev = e->room_next = NULL;
	if (room >= ROOMS_CAPACITY)
		return;
	e->room_next = ro->rooms[room];
	if (e->room_next)
		e->room_next->room_prev = e;
	ro->rooms[room] = e;
	ro->sizes[room]++;
}

static void unlink_room(struct roster *ro, struct roster_entry *e)
{
	if (e->room >= ROOMS_CAPACITY)
		return;
	if (e->room_prev)
		e->room_prev->room_next = e->room_next;
	else
		ro->rooms[e->room] = e->room_next;
	if (e->room_next)
		e->room_next->room_prev = e->room_prev;
	ro->sizes[e->room]--;
}

int roster_claim(struct roster *ro, const char *nick, size_t len, uint64_t id, uint32_t index, uint32_t room,
		 bool entitled, struct roster_entry **ret)
{
	if (len > TEXT_NICK_MAX || reserved(nick, len, id))
		return -EPERM;
	struct roster_entry *e = malloc(sizeof(*e));
	if (!e)
		return -ENOMEM;
	e->id = id;
	e->index = index;
	e->len = (uint8_t)len;
	memcpy(e->nick, nick, len);

	pthread_mutex_lock(&ro->lock);
	const struct roster_entry *other = find(ro, nick, len);
	if (!entitled && is_an_account(ro, nick, len)) {
		pthread_mutex_unlock(&ro->lock);
		free(e);
		return -EPERM;
	}
	/* The same client may hold both while it changes the case of its nick. */
	if (other && other->id != id) {
		pthread_mutex_unlock(&ro->lock);
		free(e);
		return -EEXIST;
	}
	uint32_t b = bucket(nick, len);
	e->next = ro->buckets[b];
	ro->buckets[b] = e;
	link_room(ro, e, room);
	pthread_mutex_unlock(&ro->lock);
	*ret = e;
	return 0;
}

void roster_release(struct roster *ro, struct roster_entry *e)
{
	if (!e)
		return;
	pthread_mutex_lock(&ro->lock);
	struct roster_entry **p = &ro->buckets[bucket(e->nick, e->len)];
	while (*p != e)
		p = &(*p)->next;
	*p = e->next;
	unlink_room(ro, e);
	pthread_mutex_unlock(&ro->lock);
	free(e);
}

void roster_move(struct roster *ro, struct roster_entry *e, uint32_t room)
{
	if (!e)
		return;
	pthread_mutex_lock(&ro->lock);
	unlink_room(ro, e);
	link_room(ro, e, room);
	pthread_mutex_unlock(&ro->lock);
}

bool roster_find(struct roster *ro, const char *nick, size_t len, uint64_t *ret_id, uint32_t *ret_index)
{
	pthread_mutex_lock(&ro->lock);
	const struct roster_entry *e = find(ro, nick, len);
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
		for (const struct roster_entry *e = ro->rooms[room]; e && o + e->len + 3 <= size;
		     e = e->room_next) {
			o += (size_t)snprintf(buf + o, size - o, "%s%.*s", o ? ", " : "", e->len, e->nick);
			shown++;
		}
	}
	pthread_mutex_unlock(&ro->lock);
	*ret_shown = shown;
	return n;
}
