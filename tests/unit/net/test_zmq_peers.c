/* SPDX-License-Identifier: MIT */
/* Messages without an end: who sends one is found, and who sends many that have one is not taken for one. */
#include "tests/unit/unit.h"

#include "common/address.h"
#include "daemon/net/zmq_peers.h"

#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define LIMIT (1 << 20)

/* A PULL socket whose peers are watched, and one that speaks ZMTP by hand (rfc.zeromq.org/spec/23). */
struct fixture {
	void *libzmq, *pull, *monitor;
	int peer, fd; /* both ends of a connection */
	struct zmq_peers *peers;
	unsigned cut;
};

static void say(const struct fixture *f, const void *data, size_t len)
{
	for (size_t n = 0; n < len;) {
		ssize_t r = send(f->peer, (const char *)data + n, len - n, MSG_NOSIGNAL);
		assert_true(r > 0);
		n += (size_t)r;
	}
}

/* A frame of that many bytes; all of it, or only the first half. */
static void push(const struct fixture *f, size_t size, bool more, bool half)
{
	static const char data[1 << 17];
	uint8_t head[9] = {more ? 3 : 2};

	for (unsigned i = 0; i < 8; i++)
		head[1 + i] = (uint8_t)((uint64_t)size >> (56 - 8 * i));
	say(f, head, sizeof(head));
	say(f, data, half ? size / 2 : size);
}

static void push_rest(const struct fixture *f, size_t size)
{
	static const char data[1 << 17];

	say(f, data, size - size / 2);
}

static void greet(struct fixture *f, const char *endpoint)
{
	uint8_t greeting[64] = {0xff, [9] = 0x7f, [10] = 3, [12] = 'N', 'U', 'L', 'L'}, answer[64];
	static const char ready[] = "\x04\x1a\x05READY\x0bSocket-Type\0\0\0\x04PUSH";
	union address a;

	assert_int_equal(address_parse(endpoint + strlen("tcp://"), &a), 0);
	f->peer = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(f->peer, &a.sa, sizeof(a.in)), 0);
	setsockopt(f->peer, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
	say(f, greeting, sizeof(greeting));
	assert_int_equal(recv(f->peer, answer, sizeof(answer), MSG_WAITALL), sizeof(answer));
	say(f, ready, sizeof(ready) - 1);
}

/* libzmq tells of the connection that it has accepted. */
static void meet(struct fixture *f)
{
	uint8_t event[6], address[256];
	uint32_t fd;

	assert_int_equal(zmq_recv(f->monitor, event, sizeof(event), 0), sizeof(event));
	zmq_recv(f->monitor, address, sizeof(address), 0);
	memcpy(&fd, event + 2, sizeof(fd));
	f->fd = (int)fd;
	zmq_peers_came(f->peers, f->fd);
}

static int setup(void **state)
{
	struct fixture *f = test_calloc(1, sizeof(*f));
	char endpoint[256];
	size_t size = sizeof(endpoint);
	const int zero = 0;

	*state = f;
	f->libzmq = zmq_ctx_new();
	f->pull = zmq_socket(f->libzmq, ZMQ_PULL);
	zmq_setsockopt(f->pull, ZMQ_RCVHWM, &zero, sizeof(zero));
	assert_int_equal(zmq_socket_monitor(f->pull, "inproc://monitor", ZMQ_EVENT_ACCEPTED), 0);
	f->monitor = zmq_socket(f->libzmq, ZMQ_PAIR);
	assert_int_equal(zmq_connect(f->monitor, "inproc://monitor"), 0);
	assert_int_equal(zmq_bind(f->pull, "tcp://127.0.0.1:*"), 0);
	assert_int_equal(zmq_getsockopt(f->pull, ZMQ_LAST_ENDPOINT, endpoint, &size), 0);
	f->peers = zmq_peers_new();
	assert_non_null(f->peers);
	greet(f, endpoint);
	meet(f);
	assert_int_equal(zmq_peers_count(f->peers), 1);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	zmq_socket_monitor(f->pull, NULL, 0);
	zmq_close(f->monitor);
	zmq_close(f->pull);
	close(f->peer);
	zmq_ctx_term(f->libzmq);
	zmq_peers_free(f->peers);
	test_free(f);
	return 0;
}

/* Takes n messages, and then all that there are. */
static void pull(struct fixture *f, unsigned n)
{
	zmq_msg_t m;

	zmq_msg_init(&m);
	while (n-- > 0) {
		assert_true(zmq_msg_recv(&m, f->pull, 0) >= 0);
		zmq_peers_took(f->peers, &m);
	}
	assert_true(zmq_msg_recv(&m, f->pull, ZMQ_DONTWAIT) < 0);
	zmq_peers_took_all(f->peers);
	zmq_msg_close(&m);
}

static void cut(int fd, void *arg)
{
	(void)fd;
	((struct fixture *)arg)->cut++;
}

/* Looks some more times, when everything has been taken that there is. */
static void look(struct fixture *f)
{
	for (unsigned i = 0; i < 20; i++) {
		zmq_peers_look(f->peers, LIMIT, 1000, cut, f);
		nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
		pull(f, 0);
	}
}

/* Goes on within a message, for at most that many bytes; how many it were until it was cut off. */
static size_t endless(struct fixture *f, size_t most)
{
	size_t n = 0;

	for (; n < most && f->cut == 0; n += 1 << 14) {
		push(f, 1 << 14, true, false);
		zmq_peers_look(f->peers, LIMIT, 1000, cut, f);
		nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
		pull(f, 0);
	}
	return n;
}

static void a_message_without_an_end(void **state)
{
	struct fixture *f = *state;
	size_t n = endless(f, 20 * LIMIT);

	assert_int_equal(f->cut, 1);
	assert_true(n > LIMIT);
	look(f);
	assert_int_equal(f->cut, 1); /* once is enough */
	assert_false(zmq_peers_suspects(f->peers));
}

static void one_after_many_that_have_an_end(void **state)
{
	struct fixture *f = *state;

	for (unsigned i = 0; i < 3000; i++)
		push(f, 1000, false, false);
	pull(f, 3000);
	look(f);
	assert_int_equal(f->cut, 0);
	assert_true(endless(f, 20 * LIMIT) > LIMIT);
	assert_int_equal(f->cut, 1);
}

/* Many were sent and taken between two looks, and then one is half under way for a while. */
static void half_a_message_after_many_is_no_long_one(void **state)
{
	struct fixture *f = *state;

	for (unsigned round = 0; round < 100; round++) {
		for (unsigned i = 0; i < 2000; i++)
			push(f, 1000, false, false);
		pull(f, 2000);
		push(f, 1 << 17, false, true);
		for (unsigned i = 0; i < 3; i++) {
			zmq_peers_look(f->peers, LIMIT, 1000, cut, f);
			nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
			pull(f, 0);
		}
		assert_int_equal(f->cut, 0);
		push_rest(f, 1 << 17);
		pull(f, 1);
	}
}

/* As long as nothing can be taken, it is allowed as many as may wait. */
static void what_waits_is_no_long_one(void **state)
{
	struct fixture *f = *state;

	for (unsigned i = 0; i < 3000; i++)
		push(f, 1000, false, false);
	for (unsigned i = 0; i < 20; i++) {
		zmq_peers_look(f->peers, LIMIT, 1000, cut, f);
		nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
	}
	assert_int_equal(f->cut, 0);
	pull(f, 3000);
	look(f);
	assert_int_equal(f->cut, 0);
}

/* A suspect went on, and then everything was taken at once, between two looks. */
static void what_came_between_two_looks_is_no_long_one(void **state)
{
	struct fixture *f = *state;
	unsigned n = 0;

	/* It is only seen where libzmq has not read all yet. */
	for (; n < 200000 && !zmq_peers_suspects(f->peers); n++) {
		push(f, 1000, false, false);
		if (n > 2000)
			zmq_peers_look(f->peers, LIMIT, 1000, cut, f);
	}
	assert_true(zmq_peers_suspects(f->peers));
	for (unsigned i = 0; i < 3000; i++)
		push(f, 1000, false, false);
	pull(f, n + 3000);
	push(f, 1 << 17, false, true);
	look(f);
	assert_int_equal(f->cut, 0);
	push_rest(f, 1 << 17);
	pull(f, 1);
	assert_true(endless(f, 20 * LIMIT) > LIMIT);
	assert_int_equal(f->cut, 1);
}

/* What others say meanwhile is no sign that a message has come to its end. */
/* Its messages were taken before libzmq told that it is there. */
static void who_is_noticed_late_begins_then(void **state)
{
	struct fixture *f = *state;

	for (unsigned i = 0; i < 20; i++)
		push(f, 100000, false, false);
	pull(f, 20);
	zmq_peers_came(f->peers, f->fd);
	push(f, 1000, false, true);
	look(f);
	assert_int_equal(f->cut, 0);
	/* And so is one without an end. */
	push_rest(f, 1000);
	pull(f, 1);
	assert_in_range(endless(f, (size_t)4 * LIMIT), 1, (size_t)3 * LIMIT);
	assert_int_equal(f->cut, 1);
}

static void others_hide_none(void **state)
{
	struct fixture *f = *state, other = *f;
	char endpoint[256];
	size_t size = sizeof(endpoint), n = 0;

	assert_int_equal(zmq_getsockopt(f->pull, ZMQ_LAST_ENDPOINT, endpoint, &size), 0);
	greet(&other, endpoint);
	meet(&other);
	for (; n < 20 * LIMIT && f->cut == 0; n += 1 << 16) {
		for (unsigned i = 0; i < 4; i++)
			push(f, 1 << 14, true, false);
		push(&other, 100, false, false);
		pull(f, 1);
		zmq_peers_look(f->peers, LIMIT, 1000, cut, f);
		nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
	}
	assert_int_equal(f->cut, 1);
	close(other.peer);
}

static void who_has_gone_is_forgotten(void **state)
{
	struct fixture *f = *state;

	zmq_peers_went(f->peers, -1);
	for (int fd = 0; fd < 1024; fd++)
		zmq_peers_went(f->peers, fd);
	assert_int_equal(zmq_peers_count(f->peers), 0);
	zmq_peers_look(f->peers, LIMIT, 1000, cut, f);
	assert_int_equal(f->cut, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(a_message_without_an_end, setup, teardown),
	    cmocka_unit_test_setup_teardown(one_after_many_that_have_an_end, setup, teardown),
	    cmocka_unit_test_setup_teardown(half_a_message_after_many_is_no_long_one, setup, teardown),
	    cmocka_unit_test_setup_teardown(what_waits_is_no_long_one, setup, teardown),
	    cmocka_unit_test_setup_teardown(what_came_between_two_looks_is_no_long_one, setup, teardown),
	    cmocka_unit_test_setup_teardown(who_is_noticed_late_begins_then, setup, teardown),
	    cmocka_unit_test_setup_teardown(others_hide_none, setup, teardown),
	    cmocka_unit_test_setup_teardown(who_has_gone_is_forgotten, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
