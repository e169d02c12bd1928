/* SPDX-License-Identifier: MIT */
/* The group `history` of the configuration. */
#ifndef DAEMON_CONFIG_HISTORY_SETTINGS_H
#define DAEMON_CONFIG_HISTORY_SETTINGS_H

#include "daemon/config/settings.h"

/* Reads it into a struct history_config *, which is NULL before. */
setting_reader setting_history;

/* For what rooms say of it: keep, keep_messages and keep_bytes. They are read when all the rest is there. */
setting_reader setting_of_history;
struct history_config;
/* Of all rooms, which may be NULL: the setting `rooms`. c is NULL if there is no history. */
void history_read_rooms(struct settings *ss, const config_setting_t *rooms, struct history_config *c);

#endif
