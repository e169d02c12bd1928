/* SPDX-License-Identifier: MIT */
/*
 * The events of the link to NATS that other threads than the owner's have for it: a queue, and an eventfd that is readable
 * while there is something in it. It is bounded by those who put. Of what is said about connections only the last failure
 * stays, so that a server that comes and goes fills nothing.
 */
#include "daemon/io/nats_link_own.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* So much of what the owner has done with is kept, and then given back at once. */
#define NATS_SPENT_MAX 16
#define NATS_SPENT_BYTES (1u << 20)

/* Removes those of a generation and a kind (0 and -1: any). */
static void nats_events_remove(struct nats_link *l, uint64_t generation, int kind)
{
	for (struct nats_node **at = &l->first; *at;) {
		struct nats_node *n = *at;

		if ((generation && n->event.generation != generation) ||
		    (kind >= 0 && (int)n->event.kind != kind)) {
			at = &n->next;
			continue;
		}
		*at = n->next;
		l->n_events--;
		free(n);
	}
	l->last = l->first;
	while (l->last && l->last->next)
		l->last = l->last->next;
}

void nats_events_wake(struct nats_link *l)
{
	static const uint64_t one = 1;

	if (!l->readable)
		l->readable = write(l->fd, &one, sizeof(one)) == sizeof(one);
}

static struct nats_node *nats_events_node(struct nats_link *l, const struct nats_event *e, natsMsg *msg)
{
	size_t size = e->why ? strlen(e->why) + 1 : 0;
	struct nats_node *n = malloc(sizeof(*n) + size);

	/* Whoever waits for it would do so for ever: better to begin again, by what a restart recovers from. */
	if (!n)
		abort();
	*n = (struct nats_node){.link = l, .event = *e, .msg = msg};
	n->event.own = n;
	if (e->why)
		n->event.why = memcpy(n->why, e->why, size);
	return n;
}

struct nats_event *nats_events_new(struct nats_link *l, const struct nats_event *e, natsMsg *msg)
{
	return &nats_events_node(l, e, msg)->event;
}

void nats_events_put(struct nats_link *l, const struct nats_event *e)
{
	struct nats_node *n = nats_events_node(l, e, NULL);

	if (l->last)
		l->last->next = n;
	else
		l->first = n;
	l->last = n;
	l->n_events++;
	nats_events_wake(l);
}

bool nats_events_take(struct nats_link *l, struct nats_event *ret)
{
	struct nats_node *n = l->first;
	uint64_t count;

	if (!n) {
		if (l->readable && read(l->fd, &count, sizeof(count)) == sizeof(count))
			l->readable = false;
		return false;
	}
	l->first = n->next;
	if (!l->first)
		l->last = NULL;
	l->n_events--;
	if (n->event.kind == NATS_CONNECTED)
		l->offered = n->event.generation;
	*ret = n->event;
	return true;
}

void nats_events_failed(struct nats_link *l, uint64_t generation, const char *why)
{
	nats_events_remove(l, 0, NATS_FAILED);
	nats_events_put(l, &(struct nats_event){.kind = NATS_FAILED, .generation = generation, .why = why});
}

void nats_events_over(struct nats_link *l, uint64_t generation, const char *why)
{
	nats_events_remove(l, generation, -1);
	if (why && l->offered == generation)
		nats_events_put(
		    l, &(struct nats_event){.kind = NATS_LOST, .generation = generation, .why = why});
	else if (why)
		nats_events_failed(l, generation, why);
}

/* --- what is over --- */

static void nats_events_give_back(struct nats_link *l)
{
	for (struct nats_node *n = l->spent, *next; n; n = next) {
		next = n->next;
		natsMsg_Destroy(n->msg);
		free(n);
	}
	l->spent = NULL;
	l->n_spent = l->spent_bytes = 0;
}

void nats_events_clear(struct nats_link *l)
{
	nats_events_remove(l, 0, -1);
	nats_events_give_back(l);
}

/* libnats lets another thread free a message, and wakes it up for that: so it is done for many at a time, and not while
 * somebody waits for what the message brought. */
void nats_event_free(struct nats_event *e)
{
	struct nats_node *n = e->own;

	*e = (struct nats_event){0};
	if (!n || !n->msg) {
		free(n);
		return;
	}
	struct nats_link *l = n->link;
	n->next = l->spent;
	l->spent = n;
	l->n_spent++;
	l->spent_bytes += n->event.len;
	if (l->n_spent >= NATS_SPENT_MAX || l->spent_bytes >= NATS_SPENT_BYTES)
		nats_events_give_back(l);
}
