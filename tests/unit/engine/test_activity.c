/* SPDX-License-Identifier: MIT */
/* What is known of connections only while they do something: each has its own, and as long as it makes a difference. */
#include "tests/unit/unit.h"

#include "daemon/base/clock.h"
#include "daemon/engine/connection_own.h"

#include <stdlib.h>
#include <string.h>

#define MANY 1000

/* Connections of a worker that does nothing but that. */
struct fixture {
	struct connections cs;
	struct context ctx;
	struct config config;
	struct connection c[MANY];
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f)
		return -1;
	f->ctx = (struct context){.connections = &f->cs, .config = &f->config, .now = 100 * SECOND_US};
	f->cs.ctx = &f->ctx;
	for (unsigned i = 0; i < MANY; i++)
		f->c[i].ctx = &f->ctx;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	free(f->cs.activities);
	free(f);
	return 0;
}

static void each_has_its_own(void **state)
{
	struct fixture *f = *state;

	for (unsigned i = 0; i < MANY; i++) {
		assert_null(activity_of(&f->c[i]));
		activity_make(&f->c[i])->due[PACE_LINES] = i;
		assert_ptr_equal(activity_make(&f->c[i]), activity_of(&f->c[i]));
	}
	for (unsigned i = 0; i < MANY; i++)
		if (i % 3 > 0)
			activity_forget(&f->c[i]);
	/* New ones take the places of what moved. */
	for (unsigned i = 1; i < MANY; i += 3)
		activity_make(&f->c[i])->due[PACE_LINES] = MANY + i;
	for (unsigned i = 0; i < MANY; i++) {
		const struct activity *a = activity_of(&f->c[i]);
		assert_int_equal(a != NULL, i % 3 < 2);
		if (!a)
			continue;
		assert_ptr_equal(a->of, &f->c[i]);
		assert_int_equal(a->due[PACE_LINES], i % 3 == 0 ? i : MANY + i);
	}
	assert_int_equal(f->cs.n_activities, MANY - MANY / 3);
}

static void memory_is_given_back(void **state)
{
	struct fixture *f = *state;

	for (unsigned i = 0; i < MANY; i++)
		assert_non_null(activity_make(&f->c[i]));
	assert_true(f->cs.activities_capacity >= MANY);
	for (unsigned i = 0; i < MANY; i++)
		activity_forget(&f->c[i]);
	assert_true(f->cs.activities_capacity <= MANY / 4);
	activity_forget(&f->c[0]); /* it has none */
	assert_non_null(activity_make(&f->c[0]));
}

static void kept_as_long_as_it_matters(void **state)
{
	struct fixture *f = *state;
	struct connection *c = &f->c[0];

	f->config.lines_per_second = 1;
	f->config.commands_per_second = 0;
	assert_true(connection_may_talk(c, 1));
	assert_true(connection_may_talk(c, 1)); /* the same line */
	connection_line_done(c);
	f->ctx.now += SECOND_US - 1;
	activity_tick(&f->cs);
	assert_false(connection_may_talk(c, 1));
	f->ctx.now += 1;
	assert_true(connection_may_talk(c, 1));
	connection_line_done(c);
	f->ctx.now += SECOND_US;
	activity_tick(&f->cs);
	assert_non_null(activity_of(c));
	f->ctx.now += 1;
	activity_tick(&f->cs);
	assert_null(activity_of(c));
	assert_true(connection_may_talk(c, 1));
}

static void no_limits_need_none(void **state)
{
	struct fixture *f = *state;

	assert_true(connection_may_talk(&f->c[0], 4));
	assert_true(connection_may_rename(&f->c[0]));
	assert_true(connection_may_move(&f->c[0]));
	assert_int_equal(pace_received(&f->c[0], 1 << 20), 0);
	assert_null(activity_of(&f->c[0]));
	assert_null(f->cs.activities);
}

static void kept_while_it_waits(void **state)
{
	struct fixture *f = *state;

	activity_make(&f->c[0])->asked = (struct login_request *)f;
	activity_make(&f->c[1])->login = LOGIN_GOOD;
	assert_non_null(activity_make(&f->c[2]));
	f->c[2].pause = PAUSE_LIMITED;
	assert_non_null(activity_make(&f->c[3]));
	activity_tick(&f->cs);
	for (unsigned i = 0; i < 3; i++)
		assert_non_null(activity_of(&f->c[i]));
	assert_null(activity_of(&f->c[3]));
	f->c[4].phase = PHASE_DEAD;
	assert_null(activity_make(&f->c[4]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(each_has_its_own, setup, teardown),
	    cmocka_unit_test_setup_teardown(memory_is_given_back, setup, teardown),
	    cmocka_unit_test_setup_teardown(kept_as_long_as_it_matters, setup, teardown),
	    cmocka_unit_test_setup_teardown(no_limits_need_none, setup, teardown),
	    cmocka_unit_test_setup_teardown(kept_while_it_waits, setup, teardown),
	};

	return cmocka_run_group_tests_name("activity", tests, NULL, NULL);
}
