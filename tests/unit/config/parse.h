/* SPDX-License-Identifier: MIT */
/* A configuration from a string, for tests of what it means and of what is said of its mistakes. */
#ifndef TESTS_UNIT_CONFIG_PARSE_H
#define TESTS_UNIT_CONFIG_PARSE_H

#include "daemon/config/config.h"
#include "daemon/modes/table.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* What the last parse() complained of. */
static char errors[4096];

static inline int parse(const char *text, struct config **ret)
{
	FILE *f = fmemopen(errors, sizeof(errors), "w");

	memset(errors, 0, sizeof(errors));
	int r = config_parse(text, "f", handlers, f, ret);
	fclose(f);
	return r;
}

/* It is refused, and so said. */
static inline void assert_error(const char *text, const char *expected)
{
	struct config *c = NULL;

	assert_int_equal(parse(text, &c), -EINVAL);
	if (!strstr(errors, expected))
		fail_msg("\"%s\" said \"%s\", not \"%s\"", text, errors, expected);
}

#endif
