/* SPDX-License-Identifier: MIT */
/* The state of the history as JSON, and as metrics. */
#include "daemon/control/history_report.h"

#include "daemon/control/report.h"

json_t *history_report_status(const char *database, const struct archive_status *s)
{
	static const char *const states[] = {[ARCHIVE_OFF] = "off",
					     [ARCHIVE_STORES] = "stores",
					     [ARCHIVE_BEHIND] = "behind",
					     [ARCHIVE_AWAY] = "away"};
	json_t *o = json_pack("{s:s,s:s,s:I,s:I,s:I,s:I,s:I,s:I,s:f}", "state", states[s->state], "database",
			      database, "waiting", (json_int_t)s->waiting, "stored", (json_int_t)s->stored,
			      "lost", (json_int_t)s->lost, "set_aside", (json_int_t)s->set_aside, "messages",
			      (json_int_t)s->messages, "bytes", (json_int_t)s->bytes, "since",
			      control_seconds(s->since_us));

	report_time(o, "oldest", s->oldest_us);
	report_time(o, "newest", s->newest_us);
	if (s->why[0])
		json_object_set_new(o, "why", json_string(s->why));
	return o;
}

void history_report_metrics(FILE *f, const struct archive_status *s)
{
	const struct {
		const char *name, *type, *help;
		uint64_t value;
	} rows[] = {
	    {"history_stores", "gauge", "1 if what is said can be stored", s->state != ARCHIVE_AWAY},
	    {"history_behind", "gauge", "1 if more is said than can be stored", s->state == ARCHIVE_BEHIND},
	    {"history_waiting_messages", "gauge", "Messages in rooms that are not stored yet", s->waiting},
	    {"history_stored_messages_total", "counter", "Messages stored", s->stored},
	    {"history_commits_total", "counter", "Transactions in which they were", s->commits},
	    {"history_lost_messages_total", "counter", "Messages that could not be stored", s->lost},
	    {"history_gaps_total", "counter", "Times that some could not be", s->gaps},
	    {"history_set_aside_total", "counter", "Damaged databases that were set aside", s->set_aside},
	    {"history_messages", "gauge", "Messages in the database", s->messages},
	    {"history_bytes", "gauge", "Size of the database's files", s->bytes},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		report_metric(f, rows[i].name, rows[i].type, rows[i].help, rows[i].value);
	report_metric_head(f, "history_commit_seconds", "gauge", "How long the last transaction took");
	fprintf(f, "chatd_history_commit_seconds %.6f\n", (double)s->commit_us / 1e6);
}
