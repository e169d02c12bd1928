/* SPDX-License-Identifier: MIT */
/*
 * Events that are rendered once for all members: each member gets every byte once, wherever a send is cut, whenever the
 * process dies, whatever is forgotten, and however the log has wrapped.
 */
#include "tests/unit/engine/formed.h"

#include "daemon/rooms/forget.h"

#include <netinet/tcp.h>
#include <poll.h>

/* What a member of form 1 gets of the events that say_some() says. */
static const char some[] = "{one}{two, which is longer}{three}";

static void say_some(struct harness *h)
{
	formed_say(h, "one");
	formed_say(h, "two, which is longer");
	formed_say(h, "three");
}

/* All that comes until n bytes are there; the kernel may take a moment. */
static const char *read_all(struct harness *h, int fd, size_t n)
{
	static char all[1 << 22];
	size_t have = 0;

	for (unsigned tries = 0; have < n && tries < 10000; tries++) {
		const char *got = harness_read(h, fd);
		size_t len = strlen(got);
		assert_true(have + len < sizeof(all));
		memcpy(all + have, got, len + 1);
		have += len;
		if (len == 0)
			poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, 1);
		harness_settle(h);
	}
	all[have] = 0;
	return all;
}

/* --- once --- */

static void it_is_rendered_once_for_all(void **state)
{
	int fds[12];

	for (unsigned i = 0; i < 12; i++)
		fds[i] = formed_join(*state, 1 + i % 2);
	formed_renderings = 0;
	say_some(*state);
	harness_settle(*state);
	assert_int_equal(formed_renderings, 2 * 3);
	for (unsigned i = 0; i < 12; i++) {
		assert_string_equal(harness_read(*state, fds[i]),
				    i % 2 ? "<0:one><1:two, which is longer><2:three>" : some);
		close(fds[i]);
	}
}

/* Each form once, in whatever order its members come; who has one more than there is space for is served as well. */
static void many_forms_at_once(void **state)
{
	const unsigned most = 16;
	int fds[2 * FORMED_MOST];

	for (unsigned forms = most; forms <= FORMED_MOST; forms += FORMED_MOST - most) {
		for (unsigned i = 0; i < 2 * forms; i++)
			fds[i] = formed_join(*state, 1 + i % forms);
		formed_renderings = 0;
		say_some(*state);
		harness_settle(*state);
		if (forms == most)
			assert_int_equal(formed_renderings, 3 * most);
		for (unsigned i = 0; i < 2 * forms; i++) {
			const char *got = harness_read(*state, fds[i]);
			if (i % forms == 0)
				assert_string_equal(got, some);
			else
				assert_non_null(strstr(got, ":two, which is longer><"));
			close(fds[i]);
		}
		harness_settle(*state);
	}
}

/* Who gets the lines as they are is sent them as ever: no event is rendered, and no place committed. */
static void lines_as_they_are_cost_nothing_new(void **state)
{
	int a = formed_join(*state, 0), b = formed_join(*state, 0);
	struct clients *clients = harness_shared(*state)->clients;
	uint64_t generation = client_live(clients_at(clients, 0))->generation;
	const _Atomic uint64_t *sends = &formed_connection(*state, 0)->ctx->counters->v[COUNT_SENDS];
	uint64_t before = atomic_load(sends);

	formed_renderings = 0;
	for (unsigned i = 0; i < 100; i++) {
		for (unsigned k = 0; k < 100; k++)
			formed_say(*state, "a line as it is, of fifty characters or so, again");
		harness_settle(*state);
		assert_int_equal(strlen(harness_read(*state, a)), 100 * 53);
		assert_int_equal(strlen(harness_read(*state, b)), 100 * 53);
	}
	assert_int_equal(formed_renderings, 0);
	assert_int_equal(atomic_load(sends) - before, 200);
	assert_int_equal(client_live(clients_at(clients, 0))->generation, generation);
	close(a);
	close(b);
}

/* --- sends that are cut --- */

static size_t allowed;

static ssize_t cutting_send(struct stream *s, const void *data, size_t len)
{
	if (allowed == 0)
		return -EAGAIN;
	ssize_t n = send(s->fd, data, len < allowed ? len : allowed, MSG_DONTWAIT | MSG_NOSIGNAL);
	allowed -= n > 0 ? (size_t)n : 0;
	return n;
}

/* A stream of this test that takes so many bytes and no more. */
static const struct stream_ops *cut(struct connection *c, struct stream_ops *ops)
{
	const struct stream_ops *before = c->stream.ops;

	*ops = *before;
	ops->direct = false;
	ops->send = cutting_send;
	c->stream.ops = ops;
	return before;
}

/* The process goes on (dies == 0), or dies once the send was cut, or after the one that follows. */
static void cut_at_each_byte(struct harness *h, unsigned dies)
{
	int a = formed_join(h, 1);
	struct stream_ops ops;
	struct takeover r;

	for (size_t n = 0; n < sizeof(some); n++) {
		struct connection *c = formed_connection(h, 0);
		const struct stream_ops *plain = cut(c, &ops);
		allowed = n;
		say_some(h);
		output_deliver(c->ctx->connections, c->room->index);
		assert_int_equal(c->blocked, n < sizeof(some) - 1);
		/* Where it was cut is known: that is as far as it may be behind. */
		if (n < sizeof(some) - 1)
			assert_int_equal(formed_place(h, 0).seq, c->seq);
		if (dies == 2) {
			allowed = 3;
			c->blocked = false;
			output_run(c);
		}
		if (dies) {
			assert_int_equal(harness_crash(h, NULL, NULL, &r), 0);
			assert_int_equal(r.taken, 1);
		} else {
			c->stream.ops = plain;
			connection_retry(c);
			c->blocked = false;
		}
		harness_settle(h);
		assert_string_equal(read_all(h, a, sizeof(some) - 1), some);
	}
	close(a);
}

static void a_send_is_cut_at_each_byte(void **state)
{
	cut_at_each_byte(*state, 0);
}

static void a_send_is_cut_and_it_dies(void **state)
{
	cut_at_each_byte(*state, 1);
}

static void a_send_is_cut_twice_and_it_dies(void **state)
{
	cut_at_each_byte(*state, 2);
}

/* --- a process that dies behind a send --- */

/* The kernel has so much of what the member lacks, and nobody has noted that. */
static void send_unnoted(struct harness *h, uint32_t index, const char *data, size_t n)
{
	assert_int_equal(send(formed_connection(h, index)->stream.fd, data, n, MSG_NOSIGNAL), n);
}

static void it_dies_at_each_byte(void **state)
{
	int a = formed_join(*state, 1);
	struct takeover r;

	for (size_t n = 0; n < sizeof(some); n++) {
		say_some(*state);
		send_unnoted(*state, 0, some, n);
		for (unsigned times = 0; times < 1 + n % 3; times++) {
			assert_int_equal(harness_crash(*state, NULL, NULL, &r), 0);
			assert_int_equal(r.taken, 1);
		}
		formed_say(*state, "and on");
		harness_settle(*state);
		const char *got = read_all(*state, a, sizeof(some) - 1 + 8);
		assert_memory_equal(got, some, sizeof(some) - 1);
		assert_string_equal(got + sizeof(some) - 1, "{and on}");
	}
	close(a);
}

/* More than was ever rendered is on its way: nobody guesses what that was. */
static void what_does_not_add_up_is_refused(void **state)
{
	int a = formed_join(*state, 1), b = formed_join(*state, 2);
	struct takeover r;
	char buf[16];

	formed_say(*state, "hello");
	send_unnoted(*state, 0, "{hello}?", 8);
	send_unnoted(*state, 1, "<0:hello>", 9);
	assert_int_equal(harness_crash(*state, NULL, NULL, &r), 0);
	assert_int_equal(r.taken, 1);
	assert_int_equal(r.closed, 1);
	harness_settle(*state);
	assert_string_equal(harness_read(*state, b), "<0:hello><1:a left lobby>");
	assert_true(recv(a, buf, sizeof(buf), 0) <= 8); /* and a reset */
	close(a);
	close(b);
}

/* Many members of both forms, each somewhere else, of whom some have been cut: as often as chance wants. */
static void many_die_wherever_they_are(void **state)
{
	enum { MEMBERS = 9, ROUNDS = 120 };
	int fds[MEMBERS];
	static char expected[2][1 << 16];
	char text[64], event[96];
	struct takeover r;
	size_t sent[MEMBERS] = {0}, len[2] = {0}, n_events = 0;

	srand(19);
	for (unsigned i = 0; i < MEMBERS; i++)
		fds[i] = formed_join(*state, 1 + i % 2);
	for (unsigned round = 0; round < ROUNDS; round++) {
		for (int n = rand() % 9; n > 0; n--, n_events++) {
			snprintf(text, sizeof(text), "%s%.*s", rand() % 3 ? "say" : "hide", rand() % 40,
				 "........................................");
			formed_say(*state, text);
			len[0] += (size_t)sprintf(expected[0] + len[0], "{%s}", text);
			snprintf(event, sizeof(event), text[0] == 'h' ? "%.0zu%.0s" : "<%zu:%s>", n_events,
				 text);
			len[1] += text[0] == 'h' ? 0 : (size_t)sprintf(expected[1] + len[1], "%s", event);
		}
		if (rand() % 2) {
			for (unsigned i = 0; i < MEMBERS; i++) {
				size_t n = (size_t)rand() % (len[i % 2] - sent[i] + 1);
				send_unnoted(*state, i, expected[i % 2] + sent[i], n);
			}
			assert_int_equal(harness_crash(*state, NULL, NULL, &r), 0);
			assert_int_equal(r.taken, MEMBERS);
		}
		harness_settle(*state);
		/* The places that are known are others' each time, in no order. */
		for (unsigned i = 0; i < MEMBERS; i++) {
			sent[i] = len[i % 2];
			if (rand() % 3 == 0)
				output_tell_place(formed_connection(*state, i));
		}
	}
	for (unsigned i = 0; i < MEMBERS; i++) {
		assert_string_equal(read_all(*state, fds[i], len[i % 2]), expected[i % 2]);
		close(fds[i]);
	}
}

/* --- places, and a log that wraps --- */

/* Of a log that wraps over and over, what a successor may need is always there. */
static void places_are_committed_in_time(void **state)
{
	int a = formed_join(*state, 1), b = formed_join(*state, 2);
	char text[200];
	struct takeover r;
	unsigned commits = 0;
	uint64_t place = 0;

	for (unsigned i = 0; i < 4000; i++) {
		snprintf(
		    text, sizeof(text), "%u %.*s", i, (int)(i % 150),
		    "...................................................................................."
		    "...................................................................................");
		formed_say(*state, text);
		harness_settle(*state);
		const struct connection *c = formed_connection(*state, 0);
		assert_int_equal(c->seq, i + 1);
		struct position p = formed_place(*state, 0);
		assert_true(logring_weight(c->pos - p.cursor, c->seq - p.seq) <= (64 << 10) / 8);
		commits += p.seq != place;
		place = p.seq;
		char expected[220];
		snprintf(expected, sizeof(expected), "{%s}", text);
		assert_string_equal(harness_read(*state, a), expected);
		snprintf(expected, sizeof(expected), "<%u:%s>", i, text);
		assert_string_equal(harness_read(*state, b), expected);
		if (i % 97 == 0) {
			assert_int_equal(harness_crash(*state, NULL, NULL, &r), 0);
			assert_int_equal(r.taken, 2);
			assert_int_equal(r.closed, 0);
		}
	}
	/* Now and then, and not each time. */
	assert_in_range(commits, 4000 / 128, 400);
	close(a);
	close(b);
}

/* A thread that ends in order leaves nothing to be rendered again: the next one may be of another release. */
static void a_thread_that_ends_tells_the_places(void **state)
{
	int a = formed_join(*state, 1);
	struct worker *w = harness_shared(*state)->workers[0];
	struct takeover r;

	say_some(*state);
	harness_settle(*state);
	assert_int_equal(formed_place(*state, 0).seq, 0);
	assert_int_equal(worker_start(w), 0);
	worker_quit(w);
	assert_true(worker_join(w, 10 * SECOND_US));
	assert_int_equal(formed_place(*state, 0).seq, 3);
	formed_renderings = 0;
	assert_int_equal(harness_crash(*state, NULL, NULL, &r), 0);
	harness_settle(*state);
	assert_int_equal(formed_renderings, 0);
	assert_string_equal(harness_read(*state, a), some);
	close(a);
}

/* News of many times what is rendered at once, for members who read, and for one who does not at first. */
static void much_news_comes_in_parts(void **state)
{
	enum { LINES = 30000 };
	int a = formed_join(*state, 1), b = formed_join(*state, 1), c = formed_join(*state, 0);
	static char expected[LINES * 128];
	const struct speaker who = {.nick = "x", .nick_len = 1};
	struct slot_set kick = {{0}};
	struct speech s = {0};
	char text[128];
	size_t len = 0;

	for (unsigned i = 0; i < LINES; i++) {
		int n =
		    snprintf(text, sizeof(text), "%u %.*s", i, (int)(i % 90),
			     "............................................................................."
			     ".............");
		while (speech_say(&s, formed_room(*state), &who, text, (size_t)n) == -EAGAIN)
			speech_commit(&s, harness_shared(*state)->rooms, &kick);
		len += (size_t)sprintf(expected + len, "{%s}", text);
	}
	speech_commit(&s, harness_shared(*state)->rooms, &kick);
	formed_renderings = 0;
	harness_settle(*state);
	assert_in_range(formed_renderings, LINES, LINES + LINES / 4);
	assert_string_equal(read_all(*state, a, len), expected);
	assert_string_equal(read_all(*state, b, len), expected);
	assert_int_equal(strlen(read_all(*state, c, len + LINES * 2)), len + LINES * 2);
	close(a);
	close(b);
	close(c);
}

/* --- what is forgotten --- */

static void forget_all(struct harness *h)
{
	room_forget(formed_room(h), &(struct room_forget){.nick = "x"});
}

/* It is not shown to who hasn't got it, and a death at any byte around it does no harm. */
static void what_is_forgotten_is_passed_over(void **state)
{
	static const char rest[] = "{behind}{it}";
	int a = formed_join(*state, 1), b = formed_join(*state, 2);
	struct takeover r;

	for (size_t n = 0; n < sizeof(rest); n++) {
		formed_say(*state, "not any more");
		formed_say(*state, "nor this");
		forget_all(*state);
		formed_say(*state, "behind");
		formed_say(*state, "it");
		harness_settle(*state);
		assert_string_equal(harness_read(*state, a), rest);
		formed_say(*state, "forgotten");
		forget_all(*state);
		harness_settle(*state);
		formed_say(*state, "behind");
		formed_say(*state, "it");
		send_unnoted(*state, 0, rest, n);
		assert_int_equal(harness_crash(*state, NULL, NULL, &r), 0);
		assert_int_equal(r.taken, 2);
		harness_settle(*state);
		assert_string_equal(read_all(*state, a, sizeof(rest) - 1), rest);
	}
	assert_null(strstr(harness_read(*state, b), "forgotten"));
	close(a);
	close(b);
}

/* Somebody who was sent it before goes on, if the places were told; else nobody knows how much it was. */
static void what_was_sent_may_be_forgotten(void **state)
{
	struct worker *w = harness_shared(*state)->workers[0];
	int a = formed_join(*state, 1);
	struct takeover r;

	say_some(*state);
	harness_settle(*state);
	forget_all(*state);
	connections_tell_places(w);
	formed_say(*state, "more");
	send_unnoted(*state, 0, "{mo", 3);
	assert_int_equal(harness_crash(*state, NULL, NULL, &r), 0);
	assert_int_equal(r.taken, 1);
	harness_settle(*state);
	assert_memory_equal(read_all(*state, a, sizeof(some) - 1 + 6), some, sizeof(some) - 1);
	say_some(*state);
	harness_settle(*state);
	forget_all(*state);
	formed_say(*state, "what is long enough to be taken for what was sent before");
	assert_int_equal(harness_crash(*state, NULL, NULL, &r), 0);
	assert_int_equal(r.taken, 0);
	assert_int_equal(r.closed, 1);
	close(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(it_is_rendered_once_for_all, formed_setup, harnessed_teardown),
	    cmocka_unit_test_setup_teardown(many_forms_at_once, formed_setup, harnessed_teardown),
	    cmocka_unit_test_setup_teardown(lines_as_they_are_cost_nothing_new, formed_setup,
					    harnessed_teardown),
	    cmocka_unit_test_setup_teardown(a_send_is_cut_at_each_byte, formed_setup, harnessed_teardown),
	    cmocka_unit_test_setup_teardown(a_send_is_cut_and_it_dies, formed_setup, harnessed_teardown),
	    cmocka_unit_test_setup_teardown(a_send_is_cut_twice_and_it_dies, formed_setup,
					    harnessed_teardown),
	    cmocka_unit_test_setup_teardown(it_dies_at_each_byte, formed_setup, harnessed_teardown),
	    cmocka_unit_test_setup_teardown(what_does_not_add_up_is_refused, formed_setup,
					    harnessed_teardown),
	    cmocka_unit_test_setup_teardown(many_die_wherever_they_are, formed_setup, harnessed_teardown),
	    cmocka_unit_test_setup_teardown(places_are_committed_in_time, formed_setup_small,
					    harnessed_teardown),
	    cmocka_unit_test_setup_teardown(a_thread_that_ends_tells_the_places, formed_setup,
					    harnessed_teardown),
	    cmocka_unit_test_setup_teardown(much_news_comes_in_parts, formed_setup_long, harnessed_teardown),
	    cmocka_unit_test_setup_teardown(what_is_forgotten_is_passed_over, formed_setup,
					    harnessed_teardown),
	    cmocka_unit_test_setup_teardown(what_was_sent_may_be_forgotten, formed_setup, harnessed_teardown),
	};

	return cmocka_run_group_tests_name("rendered", tests, NULL, NULL);
}
