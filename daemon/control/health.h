/* SPDX-License-Identifier: MIT */
/* Whether all is well, for Status: what an admin should look at now, not what has been. */
#ifndef DAEMON_HEALTH_H
#define DAEMON_HEALTH_H

#include <jansson.h>

struct host;

/* Adds the member "problems" to a reply of Status that has all others. */
void health_judge(const struct host *h, json_t *status);

#endif
