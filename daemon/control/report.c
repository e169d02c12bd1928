/* SPDX-License-Identifier: MIT */
/* Values on their way out and in. */
#include "daemon/control/report.h"

#include "common/cleanup.h"
#include "common/text.h"

#include <inttypes.h>

/* Times behind the year 9999 are nobody's. */
#define REPORT_SECONDS_MAX 253402300800.0

void report_time(json_t *o, const char *key, int64_t us)
{
	if (us > 0)
		json_object_set_new(o, key, json_real(control_seconds(us)));
}

json_t *report_string(const char *s, size_t len)
{
	_cleanup_free_ char *buf = malloc(len * TEXT_SANITISE_GROWTH + 1);

	return buf ? json_stringn(buf, text_sanitise(buf, s, len)) : NULL;
}

bool report_take_time(const json_t *parameters, const char *key, int64_t *ret)
{
	const json_t *v = json_object_get(parameters, key);
	double seconds = json_number_value(v);

	if (!v || json_is_null(v))
		return true;
	if (!json_is_number(v) || !(seconds > 0) || !(seconds < REPORT_SECONDS_MAX))
		return false;
	*ret = (int64_t)(seconds * 1e6);
	if (*ret == 0)
		*ret = 1; /* 0 would be no limit at all */
	return true;
}

void report_metric_head(FILE *f, const char *name, const char *type, const char *help)
{
	fprintf(f, "# HELP chatd_%s %s.\n# TYPE chatd_%s %s\n", name, help, name, type);
}

void report_metric(FILE *f, const char *name, const char *type, const char *help, uint64_t value)
{
	report_metric_head(f, name, type, help);
	fprintf(f, "chatd_%s %" PRIu64 "\n", name, value);
}
