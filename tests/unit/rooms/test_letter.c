/* SPDX-License-Identifier: MIT */
/*
 * Private messages to other nodes in their log: what is put there is what is read, whatever else is sent isn't one, and
 * what waits when a node leaves its cluster comes back to its senders.
 */
#include "tests/unit/rooms/rooms.h"

#include "daemon/rooms/file.h"
#include "daemon/rooms/letter.h"
#include "daemon/rooms/outgoing.h"

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

struct fixture {
	struct test_rooms t;
	unsigned reader;
	uint64_t settled;
};

static const struct speaker alice = {.id = 7, .index = 3, .nick = "alice", .nick_len = 5};
static const struct letter_address zoe = {
    .node = "b-2", .boot = 0xabc, .id = 9, .nick_len = 3, .nick = "zoe"};

static bool is_clustered(const char *name, void *arg)
{
	(void)name;
	(void)arg;
	return false; /* not even a room is shared */
}

static uint64_t settled(const struct room *outgoing, void *arg)
{
	return outgoing->main->index == ROOM_PRIVATE ? ((struct fixture *)arg)->settled : 0;
}

static int begin(struct fixture *f, bool clustered)
{
	rooms_cluster_reader(f->t.rooms, f->reader, settled, f);
	return rooms_cluster(f->t.rooms, clustered ? is_clustered : NULL, f);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	*state = f;
	if (test_rooms_open(&f->t, 2) < 0 || slots_take(f->t.slots, true, &f->reader) < 0)
		return -1;
	return begin(f, true);
}

static void die(struct fixture *f, bool clustered)
{
	rooms_close(f->t.rooms);
	assert_int_equal(rooms_open(f->t.fd, false, f->t.slots, &f->t.rooms), 0);
	assert_int_equal(begin(f, clustered), 0);
	rooms_settle(f->t.rooms, NULL, NULL);
}

static void put(struct fixture *f, const char *text, size_t len)
{
	struct speech s = {0};

	letter_put(&s, rooms_letters(f->t.rooms), &alice, &zoe, text, len);
	assert_int_equal(speech_commit(&s, f->t.rooms, &(struct slot_set){{0}}), 1);
	assert_true(wakeup_pending(slots_wakeup(f->t.slots, f->reader)));
}

/* Message seq of a log: the line, without its newline, which must not be longer. */
static struct record line_of(struct room *room, uint64_t seq, char *line, size_t size, size_t *ret_len)
{
	struct logring_view v;

	logring_lock(room->log);
	logring_peek(room->log, &v);
	struct record r = *logring_record(room->log, seq);
	uint64_t start = logring_start(room->log, &v, seq);
	*ret_len = r.end - start;
	assert_true(*ret_len < size);
	memcpy(line, logring_at(&v, start), *ret_len);
	line[*ret_len] = '\0';
	logring_unlock(room->log);
	return r;
}

static void assert_line(struct room *room, uint64_t seq, const char *expected)
{
	char line[256];
	size_t len;

	line_of(room, seq, line, sizeof(line), &len);
	assert_string_equal(line, expected);
}

/* --- out and in --- */

static void what_is_put_is_read(void **state)
{
	struct fixture *f = *state;
	struct room *letters = rooms_letters(f->t.rooms);
	struct speech_event e;
	struct letter l;
	struct speech s = {0};
	char line[256];
	size_t len;

	put(f, " two  spaces", 12);
	assert_line(letters, 0, "alice b-2 abc 9 3 zoe  two  spaces\n");
	struct record r = line_of(letters, 0, line, sizeof(line), &len);
	speech_event_of(&r, line, len, &e);
	assert_true(letter_read(&e, &l));
	assert_false(l.is_return);
	assert_string_equal(l.to.node, "b-2");
	assert_int_equal(l.to.boot, 0xabc);
	assert_int_equal(l.to.id, 9);
	assert_int_equal(l.to.nick_len, 3);
	assert_memory_equal(l.to.nick, "zoe", 3);
	assert_int_equal(l.from_index, 3);
	assert_int_equal(e.sender, 7);
	assert_memory_equal(l.from, "alice", l.from_len);
	assert_int_equal(l.text_len, 12);
	assert_memory_equal(l.text, " two  spaces", 12);
	assert_true(letter_is_to(&e, "b-2", 3));
	assert_false(letter_is_to(&e, "b", 1));
	assert_false(letter_is_to(&e, "b-22", 4));
	/* And what comes back. */
	letter_put_return(&s, letters, &alice,
			  &(struct letter_address){.node = "b-2",
						   .boot = UINT64_MAX,
						   .id = UINT64_MAX,
						   .index = UINT32_MAX - 1,
						   .nick_len = 3,
						   .nick = "bob"});
	speech_commit(&s, f->t.rooms, &(struct slot_set){{0}});
	r = line_of(letters, 1, line, sizeof(line), &len);
	speech_event_of(&r, line, len, &e);
	assert_true(letter_read(&e, &l));
	assert_true(l.is_return);
	assert_true(l.to.boot == UINT64_MAX && l.to.id == UINT64_MAX);
	assert_int_equal(l.to.index, UINT32_MAX - 1);
	assert_int_equal(l.text_len, 0);
}

static void the_longest_is_read(void **state)
{
	struct fixture *f = *state;
	struct room *letters = rooms_letters(f->t.rooms);
	char *text = malloc(LETTER_TEXT_MAX), *line = malloc(2 * SPEECH_TEXT_MAX), nick[TEXT_NICK_MAX];
	struct letter_address to = {.boot = UINT64_MAX, .id = UINT64_MAX, .nick_len = TEXT_NICK_MAX};
	const struct speaker who = {
	    .id = UINT64_MAX, .index = UINT32_MAX - 1, .nick = nick, .nick_len = TEXT_NICK_MAX};
	struct speech_event e;
	struct letter l;
	struct speech s = {0};
	size_t len;

	memset(text, 'x', LETTER_TEXT_MAX);
	memset(nick, 'n', sizeof(nick));
	memset(to.nick, 'm', sizeof(to.nick));
	memset(to.node, 'N', LETTER_NODE_MAX);
	letter_put(&s, letters, &who, &to, text, LETTER_TEXT_MAX);
	speech_commit(&s, f->t.rooms, &(struct slot_set){{0}});
	struct record r = line_of(letters, 0, line, 2 * SPEECH_TEXT_MAX, &len);
	speech_event_of(&r, line, len, &e);
	assert_in_range(e.text_len, SPEECH_TEXT_MAX - 2, SPEECH_TEXT_MAX);
	assert_true(letter_read(&e, &l));
	assert_int_equal(l.text_len, LETTER_TEXT_MAX);
	free(text);
	free(line);
}

static void what_is_none(void **state)
{
	static const char *const none[] = {"",
					   "b",
					   "b 1 2 3 zoe",
					   "b 1 2 3 zoe ", /* a message without a text */
					   " 1 2 3 zoe x",
					   "b.c 1 2 3 zoe x",
					   "NNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNN 1 2 3 zoe x",
					   "b g 2 3 zoe x",
					   "b A 2 3 zoe x",
					   "b -1 2 3 zoe x",
					   "b 1 12345678901234567 3 zoe x",
					   "b 1  2 3 zoe x",
					   "b 1 2 ffffffff zoe x",
					   "b 1 2 100000000 zoe x",
					   "b 1 2 3  x",
					   "b 1 2 3 zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz x",
					   "b 1 2 3 zo\x1b x",
					   "b 1 2 3 zoe \x1b[2J",
					   "b 1 2 3 zoe a\nb"};
	struct speech_event e = {.kind = RECORD_MESSAGE, .nick = "eve", .nick_len = 3};
	struct letter l;

	(void)state;
	for (size_t i = 0; i < sizeof(none) / sizeof(*none); i++) {
		e.text = none[i];
		e.text_len = strlen(none[i]);
		if (letter_read(&e, &l))
			fail_msg("%s", none[i]);
	}
	e.text = "b 1 2 3 zoe x";
	e.text_len = 13;
	assert_true(letter_read(&e, &l));
	for (unsigned kind = 1; kind < RECORD_KINDS; kind++) {
		e.kind = (uint8_t)kind;
		assert_false(letter_read(&e, &l)); /* as what comes back has no text */
	}
	e.kind = RECORD_MESSAGE;
	e.raw = true;
	assert_false(letter_read(&e, &l));
	e.raw = false;
	for (const char *const *nick = (const char *const[]){"", "e v", "e\x1bv", NULL}; *nick; nick++) {
		e.nick = *nick;
		e.nick_len = (uint8_t)strlen(*nick);
		assert_false(letter_read(&e, &l));
	}
}

static void a_tag_is_of_one_node(void **state)
{
	(void)state;
	assert_true(letter_tag("a", 1, 5) == letter_tag("a", 1, 5));
	assert_true(letter_tag("a", 1, 5) != letter_tag("a", 1, 6));
	assert_true(letter_tag("a", 1, 5) != letter_tag("b", 1, 5));
	assert_true(letter_tag("a", 1, 5) != letter_tag("aa", 2, 5));
	/* It is kept in the state, so it stays what it is. */
	assert_true(letter_tag("a", 1, 5) == UINT64_C(0x2fab2e487af342e3));
}

/* --- the log --- */

static bool count(struct room *r, void *arg)
{
	(void)r;
	++*(unsigned *)arg;
	return true;
}

static void its_log_is_nobodys(void **state)
{
	struct fixture *f = *state;
	struct room *letters = rooms_letters(f->t.rooms);
	unsigned n = 0;

	assert_ptr_equal(letters->main, rooms_private(f->t.rooms));
	assert_null(rooms_private(f->t.rooms)->outgoing);
	rooms_each(f->t.rooms, count, &n);
	assert_int_equal(n, 0);
	assert_int_equal(rooms_count(f->t.rooms), 0);
	/* It survives, with what waits; and nothing else has become of it than that. */
	put(f, "x", 1);
	uint64_t epoch = letters->epoch;
	die(f, true);
	letters = rooms_letters(f->t.rooms);
	assert_int_equal(letters->epoch, epoch);
	assert_line(letters, 0, "alice b-2 abc 9 3 zoe x\n");
	assert_int_equal(logring_count(rooms_private(f->t.rooms)->log), 0);
	rooms_expire(f->t.rooms, INT64_MAX / 2);
	assert_ptr_equal(rooms_letters(f->t.rooms), letters);
}

static void assert_back(struct fixture *f, uint64_t n)
{
	struct room *private = rooms_private(f->t.rooms);
	char line[256];
	size_t len;

	assert_null(rooms_letters(f->t.rooms));
	assert_int_equal(logring_count(private->log), n);
	for (uint64_t i = 0; i < n; i++) {
		struct record r = line_of(private, i, line, sizeof(line), &len);
		assert_string_equal(
		    line, "* It isn't known whether your message to zoe arrived: this node has left "
			  "the cluster.\n");
		assert_int_equal(r.kind, RECORD_NOTICE);
		assert_int_equal(r.target, 7);
		assert_int_equal(r.target_index, 3);
	}
}

static void what_waits_comes_back_without_a_cluster(void **state)
{
	struct fixture *f = *state;

	for (unsigned i = 0; i < 3; i++)
		put(f, "x", 1);
	f->settled = 1;
	die(f, false);
	assert_back(f, 2);
	/* Not once more, and in the next cluster there is a log that is new. */
	die(f, false);
	assert_back(f, 2);
	die(f, true);
	assert_int_equal(logring_count(rooms_letters(f->t.rooms)->log), 0);
}

/* What a process before intended with the private log is looked at before anything is put there. */
static void it_comes_back_after_the_takeover(void **state)
{
	struct fixture *f = *state;

	put(f, "x", 1);
	rooms_close(f->t.rooms);
	assert_int_equal(rooms_open(f->t.fd, false, f->t.slots, &f->t.rooms), 0);
	assert_int_equal(begin(f, false), 0);
	assert_int_equal(logring_count(rooms_private(f->t.rooms)->log), 0);
	rooms_settle(f->t.rooms, NULL, NULL);
	assert_back(f, 1);
}

#ifdef ENABLE_FAULTS
static void deaths_while_it_comes_back(void **state)
{
	static const char *const points[] = {"outgoing-noted", "outgoing-moving", "outgoing-moved"};
	struct fixture *f = *state;
	int status;

	for (unsigned i = 0; i < 300; i++)
		put(f, "x", 1);
	f->settled = 7;
	for (unsigned i = 0; i < 3; i++) {
		pid_t pid = fork();
		assert_true(pid >= 0);
		if (pid == 0) {
			setenv("CHATD_FAULT", points[i], 1);
			die(f, false);
			_exit(0);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status));
	}
	die(f, false);
	assert_back(f, 293);
}
#endif

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, test_rooms_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(what_is_put_is_read),
	    CASE(the_longest_is_read),
	    CASE(what_is_none),
	    CASE(a_tag_is_of_one_node),
	    CASE(its_log_is_nobodys),
	    CASE(what_waits_comes_back_without_a_cluster),
	    CASE(it_comes_back_after_the_takeover),
#ifdef ENABLE_FAULTS
	    CASE(deaths_while_it_comes_back),
#endif
	};

	return cmocka_run_group_tests_name("letter", tests, NULL, NULL);
}
