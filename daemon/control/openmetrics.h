/* SPDX-License-Identifier: MIT */
/*
 * The metrics as OpenMetrics 1.0.0 (github.com/OpenObservability/OpenMetrics, specification/OpenMetrics.md), made from
 * Prometheus's text format, and who wants it.
 */
#ifndef DAEMON_OPENMETRICS_H
#define DAEMON_OPENMETRICS_H

#include <stdbool.h>

#define OPENMETRICS_TYPE "application/openmetrics-text; version=1.0.0; charset=utf-8"

/* Whether the value of Accept (RFC 9110, 12.5.1; NULL: there is none) wants OpenMetrics at least as much as
 * text/plain. Wildcards are for text/plain, which a browser can show. */
bool openmetrics_wanted(const char *accept);
/* From the text of metrics_text(): each metric has its HELP, then its TYPE. free()d by the caller; NULL without memory. */
char *openmetrics_from_text(const char *text);

#endif
