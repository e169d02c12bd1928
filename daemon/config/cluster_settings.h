/* SPDX-License-Identifier: MIT */
/* The group `cluster` of the configuration. */
#ifndef DAEMON_CONFIG_CLUSTER_SETTINGS_H
#define DAEMON_CONFIG_CLUSTER_SETTINGS_H

#include "daemon/config/settings.h"

/* Reads it into a struct cluster_config *, which is NULL before. */
setting_reader setting_cluster;

#endif
