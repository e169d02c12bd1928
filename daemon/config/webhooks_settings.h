/* SPDX-License-Identifier: MIT */
/* The list `webhooks` of the configuration. */
#ifndef DAEMON_CONFIG_WEBHOOKS_SETTINGS_H
#define DAEMON_CONFIG_WEBHOOKS_SETTINGS_H

#include "daemon/config/settings.h"

/* Reads it into a struct webhooks_config *, which is NULL before. */
setting_reader setting_webhooks;

#endif
