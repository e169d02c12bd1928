/* SPDX-License-Identifier: MIT */
/* Look-ups in a configured cluster, its end, and what of it a reload leaves as it was. */
#include "daemon/config/cluster.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool cluster_config_has_room(const struct cluster_config *c, const char *name)
{
	if (!c || !c->rooms)
		return c;
	for (size_t i = 0; i < c->n_rooms; i++)
		if (strcmp(c->rooms[i], name) == 0)
			return true;
	return false;
}

static void cluster_free_list(char **list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(list[i]);
	free(list);
}

/* Secrets don't stay in memory that others get. */
static void cluster_wipe(char *secret)
{
	if (secret)
		explicit_bzero(secret, strlen(secret));
	free(secret);
}

void cluster_config_free(struct cluster_config *c)
{
	if (!c || --c->refs > 0)
		return;
	cluster_free_list(c->servers, c->n_servers);
	cluster_free_list(c->rooms, c->n_rooms);
	cluster_wipe(c->password);
	cluster_wipe(c->token);
	free(c->user);
	free(c->credentials);
	free(c->tls_ca);
	free(c->tls_certificate);
	free(c->tls_key);
	free(c->password_file);
	free(c->token_file);
	for (unsigned i = 0; i < CLUSTER_FILES; i++) {
		free(c->files[i]);
		if (c->copies[i] >= 0)
			close(c->copies[i]);
	}
	free(c);
}

/* --- a reload --- */

static bool cluster_has_same_rooms(const struct cluster_config *a, const struct cluster_config *b)
{
	if (!a->rooms != !b->rooms)
		return false;
	for (size_t i = 0; a->rooms && i < a->n_rooms; i++)
		if (!cluster_config_has_room(b, a->rooms[i]))
			return false;
	for (size_t i = 0; b->rooms && i < b->n_rooms; i++)
		if (!cluster_config_has_room(a, b->rooms[i]))
			return false;
	return true;
}

static int cluster_copy_rooms(struct cluster_config *c, const struct cluster_config *from)
{
	char **rooms = from->rooms ? calloc(from->n_rooms + 1, sizeof(*rooms)) : NULL;
	size_t n = 0;

	if (from->rooms && !rooms)
		return -ENOMEM;
	while (rooms && n < from->n_rooms && (rooms[n] = strdup(from->rooms[n])))
		n++;
	if (n < from->n_rooms) {
		cluster_free_list(rooms, n);
		return -ENOMEM;
	}
	cluster_free_list(c->rooms, c->n_rooms);
	c->rooms = rooms;
	c->n_rooms = n;
	return 0;
}

int cluster_config_keep(struct cluster_config **new, struct cluster_config *old)
{
	struct cluster_config *c = *new;

	if (!old || !c) {
		if (old)
			old->refs++;
		*new = old;
		cluster_config_free(c);
		return old || c;
	}
	if (strcmp(c->node, old->node) == 0 && strcmp(c->stream, old->stream) == 0 &&
	    cluster_has_same_rooms(c, old))
		return 0;
	memcpy(c->node, old->node, sizeof(c->node));
	memcpy(c->stream, old->stream, sizeof(c->stream));
	int r = cluster_copy_rooms(c, old);
	return r < 0 ? r : 1;
}
