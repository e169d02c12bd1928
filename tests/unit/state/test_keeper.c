/* SPDX-License-Identifier: MIT */
/* Copies of sockets in the keeper: they are there for the next process, however they are merged, until they end. */
#include "tests/unit/unit.h"

#include "daemon/base/logger.h"
#include "daemon/state/keeper.h"
#include "daemon/state/sockets.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define MANY 400

struct fixture {
	struct keeper *k;
	int listener;
	int ours[MANY], theirs[MANY];
	ino_t inodes[MANY];
	unsigned n;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

	struct rlimit l;

	/* The kernel allows a user as many sockets in flight. */
	if (getrlimit(RLIMIT_NOFILE, &l) == 0) {
		l.rlim_cur = l.rlim_max;
		setrlimit(RLIMIT_NOFILE, &l);
	}
	log_open(LOG_CRIT);
	f->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(f->listener, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(f->listener, 64) < 0)
		return -1;
	*state = f;
	return keeper_new(NULL, &f->k);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	keeper_free(f->k);
	for (unsigned i = 0; i < f->n; i++) {
		if (f->ours[i] >= 0)
			close(f->ours[i]);
		if (f->theirs[i] >= 0)
			close(f->theirs[i]);
	}
	close(f->listener);
	free(f);
	return 0;
}

static ino_t inode(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return st.st_ino;
}

static void add(struct fixture *f, unsigned n)
{
	struct sockaddr_in a;
	socklen_t len = sizeof(a);

	assert_int_equal(getsockname(f->listener, (struct sockaddr *)&a, &len), 0);
	for (; n > 0; n--, f->n++) {
		f->theirs[f->n] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		assert_int_equal(connect(f->theirs[f->n], (struct sockaddr *)&a, sizeof(a)), 0);
		f->ours[f->n] = accept4(f->listener, NULL, NULL, SOCK_CLOEXEC);
		f->inodes[f->n] = inode(f->ours[f->n]);
		assert_int_equal(keeper_add(f->k, &f->ours[f->n], 1), 0);
	}
}

static void end_one(struct fixture *f, unsigned i)
{
	close(f->theirs[i]);
	f->theirs[i] = -1;
	shutdown(f->ours[i], SHUT_RDWR);
	close(f->ours[i]);
	f->ours[i] = -1;
}

/* The process dies: its sockets are closed, and the next one gets the pairs. */
static void pass(const char *name, int fd, void *arg)
{
	sockets_give_back(arg, fcntl(fd, F_DUPFD_CLOEXEC, 3), name);
}

static void die(struct fixture *f)
{
	struct sockets *passed;

	assert_int_equal(sockets_take(&passed), 0);
	keeper_pairs(f->k, pass, passed);
	keeper_free(f->k);
	assert_int_equal(keeper_new(passed, &f->k), 0);
	assert_int_equal(sockets_claim(passed, "chatd-keeper-1-w"), -ENOENT);
	sockets_close(passed);
}

struct seen {
	struct fixture *f;
	unsigned times[MANY], others;
};

static void look(int fd, void *arg)
{
	struct seen *s = arg;
	ino_t at = inode(fd);
	unsigned i = 0;

	while (i < s->f->n && s->f->inodes[i] != at)
		i++;
	if (i < s->f->n)
		s->times[i]++;
	else
		s->others++;
	close(fd);
}

static void count_pair(const char *name, int fd, void *arg)
{
	(void)name;
	(void)fd;
	++*(unsigned *)arg;
}

/* Every socket that has not ended is found; looking takes nothing away. */
static void assert_all_there(struct fixture *f)
{
	for (unsigned again = 0; again < 2; again++) {
		struct seen s = {.f = f};
		die(f);
		keeper_each(f->k, look, &s);
		assert_int_equal(s.others, 0);
		for (unsigned i = 0; i < f->n; i++)
			if (f->ours[i] >= 0)
				assert_true(s.times[i] >= 1);
	}
}

static void kept(void **state)
{
	struct fixture *f = *state;

	add(f, 3);
	assert_all_there(f);
	add(f, 2); /* the newest pair goes on being filled */
	assert_all_there(f);
	/* It is the same connection: what one end says the other hears. */
	assert_int_equal(send(f->theirs[0], "x", 1, 0), 1);
	char c;
	assert_int_equal(recv(f->ours[0], &c, 1, 0), 1);
}

static void merged(void **state)
{
	struct fixture *f = *state;
	unsigned pairs = 0;

	add(f, 300);
	for (unsigned i = 0; i < 300; i += 3)
		end_one(f, i);
	unsigned steps = 0;
	while (keeper_merge(f->k, 200))
		assert_true(++steps < 100);
	assert_true(steps > 0);
	keeper_pairs(f->k, count_pair, &pairs);
	assert_true(pairs >= 4 && pairs <= 10); /* two ends each, of the base and of what new sockets go to */
	struct seen s = {.f = f};
	die(f);
	keeper_each(f->k, look, &s);
	for (unsigned i = 0; i < f->n; i++)
		assert_int_equal(s.times[i], i % 3 == 0 ? 0 : 1); /* those that ended are out */
	add(f, 50);
	assert_all_there(f);
}

/* Interrupted within a merge, nothing is missing; some may be there twice. */
static void merge_is_cut(void **state)
{
	struct fixture *f = *state;

	add(f, 300);
	assert_true(keeper_merge(f->k, 300));
	assert_all_there(f);
	while (keeper_merge(f->k, 300))
		;
	assert_all_there(f);
}

static unsigned pairs(struct fixture *f)
{
	unsigned ends = 0;

	keeper_pairs(f->k, count_pair, &ends);
	return ends / 2;
}

static bool asks_for_pairs(struct fixture *f)
{
	struct pollfd p = {.fd = keeper_fd(f->k), .events = POLLIN};

	return poll(&p, 1, 0) == 1;
}

/* The same socket again and again, one by one, until the keeper takes no more. */
static unsigned fill(struct fixture *f)
{
	unsigned n = 0;

	while (keeper_add(f->k, &f->ours[0], 1) == 0)
		assert_true(++n < 10000);
	return n;
}

static void relieved(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(pairs(f), 1);
	keeper_relieve(f->k); /* nobody asked for it */
	assert_int_equal(pairs(f), 1);
	add(f, 100);
	assert_false(asks_for_pairs(f));
	add(f, 120); /* the pair is half full */
	assert_true(asks_for_pairs(f));
	keeper_relieve(f->k);
	assert_false(asks_for_pairs(f));
	assert_true(pairs(f) > 1);
	/* It has been seen to before anybody has to wait. */
	unsigned n = pairs(f);
	add(f, 100);
	assert_false(asks_for_pairs(f));
	assert_int_equal(pairs(f), n);
	assert_all_there(f);
}

/* However many come before the main thread has its turn: what fits is known, and there is more space afterwards. */
static void filled(void **state)
{
	struct fixture *f = *state;

	add(f, 1);
	unsigned first = fill(f);
	assert_true(asks_for_pairs(f));
	assert_int_equal(fill(f), 0);
	keeper_relieve(f->k);
	assert_true(fill(f) >= 3 * first);
	/* Those that are full are merged, and a line that is empty again is no reason to look. */
	for (unsigned round = 0; round < 3; round++) {
		keeper_relieve(f->k);
		assert_true(fill(f) >= 3 * first);
	}
	while (keeper_merge(f->k, 1))
		;
	add(f, 10);
	assert_all_there(f);
}

/* What comes in one turn is one message, so that sixteen times as many fit. */
static void together(void **state)
{
	struct fixture *f = *state;
	unsigned n = 0;

	add(f, 16);
	while (keeper_add(f->k, f->ours, 16) == 0)
		assert_true(++n < 10000);
	assert_true(n >= 300);
	keeper_relieve(f->k);
	while (keeper_merge(f->k, 16))
		;
	assert_all_there(f);
}

/* More than one base holds: each is full of messages of 253, and none is merged again after a crash. */
static void many(void **state)
{
	struct fixture *f = *state;
	unsigned n = 0;

	add(f, 253);
	for (unsigned round = 0; round < 4; round++) {
		while (keeper_add(f->k, f->ours, 253) == 0)
			assert_true(++n < 10000);
		keeper_relieve(f->k);
		while (keeper_merge(f->k, 1000000))
			;
	}
	assert_true(n > 1200);
	unsigned before = pairs(f);
	assert_true(before > 4);
	assert_all_there(f);
	while (keeper_merge(f->k, 1000000))
		;
	assert_true(pairs(f) <= before);
	assert_all_there(f);
	/* Nearly all of them are copies: base by base they are made anew. */
	assert_true(keeper_merge(f->k, 0));
}

static void forgotten(void **state)
{
	struct fixture *f = *state;
	struct seen s = {.f = f};

	add(f, 5);
	assert_int_equal(keeper_forget(f->k), 0);
	die(f);
	keeper_each(f->k, look, &s);
	for (unsigned i = 0; i < f->n; i++)
		assert_int_equal(s.times[i], 0);
	add(f, 1);
	for (unsigned i = 0; i < 5; i++)
		end_one(f, i);
	assert_all_there(f);
}

/* What is passed under the keeper's names and is none, or only one end of a pair, does no harm. */
static void strange_things(void **state)
{
	struct fixture *f = *state;
	struct sockets *passed;
	int pair[2], null = open("/dev/null", O_RDWR | O_CLOEXEC);

	add(f, 3);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(sockets_take(&passed), 0);
	pass("chatd-keeper-7-w", null, passed);
	pass("chatd-keeper-x-r", pair[0], passed);
	pass("chatd-keeper-9-w", pair[1], passed);
	keeper_pairs(f->k, pass, passed);
	pass("chatd-keeper-", null, passed);
	keeper_free(f->k);
	assert_int_equal(keeper_new(passed, &f->k), 0);
	sockets_close(passed);
	close(pair[0]);
	close(pair[1]);
	close(null);
	assert_all_there(f);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(kept),	    CASE(merged), CASE(merge_is_cut), CASE(relieved),	    CASE(filled),
	    CASE(together), CASE(many),	  CASE(forgotten),    CASE(strange_things),
	};

	return cmocka_run_group_tests_name("keeper", tests, NULL, NULL);
}
