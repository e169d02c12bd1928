/* SPDX-License-Identifier: MIT */
/* Look-ups in what is configured of history, its end, and what of it a reload leaves as it was. */
#include "daemon/config/history.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

const struct history_keep *history_config_keep(const struct history_config *c, const char *room)
{
	for (size_t i = 0; i < c->n_rooms; i++)
		if (strcmp(c->rooms[i].room, room) == 0)
			return &c->rooms[i];
	return &c->keep;
}

void history_config_free(struct history_config *c)
{
	if (!c || --c->refs > 0)
		return;
	free(c->database);
	free(c->rooms);
	free(c);
}

int history_config_reload(struct history_config **new, struct history_config *old)
{
	struct history_config *c = *new;

	if (!old || !c) {
		if (old)
			history_config_hold(old);
		*new = old;
		history_config_free(c);
		return old || c;
	}
	if (strcmp(c->database, old->database) == 0 && c->search == old->search)
		return 0;
	char *database = strdup(old->database);
	if (!database)
		return -ENOMEM;
	free(c->database);
	c->database = database;
	c->search = old->search;
	return 1;
}
