/* SPDX-License-Identifier: MIT */
/*
 * Which other nodes take letters, and where: a small table that one thread fills with what those nodes say, and whoever
 * writes or returns a letter looks into.
 */
#include "daemon/rooms/directory.h"
#include "daemon/rooms/letter.h"

#include <stdlib.h>
#include <string.h>

struct letter_nodes {
	pthread_mutex_t lock;
	atomic_bool is_unsure;
	struct {
		char name[LETTER_NODE_MAX + 1]; /* "": a place that is free */
		uint64_t boot;
	} at[LETTER_NODES];
};

struct letter_nodes *letter_nodes_new(void)
{
	struct letter_nodes *ln = calloc(1, sizeof(*ln));

	if (ln)
		pthread_mutex_init(&ln->lock, NULL);
	return ln;
}

void letter_nodes_free(struct letter_nodes *ln)
{
	if (!ln)
		return;
	pthread_mutex_destroy(&ln->lock);
	free(ln);
}

struct letter_nodes *rooms_letter_nodes(struct rooms *rs)
{
	return rs->letter_nodes;
}

/* Where it is, or could be; LETTER_NODES: nowhere. */
static size_t letter_nodes_place(const struct letter_nodes *ln, const char *node)
{
	size_t place = LETTER_NODES;

	for (size_t i = 0; i < LETTER_NODES; i++) {
		if (strcmp(ln->at[i].name, node) == 0)
			return i;
		if (place == LETTER_NODES && ln->at[i].boot == 0)
			place = i;
	}
	return place;
}

void letter_nodes_set(struct letter_nodes *ln, const char *node, uint64_t boot)
{
	if (!*node || strlen(node) > LETTER_NODE_MAX)
		return;
	pthread_mutex_lock(&ln->lock);
	size_t i = letter_nodes_place(ln, node);
	if (i < LETTER_NODES) {
		memcpy(ln->at[i].name, node, strlen(node) + 1);
		ln->at[i].boot = boot;
	}
	pthread_mutex_unlock(&ln->lock);
}

uint64_t letter_nodes_boot(struct letter_nodes *ln, const char *node)
{
	pthread_mutex_lock(&ln->lock);
	size_t i = letter_nodes_place(ln, node);
	uint64_t boot = i < LETTER_NODES && strcmp(ln->at[i].name, node) == 0 ? ln->at[i].boot : 0;
	pthread_mutex_unlock(&ln->lock);
	return boot;
}

bool letter_nodes_find(struct letter_nodes *ln, uint64_t tag, struct letter_address *ret)
{
	bool found = false;

	pthread_mutex_lock(&ln->lock);
	for (size_t i = 0; i < LETTER_NODES && !found; i++) {
		const char *name = ln->at[i].name;
		found = ln->at[i].boot && letter_tag(name, strlen(name), ln->at[i].boot) == tag;
		if (found) {
			memcpy(ret->node, name, sizeof(ret->node));
			ret->boot = ln->at[i].boot;
		}
	}
	pthread_mutex_unlock(&ln->lock);
	return found;
}

void letter_nodes_set_unsure(struct letter_nodes *ln, bool is_unsure)
{
	atomic_store(&ln->is_unsure, is_unsure);
}

bool letter_nodes_is_unsure(const struct letter_nodes *ln)
{
	return ln && atomic_load(&ln->is_unsure);
}
