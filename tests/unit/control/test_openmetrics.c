/* SPDX-License-Identifier: MIT */
/* OpenMetrics: who gets it, and what is different in it. */
#include "tests/unit/unit.h"

#include "common/cleanup.h"
#include "daemon/control/openmetrics.h"

#include <stdlib.h>
#include <string.h>

static void it_is_negotiated(void **state)
{
	static const struct {
		const char *accept;
		bool wanted;
	} rows[] = {
	    {NULL, false},
	    {"", false},
	    {"*/*", false},
	    {"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", false},
	    /* Prometheus 2.42, 2.50 and 3.0 */
	    {"application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
	     "text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
	     true},
	    {"application/openmetrics-text;version=1.0.0;q=0.5,application/"
	     "openmetrics-text;version=0.0.1;q=0.4,"
	     "text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
	     true},
	    {"application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
	     "application/openmetrics-text;version=0.0.1;q=0.5,text/"
	     "plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
	     "text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
	     true},
	    /* 2.49 and later with scrape_protocols that prefer the text */
	    {"text/plain;version=0.0.4;q=0.5,application/openmetrics-text;version=1.0.0;q=0.4,*/*;q=0.3",
	     false},
	    {"application/openmetrics-text", true},
	    {"Application/OpenMetrics-Text ; Version=1.0.0 ; Q=1.000", true},
	    {"application/openmetrics-text;version=0.0.1", false},
	    {"application/openmetrics-text;version=2.0.0, text/plain;q=0.1", false},
	    {"application/openmetrics-text;q=0", false},
	    {"application/openmetrics-text;q=0.000", false},
	    {"application/openmetrics-text;q=nan", false},
	    {"application/openmetrics-text;q=", false},
	    {"application/openmetrics-texts", false},
	    {",;,;;q=1,", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		if (openmetrics_wanted(rows[i].accept) != rows[i].wanted)
			fail_msg("%s", rows[i].accept ? rows[i].accept : "(none)");
}

static void it_is_made_from_the_text(void **state)
{
	_cleanup_free_ char *text = openmetrics_from_text(
	    "# HELP a_total Things \"so\".\n# TYPE a_total counter\na_total 1\n"
	    "# HELP b_seconds How long.\n# TYPE b_seconds gauge\nb_seconds{x=\"y\"} 0.5\n"
	    "# HELP c_bytes_total Much.\n# TYPE c_bytes_total counter\nc_bytes_total 7\n");

	(void)state;
	assert_string_equal(
	    text, "# TYPE a counter\n# HELP a Things \\\"so\\\".\na_total 1\n"
		  "# TYPE b_seconds gauge\n# UNIT b_seconds seconds\n# HELP b_seconds How "
		  "long.\nb_seconds{x=\"y\"} 0.5\n"
		  "# TYPE c_bytes counter\n# UNIT c_bytes bytes\n# HELP c_bytes Much.\nc_bytes_total 7\n"
		  "# EOF\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(it_is_negotiated),
	    cmocka_unit_test(it_is_made_from_the_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
