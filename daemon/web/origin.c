/* SPDX-License-Identifier: MIT */
/*
 * Who may ask. A browser sends requests for whatever page it shows: Origin says which one, and only chatd's own page, and those that the admin names, may talk here. And a page may have
 * a name that leads to this machine for a moment (DNS rebinding), so that its origin seems to be chatd's own: so the
 * name in Host has to be one of those that the admin knows, or none that anybody could give away.
 */
#include "daemon/web/origin.h"

#include "daemon/config/config.h"
#include "daemon/engine/context.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

const struct listener_config *web_listener(const struct connection *c)
{
	const struct listener_config *l =
	    config_listener(connection_context(c)->config, connection_listener(c));

	return l && l->handler == connection_handler(c) ? l : NULL;
}

/* --- the checks --- */

static struct origin_text origin_text(struct http_text t)
{
	return (struct origin_text){t.at, t.len};
}

static bool origin_is(struct origin_text t, const char *s)
{
	return http_text_is((struct http_text){t.at, t.len}, s);
}

static bool origin_is_literal(struct origin_text host)
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
static bool origin_is_own_name(struct origin_text host)
{
	static const char local[] = ".localhost";
	char name[256];

	if (origin_is(host, "localhost") ||
	    (host.len >= sizeof(local) &&
	     strncasecmp(host.at + host.len - sizeof(local) + 1, local, sizeof(local) - 1) == 0))
		return true;
	return gethostname(name, sizeof(name)) == 0 && origin_is(host, name);
}

static bool origin_may_be_called(const struct listener_config *o, struct origin_text host)
{
	struct origin_text name, authority;

	if (origin_is_literal(host) || origin_is_own_name(host))
		return true;
	for (size_t i = 0; o && i < o->hosts.n; i++)
		if (strcmp(o->hosts.at[i], "*") == 0 || origin_is(host, o->hosts.at[i]))
			return true;
	for (size_t i = 0; o && i < o->origins.n; i++)
		if (origin_host(o->origins.at[i], strlen(o->origins.at[i]), &name, &authority) &&
		    name.len == host.len && strncasecmp(name.at, host.at, host.len) == 0)
			return true;
	return false;
}

static bool origin_is_listed(const struct listener_config *o, struct origin_text origin)
{
	for (size_t i = 0; o && i < o->origins.n; i++)
		if (origin_is(origin, o->origins.at[i]))
			return true;
	return false;
}

unsigned web_check_origin(const struct connection *c, const struct http_request *r)
{
	const struct listener_config *o = web_listener(c);
	struct origin_text origin = origin_text(http_header(r, "origin")), name, authority;

	/* HTTP/1.0 may have none, and no browser speaks that. */
	if (r->host.at ? !origin_may_be_called(o, origin_without_port(origin_text(r->host))) : r->minor > 0)
		return 421;
	if (!origin.at || origin_is_listed(o, origin))
		return 0;
	return origin_host(origin.at, origin.len, &name, &authority) && r->host.at &&
		       authority.len == r->host.len &&
		       strncasecmp(authority.at, r->host.at, authority.len) == 0
		   ? 0
		   : 403;
}

const char *web_origin_refused(unsigned status)
{
	return status == 421 ? "This server isn't known by that name: see hosts in chatd.conf(5)."
			     : "Pages of that origin may not talk here.";
}

const char *web_cors(const struct connection *c, const struct http_request *r, char ret[static WEB_CORS_MAX])
{
	struct origin_text origin = origin_text(http_header(r, "origin"));

	ret[0] = 0;
	if (origin.at && origin_is_listed(web_listener(c), origin))
		snprintf(ret, WEB_CORS_MAX, "Access-Control-Allow-Origin: %.*s\r\nVary: Origin\r\n",
			 (int)origin.len, origin.at);
	return ret;
}
