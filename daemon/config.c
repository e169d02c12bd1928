/* SPDX-License-Identifier: MIT */
#include "daemon/config.h"

#include "common/cleanup.h"
#include "daemon/clients.h"
#include "daemon/clock.h"
#include "daemon/logger.h"
#include "daemon/tls.h"

#include <errno.h>
#include <inttypes.h>
#include <libconfig.h>
#include <stdarg.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <zmq.h>

#define MAX_MESSAGE_LIMIT 16384
/* So many mistakes are told; who made more has made one with the file. */
#define ERRORS_MAX 100

struct reader {
	const char *file;
	FILE *errors;
	unsigned n_errors;
};

__attribute__((format(printf, 3, 4))) static void complain(struct reader *rd, const config_setting_t *at,
							   const char *format, ...)
{
	const char *file = at ? config_setting_source_file(at) : NULL;
	va_list ap;

	if (++rd->n_errors > ERRORS_MAX)
		return;
	fprintf(rd->errors, "%s:%d: ", file ? file : rd->file, at ? config_setting_source_line(at) : 0);
	va_start(ap, format);
	vfprintf(rd->errors, format, ap);
	va_end(ap);
	fputc('\n', rd->errors);
}

/* --- values: each reader checks type and range, or complains and leaves *ret as it is --- */

static bool get_unsigned(struct reader *rd, const config_setting_t *s, unsigned min, unsigned max,
			 unsigned *ret)
{
	int type = config_setting_type(s);
	long long v = type == CONFIG_TYPE_INT64 ? config_setting_get_int64(s) : config_setting_get_int(s);

	if ((type != CONFIG_TYPE_INT && type != CONFIG_TYPE_INT64) || v < (long long)min ||
	    v > (long long)max) {
		complain(rd, s, "%s must be a whole number from %u to %u", config_setting_name(s), min, max);
		return false;
	}
	*ret = (unsigned)v;
	return true;
}

static bool get_seconds(struct reader *rd, const config_setting_t *s, double max, int64_t *ret_us)
{
	int type = config_setting_type(s);
	double v = type == CONFIG_TYPE_FLOAT   ? config_setting_get_float(s)
		   : type == CONFIG_TYPE_INT64 ? (double)config_setting_get_int64(s)
					       : (double)config_setting_get_int(s);

	if ((type != CONFIG_TYPE_FLOAT && type != CONFIG_TYPE_INT && type != CONFIG_TYPE_INT64) ||
	    !(v >= 0) || !(v <= max)) {
		complain(rd, s, "%s must be a number of seconds from 0 to %.0f", config_setting_name(s), max);
		return false;
	}
	*ret_us = (int64_t)(v * 1e6);
	return true;
}

static const char *get_string(struct reader *rd, const config_setting_t *s, const char *allowed)
{
	const char *v = config_setting_type(s) == CONFIG_TYPE_STRING ? config_setting_get_string(s) : NULL;

	if (!v)
		complain(rd, s, "%s must be a string: %s", config_setting_name(s), allowed);
	return v;
}

/* "4M" or a number of bytes. */
static void get_size(struct reader *rd, const config_setting_t *s, uint64_t min, uint64_t max, uint64_t *ret)
{
	int type = config_setting_type(s);
	uint64_t v = 0;
	bool ok = false;

	if (type == CONFIG_TYPE_STRING)
		ok = text_parse_size(config_setting_get_string(s), &v) == 0;
	else if (type == CONFIG_TYPE_INT || type == CONFIG_TYPE_INT64) {
		long long i =
		    type == CONFIG_TYPE_INT ? config_setting_get_int(s) : config_setting_get_int64(s);
		ok = i > 0;
		v = (uint64_t)i;
	}
	if (!ok || v < min || v > max)
		complain(rd, s, "%s must be a size from \"%" PRIu64 "K\" to \"%" PRIu64 "M\", such as \"4M\"",
			 config_setting_name(s), min >> 10, max >> 20);
	else
		*ret = v;
}

static void get_room_name(struct reader *rd, const config_setting_t *s, char dst[static TEXT_ROOM_MAX + 1])
{
	const char *v = get_string(rd, s, "the name of a room");

	if (!v)
		return;
	if (!text_room_valid(v, strlen(v))) {
		complain(rd, s, "%s must have 1 to %d of the characters A-Z a-z 0-9 _ . and -",
			 config_setting_name(s), TEXT_ROOM_MAX);
		return;
	}
	memset(dst, 0, TEXT_ROOM_MAX + 1);
	memcpy(dst, v, strlen(v));
}

/* --- groups: a table of keys, each with the function that reads it --- */

struct key {
	const char *name;
	void (*read)(struct reader *rd, const config_setting_t *s, void *to);
};

/* Reads every setting of a group by its key; whatever has no key is an error that names those there are. */
static void read_group(struct reader *rd, const config_setting_t *group, const struct key *keys, void *to)
{
	int n = config_setting_length(group);

	for (int i = 0; i < n; i++) {
		const config_setting_t *s = config_setting_get_elem(group, (unsigned)i);
		const char *name = config_setting_name(s);
		const struct key *k = keys;
		while (k->name && (!name || strcmp(k->name, name) != 0))
			k++;
		if (k->name) {
			k->read(rd, s, to);
			continue;
		}
		char allowed[512] = "";
		size_t o = 0;
		for (k = keys; k->name && o < sizeof(allowed); k++)
			o += (size_t)snprintf(allowed + o, sizeof(allowed) - o, "%s%s", o ? ", " : "",
					      k->name);
		complain(rd, s, "unknown setting %s; allowed are %s", name ? name : "?", allowed);
	}
}

/* Whether s is a list of groups, as `rooms` and `listeners` are. */
static bool is_list_of_groups(struct reader *rd, const config_setting_t *s)
{
	if (!config_setting_is_list(s)) {
		complain(rd, s, "%s must be a list of groups: ( { ... }, { ... } )", config_setting_name(s));
		return false;
	}
	for (int i = 0; i < config_setting_length(s); i++) {
		const config_setting_t *e = config_setting_get_elem(s, (unsigned)i);
		if (!config_setting_is_group(e)) {
			complain(rd, e, "%s must be a list of groups: ( { ... }, { ... } )",
				 config_setting_name(s));
			return false;
		}
	}
	return true;
}

/* --- rooms --- */

static void room_name(struct reader *rd, const config_setting_t *s, void *to)
{
	get_room_name(rd, s, ((struct room_config *)to)->name);
}

static void room_history(struct reader *rd, const config_setting_t *s, void *to)
{
	get_unsigned(rd, s, 0, 10000, &((struct room_config *)to)->settings.history);
}

static void room_log_size(struct reader *rd, const config_setting_t *s, void *to)
{
	get_size(rd, s, LOGRING_SIZE_MIN, LOGRING_SIZE_MAX, &((struct room_config *)to)->settings.log_size);
}

static void room_announce_max(struct reader *rd, const config_setting_t *s, void *to)
{
	get_unsigned(rd, s, 0, CLIENTS_CAPACITY, &((struct room_config *)to)->settings.announce_max);
}

static void room_format(struct reader *rd, const config_setting_t *s, void *to)
{
	const char *v = get_string(rd, s, "\"named\" or \"raw\"");

	if (!v)
		return;
	if (strcmp(v, "raw") != 0 && strcmp(v, "named") != 0)
		complain(rd, s, "format must be \"named\" or \"raw\", not \"%s\"", v);
	((struct room_config *)to)->settings.raw = strcmp(v, "raw") == 0;
}

static void room_read_only(struct reader *rd, const config_setting_t *s, void *to)
{
	if (config_setting_type(s) != CONFIG_TYPE_BOOL)
		complain(rd, s, "read_only must be true or false");
	else
		((struct room_config *)to)->settings.read_only = config_setting_get_bool(s);
}

static void room_members_list(struct reader *rd, const config_setting_t *s, void *to)
{
	struct room_config *r = to;
	int n = config_setting_length(s);

	if (!config_setting_is_list(s) && !config_setting_is_array(s)) {
		complain(rd, s, "members must be a list of accounts: ( \"alice\", \"bob\" )");
		return;
	}
	free(r->members);
	r->members = calloc((size_t)n + 1, sizeof(*r->members));
	r->n_members = 0;
	for (int i = 0; r->members && i < n; i++) {
		const char *v = config_setting_get_string_elem(s, i);
		if (!v || !text_nick_valid(v, strlen(v)))
			complain(rd, config_setting_get_elem(s, (unsigned)i), "\"%s\" is no valid account",
				 v ? v : "?");
		else
			memcpy(r->members[r->n_members++], v, strlen(v) + 1);
	}
}

static const struct key room_keys[] = {
    {"name", room_name},
    {"format", room_format},
    {"history", room_history},
    {"log_size", room_log_size},
    {"announce_max", room_announce_max},
    {"members", room_members_list},
    {"read_only", room_read_only},
    {NULL, NULL},
};

static const struct key room_defaults_keys[] = {
    {"history", room_history},
    {"log_size", room_log_size},
    {"announce_max", room_announce_max},
    {NULL, NULL},
};

static void read_room_defaults(struct reader *rd, const config_setting_t *s, void *to)
{
	struct config *c = to;
	struct room_config r = {.settings = c->room_defaults};

	if (!config_setting_is_group(s)) {
		complain(rd, s, "room_defaults must be a group: { ... }");
		return;
	}
	read_group(rd, s, room_defaults_keys, &r);
	c->room_defaults = r.settings;
}

static void read_rooms(struct reader *rd, const config_setting_t *s, void *to)
{
	struct config *c = to;

	if (!is_list_of_groups(rd, s))
		return;
	size_t n = (size_t)config_setting_length(s);
	if (n > ROOMS_CAPACITY / 2) {
		complain(rd, s, "there are %zu rooms; at most %d are allowed", n, ROOMS_CAPACITY / 2);
		return;
	}
	c->rooms = calloc(n + 1, sizeof(*c->rooms));
	if (!c->rooms)
		return;
	for (size_t i = 0; i < n; i++) {
		const config_setting_t *e = config_setting_get_elem(s, (unsigned)i);
		struct room_config *r = &c->rooms[c->n_rooms];
		r->settings = (struct room_settings){.log_size = 4 << 20, .history = 20, .announce_max = 100};
		read_group(rd, e, room_keys, r);
		if (!config_setting_get_member(e, "name"))
			complain(rd, e, "a room needs a name");
		for (size_t k = 0; k < c->n_rooms; k++)
			if (r->name[0] && strcmp(c->rooms[k].name, r->name) == 0)
				complain(rd, e, "there are two rooms named \"%s\"; each needs its own name",
					 r->name);
		c->n_rooms++;
	}
}

/* --- listeners --- */

struct listener_reader {
	struct listener_config *l;
	const char *type, *mode;
};

static void listener_name(struct reader *rd, const config_setting_t *s, void *to)
{
	struct listener_reader *lr = to;
	const char *v = get_string(rd, s, "a name");

	if (!v)
		return;
	/* The name is systemd's FileDescriptorName=, too, which allows no colon (systemd.socket(5)). */
	if (!text_room_valid(v, strlen(v)) || strlen(v) > CONFIG_NAME_MAX)
		complain(rd, s, "name must have 1 to %d of the characters A-Z a-z 0-9 _ . and -",
			 CONFIG_NAME_MAX);
	else
		memcpy(lr->l->name, v, strlen(v) + 1);
}

static void listener_type(struct reader *rd, const config_setting_t *s, void *to)
{
	((struct listener_reader *)to)->type = get_string(rd, s, "the kind of socket, such as \"tcp\"");
}

static void listener_mode(struct reader *rd, const config_setting_t *s, void *to)
{
	((struct listener_reader *)to)->mode = get_string(rd, s, "what it does, such as \"chat\"");
}

/* An endpoint's setting is read when the mode is known: see read_endpoints(). */
static void listener_endpoint(struct reader *rd, const config_setting_t *s, void *to)
{
	(void)to;
	get_string(rd, s, "an endpoint such as \"tcp://127.0.0.1:5558\"");
}

static void listener_listen(struct reader *rd, const config_setting_t *s, void *to)
{
	const char *type;

	if (config_setting_lookup_string(config_setting_parent(s), "type", &type) &&
	    strcmp(type, "zmq") == 0) {
		listener_endpoint(rd, s, to);
		return;
	}
	const char *v = get_string(rd, s, "an address such as \"127.0.0.1:5050\" or \"[::]:5050\"");

	if (v && address_parse(v, &((struct listener_reader *)to)->l->listen) < 0)
		complain(rd, s,
			 "listen must be an address such as \"127.0.0.1:5050\" or \"[::]:5050\", not \"%s\"",
			 v);
}

static void listener_room(struct reader *rd, const config_setting_t *s, void *to)
{
	get_room_name(rd, s, ((struct listener_reader *)to)->l->room);
}

static void listener_backlog(struct reader *rd, const config_setting_t *s, void *to)
{
	unsigned v = 4096;

	get_unsigned(rd, s, 1, 65535, &v);
	((struct listener_reader *)to)->l->backlog = (int)v;
}

static void listener_lease(struct reader *rd, const config_setting_t *s, void *to)
{
	int64_t v = SECOND_US;

	get_seconds(rd, s, 30 * 86400.0, &v);
	if (v < SECOND_US)
		complain(rd, s, "lease must be at least 1 second");
	else
		((struct listener_reader *)to)->l->lease_us = v;
}

static void get_prefixes(struct reader *rd, const config_setting_t *s, struct prefix_list *ret)
{
	static const char allowed[] = "a list of addresses such as ( \"127.0.0.0/8\", \"::1\" )";
	const char *name = config_setting_name(s);
	int n = config_setting_length(s);

	if (!config_setting_is_list(s) && !config_setting_is_array(s)) {
		complain(rd, s, "%s must be %s", name, allowed);
		return;
	}
	if (n > CONFIG_PREFIXES_MAX) {
		complain(rd, s, "%s has more than %d entries", name, CONFIG_PREFIXES_MAX);
		return;
	}
	free(ret->at);
	*ret = (struct prefix_list){calloc((size_t)n + 1, sizeof(*ret->at)), 0};
	for (int i = 0; ret->at && i < n; i++) {
		const char *v = config_setting_get_string_elem(s, i);
		if (!v || prefix_parse(v, &ret->at[ret->n]) < 0)
			complain(rd, config_setting_get_elem(s, (unsigned)i), "%s must be %s, not \"%s\"",
				 name, allowed, v ? v : "?");
		else
			ret->n++;
	}
}

static void listener_trusted(struct reader *rd, const config_setting_t *s, void *to)
{
	get_prefixes(rd, s, &((struct listener_reader *)to)->l->trusted);
}

static void listener_allow(struct reader *rd, const config_setting_t *s, void *to)
{
	get_prefixes(rd, s, &((struct listener_reader *)to)->l->allow);
	if (config_setting_length(s) == 0)
		complain(rd, s, "allow is empty; leave it out to allow everybody");
}

static void listener_deny(struct reader *rd, const config_setting_t *s, void *to)
{
	get_prefixes(rd, s, &((struct listener_reader *)to)->l->deny);
}

static void listener_proxies(struct reader *rd, const config_setting_t *s, void *to)
{
	get_prefixes(rd, s, &((struct listener_reader *)to)->l->proxies);
}

static void listener_max_clients(struct reader *rd, const config_setting_t *s, void *to)
{
	get_unsigned(rd, s, 0, CLIENTS_CAPACITY, &((struct listener_reader *)to)->l->max_clients);
}

static void listener_auth(struct reader *rd, const config_setting_t *s, void *to)
{
	const char *v = get_string(rd, s, "\"none\" or \"password\"");

	if (!v)
		return;
	if (strcmp(v, "none") != 0 && strcmp(v, "password") != 0)
		complain(rd, s, "auth must be \"none\" or \"password\", not \"%s\"", v);
	((struct listener_reader *)to)->l->password = strcmp(v, "password") == 0;
}

/* A path; "credential:NAME" is a file that the service manager hands over (LoadCredential= of
 * systemd.exec(5)). */
static void get_path(struct reader *rd, const config_setting_t *s, char **ret)
{
	static const char prefix[] = "credential:";
	const char *v = get_string(rd, s, "a path, or \"credential:NAME\""),
		   *dir = getenv("CREDENTIALS_DIRECTORY");
	char *path = NULL;

	if (!v)
		return;
	if (strncmp(v, prefix, sizeof(prefix) - 1) == 0 && !strchr(v, '/')) {
		if (!dir)
			complain(rd, s,
				 "%s: there are no credentials; see LoadCredential= in systemd.exec(5)",
				 config_setting_name(s));
		else if (asprintf(&path, "%s/%s", dir, v + sizeof(prefix) - 1) < 0)
			path = NULL;
	} else if (v[0] == '/') {
		path = strdup(v);
	} else {
		complain(rd, s, "%s must be an absolute path, or \"credential:NAME\", not \"%s\"",
			 config_setting_name(s), v);
	}
	free(*ret);
	*ret = path;
}

static void listener_password_file(struct reader *rd, const config_setting_t *s, void *to)
{
	get_path(rd, s, &((struct listener_reader *)to)->l->password_file);
}

static void listener_tls_certificate(struct reader *rd, const config_setting_t *s, void *to)
{
	get_path(rd, s, &((struct listener_reader *)to)->l->tls_certificate);
}

static void listener_tls_key(struct reader *rd, const config_setting_t *s, void *to)
{
	get_path(rd, s, &((struct listener_reader *)to)->l->tls_key);
}

static void listener_tls_client_ca(struct reader *rd, const config_setting_t *s, void *to)
{
	get_path(rd, s, &((struct listener_reader *)to)->l->tls_client_ca);
}

static void listener_high_water_mark(struct reader *rd, const config_setting_t *s, void *to)
{
	unsigned v = 1000;

	get_unsigned(rd, s, 1, 10000000, &v);
	((struct listener_reader *)to)->l->high_water_mark = (int)v;
}

static void listener_linger(struct reader *rd, const config_setting_t *s, void *to)
{
	get_seconds(rd, s, 3600, &((struct listener_reader *)to)->l->linger_us);
}

static void listener_max_size(struct reader *rd, const config_setting_t *s, void *to)
{
	uint64_t v = 16 << 20;

	get_size(rd, s, 1024, 1ULL << 31, &v);
	((struct listener_reader *)to)->l->max_size = (int64_t)v;
}

/* Copies a CURVE key if it is one. */
static bool get_key(struct reader *rd, const config_setting_t *s, const char *what, const char *v,
		    char dst[static CONFIG_KEY_LEN + 1])
{
	uint8_t key[32];

	if (!v || strlen(v) != CONFIG_KEY_LEN || !zmq_z85_decode(key, v)) {
		complain(rd, s, "%s must be a CURVE key of %d characters (Z85), as `chatctl keys` makes them",
			 what, CONFIG_KEY_LEN);
		return false;
	}
	memcpy(dst, v, CONFIG_KEY_LEN + 1);
	explicit_bzero(key, sizeof(key));
	return true;
}

static void listener_secret_key(struct reader *rd, const config_setting_t *s, void *to)
{
	const char *v = get_string(rd, s, "a CURVE secret key");

	if (v)
		get_key(rd, s, "curve_secret_key", v, ((struct listener_reader *)to)->l->curve_secret_key);
}

static void listener_curve_clients(struct reader *rd, const config_setting_t *s, void *to)
{
	struct listener_config *l = ((struct listener_reader *)to)->l;

	if (!config_setting_is_list(s) && !config_setting_is_array(s)) {
		complain(rd, s, "curve_clients must be a list of public keys: ( \"...\", \"...\" )");
		return;
	}
	int n = config_setting_length(s);
	free(l->curve_clients);
	l->n_curve_clients = 0;
	l->curve_clients = calloc((size_t)n + 1, sizeof(*l->curve_clients));
	for (int i = 0; l->curve_clients && i < n; i++)
		if (get_key(rd, config_setting_get_elem(s, (unsigned)i), "each of curve_clients",
			    config_setting_get_string_elem(s, i), l->curve_clients[l->n_curve_clients]))
			l->n_curve_clients++;
	if (n == 0)
		complain(rd, s, "curve_clients is empty; leave it out to allow whoever knows the public key");
}

static const struct key listener_keys[] = {
    {"name", listener_name},
    {"type", listener_type},
    {"mode", listener_mode},
    {"listen", listener_listen},
    {"room", listener_room},
    {"backlog", listener_backlog},
    {"lease", listener_lease},
    {"trusted", listener_trusted},
    {"max_clients", listener_max_clients},
    {"allow", listener_allow},
    {"deny", listener_deny},
    {"proxies", listener_proxies},
    {"auth", listener_auth},
    {"password_file", listener_password_file},
    {"tls_certificate", listener_tls_certificate},
    {"tls_key", listener_tls_key},
    {"tls_client_ca", listener_tls_client_ca},
    {"pull", listener_endpoint},
    {"pub", listener_endpoint},
    {"push", listener_endpoint},
    {"high_water_mark", listener_high_water_mark},
    {"linger", listener_linger},
    {"max_size", listener_max_size},
    {"curve_secret_key", listener_secret_key},
    {"curve_clients", listener_curve_clients},
    {NULL, NULL},
};

static void find_handler(struct reader *rd, const config_setting_t *e, struct listener_reader *lr)
{
	char allowed[256] = "";
	size_t o = 0;

	if (!lr->type || !lr->mode) {
		if (!config_setting_get_member(e, "type") || !config_setting_get_member(e, "mode"))
			complain(rd, e, "a listener needs a type and a mode");
		return;
	}
	lr->l->handler = handler_find(lr->type, lr->mode);
	if (lr->l->handler)
		return;
	for (const struct handler *const *h = handlers; *h && o < sizeof(allowed); h++)
		o += (size_t)snprintf(allowed + o, sizeof(allowed) - o, "%s%s %s", o ? ", " : "", (*h)->type,
				      (*h)->mode);
	complain(rd, e, "there is no mode \"%s\" of type \"%s\"; allowed are %s", lr->mode, lr->type,
		 allowed);
}

/* A setting that is good for other modes only. */
static void forbid(struct reader *rd, const config_setting_t *e, const struct handler *h, const char *key,
		   bool allowed)
{
	const config_setting_t *s = config_setting_get_member(e, key);

	if (s && h && !allowed)
		complain(rd, s, "mode \"%s\" of type \"%s\" has no %s", h->mode, h->type, key);
}

static bool has_endpoint(const struct handler *h, const char *key)
{
	for (unsigned i = 0; h && i < HANDLER_ENDPOINTS; i++)
		if (h->endpoints[i] && strcmp(h->endpoints[i], key) == 0)
			return true;
	return false;
}

/* A star instead of the address is all addresses. */
static bool parse_endpoint(const char *v, struct endpoint_config *ret)
{
	char text[ADDRESS_TEXT_MAX];

	if (strlen(v) >= sizeof(ret->text))
		return false;
	memcpy(ret->text, v, strlen(v) + 1);
	if (strncmp(v, "ipc:///", 7) == 0)
		return strlen(v + 6) < sizeof(((struct sockaddr_un *)0)->sun_path);
	if (strncmp(v, "tcp://", 6) != 0)
		return false;
	v += 6;
	snprintf(text, sizeof(text), "%s%s", v[0] == '*' && v[1] == ':' ? "[::]" : "",
		 v[0] == '*' ? v + 1 : v);
	if (address_parse(text, &ret->address) < 0)
		return false;
	snprintf(ret->text, sizeof(ret->text), "tcp://%s", text);
	return true;
}

static void read_endpoints(struct reader *rd, const config_setting_t *e, struct listener_config *l)
{
	for (unsigned i = 0; i < HANDLER_ENDPOINTS; i++) {
		const char *key = l->handler->endpoints[i];
		const config_setting_t *s = key ? config_setting_get_member(e, key) : NULL;
		const char *v = s ? config_setting_get_string(s) : NULL;
		if (key && !s)
			complain(
			    rd, e,
			    "mode \"%s\" of type \"zmq\" needs %s = \"tcp://ADDRESS:PORT\" or \"ipc://PATH\"",
			    l->handler->mode, key);
		if (v && !parse_endpoint(v, &l->endpoints[i]))
			complain(
			    rd, s,
			    "%s must be an endpoint such as \"tcp://127.0.0.1:5558\", \"tcp://*:5558\" or "
			    "\"ipc:///run/chatd/NAME\", not \"%s\"",
			    key, v);
	}
	if (l->endpoints[0].text[0] && strcmp(l->endpoints[0].text, l->endpoints[1].text) == 0)
		complain(rd, e, "%s and %s must be different", l->handler->endpoints[0],
			 l->handler->endpoints[1]);
}

/* Whether both would listen at one place. */
static const char *clash(const struct listener_config *a, const struct listener_config *b)
{
	if (!a->handler || !b->handler)
		return NULL;
	bool zmq = a->handler->transport == TRANSPORT_ZMQ && b->handler->transport == TRANSPORT_ZMQ;
	for (unsigned i = 0; zmq && i < HANDLER_ENDPOINTS; i++)
		for (unsigned k = 0; k < HANDLER_ENDPOINTS; k++)
			if (a->endpoints[i].text[0] &&
			    strcmp(a->endpoints[i].text, b->endpoints[k].text) == 0)
				return a->endpoints[i].text;
	return NULL;
}

/* What a listener's other files say: certificates and accounts. */
static void read_files(struct reader *rd, const config_setting_t *e, struct listener_config *l)
{
	char why[1024];

	if (l->password && !l->password_file)
		complain(rd, e, "auth = \"password\" needs a password_file");
	if (l->password_file) {
		_cleanup_free_ char *text = NULL;
		size_t size;
		FILE *f = open_memstream(&text, &size);
		int r = f ? accounts_load(l->password_file, f, &l->accounts) : -ENOMEM;
		if (f)
			fclose(f);
		if (r < 0) {
			fputs(text ? text : "", rd->errors);
			complain(rd, config_setting_get_member(e, "password_file"),
				 "this password_file can't be used");
		}
	}
	if (!l->tls_certificate && (l->tls_key || l->tls_client_ca))
		complain(rd, e, "%s needs a tls_certificate", l->tls_key ? "tls_key" : "tls_client_ca");
	if (l->tls_certificate &&
	    tls_context_new(l->tls_certificate, l->tls_key ? l->tls_key : l->tls_certificate,
			    l->tls_client_ca, why, sizeof(why), &l->tls) < 0)
		complain(rd, config_setting_get_member(e, "tls_certificate"), "%s", why);
}

static void check_listener(struct reader *rd, const config_setting_t *e, const struct config *c,
			   struct listener_config *l)
{
	if (!config_setting_get_member(e, "name"))
		complain(rd, e, "a listener needs a name");
	bool zmq = l->handler && l->handler->transport == TRANSPORT_ZMQ;
	if (zmq)
		read_endpoints(rd, e, l);
	else if (!config_setting_get_member(e, "listen"))
		complain(rd, e, "a listener needs an address to listen on");
	if (l->handler && l->handler->uses_room && !l->room[0] && !config_setting_get_member(e, "room"))
		memcpy(l->room, "lobby", 6);
	forbid(rd, e, l->handler, "room", l->handler && (l->handler->uses_room || l->handler->may_have_room));
	static const char *const zmq_keys[] = {"high_water_mark", "linger", "max_size", "curve_secret_key",
					       "curve_clients"};
	for (size_t i = 0; i < sizeof(zmq_keys) / sizeof(*zmq_keys); i++)
		forbid(rd, e, l->handler, zmq_keys[i], zmq);
	static const char *const endpoint_keys[] = {"listen", "pull", "pub", "push"};
	for (size_t i = 0; i < sizeof(endpoint_keys) / sizeof(*endpoint_keys); i++)
		forbid(rd, e, l->handler, endpoint_keys[i],
		       has_endpoint(l->handler, endpoint_keys[i]) || (!zmq && i == 0));
	if (l->n_curve_clients > 0 && !l->curve_secret_key[0])
		complain(rd, e, "curve_clients needs a curve_secret_key");
	forbid(rd, e, l->handler, "lease", l->handler && l->handler->uses_lease);
	forbid(rd, e, l->handler, "trusted", l->handler && l->handler->uses_lease);
	bool tcp = l->handler && l->handler->transport == TRANSPORT_TCP;
	static const char *const tcp_keys[] = {"backlog", "proxies", "tls_certificate", "tls_key",
					       "tls_client_ca"};
	for (size_t i = 0; i < sizeof(tcp_keys) / sizeof(*tcp_keys); i++)
		forbid(rd, e, l->handler, tcp_keys[i], tcp);
	static const char *const login_keys[] = {"auth", "password_file"};
	for (size_t i = 0; i < sizeof(login_keys) / sizeof(*login_keys); i++)
		forbid(rd, e, l->handler, login_keys[i], tcp && l->handler->uses_room);
	static const char *const address_keys[] = {"allow", "deny", "max_clients"};
	for (size_t i = 0; i < sizeof(address_keys) / sizeof(*address_keys); i++)
		forbid(rd, e, l->handler, address_keys[i], !zmq);
	read_files(rd, e, l);
	for (size_t k = 0; k < c->n_listeners; k++) {
		const struct listener_config *o = &c->listeners[k];
		char text[ADDRESS_TEXT_MAX];
		if (l->name[0] && strcmp(o->name, l->name) == 0)
			complain(rd, e, "there are two listeners named \"%s\"; each needs its own name",
				 l->name);
		const char *place = clash(l, o);
		if (place)
			complain(rd, e, "%s is taken by listener \"%s\"; each needs its own endpoint", place,
				 o->name);
		if (l->handler && o->handler && l->handler->transport == o->handler->transport &&
		    l->listen.sa.sa_family && address_equal(&o->listen, &l->listen))
			complain(rd, e, "%s is taken by listener \"%s\"; each needs its own address",
				 address_format(&l->listen, text), o->name);
	}
}

static void read_listeners(struct reader *rd, const config_setting_t *s, void *to)
{
	struct config *c = to;

	if (!is_list_of_groups(rd, s))
		return;
	size_t n = (size_t)config_setting_length(s);
	if (n > CONFIG_MAX_LISTENERS) {
		complain(rd, s, "there are %zu listeners; at most %d are allowed", n, CONFIG_MAX_LISTENERS);
		return;
	}
	c->listeners = calloc(n + 1, sizeof(*c->listeners));
	if (!c->listeners)
		return;
	for (size_t i = 0; i < n; i++) {
		const config_setting_t *e = config_setting_get_elem(s, (unsigned)i);
		struct listener_reader lr = {.l = &c->listeners[c->n_listeners]};
		lr.l->backlog = 4096;
		lr.l->lease_us = 300 * SECOND_US;
		lr.l->high_water_mark = 10000;
		lr.l->linger_us = -1;
		lr.l->max_size = 16 << 20;
		lr.l->trusted.at = calloc(2, sizeof(struct prefix));
		if (!lr.l->trusted.at)
			return;
		prefix_parse("127.0.0.0/8", &lr.l->trusted.at[0]);
		prefix_parse("::1", &lr.l->trusted.at[1]);
		lr.l->trusted.n = 2;
		read_group(rd, e, listener_keys, &lr);
		find_handler(rd, e, &lr);
		check_listener(rd, e, c, lr.l);
		c->n_listeners++; /* from here on config_free() knows it */
	}
}

/* --- the rest --- */

static void read_workers(struct reader *rd, const config_setting_t *s, void *to)
{
	get_unsigned(rd, s, 0, CONFIG_MAX_WORKERS, &((struct config *)to)->workers);
}

static void read_max_message(struct reader *rd, const config_setting_t *s, void *to)
{
	get_unsigned(rd, s, 16, MAX_MESSAGE_LIMIT, &((struct config *)to)->max_message);
}

static void read_drain_timeout(struct reader *rd, const config_setting_t *s, void *to)
{
	get_seconds(rd, s, 3600, &((struct config *)to)->drain_timeout_us);
}

static void read_slow(struct reader *rd, const config_setting_t *s, void *to)
{
	const char *v = get_string(rd, s, "\"skip\" or \"disconnect\"");

	if (!v)
		return;
	if (strcmp(v, "skip") != 0 && strcmp(v, "disconnect") != 0)
		complain(rd, s, "slow must be \"skip\" or \"disconnect\", not \"%s\"", v);
	((struct config *)to)->slow = strcmp(v, "skip") == 0 ? SLOW_SKIP : SLOW_DISCONNECT;
}

static void read_io_uring(struct reader *rd, const config_setting_t *s, void *to)
{
	if (config_setting_type(s) != CONFIG_TYPE_BOOL)
		complain(rd, s, "io_uring must be true or false");
	else
		((struct config *)to)->io_uring = config_setting_get_bool(s);
}

static void read_log_level(struct reader *rd, const config_setting_t *s, void *to)
{
	const char *v = get_string(rd, s, "\"error\", \"warning\", \"notice\", \"info\" or \"debug\"");

	if (!v)
		return;
	int level = log_level_parse(v);
	if (level < 0)
		complain(
		    rd, s,
		    "log_level must be \"error\", \"warning\", \"notice\", \"info\" or \"debug\", not \"%s\"",
		    v);
	else
		((struct config *)to)->log_level = level;
}

static void limit_clients(struct reader *rd, const config_setting_t *s, void *to)
{
	get_unsigned(rd, s, 1, CLIENTS_CAPACITY, &((struct config *)to)->max_clients);
}

static void limit_per_address(struct reader *rd, const config_setting_t *s, void *to)
{
	get_unsigned(rd, s, 0, CLIENTS_CAPACITY, &((struct config *)to)->max_clients_per_address);
}

static void limit_rooms(struct reader *rd, const config_setting_t *s, void *to)
{
	get_unsigned(rd, s, 1, ROOMS_CAPACITY / 2, &((struct config *)to)->max_rooms);
}

static void limit_lines(struct reader *rd, const config_setting_t *s, void *to)
{
	get_unsigned(rd, s, 0, 1000000, &((struct config *)to)->lines_per_second);
}

static void limit_bytes(struct reader *rd, const config_setting_t *s, void *to)
{
	unsigned *v = &((struct config *)to)->bytes_per_second;

	if (get_unsigned(rd, s, 0, 1000000000, v) && *v > 0 && *v < 1024)
		complain(rd, s, "bytes_per_second must be 0 or at least 1024");
}

static void limit_nicks(struct reader *rd, const config_setting_t *s, void *to)
{
	get_unsigned(rd, s, 0, 1000000, &((struct config *)to)->nick_changes_per_minute);
}

static void limit_joins(struct reader *rd, const config_setting_t *s, void *to)
{
	get_unsigned(rd, s, 0, 1000000, &((struct config *)to)->joins_per_minute);
}

static void limit_bans(struct reader *rd, const config_setting_t *s, void *to)
{
	get_unsigned(rd, s, 0, 100000, &((struct config *)to)->max_bans);
}

static void limit_first_line(struct reader *rd, const config_setting_t *s, void *to)
{
	get_seconds(rd, s, 86400, &((struct config *)to)->first_line_timeout_us);
}

static void limit_login(struct reader *rd, const config_setting_t *s, void *to)
{
	get_seconds(rd, s, 86400, &((struct config *)to)->login_timeout_us);
}

static void limit_handshake(struct reader *rd, const config_setting_t *s, void *to)
{
	int64_t v = SECOND_US;

	get_seconds(rd, s, 3600, &v);
	if (v < SECOND_US)
		complain(rd, s, "handshake_timeout must be at least 1 second");
	else
		((struct config *)to)->handshake_timeout_us = v;
}

static void limit_idle(struct reader *rd, const config_setting_t *s, void *to)
{
	get_seconds(rd, s, 30 * 86400.0, &((struct config *)to)->idle_timeout_us);
}

static void limit_linger(struct reader *rd, const config_setting_t *s, void *to)
{
	get_seconds(rd, s, 30 * 86400.0, &((struct config *)to)->room_linger_us);
}

static const struct key limit_keys[] = {
    {"max_clients", limit_clients},
    {"max_clients_per_address", limit_per_address},
    {"max_rooms", limit_rooms},
    {"lines_per_second", limit_lines},
    {"bytes_per_second", limit_bytes},
    {"nick_changes_per_minute", limit_nicks},
    {"joins_per_minute", limit_joins},
    {"max_bans", limit_bans},
    {"first_line_timeout", limit_first_line},
    {"login_timeout", limit_login},
    {"handshake_timeout", limit_handshake},
    {"idle_timeout", limit_idle},
    {"room_linger", limit_linger},
    {NULL, NULL},
};

static void read_limits(struct reader *rd, const config_setting_t *s, void *to)
{
	if (!config_setting_is_group(s))
		complain(rd, s, "limits must be a group: { ... }");
	else
		read_group(rd, s, limit_keys, to);
}

static void control_socket(struct reader *rd, const config_setting_t *s, void *to)
{
	struct config *c = to;
	const char *v = get_string(rd, s, "the path of a Unix socket");
	struct sockaddr_un un;

	if (!v)
		return;
	if (v[0] != '/' || strlen(v) >= sizeof(un.sun_path)) {
		complain(rd, s, "socket must be an absolute path of at most %zu bytes",
			 sizeof(un.sun_path) - 1);
		return;
	}
	free(c->control_socket);
	c->control_socket = strdup(v);
}

static void control_group(struct reader *rd, const config_setting_t *s, void *to)
{
	struct config *c = to;
	const char *v = get_string(rd, s, "the name of a group");

	if (!v)
		return;
	free(c->control_group);
	c->control_group = strdup(v);
}

static const struct key control_keys[] = {
    {"socket", control_socket},
    {"group", control_group},
    {NULL, NULL},
};

static void read_control(struct reader *rd, const config_setting_t *s, void *to)
{
	if (!config_setting_is_group(s))
		complain(rd, s, "control must be a group: { ... }");
	else
		read_group(rd, s, control_keys, to);
}

static void metrics_listen_at(struct reader *rd, const config_setting_t *s, void *to)
{
	const char *v = get_string(rd, s, "an address such as \"127.0.0.1:9150\"");

	if (v && address_parse(v, &((struct config *)to)->metrics) < 0)
		complain(rd, s, "listen must be an address such as \"127.0.0.1:9150\", not \"%s\"", v);
}

static const struct key metrics_keys[] = {
    {"listen", metrics_listen_at},
    {NULL, NULL},
};

static void read_metrics(struct reader *rd, const config_setting_t *s, void *to)
{
	if (!config_setting_is_group(s))
		complain(rd, s, "metrics must be a group: { ... }");
	else
		read_group(rd, s, metrics_keys, to);
}

static void read_state_directory(struct reader *rd, const config_setting_t *s, void *to)
{
	struct config *c = to;
	const char *v = get_string(rd, s, "the path of a directory");

	if (!v)
		return;
	if (v[0] != '/') {
		complain(rd, s, "state_directory must be an absolute path");
		return;
	}
	free(c->state_directory);
	c->state_directory = strdup(v);
}

static const struct key keys[] = {
    {"workers", read_workers},
    {"max_message", read_max_message},
    {"drain_timeout", read_drain_timeout},
    {"slow", read_slow},
    {"log_level", read_log_level},
    {"io_uring", read_io_uring},
    {"rooms", read_rooms},
    {"room_defaults", read_room_defaults},
    {"listeners", read_listeners},
    {"limits", read_limits},
    {"control", read_control},
    {"metrics", read_metrics},
    {"state_directory", read_state_directory},
    {NULL, NULL},
};

/* Who comes in by a listener's door must be allowed in its room. */
static void check_rooms_of_listeners(struct reader *rd, const config_setting_t *root, const struct config *c)
{
	const config_setting_t *listeners = config_setting_get_member(root, "listeners");

	for (size_t i = 0; i < c->n_listeners; i++) {
		const struct listener_config *l = &c->listeners[i];
		const struct room_config *r = l->room[0] ? config_room(c, l->room) : NULL;
		if (r && r->members && !l->password && l->handler)
			complain(rd, config_setting_get_elem(listeners, (unsigned)i),
				 "room \"%s\" has members, so the listener needs %s", l->room,
				 l->handler->transport == TRANSPORT_TCP ? "auth = \"password\""
									: "another room");
	}
}

/* What needs more than one setting to be judged. */
static void check_whole(struct reader *rd, const config_setting_t *root, const struct config *c)
{
	uint64_t min = 16ULL * c->max_message;
	const config_setting_t *rooms = config_setting_get_member(root, "rooms");

	for (size_t i = 0; i < c->n_rooms; i++)
		if (c->rooms[i].settings.log_size < min)
			complain(rd, config_setting_get_elem(rooms, (unsigned)i),
				 "the log of room \"%s\" is too small: log_size must be at least 16 times "
				 "max_message",
				 c->rooms[i].name);
	if (c->room_defaults.log_size < min)
		complain(rd, config_setting_get_member(root, "room_defaults"),
			 "log_size in room_defaults must be at least 16 times max_message");
	check_rooms_of_listeners(rd, root, c);
	unsigned zmqs = 0;
	for (size_t i = 0; i < c->n_listeners; i++)
		zmqs += c->listeners[i].handler && c->listeners[i].handler->transport == TRANSPORT_ZMQ;
	if (zmqs > CONFIG_MAX_ZMQ)
		complain(rd, config_setting_get_member(root, "listeners"),
			 "there are %u listeners of type \"zmq\"; at most %d are allowed", zmqs,
			 CONFIG_MAX_ZMQ);
	if (c->n_rooms > c->max_rooms)
		complain(rd, rooms, "there are %zu rooms; limits.max_rooms allows %u", c->n_rooms,
			 c->max_rooms);
}

static int read_config(config_t *lib, struct reader *rd, struct config **ret)
{
	struct config *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	*c = (struct config){
	    .max_message = 4096,
	    .drain_timeout_us = 5000000,
	    .slow = SLOW_SKIP,
	    .log_level = LOG_INFO,
	    .io_uring = true,
	    .room_defaults = {.log_size = 1 << 20, .history = 20, .announce_max = 100},
	    .max_clients = 100000,
	    .max_clients_per_address = 1000,
	    .max_rooms = 1000,
	    .max_bans = 1000,
	    .nick_changes_per_minute = 30,
	    .joins_per_minute = 60,
	    .login_timeout_us = 60 * SECOND_US,
	    .handshake_timeout_us = 10 * SECOND_US,
	    .room_linger_us = 300000000,
	    .control_socket = strdup("/run/chatd/control.sock"),
	    .control_group = strdup("chatd"),
	};
	config_setting_t *root = config_root_setting(lib);
	read_group(rd, root, keys, c);
	check_whole(rd, root, c);
	if (rd->n_errors > ERRORS_MAX)
		fprintf(rd->errors, "%s:0: and %u more mistakes\n", rd->file, rd->n_errors - ERRORS_MAX);
	if (rd->n_errors > 0 || !c->control_socket || !c->control_group) {
		config_free(c);
		return rd->n_errors > 0 ? -EINVAL : -ENOMEM;
	}
	*ret = c;
	return 0;
}

static void report_syntax(const config_t *lib, const char *file, FILE *errors)
{
	fprintf(errors, "%s:%d: %s\n", config_error_file(lib) ? config_error_file(lib) : file,
		config_error_line(lib), config_error_text(lib));
}

int config_load(const char *path, FILE *errors, struct config **ret)
{
	struct reader rd = {.file = path, .errors = errors};
	config_t lib;
	int r = -EINVAL;

	config_init(&lib);
	FILE *f = fopen(path, "re");
	if (!f) {
		fprintf(errors, "%s:0: can't be read: %s\n", path, strerror(errno));
	} else {
		/* config_read_file() hides why a file can't be opened, and doesn't name it in errors. */
		if (config_read_file(&lib, path))
			r = read_config(&lib, &rd, ret);
		else if (config_error_type(&lib) == CONFIG_ERR_FILE_IO)
			fprintf(errors, "%s:0: can't be read: %s\n", path, strerror(EISDIR));
		else
			report_syntax(&lib, path, errors);
		fclose(f);
	}
	config_destroy(&lib);
	return r;
}

int config_parse(const char *text, const char *name, FILE *errors, struct config **ret)
{
	struct reader rd = {.file = name, .errors = errors};
	config_t lib;
	int r = -EINVAL;

	config_init(&lib);
	if (config_read_string(&lib, text))
		r = read_config(&lib, &rd, ret);
	else
		report_syntax(&lib, name, errors);
	config_destroy(&lib);
	return r;
}

static void free_listener(struct listener_config *l)
{
	explicit_bzero(l->curve_secret_key, sizeof(l->curve_secret_key));
	free(l->curve_clients);
	free(l->allow.at);
	free(l->deny.at);
	free(l->proxies.at);
	free(l->trusted.at);
	free(l->password_file);
	accounts_free(&l->accounts);
	free(l->tls_certificate);
	free(l->tls_key);
	free(l->tls_client_ca);
	tls_context_free(l->tls);
}

void config_free(struct config *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < c->n_rooms; i++)
		free(c->rooms[i].members);
	free(c->rooms);
	for (size_t i = 0; i < c->n_listeners; i++)
		free_listener(&c->listeners[i]);
	free(c->listeners);
	free(c->control_socket);
	free(c->control_group);
	free(c->state_directory);
	free(c);
}

const struct listener_config *config_listener(const struct config *c, const char *name)
{
	for (size_t i = 0; i < c->n_listeners; i++)
		if (strcmp(c->listeners[i].name, name) == 0)
			return &c->listeners[i];
	return NULL;
}

const struct room_config *config_room(const struct config *c, const char *name)
{
	for (size_t i = 0; i < c->n_rooms; i++)
		if (strcmp(c->rooms[i].name, name) == 0)
			return &c->rooms[i];
	return NULL;
}

bool config_may_enter(const struct config *c, const char *room, const char *account, size_t len)
{
	const struct room_config *r = config_room(c, room);

	if (!r || !r->members)
		return true;
	for (size_t i = 0; i < r->n_members; i++)
		if (strlen(r->members[i]) == len && strncasecmp(r->members[i], account, len) == 0)
			return true;
	return false;
}
