/* SPDX-License-Identifier: MIT */
/* Metrics of the process, under the names that Prometheus's client libraries have for them. */
#ifndef DAEMON_PROCESS_REPORT_H
#define DAEMON_PROCESS_REPORT_H

#include <stdint.h>
#include <stdio.h>

/* started_us: when the process was started (CLOCK_REALTIME). What can't be found out is left out. */
void process_report_metrics(FILE *f, int64_t started_us);

#endif
