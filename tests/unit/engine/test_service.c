/* SPDX-License-Identifier: MIT */
/* What the server does with all services: they are drained, ended, watched and shown by their functions. */
#include "tests/unit/unit.h"

#include "daemon/base/clock.h"
#include "daemon/engine/service.h"

#include <stdio.h>
#include <string.h>

/* A service whose calls are written down. */
struct fake {
	struct service service;
	bool started, drained, stuck, freed;
	int64_t beat, linger;
	unsigned n_drains;
	int64_t quit_linger;
	const struct config *config;
};

static char calls[256];

static struct fake *fake_call(const struct service *s, const char *what)
{
	size_t n = strlen(calls);

	snprintf(calls + n, sizeof(calls) - n, "%s-%s ", s->name, what);
	return (struct fake *)s;
}

static int fake_start(struct service *s, bool held)
{
	struct fake *f = fake_call(s, held ? "held" : "start");

	f->started = true;
	f->n_drains = 0;
	return 0;
}

static void fake_drain(struct service *s)
{
	fake_call(s, "drain")->n_drains++;
}

/* It takes a moment, if it ever ends. */
static bool fake_is_drained(const struct service *s)
{
	struct fake *f = (struct fake *)s;

	return f->n_drains > 0 && !f->stuck && f->n_drains++ > 3;
}

static void fake_quit(struct service *s, int64_t linger_us)
{
	fake_call(s, "quit")->quit_linger = linger_us;
}

static bool fake_join(struct service *s, int64_t timeout_us)
{
	struct fake *f = fake_call(s, "join");

	assert_true(timeout_us >= f->linger);
	f->started = f->stuck;
	return !f->stuck;
}

static int64_t fake_linger(const struct service *s)
{
	return ((const struct fake *)s)->linger;
}

static void fake_reloaded(struct service *s, const struct config *config)
{
	((struct fake *)s)->config = config;
}

static int64_t fake_beat(const struct service *s)
{
	return ((const struct fake *)s)->beat;
}

static unsigned fake_peers(const struct service *s)
{
	(void)s;
	return 3;
}

static void fake_free(struct service *s)
{
	((struct fake *)s)->freed = true;
}

static const struct service_ops full = {
    .start = fake_start,
    .drain = fake_drain,
    .is_drained = fake_is_drained,
    .quit = fake_quit,
    .join = fake_join,
    .linger = fake_linger,
    .reloaded = fake_reloaded,
    .beat = fake_beat,
    .peers = fake_peers,
    .free = fake_free,
};

/* One that nobody sees, and that somebody else owns. */
static const struct service_ops least = {
    .start = fake_start,
    .drain = fake_drain,
    .is_drained = fake_is_drained,
    .quit = fake_quit,
    .join = fake_join,
};

struct fixture {
	struct services all;
	struct fake a, b;
};

static int setup(void **state)
{
	struct fixture *f = test_calloc(1, sizeof(*f));

	calls[0] = '\0';
	f->a.service = (struct service){.ops = &full, .name = "a"};
	f->b.service = (struct service){.ops = &least, .name = "b"};
	services_add(&f->all, &f->a.service);
	services_add(&f->all, &f->b.service);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	test_free(*state);
	return 0;
}

static void a_list_in_order(void **state)
{
	struct fixture *f = *state;

	assert_ptr_equal(services_next(&f->all, NULL), &f->a.service);
	assert_ptr_equal(services_next(&f->all, &f->a.service), &f->b.service);
	assert_null(services_next(&f->all, &f->b.service));
	assert_true(services_has(&f->all, "a"));
	services_remove(&f->all, &f->a.service);
	services_remove(&f->all, &f->a.service);
	assert_false(services_has(&f->all, "a"));
	assert_ptr_equal(services_next(&f->all, NULL), &f->b.service);
	services_add(&f->all, &f->a.service);
	assert_ptr_equal(services_next(&f->all, &f->b.service), &f->a.service);
	assert_null(services_next(&f->all, &f->a.service));
}

static void all_drain_before_one_is_waited_for(void **state)
{
	struct fixture *f = *state;

	services_drain(&f->all, 5 * SECOND_US);
	assert_string_equal(calls, "a-drain b-drain ");
	assert_true(f->a.n_drains > 3 && f->b.n_drains > 3);
}

static void what_does_not_drain_is_not_waited_for_any_longer(void **state)
{
	struct fixture *f = *state;
	int64_t began = clock_us(CLOCK_MONOTONIC);

	f->a.stuck = true;
	services_drain(&f->all, 30000);
	int64_t took = clock_us(CLOCK_MONOTONIC) - began;
	assert_true(took >= 30000);
	assert_true(took < 5 * SECOND_US);
}

static void all_quit_before_one_is_joined(void **state)
{
	struct fixture *f = *state;

	f->a.linger = 20 * SECOND_US; /* join() checks that it gets so long */
	assert_true(services_end(&f->all));
	assert_string_equal(calls, "a-quit b-quit a-join b-join ");
	assert_true(f->a.quit_linger == INT64_MAX);
	services_start(&f->all);
	assert_string_equal(calls, "a-quit b-quit a-join b-join a-held b-held ");
}

static void one_that_does_not_end_keeps_no_other_from_it(void **state)
{
	struct fixture *f = *state;

	f->a.stuck = true;
	assert_false(services_end(&f->all));
	assert_string_equal(calls, "a-quit b-quit a-join b-join ");
}

static void one_is_drained_and_ended(void **state)
{
	struct fixture *f = *state;

	service_end(&f->b.service, SECOND_US);
	assert_string_equal(calls, "b-drain b-quit b-join ");
	assert_int_equal(f->b.quit_linger, SECOND_US);
}

static void who_does_not_beat_is_noticed(void **state)
{
	struct fixture *f = *state;
	int64_t now = 100 * SECOND_US;

	f->a.beat = now - SECOND_US;
	assert_true(services_are_alive(&f->all, now, SECOND_US));
	assert_false(services_are_alive(&f->all, now + 1, SECOND_US));
	f->a.beat = INT64_MAX;
	assert_true(services_are_alive(&f->all, now, SECOND_US));
}

static void what_it_has_not_is_not_called(void **state)
{
	struct fixture *f = *state;
	const struct config *config = (const struct config *)f;

	assert_int_equal(services_shown(&f->all), 1);
	services_reloaded(&f->all, config);
	assert_ptr_equal(f->a.config, config);
	services_free(&f->all);
	assert_true(f->a.freed);
	assert_ptr_equal(services_next(&f->all, NULL), &f->b.service);
	assert_null(services_next(&f->all, &f->b.service));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(a_list_in_order, setup, teardown),
	    cmocka_unit_test_setup_teardown(all_drain_before_one_is_waited_for, setup, teardown),
	    cmocka_unit_test_setup_teardown(what_does_not_drain_is_not_waited_for_any_longer, setup,
					    teardown),
	    cmocka_unit_test_setup_teardown(all_quit_before_one_is_joined, setup, teardown),
	    cmocka_unit_test_setup_teardown(one_that_does_not_end_keeps_no_other_from_it, setup, teardown),
	    cmocka_unit_test_setup_teardown(one_is_drained_and_ended, setup, teardown),
	    cmocka_unit_test_setup_teardown(who_does_not_beat_is_noticed, setup, teardown),
	    cmocka_unit_test_setup_teardown(what_it_has_not_is_not_called, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
