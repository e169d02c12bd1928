/* SPDX-License-Identifier: MIT */
/* Passed file descriptors: which listener gets which, and what becomes of the others. */
#include "tests/unit/unit.h"

#include "daemon/base/logger.h"
#include "daemon/state/sockets.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct fixture {
	struct sockets *s;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	log_open(LOG_CRIT);
	*state = f;
	return sockets_take(&f->s);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	sockets_close(f->s);
	free(f);
	return 0;
}

static int bound(bool datagrams, union address *ret)
{
	socklen_t len = sizeof(*ret);
	int fd = socket(AF_INET, (datagrams ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0);

	memset(ret, 0, sizeof(*ret));
	ret->in.sin_family = AF_INET;
	ret->in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(fd, &ret->sa, sizeof(ret->in)), 0);
	assert_int_equal(getsockname(fd, &ret->sa, &len), 0);
	if (!datagrams)
		assert_int_equal(listen(fd, 5), 0);
	return fd;
}

static struct place place_of(const char *name, bool datagrams, const union address *a)
{
	struct place p = {.datagrams = datagrams, .address = *a, .backlog = 5};

	snprintf(p.name, sizeof(p.name), "%s", name);
	return p;
}

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static void by_name_before_address(void **state)
{
	struct fixture *f = *state;
	union address here, there;
	int one = bound(false, &here), two = bound(false, &there);
	bool passed = false;

	sockets_give_back(f->s, one, "other");
	sockets_give_back(f->s, two, "chat");
	assert_true(sockets_were_passed(f->s));
	/* A socket of its name, wherever it listens; then the one at its address. */
	struct place p = place_of("chat", false, &here);
	assert_int_equal(sockets_listen(f->s, &p, false, &passed), two);
	assert_true(passed);
	passed = false;
	assert_int_equal(sockets_listen(f->s, &p, false, &passed), one);
	assert_true(passed);
	close(one);
	close(two);
}

static void of_one_name_the_right_one(void **state)
{
	struct fixture *f = *state;
	union address here, there;
	int one = bound(false, &here), two = bound(false, &there);
	bool passed;

	sockets_give_back(f->s, one, "chat");
	sockets_give_back(f->s, two, "chat");
	struct place p = place_of("chat", false, &there);
	assert_int_equal(sockets_listen(f->s, &p, false, &passed), two);
	close(two);
}

static void of_the_wrong_kind(void **state)
{
	struct fixture *f = *state;
	union address a, b;
	int udp = bound(true, &a), tcp = bound(false, &b);
	bool passed = true;

	close(tcp);
	sockets_give_back(f->s, udp, "chat");
	struct place p = place_of("chat", false, &b);
	int fd = sockets_listen(f->s, &p, false, &passed);
	assert_true(fd >= 0 && fd != udp);
	assert_false(passed);
	close(fd);
	p = place_of("chat", true, &a);
	assert_int_equal(sockets_listen(f->s, &p, false, &passed), udp);
	assert_true(passed);
	close(udp);
}

/* A socket that chatd had bound itself is good for its address only, whatever the listener is called now. */
static void own_ones_come_back(void **state)
{
	struct fixture *f = *state;
	union address here, there;
	int fd = bound(false, &here), gone = bound(false, &there);
	char name[SOCKETS_OWN_NAME_MAX];
	bool passed = true;

	close(gone);
	sockets_give_back(f->s, fd, sockets_own_name("chat", name));
	struct place p = place_of("chat", false, &there);
	int fresh = sockets_listen(f->s, &p, false, &passed);
	assert_true(fresh >= 0 && fresh != fd);
	assert_false(passed);
	p = place_of("renamed", false, &here);
	assert_int_equal(sockets_listen(f->s, &p, false, &passed), fd);
	assert_false(passed);
	close(fd);
	close(fresh);
}

static void an_address_in_use(void **state)
{
	struct fixture *f = *state;
	union address a;
	int fd = bound(false, &a);
	bool passed;
	struct place p = place_of("chat", false, &a);

	assert_int_equal(sockets_listen(f->s, &p, false, &passed), -EADDRINUSE);
	close(fd);
}

static void claims(void **state)
{
	struct fixture *f = *state;
	int pair[2];
	char name[64];

	assert_int_equal(pipe2(pair, O_CLOEXEC), 0);
	sockets_give_back(f->s, pair[0], "chatd-keeper-1-r");
	sockets_give_back(f->s, pair[1], "state");
	assert_int_equal(sockets_claim(f->s, "stat"), -ENOENT);
	assert_int_equal(sockets_claim(f->s, "state"), pair[1]);
	assert_int_equal(sockets_claim(f->s, "state"), -ENOENT);
	assert_int_equal(sockets_claim_prefix(f->s, "chatd-keeper-", name, sizeof(name)), pair[0]);
	assert_string_equal(name, "chatd-keeper-1-r");
	close(pair[0]);
	close(pair[1]);
}

/* chatd's own leftovers are closed, of whatever layout the state is; an admin's are kept. */
static void settled(void **state)
{
	static const struct {
		const char *name;
		bool kept;
	} cases[] = {
	    {"chatd-keeper-3-w", false},
	    {"chatd-own-chat", false},
	    {"chatd-rooms", false},
	    {"chatd-clients", false},
	    {"chatd-rooms-5", false},
	    {"chatd-clients-12", false},
	    {"chatd-cluster", false},
	    {"chatd-secrets-5", false},
	    {"chatd-secrets.socket", true},
	    {"chatd-rooms.socket", true},
	    {"chatd-rooms-a", true},
	    {"chatd-extra.socket", true},
	    {"chat", true},
	};
	struct fixture *f = *state;
	int fds[sizeof(cases) / sizeof(*cases)];

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		fds[i] = open("/dev/null", O_RDWR | O_CLOEXEC);
		sockets_give_back(f->s, fds[i], cases[i].name);
	}
	sockets_settle(f->s);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		assert_int_equal(is_open(fds[i]), cases[i].kept);
}

static void handed_over(void **state)
{
	struct fixture *f = *state;
	char text[128];
	int fd = fcntl(STDIN_FILENO, F_DUPFD, 20);

	sockets_close(f->s);
	snprintf(text, sizeof(text), "%d:%d=chat", (int)getpid(), fd);
	setenv("CHATD_HANDOVER", text, 1);
	assert_int_equal(sockets_take(&f->s), 0);
	assert_null(getenv("CHATD_HANDOVER"));
	assert_int_equal(sockets_claim(f->s, "chat"), fd);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	close(fd);
	/* Meant for somebody else, and nonsense. */
	static const char *const strange[] = {"1:20=chat",	"",	"x",	":::", "%d:0=chat",
					      "%d:999999=chat", "%d:=", "%d:20"};
	for (size_t i = 0; i < sizeof(strange) / sizeof(*strange); i++) {
		sockets_close(f->s);
		if (strange[i][0] == '%')
			snprintf(text, sizeof(text), "%d%s", (int)getpid(), strange[i] + 2);
		else
			snprintf(text, sizeof(text), "%s", strange[i]);
		setenv("CHATD_HANDOVER", text, 1);
		assert_int_equal(sockets_take(&f->s), 0);
		assert_false(sockets_were_passed(f->s));
	}
}

static void addresses(void **state)
{
	union address a, wanted;
	char text[128];
	int fd = bound(false, &a), pair[2];

	(void)state;
	assert_true(sockets_bound(fd, &wanted, text, sizeof(text)));
	assert_true(sockets_same_place(&wanted, &a));
	assert_int_equal(strncmp(text, "tcp://127.0.0.1:", 16), 0);
	close(fd);
	assert_int_equal(pipe2(pair, O_CLOEXEC), 0);
	assert_false(sockets_bound(pair[0], &wanted, text, sizeof(text)));
	close(pair[0]);
	close(pair[1]);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(by_name_before_address),
	    CASE(of_one_name_the_right_one),
	    CASE(of_the_wrong_kind),
	    CASE(own_ones_come_back),
	    CASE(an_address_in_use),
	    CASE(claims),
	    CASE(settled),
	    CASE(handed_over),
	    CASE(addresses),
	};

	return cmocka_run_group_tests_name("sockets", tests, NULL, NULL);
}
