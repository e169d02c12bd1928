/* SPDX-License-Identifier: MIT */
/* Prints the configuration in use: the file's settings, the defaults of others, and no secrets. */
#include "daemon/config/print.h"

#include "daemon/config/settings.h"

#include <libconfig.h>
#include <stdlib.h>
#include <string.h>

/* Settings that are secrets themselves. A webhook's URL often is one. Those that end in _file or tls_key are paths. */
static const char *const print_secrets[] = {"password", "secret", "curve_secret_key", "url"};

/* Removes the secrets below a setting, and notes where they were. */
static void print_leave_out(config_setting_t *at, const char *path, FILE *notes)
{
	for (int i = config_setting_length(at); i-- > 0;) {
		config_setting_t *s = config_setting_get_elem(at, (unsigned)i);
		const char *name = config_setting_name(s);
		char below[256];
		bool secret = false;

		if (name)
			snprintf(below, sizeof(below), "%s%s%s", path, path[0] ? "." : "", name);
		else
			snprintf(below, sizeof(below), "%s[%d]", path, i);
		for (size_t k = 0; name && k < sizeof(print_secrets) / sizeof(*print_secrets); k++)
			secret |= strcmp(name, print_secrets[k]) == 0;
		if (secret) {
			fprintf(notes, "# %s is left out\n", below);
			config_setting_remove_elem(at, (unsigned)i);
		} else if (config_setting_is_aggregate(s)) {
			print_leave_out(s, below, notes);
		}
	}
}

/* How a setting is written; CONFIG_TYPE_NONE: its default isn't. */
static int print_type(const struct setting_key *key)
{
	static const struct {
		setting_reader *read;
		int type;
	} types[] = {{setting_unsigned, CONFIG_TYPE_INT}, {setting_seconds, CONFIG_TYPE_FLOAT},
		     {setting_size, CONFIG_TYPE_INT64},	  {setting_bool, CONFIG_TYPE_BOOL},
		     {setting_path, CONFIG_TYPE_STRING},  {setting_group, CONFIG_TYPE_GROUP}};
	setting_reader *read = key->like ? key->like : key->read;

	if (key->word)
		return CONFIG_TYPE_STRING;
	for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++)
		if (types[i].read == read)
			return types[i].type;
	return CONFIG_TYPE_NONE;
}

static void print_value(config_setting_t *s, const struct setting_key *key, const void *at)
{
	switch (config_setting_type(s)) {
	case CONFIG_TYPE_INT:
		config_setting_set_int(s, (int)*(const unsigned *)at);
		break;
	case CONFIG_TYPE_FLOAT:
		config_setting_set_float(s, (double)*(const int64_t *)at / 1e6);
		break;
	case CONFIG_TYPE_INT64:
		config_setting_set_int64(s, *(const int64_t *)at);
		break;
	case CONFIG_TYPE_BOOL:
		config_setting_set_bool(s, *(const bool *)at);
		break;
	case CONFIG_TYPE_STRING:
		config_setting_set_string(s, key->word ? key->word(at) : *(char *const *)at);
		break;
	}
}

static bool print_has_defaults(const struct setting_key *keys)
{
	for (const struct setting_key *k = keys; k->name; k++)
		if (print_type(k) != CONFIG_TYPE_NONE)
			return true;
	return false;
}

/* Adds to a group what the file doesn't have there. */
static void print_defaults(config_setting_t *group, const struct setting_key *keys, const void *from)
{
	for (const struct setting_key *k = keys; k->name; k++) {
		const void *at = (const char *)from + k->offset;
		int type = print_type(k);
		config_setting_t *s = config_setting_get_member(group, k->name);

		if (type == CONFIG_TYPE_NONE ||
		    (type == CONFIG_TYPE_GROUP ? !print_has_defaults(k->group) : !!s))
			continue;
		if (!s)
			s = config_setting_add(group, k->name, type);
		if (s && type == CONFIG_TYPE_GROUP)
			print_defaults(s, k->group, at);
		else if (s)
			print_value(s, k, at);
	}
}

char *config_print(const char *text, const struct config *c)
{
	char *ret = NULL;
	config_t lib;
	size_t size;
	FILE *f = open_memstream(&ret, &size);

	if (!f)
		return NULL;
	config_init(&lib);
	if (config_read_string(&lib, text)) {
		print_leave_out(config_root_setting(&lib), "", f);
		print_defaults(config_root_setting(&lib), config_keys, c);
		config_write(&lib, f);
	}
	config_destroy(&lib);
	fclose(f);
	return ret;
}
