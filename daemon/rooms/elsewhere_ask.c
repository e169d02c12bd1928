/* SPDX-License-Identifier: MIT */
/* What is asked of those on other nodes: who has a nick, who is in a room, which rooms there are, and all of them. */
#include "daemon/rooms/elsewhere_own.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct hall **elsewhere_find_hall(const struct elsewhere *el, const char *name)
{
	struct hall **p = &el->halls[hash_bytes(&el->key, name, strlen(name)) & (el->n_buckets - 1)];

	while (*p && strcmp((*p)->name, name) != 0)
		p = &(*p)->next;
	return p;
}

static void elsewhere_describe(const struct away *a, struct elsewhere_found *ret)
{
	struct elsewhere_client *c = &ret->client;

	memcpy(ret->node, a->node->name, sizeof(ret->node));
	*c = (struct elsewhere_client){.id = a->id,
				       .since_us = a->since_us,
				       .nick_len = a->nick_len,
				       .account = a->account,
				       .reserved = a->reserved};
	memcpy(c->kind, a->kind, sizeof(c->kind));
	memcpy(c->nick, a->nick, a->nick_len);
	if (a->hall)
		memcpy(c->room, a->hall->name, sizeof(c->room));
}

size_t elsewhere_copy(struct elsewhere *el, uint32_t *cursor, struct elsewhere_found *ret, size_t max)
{
	size_t n = 0;

	pthread_mutex_lock(&el->lock);
	/* Buckets are taken whole; one of more than max can't be, as nobody can choose who meets whom there. */
	for (; *cursor < el->n_buckets; ++*cursor) {
		size_t k = 0;
		for (const struct away *a = el->by_id[*cursor]; a; a = a->next_id)
			k++;
		if (n > 0 && n + k > max)
			break;
		for (const struct away *a = el->by_id[*cursor]; a && n < max; a = a->next_id)
			elsewhere_describe(a, &ret[n++]);
	}
	pthread_mutex_unlock(&el->lock);
	return n;
}

/* --- for any thread --- */

/* Of two who have one name: who is to keep it. */
static bool elsewhere_is_before(const struct away *a, const struct away *b)
{
	if (a->account != b->account)
		return a->account;
	return a->since_us != b->since_us ? a->since_us < b->since_us
					  : strcmp(a->node->name, b->node->name) < 0;
}

bool elsewhere_is_known(const struct elsewhere *el)
{
	return !el || atomic_load(&el->is_known);
}

bool elsewhere_find(struct elsewhere *el, const struct nick_keys *keys, struct elsewhere_found *ret)
{
	const struct away *found = NULL;

	if (!el)
		return false;
	pthread_mutex_lock(&el->lock);
	struct nick_cursor at = {0};
	for (const struct nick_link *l; (l = nick_index_next(&el->by_nick, keys, &at));) {
		const struct away *a = NICK_LINK_OWNER(l, const struct away, link);
		if (!a->reserved && (!found || elsewhere_is_before(a, found)))
			found = a;
	}
	if (found)
		elsewhere_describe(found, ret);
	pthread_mutex_unlock(&el->lock);
	return found;
}

bool elsewhere_reserves(struct elsewhere *el, const struct nick_keys *keys)
{
	bool found = false;

	if (!el)
		return false;
	pthread_mutex_lock(&el->lock);
	struct nick_cursor at = {0};
	for (const struct nick_link *l; !found && (l = nick_index_next(&el->by_nick, keys, &at));)
		found = NICK_LINK_OWNER(l, const struct away, link)->reserved;
	pthread_mutex_unlock(&el->lock);
	return found;
}

size_t elsewhere_list(struct elsewhere *el, const char *room, char *buf, size_t size, size_t *ret_shown)
{
	size_t n = 0, shown = 0, o = strlen(buf);

	*ret_shown = 0;
	if (!el)
		return 0;
	pthread_mutex_lock(&el->lock);
	const struct hall *hall = *elsewhere_find_hall(el, room);
	n = hall ? hall->n : 0;
	for (const struct away *a = hall ? hall->first : NULL; a && o + a->nick_len + 3u <= size;
	     a = a->next_here) {
		o += (size_t)snprintf(buf + o, size - o, "%s%.*s", o ? ", " : "", a->nick_len, a->nick);
		shown++;
	}
	pthread_mutex_unlock(&el->lock);
	*ret_shown = shown;
	return n;
}

struct elsewhere_found *elsewhere_people(struct elsewhere *el, const char *room, size_t max, size_t *ret_n)
{
	struct elsewhere_found *all = NULL;
	size_t n = 0;

	*ret_n = 0;
	if (!el)
		return NULL;
	pthread_mutex_lock(&el->lock);
	const struct hall *hall = *elsewhere_find_hall(el, room);
	if (hall)
		all = calloc(hall->n < max ? hall->n : max, sizeof(*all));
	for (const struct away *a = all ? hall->first : NULL; a && n < max; a = a->next_here)
		elsewhere_describe(a, &all[n++]);
	pthread_mutex_unlock(&el->lock);
	*ret_n = n;
	return all;
}

size_t elsewhere_count(struct elsewhere *el, const char *room)
{
	size_t n = 0;

	if (!el)
		return 0;
	pthread_mutex_lock(&el->lock);
	if (!room) {
		n = el->n;
	} else {
		const struct hall *hall = *elsewhere_find_hall(el, room);
		n = hall ? hall->n : 0;
	}
	pthread_mutex_unlock(&el->lock);
	return n;
}

size_t elsewhere_rooms(struct elsewhere *el, struct elsewhere_room *ret, size_t max, size_t *ret_all)
{
	size_t n = 0;

	*ret_all = 0;
	if (!el)
		return 0;
	pthread_mutex_lock(&el->lock);
	*ret_all = el->n_halls;
	for (const struct hall *h = el->first_hall; h && n < max; h = h->next_one) {
		memcpy(ret[n].name, h->name, sizeof(ret[n].name));
		ret[n++].n = h->n;
	}
	pthread_mutex_unlock(&el->lock);
	return n;
}
