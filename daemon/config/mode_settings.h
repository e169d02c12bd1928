/* SPDX-License-Identifier: MIT */
/*
 * What may stand in a listener's group of a certain mode, beside its name, type and mode. The mode's own file
 * says so: its own settings are a table there, which fills a struct of its own (listener_config.own); what
 * several modes have in common is a table here, which fills the listener_config.
 */
#ifndef DAEMON_MODE_SETTINGS_H
#define DAEMON_MODE_SETTINGS_H

#include "daemon/config/settings.h"

struct listener_config;

#define MODE_TABLES 4

struct mode_settings {
	/* Tables for the struct listener_config; the rest is NULL. */
	const struct setting_key *common[MODE_TABLES];
	/* The mode's own; NULL: it has none. */
	const struct setting_key *own;
	size_t own_size; /* of what own fills */
	/* Writes the defaults to what is all 0 (or NULL: they are 0); false without memory. */
	bool (*init)(void *own);
	/* Frees what the struct points to, not the struct itself (or NULL). */
	void (*release)(void *own);
	/* All settings are read: judges what takes more than one of them (or NULL). */
	void (*complete)(struct settings *ss, const config_setting_t *group, struct listener_config *l);
};

/* listen, max_clients, allow, deny: who has a socket of its own. */
extern const struct setting_key mode_socket_keys[];
/* backlog, proxies, tls_certificate, tls_key, tls_client_ca: who takes connections. */
extern const struct setting_key mode_tcp_keys[];
/* auth, password_file: who asks people for their names. */
extern const struct setting_key mode_login_keys[];
/* room. */
extern const struct setting_key mode_room_keys[];

/* Modes that have no settings but those of their transport. */
extern const struct mode_settings mode_tcp_only, mode_udp_only;

/* For .complete: a listener without a room has this one. */
void mode_default_room(struct settings *ss, const config_setting_t *group, struct listener_config *l);

#endif
