/* SPDX-License-Identifier: MIT */
/* What is put into a room's log: the event in the record, and its line. */
#include "tests/unit/rooms/rooms.h"

#include "daemon/rooms/speech.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct fixture {
	struct test_rooms t;
	struct room *room, *raw;
};

static const struct speaker alice = {.id = 7, .index = 3, .nick = "alice", .nick_len = 5};

static int setup(void **state)
{
	static const struct room_settings defaults = {.log_size = 65536, .announce_max = 2};
	static const struct room_config configured[2] = {
	    {.name = "lobby", .settings = {.log_size = 65536, .announce_max = 2}},
	    {.name = "raw", .settings = {.log_size = 65536, .announce_max = 2, .raw = true}}};
	static const struct rooms_limits limits = {.rooms = 10};
	struct fixture *f = calloc(1, sizeof(*f));

	*state = f;
	return test_rooms_open(&f->t, 2) < 0 ||
		       rooms_configure(f->t.rooms, configured, 2, &defaults, &limits) < 0 ||
		       rooms_enter(f->t.rooms, "lobby", 0, &anybody, &f->room) < 0 ||
		       rooms_enter(f->t.rooms, "raw", 0, &anybody, &f->raw) < 0
		   ? -1
		   : 0;
}

static uint64_t commit(struct fixture *f, struct speech *s)
{
	struct slot_set kick = {{0}};

	return speech_commit(s, f->t.rooms, &kick);
}

static struct record last(struct room *room, char line[256])
{
	struct logring_view v;

	logring_lock(room->log);
	logring_peek(room->log, &v);
	assert_true(v.count > 0);
	struct record r = *logring_record(room->log, v.count - 1);
	uint64_t start = logring_start(room->log, &v, v.count - 1);
	size_t len = r.end - start;
	assert_true(len < 256);
	memcpy(line, logring_at(&v, start), len);
	line[len] = '\0';
	logring_unlock(room->log);
	return r;
}

/* The room's last message is of this kind and this line, the nick and the text stand there in it. */
static void assert_event(struct room *room, enum record_kind kind, const char *expected, const char *nick,
			 const char *text)
{
	char line[256];
	struct record r = last(room, line);

	assert_string_equal(line, expected);
	assert_int_equal(r.kind, kind);
	assert_int_equal(r.nick_len, strlen(nick));
	assert_memory_equal(line + r.nick_at, nick, strlen(nick));
	assert_string_equal(line + r.text, text);
	assert_true(r.time_us > 0);
}

static void each_event_has_its_line(void **state)
{
	struct fixture *f = *state;
	struct speech s = {0};

	assert_true(speech_enter(&s, f->room, &alice));
	assert_int_equal(commit(f, &s), 1);
	assert_event(f->room, RECORD_JOIN, "* alice joined lobby\n", "alice", "lobby\n");
	assert_int_equal(speech_say(&s, f->room, &alice, "hello", 5), 0);
	assert_int_equal(commit(f, &s), 1);
	assert_event(f->room, RECORD_MESSAGE, "alice: hello\n", "alice", "hello\n");
	assert_int_equal(speech_act(&s, f->room, &alice, "waves", 5), 0);
	assert_int_equal(commit(f, &s), 1);
	assert_event(f->room, RECORD_ACTION, "alice * waves\n", "alice", "waves\n");
	assert_true(speech_rename(&s, f->room, &alice, "bob", 3));
	assert_int_equal(commit(f, &s), 1);
	assert_event(f->room, RECORD_RENAME, "* alice is now bob\n", "alice", "bob\n");
	assert_true(speech_leave(&s, f->room, &alice, false));
	assert_int_equal(commit(f, &s), 1);
	assert_event(f->room, RECORD_LEAVE, "* alice left lobby\n", "alice", "lobby\n");
	assert_true(speech_leave(&s, f->room, &alice, true));
	assert_int_equal(commit(f, &s), 1);
	assert_event(f->room, RECORD_QUIT, "* alice left lobby\n", "alice", "lobby\n");
	assert_null(speech_room(&s));
	assert_int_equal(commit(f, &s), 0);
}

static void who_did_it_is_in_the_record(void **state)
{
	struct fixture *f = *state;
	const struct speaker admin = {.nick = "admin", .nick_len = 5};
	struct speech s = {0};
	char line[256];

	assert_int_equal(speech_say(&s, f->room, &alice, "x", 1), 0);
	commit(f, &s);
	assert_int_equal(last(f->room, line).sender, 7);
	assert_int_equal(speech_say(&s, f->room, &admin, "x", 1), 0);
	commit(f, &s);
	assert_int_equal(last(f->room, line).sender, 0);
	assert_event(f->room, RECORD_MESSAGE, "admin: x\n", "admin", "x\n");
}

static void text_is_made_safe(void **state)
{
	struct fixture *f = *state;
	struct speech s = {0};

	assert_int_equal(speech_say(&s, f->room, &alice, "\033[31m", 5), 0);
	commit(f, &s);
	assert_event(f->room, RECORD_MESSAGE, "alice: \xef\xbf\xbd[31m\n", "alice", "\xef\xbf\xbd[31m\n");
	assert_int_equal(speech_act(&s, f->room, &alice, "\xff", 1), 0);
	commit(f, &s);
	assert_event(f->room, RECORD_ACTION, "alice * \xef\xbf\xbd\n", "alice", "\xef\xbf\xbd\n");
	/* Nobody says nothing. */
	assert_int_equal(speech_say(&s, f->room, &alice, "", 0), 0);
	assert_int_equal(commit(f, &s), 0);
}

static void raw_rooms_have_lines_as_they_are(void **state)
{
	struct fixture *f = *state;
	struct speech s = {0};

	assert_int_equal(speech_say(&s, f->raw, &alice, "t=\x01\xff", 4), 0);
	commit(f, &s);
	assert_event(f->raw, RECORD_MESSAGE, "t=\x01\xff\n", "", "t=\x01\xff\n");
	assert_int_equal(speech_say(&s, f->raw, &alice, "", 0), 0);
	assert_int_equal(commit(f, &s), 1);
	assert_event(f->raw, RECORD_MESSAGE, "\n", "", "\n");
	/* Nothing there looks like the server's words. */
	assert_int_equal(speech_say(&s, f->raw, &alice, "* bob left raw", 14), 0);
	commit(f, &s);
	assert_event(f->raw, RECORD_MESSAGE, "** bob left raw\n", "", "* bob left raw\n");
	assert_int_equal(speech_act(&s, f->raw, &alice, "waves", 5), 0);
	commit(f, &s);
	assert_event(f->raw, RECORD_ACTION, "alice * waves\n", "alice", "waves\n");
	/* Nobody comes or goes there. */
	assert_false(speech_enter(&s, f->raw, &alice));
	assert_false(speech_leave(&s, f->raw, &alice, true));
	assert_false(speech_rename(&s, f->raw, &alice, "bob", 3));
	assert_null(speech_room(&s));
	speech_leave_lost(f->raw, &alice);
	assert_event(f->raw, RECORD_ACTION, "alice * waves\n", "alice", "waves\n");
}

static void large_rooms_are_silent(void **state)
{
	struct fixture *f = *state;
	struct speech s = {0};
	struct room *r;
	uint64_t n;

	assert_int_equal(rooms_enter(f->t.rooms, "lobby", 1, &anybody, &r), 0);
	speech_leave_lost(f->room, &alice); /* there were three */
	assert_int_equal(logring_count(f->room->log), 0);
	assert_true(speech_enter(&s, f->room, &alice)); /* there are two */
	commit(f, &s);
	assert_int_equal(rooms_enter(f->t.rooms, "lobby", 1, &anybody, &r), 0);
	n = logring_count(f->room->log);
	assert_false(speech_enter(&s, f->room, &alice));
	assert_false(speech_leave(&s, f->room, &alice, false));
	assert_false(speech_rename(&s, f->room, &alice, "bob", 3));
	assert_int_equal(logring_count(f->room->log), n);
	/* The lock was not taken, or this would wait for ever. */
	speech_begin(&s, f->room);
	assert_ptr_equal(speech_room(&s), f->room);
	logring_unlock(f->room->log);
	rooms_leave(f->t.rooms, r, 1);
	rooms_leave(f->t.rooms, r, 1);
	speech_leave_lost(f->room, &alice);
	assert_event(f->room, RECORD_QUIT, "* alice left lobby\n", "alice", "lobby\n");
	/* It dies before the entry is released, and the next process finds it again. */
	n = logring_count(f->room->log);
	speech_leave_lost(f->room, &alice);
	assert_int_equal(logring_count(f->room->log), n);
	speech_leave_lost(f->room, &(struct speaker){.id = alice.id + 1, .nick = "bob", .nick_len = 3});
	assert_event(f->room, RECORD_QUIT, "* bob left lobby\n", "bob", "lobby\n");
}

static void private_messages(void **state)
{
	struct fixture *f = *state;
	struct room *private = rooms_private(f->t.rooms);
	const struct speech_peer bob = {9, 4};
	const struct speaker nobody = {.id = 9, .nick = "bob", .nick_len = 3};
	struct speech s = {0};
	char line[256];

	speech_tell(&s, private, &alice, &bob, "psst", 4);
	assert_int_equal(commit(f, &s), 1);
	assert_event(private, RECORD_MESSAGE, "* [alice -> you] psst\n", "alice", "psst\n");
	struct record r = last(private, line);
	assert_int_equal(r.sender, 7);
	assert_int_equal(r.sender_index, 4); /* plus one */
	assert_int_equal(r.target, 9);
	assert_int_equal(r.target_index, 4);
	speech_bounce(&s, private, &r, &nobody);
	commit(f, &s);
	assert_event(private, RECORD_NOTICE,
		     "* Your message to bob could not be delivered: too much waits there.\n", "",
		     "Your message to bob could not be delivered: too much waits there.\n");
	r = last(private, line);
	assert_int_equal(r.sender, 0);
	assert_int_equal(r.target, 7);
	assert_int_equal(r.target_index, 3);
}

static void a_long_name_fits(void **state)
{
	struct fixture *f = *state;
	char nick[SPEECH_NICK_MAX + 1], expected[256];
	const struct speaker who = {.nick = nick, .nick_len = SPEECH_NICK_MAX};
	struct speech s = {0};

	memset(nick, 'n', SPEECH_NICK_MAX);
	nick[SPEECH_NICK_MAX] = '\0';
	assert_true(speech_rename(&s, f->room, &who, "bob", 3));
	commit(f, &s);
	snprintf(expected, sizeof(expected), "* %s is now bob\n", nick);
	assert_event(f->room, RECORD_RENAME, expected, nick, "bob\n");
	speech_tell(&s, rooms_private(f->t.rooms), &who, &(struct speech_peer){1, 1}, "x", 1);
	commit(f, &s);
	snprintf(expected, sizeof(expected), "* [%s -> you] x\n", nick);
	assert_event(rooms_private(f->t.rooms), RECORD_MESSAGE, expected, nick, "x\n");
}

/* What one commit may hold is limited, so that a reader has its turn. */
static void much_is_said_in_several_steps(void **state)
{
	struct fixture *f = *state;
	struct speech s = {0};
	char text[1000];
	unsigned n = 0;

	memset(text, 'x', sizeof(text));
	assert_true(speech_try(&s, f->t.rooms, f->room));
	while (n < 1000 && speech_say(&s, f->room, &alice, text, sizeof(text)) == 0)
		n++;
	assert_in_range(n, 2, 999);
	assert_int_equal(speech_say(&s, f->room, &alice, text, sizeof(text)), -EAGAIN);
	assert_int_equal(commit(f, &s), n);
	for (unsigned i = 0; i < 100 && speech_try(&s, f->t.rooms, f->room); i++) {
		assert_int_equal(speech_say(&s, f->room, &alice, text, sizeof(text)), 0);
		commit(f, &s);
	}
	/* The room's reader is far behind. */
	assert_false(speech_try(&s, f->t.rooms, f->room));
	logring_caught_up(f->room->log, 0);
	assert_true(speech_try(&s, f->t.rooms, f->room));
	commit(f, &s);
}

static void notices_are_counted(void **state)
{
	struct fixture *f = *state;
	struct speech s = {0};
	struct logring_view v;

	assert_int_equal(speech_say(&s, f->room, &alice, "1", 1), 0);
	speech_enter(&s, f->room, &alice);
	speech_rename(&s, f->room, &alice, "bob", 3);
	speech_leave(&s, f->room, &alice, false);
	speech_leave(&s, f->room, &alice, true);
	commit(f, &s);
	logring_lock(f->room->log);
	logring_peek(f->room->log, &v);
	uint64_t seq = v.count;
	assert_true(logring_back(f->room->log, &v, &seq));
	assert_int_equal(seq, 0);
	logring_unlock(f->room->log);
}

static void what_may_be_shown_later(void **state)
{
	struct fixture *f = *state;
	const struct record named = {.kind = RECORD_MESSAGE, .text = 7, .nick_len = 5};
	const struct record raw = {.kind = RECORD_MESSAGE, .text = 0};
	const struct record starred = {.kind = RECORD_MESSAGE, .text = 1};
	const struct record act = {.kind = RECORD_ACTION, .text = 8, .nick_len = 5};
	const struct record notice = {.kind = RECORD_NOTICE, .text = 2};
	const struct record quit = {.kind = RECORD_QUIT, .text = 13, .nick_len = 5};
	const struct record old = {.kind = RECORD_MESSAGE, .text = 7};

	for (unsigned i = 0; i < 2; i++) {
		const struct room *room = i == 0 ? f->room : f->raw;
		assert_true(speech_shows(room, &named, "alice: x\n"));
		assert_true(speech_shows(room, &act, "alice * x\n"));
		assert_true(speech_shows(room, &notice, "* x\n"));
		assert_true(speech_shows(room, &quit, "* alice left lobby\n"));
		assert_true(speech_shows(room, &old, "alice: x\n"));
		/* From builds that let such a line through. */
		assert_false(speech_shows(room, &raw, "* alice left lobby\n"));
		assert_false(speech_shows(room, &old, "*lice: x\n"));
	}
	/* What was said while the room was raw. */
	assert_true(speech_shows(f->raw, &raw, "bob: x\n"));
	assert_false(speech_shows(f->room, &raw, "bob: x\n"));
	assert_true(speech_shows(f->raw, &starred, "** x\n"));
	assert_false(speech_shows(f->room, &starred, "** x\n"));

	assert_int_equal(speech_text_at(&named), 7);
	assert_int_equal(speech_text_at(&starred), 1);
	assert_int_equal(speech_text_at(&notice), 2);
	assert_int_equal(speech_text_at(&quit), 2);
}

/* A successor reads them all. */
static void events_survive(void **state)
{
	struct fixture *f = *state;
	struct speech s = {0};

	assert_int_equal(speech_say(&s, f->room, &alice, "1", 1), 0);
	speech_rename(&s, f->room, &alice, "bob", 3);
	speech_leave(&s, f->room, &alice, true);
	commit(f, &s);
	rooms_close(f->t.rooms);
	assert_int_equal(rooms_open(f->t.fd, false, f->t.slots, &f->t.rooms), 0);
	assert_int_equal(rooms_enter_existing(f->t.rooms, "lobby", 0, &f->room), 0);
	assert_int_equal(logring_count(f->room->log), 3);
	assert_event(f->room, RECORD_QUIT, "* alice left lobby\n", "alice", "lobby\n");
}

/* A nick that is said to stand in the text, or behind the line, is none. */
static void a_damaged_event_is_refused(void **state)
{
	struct fixture *f = *state;
	struct record wrong = {.kind = RECORD_MESSAGE, .text = 7, .nick_len = 8};
	struct room *r;

	logring_lock(f->room->log);
	assert_true(logring_put(f->room->log, &wrong, "alice: ", 7, "x", 1));
	logring_commit(f->room->log);
	logring_unlock(f->room->log);
	rooms_close(f->t.rooms);
	assert_int_equal(rooms_open(f->t.fd, false, f->t.slots, &f->t.rooms), 0);
	assert_int_equal(rooms_enter_existing(f->t.rooms, "lobby", 0, &r), -ENOENT);
	assert_int_equal(rooms_enter_existing(f->t.rooms, "raw", 0, &r), 0);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, test_rooms_teardown)

/* "NODE|NICK|NICK" */
static const char *named(bool (*fn)(const char *text, size_t len, const char **ret_node, size_t *ret_node_len,
				    const char **ret_nicks, size_t *ret_nicks_len),
			 const char *text)
{
	static char ret[128];
	const char *node, *nicks, *one;
	size_t node_len, len, one_len;

	if (!fn(text, strlen(text), &node, &node_len, &nicks, &len))
		return "";
	size_t n = (size_t)snprintf(ret, sizeof(ret), "%.*s", (int)node_len, node);
	while ((one = speech_next_of(&nicks, &len, &one_len)))
		n += (size_t)snprintf(ret + n, sizeof(ret) - n, "|%.*s", (int)one_len, one);
	return ret;
}

static void who_is_gone_or_back_with_a_node_is_named(void **state)
{
	static const char gone[] = "Node b is gone, with 2 people who were here: ann, bob.";
	static const char back[] = "Back on node b: ann, bob.";

	(void)state;
	assert_string_equal(named(speech_gone_of, gone), "b|ann|bob");
	assert_string_equal(named(speech_back_of, back), "b|ann|bob");
	assert_string_equal(named(speech_back_of, "Back on node b: ann."), "b|ann");
	/* Processes before there was that have the former only. */
	assert_string_equal(named(speech_gone_of, back), "");
	assert_string_equal(named(speech_back_of, gone), "");
	static const char *const neither[] = {"",
					      "Back on node ",
					      "Back on node b",
					      "Back on node b: .",
					      "Back on node : ann.",
					      "Back on node b: ann",
					      ": ."};
	for (size_t i = 0; i < sizeof(neither) / sizeof(*neither); i++)
		assert_string_equal(named(speech_back_of, neither[i]), "");
	assert_string_equal(named(speech_gone_of, "Node b is gone, with 2 people who were here."), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(each_event_has_its_line),
	    CASE(who_did_it_is_in_the_record),
	    CASE(text_is_made_safe),
	    CASE(raw_rooms_have_lines_as_they_are),
	    CASE(large_rooms_are_silent),
	    CASE(private_messages),
	    CASE(a_long_name_fits),
	    CASE(much_is_said_in_several_steps),
	    CASE(notices_are_counted),
	    CASE(what_may_be_shown_later),
	    CASE(events_survive),
	    CASE(a_damaged_event_is_refused),
	    CASE(who_is_gone_or_back_with_a_node_is_named),
	};

	return cmocka_run_group_tests_name("speech", tests, NULL, NULL);
}
