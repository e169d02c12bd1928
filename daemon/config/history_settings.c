/* SPDX-License-Identifier: MIT */
/* The table of its keys, and their readers. What a room doesn't say of its own is as for all others. */
#include "daemon/config/history_settings.h"

#include "daemon/base/clock.h"
#include "daemon/config/history.h"
#include "daemon/rooms/wakeup.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define HISTORY_KEEP_MAX_S (36500 * DAY_S)

/* A time; "forever"; or 0, so that nothing is kept. */
static void history_setting_keep(struct settings *ss, const config_setting_t *s,
				 const struct setting_key *key, void *at)
{
	struct history_keep *keep = at;
	const char *text = config_setting_type(s) == CONFIG_TYPE_STRING ? config_setting_get_string(s) : "";
	bool forever = strcmp(text, "forever") == 0;
	double v = 0;
	bool good = forever || strcmp(text, "0") == 0 ||
		    (setting_is_age(s, &v) && (v == 0 || (v >= (double)key->min && v <= (double)key->max)));

	if (!good) {
		settings_complain(ss, s,
				  "%s must be a time from \"1m\" to %lld days, such as \"12h\" or \"30d\"; "
				  "\"forever\"; or \"0\", so that nothing is stored",
				  key->name, (long long)(key->max / DAY_S));
		return;
	}
	keep->nothing = !forever && v == 0;
	keep->us = (int64_t)(v * 1e6);
}

static void history_setting_count(struct settings *ss, const config_setting_t *s,
				  const struct setting_key *key, void *at)
{
	int type = config_setting_type(s);
	long long v = type == CONFIG_TYPE_INT || type == CONFIG_TYPE_INT64 ? config_setting_get_int64(s) : -1;

	if (v < key->min || v > key->max)
		settings_complain(ss, s, "%s must be a whole number from %lld to %lld", key->name,
				  (long long)key->min, (long long)key->max);
	else
		*(uint64_t *)at = (uint64_t)v;
}

static void history_setting_database(struct settings *ss, const config_setting_t *s,
				     const struct setting_key *key, void *at)
{
	char **path = at;
	const char *v = setting_string(ss, s, "a path, or a file's name in the state directory");

	if (!v)
		return;
	if (!v[0] || (v[0] != '/' && strchr(v, '/')) || v[strlen(v) - 1] == '/') {
		settings_complain(ss, s,
				  "%s must be an absolute path, or a file's name in the state directory, not "
				  "\"%s\"",
				  key->name, v);
		return;
	}
	free(*path);
	*path = strdup(v);
}

/* The group's, and each room's. */
#define KEEP_SETTINGS(at)                                                                                    \
	SETTING("keep", history_setting_keep, at, .min = 60, .max = HISTORY_KEEP_MAX_S),                     \
	    SETTING("keep_messages", history_setting_count, (at) + offsetof(struct history_keep, messages),  \
		    .min = 1, .max = INT64_C(1000000000000)),                                                \
	    SETTING("keep_bytes", setting_size, (at) + offsetof(struct history_keep, bytes), .min = 1 << 10, \
		    .max = INT64_C(1) << 50)

static const struct setting_key history_room_keys[] = {
    KEEP_SETTINGS(0),
    SETTINGS_END,
};

#define AT(field) offsetof(struct history_config, field)

static const struct setting_key history_keys[] = {
    SETTING("database", history_setting_database, AT(database),
	    .missing = "a history needs a database: database = \"history.db\""),
    KEEP_SETTINGS(AT(keep)),
    SETTING("search", setting_bool, AT(search)),
    SETTING("lines", setting_unsigned, AT(lines), .min = 1, .max = 100000),
    SETTING("time_limit", setting_seconds, AT(time_limit_us), .min = 0, .max = 3600),
    SETTING("questions", setting_unsigned, AT(questions), .min = 1, .max = 65536),
    SETTINGS_END,
};

void setting_history(struct settings *ss, const config_setting_t *s, const struct setting_key *key, void *at)
{
	struct history_config *c, **ret = at;

	c = settings_new_group(ss, s, key, *ret, sizeof(*c));
	if (!c)
		return;
	*ret = c;
	*c = (struct history_config){
	    .keep.us = 30 * DAY_S * SECOND_US,
	    .search = true,
	    .lines = 1000,
	    .time_limit_us = SECOND_US,
	    .questions = 256,
	    .refs = 1,
	};
	settings_read(ss, s, history_keys, c);
#ifndef HAVE_SQLITE
	settings_complain(ss, s,
			  "there can be no history: this chatd was built without SQLite (configure "
			  "--without-sqlite3)");
#endif
}

void setting_of_history(struct settings *ss, const config_setting_t *s, const struct setting_key *key,
			void *at)
{
	(void)ss;
	(void)s;
	(void)key;
	(void)at;
}

/* What one room says; false: nothing. */
static bool history_read_room(struct settings *ss, const config_setting_t *room, struct history_keep *k)
{
	bool says = false;

	for (const struct setting_key *key = history_room_keys; key->name; key++) {
		const config_setting_t *s = config_setting_get_member(room, key->name);
		says |= s && settings_read_one(ss, s, history_room_keys, k);
	}
	return says;
}

void history_read_rooms(struct settings *ss, const config_setting_t *rooms, struct history_config *c)
{
	int n = rooms && config_setting_is_list(rooms) ? config_setting_length(rooms) : 0;

	if (c)
		c->rooms = calloc((size_t)n + 1, sizeof(*c->rooms));
	for (int i = 0; i < n; i++) {
		const config_setting_t *room = config_setting_get_elem(rooms, (unsigned)i);
		struct history_keep k = c ? c->keep : (struct history_keep){.us = 0};
		const char *name;
		if (!config_setting_is_group(room) || !config_setting_lookup_string(room, "name", &name) ||
		    strlen(name) > TEXT_ROOM_MAX || !history_read_room(ss, room, &k))
			continue;
		if (!c)
			settings_warn(ss, room, "nothing is kept of the room \"%s\": there is no history",
				      name);
		if (!c || !c->rooms)
			continue;
		memcpy(k.room, name, strlen(name) + 1);
		c->rooms[c->n_rooms++] = k;
	}
}
