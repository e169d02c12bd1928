/* SPDX-License-Identifier: MIT */
/* Connections that came faster than the keeper had space for: how soon it has them all. */
#include "tests/unit/unit.h"

#include "daemon/engine/connections.h"
#include "daemon/state/keeper.h"
#include "tests/harness.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define MANY 600
/* So many are looked at again every 10 ms: LATER_MAX of engine/worker.c. */
#define ROUND 256

static const char config[] = "rooms = ( { name = \"lobby\"; } );"
			     "listeners = ( { name = \"chat\"; type = \"tcp\"; mode = \"chat\";"
			     " listen = \"127.0.0.1:1\"; room = \"lobby\"; } );";

static int setup(void **state)
{
	struct rlimit l;

	/* The kernel allows a user as many sockets in flight. */
	if (getrlimit(RLIMIT_NOFILE, &l) == 0) {
		l.rlim_cur = l.rlim_max;
		setrlimit(RLIMIT_NOFILE, &l);
	}
	*state = harness_new(config);
	return *state ? 0 : -1;
}

static int teardown(void **state)
{
	harness_free(*state);
	return 0;
}

static unsigned uncovered(struct harness *h)
{
	return connections_tally(harness_shared(h)->workers[0]).uncovered;
}

static void turn(struct harness *h)
{
	wakeup_kick(slots_wakeup(harness_shared(h)->slots, 0)); /* so that it doesn't wait */
	worker_turn(harness_shared(h)->workers[0]);
}

static void fill(struct keeper *k)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	while (keeper_add(k, &fd, 1) == 0)
		;
	close(fd);
}

/* The keeper is full, and the main thread is busy: then it makes more pairs, and a round later they have all they can. */
static void soon_covered(void **state)
{
	struct harness *h = *state;
	struct keeper *k = harness_shared(h)->keeper;
	int theirs[MANY];

	fill(k);
	for (unsigned i = 0; i < MANY; i++)
		theirs[i] = harness_connect(h, "tcp", "chat", "lobby");
	assert_int_equal(uncovered(h), MANY);
	for (unsigned i = 0; i < 3; i++) {
		usleep(11000);
		turn(h);
	}
	assert_int_equal(uncovered(h), MANY);
	keeper_relieve(k);
	unsigned rounds = 0;
	while (uncovered(h) > 0 && rounds < 10) {
		usleep(11000);
		turn(h);
		rounds++;
	}
	assert_int_equal(uncovered(h), 0);
	assert_true(rounds <= (MANY + ROUND - 1) / ROUND + 1);
	/* They are there for the next process. */
	struct takeover t;
	assert_int_equal(harness_crash(h, NULL, NULL, &t), 0);
	assert_int_equal(t.taken, MANY);
	for (unsigned i = 0; i < MANY; i++)
		close(theirs[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(soon_covered, setup, teardown),
	};

	return cmocka_run_group_tests_name("upkeep", tests, NULL, NULL);
}
