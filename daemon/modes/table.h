/* SPDX-License-Identifier: MIT */
/* All modes that there are, for whoever reads a configuration or takes clients over. */
#ifndef DAEMON_MODES_TABLE_H
#define DAEMON_MODES_TABLE_H

#include "daemon/config/handler.h"

/* NULL-terminated. */
extern const struct handler *const handlers[];

/* NULL if there is none. */
const struct handler *handler_find(const char *type, const char *mode);

#endif
