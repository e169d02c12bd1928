/* SPDX-License-Identifier: MIT */
/* The state of the webhooks as JSON, and as metrics. */
#include "daemon/control/webhooks_report.h"

#include "daemon/control/report.h"

#include <inttypes.h>
#include <stddef.h>
#include <string.h>

json_t *webhooks_report_status(const struct webhook_status *at, size_t n)
{
	json_t *list = json_array();

	for (size_t i = 0; i < n; i++) {
		const struct webhook_status *s = &at[i];
		json_t *o =
		    json_pack("{s:s,s:s,s:s,s:f,s:I,s:I,s:I,s:I,s:I}", "name", s->name, "room", s->room,
			      "state", s->away ? "away" : "delivers", "since", control_seconds(s->since_us),
			      "waiting", (json_int_t)s->waiting, "delivered", (json_int_t)s->delivered,
			      "deliveries", (json_int_t)s->deliveries, "failures", (json_int_t)s->failures,
			      "missed", (json_int_t)s->missed);
		if (s->why[0])
			json_object_set_new(o, "why", report_string(s->why, strlen(s->why)));
		json_array_append_new(list, o);
	}
	return list;
}

/* One metric of all of them; the value is the field at that offset. */
static void webhooks_report_metric(FILE *f, const struct webhook_status *at, size_t n, const char *name,
				   const char *type, const char *help, size_t field)
{
	report_metric_head(f, name, type, help);
	for (size_t i = 0; i < n; i++)
		fprintf(f, "chatd_%s{webhook=\"%s\"} %" PRIu64 "\n", name, at[i].name,
			*(const uint64_t *)((const char *)&at[i] + field));
}

void webhooks_report_metrics(FILE *f, const struct webhook_status *at, size_t n)
{
#define FIELD(name) offsetof(struct webhook_status, name)
	static const struct {
		const char *name, *type, *help;
		size_t field;
	} rows[] = {
	    {"webhook_waiting_messages", "gauge", "Messages that are to be delivered", FIELD(waiting)},
	    {"webhook_delivered_messages_total", "counter", "Messages delivered", FIELD(delivered)},
	    {"webhook_deliveries_total", "counter", "Requests in which they were", FIELD(deliveries)},
	    {"webhook_failures_total", "counter", "Requests that failed", FIELD(failures)},
	    {"webhook_missed_messages_total", "counter", "Messages that were too old, or gone",
	     FIELD(missed)},
	};
#undef FIELD

	if (n == 0)
		return;
	report_metric_head(f, "webhook_delivers", "gauge", "1 if the last request did not fail");
	for (size_t i = 0; i < n; i++)
		fprintf(f, "chatd_webhook_delivers{webhook=\"%s\"} %d\n", at[i].name, !at[i].away);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		webhooks_report_metric(f, at, n, rows[i].name, rows[i].type, rows[i].help, rows[i].field);
	report_metric_head(f, "webhook_delivery_seconds", "gauge", "How long the last delivery took");
	for (size_t i = 0; i < n; i++)
		fprintf(f, "chatd_webhook_delivery_seconds{webhook=\"%s\"} %.6f\n", at[i].name,
			(double)at[i].took_us / 1e6);
}
