/* SPDX-License-Identifier: MIT */
/* The check of passwords: answers and whose turn it is, and that it pauses, ends and begins again as a service. */
#include "tests/unit/unit.h"

#include "common/accounts.h"
#include "daemon/base/clock.h"
#include "daemon/engine/logins.h"
#include "tests/harness.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

struct fixture {
	struct harness *h;
	struct shared shared; /* the harness's, but for the logins and the services */
	char hash[ACCOUNTS_HASH_MAX];
};

/* The answers in their order. */
static struct login_answer answers[16];
static unsigned n_answers;

static void answered(struct context *ctx, const struct login_answer *answer)
{
	assert_int_equal(ctx->slot, 0);
	answers[n_answers++] = *answer;
}

static int setup(void **state)
{
	struct fixture *f = test_calloc(1, sizeof(*f));

	*state = f;
	n_answers = 0;
	f->h =
	    harness_new("rooms = ( { name = \"lobby\"; } );\n"
			"listeners = ( { name = \"a\"; type = \"tcp\"; mode = \"chat\"; room = \"lobby\";\n"
			"                listen = \"127.0.0.1:5050\"; } );\n");
	if (!f->h)
		return -1;
	f->shared = *harness_shared(f->h);
	f->shared.services = (struct services){NULL};
	return crypto_pwhash_str(f->hash, "secret", 6, crypto_pwhash_OPSLIMIT_MIN,
				 crypto_pwhash_MEMLIMIT_MIN) < 0
		   ? -1
		   : logins_open(&f->shared, NULL);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	services_end(&f->shared.services);
	services_free(&f->shared.services);
	harness_free(f->h);
	test_free(f);
	return 0;
}

static bool ask(struct fixture *f, const char *from, uint64_t id, const char *hash, const char *password,
		struct login_request **ret)
{
	const struct login_question q = {hash, "alice", password, 5, strlen(password)};
	union address a;

	assert_int_equal(address_parse(from, &a), 0);
	const struct login_caller caller = {f->shared.workers[0], answered, 7, id, &a, 0};
	return logins_ask(f->shared.logins, &caller, &q, ret);
}

/* Turns the worker until there are so many answers, or for so long. */
static void settle(struct fixture *f, unsigned n, int64_t us)
{
	int64_t until = clock_us(CLOCK_MONOTONIC) + us;

	while (n_answers < n && clock_us(CLOCK_MONOTONIC) < until) {
		harness_settle(f->h);
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	}
}

static void answers_come_to_who_asked(void **state)
{
	struct fixture *f = *state;
	struct login_request *r;
	uint8_t subject[LOGIN_SUBJECT_LEN];
	const struct login_question q = {f->hash, "alice", "secret", 5, 6};

	assert_true(ask(f, "192.0.2.1:1", 1, f->hash, "secret", &r));
	settle(f, 1, 20 * SECOND_US);
	assert_true(ask(f, "192.0.2.1:1", 2, f->hash, "wrong", &r));
	settle(f, 2, 20 * SECOND_US);
	/* What is checked instead has the empty password. */
	assert_true(ask(f, "192.0.2.1:1", 3, NULL, "", &r));
	settle(f, 3, 20 * SECOND_US);
	assert_int_equal(n_answers, 3);
	assert_true(answers[0].good);
	assert_false(answers[1].good);
	assert_false(answers[2].good);
	logins_subject(f->shared.logins, &q, subject);
	assert_memory_equal(answers[0].subject, subject, sizeof(subject));
	assert_memory_not_equal(answers[1].subject, subject, sizeof(subject));
	assert_int_equal(answers[0].index, 7);
	assert_int_equal(answers[2].id, 3);
}

static void addresses_take_turns(void **state)
{
	struct fixture *f = *state;
	static const uint64_t order[] = {1, 4, 2, 3};
	struct login_request *r;

	services_drain(&f->shared.services, 20 * SECOND_US);
	for (uint64_t id = 1; id <= 3; id++)
		assert_true(ask(f, "192.0.2.1:1", id, f->hash, "secret", &r));
	assert_true(ask(f, "192.0.2.2:1", 4, f->hash, "secret", &r));
	services_start(&f->shared.services);
	settle(f, 4, 20 * SECOND_US);
	assert_int_equal(n_answers, 4);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(answers[i].id, order[i]);
}

/* Nothing begins when it is drained; what waits is there when it starts again, even after its end. */
static void it_pauses_and_goes_on(void **state)
{
	struct fixture *f = *state;
	const struct service *s = services_next(&f->shared.services, NULL);
	struct login_request *r;

	assert_true(ask(f, "192.0.2.1:1", 1, f->hash, "secret", &r));
	services_drain(&f->shared.services, 20 * SECOND_US);
	assert_true(s->ops->is_drained(s));
	settle(f, 1, 100000);
	unsigned before = n_answers;
	assert_true(ask(f, "192.0.2.1:1", 2, f->hash, "secret", &r));
	settle(f, before + 1, 100000);
	assert_int_equal(n_answers, before);
	assert_true(services_end(&f->shared.services));
	assert_false(ask(f, "192.0.2.1:1", 3, f->hash, "secret", &r));
	services_start(&f->shared.services);
	settle(f, 2, 20 * SECOND_US);
	assert_int_equal(n_answers, 2);
	assert_int_equal(answers[1].id, 2);
}

static void what_is_taken_back_is_not_answered(void **state)
{
	struct fixture *f = *state;
	struct login_request *first, *second, *third;

	services_drain(&f->shared.services, 20 * SECOND_US);
	assert_true(ask(f, "192.0.2.1:1", 1, f->hash, "secret", &first));
	assert_true(ask(f, "192.0.2.1:1", 2, f->hash, "secret", &second));
	assert_true(ask(f, "192.0.2.2:1", 3, f->hash, "secret", &third));
	logins_cancel(f->shared.logins, first);
	logins_cancel(f->shared.logins, third);
	services_start(&f->shared.services);
	settle(f, 1, 20 * SECOND_US);
	settle(f, 2, 50000);
	assert_int_equal(n_answers, 1);
	assert_int_equal(answers[0].id, 2);
}

/* Nobody reads them, and nothing is left of them. */
static void questions_may_be_left(void **state)
{
	struct fixture *f = *state;
	struct login_request *r;

	services_drain(&f->shared.services, 20 * SECOND_US);
	assert_true(ask(f, "192.0.2.1:1", 1, f->hash, "secret", &r));
	assert_true(ask(f, "192.0.2.1:1", 2, f->hash, "secret", &r));
}

/* Who checks something itself counts its failures with those of passwords. */
static void failures_elsewhere_count(void **state)
{
	struct fixture *f = *state;
	struct logins *l = f->shared.logins;
	union address a, neighbour, other;

	assert_int_equal(address_parse("[2001:db8::1]:1", &a), 0);
	assert_int_equal(address_parse("[2001:db8::2]:2", &neighbour), 0);
	assert_int_equal(address_parse("192.0.2.1:1", &other), 0);
	logins_failed(l, &a, 29, 30);
	assert_true(logins_may_try(l, &a));
	logins_failed(l, &a, 2, 30);
	assert_false(logins_may_try(l, &a));
	assert_false(logins_may_try(l, &neighbour));
	assert_true(logins_may_try(l, &other));
	logins_failed(l, &other, 1000, 0);
	assert_true(logins_may_try(l, &other));
}

struct errand {
	struct login_errand errand; /* first */
	_Atomic unsigned ran, dropped;
};

static void errand_run(struct login_errand *e)
{
	((struct errand *)e)->ran++;
}

static void errand_drop(struct login_errand *e)
{
	((struct errand *)e)->dropped++;
}

static void errands(void **state)
{
	struct fixture *f = *state;
	struct errand first = {{.run = errand_run, .drop = errand_drop}, 0, 0},
		      second = {{.run = errand_run, .drop = errand_drop}, 0, 0};

	assert_true(logins_do(f->shared.logins, &first.errand));
	assert_true(logins_do(f->shared.logins, &second.errand));
	for (int64_t until = clock_us(CLOCK_MONOTONIC) + 20 * SECOND_US;
	     !second.ran && clock_us(CLOCK_MONOTONIC) < until;)
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	assert_int_equal(first.ran, 1);
	assert_int_equal(second.ran, 1);
	assert_int_equal(first.dropped + second.dropped, 0);
	/* What is not begun at the end is dropped. */
	services_drain(&f->shared.services, 20 * SECOND_US);
	struct errand third = {{.run = errand_run, .drop = errand_drop}, 0, 0};
	assert_true(logins_do(f->shared.logins, &third.errand));
	services_end(&f->shared.services);
	assert_false(logins_do(f->shared.logins, &first.errand));
	services_free(&f->shared.services);
	f->shared.services = (struct services){NULL};
	assert_int_equal(third.ran, 0);
	assert_int_equal(third.dropped, 1);
}

static void nobody_sees_or_watches_it(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(services_shown(&f->shared.services), 0);
	assert_true(services_are_alive(&f->shared.services, INT64_MAX, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(answers_come_to_who_asked, setup, teardown),
	    cmocka_unit_test_setup_teardown(addresses_take_turns, setup, teardown),
	    cmocka_unit_test_setup_teardown(it_pauses_and_goes_on, setup, teardown),
	    cmocka_unit_test_setup_teardown(what_is_taken_back_is_not_answered, setup, teardown),
	    cmocka_unit_test_setup_teardown(questions_may_be_left, setup, teardown),
	    cmocka_unit_test_setup_teardown(failures_elsewhere_count, setup, teardown),
	    cmocka_unit_test_setup_teardown(errands, setup, teardown),
	    cmocka_unit_test_setup_teardown(nobody_sees_or_watches_it, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
