/* SPDX-License-Identifier: MIT */
/* The setting `listeners`: each group is read by the table that its mode has. */
#ifndef DAEMON_CONFIG_LISTENERS_H
#define DAEMON_CONFIG_LISTENERS_H

#include "daemon/config/settings.h"

/* Fills config.listeners; at is the struct config. */
setting_reader setting_listeners;

#endif
