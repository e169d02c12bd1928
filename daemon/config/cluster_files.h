/* SPDX-License-Identifier: MIT */
/* The files that `cluster` names: secrets, certificates and keys for NATS. */
#ifndef DAEMON_CONFIG_CLUSTER_FILES_H
#define DAEMON_CONFIG_CLUSTER_FILES_H

#include "daemon/config/cluster.h"
#include "daemon/config/settings.h"

/* Reads them for c, whose group is s, once all its settings are there. */
void cluster_read_files(struct settings *ss, const config_setting_t *s, struct cluster_config *c);

#endif
