/* SPDX-License-Identifier: MIT */
/* The settings `rooms` and `room_defaults`. */
#ifndef DAEMON_CONFIG_ROOMS_H
#define DAEMON_CONFIG_ROOMS_H

#include "daemon/config/settings.h"

/* Fills config.rooms; at is the struct config. */
setting_reader setting_rooms;
/* For a struct room_settings. */
extern const struct setting_key room_defaults_keys[];

#endif
