/* SPDX-License-Identifier: MIT */
/* A test's state is a harness and nothing else: how it is set up and torn down. */
#ifndef TESTS_UNIT_HARNESSED_H
#define TESTS_UNIT_HARNESSED_H

#include "tests/harness.h"

static inline int harnessed(void **state, const char *config)
{
	*state = harness_new(config);
	return *state ? 0 : -1;
}

static inline int harnessed_teardown(void **state)
{
	harness_free(*state);
	return 0;
}

#endif
