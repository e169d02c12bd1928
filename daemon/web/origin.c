/* SPDX-License-Identifier: MIT */
/*
 * The settings of a listener of type "http", and who may ask what there. A browser sends requests for whatever page it
 * shows: Origin says which one, and only chatd's own page, and those that the admin names, may talk here. And a page may have
 * a name that leads to this machine for a moment (DNS rebinding), so that its origin seems to be chatd's own: so the
 * name in Host has to be one of those that the admin knows, or none that anybody could give away.
 */
#include "daemon/config/config.h"
#include "daemon/config/mode_settings.h"
#include "daemon/web/web.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define ORIGINS_MAX 64
#define ORIGIN_MAX 255 /* bytes */

/* --- the settings --- */

struct origin_list {
	char (*at)[ORIGIN_MAX + 1];
	size_t n;
};

struct origin_settings {
	struct origin_list origins, hosts;
};

/* The host in "https://HOST[:PORT]", without the port; false if that isn't an origin. */
static bool origin_host(const char *origin, size_t len, struct http_text *ret,
			struct http_text *ret_authority)
{
	size_t scheme = len > 7 && strncasecmp(origin, "http://", 7) == 0    ? 7
			: len > 8 && strncasecmp(origin, "https://", 8) == 0 ? 8
									     : 0;
	if (scheme == 0)
		return false;
	const char *host = origin + scheme, *end = origin + len;
	*ret_authority = (struct http_text){host, (size_t)(end - host)};
	const char *colon = host[0] == '[' ? memchr(host, ']', (size_t)(end - host)) : host;
	colon = colon ? memchr(colon, ':', (size_t)(end - colon)) : NULL;
	*ret = (struct http_text){host, (size_t)((colon ? colon : end) - host)};
	return ret->len > 0 && !memchr(host, '/', (size_t)(end - host)) &&
	       !memchr(host, '@', (size_t)(end - host));
}

/* Without the port. */
static struct http_text origin_without_port(struct http_text host)
{
	const char *end = host.at + host.len;
	const char *from = host.len > 0 && host.at[0] == '[' ? memchr(host.at, ']', host.len) : host.at;
	const char *colon = from ? memchr(from, ':', (size_t)(end - from)) : NULL;

	return (struct http_text){host.at, (size_t)((colon ? colon : end) - host.at)};
}

static bool origin_is_valid(const struct setting_key *key, const char *v)
{
	struct http_text host, authority;

	if (strlen(v) == 0 || strlen(v) > ORIGIN_MAX || strpbrk(v, " \t,\r\n"))
		return false;
	if (key->min) /* an origin */
		return strcmp(v, "null") != 0 && origin_host(v, strlen(v), &host, &authority);
	return strcmp(v, "*") == 0 || !strpbrk(v, "/:*@");
}

static void origin_read_list(struct settings *ss, const config_setting_t *s, const struct setting_key *key,
			     void *at)
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
		if (!v || !origin_is_valid(key, v))
			settings_complain(ss, config_setting_get_elem(s, (unsigned)i),
					  "%s must be %s, not \"%s\"", key->name, allowed, v ? v : "?");
		else
			memcpy(list->at[list->n++], v, strlen(v) + 1);
	}
}

static void origin_release(void *own)
{
	struct origin_settings *o = own;

	free(o->origins.at);
	free(o->hosts.at);
}

static const struct setting_key origin_keys[] = {
    SETTING("origins", origin_read_list, offsetof(struct origin_settings, origins), .min = 1),
    SETTING("hosts", origin_read_list, offsetof(struct origin_settings, hosts)),
    SETTINGS_END,
};

const struct mode_settings web_mode_settings = {
    .common = {mode_socket_keys, mode_tcp_keys, mode_room_keys, mode_login_keys, mode_token_keys},
    .own = origin_keys,
    .own_size = sizeof(struct origin_settings),
    .release = origin_release,
    .complete = mode_default_room,
};

const struct listener_config *web_listener(const struct connection *c)
{
	const struct listener_config *l =
	    config_listener(connection_context(c)->config, connection_listener(c));

	return l && l->handler && l->handler->settings == &web_mode_settings ? l : NULL;
}

static const struct origin_settings *origin_settings(const struct connection *c)
{
	const struct listener_config *l = web_listener(c);

	return l ? l->own : NULL;
}

/* --- the checks --- */

static bool origin_is_literal(struct http_text host)
{
	char text[INET6_ADDRSTRLEN + 2], address[16];

	if (host.len >= sizeof(text))
		return false;
	memcpy(text, host.at, host.len);
	text[host.len] = 0;
	if (text[0] != '[')
		return inet_pton(AF_INET, text, address) == 1;
	text[strcspn(text, "]")] = 0;
	return inet_pton(AF_INET6, text + 1, address) == 1;
}

/* A name that nobody outside can give to this machine. */
static bool origin_is_own_name(struct http_text host)
{
	static const char local[] = ".localhost";
	char name[256];

	if (http_text_is(host, "localhost") ||
	    (host.len >= sizeof(local) &&
	     strncasecmp(host.at + host.len - sizeof(local) + 1, local, sizeof(local) - 1) == 0))
		return true;
	return gethostname(name, sizeof(name)) == 0 && http_text_is(host, name);
}

static bool origin_may_be_called(const struct origin_settings *o, struct http_text host)
{
	struct http_text name, authority;

	if (origin_is_literal(host) || origin_is_own_name(host))
		return true;
	for (size_t i = 0; o && i < o->hosts.n; i++)
		if (strcmp(o->hosts.at[i], "*") == 0 || http_text_is(host, o->hosts.at[i]))
			return true;
	for (size_t i = 0; o && i < o->origins.n; i++)
		if (origin_host(o->origins.at[i], strlen(o->origins.at[i]), &name, &authority) &&
		    name.len == host.len && strncasecmp(name.at, host.at, host.len) == 0)
			return true;
	return false;
}

static bool origin_is_listed(const struct origin_settings *o, struct http_text origin)
{
	for (size_t i = 0; o && i < o->origins.n; i++)
		if (http_text_is(origin, o->origins.at[i]))
			return true;
	return false;
}

unsigned web_check_origin(const struct connection *c, const struct http_request *r)
{
	const struct origin_settings *o = origin_settings(c);
	struct http_text origin = http_header(r, "origin"), name, authority;

	/* HTTP/1.0 may have none, and no browser speaks that. */
	if (r->host.at ? !origin_may_be_called(o, origin_without_port(r->host)) : r->minor > 0)
		return 421;
	if (!origin.at || origin_is_listed(o, origin))
		return 0;
	return origin_host(origin.at, origin.len, &name, &authority) && r->host.at &&
		       authority.len == r->host.len &&
		       strncasecmp(authority.at, r->host.at, authority.len) == 0
		   ? 0
		   : 403;
}

const char *web_cors(const struct connection *c, const struct http_request *r, char ret[static WEB_CORS_MAX])
{
	struct http_text origin = http_header(r, "origin");

	ret[0] = 0;
	if (origin.at && origin_is_listed(origin_settings(c), origin))
		snprintf(ret, WEB_CORS_MAX, "Access-Control-Allow-Origin: %.*s\r\nVary: Origin\r\n",
			 (int)origin.len, origin.at);
	return ret;
}
