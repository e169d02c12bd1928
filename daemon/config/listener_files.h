/* SPDX-License-Identifier: MIT */
/* The files that a listener's settings name: accounts with their passwords, certificates and keys. */
#ifndef DAEMON_LISTENER_FILES_H
#define DAEMON_LISTENER_FILES_H

#include "daemon/config/config.h"
#include "daemon/config/settings.h"

/*
 * Reads them for l, whose group is e; c has the listeners that came before, whose accounts keep their names.
 */
void listener_read_files(struct settings *ss, const config_setting_t *e, const struct config *c,
			 struct listener_config *l);

#endif
