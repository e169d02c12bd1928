/* SPDX-License-Identifier: MIT */
/*
 * Who is on other nodes: each client is in a hash by its node and id, in one by the keys of its nick, in the list of
 * its node and in that of its room, all under one lock.
 */
#include "daemon/rooms/elsewhere_own.h"

#include "common/cleanup.h"
#include "common/hash.h"
#include "daemon/rooms/nick_index.h"

#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define BUCKETS_MIN 64
#define BUCKETS_MAX (1U << 16)

int elsewhere_new(uint32_t clients, struct elsewhere **ret)
{
	struct elsewhere *el = calloc(1, sizeof(*el));

	if (!el)
		return -ENOMEM;
	for (el->n_buckets = BUCKETS_MIN; el->n_buckets < clients && el->n_buckets < BUCKETS_MAX;)
		el->n_buckets *= 2;
	el->key = hash_key_new();
	el->by_id = calloc(el->n_buckets, sizeof(*el->by_id));
	el->halls = calloc(el->n_buckets, sizeof(*el->halls));
	pthread_mutex_init(&el->lock, NULL);
	if (nick_index_open(&el->by_nick, el->n_buckets) < 0 || !el->by_id || !el->halls) {
		elsewhere_free(el);
		return -ENOMEM;
	}
	*ret = el;
	return 0;
}

void elsewhere_free(struct elsewhere *el)
{
	if (!el)
		return;
	for (size_t i = 0; i < ELSEWHERE_NODES; i++)
		if (el->nodes[i].used)
			elsewhere_forget(el, &el->nodes[i]);
	pthread_mutex_destroy(&el->lock);
	free(el->by_id);
	free(el->by_nick.buckets);
	free(el->halls);
	free(el);
}

/* --- who listens --- */

void elsewhere_listen(struct elsewhere *el, const struct elsewhere_listener *l)
{
	if (el)
		atomic_store(&el->listener, l);
}

static void elsewhere_tell(struct elsewhere *el, const char *node, const char *nick, size_t len, bool gone)
{
	const struct elsewhere_listener *l = atomic_load(&el->listener);

	if (l)
		l->fn(l->arg, node, nick, len, gone);
}

void elsewhere_set_known(struct elsewhere *el, bool known)
{
	bool was = atomic_exchange(&el->is_known, known);

	if (known && !was)
		elsewhere_tell(el, "", "", 0, false);
}

/* --- finding; the lock is held, or nobody else can change it --- */

static struct away **elsewhere_id_bucket(const struct elsewhere *el, const struct elsewhere_node *node,
					 uint64_t id)
{
	const uint64_t what[] = {(uint64_t)(node - el->nodes), id};

	return &el->by_id[hash_bytes(&el->key, what, sizeof(what)) & (el->n_buckets - 1)];
}

/* Where the pointer to it is; to NULL if it isn't there. */
static struct away **elsewhere_find_id(const struct elsewhere *el, const struct elsewhere_node *node,
				       uint64_t id)
{
	struct away **p = elsewhere_id_bucket(el, node, id);

	while (*p && ((*p)->id != id || (*p)->node != node))
		p = &(*p)->next_id;
	return p;
}

/* --- linking; the lock is held --- */

static void elsewhere_hash(struct elsewhere *el, struct away *a)
{
	struct away **p = elsewhere_id_bucket(el, a->node, a->id);

	a->next_id = *p;
	*p = a;
	nick_index_add(&el->by_nick, &a->link);
}

static void elsewhere_unhash(struct elsewhere *el, struct away *a)
{
	struct away **p = elsewhere_find_id(el, a->node, a->id);

	if (*p)
		*p = a->next_id;
	nick_index_remove(&el->by_nick, &a->link);
}

static void elsewhere_link(struct elsewhere *el, struct away *a, struct hall *hall)
{
	a->prev = NULL;
	a->next = a->node->first;
	if (a->next)
		a->next->prev = a;
	a->node->first = a;
	a->hall = hall;
	if (hall) {
		a->prev_here = NULL;
		a->next_here = hall->first;
		if (a->next_here)
			a->next_here->prev_here = a;
		hall->first = a;
		hall->n++;
	}
	el->n++;
}

/* Returns the room if that was its last one, to be freed. */
static struct hall *elsewhere_unlink(struct elsewhere *el, struct away *a)
{
	struct hall *hall = a->hall;

	*(a->prev ? &a->prev->next : &a->node->first) = a->next;
	if (a->next)
		a->next->prev = a->prev;
	el->n--;
	if (!hall)
		return NULL;
	*(a->prev_here ? &a->prev_here->next_here : &hall->first) = a->next_here;
	if (a->next_here)
		a->next_here->prev_here = a->prev_here;
	if (--hall->n > 0)
		return NULL;
	*elsewhere_find_hall(el, hall->name) = hall->next;
	*(hall->prev_one ? &hall->prev_one->next_one : &el->first_hall) = hall->next_one;
	if (hall->next_one)
		hall->next_one->prev_one = hall->prev_one;
	el->n_halls--;
	return hall;
}

/* The room is linked only when somebody is in it. */
static struct hall *elsewhere_hall(struct elsewhere *el, const char *name, struct hall *spare)
{
	struct hall **p = elsewhere_find_hall(el, name);

	struct hall *there = *p;

	if (there)
		return there;
	*p = spare;
	spare->next_one = el->first_hall;
	if (spare->next_one)
		spare->next_one->prev_one = spare;
	el->first_hall = spare;
	el->n_halls++;
	return spare;
}

/* --- for the thread that changes it --- */

struct elsewhere_node *elsewhere_node(struct elsewhere *el, const char *name)
{
	struct elsewhere_node *free_one = NULL, *kept = NULL;

	for (size_t i = 0; i < ELSEWHERE_NODES; i++) {
		struct elsewhere_node *node = &el->nodes[i];
		if (node->used && strcmp(node->name, name) == 0) {
			node->kept = false;
			return node;
		}
		if (!node->used && !free_one)
			free_one = node;
		if (node->used && node->kept)
			kept = node;
	}
	if (strlen(name) > ELSEWHERE_NODE_MAX)
		return NULL;
	if (!free_one && kept)
		elsewhere_forget(el, free_one = kept);
	if (!free_one)
		return NULL;
	/* Nobody else looks at it before it has clients. */
	strcpy(free_one->name, name);
	free_one->used = true;
	return free_one;
}

/* Returns the room if that was its last one, to be freed. */
static struct hall *elsewhere_take_out(struct elsewhere *el, struct away *a)
{
	el->reserved_version += a->reserved;
	pthread_mutex_lock(&el->lock);
	elsewhere_unhash(el, a);
	struct hall *hall = elsewhere_unlink(el, a);
	pthread_mutex_unlock(&el->lock);
	if (!a->reserved)
		elsewhere_tell(el, a->node->name, a->nick, a->nick_len, true);
	free(a);
	return hall;
}

static struct away *elsewhere_make(struct elsewhere_node *node, const struct elsewhere_client *c)
{
	struct away *a = calloc(1, offsetof(struct away, nick) + c->nick_len);

	if (!a)
		return NULL;
	a->node = node;
	a->link.keys = nick_keys(c->nick, c->nick_len);
	a->id = c->id;
	a->since_us = c->since_us;
	a->round = node->round;
	a->account = c->account;
	a->reserved = c->reserved;
	a->nick_len = c->nick_len;
	memcpy(a->kind, c->kind, sizeof(a->kind));
	memcpy(a->nick, c->nick, c->nick_len);
	return a;
}

static bool elsewhere_is_nick(const struct away *a, const struct elsewhere_client *c)
{
	return a && a->reserved == c->reserved && a->nick_len == c->nick_len &&
	       memcmp(a->nick, c->nick, c->nick_len) == 0;
}

/* What was old is c now. */
static void elsewhere_tell_nicks(struct elsewhere *el, const struct elsewhere_node *node,
				 const struct away *old, const struct elsewhere_client *c)
{
	if (elsewhere_is_nick(old, c))
		return;
	if (old && !old->reserved)
		elsewhere_tell(el, node->name, old->nick, old->nick_len, true);
	if (!c->reserved)
		elsewhere_tell(el, node->name, c->nick, c->nick_len, false);
}

bool elsewhere_put(struct elsewhere *el, struct elsewhere_node *node, const struct elsewhere_client *c)
{
	struct away *old = *elsewhere_find_id(el, node, c->id);
	struct hall *left = NULL;
	struct hall *spare = calloc(1, sizeof(*spare));
	struct away *a = spare && (old || el->n < ELSEWHERE_CLIENTS) ? elsewhere_make(node, c) : NULL;

	if (!a) {
		if (old)
			free(elsewhere_take_out(el, old));
		free(spare);
		return false;
	}
	memcpy(spare->name, c->room, sizeof(spare->name));
	if (c->reserved && !elsewhere_is_nick(old, c))
		el->reserved_version++;
	pthread_mutex_lock(&el->lock);
	if (old) {
		elsewhere_unhash(el, old);
		left = elsewhere_unlink(el, old);
	}
	elsewhere_hash(el, a);
	elsewhere_link(el, a, c->room[0] && !c->reserved ? elsewhere_hall(el, c->room, spare) : NULL);
	bool used = a->hall == spare;
	pthread_mutex_unlock(&el->lock);
	if (!used)
		free(spare);
	elsewhere_tell_nicks(el, node, old, c);
	free(left);
	free(old);
	return true;
}

void elsewhere_remove(struct elsewhere *el, struct elsewhere_node *node, uint64_t id)
{
	struct away *a = *elsewhere_find_id(el, node, id);

	if (a)
		free(elsewhere_take_out(el, a));
}

void elsewhere_begin(struct elsewhere *el, struct elsewhere_node *node)
{
	(void)el;
	node->round++;
}

void elsewhere_end(struct elsewhere *el, struct elsewhere_node *node)
{
	for (struct away *a = node->first, *next; a; a = next) {
		next = a->next;
		if (a->round != node->round)
			free(elsewhere_take_out(el, a));
	}
}

typedef void (*elsewhere_gone_fn)(const char *room, const struct elsewhere_nick *nicks, unsigned n,
				  void *arg);

/* How many of the node are in each room, and who. */
static void elsewhere_count_gone(struct elsewhere_node *node)
{
	for (const struct away *a = node->first; a; a = a->next)
		if (a->hall)
			a->hall->tally++;
	for (const struct away *a = node->first; a; a = a->next) {
		struct hall *hall = a->hall;
		if (!hall)
			continue;
		if (!hall->gone)
			hall->gone = calloc(hall->tally, sizeof(*hall->gone));
		if (!hall->gone)
			continue;
		struct elsewhere_nick *one = &hall->gone[hall->n_gone++];
		one->since_us = a->since_us;
		one->len = a->nick_len;
		memcpy(one->nick, a->nick, a->nick_len);
	}
}

static void elsewhere_tell_gone(struct hall *hall, elsewhere_gone_fn fn, void *arg)
{
	if (hall->tally > 0)
		fn(hall->name, hall->n_gone == hall->tally ? hall->gone : NULL, hall->tally, arg);
	free(hall->gone);
	hall->gone = NULL;
	hall->tally = hall->n_gone = 0;
}

static void elsewhere_tell_halls(struct elsewhere *el, elsewhere_gone_fn fn, void *arg)
{
	for (uint32_t i = 0; i < el->n_buckets; i++)
		for (struct hall *hall = el->halls[i]; hall; hall = hall->next)
			elsewhere_tell_gone(hall, fn, arg);
}

/* Whoever hears of it and asks finds nobody of that node any more, in whatever room. */
void elsewhere_drop(struct elsewhere *el, struct elsewhere_node *node, elsewhere_gone_fn fn, void *arg)
{
	struct hall *empty = NULL;

	if (fn)
		elsewhere_count_gone(node);
	for (struct away *a = node->first, *following; a; a = following) {
		following = a->next;
		struct hall *hall = a->reserved ? NULL : elsewhere_take_out(el, a);
		if (hall) {
			hall->next = empty;
			empty = hall;
		}
	}
	node->used = node->kept = node->first != NULL;
	for (struct hall *hall = empty, *next; hall; hall = next) {
		next = hall->next;
		if (fn)
			elsewhere_tell_gone(hall, fn, arg);
		free(hall);
	}
	if (fn)
		elsewhere_tell_halls(el, fn, arg);
}

void elsewhere_by_room(struct elsewhere *el, struct elsewhere_node *node, elsewhere_gone_fn fn, void *arg)
{
	elsewhere_count_gone(node);
	elsewhere_tell_halls(el, fn, arg);
}

void elsewhere_forget(struct elsewhere *el, struct elsewhere_node *node)
{
	while (node->first)
		free(elsewhere_take_out(el, node->first));
	node->used = node->kept = false;
}

/* --- nodes, and what they reserve --- */

struct elsewhere_node *elsewhere_node_at(struct elsewhere *el, size_t place)
{
	return el->nodes[place].used ? &el->nodes[place] : NULL;
}

size_t elsewhere_place(const struct elsewhere *el, const struct elsewhere_node *node)
{
	return (size_t)(node - el->nodes);
}

unsigned elsewhere_reserved_version(const struct elsewhere *el)
{
	return el->reserved_version;
}

void elsewhere_each_reserved(struct elsewhere *el,
			     void (*fn)(const struct elsewhere_node *node, const char *name, const char *nick,
					size_t len, void *arg),
			     void *arg)
{
	for (size_t i = 0; i < ELSEWHERE_NODES; i++)
		for (const struct away *a = el->nodes[i].used ? el->nodes[i].first : NULL; a; a = a->next)
			if (a->reserved)
				fn(&el->nodes[i], el->nodes[i].name, a->nick, a->nick_len, arg);
}
