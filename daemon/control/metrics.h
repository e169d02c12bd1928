/* SPDX-License-Identifier: MIT */
/*
 * Counters and gauges in Prometheus's text format (prometheus.io/docs/instrumenting/exposition_formats), on
 * the main thread.
 */
#ifndef DAEMON_METRICS_H
#define DAEMON_METRICS_H

#include "daemon/base/counters.h"

struct host;

/* A counter, added up over all threads. */
uint64_t metrics_total(struct host *h, enum counter which);
/* free()d by the caller; NULL without memory. */
char *metrics_text(struct host *h);

#endif
