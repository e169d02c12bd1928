/* SPDX-License-Identifier: MIT */
/* The table of its keys, and their readers; the files that it names are read in cluster_files.c. */
#include "daemon/config/cluster_settings.h"

#include "common/text.h"
#include "daemon/base/clock.h"
#include "daemon/config/cluster.h"
#include "daemon/config/cluster_files.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define CLUSTER_PORT 4222
#define CLUSTER_HOST_MAX 255 /* bytes of a server's name */

#define AT(field) offsetof(struct cluster_config, field)

/* --- values --- */

/* Names of NATS's subjects and streams, in which a dot, a star or a space has a meaning. */
static void cluster_setting_name(struct settings *ss, const config_setting_t *s,
				 const struct setting_key *key, void *at)
{
	static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";
	const char *v = setting_string(ss, s, "a name");

	if (!v)
		return;
	if (!v[0] || strlen(v) > CLUSTER_NODE_MAX || v[strspn(v, allowed)])
		settings_complain(ss, s, "%s must have 1 to %d of the characters A-Z a-z 0-9 _ and -",
				  key->name, CLUSTER_NODE_MAX);
	else
		memcpy(at, v, strlen(v) + 1);
}
_Static_assert(CLUSTER_NODE_MAX == CLUSTER_STREAM_MAX, "cluster_setting_name() is for both");

static void cluster_setting_text(struct settings *ss, const config_setting_t *s,
				 const struct setting_key *key, void *at)
{
	char **text = at;
	const char *v = setting_string(ss, s, "the one that NATS has");

	if (v && !v[0])
		settings_complain(ss, s, "%s is empty; leave it out if there is none", key->name);
	else if (v && !*text)
		*text = strdup(v);
}

static void cluster_setting_away(struct settings *ss, const config_setting_t *s,
				 const struct setting_key *key, void *at)
{
	(void)key;
	*(enum cluster_away *)at = setting_word(ss, s, "local", "wait") == 1 ? CLUSTER_WAIT : CLUSTER_LOCAL;
}

static void cluster_setting_replicas(struct settings *ss, const config_setting_t *s,
				     const struct setting_key *key, void *at)
{
	int v = config_setting_type(s) == CONFIG_TYPE_INT ? config_setting_get_int(s) : 0;

	if (v != 1 && v != 3 && v != 5)
		settings_complain(ss, s, "%s must be 1, 3 or 5: how many servers of NATS keep each line",
				  key->name);
	else
		*(unsigned *)at = (unsigned)v;
}

static void cluster_setting_age(struct settings *ss, const config_setting_t *s, const struct setting_key *key,
				void *at)
{
	double v;

	if (!setting_is_age(s, &v) || v < (double)key->min || v > (double)key->max)
		settings_complain(ss, s,
				  "%s must be a time from %" PRId64 " s to %" PRId64
				  " days, such as \"12h\" or \"7d\"",
				  key->name, key->min, key->max / DAY_S);
	else
		*(int64_t *)at = (int64_t)(v * 1e6);
}

/* --- servers --- */

/* "HOST", "HOST:PORT" or "[ADDRESS]:PORT"; its port. 0 if it is none of them. */
static unsigned cluster_parse_place(const char *place, int *ret_host_len)
{
	static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-";
	union address address;
	size_t len;

	if (place[0] == '[') {
		char text[ADDRESS_TEXT_MAX];
		const char *end = strchr(place, ']');
		len = end ? (size_t)(end + 1 - place) : 0;
		if (len == 0 ||
		    snprintf(text, sizeof(text), "%.*s:1", (int)len, place) >= (int)sizeof(text) ||
		    address_parse(text, &address) < 0)
			return 0;
	} else {
		len = strspn(place, allowed);
	}
	const char *port = place + len;
	size_t digits = port[0] == ':' ? strspn(port + 1, "0123456789") : 0;
	unsigned long v = digits > 0 && digits <= 5 && !port[1 + digits] ? strtoul(port + 1, NULL, 10) : 0;
	if (len == 0 || len > CLUSTER_HOST_MAX || v > 65535)
		return 0;
	*ret_host_len = (int)len;
	return port[0] ? (unsigned)v : CLUSTER_PORT;
}

/* As NATS's tools have it, but with its port. NULL after a complaint. */
static char *cluster_parse_server(struct settings *ss, const config_setting_t *s, const char *v)
{
	bool tls = v && strncmp(v, "tls://", 6) == 0;
	const char *place = tls ? v + 6 : v && strncmp(v, "nats://", 7) == 0 ? v + 7 : NULL;
	int host_len = 0;
	char *url;

	/* A password in it is not repeated here. */
	if (v && strchr(v, '@')) {
		settings_complain(ss, s,
				  "servers: a user and a password have settings of their own: "
				  "user, and password_file or password");
		return NULL;
	}
	unsigned port = place ? cluster_parse_place(place, &host_len) : 0;
	if (port == 0) {
		settings_complain(ss, s,
				  "servers: \"%s\" must be as \"nats://HOST:PORT\" or "
				  "\"tls://HOST:PORT\"",
				  v ? v : "?");
		return NULL;
	}
	return asprintf(&url, "%s://%.*s:%u", tls ? "tls" : "nats", host_len, place, port) < 0 ? NULL : url;
}

static void cluster_setting_servers(struct settings *ss, const config_setting_t *s,
				    const struct setting_key *key, void *at)
{
	struct cluster_config *c = at;
	int n = config_setting_length(s);

	if (!setting_is_list(ss, s, "a list of servers: ( \"nats://HOST:PORT\" )") || c->servers)
		return;
	if (n == 0 || n > CLUSTER_SERVERS_MAX) {
		settings_complain(ss, s, "%s must be 1 to %d servers", key->name, CLUSTER_SERVERS_MAX);
		return;
	}
	c->servers = calloc((size_t)n + 1, sizeof(*c->servers));
	c->n_servers = 0;
	for (int i = 0; c->servers && i < n; i++) {
		const config_setting_t *e = config_setting_get_elem(s, (unsigned)i);
		char *url = cluster_parse_server(ss, e, config_setting_get_string_elem(s, i));
		if (!url)
			continue;
		bool tls = strncmp(url, "tls:", 4) == 0;
		if (c->n_servers > 0 && tls != c->tls)
			settings_complain(ss, e, "servers must all be tls://, or none of them");
		for (size_t k = 0; k < c->n_servers; k++)
			if (strcmp(c->servers[k], url) == 0)
				settings_complain(ss, e, "servers: %s is there twice", url);
		c->tls = tls;
		c->servers[c->n_servers++] = url;
	}
}

/* --- rooms --- */

static void cluster_add_room(struct settings *ss, const config_setting_t *e, struct cluster_config *c)
{
	const char *v = config_setting_type(e) == CONFIG_TYPE_STRING ? config_setting_get_string(e) : NULL;

	if (!v || !text_room_valid(v, strlen(v)))
		settings_complain(ss, e,
				  "rooms: \"%s\" is neither the name of a room nor \"*\" alone, which "
				  "is all of them",
				  v ? v : "?");
	else if ((c->rooms[c->n_rooms] = strdup(v)))
		c->n_rooms++;
}

static void cluster_setting_rooms(struct settings *ss, const config_setting_t *s,
				  const struct setting_key *key, void *at)
{
	struct cluster_config *c = at;
	int n = config_setting_length(s);
	bool is_text = config_setting_type(s) == CONFIG_TYPE_STRING;
	const char *only = is_text  ? config_setting_get_string(s)
			   : n == 1 ? config_setting_get_string_elem(s, 0)
				    : NULL;

	if ((only && strcmp(only, "*") == 0) || c->rooms)
		return;
	if (is_text || !setting_is_list(ss, s, "a list of rooms: ( \"lobby\" ), or \"*\"")) {
		if (is_text)
			settings_complain(ss, s, "%s must be a list of rooms: ( \"lobby\" ), or \"*\"",
					  key->name);
		return;
	}
	if (n == 0)
		settings_complain(ss, s, "%s is empty; \"*\" is all of them", key->name);
	c->rooms = calloc((size_t)n + 1, sizeof(*c->rooms));
	for (int i = 0; c->rooms && i < n; i++)
		cluster_add_room(ss, config_setting_get_elem(s, (unsigned)i), c);
}

/* --- the group --- */

static const struct setting_key cluster_keys[] = {
    SETTING("node", cluster_setting_name, AT(node),
	    .missing = "a cluster needs the name of this node, which no other has: node = \"a\""),
    SETTING("servers", cluster_setting_servers, 0,
	    .missing = "a cluster needs servers of NATS: servers = ( \"nats://HOST:PORT\" )"),
    SETTING("rooms", cluster_setting_rooms, 0),
    SETTING("when_away", cluster_setting_away, AT(when_away)),
    SETTING("away_after", setting_seconds, AT(away_after_us), .max = 3600),
    SETTING("reserve_for", cluster_setting_age, AT(reserve_for_us), .min = 0, .max = 3650 * DAY_S),
    SETTING("replicas", cluster_setting_replicas, AT(replicas)),
    SETTING("keep", cluster_setting_age, AT(keep_us), .min = 60, .max = 3650 * DAY_S),
    SETTING("keep_bytes", setting_size, AT(keep_bytes), .min = 1 << 20, .max = INT64_C(1) << 50),
    SETTING("stream", cluster_setting_name, AT(stream)),
    SETTING("user", cluster_setting_text, AT(user)),
    SETTING("password", cluster_setting_text, AT(password)),
    SETTING("password_file", setting_path, AT(password_file)),
    SETTING("token_file", setting_path, AT(token_file)),
    SETTING("credentials", setting_path, AT(credentials)),
    SETTING("tls_ca", setting_path, AT(tls_ca)),
    SETTING("tls_certificate", setting_path, AT(tls_certificate)),
    SETTING("tls_key", setting_path, AT(tls_key)),
    SETTINGS_END,
};

/* What takes more than one setting. */
static void cluster_check(struct settings *ss, const config_setting_t *s, const struct cluster_config *c)
{
	bool password = c->password || c->password_file;
	const char *tls = c->tls_ca ? "tls_ca" : c->tls_certificate ? "tls_certificate" : "tls_key";

	if (c->password && c->password_file)
		settings_complain(ss, s, "there is a password and a password_file; one of them is enough");
	if (!c->user != !password)
		settings_complain(ss, s,
				  c->user ? "a user needs a password_file, or a password"
					  : "a password needs a user");
	if ((c->user != NULL) + (c->token_file != NULL) + (c->credentials != NULL) > 1)
		settings_complain(ss, s, "only one of user, token_file and credentials can say who we are");
	if (!c->tls_certificate != !c->tls_key)
		settings_complain(ss, s, "tls_certificate and tls_key need each other");
	if (!c->tls && c->n_servers > 0 && (c->tls_ca || c->tls_certificate || c->tls_key))
		settings_complain(ss, s, "%s needs servers that are \"tls://HOST:PORT\"", tls);
}

void setting_cluster(struct settings *ss, const config_setting_t *s, const struct setting_key *key, void *at)
{
	struct cluster_config *c, **ret = at;

	c = settings_new_group(ss, s, key, *ret, sizeof(*c));
	if (!c)
		return;
	*ret = c;
	*c = (struct cluster_config){
	    .stream = "CHATD",
	    .when_away = CLUSTER_LOCAL,
	    .away_after_us = SECOND_US,
	    .reserve_for_us = 30 * DAY_S * SECOND_US,
	    .replicas = 1,
	    .keep_us = 7 * DAY_S * SECOND_US,
	    .keep_bytes = UINT64_C(1) << 30,
	    .copies = {-1, -1, -1, -1},
	    .refs = 1,
	};
	settings_read(ss, s, cluster_keys, c);
	cluster_check(ss, s, c);
	cluster_read_files(ss, s, c);
#ifndef HAVE_NATS
	settings_complain(ss, s,
			  "there can be no cluster: this chatd was built without NATS (configure "
			  "--without-nats)");
#endif
}
