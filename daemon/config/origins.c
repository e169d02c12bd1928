/* SPDX-License-Identifier: MIT */
/* What an origin is, and how lists of them are read. */
#include "daemon/config/origins.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct origin_text origin_without_port(struct origin_text host)
{
	const char *end = host.at + host.len;
	const char *from = host.len > 0 && host.at[0] == '[' ? memchr(host.at, ']', host.len) : host.at;
	const char *colon = from ? memchr(from, ':', (size_t)(end - from)) : NULL;

	return (struct origin_text){host.at, (size_t)((colon ? colon : end) - host.at)};
}

bool origin_host(const char *origin, size_t len, struct origin_text *ret, struct origin_text *ret_authority)
{
	size_t scheme = len > 7 && strncasecmp(origin, "http://", 7) == 0    ? 7
			: len > 8 && strncasecmp(origin, "https://", 8) == 0 ? 8
									     : 0;
	if (scheme == 0)
		return false;
	*ret_authority = (struct origin_text){origin + scheme, len - scheme};
	*ret = origin_without_port(*ret_authority);
	return ret->len > 0 && !memchr(origin + scheme, '/', len - scheme) &&
	       !memchr(origin + scheme, '@', len - scheme);
}

static bool origins_valid(const struct setting_key *key, const char *v)
{
	struct origin_text host, authority;

	if (strlen(v) == 0 || strlen(v) > ORIGIN_MAX || strpbrk(v, " \t,\r\n"))
		return false;
	if (key->min) /* an origin */
		return strcmp(v, "null") != 0 && origin_host(v, strlen(v), &host, &authority);
	return strcmp(v, "*") == 0 || !strpbrk(v, "/:*@");
}

void setting_origins(struct settings *ss, const config_setting_t *s, const struct setting_key *key, void *at)
{
	const char *allowed = key->min ? "a list of origins such as ( \"https://example.org\" )"
				       : "a list of names such as ( \"chat.example.org\" )";
	struct origin_list *list = at;
	int n = config_setting_length(s);

	if (!setting_is_list(ss, s, allowed))
		return;
	if (n > ORIGINS_MAX) {
		settings_complain(ss, s, "%s has more than %d entries", key->name, ORIGINS_MAX);
		return;
	}
	free(list->at);
	*list = (struct origin_list){calloc((size_t)n + 1, sizeof(*list->at)), 0};
	for (int i = 0; list->at && i < n; i++) {
		const char *v = config_setting_get_string_elem(s, i);
		if (!v || !origins_valid(key, v))
			settings_complain(ss, config_setting_get_elem(s, (unsigned)i),
					  "%s must be %s, not \"%s\"", key->name, allowed, v ? v : "?");
		else
			memcpy(list->at[list->n++], v, strlen(v) + 1);
	}
}
