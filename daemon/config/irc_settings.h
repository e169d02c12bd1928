/* SPDX-License-Identifier: MIT */
/* The settings of IRC: those of the whole server, and those of a listener of mode "irc". */
#ifndef DAEMON_CONFIG_IRC_SETTINGS_H
#define DAEMON_CONFIG_IRC_SETTINGS_H

#include "daemon/config/mode.h"

/* Readers, with what at points to; see config/irc.h. */
setting_reader setting_irc_server_name; /* char[IRC_SERVER_NAME_MAX + 1] */
setting_reader setting_irc_network;	/* char[IRC_NETWORK_MAX + 1] */
setting_reader setting_irc_admin;	/* char[IRC_ADMIN_LINES][IRC_ADMIN_MAX + 1] */
/* All of these: the struct irc_config. */
setting_reader setting_irc_motd_file;
setting_reader setting_irc_operators;
setting_reader setting_irc_cloak_key_file;

/* What stands in the group of a listener of type "tcp", mode "irc". */
extern const struct mode_settings irc_mode_settings;
/* The same of type "http": IRC in WebSockets. */
extern const struct mode_settings irc_http_settings;

#endif
