/* SPDX-License-Identifier: MIT */
/* Reads groups by tables and values by their kind, and collects what is wrong or odd. */
#include "daemon/config/settings.h"

#include "common/cleanup.h"
#include "common/text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/*
 * No more mistakes than this are listed: with more of them it is the wrong file, or has the wrong encoding.
 */
#define ERRORS_MAX 100
#define WARNINGS_MAX 100
#define PREFIXES_MAX 4096

struct settings_warning {
	unsigned line;
	char *text;
};

char *settings_where(const struct settings *ss, const config_setting_t *at)
{
	const char *file = at ? config_setting_source_file(at) : NULL;
	unsigned line = at ? (unsigned)config_setting_source_line(at) : 0;
	char *where;

	if (!file)
		file = ss->file;
	return (line > 0 ? asprintf(&where, "%s:%u", file, line) : asprintf(&where, "%s", file)) < 0 ? NULL
												     : where;
}

static void settings_say(const struct settings *ss, FILE *to, const config_setting_t *at, const char *kind,
			 const char *format, va_list ap)
{
	_cleanup_free_ char *where = settings_where(ss, at);

	fprintf(to, "%s: %s", where ? where : ss->file, kind);
	vfprintf(to, format, ap);
	fputc('\n', to);
}

void settings_complain(struct settings *ss, const config_setting_t *at, const char *format, ...)
{
	va_list ap;

	if (++ss->n_errors > ERRORS_MAX)
		return;
	va_start(ap, format);
	settings_say(ss, ss->errors, at, "", format, ap);
	va_end(ap);
}

void settings_warn(struct settings *ss, const config_setting_t *at, const char *format, ...)
{
	unsigned line = at ? (unsigned)config_setting_source_line(at) : 0;
	struct settings_warning *list;
	char *text = NULL;
	size_t size;
	va_list ap;

	if (!ss->warnings || ++ss->n_warnings > WARNINGS_MAX)
		return;
	FILE *f = open_memstream(&text, &size);
	list = f ? reallocarray(ss->warned, ss->n_warnings, sizeof(*list)) : NULL;
	if (!list) {
		if (f)
			fclose(f);
		free(text);
		ss->n_warnings--;
		return;
	}
	ss->warned = list;
	va_start(ap, format);
	settings_say(ss, f, at, "warning: ", format, ap);
	va_end(ap);
	fclose(f);
	/* By line, as the settings aren't looked at in the order of the file. */
	unsigned i = ss->n_warnings - 1;
	for (; i > 0 && list[i - 1].line > line; i--)
		list[i] = list[i - 1];
	list[i] = (struct settings_warning){line, text};
}

void settings_finish(struct settings *ss)
{
	for (unsigned i = 0; i < ss->n_warnings && i < WARNINGS_MAX; i++) {
		fputs(ss->warned[i].text ? ss->warned[i].text : "", ss->warnings);
		free(ss->warned[i].text);
	}
	free(ss->warned);
	ss->warned = NULL;
	if (ss->n_warnings > WARNINGS_MAX)
		fprintf(ss->warnings, "%s: and %u more warnings\n", ss->file, ss->n_warnings - WARNINGS_MAX);
	if (ss->n_errors > ERRORS_MAX)
		fprintf(ss->errors, "%s: and %u more mistakes\n", ss->file, ss->n_errors - ERRORS_MAX);
}

/* --- groups --- */

const struct setting_key *settings_find(const struct setting_key *keys, const char *name)
{
	for (const struct setting_key *k = keys; name && k->name; k++)
		if (strcmp(k->name, name) == 0)
			return k;
	return NULL;
}

bool settings_read_one(struct settings *ss, const config_setting_t *s, const struct setting_key *keys,
		       void *to)
{
	const struct setting_key *k = settings_find(keys, config_setting_name(s));

	if (k)
		k->read(ss, s, k, (char *)to + k->offset);
	return k;
}

/* Whether the name is one of a list "a, b, c". */
static bool settings_has_name(const char *list, const char *name)
{
	size_t len = strlen(name);

	for (const char *p = list; (p = strstr(p, name)); p += len)
		if ((p == list || p[-1] == ' ') && (p[len] == ',' || p[len] == '\0'))
			return true;
	return false;
}

void settings_add_names(const struct setting_key *keys, char *list, size_t size)
{
	for (const struct setting_key *k = keys; k->name; k++) {
		size_t o = strlen(list);
		if (!settings_has_name(list, k->name))
			snprintf(list + o, size - o, "%s%s", o ? ", " : "", k->name);
	}
}

void settings_complain_unknown(struct settings *ss, const config_setting_t *s, const char *allowed)
{
	const char *name = config_setting_name(s);

	settings_complain(ss, s, "unknown setting %s; allowed are %s", name ? name : "?", allowed);
}

void settings_complain_missing(struct settings *ss, const config_setting_t *group,
			       const struct setting_key *keys)
{
	for (const struct setting_key *k = keys; k->name; k++)
		if (k->missing && !config_setting_get_member(group, k->name))
			settings_complain(ss, group, "%s", k->missing);
}

void settings_read(struct settings *ss, const config_setting_t *group, const struct setting_key *keys,
		   void *to)
{
	int n = config_setting_length(group);

	for (int i = 0; i < n; i++) {
		const config_setting_t *s = config_setting_get_elem(group, (unsigned)i);
		char allowed[SETTINGS_NAMES_MAX] = "";
		if (settings_read_one(ss, s, keys, to))
			continue;
		settings_add_names(keys, allowed, sizeof(allowed));
		settings_complain_unknown(ss, s, allowed);
	}
	settings_complain_missing(ss, group, keys);
}

void setting_group(struct settings *ss, const config_setting_t *s, const struct setting_key *key, void *at)
{
	if (config_setting_is_group(s))
		settings_read(ss, s, key->group, at);
	else
		settings_complain(ss, s, "%s must be a group: { ... }", key->name);
}

bool settings_is_list_of_groups(struct settings *ss, const config_setting_t *s, size_t max, size_t *ret_n)
{
	const char *name = config_setting_name(s);
	size_t n = config_setting_is_list(s) ? (size_t)config_setting_length(s) : 0;
	const config_setting_t *odd = config_setting_is_list(s) ? NULL : s;

	for (size_t i = 0; !odd && i < n; i++)
		if (!config_setting_is_group(config_setting_get_elem(s, (unsigned)i)))
			odd = config_setting_get_elem(s, (unsigned)i);
	if (odd)
		settings_complain(ss, odd, "%s must be a list of groups: ( { ... }, { ... } )", name);
	else if (n > max)
		settings_complain(ss, s, "there are %zu %s; at most %zu are allowed", n, name, max);
	*ret_n = n;
	return !odd && n <= max;
}

/* --- values --- */

/* Whether it is a whole number, and which. */
static bool setting_is_whole(const config_setting_t *s, long long *ret)
{
	int type = config_setting_type(s);

	*ret = type == CONFIG_TYPE_INT64 ? config_setting_get_int64(s) : config_setting_get_int(s);
	return type == CONFIG_TYPE_INT || type == CONFIG_TYPE_INT64;
}

void setting_unsigned(struct settings *ss, const config_setting_t *s, const struct setting_key *key, void *at)
{
	long long v;

	if (!setting_is_whole(s, &v) || v < key->min || v > key->max)
		settings_complain(ss, s, "%s must be a whole number from %" PRId64 " to %" PRId64, key->name,
				  key->min, key->max);
	else
		*(unsigned *)at = (unsigned)v;
}

void setting_seconds(struct settings *ss, const config_setting_t *s, const struct setting_key *key, void *at)
{
	long long whole;
	bool is_number = setting_is_whole(s, &whole) || config_setting_type(s) == CONFIG_TYPE_FLOAT;
	double v = config_setting_type(s) == CONFIG_TYPE_FLOAT ? config_setting_get_float(s) : (double)whole;

	if (!is_number || !(v >= (double)key->min) || !(v <= (double)key->max))
		settings_complain(ss, s, "%s must be a number of seconds from %" PRId64 " to %" PRId64,
				  key->name, key->min, key->max);
	else
		*(int64_t *)at = (int64_t)(v * 1e6);
}

bool setting_is_age(const config_setting_t *s, double *ret_seconds)
{
	static const char units[] = "smhdw";
	static const double seconds[] = {1, 60, 3600, DAY_S, 7 * DAY_S};
	const char *text = config_setting_type(s) == CONFIG_TYPE_STRING ? config_setting_get_string(s) : NULL;
	long long whole;

	if (setting_is_whole(s, &whole)) {
		*ret_seconds = (double)whole;
		return true;
	}
	if (!text || text[0] < '0' || text[0] > '9')
		return false;
	char *end;
	double v = strtod(text, &end);
	const char *unit = end[0] && !end[1] ? strchr(units, end[0]) : NULL;
	*ret_seconds = unit ? v * seconds[unit - units] : 0;
	return unit;
}

void setting_size(struct settings *ss, const config_setting_t *s, const struct setting_key *key, void *at)
{
	uint64_t v = 0, min = (uint64_t)key->min, max = (uint64_t)key->max;
	long long whole;
	bool good = setting_is_whole(s, &whole) && whole > 0;

	if (good)
		v = (uint64_t)whole;
	else if (config_setting_type(s) == CONFIG_TYPE_STRING)
		good = text_parse_size(config_setting_get_string(s), &v) == 0;
	if (!good || v < min || v > max)
		settings_complain(
		    ss, s, "%s must be a size from \"%" PRIu64 "K\" to \"%" PRIu64 "M\", such as \"4M\"",
		    key->name, min >> 10, max >> 20);
	else
		*(uint64_t *)at = v;
}

void setting_bool(struct settings *ss, const config_setting_t *s, const struct setting_key *key, void *at)
{
	if (config_setting_type(s) == CONFIG_TYPE_BOOL)
		*(bool *)at = config_setting_get_bool(s);
	else
		settings_complain(ss, s, "%s must be true or false", key->name);
}

const char *setting_string(struct settings *ss, const config_setting_t *s, const char *allowed)
{
	const char *v = config_setting_type(s) == CONFIG_TYPE_STRING ? config_setting_get_string(s) : NULL;

	if (!v)
		settings_complain(ss, s, "%s must be a string: %s", config_setting_name(s), allowed);
	return v;
}

int setting_word(struct settings *ss, const config_setting_t *s, const char *zero, const char *one)
{
	char allowed[128];
	snprintf(allowed, sizeof(allowed), "\"%s\" or \"%s\"", zero, one);
	const char *v = setting_string(ss, s, allowed);

	if (!v)
		return -1;
	if (strcmp(v, zero) == 0 || strcmp(v, one) == 0)
		return strcmp(v, one) == 0;
	settings_complain(ss, s, "%s must be %s, not \"%s\"", config_setting_name(s), allowed, v);
	return -1;
}

void setting_room(struct settings *ss, const config_setting_t *s, const struct setting_key *key, void *at)
{
	const char *v = setting_string(ss, s, "the name of a room");

	if (!v)
		return;
	if (!text_room_valid(v, strlen(v))) {
		settings_complain(ss, s, "%s must have 1 to %d of the characters A-Z a-z 0-9 _ . and -",
				  key->name, TEXT_ROOM_MAX);
		return;
	}
	memset(at, 0, TEXT_ROOM_MAX + 1);
	memcpy(at, v, strlen(v));
}

/* "credential:NAME" is a file that the service manager hands over: LoadCredential= of systemd.exec(5). Who
 * only checks the configuration, outside of the service, has none; then it is left as it is. */
void setting_path(struct settings *ss, const config_setting_t *s, const struct setting_key *key, void *at)
{
	static const char prefix[] = "credential:";
	const char *v = setting_string(ss, s, "a path, or \"credential:NAME\""),
		   *dir = getenv("CREDENTIALS_DIRECTORY");
	char *path = NULL, **to = at;

	if (!v)
		return;
	if (strncmp(v, prefix, sizeof(prefix) - 1) == 0 && !strchr(v, '/')) {
		if (!dir && ss->checking) {
			settings_warn(ss, s, "%s: %s is only there in the service, and isn't looked at here",
				      key->name, v);
			path = strdup(v);
		} else if (!dir)
			settings_complain(
			    ss, s, "%s: there are no credentials; see LoadCredential= in systemd.exec(5)",
			    key->name);
		else if (asprintf(&path, "%s/%s", dir, v + sizeof(prefix) - 1) < 0)
			path = NULL;
	} else if (v[0] == '/') {
		path = strdup(v);
	} else {
		settings_complain(ss, s, "%s must be an absolute path, or \"credential:NAME\", not \"%s\"",
				  key->name, v);
	}
	free(*to);
	*to = path;
}

/* --- lists --- */

bool setting_is_list(struct settings *ss, const config_setting_t *s, const char *allowed)
{
	if (config_setting_is_list(s) || config_setting_is_array(s))
		return true;
	settings_complain(ss, s, "%s must be %s", config_setting_name(s), allowed);
	return false;
}

void setting_prefixes(struct settings *ss, const config_setting_t *s, const struct setting_key *key, void *at)
{
	static const char allowed[] = "a list of addresses such as ( \"127.0.0.0/8\", \"::1\" )";
	struct prefix_list *list = at;
	int n = config_setting_length(s);

	if (!setting_is_list(ss, s, allowed))
		return;
	if (n > PREFIXES_MAX) {
		settings_complain(ss, s, "%s has more than %d entries", key->name, PREFIXES_MAX);
		return;
	}
	free(list->at);
	*list = (struct prefix_list){calloc((size_t)n + 1, sizeof(*list->at)), 0};
	for (int i = 0; list->at && i < n; i++) {
		const char *v = config_setting_get_string_elem(s, i);
		if (!v || prefix_parse(v, &list->at[list->n]) < 0)
			settings_complain(ss, config_setting_get_elem(s, (unsigned)i),
					  "%s must be %s, not \"%s\"", key->name, allowed, v ? v : "?");
		else
			list->n++;
	}
}

void *settings_new_group(struct settings *ss, const config_setting_t *s, const struct setting_key *key,
			 const void *current, size_t size)
{
	if (!config_setting_is_group(s) || current) {
		settings_complain(ss, s, "%s must be a group: { ... }", key->name);
		return NULL;
	}
	void *group = malloc(size);
	if (!group)
		settings_complain(ss, s, "%s", strerror(ENOMEM));
	return group;
}
