/* SPDX-License-Identifier: MIT */
/* Where listeners' sockets listen: which places are the same, who lends a socket, and what is told of them. */
#include "tests/unit/unit.h"

#include "daemon/net/places.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct handler tcp = {.type = "tcp", .transport = TRANSPORT_TCP};
static const struct handler udp = {.type = "udp", .transport = TRANSPORT_UDP};
static const struct handler zmq = {.type = "zmq", .transport = TRANSPORT_ZMQ, .endpoints = {"pull", "pub"}};
static const struct handler zmq_one = {.type = "zmq", .transport = TRANSPORT_ZMQ, .endpoints = {"listen"}};

struct fixture {
	struct sockets *sockets;
	struct places_list there;
};

static int setup(void **state)
{
	struct fixture *f = test_calloc(1, sizeof(*f));

	*state = f;
	return sockets_take(&f->sockets);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	sockets_close(f->sockets);
	test_free(f);
	return 0;
}

/* Port 9 stands for any that is free, which no configuration can say. */
static union address address(const char *text)
{
	union address a;

	assert_int_equal(address_parse(text, &a), 0);
	if (a.in.sin_port == htons(9))
		a.in.sin_port = 0;
	return a;
}

static struct places places_at(const char *name, const struct handler *handler, const char *text)
{
	struct listener_config c = {.handler = handler, .listen = address(text), .backlog = 8};
	struct places p;

	snprintf(c.name, sizeof(c.name), "%s", name);
	places_init(&p, &c);
	return p;
}

static struct places zmq_at(const struct handler *handler, const char *first, const char *second)
{
	struct listener_config c = {.name = "z", .handler = handler};
	struct places p;

	snprintf(c.endpoints[0].text, sizeof(c.endpoints[0].text), "%s", first);
	snprintf(c.endpoints[1].text, sizeof(c.endpoints[1].text), "%s", second);
	for (unsigned i = 0; i < 2; i++)
		if (strncmp(c.endpoints[i].text, "tcp://", 6) == 0)
			c.endpoints[i].address = address(c.endpoints[i].text + 6);
	places_init(&p, &c);
	return p;
}

static uint64_t socket_of(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return st.st_ino;
}

static void same_and_not(void **state)
{
	const struct places a = places_at("a", &tcp, "127.0.0.1:5050"),
			    b = places_at("b", &tcp, "127.0.0.1:5050"),
			    datagrams = places_at("a", &udp, "127.0.0.1:5050"),
			    port = places_at("a", &tcp, "127.0.0.1:5051"),
			    all = places_at("a", &tcp, "[::]:5050");
	const struct place nowhere = {0};

	(void)state;
	assert_true(places_match(&a.at[0].wanted, &b.at[0].wanted));
	assert_false(places_match(&a.at[0].wanted, &datagrams.at[0].wanted));
	assert_false(places_match(&a.at[0].wanted, &port.at[0].wanted));
	assert_false(places_match(&a.at[0].wanted, &all.at[0].wanted));
	assert_false(places_match(&nowhere, &nowhere));
}

static void the_old_lend_their_sockets(void **state)
{
	struct fixture *f = *state;
	struct places old = places_at("old", &tcp, "127.0.0.1:9"), new, other;

	assert_int_equal(places_open(&old, f->sockets, &f->there), 0);
	assert_false(old.at[0].passed);
	assert_int_not_equal(address_port(&old.at[0].bound), 0);
	places_add(&f->there, &old);

	/* Whatever it is called. */
	new = places_at("new", &tcp, "127.0.0.1:9");
	old.at[0].passed = true;
	assert_int_equal(places_open(&new, f->sockets, &f->there), 0);
	assert_int_not_equal(new.at[0].fd, old.at[0].fd);
	assert_int_equal(socket_of(new.at[0].fd), socket_of(old.at[0].fd));
	assert_true(new.at[0].passed);
	assert_true(address_equal(&new.at[0].bound, &old.at[0].bound));
	places_close(&new);
	assert_int_equal(new.at[0].fd, -1);

	/* But not to datagrams. */
	other = places_at("old", &udp, "127.0.0.1:9");
	assert_int_equal(places_open(&other, f->sockets, &f->there), 0);
	assert_int_not_equal(socket_of(other.at[0].fd), socket_of(old.at[0].fd));
	assert_false(other.at[0].passed);
	places_close(&other);
	places_close(&old);
}

static void the_old_share_their_addresses(void **state)
{
	struct fixture *f = *state;
	struct places old, all;
	int r = -EADDRINUSE;

	/* A program that runs beside this one may have the port at another address. */
	for (unsigned tries = 0; r == -EADDRINUSE && tries < 50; tries++) {
		f->there = (struct places_list){0};
		old = places_at("a", &tcp, "127.0.0.1:9");
		all = places_at("a", &tcp, "[::]:9");
		assert_int_equal(places_open(&old, f->sockets, &f->there), 0);
		all.at[0].wanted.address.in6.sin6_port = old.at[0].bound.in.sin_port;
		assert_int_equal(places_open(&all, f->sockets, &f->there), -EADDRINUSE);
		assert_int_equal(all.at[0].fd, -1);
		places_add(&f->there, &old);
		r = places_open(&all, f->sockets, &f->there);
		if (r < 0)
			places_close(&old);
	}
	assert_int_equal(r, 0);
	/* Only for a moment. */
	int share;
	socklen_t len = sizeof(share);
	assert_int_equal(getsockopt(old.at[0].fd, SOL_SOCKET, SO_REUSEPORT, &share, &len), 0);
	assert_int_equal(share, 0);
	places_close(&all);
	places_close(&old);
}

/* One of two can't be opened: neither is. */
static void all_or_none(void **state)
{
	struct fixture *f = *state;
	struct places busy = places_at("busy", &tcp, "127.0.0.1:9"), p;
	char text[ADDRESS_TEXT_MAX], second[200];

	assert_int_equal(places_open(&busy, f->sockets, &f->there), 0);
	snprintf(second, sizeof(second), "tcp://%s", address_format(&busy.at[0].bound, text));
	p = zmq_at(&zmq, "tcp://127.0.0.1:9", second);
	assert_int_equal(places_open(&p, f->sockets, &f->there), -EADDRINUSE);
	assert_int_equal(p.at[0].fd, -1);
	assert_int_equal(p.at[1].fd, -1);
	places_close(&busy);
}

static void libzmq_opens_what_is_not_tcp(void **state)
{
	struct fixture *f = *state;
	struct places p = zmq_at(&zmq, "ipc:///nowhere/at/all", "tcp://127.0.0.1:9");

	assert_int_equal(places_open(&p, f->sockets, &f->there), 0);
	assert_int_equal(p.at[0].fd, -1);
	assert_true(p.at[1].fd >= 0);
	assert_string_equal(p.at[0].wanted.name, "z.pull");
	assert_string_equal(p.at[1].wanted.name, "z.pub");
	places_close(&p);
}

static void told_to_people(void **state)
{
	struct fixture *f = *state;
	char text[PLACES_TEXT_MAX], bound[ADDRESS_TEXT_MAX], expected[PLACES_TEXT_MAX];
	struct places p = places_at("a", &tcp, "[::]:5050");

	assert_string_equal(places_text(&p, text), "[::]:5050");
	p = zmq_at(&zmq_one, "tcp://[::1]:6000", "");
	assert_string_equal(places_text(&p, text), "tcp://[::1]:6000");
	p = zmq_at(&zmq, "tcp://127.0.0.1:9", "ipc:///run/x");
	assert_string_equal(places_text(&p, text), "pull tcp://127.0.0.1:9 pub ipc:///run/x");
	assert_int_equal(places_open(&p, f->sockets, &f->there), 0);
	snprintf(expected, sizeof(expected), "pull tcp://%s pub ipc:///run/x",
		 address_format(&p.at[0].bound, bound));
	assert_string_equal(places_text(&p, text), expected);
	places_close(&p);
}

static void endpoints_collide(void **state)
{
	struct fixture *f = *state;
	struct places old = zmq_at(&zmq, "ipc:///a", "ipc:///b"), free = zmq_at(&zmq, "ipc:///c", "ipc:///d"),
		      taken = zmq_at(&zmq_one, "ipc:///b", ""), chat = places_at("a", &tcp, "127.0.0.1:1");

	places_add(&f->there, &chat);
	places_add(&f->there, &old);
	assert_false(places_collide(&free, &f->there));
	assert_true(places_collide(&taken, &f->there));
	assert_false(places_collide(&chat, &f->there));
}

static void note(const char *name, int fd, void *arg)
{
	char *text = arg;

	(void)fd;
	snprintf(text + strlen(text), 100 - strlen(text), "%s ", name);
}

static void kept_by_their_names(void **state)
{
	struct fixture *f = *state;
	struct places p = zmq_at(&zmq, "tcp://127.0.0.1:9", "tcp://127.0.0.1:9");
	char own[SOCKETS_OWN_NAME_MAX], text[100] = "", expected[200];

	places_each(&p, true, note, text);
	assert_string_equal(text, ""); /* they are not open */
	assert_int_equal(places_open(&p, f->sockets, &f->there), 0);
	p.at[1].passed = true;
	places_each(&p, true, note, text);
	snprintf(expected, sizeof(expected), "%s z.pub ", sockets_own_name("z.pull", own));
	assert_string_equal(text, expected);
	text[0] = '\0';
	places_each(&p, false, note, text);
	snprintf(expected, sizeof(expected), "%s ", own);
	assert_string_equal(text, expected);
	places_close(&p);
}

/* What systemd passed waits for the next reload, unless somebody who stays has it. */
static void given_back(void **state)
{
	struct fixture *f = *state;
	struct places p = places_at("web", &tcp, "127.0.0.1:9"), again = places_at("x", &tcp, "127.0.0.1:9");
	struct places_list staying = {NULL};

	assert_int_equal(places_open(&p, f->sockets, &f->there), 0);
	places_give_back(&p, f->sockets, &staying);
	assert_int_equal(sockets_claim(f->sockets, "web"), -ENOENT); /* it is our own */
	p.at[0].passed = true;
	places_add(&staying, &again);
	places_give_back(&p, f->sockets, &staying);
	assert_int_equal(sockets_claim(f->sockets, "web"), -ENOENT);
	staying.first = NULL;
	places_give_back(&p, f->sockets, &staying);
	int fd = sockets_claim(f->sockets, "web");
	assert_true(fd >= 0);
	assert_int_equal(socket_of(fd), socket_of(p.at[0].fd));
	close(fd);
	places_close(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(same_and_not),
	    cmocka_unit_test_setup_teardown(the_old_lend_their_sockets, setup, teardown),
	    cmocka_unit_test_setup_teardown(the_old_share_their_addresses, setup, teardown),
	    cmocka_unit_test_setup_teardown(all_or_none, setup, teardown),
	    cmocka_unit_test_setup_teardown(libzmq_opens_what_is_not_tcp, setup, teardown),
	    cmocka_unit_test_setup_teardown(told_to_people, setup, teardown),
	    cmocka_unit_test_setup_teardown(endpoints_collide, setup, teardown),
	    cmocka_unit_test_setup_teardown(kept_by_their_names, setup, teardown),
	    cmocka_unit_test_setup_teardown(given_back, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
