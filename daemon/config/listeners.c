/* SPDX-License-Identifier: MIT */
#include "daemon/config/listeners.h"

#include "common/cleanup.h"
#include "daemon/base/clock.h"
#include "daemon/io/tls.h"
#include "daemon/state/clients.h"

#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <zmq.h>

/* Which modes a setting is for. */
enum use {
	FOR_ALL,
	FOR_TCP,
	FOR_LOGINS,
	FOR_LEASES,
	FOR_ROOMS,
	FOR_ZMQ,
	FOR_SOCKETS,   /* all but ZeroMQ */
	FOR_ENDPOINTS, /* modes that name it */
};

/* --- the settings of one --- */

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

/* These are looked up when all of them are there: see find_handler() and read_endpoints(). */

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

static void listener_endpoint(struct settings *ss, const config_setting_t *s, const struct setting_key *key,
			      void *at)
{
	(void)key;
	(void)at;
	setting_string(ss, s, "an endpoint such as \"tcp://127.0.0.1:5558\"");
}

static void listener_listen(struct settings *ss, const config_setting_t *s, const struct setting_key *key,
			    void *at)
{
	static const char allowed[] = "an address such as \"127.0.0.1:5050\" or \"[::]:5050\"";
	const char *type;

	if (config_setting_lookup_string(config_setting_parent(s), "type", &type) &&
	    strcmp(type, "zmq") == 0) {
		listener_endpoint(ss, s, key, at);
		return;
	}
	const char *v = setting_string(ss, s, allowed);

	if (v && address_parse(v, at) < 0)
		settings_complain(ss, s, "listen must be %s, not \"%s\"", allowed, v);
}

static void listener_allow(struct settings *ss, const config_setting_t *s, const struct setting_key *key,
			   void *at)
{
	setting_prefixes(ss, s, key, at);
	if (config_setting_length(s) == 0)
		settings_complain(ss, s, "allow is empty; leave it out to allow everybody");
}

static void listener_auth(struct settings *ss, const config_setting_t *s, const struct setting_key *key,
			  void *at)
{
	(void)key;
	*(bool *)at = setting_word(ss, s, "none", "password") == 1;
}

/* Copies a CURVE key if it is one. */
static bool get_key(struct settings *ss, const config_setting_t *s, const char *what, const char *v,
		    char dst[static CONFIG_KEY_LEN + 1])
{
	uint8_t key[32];

	if (!v || strlen(v) != CONFIG_KEY_LEN || !zmq_z85_decode(key, v)) {
		settings_complain(
		    ss, s, "%s must be a CURVE key of %d characters (Z85), as `chatctl keys` makes them",
		    what, CONFIG_KEY_LEN);
		return false;
	}
	memcpy(dst, v, CONFIG_KEY_LEN + 1);
	explicit_bzero(key, sizeof(key));
	return true;
}

static void listener_secret_key(struct settings *ss, const config_setting_t *s, const struct setting_key *key,
				void *at)
{
	const char *v = setting_string(ss, s, "a CURVE secret key");

	if (v)
		get_key(ss, s, key->name, v, at);
}

static void listener_curve_clients(struct settings *ss, const config_setting_t *s,
				   const struct setting_key *key, void *at)
{
	struct listener_config *l = at;

	(void)key;
	if (!setting_is_list(ss, s, "a list of public keys: ( \"...\", \"...\" )"))
		return;
	int n = config_setting_length(s);
	free(l->curve_clients);
	l->n_curve_clients = 0;
	l->curve_clients = calloc((size_t)n + 1, sizeof(*l->curve_clients));
	for (int i = 0; l->curve_clients && i < n; i++)
		if (get_key(ss, config_setting_get_elem(s, (unsigned)i), "each of curve_clients",
			    config_setting_get_string_elem(s, i), l->curve_clients[l->n_curve_clients]))
			l->n_curve_clients++;
	if (n == 0)
		settings_complain(
		    ss, s, "curve_clients is empty; leave it out to allow whoever knows the public key");
}

#define AT(field) offsetof(struct listener_config, field)

static const struct setting_key listener_keys[] = {
    SETTING("name", listener_name, AT(name)),
    SETTING("type", listener_type, 0),
    SETTING("mode", listener_mode, 0),
    SETTING("listen", listener_listen, AT(listen), .use = FOR_ENDPOINTS),
    SETTING("room", setting_room, AT(room), .use = FOR_ROOMS),
    SETTING("backlog", setting_unsigned, AT(backlog), .min = 1, .max = 65535, .use = FOR_TCP),
    SETTING("lease", setting_seconds, AT(lease_us), .min = 1, .max = 30 * DAY_S, .use = FOR_LEASES),
    SETTING("trusted", setting_prefixes, AT(trusted), .use = FOR_LEASES),
    SETTING("max_clients", setting_unsigned, AT(max_clients), .max = CLIENTS_CAPACITY, .use = FOR_SOCKETS),
    SETTING("allow", listener_allow, AT(allow), .use = FOR_SOCKETS),
    SETTING("deny", setting_prefixes, AT(deny), .use = FOR_SOCKETS),
    SETTING("proxies", setting_prefixes, AT(proxies), .use = FOR_TCP),
    SETTING("auth", listener_auth, AT(password), .use = FOR_LOGINS),
    SETTING("password_file", setting_path, AT(password_file), .use = FOR_LOGINS),
    SETTING("tls_certificate", setting_path, AT(tls_certificate), .use = FOR_TCP),
    SETTING("tls_key", setting_path, AT(tls_key), .use = FOR_TCP),
    SETTING("tls_client_ca", setting_path, AT(tls_client_ca), .use = FOR_TCP),
    SETTING("pull", listener_endpoint, 0, .use = FOR_ENDPOINTS),
    SETTING("pub", listener_endpoint, 0, .use = FOR_ENDPOINTS),
    SETTING("push", listener_endpoint, 0, .use = FOR_ENDPOINTS),
    SETTING("high_water_mark", setting_unsigned, AT(high_water_mark), .min = 1, .max = 10000000,
	    .use = FOR_ZMQ),
    SETTING("linger", setting_seconds, AT(linger_us), .max = 3600, .use = FOR_ZMQ),
    SETTING("max_size", setting_size, AT(max_size), .min = 1024, .max = 1ULL << 31, .use = FOR_ZMQ),
    SETTING("curve_secret_key", listener_secret_key, AT(curve_secret_key), .use = FOR_ZMQ),
    SETTING("curve_clients", listener_curve_clients, 0, .use = FOR_ZMQ),
    SETTINGS_END,
};

/* --- what the mode makes of them --- */

static const struct handler *find_handler(struct settings *ss, const config_setting_t *e)
{
	const char *type, *mode;
	char allowed[256] = "";
	size_t o = 0;

	if (!config_setting_get_member(e, "type") || !config_setting_get_member(e, "mode")) {
		settings_complain(ss, e, "a listener needs a type and a mode");
		return NULL;
	}
	if (!config_setting_lookup_string(e, "type", &type) ||
	    !config_setting_lookup_string(e, "mode", &mode))
		return NULL;
	const struct handler *found = handler_find(type, mode);
	if (found)
		return found;
	for (const struct handler *const *h = handlers; *h && o < sizeof(allowed); h++)
		o += (size_t)snprintf(allowed + o, sizeof(allowed) - o, "%s%s %s", o ? ", " : "", (*h)->type,
				      (*h)->mode);
	settings_complain(ss, e, "there is no mode \"%s\" of type \"%s\"; allowed are %s", mode, type,
			  allowed);
	return NULL;
}

static bool has_endpoint(const struct handler *h, const char *key)
{
	for (unsigned i = 0; i < HANDLER_ENDPOINTS; i++)
		if (h->endpoints[i] && strcmp(h->endpoints[i], key) == 0)
			return true;
	return h->transport != TRANSPORT_ZMQ && strcmp(key, "listen") == 0;
}

static bool is_for(const struct setting_key *key, const struct handler *h)
{
	switch ((enum use)key->use) {
	case FOR_TCP:
		return h->transport == TRANSPORT_TCP;
	case FOR_LOGINS:
		return h->transport == TRANSPORT_TCP && h->uses_room;
	case FOR_LEASES:
		return h->uses_lease;
	case FOR_ROOMS:
		return h->uses_room || h->may_have_room;
	case FOR_ZMQ:
		return h->transport == TRANSPORT_ZMQ;
	case FOR_SOCKETS:
		return h->transport != TRANSPORT_ZMQ;
	case FOR_ENDPOINTS:
		return has_endpoint(h, key->name);
	case FOR_ALL:
		break;
	}
	return true;
}

/* Settings that are good for other modes only. */
static void check_use(struct settings *ss, const config_setting_t *e, const struct handler *h)
{
	for (const struct setting_key *k = listener_keys; k->name; k++) {
		const config_setting_t *s = config_setting_get_member(e, k->name);
		if (s && !is_for(k, h))
			settings_complain(ss, s, "mode \"%s\" of type \"%s\" has no %s", h->mode, h->type,
					  k->name);
	}
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

static void read_endpoints(struct settings *ss, const config_setting_t *e, struct listener_config *l)
{
	for (unsigned i = 0; i < HANDLER_ENDPOINTS; i++) {
		const char *key = l->handler->endpoints[i];
		const config_setting_t *s = key ? config_setting_get_member(e, key) : NULL;
		const char *v = s ? config_setting_get_string(s) : NULL;
		if (key && !s)
			settings_complain(
			    ss, e,
			    "mode \"%s\" of type \"zmq\" needs %s = \"tcp://ADDRESS:PORT\" or \"ipc://PATH\"",
			    l->handler->mode, key);
		if (v && !parse_endpoint(v, &l->endpoints[i]))
			settings_complain(
			    ss, s,
			    "%s must be an endpoint such as \"tcp://127.0.0.1:5558\", \"tcp://*:5558\" or "
			    "\"ipc:///run/chatd/NAME\", not \"%s\"",
			    key, v);
	}
	if (l->endpoints[0].text[0] &&
	    (strcmp(l->endpoints[0].text, l->endpoints[1].text) == 0 ||
	     (l->endpoints[0].address.sa.sa_family && l->endpoints[1].address.sa.sa_family &&
	      address_overlaps(&l->endpoints[0].address, &l->endpoints[1].address))))
		settings_complain(ss, e, "%s and %s must be different", l->handler->endpoints[0],
				  l->handler->endpoints[1]);
}

/* A Unix socket that both would listen at. */
static const char *same_path(const struct listener_config *a, const struct listener_config *b)
{
	for (unsigned i = 0; i < HANDLER_ENDPOINTS; i++)
		for (unsigned k = 0; k < HANDLER_ENDPOINTS; k++)
			if (a->endpoints[i].text[0] && !a->endpoints[i].address.sa.sa_family &&
			    strcmp(a->endpoints[i].text, b->endpoints[k].text) == 0)
				return a->endpoints[i].text;
	return NULL;
}

/* One of the addresses that a listener binds, or NULL. */
static const union address *address_of(const struct listener_config *l, unsigned number)
{
	const union address *a = l->handler->transport == TRANSPORT_ZMQ ? &l->endpoints[number].address
				 : number == 0				? &l->listen
									: NULL;

	return a && a->sa.sa_family ? a : NULL;
}

/* The first address of l that only one of both can have, and which of the other's it is. Datagrams and
 * connections don't meet. */
static const union address *clash(const struct listener_config *l, const struct listener_config *o,
				  const union address **ret_other)
{
	if (!l->handler || !o->handler ||
	    (l->handler->transport == TRANSPORT_UDP) != (o->handler->transport == TRANSPORT_UDP))
		return NULL;
	for (unsigned i = 0; i < HANDLER_ENDPOINTS; i++)
		for (unsigned k = 0; k < HANDLER_ENDPOINTS; k++) {
			const union address *a = address_of(l, i), *b = address_of(o, k);
			if (!a || !b || !address_overlaps(a, b))
				continue;
			*ret_other = b;
			return a;
		}
	return NULL;
}

/* A credential that is not there since the file is only checked: setting_path() says so. */
static bool is_elsewhere(const char *path)
{
	return path && path[0] != '/';
}

/* Whether one of the first n listeners has that password file. */
static bool has_been_read(const struct config *c, size_t n, const char *path)
{
	for (size_t i = 0; i < n; i++)
		if (c->listeners[i].password_file && strcmp(c->listeners[i].password_file, path) == 0)
			return true;
	return false;
}

static void read_accounts(struct settings *ss, const config_setting_t *s, const struct config *c,
			  struct listener_config *l)
{
	_cleanup_free_ char *text = NULL, *odd = NULL;
	size_t size, odd_size;
	bool again = l->password_file && has_been_read(c, c->n_listeners, l->password_file);

	if (!l->password_file || is_elsewhere(l->password_file))
		return;
	FILE *f = open_memstream(&text, &size), *warnings = open_memstream(&odd, &odd_size);
	int r = f && warnings ? accounts_load(l->password_file, f, warnings, &l->accounts) : -ENOMEM;
	/* An account that looks like one of another file would pass for it. */
	for (size_t i = 0; r == 0 && i < c->n_listeners; i++) {
		const struct listener_config *o = &c->listeners[i];
		if (o->password_file && strcmp(o->password_file, l->password_file) != 0 &&
		    !has_been_read(c, i, o->password_file))
			accounts_leave_out(&l->accounts, l->password_file, &o->accounts, o->password_file,
					   warnings);
	}
	if (f)
		fclose(f);
	if (warnings)
		fclose(warnings);
	if (r < 0) {
		fputs(text ? text : "", ss->errors);
		settings_complain(ss, s, "this password_file can't be used%s", ss->as);
		return;
	}
	/* Accounts that are left out. */
	for (char *rest = again ? NULL : odd, *line; (line = strsep(&rest, "\n"));)
		if (line[0])
			settings_warn(ss, s, "%s", line);
	if (l->password && l->accounts.n == 0) {
		settings_warn(ss, s, "%s has no accounts, so nobody can log in here", l->password_file);
	}
}

/* What a listener's other files say: certificates and accounts. */
static void read_files(struct settings *ss, const config_setting_t *e, const struct config *c,
		       struct listener_config *l)
{
	const struct tls_files files = {l->tls_certificate, l->tls_key ? l->tls_key : l->tls_certificate,
					l->tls_client_ca};
	const char *setting;
	char why[1024];

	if (l->password && !l->password_file)
		settings_complain(ss, e, "auth = \"password\" needs a password_file");
	read_accounts(ss, config_setting_get_member(e, "password_file"), c, l);
	if (!files.certificate && (l->tls_key || l->tls_client_ca))
		settings_complain(ss, e, "%s needs a tls_certificate",
				  l->tls_key ? "tls_key" : "tls_client_ca");
	if (!files.certificate || is_elsewhere(files.certificate) || is_elsewhere(files.key) ||
	    is_elsewhere(files.client_ca))
		return;
	if (tls_context_new(&files, why, sizeof(why), &setting, &l->tls) < 0) {
		const config_setting_t *s = config_setting_get_member(e, setting);
		settings_complain(ss, s ? s : config_setting_get_member(e, "tls_certificate"), "%s%s", why,
				  ss->as);
	}
}

/* Another listener that has its name or its place. */
static void check_twins(struct settings *ss, const config_setting_t *e, const struct listener_config *l,
			const struct listener_config *o)
{
	char text[ADDRESS_TEXT_MAX], other[ADDRESS_TEXT_MAX];
	const char *path = same_path(l, o);
	const union address *its, *a = clash(l, o, &its);

	if (l->name[0] && strcmp(o->name, l->name) == 0)
		settings_complain(ss, e, "there are two listeners named \"%s\"; each needs its own name",
				  l->name);
	if (path)
		settings_complain(ss, e, "%s is taken by listener \"%s\"; each needs its own endpoint", path,
				  o->name);
	if (a && address_equal(a, its))
		settings_complain(ss, e, "%s is taken by listener \"%s\"; each needs its own address",
				  address_format(a, text), o->name);
	else if (a)
		settings_complain(ss, e,
				  "%s can't be had beside %s of listener \"%s\"; each needs its own address",
				  address_format(a, text), address_format(its, other), o->name);
}

static void check_listener(struct settings *ss, const config_setting_t *e, const struct config *c,
			   struct listener_config *l)
{
	const struct handler *h = l->handler;

	if (!config_setting_get_member(e, "name"))
		settings_complain(ss, e, "a listener needs a name");
	if (h && h->transport == TRANSPORT_ZMQ)
		read_endpoints(ss, e, l);
	else if (!config_setting_get_member(e, "listen"))
		settings_complain(ss, e, "a listener needs an address to listen on");
	if (h)
		check_use(ss, e, h);
	if (h && h->uses_room && !l->room[0] && !config_setting_get_member(e, "room"))
		memcpy(l->room, "lobby", 6);
	if (l->n_curve_clients > 0 && !l->curve_secret_key[0])
		settings_complain(ss, e, "curve_clients needs a curve_secret_key");
	read_files(ss, e, c, l);
}

/* --- all of them --- */

static bool set_defaults(struct listener_config *l)
{
	l->backlog = 4096;
	l->lease_us = 300 * SECOND_US;
	l->high_water_mark = 10000;
	l->linger_us = -1;
	l->max_size = 1 << 20;
	l->trusted = (struct prefix_list){calloc(2, sizeof(struct prefix)), 2};
	if (!l->trusted.at)
		return false;
	prefix_parse("127.0.0.0/8", &l->trusted.at[0]);
	prefix_parse("::1", &l->trusted.at[1]);
	return true;
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
	if (!c->listeners)
		return;
	for (size_t i = 0; i < n; i++) {
		const config_setting_t *e = config_setting_get_elem(s, (unsigned)i);
		struct listener_config *l = &c->listeners[i];
		if (!set_defaults(l))
			return;
		l->where = settings_where(ss, e);
		settings_read(ss, e, listener_keys, l);
		l->handler = find_handler(ss, e);
		check_listener(ss, e, c, l);
		for (size_t k = 0; k < i; k++)
			check_twins(ss, e, l, &c->listeners[k]);
		c->n_listeners++; /* from here on config_free() knows it */
	}
}

/* The listener of the metrics takes connections as well. */
static void check_metrics(struct settings *ss, const config_setting_t *at, const struct config *c,
			  const struct listener_config *l)
{
	char text[ADDRESS_TEXT_MAX], other[ADDRESS_TEXT_MAX];

	for (unsigned i = 0; c->metrics.sa.sa_family && l->handler && i < HANDLER_ENDPOINTS; i++) {
		const union address *a = address_of(l, i);
		if (!a || l->handler->transport == TRANSPORT_UDP || !address_overlaps(a, &c->metrics))
			continue;
		if (address_equal(a, &c->metrics))
			settings_complain(
			    ss, at, "metrics: %s is taken by listener \"%s\"; each needs its own address",
			    address_format(&c->metrics, text), l->name);
		else
			settings_complain(ss, at,
					  "metrics: %s can't be had beside %s of listener \"%s\"; each needs "
					  "its own address",
					  address_format(&c->metrics, text), address_format(a, other),
					  l->name);
	}
}

/* Whether it is, or looks like, an account or a room's member; which one. */
static const char *account_like(const struct config *c, const char *nick)
{
	size_t len = strlen(nick);

	for (size_t i = 0; i < c->n_listeners; i++) {
		const struct accounts *a = &c->listeners[i].accounts;
		for (size_t k = 0; k < a->n; k++)
			if (nick_same(a->at[k].nick, strlen(a->at[k].nick), nick, len))
				return a->at[k].nick;
	}
	for (size_t i = 0; i < c->n_rooms; i++)
		for (size_t k = 0; k < c->rooms[i].n_members; k++)
			if (nick_same(c->rooms[i].members[k], strlen(c->rooms[i].members[k]), nick, len))
				return c->rooms[i].members[k];
	return NULL;
}

/* A relay's anonymous peers speak in its room under its name. */
static void check_speaker(struct settings *ss, const config_setting_t *s, const struct listener_config *l,
			  const struct config *c)
{
	bool speaks = l->handler && l->handler->may_have_room && l->room[0];
	const char *account = speaks ? account_like(c, l->name) : NULL;

	if (speaks && nick_is_chatds(l->name, strlen(l->name)))
		settings_complain(
		    ss, s,
		    "a relay speaks in its room under its name, and \"%s\" is somebody else's: it "
		    "is, or looks like, one of chatd's own",
		    l->name);
	else if (account)
		settings_complain(
		    ss, s,
		    "a relay speaks in its room under its name, and \"%s\" is somebody else's: it "
		    "is, or looks like, the account %s",
		    l->name, account);
}

void config_check_listeners(struct settings *ss, const config_setting_t *root, const struct config *c)
{
	const config_setting_t *s = config_setting_get_member(root, "listeners"),
			       *metrics = config_setting_get_member(root, "metrics");
	unsigned zmqs = 0;

	for (size_t i = 0; i < c->n_listeners; i++) {
		const struct listener_config *l = &c->listeners[i];
		const struct room_config *r = l->room[0] ? config_room(c, l->room) : NULL;
		const config_setting_t *e = config_setting_get_elem(s, (unsigned)i);
		zmqs += l->handler && l->handler->transport == TRANSPORT_ZMQ;
		check_speaker(ss, config_setting_get_elem(s, (unsigned)i), l, c);
		check_metrics(ss, metrics, c, l);
		const config_setting_t *room = config_setting_get_member(e, "room");
		if (room && l->room[0] && !r)
			settings_warn(ss, room,
				      "room \"%s\" is not in rooms; it is made as room_defaults say",
				      l->room);
		/* Who comes in by a listener's door must be allowed in its room. */
		if (r && r->members && !l->password && l->handler)
			settings_complain(ss, e, "room \"%s\" has members, so the listener needs %s", l->room,
					  l->handler->transport == TRANSPORT_TCP ? "auth = \"password\""
										 : "another room");
	}
	if (zmqs > CONFIG_MAX_ZMQ)
		settings_complain(ss, s, "there are %u listeners of type \"zmq\"; at most %d are allowed",
				  zmqs, CONFIG_MAX_ZMQ);
}

void config_free_listener(struct listener_config *l)
{
	explicit_bzero(l->curve_secret_key, sizeof(l->curve_secret_key));
	free(l->where);
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
