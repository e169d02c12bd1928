/* SPDX-License-Identifier: MIT */
/* The names and descriptions of the table in counters.h. */
#include "daemon/base/counters.h"

static const struct {
	const char *name, *help;
} table[] = {
#define X(id, name, help) {name, help},
    COUNTERS(X)
#undef X
};

const char *counter_name(enum counter which)
{
	return table[which].name;
}

const char *counter_help(enum counter which)
{
	return table[which].help;
}
