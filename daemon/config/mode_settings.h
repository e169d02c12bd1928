/* SPDX-License-Identifier: MIT */
/* The settings that several modes have in common, as tables that fill the listener_config: mode.h. */
#ifndef DAEMON_MODE_SETTINGS_H
#define DAEMON_MODE_SETTINGS_H

#include "daemon/config/mode.h"

/* listen, max_clients, allow, deny: who has a socket of its own. */
extern const struct setting_key mode_socket_keys[];
/* backlog, proxies, tls_certificate, tls_key, tls_client_ca,
 * tls_client_optional, tls_survives: who takes connections. */
extern const struct setting_key mode_tcp_keys[];
/* auth, password_file: who asks people for their names. */
extern const struct setting_key mode_login_keys[];
/* token_file: who lets programs take part. */
extern const struct setting_key mode_token_keys[];
/* origins, hosts: who talks to browsers. */
extern const struct setting_key mode_origin_keys[];
/* room. */
extern const struct setting_key mode_room_keys[];

/* Modes that have no settings but those of their transport. */
extern const struct mode_settings mode_tcp_only, mode_udp_only;

/* For .complete: a listener without a room has this one. */
void mode_default_room(struct settings *ss, const config_setting_t *group, struct listener_config *l);

#endif
