/* SPDX-License-Identifier: MIT */
/*
 * Whatever people and devices say or do in a room that is shared with other machines goes out first, and is seen
 * when it comes back: over every transport, and through the death of the process.
 */
#include "tests/unit/unit.h"

#include "daemon/engine/transaction.h"
#include "daemon/net/zmq_private.h"
#include "daemon/rooms/elsewhere.h"
#include "daemon/rooms/letter.h"
#include "daemon/rooms/outgoing.h"
#include "daemon/state/memberships.h"
#include "tests/unit/harnessed.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const char config[] =
    "workers = 1; max_message = 100;"
    "rooms = ( { name = \"lobby\"; history = 3; }, { name = \"sensors\"; format = \"raw\"; } );"
    "listeners = ( { name = \"devices\"; type = \"udp\"; mode = \"registry\"; listen = \"127.0.0.1:5050\";"
    "                room = \"lobby\"; trusted = [ \"127.0.0.0/8\" ]; } );";

static int setup(void **state)
{
	*state = harness_new_clustered(config);
	return *state ? 0 : -1;
}

static int join(struct harness *h, const char *room)
{
	int fd = harness_connect(h, "tcp", "chat", room);

	harness_settle(h);
	return fd;
}

/* A member whose greeting is read. */
static int member(struct harness *h)
{
	int fd = join(h, "lobby");

	harness_read(h, fd);
	return fd;
}

static struct room *lobby(struct harness *h)
{
	struct rooms *rooms = harness_shared(h)->rooms;
	struct room *r;

	assert_int_equal(rooms_enter_existing(rooms, "lobby", 0, &r), 0);
	rooms_leave(rooms, r, 0);
	return r;
}

/* The room hears nothing of it before it comes back, and then this; so does whoever reads there. */
static void assert_held_back(struct harness *h, int reader, const char *expected)
{
	assert_string_equal(harness_read(h, reader), "");
	assert_false(outgoing_settled(lobby(h)));
	harness_hold_back(h, false);
	harness_settle(h);
	assert_string_equal(harness_read(h, reader), expected);
	assert_true(outgoing_settled(lobby(h)));
	harness_hold_back(h, true);
}

static void people(void **state)
{
	int a = member(*state), b;

	harness_hold_back(*state, true);
	harness_say(*state, a, "hello\n");
	assert_held_back(*state, a, "guest1: hello\n");
	harness_say(*state, a, "/me waves\n");
	assert_held_back(*state, a, "guest1 * waves\n");
	assert_string_equal(harness_say(*state, a, "/nick alice\n"), "");
	assert_held_back(*state, a, "* guest1 is now alice\n");
	b = join(*state, "lobby");
	assert_string_equal(harness_read(*state, b),
			    "* Welcome, guest2. You are in lobby; /help lists the commands.\n"
			    "guest1: hello\nguest1 * waves\n");
	assert_held_back(*state, a, "* guest2 joined lobby\n");
	assert_string_equal(harness_read(*state, b), "* guest2 joined lobby\n");
	assert_string_equal(harness_say(*state, b, "/join den\n"), "* You are in den.\n");
	assert_held_back(*state, a, "* guest2 left lobby\n");
	assert_string_equal(harness_say(*state, b, "/join lobby\n"),
			    "* guest2 joined den\n* You are in lobby.\nguest1: hello\nguest1 * waves\n");
	assert_held_back(*state, a, "* guest2 joined lobby\n");
	close(b);
	harness_settle(*state);
	assert_held_back(*state, a, "* guest2 left lobby\n");
	close(a);
}

/* Where a reply stands among the room's lines is the same as ever: behind what has come back. */
static void replies_and_private_messages_dont_wait(void **state)
{
	int a = member(*state), b = member(*state);

	harness_read(*state, a);
	harness_hold_back(*state, true);
	assert_string_equal(harness_say(*state, a, "one\n/join lobby\n"), "* You are in lobby already.\n");
	assert_string_equal(harness_say(*state, a, "/msg guest2 psst\n"), "* [you -> guest2] psst\n");
	assert_string_equal(harness_read(*state, b), "* [guest1 -> you] psst\n");
	assert_held_back(*state, b, "guest1: one\n");
	assert_string_equal(harness_read(*state, a), "guest1: one\n");
	close(a);
	close(b);
}

/* Zoe is on node b. */
static void put_zoe(struct harness *h, struct elsewhere *el)
{
	const struct elsewhere_client zoe = {.id = 9, .nick_len = 3, .nick = "zoe", .kind = "tcp"};

	assert_true(elsewhere_put(el, elsewhere_node(el, "b"), &zoe));
	letter_nodes_set(rooms_letter_nodes(harness_shared(h)->rooms), "b", 0xabc);
	harness_shared(h)->elsewhere = el;
}

/* The last line of the letters' log, of so many. */
static const char *last_letter(struct harness *h, uint64_t n)
{
	struct logring *log = rooms_letters(harness_shared(h)->rooms)->log;
	static char line[256];
	struct logring_view v;

	logring_lock(log);
	logring_peek(log, &v);
	assert_int_equal(v.count, n);
	uint64_t start = logring_start(log, &v, n - 1);
	snprintf(line, sizeof(line), "%.*s", (int)(v.head - start), logring_at(&v, start));
	logring_unlock(log);
	return line;
}

static void private_messages_to_other_nodes(void **state)
{
	struct elsewhere *el;
	struct takeover r;
	int a = member(*state);

	assert_int_equal(elsewhere_new(8, &el), 0);
	put_zoe(*state, el);
	assert_string_equal(harness_say(*state, a, "/msg Zoe psst \x01\n"),
			    "* [you -> Zoe] psst \xef\xbf\xbd\n");
	assert_string_equal(last_letter(*state, 1), "guest1 b abc 9 0 zoe psst \xef\xbf\xbd\n");
	/* It is consumed with it. */
	assert_int_equal(harness_crash(*state, NULL, NULL, &r), 0);
	put_zoe(*state, el);
	harness_settle(*state);
	last_letter(*state, 1);
	assert_string_equal(harness_say(*state, a, "/msg nobody x\n"),
			    "* There is nobody by that name here.\n");
	/* Of two of that name the one who is here is meant. */
	int b = member(*state);
	harness_say(*state, b, "/nick zoe\n");
	if (*harness_say(*state, a, "/msg zoe x\n"))
		(void)last_letter(*state, 1);
	assert_non_null(strstr(harness_read(*state, b), "* [guest1 -> you] x\n"));
	close(a);
	close(b);
	elsewhere_free(el);
}

/* Somebody who waits for another node doesn't keep anybody from talking. */
static void many_wait_for_other_nodes(void **state)
{
	struct room *letters = rooms_letters(harness_shared(*state)->rooms);
	const struct speaker who = {.id = 1, .nick = "x", .nick_len = 1};
	const struct letter_address to = {.node = "b", .nick_len = 3, .nick = "zoe"};
	static char text[LETTER_TEXT_MAX];
	struct elsewhere *el;
	struct speech s = {0};
	int a = member(*state);

	assert_int_equal(elsewhere_new(8, &el), 0);
	put_zoe(*state, el);
	memset(text, 'x', sizeof(text));
	while (!room_log_is_crowded(harness_shared(*state)->rooms, letters)) {
		letter_put(&s, letters, &who, &to, text, sizeof(text));
		speech_commit(&s, harness_shared(*state)->rooms, &(struct slot_set){{0}});
	}
	uint64_t n = logring_count(letters->log);
	assert_string_equal(harness_say(*state, a, "/msg zoe x\n/msg guest1 y\nz\n"),
			    "* Not possible now: too many messages wait for other nodes.\n"
			    "* [you -> guest1] y\n* [guest1 -> you] y\nguest1: z\n");
	assert_int_equal(logring_count(letters->log), n);
	close(a);
	elsewhere_free(el);
}

/* Who doesn't read can't be told, which the sender hears on its node. */
static void what_does_not_fit_goes_back_to_its_node(void **state)
{
	struct rooms *rooms = harness_shared(*state)->rooms;
	static char text[50000];
	const struct speaker zoe = {
	    .id = 9, .index = 5, .nick = "zoe", .nick_len = 3, .from = letter_tag("b", 1, 0xabc)};
	struct elsewhere *el;
	struct speech s = {0};
	int a = member(*state);

	assert_int_equal(elsewhere_new(8, &el), 0);
	put_zoe(*state, el);
	const struct client *c = clients_at(harness_shared(*state)->clients, 0);
	memset(text, 'x', sizeof(text));
	for (unsigned i = 0; i < 1000 && logring_count(rooms_letters(rooms)->log) == 0; i++) {
		speech_tell(&s, rooms_private(rooms), &zoe, &(struct speech_peer){c->id, 0}, text,
			    sizeof(text));
		speech_commit(&s, rooms, &(struct slot_set){{0}});
		rooms_remark(rooms, rooms_private(rooms), 0);
		harness_settle(*state);
	}
	assert_string_equal(last_letter(*state, 1), "guest1 b abc 9 5 guest1 \n");
	/* Of a node that isn't there any more nobody has to hear of it; nor of one that has other clients by now. */
	letter_nodes_set(rooms_letter_nodes(rooms), "b", 0xabd);
	speech_tell(&s, rooms_private(rooms), &zoe, &(struct speech_peer){c->id, 0}, text, sizeof(text));
	speech_commit(&s, rooms, &(struct slot_set){{0}});
	rooms_remark(rooms, rooms_private(rooms), 0);
	harness_settle(*state);
	last_letter(*state, 1);
	close(a);
	elsewhere_free(el);
}

static void the_last_words_are_said(void **state)
{
	int a = member(*state), b = member(*state);

	harness_read(*state, a);
	harness_hold_back(*state, true);
	assert_int_equal(send(b, "bye\n/quit\n", 10, 0), 10);
	harness_settle(*state);
	assert_held_back(*state, a, "guest2: bye\n* guest2 left lobby\n");
	close(a);
	close(b);
}

static void raw_rooms(void **state)
{
	int a = join(*state, "sensors"), b = join(*state, "sensors");

	harness_read(*state, a);
	harness_read(*state, b);
	harness_hold_back(*state, true);
	assert_string_equal(harness_say(*state, a, "* t=21\x01\n"), "");
	harness_hold_back(*state, false);
	harness_settle(*state);
	assert_string_equal(harness_read(*state, b), "** t=21\x01\n");
	assert_string_equal(harness_read(*state, a), "** t=21\x01\n");
	close(a);
	close(b);
}

static void devices(void **state)
{
	int a = member(*state), fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct sockaddr_in to = {.sin_family = AF_INET,
				 .sin_port = htons(harness_listen(*state, 0)),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	harness_hold_back(*state, true);
	assert_string_equal(harness_say(*state, fd, "#REG dev"), "#OK dev 300\n");
	assert_held_back(*state, a, "* dev joined lobby\n");
	assert_string_equal(harness_read(*state, fd), "* dev joined lobby\n");
	assert_string_equal(harness_say(*state, fd, "t=21"), "");
	assert_held_back(*state, a, "dev: t=21\n");
	assert_string_equal(harness_read(*state, fd), "dev: t=21\n");
	assert_string_equal(harness_say(*state, fd, "#REG sensor"), "#OK sensor 300\n");
	assert_held_back(*state, a, "* dev is now sensor\n");
	harness_say(*state, fd, "#DEREG");
	assert_held_back(*state, a, "* sensor left lobby\n");
	close(fd);
	close(a);
}

static bool nowhere(unsigned origin, void *arg)
{
	(void)origin;
	(void)arg;
	return false;
}

/* Whoever isn't taken over has left: that goes out as well, and whoever sends it looks for it. */
static void lost_devices(void **state)
{
	int a = member(*state), fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct sockaddr_in to = {.sin_family = AF_INET,
				 .sin_port = htons(harness_listen(*state, 0)),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct takeover r;

	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	harness_say(*state, fd, "#REG dev");
	assert_string_equal(harness_read(*state, a), "* dev joined lobby\n");
	harness_hold_back(*state, true);
	assert_int_equal(harness_crash(*state, NULL, NULL, &r), 0);
	struct wakeup *w = slots_wakeup(harness_shared(*state)->slots, 1);
	assert_false(wakeup_pending(w));
	takeover_orphans(harness_shared(*state), nowhere, NULL);
	assert_true(wakeup_pending(w));
	harness_settle(*state);
	assert_held_back(*state, a, "* dev left lobby\n");
	close(fd);
	close(a);
}

static void bridges(void **state)
{
	struct shared *shared = harness_shared(*state);
	struct zmq_listener *z = calloc(1, sizeof(*z));
	int a = member(*state);

	z->ctx = (struct context){.shared = shared, .slot = 0};
	z->ctx.counters = context_counters(shared, 0);
	z->room = lobby(*state);
	atomic_store(&z->max_message, 100);
	harness_hold_back(*state, true);
	assert_true(zmq_listener_room_takes(z));
	zmq_listener_say(z, "bridge", "by a peer\n", 10);
	harness_settle(*state);
	assert_held_back(*state, a, "bridge: by a peer\n");
	free(z);
	close(a);
}

/* The process dies again and again, before and after things come back. */
static void deaths(void **state)
{
	int a = member(*state), b = member(*state);
	struct takeover r;

	harness_read(*state, a);
	for (unsigned i = 0; i < 4; i++) {
		harness_hold_back(*state, i % 2 == 0);
		assert_string_equal(harness_say(*state, a, "one\n/nick alice\nhal"),
				    i % 2 == 0 ? "" : "guest1: one\n* guest1 is now alice\n");
		assert_int_equal(send(b, "two\n", 4, 0), 4);
		assert_int_equal(harness_crash(*state, NULL, NULL, &r), 0);
		assert_int_equal(r.taken, 2);
		harness_hold_back(*state, false);
		harness_settle(*state);
		assert_string_equal(harness_say(*state, a, "f\n/nick guest1\n"),
				    i % 2 == 0 ? "guest1: one\n* guest1 is now alice\nguest2: two\n"
						 "alice: half\n* alice is now guest1\n"
					       : "guest2: two\nalice: half\n* alice is now guest1\n");
		harness_read(*state, b);
	}
	close(a);
	close(b);
}

/*
 * The line is in the outgoing log, but its client's entry says nothing of it yet: the intent, which names the
 * hidden room, carries it out. Otherwise it would be said twice.
 */
static void prepare_intent(struct harness *h)
{
	struct clients *clients = harness_shared(h)->clients;
	struct client *c = clients_at(clients, 0);
	struct scratch *s = clients_scratch(clients, 0);
	struct room *out = lobby(h)->outgoing;
	uint32_t after = atomic_load(&c->live);

	/* As it was before the last step of the commit. */
	atomic_store(&c->live, !after);
	s->client = 0;
	s->live_after = after;
	s->room = out->index;
	s->count = logring_count(out->log);
	atomic_store(&s->intent, scratch_intent(s));
}

static void intents_of_hidden_rooms(void **state)
{
	int a = member(*state);
	struct takeover r;

	for (unsigned i = 0; i < 2; i++) {
		harness_hold_back(*state, true);
		assert_string_equal(harness_say(*state, a, "once\n"), "");
		prepare_intent(*state);
		/* The second time the next process isn't in a cluster any more. */
		if (i == 1)
			harness_uncluster(*state);
		assert_int_equal(harness_crash(*state, NULL, NULL, &r), 0);
		assert_int_equal(r.taken, 1);
		harness_hold_back(*state, false);
		harness_settle(*state);
		assert_string_equal(harness_read(*state, a), "guest1: once\n");
		assert_string_equal(harness_say(*state, a, "twice\n"), "guest1: twice\n");
	}
	assert_null(lobby(*state)->outgoing);
	close(a);
}

/* A client's place is never in a hidden room. */
static void nobody_is_in_a_hidden_room(void **state)
{
	struct shared *shared = harness_shared(*state);
	int a = member(*state);
	struct client *c = clients_at(shared->clients, 0);
	struct takeover r;

	struct client_state *next = transaction_begin(shared->clients, c);
	membership_set_direct(shared->clients, c, next, lobby(*state)->outgoing->index,
			      (struct position){0, 0});
	transaction_commit(worker_context(shared->workers[0]), c, NULL);
	assert_int_equal(harness_crash(*state, NULL, NULL, &r), 0);
	assert_int_equal(r.taken, 0);
	assert_int_equal(r.closed, 1);
	close(a);
}

/* Nobody's lines are lost when more waits than the log has space for: whoever speaks waits. */
static void a_full_log_holds_people_up(void **state)
{
	int a = member(*state);
	char lines[64 * 100 + 1];
	unsigned said = 0, heard = 0, at = 0;
	uint64_t count;

	for (unsigned i = 0; i < 64; i++)
		snprintf(lines + i * 100, 101, "%099u\n", i);
	harness_hold_back(*state, true);
	do {
		count = logring_count(lobby(*state)->outgoing->log);
		if (send(a, lines, sizeof(lines) - 1, 0) != (ssize_t)sizeof(lines) - 1)
			break;
		said += 64;
		harness_settle(*state);
	} while (logring_count(lobby(*state)->outgoing->log) == count + 64 && said < 100000);
	assert_true(logring_count(lobby(*state)->outgoing->log) < said);
	harness_hold_back(*state, false);
	for (unsigned i = 0; i < 100 && heard < said; i++) {
		harness_settle(*state);
		for (const char *p = harness_read(*state, a); *p; p++) {
			char expected[128];
			int len = snprintf(expected, sizeof(expected), "guest1: %099u\n", heard % 64);
			assert_int_equal(*p, expected[at]);
			if (++at == (unsigned)len) {
				at = 0;
				heard++;
			}
		}
	}
	assert_int_equal(heard, said);
	close(a);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, harnessed_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(people),
	    CASE(replies_and_private_messages_dont_wait),
	    CASE(private_messages_to_other_nodes),
	    CASE(many_wait_for_other_nodes),
	    CASE(what_does_not_fit_goes_back_to_its_node),
	    CASE(the_last_words_are_said),
	    CASE(raw_rooms),
	    CASE(devices),
	    CASE(lost_devices),
	    CASE(bridges),
	    CASE(deaths),
	    CASE(intents_of_hidden_rooms),
	    CASE(nobody_is_in_a_hidden_room),
	    CASE(a_full_log_holds_people_up),
	};

	return cmocka_run_group_tests_name("clustered", tests, NULL, NULL);
}
