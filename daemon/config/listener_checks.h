/* SPDX-License-Identifier: MIT */
/* What can be wrong with a listener beside other listeners, rooms and accounts: the same name, an address
 * that two would need, a room that nobody who comes in there may enter. */
#ifndef DAEMON_LISTENER_CHECKS_H
#define DAEMON_LISTENER_CHECKS_H

#include "daemon/config/config.h"
#include "daemon/config/settings.h"

/* Compares a listener, whose group is e, with one that came before. */
void listener_check_twins(struct settings *ss, const config_setting_t *e, const struct listener_config *l,
			  const struct listener_config *before);
/* When everything is read; root is the file's. */
void listeners_check(struct settings *ss, const config_setting_t *root, const struct config *c);

#endif
