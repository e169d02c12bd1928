/* SPDX-License-Identifier: MIT */
/* Each group of the list finds its mode first, whose tables then say what may stand in it. Here is what those
 * tables have in common: names, and complaints of what is missing, foreign or unknown. */
#include "daemon/config/listeners.h"

#include "common/cleanup.h"
#include "daemon/config/listener_checks.h"
#include "daemon/config/listener_files.h"
#include "daemon/config/mode_settings.h"

#include <errno.h>
#include <string.h>

/* --- the settings of all --- */

static void listener_name(struct settings *ss, const config_setting_t *s, const struct setting_key *key,
			  void *at)
{
	const char *v = setting_string(ss, s, "a name");

	(void)key;
	if (!v)
		return;
	/* The name is systemd's FileDescriptorName=, too, which allows no colon (systemd.socket(5)). */
	if (!text_room_valid(v, strlen(v)) || strlen(v) > CONFIG_NAME_MAX)
		settings_complain(ss, s, "name must have 1 to %d of the characters A-Z a-z 0-9 _ . and -",
				  CONFIG_NAME_MAX);
	else
		memcpy(at, v, strlen(v) + 1);
}

/* These two are looked up before anything is read: see listener_find_mode(). */

static void listener_type(struct settings *ss, const config_setting_t *s, const struct setting_key *key,
			  void *at)
{
	(void)key;
	(void)at;
	setting_string(ss, s, "the kind of socket, such as \"tcp\"");
}

static void listener_mode(struct settings *ss, const config_setting_t *s, const struct setting_key *key,
			  void *at)
{
	(void)key;
	(void)at;
	setting_string(ss, s, "what it does, such as \"chat\"");
}

static const struct setting_key listener_keys[] = {
    SETTING("name", listener_name, offsetof(struct listener_config, name),
	    .missing = "a listener needs a name"),
    SETTING("type", listener_type, 0),
    SETTING("mode", listener_mode, 0),
    SETTINGS_END,
};

/* --- the mode, and its settings --- */

static const struct handler *listener_find_mode(const struct settings *ss, const config_setting_t *e)
{
	const char *type, *mode;

	if (!config_setting_lookup_string(e, "type", &type) ||
	    !config_setting_lookup_string(e, "mode", &mode))
		return NULL;
	for (const struct handler *const *h = ss->modes; *h; h++)
		if (strcmp((*h)->type, type) == 0 && strcmp((*h)->mode, mode) == 0)
			return *h;
	return NULL;
}

static void listener_complain_of_mode(struct settings *ss, const config_setting_t *e)
{
	const char *type, *mode;
	char allowed[256] = "";
	size_t o = 0;

	if (!config_setting_get_member(e, "type") || !config_setting_get_member(e, "mode")) {
		settings_complain(ss, e, "a listener needs a type and a mode");
		return;
	}
	if (!config_setting_lookup_string(e, "type", &type) ||
	    !config_setting_lookup_string(e, "mode", &mode))
		return; /* it was said */
	for (const struct handler *const *h = ss->modes; *h && o < sizeof(allowed); h++)
		o += (size_t)snprintf(allowed + o, sizeof(allowed) - o, "%s%s %s", o ? ", " : "", (*h)->type,
				      (*h)->mode);
	settings_complain(ss, e, "there is no mode \"%s\" of type \"%s\"; allowed are %s", mode, type,
			  allowed);
}

/* Calls fn with each table of a mode until it returns true. */
static bool listener_any_table(const struct handler *h,
			       bool (*fn)(const struct setting_key *table, void *arg), void *arg)
{
	const struct mode_settings *m = h->settings;

	for (unsigned i = 0; i < MODE_TABLES && m->common[i]; i++)
		if (fn(m->common[i], arg))
			return true;
	return m->own && fn(m->own, arg);
}

static bool listener_table_has(const struct setting_key *table, void *arg)
{
	return settings_find(table, arg);
}

static bool listener_has_setting(const struct handler *h, const config_setting_t *s)
{
	return settings_find(listener_keys, config_setting_name(s)) ||
	       listener_any_table(h, listener_table_has, config_setting_name(s));
}

/* Gives the listener its mode with the defaults of it; false without memory. */
static bool listener_set_mode(struct listener_config *l, const struct handler *h)
{
	const struct mode_settings *m = h ? h->settings : NULL;

	l->backlog = 4096;
	l->tls_survives = true;
	l->own = m && m->own ? calloc(1, m->own_size) : NULL;
	if (m && m->own && (!l->own || (m->init && !m->init(l->own))))
		return false;
	l->handler = h;
	return true;
}

/* own: a struct of the mode m. */
static void listener_read_value(struct settings *ss, const config_setting_t *s, const struct mode_settings *m,
				struct listener_config *l, void *own)
{
	for (unsigned i = 0; i < MODE_TABLES && m->common[i]; i++)
		if (settings_read_one(ss, s, m->common[i], l))
			return;
	if (m->own && own)
		settings_read_one(ss, s, m->own, own);
}

/* A mode that has the setting s, of that type if there is one. */
static const struct handler *listener_find_owner(const struct settings *ss, const config_setting_t *s,
						 const char *type)
{
	const struct handler *found = NULL;

	for (const struct handler *const *h = ss->modes; *h; h++)
		if (listener_has_setting(*h, s) &&
		    (!found || (type && strcmp((*h)->type, type) == 0 && strcmp(found->type, type) != 0)))
			found = *h;
	return found;
}

static bool listener_add_names(const struct setting_key *table, void *arg)
{
	settings_add_names(table, arg, SETTINGS_NAMES_MAX);
	return false;
}

/* A setting that the listener's mode does not have. It is read as another mode has it, so that all
 * mistakes are told at once. */
static void listener_read_foreign(struct settings *ss, const config_setting_t *e, const config_setting_t *s,
				  struct listener_config *l)
{
	const char *type = NULL;
	char allowed[SETTINGS_NAMES_MAX] = "";

	config_setting_lookup_string(e, "type", &type);
	const struct handler *owner = listener_find_owner(ss, s, type);
	if (owner) {
		struct listener_config nowhere = {.name = ""};
		if (listener_set_mode(&nowhere, owner))
			listener_read_value(ss, s, owner->settings, l, nowhere.own);
		config_free_listener(&nowhere);
		return;
	}
	settings_add_names(listener_keys, allowed, sizeof(allowed));
	for (const struct handler *const *h = ss->modes; *h; h++)
		listener_any_table(*h, listener_add_names, allowed);
	settings_complain_unknown(ss, s, allowed);
}

static void listener_complain_of_missing(struct settings *ss, const config_setting_t *e,
					 const struct listener_config *l)
{
	const struct mode_settings *m = l->handler ? l->handler->settings : &mode_tcp_only;

	settings_complain_missing(ss, e, listener_keys);
	for (unsigned i = 0; i < MODE_TABLES && m->common[i]; i++)
		settings_complain_missing(ss, e, m->common[i]);
	if (m->own)
		settings_complain_missing(ss, e, m->own);
}

static void listener_read(struct settings *ss, const config_setting_t *e, const struct config *c,
			  struct listener_config *l)
{
	const struct handler *h = l->handler;
	int n = config_setting_length(e);

	for (int i = 0; i < n; i++) {
		const config_setting_t *s = config_setting_get_elem(e, (unsigned)i);
		if (settings_read_one(ss, s, listener_keys, l))
			continue;
		if (h && listener_has_setting(h, s))
			listener_read_value(ss, s, h->settings, l, l->own);
		else
			listener_read_foreign(ss, e, s, l);
	}
	if (!h)
		listener_complain_of_mode(ss, e);
	listener_complain_of_missing(ss, e, l);
	for (int i = 0; h && i < n; i++) {
		const config_setting_t *s = config_setting_get_elem(e, (unsigned)i);
		if (!listener_has_setting(h, s) && listener_find_owner(ss, s, NULL))
			settings_complain(ss, s, "mode \"%s\" of type \"%s\" has no %s", h->mode, h->type,
					  config_setting_name(s));
	}
	if (h && h->settings->complete)
		h->settings->complete(ss, e, l);
	listener_read_files(ss, e, c, l);
}

void setting_listeners(struct settings *ss, const config_setting_t *s, const struct setting_key *key,
		       void *at)
{
	struct config *c = at;
	size_t n;

	(void)key;
	if (!settings_is_list_of_groups(ss, s, CONFIG_MAX_LISTENERS, &n))
		return;
	c->listeners = calloc(n + 1, sizeof(*c->listeners));
	if (!c->listeners) {
		settings_complain(ss, s, "%s", strerror(ENOMEM));
		return;
	}
	for (size_t i = 0; i < n; i++) {
		const config_setting_t *e = config_setting_get_elem(s, (unsigned)i);
		struct listener_config *l = &c->listeners[i];
		if (!listener_set_mode(l, listener_find_mode(ss, e))) {
			settings_complain(ss, e, "%s", strerror(ENOMEM));
			return;
		}
		l->where = settings_where(ss, e);
		listener_read(ss, e, c, l);
		for (size_t k = 0; k < i; k++)
			listener_check_twins(ss, e, l, &c->listeners[k]);
		c->n_listeners++; /* from here on config_free() knows it */
	}
}
