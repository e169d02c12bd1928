/* SPDX-License-Identifier: MIT */
/* The listener that serves the metrics over HTTP (`metrics` of the configuration). Main thread. */
#ifndef DAEMON_METRICS_HTTP_H
#define DAEMON_METRICS_HTTP_H

#include "common/address.h"

#include <systemd/sd-event.h>

struct host;
struct metrics_listener;

/* Answers GET /metrics at the address. Returns 0 or -errno. */
int metrics_listen(struct host *h, sd_event *event, const union address *at, struct metrics_listener **ret);
void metrics_listener_free(struct metrics_listener *l);

#endif
