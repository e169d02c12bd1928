/* SPDX-License-Identifier: MIT */
/*
 * Clients of the control socket: calls and replies, wrong calls, streams, who reads nothing, who makes way.
 */
#include "tests/unit/unit.h"

#include "daemon/control/client.h"
#include "daemon/control/errand.h"
#include "daemon/control/host.h"
#include "daemon/control/interfaces.h"
#include "tests/harness.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define DESCRIBE                                                                                             \
	"{\"method\":\"org.varlink.service.GetInterfaceDescription\",\"parameters\":{\"interface\":"         \
	"\"io.chatd.Control\"}}"
#define CALL(method, parameters) "{\"method\":\"io.chatd.Control." method "\",\"parameters\":" parameters "}"
#define MORE(method, parameters)                                                                             \
	"{\"more\":true,\"method\":\"io.chatd.Control." method "\",\"parameters\":" parameters "}"

static const char config[] = "rooms = ({name = \"lobby\"; log_size = 262144;}); listeners = ({name = "
			     "\"chat\"; type = \"tcp\"; mode = \"chat\"; "
			     "listen = \"127.0.0.1:5050\"; room = \"lobby\";});";

struct fixture {
	struct harness *harness;
	struct shared *shared;
	struct host host;
	struct listeners *listeners;
	struct control_clients clients;
};

static int setup_with(void **state, struct harness *h)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->harness = h;
	f->shared = harness_shared(h);
	f->host.ctx.shared = f->shared;
	f->host.ctx.config = worker_context(f->shared->workers[0])->config;
	assert_int_equal(slots_take(f->shared->slots, false, &f->host.ctx.slot), 0);
	f->host.ctx.counters = context_counters(f->shared, f->host.ctx.slot);
	assert_int_equal(listeners_new(f->shared, NULL, &f->listeners), 0);
	f->host.listeners = f->listeners;
	f->clients.host = &f->host;
	spares_init(&f->clients.spares);
	*state = f;
	return sd_event_new(&f->clients.event) < 0 ? -1 : 0;
}

static int setup(void **state)
{
	return setup_with(state, harness_new(config));
}

static int setup_clustered(void **state)
{
	return setup_with(state, harness_new_clustered(config));
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	control_clients_free(&f->clients);
	assert_int_equal(f->clients.n, 0);
	spares_use(&f->clients.spares);
	sd_event_unref(f->clients.event);
	listeners_free(f->listeners);
	harness_free(f->harness);
	free(f);
	return 0;
}

/* The main thread's event loop, until it has nothing to do. */
static void settle(struct fixture *f)
{
	while (sd_event_run(f->clients.event, 0) > 0)
		;
}

/* The other end of a new client. */
static int connect_client(struct fixture *f)
{
	int fd[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd), 0);
	assert_int_equal(control_client_new(&f->clients, fd[0], "root (uid 0, pid 1)"), 0);
	return fd[1];
}

/* Sends a call with its NUL. */
static void send_call(int fd, const char *call)
{
	size_t len = strlen(call) + 1;

	assert_int_equal(send(fd, call, len, MSG_NOSIGNAL), len);
}

/* The next reply, for which the event loop is run; NULL: none comes. */
static json_t *next_reply(struct fixture *f, int fd)
{
	static char buf[1 << 20];
	size_t n = 0;

	for (;;) {
		ssize_t r = recv(fd, buf + n, 1, 0);
		if (r == 1 && buf[n] == '\0')
			break;
		if (r == 1) {
			n++;
			continue;
		}
		if (r == 0)
			return NULL;
		if (sd_event_run(f->clients.event, 0) <= 0 && recv(fd, buf + n, 1, MSG_PEEK) <= 0)
			return NULL;
	}
	json_t *reply = json_loads(buf, JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(reply);
	return reply;
}

static bool is_closed(struct fixture *f, int fd)
{
	char c;

	settle(f);
	return recv(fd, &c, 1, 0) == 0;
}

/*
 * The call's only reply is that error (of io.chatd.Control, or of org.varlink.service where it says so), and
 * member of its parameters is value.
 */
static void assert_error(struct fixture *f, int fd, const char *call, const char *error, const char *member,
			 const char *value)
{
	send_call(fd, call);
	json_t *reply = next_reply(f, fd);
	assert_non_null(reply);
	assert_string_equal(json_string_value(json_object_get(reply, "error")), error);
	const json_t *v = json_object_get(json_object_get(reply, "parameters"), member);
	assert_string_equal(json_string_value(v), value);
	json_decref(reply);
	assert_null(next_reply(f, fd));
}

static json_t *parameters_of(json_t *reply)
{
	json_t *parameters = json_incref(json_object_get(reply, "parameters"));

	assert_null(json_object_get(reply, "error"));
	assert_true(json_is_object(parameters));
	json_decref(reply);
	return parameters;
}

/* What is said in a room, each line as "LINE|". */
static void assert_messages(json_t *reply, const char *lines)
{
	json_t *p = parameters_of(reply);
	const json_t *m, *array = json_object_get(p, "messages");
	char all[1000] = "";
	size_t i;

	json_array_foreach(array, i, m)
	{
		strcat(all, json_string_value(json_object_get(m, "line")));
		strcat(all, "|");
	}
	assert_string_equal(all, lines);
	json_decref(p);
}

/* --- calls --- */

static void answers_in_order(void **state)
{
	static const char calls[] = DESCRIBE "\0" CALL("List", "{\"what\":\"rooms\"}") "\0" CALL(
	    "Send", "{\"room\":\"lobby\",\"text\":\"hello\"}");
	struct fixture *f = *state;
	int fd = connect_client(f);

	/* All at once, then in bytes. */
	assert_int_equal(send(fd, calls, sizeof(calls), 0), sizeof(calls));
	for (int round = 0; round < 2; round++) {
		json_t *p = parameters_of(next_reply(f, fd));
		assert_string_equal(json_string_value(json_object_get(p, "description")), control_interface);
		json_decref(p);
		p = parameters_of(next_reply(f, fd));
		assert_int_equal(json_array_size(json_object_get(p, "rooms")), 1);
		json_decref(p);
		p = parameters_of(next_reply(f, fd));
		assert_int_equal(json_object_size(p), 0);
		json_decref(p);
		assert_null(next_reply(f, fd));
		for (size_t i = 0; round == 0 && i < sizeof(calls); i++) {
			assert_int_equal(send(fd, calls + i, 1, 0), 1);
			settle(f);
		}
	}
	close(fd);
	settle(f);
	assert_int_equal(f->clients.n, 0);
}

static void says_what_is_wrong(void **state)
{
	static const char service[] = "org.varlink.service.", control[] = "io.chatd.Control.";
	static const struct {
		const char *call, *interface, *error, *member, *value;
	} wrong[] = {
	    {CALL("Dance", "{}"), service, "MethodNotFound", "method", "io.chatd.Control.Dance"},
	    {"{\"method\":\"Status\"}", service, "MethodNotFound", "method", "Status"},
	    {"{\"method\":\"org.varlink.service.GetInterfaceDescription\"}", service, "InvalidParameter",
	     "parameter", "interface"},
	    {"{\"method\":\"org.varlink.service.GetInterfaceDescription\",\"parameters\":{\"interface\":\"x."
	     "y\"}}",
	     service, "InterfaceNotFound", "interface", "x.y"},
	    {CALL("List", "{\"what\":1}"), service, "InvalidParameter", "parameter", "what"},
	    {CALL("List", "null"), service, "InvalidParameter", "parameter", "what"},
	    {CALL("Kick", "{\"id\":\"1\"}"), service, "InvalidParameter", "parameter", "id"},
	    {CALL("Kick", "{\"id\":1,\"reason\":1}"), service, "InvalidParameter", "parameter", "reason"},
	    {CALL("Ban", "{\"address\":\"here\"}"), service, "InvalidParameter", "parameter", "address"},
	    {CALL("Ban", "{\"address\":\"192.0.2.1\",\"seconds\":0}"), service, "InvalidParameter",
	     "parameter", "seconds"},
	    {CALL("Send", "{\"text\":\"x\"}"), service, "InvalidParameter", "parameter", "room"},
	    {CALL("Send", "{\"room\":\"lobby\"}"), service, "InvalidParameter", "parameter", "text"},
	    {CALL("Send", "{\"room\":\"lobby\",\"text\":\"x\",\"as\":1}"), service, "InvalidParameter",
	     "parameter", "as"},
	    {CALL("Send", "{\"room\":\"lobby\",\"text\":\"x\",\"as\":\"a b\"}"), control, "Refused", "reason",
	     "\"a b\" is not a valid nick"},
	    {CALL("Send", "{\"room\":\"lobby\",\"text\":\"\"}"), control, "Refused", "reason",
	     "the message is empty"},
	    {CALL("Send", "{\"room\":\"lobby\",\"text\":\"a\\nb\"}"), control, "Refused", "reason",
	     "a message is one line"},
	    {CALL("Send", "{\"room\":\"nowhere\",\"text\":\"x\"}"), control, "Refused", "reason",
	     "there is no room nowhere"},
	    {CALL("Tail", "{\"room\":\"lobby\"}"), control, "Refused", "reason",
	     "Tail has many replies, so the call must say \"more\""},
	    {MORE("Tail", "{\"room\":\"lobby\",\"lines\":-1}"), service, "InvalidParameter", "parameter",
	     "lines"},
	    {MORE("Tail", "{\"room\":\"lobby\",\"from\":\"x\"}"), service, "InvalidParameter", "parameter",
	     "from"},
	    {MORE("Tail", "{\"room\":\"nowhere\"}"), control, "Refused", "reason",
	     "there is no room nowhere"},
	};
	struct fixture *f = *state;
	int fd = connect_client(f);

	/* None of them ends the connection. */
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		char error[100];
		snprintf(error, sizeof(error), "%s%s", wrong[i].interface, wrong[i].error);
		assert_error(f, fd, wrong[i].call, error, wrong[i].member, wrong[i].value);
	}
	close(fd);
}

static void disconnects_who_speaks_no_varlink(void **state)
{
	static const char *const lines[] = {
	    "GET / HTTP/1.0\r\n\r\n", "[]", "", "{\"method\":\"a\",\"method\":\"b\"}",
	    "{\"method\":\"\xff\"}",
	};
	static char much[CONTROL_REQUEST_MAX + 2];
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++) {
		int fd = connect_client(f);
		send_call(fd, lines[i]);
		assert_true(is_closed(f, fd));
		close(fd);
	}
	/* These are told before they go. */
	int fd = connect_client(f);
	send_call(fd, "{\"parameters\":{}}");
	json_t *reply = next_reply(f, fd);
	assert_string_equal(json_string_value(json_object_get(reply, "error")),
			    "org.varlink.service.InvalidParameter");
	json_decref(reply);
	assert_true(is_closed(f, fd));
	close(fd);
	/* However long it is, it never ends. */
	fd = connect_client(f);
	memset(much, 'x', sizeof(much));
	size_t sent = 0;
	while (sent < sizeof(much)) {
		ssize_t n = send(fd, much + sent, sizeof(much) - sent, MSG_NOSIGNAL);
		if (n < 0 && errno != EAGAIN)
			break;
		sent += n > 0 ? (size_t)n : 0;
		settle(f);
	}
	settle(f);
	assert_int_equal(f->clients.n, 0);
	close(fd);
}

static void oneway_has_no_reply(void **state)
{
	struct fixture *f = *state;
	int fd = connect_client(f);

	send_call(fd, "{\"oneway\":true,\"method\":\"io.chatd.Control.Send\",\"parameters\":{\"room\":"
		      "\"lobby\",\"text\":\"one way\"}}");
	send_call(fd, "{\"oneway\":true,\"method\":\"io.chatd.Control.Dance\"}");
	assert_null(next_reply(f, fd));
	send_call(fd, MORE("Tail", "{\"room\":\"lobby\"}"));
	assert_messages(next_reply(f, fd), "admin: one way|");
	close(fd);
}

static void who_hangs_up_was_heard(void **state)
{
	struct fixture *f = *state;
	int fd = connect_client(f);

	for (int i = 0; i < 3; i++)
		send_call(fd, CALL("Send", "{\"room\":\"lobby\",\"text\":\"still heard\"}"));
	close(fd);
	settle(f);
	assert_int_equal(f->clients.n, 0);
	/* Who only says nothing more is answered. */
	fd = connect_client(f);
	send_call(fd, MORE("Tail", "{\"room\":\"lobby\"}"));
	send_call(fd, CALL("Send", "{\"room\":\"lobby\",\"text\":\"x\"}"));
	shutdown(fd, SHUT_WR);
	assert_messages(next_reply(f, fd), "admin: still heard|admin: still heard|admin: still heard|");
	json_decref(parameters_of(next_reply(f, fd)));
	assert_true(is_closed(f, fd));
	close(fd);
	/* In full, however much it is. */
	fd = connect_client(f);
	for (int i = 0; i < 200; i++)
		send_call(fd, DESCRIBE);
	shutdown(fd, SHUT_WR);
	settle(f);
	for (int i = 0; i < 200; i++) {
		json_decref(parameters_of(next_reply(f, fd)));
		settle(f);
	}
	assert_true(is_closed(f, fd));
	close(fd);
}

/* --- streams --- */

static void tail_goes_on_until_the_next_call(void **state)
{
	struct fixture *f = *state;
	int fd = connect_client(f), other = connect_client(f);

	send_call(fd, MORE("Tail", "{\"room\":\"lobby\",\"follow\":true}"));
	json_t *reply = next_reply(f, fd);
	assert_true(json_is_true(json_object_get(reply, "continues")));
	assert_messages(reply, "");
	for (int i = 0; i < 2; i++) {
		send_call(other, CALL("Send", "{\"room\":\"lobby\",\"text\":\"news\"}"));
		json_decref(parameters_of(next_reply(f, other)));
		assert_null(next_reply(f, fd));
		control_clients_follow(&f->clients);
		assert_messages(next_reply(f, fd), "admin: news|");
	}
	send_call(fd, CALL("List", "{\"what\":\"rooms\"}"));
	json_decref(parameters_of(next_reply(f, fd)));
	send_call(other, CALL("Send", "{\"room\":\"lobby\",\"text\":\"missed\"}"));
	json_decref(parameters_of(next_reply(f, other)));
	control_clients_follow(&f->clients);
	assert_null(next_reply(f, fd));
	/* The number that it was told is where another one goes on. */
	send_call(fd, MORE("Tail", "{\"room\":\"lobby\",\"from\":2}"));
	reply = next_reply(f, fd);
	assert_null(json_object_get(reply, "continues"));
	assert_int_equal(json_integer_value(json_object_get(json_object_get(reply, "parameters"), "next")),
			 3);
	assert_messages(reply, "admin: missed|");
	close(fd);
	close(other);
}

/* --- who doesn't read --- */

static void who_reads_nothing_is_asked_for_nothing(void **state)
{
	struct fixture *f = *state;
	int fd = connect_client(f);
	unsigned n = 0;
	size_t sent = 0;

	/* More than is buffered, in the kernel and here. */
	for (; sent < 4 * (size_t)CONTROL_FULL; sent += strlen(control_interface), n++) {
		ssize_t r = send(fd, DESCRIBE, sizeof(DESCRIBE), 0);
		assert_int_equal(r, sizeof(DESCRIBE));
		settle(f);
	}
	send_call(fd, CALL("Send", "{\"room\":\"lobby\",\"text\":\"at last\"}"));
	settle(f);
	int other = connect_client(f);
	send_call(other, MORE("Tail", "{\"room\":\"lobby\"}"));
	assert_messages(next_reply(f, other), "");
	/* It gets all its answers. */
	for (unsigned i = 0; i < n; i++) {
		json_t *p = parameters_of(next_reply(f, fd));
		assert_non_null(json_object_get(p, "description"));
		json_decref(p);
	}
	json_decref(parameters_of(next_reply(f, fd)));
	send_call(other, MORE("Tail", "{\"room\":\"lobby\"}"));
	assert_messages(next_reply(f, other), "admin: at last|");
	close(fd);
	close(other);
}

/* What an admin says in a room that is shared with other machines is there when it comes back. */
static void what_is_sent_goes_out_first(void **state)
{
	struct fixture *f = *state;
	int fd = connect_client(f), other = connect_client(f);

	harness_hold_back(f->harness, true);
	send_call(other, MORE("Tail", "{\"room\":\"lobby\",\"follow\":true}"));
	assert_messages(next_reply(f, other), "");
	send_call(fd, CALL("Send", "{\"room\":\"lobby\",\"text\":\"hello\"}"));
	json_decref(parameters_of(next_reply(f, fd)));
	harness_settle(f->harness);
	control_clients_follow(&f->clients);
	assert_null(next_reply(f, other));
	harness_hold_back(f->harness, false);
	harness_settle(f->harness);
	control_clients_follow(&f->clients);
	assert_messages(next_reply(f, other), "admin: hello|");
	/* Nobody finds the hidden one. */
	assert_error(f, fd, CALL("Send", "{\"room\":\">lobby\",\"text\":\"x\"}"), "io.chatd.Control.Refused",
		     "reason", "there is no room >lobby");
	close(fd);
	close(other);
}

static void a_stream_waits_for_its_reader(void **state)
{
	static const char call[] = CALL("Send", "{\"room\":\"lobby\",\"text\":\"%0900u\"}");
	struct fixture *f = *state;
	int fd = connect_client(f), other = connect_client(f);
	unsigned want = 0;
	char text[2000];

	send_call(fd, MORE("Tail", "{\"room\":\"lobby\",\"follow\":true}"));
	assert_messages(next_reply(f, fd), "");
	for (unsigned i = 0; i < 2000; i++) {
		snprintf(text, sizeof(text), call, i);
		send_call(other, text);
		json_decref(parameters_of(next_reply(f, other)));
		control_clients_follow(&f->clients);
	}
	/*
	 * It gets what was buffered, then the rest, or is told how much of it is gone: no line twice or out
	 * of order.
	 */
	unsigned skips = 0;
	for (json_t *reply; want < 2000 && (reply = next_reply(f, fd));) {
		json_t *p = parameters_of(reply);
		const json_t *m, *array = json_object_get(p, "messages");
		size_t i;
		json_int_t skipped = json_integer_value(json_object_get(p, "skipped"));
		skips += skipped > 0;
		want += (unsigned)skipped;
		json_array_foreach(array, i, m)
		{
			assert_int_equal(atoi(json_string_value(json_object_get(m, "text"))), want);
			want++;
		}
		json_decref(p);
	}
	assert_int_equal(want, 2000);
	assert_int_equal(skips, 1);
	close(fd);
	close(other);
}

static void the_oldest_that_follows_nothing_makes_way(void **state)
{
	struct fixture *f = *state;
	int follower = connect_client(f), first = connect_client(f), second = connect_client(f);

	assert_int_equal(f->clients.n, 3);
	send_call(follower, MORE("Tail", "{\"room\":\"lobby\",\"follow\":true}"));
	assert_messages(next_reply(f, follower), "");
	assert_true(control_clients_make_way(&f->clients));
	assert_true(is_closed(f, first));
	assert_false(is_closed(f, second));
	assert_true(control_clients_make_way(&f->clients));
	assert_true(is_closed(f, second));
	assert_false(control_clients_make_way(&f->clients));
	assert_int_equal(f->clients.n, 1);
	close(follower);
	close(first);
	close(second);
}

static void spares_are_in_hand(void **state)
{
	struct spares s, before;

	(void)state;
	spares_init(&s);
	spares_use(&s); /* there are none yet */
	assert_true(spares_take(&s));
	before = s;
	assert_true(spares_take(&s));
	assert_memory_equal(&s, &before, sizeof(s));
	for (int i = 0; i < SPARES_N; i++)
		assert_true(fcntl(s.fd[i], F_GETFD) >= 0);
	spares_use(&s);
	for (int i = 0; i < SPARES_N; i++)
		assert_int_equal(fcntl(before.fd[i], F_GETFD), -1);
}

/* --- what workers do for a method --- */

static unsigned cleared;

struct visit {
	struct errand errand;
	unsigned visits;
};

static void visit(struct worker *w, void *arg)
{
	(void)w;
	((struct visit *)arg)->visits++;
}

static void count_cleared(struct errand *e)
{
	(void)e;
	cleared++;
}

static void errands_are_freed_once(void **state)
{
	struct fixture *f = *state;
	struct worker *w = f->shared->workers[0];
	struct visit *v = (struct visit *)errand_new(sizeof(*v), count_cleared);

	assert_int_equal(worker_start(w), 0);
	assert_int_equal(errand_run(&v->errand, f->shared, visit), 0);
	assert_int_equal(v->visits, 1);
	assert_int_equal(errand_run(&v->errand, f->shared, visit), 0);
	assert_int_equal(v->visits, 2);
	assert_int_equal(cleared, 0);
	worker_quit(w);
	assert_true(worker_join(w, 10 * 1000000));
	errand_unref(&v->errand);
	assert_int_equal(cleared, 1);
}

static void workers_are_asked(void **state)
{
	struct fixture *f = *state;
	struct worker *w = f->shared->workers[0];
	int fd = connect_client(f), chat = harness_connect(f->harness, "tcp", "chat", "lobby");

	assert_int_equal(worker_start(w), 0);
	send_call(fd, CALL("List", "{\"what\":\"clients\"}"));
	json_t *p = parameters_of(next_reply(f, fd));
	const json_t *client = json_array_get(json_object_get(p, "clients"), 0);
	assert_string_equal(json_string_value(json_object_get(client, "room")), "lobby");
	assert_true(json_is_real(json_object_get(client, "age")));
	char call[200];
	snprintf(call, sizeof(call), CALL("Kick", "{\"id\":%d,\"reason\":\"be gone\"}"),
		 (int)json_integer_value(json_object_get(client, "id")));
	json_decref(p);
	send_call(fd, call);
	json_decref(parameters_of(next_reply(f, fd)));
	assert_error(f, fd, CALL("Kick", "{\"id\":4711}"), "io.chatd.Control.Refused", "reason",
		     "there is no client 4711");
	worker_quit(w);
	assert_true(worker_join(w, 10 * 1000000));
	assert_non_null(strstr(harness_read(f->harness, chat), "* You have been removed: be gone\n"));
	close(fd);
	close(chat);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(answers_in_order, setup, teardown),
	    cmocka_unit_test_setup_teardown(says_what_is_wrong, setup, teardown),
	    cmocka_unit_test_setup_teardown(disconnects_who_speaks_no_varlink, setup, teardown),
	    cmocka_unit_test_setup_teardown(oneway_has_no_reply, setup, teardown),
	    cmocka_unit_test_setup_teardown(who_hangs_up_was_heard, setup, teardown),
	    cmocka_unit_test_setup_teardown(tail_goes_on_until_the_next_call, setup, teardown),
	    cmocka_unit_test_setup_teardown(who_reads_nothing_is_asked_for_nothing, setup, teardown),
	    cmocka_unit_test_setup_teardown(what_is_sent_goes_out_first, setup_clustered, teardown),
	    cmocka_unit_test_setup_teardown(a_stream_waits_for_its_reader, setup, teardown),
	    cmocka_unit_test_setup_teardown(the_oldest_that_follows_nothing_makes_way, setup, teardown),
	    cmocka_unit_test(spares_are_in_hand),
	    cmocka_unit_test_setup_teardown(errands_are_freed_once, setup, teardown),
	    cmocka_unit_test_setup_teardown(workers_are_asked, setup, teardown),
	};

	return cmocka_run_group_tests_name("control", tests, NULL, NULL);
}
