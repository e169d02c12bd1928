/* SPDX-License-Identifier: MIT */
/* What the control socket and the metrics tell of the history: the interface's type History. */
#ifndef DAEMON_HISTORY_REPORT_H
#define DAEMON_HISTORY_REPORT_H

#include "daemon/history/archive.h"

#include <jansson.h>
#include <stdio.h>

json_t *history_report_status(const char *database, const struct archive_status *status);
void history_report_metrics(FILE *f, const struct archive_status *status);

#endif
