/* SPDX-License-Identifier: MIT */
/* The tables that several modes share, and the readers of their values. */
#include "daemon/config/mode_settings.h"

#include "daemon/config/config.h"
#include "daemon/state/clients.h"

#include <string.h>

/* ZeroMQ's modes have another `listen`, so this one is for sockets. */
static void mode_listen(struct settings *ss, const config_setting_t *s, const struct setting_key *key,
			void *at)
{
	static const char allowed[] = "an address such as \"127.0.0.1:5050\" or \"[::]:5050\"";
	const char *v = setting_string(ss, s, allowed);

	(void)key;
	if (v && address_parse(v, at) < 0)
		settings_complain(ss, s, "listen must be %s, not \"%s\"", allowed, v);
}

static void mode_allow(struct settings *ss, const config_setting_t *s, const struct setting_key *key,
		       void *at)
{
	setting_prefixes(ss, s, key, at);
	if (config_setting_length(s) == 0)
		settings_complain(ss, s, "allow is empty; leave it out to allow everybody");
}

static void mode_auth(struct settings *ss, const config_setting_t *s, const struct setting_key *key, void *at)
{
	(void)key;
	*(bool *)at = setting_word(ss, s, "none", "password") == 1;
}

#define AT(field) offsetof(struct listener_config, field)

const struct setting_key mode_socket_keys[] = {
    SETTING("listen", mode_listen, AT(listen), .missing = "a listener needs an address to listen on"),
    SETTING("max_clients", setting_unsigned, AT(max_clients), .max = CLIENTS_LIMIT),
    SETTING("allow", mode_allow, AT(allow)),
    SETTING("deny", setting_prefixes, AT(deny)),
    SETTINGS_END,
};

const struct setting_key mode_tcp_keys[] = {
    SETTING("backlog", setting_unsigned, AT(backlog), .min = 1, .max = 65535),
    SETTING("proxies", setting_prefixes, AT(proxies)),
    SETTING("tls_certificate", setting_path, AT(tls_certificate)),
    SETTING("tls_key", setting_path, AT(tls_key)),
    SETTING("tls_client_ca", setting_path, AT(tls_client_ca)),
    SETTING("tls_client_optional", setting_bool, AT(tls_client_optional)),
    SETTING("tls_survives", setting_bool, AT(tls_survives)),
    SETTINGS_END,
};

const struct setting_key mode_login_keys[] = {
    SETTING("auth", mode_auth, AT(password)),
    SETTING("password_file", setting_path, AT(password_file)),
    SETTINGS_END,
};

const struct setting_key mode_token_keys[] = {
    SETTING("token_file", setting_path, AT(token_file)),
    SETTINGS_END,
};

const struct setting_key mode_origin_keys[] = {
    SETTING("origins", setting_origins, AT(origins), .min = 1),
    SETTING("hosts", setting_origins, AT(hosts)),
    SETTINGS_END,
};

const struct setting_key mode_room_keys[] = {
    SETTING("room", setting_room, AT(room)),
    SETTINGS_END,
};

#undef AT

const struct mode_settings mode_tcp_only = {.common = {mode_socket_keys, mode_tcp_keys}};
const struct mode_settings mode_udp_only = {.common = {mode_socket_keys}};

void mode_default_room(struct settings *ss, const config_setting_t *group, struct listener_config *l)
{
	(void)ss;
	if (!l->room[0] && !config_setting_get_member(group, "room"))
		memcpy(l->room, "lobby", sizeof("lobby"));
}
