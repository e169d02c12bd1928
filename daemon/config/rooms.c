/* SPDX-License-Identifier: MIT */
/* Each group of the list becomes a struct room_config. */
#include "daemon/config/rooms.h"

#include "common/nick.h"
#include "daemon/config/config.h"
#include "daemon/config/history_settings.h"
#include "daemon/state/clients.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void room_setting_format(struct settings *ss, const config_setting_t *s, const struct setting_key *key,
				void *at)
{
	(void)key;
	*(bool *)at = setting_word(ss, s, "named", "raw") == 1;
}

static void room_setting_members(struct settings *ss, const config_setting_t *s,
				 const struct setting_key *key, void *at)
{
	struct room_config *r = at;
	int n = config_setting_length(s);

	(void)key;
	if (!setting_is_list(ss, s, "a list of accounts: ( \"alice\", \"bob\" )"))
		return;
	free(r->members);
	r->settings.members_only = true;
	r->members = calloc((size_t)n + 1, sizeof(*r->members));
	r->n_members = 0;
	for (int i = 0; r->members && i < n; i++) {
		const char *v = config_setting_get_string_elem(s, i);
		if (!v || nick_normalise(v, strlen(v), r->members[r->n_members]) < 0)
			settings_complain(ss, config_setting_get_elem(s, (unsigned)i),
					  "\"%s\" is not a valid account", v ? v : "?");
		else
			r->n_members++;
	}
}

/* What room_defaults has as well. */
#define ROOM_SETTINGS(at)                                                                                    \
	SETTING("history", setting_unsigned, (at) + offsetof(struct room_settings, history), .max = 10000),  \
	    SETTING("log_size", setting_size, (at) + offsetof(struct room_settings, log_size),               \
		    .min = LOGRING_SIZE_MIN, .max = LOGRING_SIZE_MAX),                                       \
	    SETTING("announce_max", setting_unsigned, (at) + offsetof(struct room_settings, announce_max),   \
		    .max = CLIENTS_LIMIT)

#define AT(field) offsetof(struct room_config, field)

static const struct setting_key room_keys[] = {
    SETTING("name", setting_room, AT(name), .missing = "a room needs a name"),
    SETTING("format", room_setting_format, AT(settings.raw)),
    ROOM_SETTINGS(AT(settings)),
    SETTING("members", room_setting_members, 0),
    SETTING("read_only", setting_bool, AT(settings.read_only)),
    SETTING("keep", setting_of_history, 0),
    SETTING("keep_messages", setting_of_history, 0),
    SETTING("keep_bytes", setting_of_history, 0),
    SETTINGS_END,
};

const struct setting_key room_defaults_keys[] = {
    ROOM_SETTINGS(0),
    SETTINGS_END,
};

#undef AT

void setting_rooms(struct settings *ss, const config_setting_t *s, const struct setting_key *key, void *at)
{
	struct config *c = at;
	size_t n;

	(void)key;
	if (!settings_is_list_of_groups(ss, s, ROOMS_CAPACITY / 2, &n))
		return;
	c->rooms = calloc(n + 1, sizeof(*c->rooms));
	if (!c->rooms) {
		settings_complain(ss, s, "%s", strerror(ENOMEM));
		return;
	}
	for (size_t i = 0; i < n; i++) {
		const config_setting_t *e = config_setting_get_elem(s, (unsigned)i);
		struct room_config *r = &c->rooms[c->n_rooms];
		r->settings = (struct room_settings){.log_size = 4 << 20, .history = 20, .announce_max = 100};
		settings_read(ss, e, room_keys, r);
		for (size_t k = 0; k < c->n_rooms; k++)
			if (r->name[0] && strcmp(c->rooms[k].name, r->name) == 0)
				settings_complain(ss, e,
						  "there are two rooms named \"%s\"; each needs its own name",
						  r->name);
		c->n_rooms++;
	}
}
