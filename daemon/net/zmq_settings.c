/* SPDX-License-Identifier: MIT */
/* The readers of endpoints and CURVE keys, and the table that all modes of ZeroMQ share. */
#include "daemon/net/zmq_settings.h"

#include "daemon/config/config.h"
#include "daemon/config/handler.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <zmq.h>

/* A star instead of the address is all addresses. */
static bool zmq_setting_parse_endpoint(const char *v, struct endpoint_config *ret)
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

void zmq_setting_endpoint(struct settings *ss, const config_setting_t *s, const struct setting_key *key,
			  void *at)
{
	const char *v = setting_string(ss, s, "an endpoint such as \"tcp://127.0.0.1:5558\"");

	if (v && !zmq_setting_parse_endpoint(v, at))
		settings_complain(
		    ss, s,
		    "%s must be an endpoint such as \"tcp://127.0.0.1:5558\", \"tcp://*:5558\" or "
		    "\"ipc:///run/chatd/NAME\", not \"%s\"",
		    key->name, v);
}

/* Copies a CURVE key if it is one. */
static bool zmq_setting_get_key(struct settings *ss, const config_setting_t *s, const char *what,
				const char *v, char dst[static ZMQ_KEY_LEN + 1])
{
	uint8_t key[32];

	if (!v || strlen(v) != ZMQ_KEY_LEN || !zmq_z85_decode(key, v)) {
		settings_complain(
		    ss, s, "%s must be a CURVE key of %d characters (Z85), as `chatctl keys` makes them",
		    what, ZMQ_KEY_LEN);
		return false;
	}
	memcpy(dst, v, ZMQ_KEY_LEN + 1);
	explicit_bzero(key, sizeof(key));
	return true;
}

static void zmq_setting_secret_key(struct settings *ss, const config_setting_t *s,
				   const struct setting_key *key, void *at)
{
	const char *v = setting_string(ss, s, "a CURVE secret key");

	if (v)
		zmq_setting_get_key(ss, s, key->name, v, at);
}

static void zmq_setting_curve_clients(struct settings *ss, const config_setting_t *s,
				      const struct setting_key *key, void *at)
{
	struct zmq_own *o = at;

	(void)key;
	if (!setting_is_list(ss, s, "a list of public keys: ( \"...\", \"...\" )"))
		return;
	int n = config_setting_length(s);
	free(o->curve_clients);
	o->n_curve_clients = 0;
	o->curve_clients = calloc((size_t)n + 1, sizeof(*o->curve_clients));
	for (int i = 0; o->curve_clients && i < n; i++)
		if (zmq_setting_get_key(ss, config_setting_get_elem(s, (unsigned)i), "each of curve_clients",
					config_setting_get_string_elem(s, i),
					o->curve_clients[o->n_curve_clients]))
			o->n_curve_clients++;
	if (n == 0)
		settings_complain(
		    ss, s, "curve_clients is empty; leave it out to allow whoever knows the public key");
}

#define AT(field) offsetof(struct zmq_own, field)

const struct setting_key zmq_own_keys[] = {
    SETTING("high_water_mark", setting_unsigned, AT(high_water_mark), .min = 1, .max = 10000000),
    SETTING("linger", setting_seconds, AT(linger_us), .max = 3600),
    SETTING("max_size", setting_size, AT(max_size), .min = 1024, .max = 1ULL << 31),
    SETTING("curve_secret_key", zmq_setting_secret_key, AT(curve_secret_key)),
    SETTING("curve_clients", zmq_setting_curve_clients, 0),
    SETTINGS_END,
};

#undef AT

bool zmq_own_init(void *own)
{
	*(struct zmq_own *)own =
	    (struct zmq_own){.high_water_mark = 10000, .linger_us = -1, .max_size = 1 << 20};
	return true;
}

int zmq_own_copy(struct zmq_own *to, const struct zmq_own *from)
{
	*to = *from;
	to->curve_clients = calloc(from->n_curve_clients + 1, sizeof(*to->curve_clients));
	if (!to->curve_clients)
		return -ENOMEM;
	if (from->n_curve_clients > 0)
		memcpy(to->curve_clients, from->curve_clients,
		       from->n_curve_clients * sizeof(*to->curve_clients));
	return 0;
}

void zmq_own_release(void *own)
{
	struct zmq_own *o = own;

	explicit_bzero(o->curve_secret_key, sizeof(o->curve_secret_key));
	free(o->curve_clients);
}

bool zmq_own_same(const struct zmq_own *a, const struct zmq_own *b)
{
	size_t n = a->n_curve_clients;

	return a->high_water_mark == b->high_water_mark && a->linger_us == b->linger_us &&
	       a->max_size == b->max_size && strcmp(a->curve_secret_key, b->curve_secret_key) == 0 &&
	       n == b->n_curve_clients &&
	       (n == 0 || memcmp(a->curve_clients, b->curve_clients, n * sizeof(*a->curve_clients)) == 0);
}

void zmq_own_complete(struct settings *ss, const config_setting_t *group, struct listener_config *l)
{
	const struct endpoint_config *a = &l->endpoints[0], *b = &l->endpoints[1];
	const struct zmq_own *o = l->own;

	if (a->text[0] &&
	    (strcmp(a->text, b->text) == 0 || (a->address.sa.sa_family && b->address.sa.sa_family &&
					       address_overlaps(&a->address, &b->address))))
		settings_complain(ss, group, "%s and %s must be different", l->handler->endpoints[0],
				  l->handler->endpoints[1]);
	if (o->n_curve_clients > 0 && !o->curve_secret_key[0])
		settings_complain(ss, group, "curve_clients needs a curve_secret_key");
}
