/* SPDX-License-Identifier: MIT */
/* The setting `listeners` of the configuration. */
#ifndef DAEMON_CONFIG_LISTENERS_H
#define DAEMON_CONFIG_LISTENERS_H

#include "daemon/config/config.h"
#include "daemon/config/settings.h"

/* Fills config.listeners; at is the struct config. */
setting_reader setting_listeners;
/* What needs more than the listeners to be judged; root is the file's. */
void config_check_listeners(struct settings *ss, const config_setting_t *root, const struct config *c);
/* What it points to. */
void config_free_listener(struct listener_config *l);

#endif
