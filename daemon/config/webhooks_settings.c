/* SPDX-License-Identifier: MIT */
/* The table of a webhook's keys, their readers, and the files that it names: they are read with the configuration. */
#include "daemon/config/webhooks_settings.h"

#include "common/accounts.h"
#include "common/cleanup.h"
#include "daemon/base/clock.h"
#include "daemon/config/copies.h"
#include "daemon/config/webhooks.h"

#include <arpa/inet.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define SECRET_MIN 16
#define SECRET_MAX 1024

static void webhook_setting_name(struct settings *ss, const config_setting_t *s,
				 const struct setting_key *key, void *at)
{
	const char *v = setting_string(ss, s, "a name");
	size_t n = v ? strlen(v) : 0;

	if (v && (n > WEBHOOK_NAME_MAX || !text_room_valid(v, n)))
		settings_complain(ss, s, "%s must be 1 to %d letters, digits, dots, - or _", key->name,
				  WEBHOOK_NAME_MAX);
	else if (v)
		memcpy(at, v, n + 1);
}

/* Whether what is sent to that host (and path) stays on this machine. */
/* Of what stands behind "http://": behind a user's name, up to a port or a path. Returns where it begins. */
static const char *webhook_host(const char *rest, size_t *ret_len)
{
	size_t authority = strcspn(rest, "/?#");
	const char *at = memrchr(rest, '@', authority), *host = at ? at + 1 : rest;
	size_t n = authority - (size_t)(host - rest);

	*ret_len = host[0] == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":");
	if (*ret_len > n)
		*ret_len = n;
	return host;
}

static bool webhook_is_local(const char *host, size_t len)
{
	char text[INET_ADDRSTRLEN];
	struct in_addr a;

	if ((len == 9 && strncasecmp(host, "localhost", len) == 0) ||
	    (len == 5 && memcmp(host, "[::1]", len) == 0))
		return true;
	if (len >= sizeof(text))
		return false;
	memcpy(text, host, len);
	text[len] = 0;
	return inet_pton(AF_INET, text, &a) == 1 && ntohl(a.s_addr) >> 24 == 127;
}

static void webhook_setting_url(struct settings *ss, const config_setting_t *s, const struct setting_key *key,
				void *at)
{
	const char *v = setting_string(ss, s, "an address that begins with https:// or http://"), *host = v;
	char **url = at;

	if (!v)
		return;
	bool plain = strncasecmp(v, "http://", 7) == 0;
	host += plain ? 7 : strncasecmp(v, "https://", 8) == 0 ? 8 : 0;
	size_t n = strlen(v);
	if (host == v || strchr("/?#", *host) || n > WEBHOOK_URL_MAX || strcspn(v, " \t\"<>\\^`{|}") < n ||
	    !text_is_clean(v, n)) {
		settings_complain(ss, s,
				  "%s must be an address that begins with https:// or http://, not \"%s\"",
				  key->name, v);
		return;
	}
	/* All of the address may hold secrets, which have no business in a log. */
	size_t host_len;
	host = webhook_host(host, &host_len);
	if (plain && !webhook_is_local(host, host_len))
		settings_warn(ss, s, "what is said in the room goes to http://%.*s in plain text",
			      (int)host_len, host);
	free(*url);
	*url = strdup(v);
}

static bool webhook_secret_is_valid(const char *secret)
{
	static const char prefix[] = "whsec_";
	unsigned char key[1024];
	const char *text = secret + sizeof(prefix) - 1;
	size_t n;

	return strncmp(secret, prefix, sizeof(prefix) - 1) != 0 ||
	       (sodium_base642bin(key, sizeof(key), text, strlen(text), NULL, &n, NULL,
				  sodium_base64_VARIANT_ORIGINAL) == 0 &&
		n > 0);
}

static void webhook_setting_secret(struct settings *ss, const config_setting_t *s,
				   const struct setting_key *key, void *at)
{
	const char *v = setting_string(ss, s, "a text");
	char **secret = at;

	(void)key;
	if (!v)
		return;
	/* So that a secret that was cut or mistyped isn't taken for another one. */
	if (!webhook_secret_is_valid(v)) {
		settings_complain(ss, s, "what is behind \"whsec_\" must be base64");
		return;
	}
	free(*secret);
	*secret = strdup(v);
}

static void webhook_setting_keep(struct settings *ss, const config_setting_t *s,
				 const struct setting_key *key, void *at)
{
	double v = 0;

	if (!setting_is_age(s, &v) || v < (double)key->min || v > (double)key->max)
		settings_complain(
		    ss, s, "%s must be a time from %lld seconds to %lld days, such as \"12h\" or \"1d\"",
		    key->name, (long long)key->min, (long long)(key->max / DAY_S));
	else
		*(int64_t *)at = (int64_t)(v * 1e6);
}

#define AT(field) offsetof(struct webhook_config, field)

static const struct setting_key webhook_keys[] = {
    SETTING("name", webhook_setting_name, AT(name), .missing = "a webhook needs a name: name = \"ops\""),
    SETTING("room", setting_room, AT(room), .missing = "a webhook needs a room: room = \"ops\""),
    SETTING("url", webhook_setting_url, AT(url), .missing = "a webhook needs a url: url = \"https://...\""),
    SETTING("secret", webhook_setting_secret, AT(secret)),
    SETTING("secret_file", setting_path, AT(secret_file)),
    SETTING("ca_file", setting_path, AT(ca_file)),
    SETTING("keep", webhook_setting_keep, AT(keep_us), .min = 1, .max = 365 * DAY_S),
    SETTING("timeout", setting_seconds, AT(timeout_us), .min = 1, .max = 300),
    SETTING("batch", setting_unsigned, AT(batch), .min = 1, .max = WEBHOOK_BATCH_MAX),
    SETTING("notices", setting_bool, AT(notices)),
    SETTINGS_END,
};

#undef AT

/* --- files --- */

/* What is used is what is copied, and not what the file has become in between. NULL after a complaint, or if it is a
 * credential that is not there since the configuration is only checked. */
static char *webhook_read_file(struct settings *ss, const config_setting_t *s, const char *path)
{
	char *text = NULL;
	const char *copy = ss->from_copies ? copies_text(ss->copies, path) : NULL;

	if (path[0] != '/')
		return NULL;
	if (copy)
		return strdup(copy);
	int r = accounts_read_text(path, &text);
	if (r < 0)
		settings_complain(ss, s, "%s can't be read%s: %s", path, ss->as, strerror(-r));
	else if (ss->copies && !ss->from_copies)
		copies_add(ss->copies, path, text, strlen(text));
	return r < 0 ? NULL : text;
}

static void webhook_read_files(struct settings *ss, const config_setting_t *e, struct webhook_config *c)
{
	if (c->secret && c->secret_file)
		settings_complain(ss, e, "a webhook has a secret or a secret_file, not both");
	else if (c->secret_file) {
		c->secret =
		    webhook_read_file(ss, config_setting_get_member(e, "secret_file"), c->secret_file);
		if (c->secret)
			c->secret[strcspn(c->secret, "\r\n")] = '\0';
		else
			return;
	}
	size_t n = c->secret ? strlen(c->secret) : 0;
	if (n < SECRET_MIN || n > SECRET_MAX)
		settings_complain(ss, e, "a webhook needs a secret or a secret_file of %d to %d bytes",
				  SECRET_MIN, SECRET_MAX);
	if (c->ca_file)
		c->ca = webhook_read_file(ss, config_setting_get_member(e, "ca_file"), c->ca_file);
	if (c->ca && !strstr(c->ca, "-----BEGIN CERTIFICATE-----"))
		settings_complain(ss, config_setting_get_member(e, "ca_file"), "%s has no certificates",
				  c->ca_file);
}

void setting_webhooks(struct settings *ss, const config_setting_t *s, const struct setting_key *key, void *at)
{
	struct webhooks_config *c, **ret = at;
	size_t n;

	(void)key;
	if (!settings_is_list_of_groups(ss, s, WEBHOOKS_MAX, &n) || n == 0)
		return;
	c = calloc(1, sizeof(*c));
	if (c)
		c->at = calloc(n, sizeof(*c->at));
	if (!c || !c->at) {
		settings_complain(ss, s, "%s", strerror(ENOMEM));
		free(c);
		return;
	}
	*ret = c;
	for (; c->n < n; c->n++) {
		const config_setting_t *e = config_setting_get_elem(s, (unsigned)c->n);
		struct webhook_config *w = &c->at[c->n];
		*w = (struct webhook_config){
		    .keep_us = DAY_S * SECOND_US, .timeout_us = 10 * SECOND_US, .batch = 100};
		settings_read(ss, e, webhook_keys, w);
		webhook_read_files(ss, e, w);
		for (size_t k = 0; k < c->n; k++)
			if (w->name[0] && strcmp(c->at[k].name, w->name) == 0)
				settings_complain(ss, e, "there are two webhooks named \"%s\"", w->name);
	}
#ifndef HAVE_CURL
	settings_complain(
	    ss, s,
	    "there can be no webhooks: this chatd was built without libcurl (configure --without-libcurl)");
#endif
}
