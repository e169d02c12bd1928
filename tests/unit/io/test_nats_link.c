/* SPDX-License-Identifier: MIT */
/* The link to NATS, with a real nats-server: what it says, and what it does when that dies, hangs, refuses or forgets. */
#include "tests/unit/unit.h"

#include "daemon/io/nats_link.h"

#include <errno.h>
#include <string.h>

#ifdef HAVE_NATS

#include "common/cleanup.h"
#include "daemon/base/clock.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <nats/nats.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define WAIT_MS 30000
#define JETSTREAM "jetstream: {store_dir: \"js\"}\n"

/* --- a nats-server --- */

struct server {
	char dir[64], url[64];
	uint16_t port;
	pid_t pid;
};

static int loopback(uint16_t port, bool listening)
{
	struct sockaddr_in a = {
	    .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	assert_true(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if ((listening ? bind(fd, (void *)&a, sizeof(a)) : connect(fd, (void *)&a, sizeof(a))) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static uint16_t port_of(int fd)
{
	struct sockaddr_in a;
	socklen_t len = sizeof(a);

	assert_int_equal(getsockname(fd, (void *)&a, &len), 0);
	return ntohs(a.sin_port);
}

static void server_start(struct server *s)
{
	s->pid = fork();
	if (s->pid == 0) {
		int fd;

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		fd = chdir(s->dir) == 0 ? open("log", O_WRONLY | O_CREAT | O_APPEND, 0600) : -1;
		dup2(fd, 1);
		dup2(fd, 2);
		execlp("nats-server", "nats-server", "-c", "conf", (char *)NULL);
		_exit(127);
	}
	assert_true(s->pid > 0);
	for (int i = 0;; i++) {
		int fd = loopback(s->port, false);

		if (fd >= 0) {
			close(fd);
			return;
		}
		if (i == WAIT_MS / 10 || waitpid(s->pid, NULL, WNOHANG) != 0)
			fail_msg("nats-server doesn't start: %s/log", s->dir);
		usleep(10000);
	}
}

static void server_file(const struct server *s, const char *name, const char *text)
{
	char path[128];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", s->dir, name);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
}

static void server_prepare(struct server *s)
{
	int fd = loopback(0, true);

	*s = (struct server){.dir = "/tmp/chatd-link-XXXXXX", .port = port_of(fd)};
	close(fd);
	assert_non_null(mkdtemp(s->dir));
	snprintf(s->url, sizeof(s->url), "nats://127.0.0.1:%d", s->port);
}

static void server_configure(const struct server *s, const char *more)
{
	char text[2048];

	snprintf(text, sizeof(text), "listen: \"127.0.0.1:%d\"\n%s", s->port, more);
	server_file(s, "conf", text);
}

static void server_make(struct server *s, const char *more)
{
	server_prepare(s);
	server_configure(s, more);
	server_start(s);
}

static void server_kill(struct server *s)
{
	kill(s->pid, SIGKILL);
	waitpid(s->pid, NULL, 0);
}

static void server_remove(struct server *s)
{
	char command[128];

	server_kill(s);
	snprintf(command, sizeof(command), "rm -rf %s", s->dir);
	assert_int_equal(system(command), 0);
}

/* What an admin does to it. */
struct admin {
	natsConnection *nc;
	jsCtx *js;
};

static void admin_open(struct admin *a, const struct server *s)
{
	assert_int_equal(natsConnection_ConnectTo(&a->nc, s->url), NATS_OK);
	assert_int_equal(natsConnection_JetStream(&a->js, a->nc, NULL), NATS_OK);
}

static void admin_close(struct admin *a)
{
	jsCtx_Destroy(a->js);
	natsConnection_Destroy(a->nc);
}

static void admin_make(struct admin *a, const char *subject)
{
	jsStreamConfig c;

	jsStreamConfig_Init(&c);
	c.Name = "CHATD";
	c.Subjects = &subject;
	c.SubjectsLen = 1;
	assert_int_equal(js_AddStream(NULL, a->js, &c, NULL, NULL), NATS_OK);
}

static void admin_unmake(struct admin *a)
{
	assert_int_equal(js_DeleteStream(a->js, "CHATD", NULL, NULL), NATS_OK);
}

/* --- a link --- */

static const char *const plain[] = {"chatd.nak.a", "chatd.beat.*"};

static struct nats_link_settings settings_of(const char *const *urls, size_t n)
{
	return (struct nats_link_settings){.servers = urls,
					   .n_servers = n,
					   .name = "chatd a",
					   .stream = "CHATD",
					   .subjects = "chatd.s.>",
					   .plain = plain,
					   .n_plain = 2,
					   .replicas = 1};
}

static struct nats_link *link_with(const struct nats_link_settings *settings)
{
	struct nats_link *l;

	assert_int_equal(nats_link_new(settings, &l), 0);
	return l;
}

static struct nats_link *link_to(const struct server *s)
{
	const char *url = s->url;
	struct nats_link_settings settings = settings_of(&url, 1);

	return link_with(&settings);
}

/* The next event, whichever. */
static void next(struct nats_link *l, struct nats_event *e)
{
	struct pollfd p = {.fd = nats_link_fd(l), .events = POLLIN};

	while (!nats_link_next(l, e))
		if (poll(&p, 1, WAIT_MS) <= 0)
			fail_msg("nothing happens");
}

static void expect(struct nats_link *l, enum nats_event_kind kind, struct nats_event *e)
{
	next(l, e);
	if (e->kind != kind)
		fail_msg("event %d instead of %d: %s", e->kind, kind, e->why ? e->why : "");
}

/* The next that isn't a failed attempt. */
static void expect_later(struct nats_link *l, enum nats_event_kind kind, struct nats_event *e)
{
	for (next(l, e); e->kind == NATS_FAILED && kind != NATS_FAILED; next(l, e))
		nats_event_free(e);
	assert_int_equal(e->kind, kind);
}

static void expect_none(struct nats_link *l, int ms)
{
	struct pollfd p = {.fd = nats_link_fd(l), .events = POLLIN};
	int64_t until = clock_us(CLOCK_MONOTONIC) + ms * 1000;
	struct nats_event e;

	do {
		assert_false(nats_link_next(l, &e));
		(void)poll(&p, 1, ms); /* a heartbeat comes now and then */
	} while (clock_us(CLOCK_MONOTONIC) < until);
}

static void expect_failed(struct nats_link *l, const char *text)
{
	struct nats_event e;

	expect(l, NATS_FAILED, &e);
	if (!strstr(e.why, text))
		fail_msg("\"%s\" isn't in \"%s\"", text, e.why);
	nats_event_free(&e);
}

static uint64_t connected(struct nats_link *l)
{
	struct nats_event e;
	uint64_t generation;

	expect_later(l, NATS_CONNECTED, &e);
	generation = e.generation;
	nats_event_free(&e);
	return generation;
}

/* Subscribes behind `applied` and returns what NATS_SUBSCRIBED says. */
static struct nats_event subscribed(struct nats_link *l, uint64_t generation, uint64_t applied,
				    int64_t time_ns)
{
	struct nats_event e, r;

	nats_link_subscribe(l, generation, applied, time_ns);
	expect(l, NATS_SUBSCRIBED, &e);
	assert_int_equal(e.generation, generation);
	r = e;
	nats_event_free(&e);
	return r;
}

/* Publishes and waits for both the reply and the message, in any order; returns the message's time. */
static int64_t said(struct nats_link *l, uint64_t generation, const char *text, uint64_t seq)
{
	static uint64_t id;
	int64_t time_ns = 0;
	struct nats_event e;

	assert_int_equal(nats_link_publish(l, generation, ++id, "chatd.s.room.lobby", text, strlen(text)), 0);
	for (int i = 0; i < 2; i++) {
		next(l, &e);
		assert_int_equal(e.generation, generation);
		assert_int_equal(e.seq, seq);
		if (e.kind == NATS_REPLY) {
			assert_int_equal(e.id, id);
			assert_null(e.why);
		} else {
			assert_int_equal(e.kind, NATS_MESSAGE);
			assert_string_equal(e.subject, "chatd.s.room.lobby");
			assert_int_equal(e.len, strlen(text));
			assert_memory_equal(e.data, text, e.len);
			time_ns = e.time_ns;
		}
		nats_event_free(&e);
	}
	assert_true(time_ns > 0);
	return time_ns;
}

/* Publishes only; returns the sequence. */
static uint64_t published(struct nats_link *l, uint64_t generation, const void *data, size_t len)
{
	struct nats_event e;
	uint64_t seq;

	assert_int_equal(nats_link_publish(l, generation, 7, "chatd.s.room.lobby", data, len), 0);
	expect(l, NATS_REPLY, &e);
	assert_null(e.why);
	seq = e.seq;
	nats_event_free(&e);
	return seq;
}

static void expect_message(struct nats_link *l, uint64_t seq)
{
	struct nats_event e;

	expect(l, NATS_MESSAGE, &e);
	assert_int_equal(e.seq, seq);
	nats_event_free(&e);
}

/* --- the way of a message --- */

static void messages(void **state)
{
	struct server s;
	struct nats_link *l, *m;
	struct nats_event e;
	char url[64];
	uint64_t g, h;
	int64_t t;

	(void)state;
	server_make(&s, JETSTREAM);
	l = link_to(&s);
	g = connected(l);
	nats_link_server(l, url, sizeof(url));
	assert_string_equal(url, s.url);
	e = subscribed(l, g, 0, 0);
	assert_int_equal(e.seq, 1);
	assert_int_equal(e.first, 1);
	assert_int_equal(e.last, 0);
	assert_false(e.rolled_back);
	said(l, g, "one", 1);
	t = said(l, g, "two", 2);
	said(l, g, "", 3);
	/* Not for the stream; not of that connection. */
	assert_int_equal(nats_link_publish(l, g, 9, "elsewhere", "x", 1), 0);
	expect(l, NATS_REPLY, &e);
	assert_int_equal(e.id, 9);
	assert_non_null(e.why);
	nats_event_free(&e);
	assert_int_equal(nats_link_publish(l, g + 1, 1, "chatd.s.room.lobby", "x", 1), -ENOTCONN);
	assert_int_equal(nats_link_publish(l, 0, 1, "chatd.s.room.lobby", "x", 1), -ENOTCONN);

	/* Another one goes on behind the second. */
	m = link_to(&s);
	h = connected(m);
	nats_link_subscribe(m, h + 1, 0, 0);
	expect_none(m, 50);
	e = subscribed(m, h, 2, t);
	assert_int_equal(e.seq, 3);
	assert_int_equal(e.first, 1);
	assert_int_equal(e.last, 3);
	assert_false(e.rolled_back);
	expect_message(m, 3);
	expect_none(m, 50);
	said(m, h, "four", 4);
	expect_message(l, 4);
	nats_link_free(m);
	nats_link_free(l);
	nats_link_free(NULL);
	server_remove(&s);
}

/* More than the server takes is said so, and changes nothing. */
static void too_large(void **state)
{
	_cleanup_free_ char *data = calloc(1, 2 << 20);
	struct server s;
	struct nats_link *l;
	uint64_t g;

	(void)state;
	server_make(&s, JETSTREAM);
	l = link_to(&s);
	g = connected(l);
	assert_int_equal(nats_link_publish(l, g, 1, "chatd.s.room.lobby", data, 2 << 20), -EMSGSIZE);
	assert_int_equal(published(l, g, data, 1 << 20), 1);
	nats_link_free(l);
	server_remove(&s);
}

static void core_subjects(void **state)
{
	struct server s;
	struct nats_link *l, *m;
	struct nats_event e;
	uint64_t g;

	(void)state;
	server_make(&s, JETSTREAM);
	l = link_to(&s);
	g = connected(l);
	m = link_to(&s);
	connected(m);
	assert_int_equal(nats_link_send(m, "chatd.nak.a", "lobby 7", 7), 0);
	expect(l, NATS_PLAIN, &e);
	assert_int_equal(e.generation, g);
	assert_string_equal(e.subject, "chatd.nak.a");
	assert_int_equal(e.len, 7);
	assert_memory_equal(e.data, "lobby 7", 7);
	nats_event_free(&e);
	/* One's own come, too; others don't. */
	assert_int_equal(nats_link_send(l, "chatd.nak.b", "x", 1), 0);
	assert_int_equal(nats_link_send(l, "chatd.beat.a", "x", 1), 0);
	expect(l, NATS_PLAIN, &e);
	assert_string_equal(e.subject, "chatd.beat.a");
	nats_event_free(&e);
	expect_none(l, 50);
	server_kill(&s);
	expect_later(l, NATS_LOST, &e);
	nats_event_free(&e);
	assert_int_equal(nats_link_send(l, "chatd.beat.a", "x", 1), -ENOTCONN);
	nats_link_free(m);
	nats_link_free(l);
	server_remove(&s);
}

/* --- a stream that isn't what it was --- */

static void rolled_back(void **state)
{
	struct server s;
	struct admin a;
	struct nats_link *l;
	struct nats_event e;
	uint64_t g;
	int64_t t;

	(void)state;
	server_make(&s, JETSTREAM);
	l = link_to(&s);
	g = connected(l);
	subscribed(l, g, 0, 0);
	said(l, g, "one", 1);
	t = said(l, g, "two", 2);
	nats_link_free(l);

	/* Message 2 has another time; there is none of that number; it was deleted. */
	admin_open(&a, &s);
	for (int i = 0; i < 3; i++) {
		l = link_to(&s);
		g = connected(l);
		if (i == 2)
			assert_int_equal(js_DeleteMsg(a.js, "CHATD", 2, NULL, NULL), NATS_OK);
		e = subscribed(l, g, i == 1 ? 3 : 2, i == 0 ? t + 1 : t);
		assert_true(e.rolled_back);
		assert_int_equal(e.seq, 1);
		assert_int_equal(e.last, 2);
		expect_message(l, 1);
		if (i < 2)
			expect_message(l, 2);
		nats_link_free(l);
	}

	/* Another stream of that name, which has as many, and then one of which as many have expired. */
	admin_unmake(&a);
	l = link_to(&s);
	g = connected(l);
	published(l, g, "eins", 4);
	published(l, g, "zwei", 4);
	published(l, g, "drei", 4);
	e = subscribed(l, g, 2, t);
	assert_true(e.rolled_back);
	assert_int_equal(e.seq, 1);
	nats_link_free(l);
	assert_int_equal(js_PurgeStream(a.js, "CHATD", NULL, NULL), NATS_OK);
	l = link_to(&s);
	g = connected(l);
	published(l, g, "vier", 4);
	e = subscribed(l, g, 2, t);
	assert_true(e.rolled_back);
	assert_int_equal(e.seq, 4);
	expect_message(l, 4);
	nats_link_free(l);
	admin_close(&a);
	server_remove(&s);
}

static void expired(void **state)
{
	char data[1000] = {0};
	struct server s;
	const char *url = s.url;
	struct nats_link_settings settings = settings_of(&url, 1);
	struct nats_link *l;
	struct nats_event e;
	uint64_t g;
	int64_t t;

	(void)state;
	server_make(&s, JETSTREAM);
	settings.max_bytes = 10000;
	l = link_with(&settings);
	g = connected(l);
	subscribed(l, g, 0, 0);
	t = said(l, g, "one", 1);
	nats_link_free(l);
	l = link_with(&settings);
	g = connected(l);
	for (int i = 2; i <= 100; i++)
		assert_int_equal(published(l, g, data, sizeof(data)), i);
	e = subscribed(l, g, 1, t);
	assert_false(e.rolled_back);
	assert_true(e.first > 2);
	assert_int_equal(e.seq, e.first);
	assert_int_equal(e.last, 100);
	for (uint64_t i = e.first; i <= 100; i++)
		expect_message(l, i);
	nats_link_free(l);
	server_remove(&s);
}

/* --- servers that die, hang or aren't there --- */

static void killed(void **state)
{
	struct server s;
	struct nats_link *l;
	struct nats_event e;
	uint64_t g, h;
	int64_t t;

	(void)state;
	server_make(&s, JETSTREAM);
	l = link_to(&s);
	g = connected(l);
	subscribed(l, g, 0, 0);
	t = said(l, g, "one", 1);
	for (int i = 2; i < 5; i++) {
		server_kill(&s);
		expect(l, NATS_LOST, &e);
		assert_int_equal(e.generation, g);
		assert_non_null(e.why);
		nats_event_free(&e);
		assert_int_equal(nats_link_publish(l, g, 1, "chatd.s.room.lobby", "x", 1), -ENOTCONN);
		expect(l, NATS_FAILED, &e);
		nats_event_free(&e);
		server_start(&s);
		h = connected(l);
		assert_true(h > g);
		g = h;
		e = subscribed(l, g, (uint64_t)i - 1, t);
		assert_false(e.rolled_back);
		t = said(l, g, "again", (uint64_t)i);
	}
	nats_link_free(l);
	server_remove(&s);
}

/* What nobody took of a connection that is over is left out, however often it comes and goes. */
static void killed_unseen(void **state)
{
	struct server s;
	struct nats_link *l;
	struct nats_event e;
	uint64_t g;

	(void)state;
	server_make(&s, JETSTREAM);
	l = link_to(&s);
	g = connected(l);
	subscribed(l, g, 0, 0);
	for (uint64_t i = 1; i < 100; i++)
		assert_int_equal(nats_link_publish(l, g, i, "chatd.s.room.lobby", "x", 1), 0);
	for (int i = 0; i < 3; i++) {
		struct admin a;

		usleep(300000);
		server_kill(&s);
		usleep(300000);
		server_start(&s);
		admin_open(&a, &s);
		admin_close(&a);
	}
	usleep(500000);
	expect(l, NATS_LOST, &e);
	assert_int_equal(e.generation, g);
	nats_event_free(&e);
	g = connected(l);
	subscribed(l, g, 0, 0);
	for (uint64_t i = 1; i < 100; i++)
		expect_message(l, i);
	nats_link_free(l);
	server_remove(&s);
}

/* Frees it, and says whether that took less than `s` seconds: never for ever, that is. */
static void free_within(struct nats_link *l, int s)
{
	int64_t start = clock_us(CLOCK_MONOTONIC);

	nats_link_free(l);
	assert_true(clock_us(CLOCK_MONOTONIC) - start < s * SECOND_US);
}

static void hung(void **state)
{
	_cleanup_free_ char *data = calloc(1, 500000);
	struct server s;
	struct nats_link *l, *m;
	struct nats_event e;
	uint64_t g, h;
	int r = 0;

	(void)state;
	server_make(&s, JETSTREAM);
	l = link_to(&s);
	g = connected(l);
	subscribed(l, g, 0, 0);
	m = link_to(&s);
	h = connected(m);
	kill(s.pid, SIGSTOP);
	/* One asks for something; one sends until nothing more fits. */
	nats_link_subscribe(m, h, 0, 0);
	usleep(100000);
	free_within(m, 10);
	for (int i = 0; i < 1000 && r == 0; i++)
		r = nats_link_publish(l, g, 1, "chatd.s.room.lobby", data, 500000);
	assert_true(r == -EIO || r == -ENOTCONN);
	expect(l, NATS_LOST, &e);
	assert_int_equal(e.generation, g);
	nats_event_free(&e);
	expect(l, NATS_FAILED, &e);
	nats_event_free(&e);
	free_within(l, 10);
	kill(s.pid, SIGCONT);

	/* An idle one notices as well, whether it has subscribed or not, and finds its way back. */
	l = link_to(&s);
	for (int i = 0; i < 2; i++) {
		g = connected(l);
		if (i == 0)
			subscribed(l, g, 0, 0);
		kill(s.pid, SIGSTOP);
		expect(l, NATS_LOST, &e);
		nats_event_free(&e);
		kill(s.pid, SIGCONT);
	}
	assert_true(connected(l) > g);
	free_within(l, 10);
	server_remove(&s);
}

static void nobody(void **state)
{
	int fd = loopback(0, true);
	char a[64], b[64], c[64] = "nats://127.0.0.1:1";
	const char *const urls[] = {a, b, c};
	struct nats_link_settings settings = settings_of(urls, 3);
	struct nats_link *l;
	struct nats_event e;

	(void)state;
	/* One doesn't answer, one isn't there, one has no name that anybody knows. */
	assert_int_equal(listen(fd, 5), 0);
	snprintf(a, sizeof(a), "nats://127.0.0.1:%d", port_of(fd));
	snprintf(b, sizeof(b), "nats://user:secret@127.0.0.1:1");
	l = link_with(&settings);
	expect(l, NATS_FAILED, &e);
	assert_non_null(strstr(
	    e.why,
	    "it doesn't answer in time; nats://127.0.0.1:1: no NATS server can be reached there; nats://"));
	assert_null(strstr(e.why, "secret"));
	nats_event_free(&e);
	expect_failed(l, "it doesn't answer in time");
	nats_link_server(l, a, sizeof(a));
	assert_string_equal(a, "");
	assert_int_equal(nats_link_send(l, "chatd.beat.a", "x", 1), -ENOTCONN);
	free_within(l, 10);
	settings.n_servers = 0;
	assert_int_equal(nats_link_new(&settings, &l), -EINVAL);
	close(fd);
}

static void second_server(void **state)
{
	struct server s, t;
	const char *urls[] = {s.url, t.url};
	struct nats_link_settings settings = settings_of(urls, 2);
	struct nats_link *l;
	char url[64];

	(void)state;
	server_make(&s, JETSTREAM);
	server_make(&t, JETSTREAM);
	server_kill(&s);
	l = link_with(&settings);
	connected(l);
	nats_link_server(l, url, sizeof(url));
	assert_string_equal(url, t.url);
	nats_link_free(l);
	/* What the first was asked for is not what the second is asked for. */
	snprintf(s.url, sizeof(s.url), "tls://127.0.0.1:%d", s.port);
	l = link_with(&settings);
	connected(l);
	nats_link_free(l);
	snprintf(s.url, sizeof(s.url), "nats://127.0.0.1:%d", s.port);
	/* One that lives, but has no JetStream, is none, either. */
	server_configure(&s, "");
	server_start(&s);
	l = link_with(&settings);
	connected(l);
	nats_link_server(l, url, sizeof(url));
	assert_string_equal(url, t.url);
	nats_link_free(l);
	server_remove(&s);
	server_remove(&t);
}

/* --- servers that refuse --- */

static void passwords(void **state)
{
	struct server s;
	const char *url = s.url;
	struct nats_link_settings settings = settings_of(&url, 1);
	struct nats_link *l;

	(void)state;
	server_make(&s, JETSTREAM "authorization: {users: [{user: chatd, password: right}, "
				  "{user: mute, password: m, permissions: {publish: [\"x\"]}}]}\n");
	settings.user = "chatd";
	settings.password = "wrong";
	l = link_with(&settings);
	expect_failed(l, "refuses the user, the password");
	expect_failed(l, "refuses the user, the password");
	nats_link_free(l);
	settings.user = "stranger";
	settings.password = "right";
	l = link_with(&settings);
	expect_failed(l, "refuses the user, the password");
	nats_link_free(l);
	settings.user = NULL;
	l = link_with(&settings);
	expect_failed(l, "refuses the user, the password");
	nats_link_free(l);
	settings.credentials = "/nonexistent/chatd.creds";
	l = link_with(&settings);
	expect_failed(l, "/nonexistent/chatd.creds");
	nats_link_free(l);
	settings.credentials = NULL;
	settings.user = "mute";
	settings.password = "m";
	l = link_with(&settings);
	expect_failed(l, "Permissions Violation for Publish to \"$JS.API.STREAM.INFO.CHATD\"");
	nats_link_free(l);
	settings.user = "chatd";
	settings.password = "right";
	l = link_with(&settings);
	connected(l);
	nats_link_free(l);
	server_kill(&s);

	server_configure(&s, JETSTREAM "authorization: {token: secret}\n");
	server_start(&s);
	settings.user = settings.password = NULL;
	settings.token = "wrong";
	l = link_with(&settings);
	expect_failed(l, "refuses the user, the password");
	nats_link_free(l);
	settings.token = "secret";
	l = link_with(&settings);
	connected(l);
	nats_link_free(l);
	server_remove(&s);
}

static void run(const struct server *s, const char *command)
{
	char all[1024];

	snprintf(all, sizeof(all), "cd %s && (%s) >openssl.log 2>&1", s->dir, command);
	if (system(all) != 0)
		fail_msg("%s", all);
}

/* A CA, another one, and two certificates of the first: NAME.pem, NAME.key. */
static void certificates(const struct server *s)
{
	run(s, "for ca in ca other; do openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes "
	       "-days 2 -subj /CN=$ca "
	       "-keyout $ca.key -out $ca.pem; done");
	run(s,
	    "for name in 127.0.0.1 192.0.2.1; do openssl req -new -newkey ec -pkeyopt "
	    "ec_paramgen_curve:P-256 -nodes "
	    "-subj /CN=$name -keyout $name.key -out $name.csr && echo subjectAltName=IP:$name >$name.ext && "
	    "openssl x509 -req -in $name.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile "
	    "$name.ext "
	    "-out $name.pem || exit 1; done");
}

static void server_tls(struct server *s, const char *name, const char *more)
{
	char text[512];

	snprintf(text, sizeof(text), JETSTREAM "tls: {cert_file: \"%s.pem\", key_file: \"%s.key\"%s}\n", name,
		 name, more);
	server_configure(s, text);
	server_start(s);
}

static void tls(void **state)
{
	struct server s;
	char url[64], ca[128], other[128], certificate[128], key[128];
	const char *const urls[] = {url};
	struct nats_link_settings settings = settings_of(urls, 1);
	struct nats_link *l;
	struct nats_event e;
	uint64_t g;

	(void)state;
	server_prepare(&s);
	certificates(&s);
	server_tls(&s, "127.0.0.1", "");
	snprintf(url, sizeof(url), "tls://127.0.0.1:%d", s.port);
	snprintf(ca, sizeof(ca), "%s/ca.pem", s.dir);
	snprintf(other, sizeof(other), "%s/other.pem", s.dir);
	settings.tls_ca = ca;
	l = link_with(&settings);
	g = connected(l);
	subscribed(l, g, 0, 0);
	said(l, g, "one", 1);
	nats_link_free(l);
	/* Another CA, or none, or a file that isn't there. */
	settings.tls_ca = other;
	l = link_with(&settings);
	expect_failed(l, "TLS: ");
	nats_link_free(l);
	settings.tls_ca = NULL;
	l = link_with(&settings);
	expect_failed(l, "TLS: ");
	nats_link_free(l);
	settings.tls_ca = "/nonexistent.pem";
	l = link_with(&settings);
	expect_failed(l, "/nonexistent.pem");
	nats_link_free(l);
	/* A server that wants TLS gets it without being asked, and its certificate counts. */
	memcpy(url, "nats", 4);
	snprintf(url, sizeof(url), "nats://127.0.0.1:%d", s.port);
	settings.tls_ca = ca;
	l = link_with(&settings);
	connected(l);
	nats_link_free(l);
	settings.tls_ca = other;
	l = link_with(&settings);
	expect_failed(l, "TLS: ");
	nats_link_free(l);
	server_kill(&s);

	/* Somebody else's certificate. */
	server_tls(&s, "192.0.2.1", "");
	snprintf(url, sizeof(url), "tls://127.0.0.1:%d", s.port);
	settings.tls_ca = ca;
	l = link_with(&settings);
	expect_failed(l, "TLS: ");
	nats_link_free(l);
	/* Nor does it count when nobody asked for TLS, and the machine trusts the authority. */
	assert_int_equal(setenv("SSL_CERT_FILE", ca, 1), 0);
	settings.tls_ca = NULL;
	snprintf(url, sizeof(url), "nats://127.0.0.1:%d", s.port);
	l = link_with(&settings);
	expect_failed(l, "TLS: ");
	nats_link_free(l);
	snprintf(url, sizeof(url), "tls://127.0.0.1:%d", s.port);
	settings.tls_ca = ca;
	assert_int_equal(unsetenv("SSL_CERT_FILE"), 0);
	server_kill(&s);

	/* Clients need one as well. */
	server_tls(&s, "127.0.0.1", ", ca_file: \"ca.pem\", verify: true");
	l = link_with(&settings);
	expect_later(l, NATS_FAILED, &e);
	nats_event_free(&e);
	nats_link_free(l);
	snprintf(certificate, sizeof(certificate), "%s/192.0.2.1.pem", s.dir);
	snprintf(key, sizeof(key), "%s/192.0.2.1.key", s.dir);
	settings.tls_certificate = certificate;
	settings.tls_key = key;
	l = link_with(&settings);
	connected(l);
	nats_link_free(l);
	settings.tls_key = ca;
	l = link_with(&settings);
	expect_failed(l, "TLS: ");
	nats_link_free(l);
	server_kill(&s);

	/* tls:// never goes without. */
	settings.tls_certificate = settings.tls_key = NULL;
	server_configure(&s, JETSTREAM);
	server_start(&s);
	l = link_with(&settings);
	expect_failed(l, "it doesn't speak TLS");
	nats_link_free(l);
	server_remove(&s);
}

/* What lies between a link and its server, and can hold back what the server says behind so many bytes. */
struct between {
	int listens;
	uint16_t port, to;
	atomic_llong left;
	atomic_bool ends;
	pthread_t thread;
};

/* False: that side has closed its connection. */
static bool between_copy(struct between *b, int from, int to, bool counts)
{
	char data[4096];
	size_t most = sizeof(data);
	long long left = atomic_load(&b->left);
	ssize_t n;

	if (counts && left < (long long)most)
		most = left > 0 ? (size_t)left : 0;
	n = most > 0 ? recv(from, data, most, MSG_DONTWAIT) : -1;
	if (n <= 0)
		return n < 0;
	bool all = send(to, data, (size_t)n, MSG_NOSIGNAL) == n;
	if (counts)
		atomic_fetch_sub(&b->left, n);
	return all;
}

static void between_serve(struct between *b, int client)
{
	int server = loopback(b->to, false);
	bool both = server >= 0;

	while (both && !atomic_load(&b->ends)) {
		struct pollfd p[] = {{.fd = client, .events = POLLIN},
				     {.fd = atomic_load(&b->left) > 0 ? server : -1, .events = POLLIN}};
		(void)poll(p, 2, 10);
		both = between_copy(b, client, server, false) && between_copy(b, server, client, true);
	}
	close(client);
	close(server);
}

static void *between_run(void *arg)
{
	struct between *b = arg;

	while (!atomic_load(&b->ends)) {
		struct pollfd p = {.fd = b->listens, .events = POLLIN};
		if (poll(&p, 1, 10) > 0)
			between_serve(b, accept(b->listens, NULL, NULL));
	}
	return NULL;
}

static void between_start(struct between *b, const struct server *s)
{
	*b = (struct between){.listens = loopback(0, true), .to = s->port};
	b->port = port_of(b->listens);
	atomic_init(&b->left, LLONG_MAX / 2);
	assert_int_equal(listen(b->listens, 5), 0);
	assert_int_equal(pthread_create(&b->thread, NULL, between_run, b), 0);
}

static void between_end(struct between *b)
{
	atomic_store(&b->ends, true);
	pthread_join(b->thread, NULL);
	close(b->listens);
}

/* Nobody is held up by a record of which only a part has come, nor woken up for nothing. */
static void tls_in_parts(void **state)
{
	_cleanup_free_ char *data = calloc(1, 60000);
	struct server s;
	struct between b;
	char url[64], direct[64], ca[128];
	const char *const urls[] = {url}, *const directs[] = {direct};
	struct nats_link_settings settings = settings_of(urls, 1);
	struct nats_link *l, *m;
	uint64_t g, h;

	(void)state;
	server_prepare(&s);
	certificates(&s);
	server_tls(&s, "127.0.0.1", "");
	between_start(&b, &s);
	snprintf(url, sizeof(url), "tls://127.0.0.1:%d", b.port);
	snprintf(direct, sizeof(direct), "tls://127.0.0.1:%d", s.port);
	snprintf(ca, sizeof(ca), "%s/ca.pem", s.dir);
	settings.tls_ca = ca;
	l = link_with(&settings);
	settings.servers = directs;
	m = link_with(&settings);
	g = connected(l);
	h = connected(m);
	subscribed(l, g, 0, 0);
	for (int i = 1; i <= 20; i++) {
		/* Behind the header, and in the midst, of the first record or the fourth. */
		static const long long parts[] = {3, 5, 100, 10000, 50000};
		struct pollfd p = {.fd = nats_link_fd(l), .events = POLLIN};
		struct nats_event e;
		int woken = 1;
		atomic_store(&b.left, parts[i % 5]);
		assert_int_equal(published(m, h, data, 60000), i);
		/* All that is let through has come. */
		while (atomic_load(&b.left) > 0)
			(void)poll(NULL, 0, 1);
		for (int k = 0; k < 8 && woken > 0; k++) {
			assert_false(nats_link_next(l, &e));
			woken = poll(&p, 1, 20);
		}
		assert_int_equal(woken, 0);
		atomic_store(&b.left, LLONG_MAX / 2);
		expect_message(l, (uint64_t)i);
	}
	nats_link_free(m);
	nats_link_free(l);
	between_end(&b);
	server_remove(&s);
}

/* A server that begins a TLS handshake and never goes on: libnats would wait for it for ever. */
static void tls_hung(void **state)
{
	static const char info[] =
	    "INFO {\"server_id\":\"x\",\"tls_required\":true,\"max_payload\":1048576}\r\n";
	int fd = loopback(0, true), client;
	char url[64];
	const char *const urls[] = {url};
	struct nats_link_settings settings = settings_of(urls, 1);
	struct nats_link *l;

	(void)state;
	assert_int_equal(listen(fd, 5), 0);
	snprintf(url, sizeof(url), "tls://127.0.0.1:%d", port_of(fd));
	for (int i = 0; i < 2; i++) {
		l = link_with(&settings);
		client = accept(fd, NULL, NULL);
		assert_int_equal(write(client, info, sizeof(info) - 1), sizeof(info) - 1);
		if (i == 0)
			expect_failed(l, "TLS: ");
		else
			usleep(100000);
		free_within(l, 10);
		close(client);
	}
	close(fd);
}

static void no_jetstream(void **state)
{
	struct server s;
	const char *url = s.url;
	struct nats_link_settings settings = settings_of(&url, 1);
	struct nats_link *l;

	(void)state;
	server_make(&s, "");
	l = link_to(&s);
	expect_failed(l, "JetStream is not enabled there");
	nats_link_free(l);
	server_kill(&s);
	/* Others have it there, but this account hasn't. */
	server_configure(&s, JETSTREAM "accounts: {A: {jetstream: enabled, users: [{user: a, password: a}]}, "
				       "B: {users: [{user: b, password: b}]}}\n");
	server_start(&s);
	settings.user = settings.password = "b";
	l = link_with(&settings);
	expect_failed(l, "JetStream is not enabled there");
	nats_link_free(l);
	server_remove(&s);
}

/* --- streams that are there --- */

static void other_stream(void **state)
{
	struct server s;
	const char *url = s.url;
	struct nats_link_settings settings = settings_of(&url, 1);
	struct nats_link *l;
	struct admin a;
	jsStreamInfo *info;

	(void)state;
	server_make(&s, JETSTREAM);
	admin_open(&a, &s);
	admin_make(&a, "orders.*");
	l = link_with(&settings);
	expect_failed(l, "the stream CHATD is not for this: it has other subjects");
	nats_link_free(l);
	admin_unmake(&a);

	/* Limits are changed; replicas need other servers. */
	admin_make(&a, "chatd.s.>");
	settings.max_age_s = 60;
	settings.max_bytes = 1000000;
	l = link_with(&settings);
	connected(l);
	assert_int_equal(js_GetStreamInfo(&info, a.js, "CHATD", NULL, NULL), NATS_OK);
	assert_int_equal(info->Config->MaxAge, INT64_C(60000000000));
	assert_int_equal(info->Config->MaxBytes, 1000000);
	jsStreamInfo_Destroy(info);
	nats_link_free(l);
	settings.replicas = 3;
	l = link_with(&settings);
	expect_failed(l, "it is to have replicas");
	nats_link_free(l);
	admin_unmake(&a);
	l = link_with(&settings);
	expect_failed(l, "can't make the stream CHATD: ");
	nats_link_free(l);
	admin_close(&a);
	server_remove(&s);
}

static void gone_under_way(void **state)
{
	struct server s;
	struct nats_link *l;
	struct nats_event e;
	struct admin a;
	jsConsumerNamesList *names;
	uint64_t g;
	int64_t t;

	(void)state;
	server_make(&s, JETSTREAM);
	admin_open(&a, &s);
	l = link_to(&s);
	g = connected(l);
	subscribed(l, g, 0, 0);
	t = said(l, g, "one", 1);
	/* Its consumer. */
	assert_int_equal(js_ConsumerNames(&names, a.js, "CHATD", NULL, NULL), NATS_OK);
	assert_int_equal(names->Count, 1);
	assert_int_equal(js_DeleteConsumer(a.js, "CHATD", names->List[0], NULL, NULL), NATS_OK);
	jsConsumerNamesList_Destroy(names);
	expect(l, NATS_LOST, &e);
	nats_event_free(&e);
	g = connected(l);
	e = subscribed(l, g, 1, t);
	assert_false(e.rolled_back);
	t = said(l, g, "two", 2);
	/* The stream. */
	admin_unmake(&a);
	expect(l, NATS_LOST, &e);
	nats_event_free(&e);
	g = connected(l);
	e = subscribed(l, g, 2, t);
	assert_true(e.rolled_back);
	t = said(l, g, "eins", 1);
	/* Whoever asks once more is connected anew. */
	nats_link_subscribe(l, g, 1, t);
	expect(l, NATS_LOST, &e);
	nats_event_free(&e);
	e = subscribed(l, connected(l), 1, t);
	assert_int_equal(e.seq, 2);
	nats_link_free(l);
	admin_close(&a);
	server_remove(&s);
}

/* --- one who doesn't take what comes --- */

/* A sanitizer keeps more than that for itself. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
size_t __sanitizer_get_current_allocated_bytes(void);

static long memory_mb(void)
{
	return (long)(__sanitizer_get_current_allocated_bytes() >> 20);
}
#else
static long memory_mb(void)
{
	long pages = 0, resident = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	assert_non_null(f);
	assert_int_equal(fscanf(f, "%ld %ld", &pages, &resident), 2);
	fclose(f);
	return resident * (sysconf(_SC_PAGESIZE) / 1024) / 1024;
}
#endif

#define LARGE 65536
#define MANY 4000

static void slow(void **state)
{
	_cleanup_free_ char *data = calloc(1, LARGE);
	struct server s;
	struct nats_link *l, *m;
	uint64_t g, h;
	long before, after;

	(void)state;
	server_make(&s, JETSTREAM);
	l = link_to(&s);
	g = connected(l);
	for (int i = 1; i <= MANY; i++)
		assert_int_equal(published(l, g, data, LARGE), i);
	nats_link_free(l);
	before = memory_mb();
	l = link_to(&s);
	g = connected(l);
	m = link_to(&s);
	h = connected(m);
	subscribed(l, g, 0, 0);
	nats_link_subscribe(m, h, 0, 0);
	/* What a server sends beyond that would come with its heartbeats. */
	for (int i = 0; i < 50; i++)
		usleep(100000);
	after = memory_mb();
	print_message("# %ld MB, then %ld, with two that don't take %d MB\n", before, after,
		      MANY * LARGE >> 20);
	assert_true(after - before < 2 * 160);
	free_within(m, 10);
	/* Who takes it later gets all of it, by the same connection. */
	for (uint64_t i = 1; i <= MANY; i++)
		expect_message(l, i);
	said(l, g, "the last", MANY + 1);
	nats_link_free(l);
	server_remove(&s);
}

/* --- the threads --- */

static void signals(void **state)
{
	struct server s;
	struct nats_link *l;
	struct dirent *d;
	DIR *dir;
	int threads = 0;

	(void)state;
	server_make(&s, JETSTREAM);
	l = link_to(&s);
	subscribed(l, connected(l), 0, 0);
	dir = opendir("/proc/self/task");
	assert_non_null(dir);
	while ((d = readdir(dir))) {
		char path[300], line[256];
		bool ours = false;
		FILE *f;

		snprintf(path, sizeof(path), "/proc/self/task/%s/status", d->d_name);
		f = fopen(path, "r");
		while (f && fgets(line, sizeof(line), f)) {
			unsigned long long blocked;

			if (strcmp(line, "Name:\tchatd/nats\n") == 0)
				ours = true;
			if (ours && sscanf(line, "SigBlk: %llx", &blocked) == 1) {
				static const int all[] = {SIGTERM, SIGINT,  SIGHUP,  SIGUSR1,
							  SIGUSR2, SIGPIPE, SIGALRM, SIGCHLD};

				threads++;
				for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
					assert_true(blocked >> (all[i] - 1) & 1);
			}
		}
		if (f)
			fclose(f);
	}
	closedir(dir);
	/* Its own, libnats's, and those of the connection. */
	assert_true(threads > 4);
	nats_link_free(l);
	server_remove(&s);
}

/* Whatever happens, libnats writes nothing: around some tests. */
static int quiet_file, quiet_stderr;

static int quiet_begin(void **state)
{
	char name[] = "/tmp/chatd-link-XXXXXX";

	(void)state;
	quiet_file = mkstemp(name);
	quiet_stderr = dup(2);
	unlink(name);
	fflush(stderr);
	return dup2(quiet_file, 2) < 0;
}

static int quiet_end(void **state)
{
	off_t size = lseek(quiet_file, 0, SEEK_END);

	(void)state;
	dup2(quiet_stderr, 2);
	close(quiet_stderr);
	close(quiet_file);
	return size > 0;
}

#define quiet_test(f) cmocka_unit_test_setup_teardown(f, quiet_begin, quiet_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    /* First, as libnats's own threads are made then. */
	    cmocka_unit_test(signals),
	    cmocka_unit_test(messages),
	    cmocka_unit_test(too_large),
	    cmocka_unit_test(core_subjects),
	    cmocka_unit_test(rolled_back),
	    cmocka_unit_test(expired),
	    quiet_test(killed),
	    cmocka_unit_test(killed_unseen),
	    cmocka_unit_test(hung),
	    quiet_test(nobody),
	    cmocka_unit_test(second_server),
	    quiet_test(passwords),
	    quiet_test(tls),
	    cmocka_unit_test(tls_in_parts),
	    cmocka_unit_test(tls_hung),
	    quiet_test(no_jetstream),
	    cmocka_unit_test(other_stream),
	    cmocka_unit_test(gone_under_way),
	    cmocka_unit_test(slow),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests_name("nats_link", tests, NULL, NULL);
}

#else

static void built_without(void **state)
{
	const char *const servers[] = {"nats://127.0.0.1:4222"};
	const struct nats_link_settings settings = {
	    .servers = servers, .n_servers = 1, .stream = "CHATD", .subjects = "chatd.s.>"};
	struct nats_link *l;

	(void)state;
	assert_int_equal(nats_link_new(&settings, &l), -EOPNOTSUPP);
	assert_null(l);
	nats_link_free(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(built_without),
	};

	return cmocka_run_group_tests_name("nats_link", tests, NULL, NULL);
}

#endif
