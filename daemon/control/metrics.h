/* SPDX-License-Identifier: MIT */
/*
 * Counters and gauges in Prometheus's text format (prometheus.io/docs/instrumenting/exposition_formats), and
 * the listener that serves them over HTTP (`metrics` of the configuration). Main thread.
 */
#ifndef DAEMON_METRICS_H
#define DAEMON_METRICS_H

#include "common/address.h"
#include "daemon/base/counters.h"

#include <systemd/sd-event.h>

struct host;
struct metrics_listener;

/* A counter, added up over all threads. */
uint64_t metrics_total(struct host *h, enum counter which);
/* free()d by the caller; NULL without memory. */
char *metrics_text(struct host *h);

/* Answers GET /metrics at the address. Returns 0 or -errno. */
int metrics_listen(struct host *h, sd_event *event, const union address *at, struct metrics_listener **ret);
void metrics_listener_free(struct metrics_listener *l);

#endif
