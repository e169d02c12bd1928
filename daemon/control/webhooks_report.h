/* SPDX-License-Identifier: MIT */
/* What the control socket and the metrics tell of webhooks: the interface's type Webhook. */
#ifndef DAEMON_WEBHOOKS_REPORT_H
#define DAEMON_WEBHOOKS_REPORT_H

#include "daemon/webhooks/webhooks.h"

#include <jansson.h>
#include <stdio.h>

json_t *webhooks_report_status(const struct webhook_status *at, size_t n);
void webhooks_report_metrics(FILE *f, const struct webhook_status *at, size_t n);

#endif
