/* SPDX-License-Identifier: MIT */
/*
 * Rooms that are shared with other machines: what is said there waits in the outgoing log, comes out of it as
 * events, and is put into the room as the same bytes. Whoever dies on the way loses and doubles nothing.
 */
#include "tests/unit/rooms/rooms.h"

#include "daemon/rooms/file.h"
#include "daemon/rooms/outgoing.h"
#include "daemon/rooms/speech.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

struct fixture {
	struct test_rooms t;
	struct room *room, *raw, *local;
	unsigned reader;
	uint64_t shown; /* of lobby's lines; outlives the process */
};

static const struct speaker alice = {.id = 7, .index = 3, .nick = "alice", .nick_len = 5};
static char long_name[TEXT_ROOM_MAX + 1];

static bool is_clustered(const char *name, void *arg)
{
	(void)arg;
	return strcmp(name, "local") != 0;
}

static uint64_t shown(const struct room *outgoing, void *arg)
{
	struct fixture *f = arg;

	return strcmp(outgoing->main->name, "lobby") == 0 ? f->shown : 0;
}

/* From where the process begins; clustered or not any more. */
static int begin(struct fixture *f, bool clustered)
{
	static const struct room_settings defaults = {.log_size = 65536, .announce_max = 5};
	static const struct room_config configured[] = {
	    {.name = "lobby", .settings = {.log_size = 1 << 20, .announce_max = 5}},
	    {.name = "raw", .settings = {.log_size = 65536, .announce_max = 5, .raw = true}},
	    {.name = "local", .settings = {.log_size = 65536, .announce_max = 5}}};
	static const struct rooms_limits limits = {.rooms = 5};

	if (clustered)
		rooms_cluster_reader(f->t.rooms, f->reader, shown, f);
	else
		rooms_cluster_reader(f->t.rooms, f->t.main_thread, shown, f);
	return rooms_cluster(f->t.rooms, clustered ? is_clustered : NULL, f) < 0 ||
		       rooms_configure(f->t.rooms, configured, 3, &defaults, &limits) < 0 ||
		       rooms_enter_existing(f->t.rooms, "lobby", 0, &f->room) < 0 ||
		       rooms_enter_existing(f->t.rooms, "raw", 0, &f->raw) < 0 ||
		       rooms_enter_existing(f->t.rooms, "local", 0, &f->local) < 0
		   ? -1
		   : 0;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	memset(long_name, 'r', TEXT_ROOM_MAX);
	*state = f;
	if (test_rooms_open(&f->t, 2) < 0 || slots_take(f->t.slots, true, &f->reader) < 0)
		return -1;
	return begin(f, true);
}

/* The process dies, and the next one begins. */
static void die(struct fixture *f, bool clustered)
{
	rooms_close(f->t.rooms);
	assert_int_equal(rooms_open(f->t.fd, false, f->t.slots, &f->t.rooms), 0);
	assert_int_equal(begin(f, clustered), 0);
}

static uint64_t commit(struct fixture *f, struct speech *s)
{
	struct slot_set kick = {{0}};

	return speech_commit(s, f->t.rooms, &kick);
}

static void say(struct fixture *f, struct room *room, const char *text)
{
	struct speech s = {0};

	assert_int_equal(speech_say(&s, room, &alice, text, strlen(text)), 0);
	assert_int_equal(commit(f, &s), 1);
}

/* Message seq of a log, copied. */
static struct record message(struct room *room, uint64_t seq, char *line, size_t size)
{
	struct logring_view v;

	logring_lock(room->log);
	logring_peek(room->log, &v);
	assert_in_range(seq, v.first, v.count - 1);
	struct record r = *logring_record(room->log, seq);
	uint64_t start = logring_start(room->log, &v, seq);
	size_t len = r.end - start;
	assert_true(len < size);
	memcpy(line, logring_at(&v, start), len);
	line[len] = '\0';
	logring_unlock(room->log);
	return r;
}

static void assert_lines(struct room *room, const char *expected)
{
	char all[4096] = "", line[256];
	struct logring_view v;

	logring_lock(room->log);
	logring_peek(room->log, &v);
	logring_unlock(room->log);
	for (uint64_t seq = v.first; seq < v.count; seq++) {
		message(room, seq, line, sizeof(line));
		strcat(all, line);
	}
	assert_string_equal(all, expected);
}

/* What the cluster's thread does, if there is one machine only: returns how many lines came back. */
static unsigned come_back(struct fixture *f, struct room *room, uint64_t from)
{
	static char line[100000];
	uint64_t count = logring_count(room->outgoing->log);
	struct logring_view v;

	for (uint64_t seq = from; seq < count; seq++) {
		struct record r = message(room->outgoing, seq, line, sizeof(line));
		struct speech_event e;
		struct speech s = {0};
		speech_event_of(&r, line, strlen(line), &e);
		assert_int_equal(speech_replay(&s, room, &e), 0);
		assert_ptr_equal(s.room, room);
		commit(f, &s);
	}
	logring_lock(room->outgoing->log);
	logring_peek(room->outgoing->log, &v);
	logring_unlock(room->outgoing->log);
	logring_flushed_to(room->outgoing->log, f->reader, v.head, v.count);
	return (unsigned)(count - from);
}

/* --- the way out and back --- */

static void what_is_said_goes_out_first(void **state)
{
	struct fixture *f = *state;
	struct slot_set kick = {{0}};
	struct speech s = {0};

	assert_int_equal(speech_say(&s, f->room, &alice, "hello", 5), 0);
	assert_ptr_equal(s.room, f->room->outgoing);
	assert_int_equal(speech_commit(&s, f->t.rooms, &kick), 1);
	/* Who reads it is told, and nobody else. */
	assert_int_equal(kick.bits[0], 1 << f->reader);
	assert_int_equal(logring_count(f->room->log), 0);
	assert_lines(f->room->outgoing, "alice: hello\n");
	assert_false(outgoing_settled(f->room));
	assert_int_equal(come_back(f, f->room, 0), 1);
	assert_lines(f->room, "alice: hello\n");
	assert_true(outgoing_settled(f->room));
	/* Not in this one, nor among the private messages. */
	say(f, f->local, "here");
	assert_null(f->local->outgoing);
	assert_lines(f->local, "alice: here\n");
	assert_null(rooms_private(f->t.rooms)->outgoing);
}

/* The record that came back is the one that went out, and so are the bytes. */
static void assert_comes_back(struct fixture *f, struct room *room, const char *expected)
{
	static char out[100000], back[100000];
	uint64_t seq = logring_count(room->outgoing->log) - 1;

	assert_int_equal(come_back(f, room, seq), 1);
	struct record a = message(room->outgoing, seq, out, sizeof(out));
	struct record b = message(room, logring_count(room->log) - 1, back, sizeof(back));
	assert_string_equal(back, out);
	if (expected)
		assert_string_equal(back, expected);
	assert_int_equal(a.time_us, b.time_us);
	assert_int_equal(a.sender, b.sender);
	assert_int_equal(a.kind, b.kind);
	assert_int_equal(a.text, b.text);
	assert_int_equal(a.nick_at, b.nick_at);
	assert_int_equal(a.nick_len, b.nick_len);
	b.end -= a.end;
	b.notices = a.notices = 0;
	a.end = b.end;
	assert_memory_equal(&a, &b, sizeof(a));
}

static void every_kind_comes_back(void **state)
{
	struct fixture *f = *state;
	struct speech s = {0};

	say(f, f->room, "hello");
	assert_comes_back(f, f->room, "alice: hello\n");
	assert_int_equal(speech_act(&s, f->room, &alice, "waves", 5), 0);
	commit(f, &s);
	assert_comes_back(f, f->room, "alice * waves\n");
	assert_true(speech_enter(&s, f->room, &alice));
	commit(f, &s);
	assert_comes_back(f, f->room, "* alice joined lobby\n");
	assert_true(speech_leave(&s, f->room, &alice, false));
	commit(f, &s);
	assert_comes_back(f, f->room, "* alice left lobby\n");
	assert_true(speech_rename(&s, f->room, &alice,
				  "b\xc3\xb6"
				  "b",
				  4));
	commit(f, &s);
	assert_comes_back(f, f->room,
			  "* alice is now b\xc3\xb6"
			  "b\n");
	assert_true(speech_leave(&s, f->room, &alice, true));
	commit(f, &s);
	assert_comes_back(f, f->room, "* alice left lobby\n");
	say(f, f->room, "* bob left lobby");
	assert_comes_back(f, f->room, "alice: * bob left lobby\n");
	say(f, f->room, "\033[31m\ttab");
	assert_comes_back(f, f->room, "alice: \xef\xbf\xbd[31m\ttab\n");
}

static void raw_lines_come_back(void **state)
{
	struct fixture *f = *state;
	struct speech s = {0};

	say(f, f->raw, "t=\x01\xff");
	assert_comes_back(f, f->raw, "t=\x01\xff\n");
	say(f, f->raw, "* bob left raw");
	assert_comes_back(f, f->raw, "** bob left raw\n");
	say(f, f->raw, "");
	assert_comes_back(f, f->raw, "\n");
	assert_int_equal(speech_act(&s, f->raw, &alice, "waves", 5), 0);
	commit(f, &s);
	assert_comes_back(f, f->raw, "alice * waves\n");
}

static void the_longest_comes_back(void **state)
{
	struct fixture *f = *state;
	char nick[SPEECH_NICK_MAX + 1];
	const struct speaker who = {.nick = nick, .nick_len = SPEECH_NICK_MAX};
	char *text = malloc(SPEECH_TEXT_MAX / 3);
	struct speech s = {0};

	memset(nick, 'n', sizeof(nick));
	memset(text, '\x01', SPEECH_TEXT_MAX / 3); /* each byte becomes three */
	assert_int_equal(speech_say(&s, f->room, &who, text, SPEECH_TEXT_MAX / 3), 0);
	commit(f, &s);
	assert_comes_back(f, f->room, NULL);
	assert_int_equal(speech_act(&s, f->room, &who, text, SPEECH_TEXT_MAX / 3), 0);
	commit(f, &s);
	assert_comes_back(f, f->room, NULL);
	assert_true(speech_rename(&s, f->room, &who, nick, TEXT_NICK_MAX));
	commit(f, &s);
	assert_comes_back(f, f->room, NULL);
	free(text);
}

static struct speech_event event(enum record_kind kind, const char *nick, const char *text)
{
	return (struct speech_event){.time_us = 1,
				     .kind = (uint8_t)kind,
				     .nick = nick,
				     .nick_len = (uint8_t)strlen(nick),
				     .text = text,
				     .text_len = strlen(text)};
}

static void other_machines_have_notices(void **state)
{
	struct fixture *f = *state;
	const struct speech_event e = event(RECORD_NOTICE, "", "The stream begins anew.");
	struct speech_event back;
	struct speech s = {0};
	char line[256];

	assert_int_equal(speech_replay(&s, f->room, &e), 0);
	commit(f, &s);
	struct record r = message(f->room, 0, line, sizeof(line));
	assert_string_equal(line, "* The stream begins anew.\n");
	assert_int_equal(r.kind, RECORD_NOTICE);
	speech_event_of(&r, line, strlen(line), &back);
	assert_int_equal(back.kind, RECORD_NOTICE);
	assert_int_equal(back.nick_len, 0);
	assert_false(back.raw);
	assert_int_equal(back.text_len, e.text_len);
	assert_memory_equal(back.text, e.text, e.text_len);
}

/* --- what is refused --- */

static void assert_refused(struct fixture *f, struct room *room, struct speech_event e)
{
	struct speech s = {0};

	assert_int_equal(speech_replay(&s, room, &e), -EBADMSG);
	assert_null(s.room); /* nor is anything locked */
	assert_int_equal(logring_count(f->room->log) + logring_count(f->raw->log), 0);
}

static void what_nobody_could_have_said_is_refused(void **state)
{
	struct fixture *f = *state;
	char long_nick[SPEECH_NICK_MAX + 2], *long_text = malloc(SPEECH_TEXT_MAX + 1);
	struct speech_event e;

	memset(long_nick, 'n', SPEECH_NICK_MAX + 1);
	long_nick[SPEECH_NICK_MAX + 1] = '\0';
	memset(long_text, 'x', SPEECH_TEXT_MAX + 1);
	/* the kind, the time */
	assert_refused(f, f->room, event(RECORD_KINDS, "a", "x"));
	assert_refused(f, f->room, event(255, "a", "x"));
	e = event(RECORD_MESSAGE, "a", "x");
	e.time_us = UINT64_MAX;
	assert_refused(f, f->room, e);
	/* the text */
	assert_refused(f, f->room, event(RECORD_MESSAGE, "a", ""));
	assert_refused(f, f->room, event(RECORD_MESSAGE, "a", "x\n* b left lobby"));
	assert_refused(f, f->room, event(RECORD_ACTION, "a", "\033[31m"));
	assert_refused(f, f->room, event(RECORD_MESSAGE, "a", "\xff"));
	e = event(RECORD_MESSAGE, "a", "xyz");
	e.text = "x\0z";
	assert_refused(f, f->room, e);
	e.text = long_text;
	e.text_len = SPEECH_TEXT_MAX + 1;
	assert_refused(f, f->room, e);
	/* the nick */
	assert_refused(f, f->room, event(RECORD_MESSAGE, "", "x"));
	assert_refused(f, f->room, event(RECORD_MESSAGE, "a b", "x"));
	assert_refused(f, f->room, event(RECORD_MESSAGE, "a\nb", "x"));
	assert_refused(f, f->room, event(RECORD_MESSAGE, "a\xff", "x"));
	assert_refused(f, f->room, event(RECORD_MESSAGE, long_nick, "x"));
	assert_refused(f, f->room, event(RECORD_JOIN, "", "lobby"));
	assert_refused(f, f->room, event(RECORD_NOTICE, "a", "x"));
	/* where, and to whom */
	assert_refused(f, f->room, event(RECORD_JOIN, "a", "den"));
	assert_refused(f, f->room, event(RECORD_LEAVE, "a", ""));
	assert_refused(f, f->room, event(RECORD_QUIT, "a", "lobbyx"));
	assert_refused(f, f->room, event(RECORD_RENAME, "a", "b c"));
	assert_refused(f, f->room, event(RECORD_RENAME, "a", ""));
	/* raw lines */
	e = event(RECORD_MESSAGE, "", "x\ny");
	e.raw = true;
	assert_refused(f, f->raw, e);
	e = event(RECORD_MESSAGE, "a", "x");
	e.raw = true;
	assert_refused(f, f->raw, e);
	e = event(RECORD_NOTICE, "", "x");
	e.raw = true;
	assert_refused(f, f->raw, e);
	/* what no log of this size takes */
	e = event(RECORD_MESSAGE, "a", "x");
	e.text = long_text;
	e.text_len = 65536 / 16 * 3 + 1;
	assert_refused(f, f->raw, e);
	free(long_text);
}

/* Machines that don't agree on what the room is: nobody's terminal suffers for it. */
static void raw_lines_are_made_safe_elsewhere(void **state)
{
	struct fixture *f = *state;
	struct speech_event e = event(RECORD_MESSAGE, "", "* \x01");
	struct speech s = {0};

	e.raw = true;
	assert_int_equal(speech_replay(&s, f->room, &e), 0);
	commit(f, &s);
	assert_lines(f->room, "** \xef\xbf\xbd\n");
}

static void much_comes_back_in_several_steps(void **state)
{
	struct fixture *f = *state;
	char text[1000];
	struct speech s = {0};
	unsigned n = 0;

	memset(text, 'x', sizeof(text));
	struct speech_event e = event(RECORD_MESSAGE, "a", "x");
	e.text = text;
	e.text_len = sizeof(text);
	while (n < 1000 && speech_replay(&s, f->room, &e) == 0)
		n++;
	assert_in_range(n, 2, 999);
	assert_int_equal(speech_replay(&s, f->room, &e), -EAGAIN);
	assert_int_equal(commit(f, &s), n);
	assert_int_equal(speech_replay(&s, f->room, &e), 0);
	assert_int_equal(commit(f, &s), 1);
}

/* --- locks, and how much waits --- */

static void whoever_reads_has_both_logs(void **state)
{
	struct fixture *f = *state;
	struct speech s = {0};

	speech_begin_reading(&s, f->room);
	assert_true(speech_enter(&s, f->room, &alice));
	assert_ptr_equal(s.room, f->room->outgoing);
	assert_ptr_equal(s.reading, f->room);
	assert_int_equal(logring_pending(f->room->log), 0);
	assert_ptr_equal(speech_room(&s), f->room->outgoing);
	assert_null(s.room);
	assert_null(s.reading);
	logring_abandon(f->room->outgoing->log);
	logring_unlock(f->room->outgoing->log);
	logring_lock(f->room->log); /* or this waits for ever */
	logring_unlock(f->room->log);

	speech_begin_reading(&s, f->room);
	assert_int_equal(speech_say(&s, f->room, &alice, "x", 1), 0);
	speech_drop(&s);
	say(f, f->room, "y");
	assert_lines(f->room->outgoing, "alice: y\n");

	speech_begin_reading(&s, f->local);
	assert_ptr_equal(s.room, f->local);
	assert_null(s.reading);
	speech_drop(&s);
	say(f, f->local, "z");
	assert_lines(f->local, "alice: z\n");
}

static void a_full_outgoing_log_holds_up(void **state)
{
	struct fixture *f = *state;
	struct speech s = {0};
	char text[1000];

	memset(text, 'x', sizeof(text));
	for (unsigned i = 0; i < 1000 && !room_crowded(f->t.rooms, f->room); i++) {
		assert_int_equal(speech_say(&s, f->room, &alice, text, sizeof(text)), 0);
		commit(f, &s);
	}
	assert_true(room_crowded(f->t.rooms, f->room));
	assert_false(room_log_is_crowded(f->t.rooms, f->room)); /* what comes back has a place */
	assert_false(speech_try(&s, f->t.rooms, f->room));
	assert_false(room_announces(f->room));
	assert_false(speech_enter(&s, f->room, &alice));
	speech_leave_lost(f->room, &alice);
	assert_int_equal(logring_count(f->room->log), 0);
	uint64_t n = logring_count(f->room->outgoing->log);
	/* Members who are behind hold up, too; they have to be delivered. */
	assert_int_equal(come_back(f, f->room, 0), n);
	assert_true(room_log_is_crowded(f->t.rooms, f->room));
	assert_false(speech_try(&s, f->t.rooms, f->room));
	logring_caught_up(f->room->log, 0);
	assert_true(room_announces(f->room));
	assert_true(speech_try(&s, f->t.rooms, f->room));
	commit(f, &s);
	assert_int_equal(logring_count(f->room->outgoing->log), n);
}

static void notes_stay_here(void **state)
{
	struct fixture *f = *state;
	struct slot_set kick = {{0}};
	struct speech s = {0};

	assert_int_equal(speech_note(&s, f->room, "The other nodes can't be reached."), 0);
	assert_int_equal(speech_commit(&s, f->t.rooms, &kick), 1);
	assert_int_equal(kick.bits[0], 1 << 0); /* the member's worker */
	assert_lines(f->room, "* The other nodes can't be reached.\n");
	assert_int_equal(logring_count(f->room->outgoing->log), 0);
}

static void who_is_lost_is_told_of_once(void **state)
{
	struct fixture *f = *state;

	speech_leave_lost(f->room, &alice);
	assert_lines(f->room->outgoing, "* alice left lobby\n");
	speech_leave_lost(f->room, &alice);
	assert_lines(f->room->outgoing, "* alice left lobby\n");
	assert_int_equal(come_back(f, f->room, 0), 1);
	speech_leave_lost(f->room, &alice);
	assert_lines(f->room->outgoing, "* alice left lobby\n");
	assert_lines(f->room, "* alice left lobby\n");
}

/* A process that knew nothing of other machines said so. */
static void who_was_told_of_in_the_room_is_not_told_of_again(void **state)
{
	struct fixture *f = *state;
	struct speech_event e = event(RECORD_QUIT, "alice", "lobby");
	struct speech s = {0};

	e.sender = alice.id;
	assert_int_equal(speech_replay(&s, f->room, &e), 0);
	commit(f, &s);
	speech_leave_lost(f->room, &alice);
	assert_int_equal(logring_count(f->room->outgoing->log), 0);
}

/* --- pairs --- */

static bool count_room(struct room *r, void *arg)
{
	assert_null(r->main);
	++*(unsigned *)arg;
	return true;
}

static void hidden_rooms_are_nobodys(void **state)
{
	struct fixture *f = *state;
	unsigned n = 0;
	size_t copied;
	struct room *r;

	assert_ptr_equal(f->room->outgoing->main, f->room);
	assert_string_equal(f->room->outgoing->name, OUTGOING_PREFIX "lobby");
	assert_int_equal(logring_size(f->room->outgoing->log), logring_size(f->room->log));
	assert_true(f->room->outgoing->epoch != 0 && f->room->outgoing->epoch != f->room->epoch);
	assert_int_equal(rooms_enter_existing(f->t.rooms, OUTGOING_PREFIX "lobby", 0, &r), -ENOENT);
	rooms_each(f->t.rooms, count_room, &n);
	assert_int_equal(n, 3);
	assert_int_equal(rooms_count(f->t.rooms), 3);
	free(rooms_copy(f->t.rooms, &copied));
	assert_int_equal(copied, 3);
	/* The longest name there is has one, too. */
	assert_int_equal(rooms_enter(f->t.rooms, long_name, 0, &anybody, &r), 0);
	assert_string_equal(r->outgoing->name + 1, long_name);
	/* Five rooms may be there, whatever else there is. */
	assert_int_equal(rooms_enter(f->t.rooms, "a", 0, &anybody, &r), 0);
	assert_int_equal(rooms_enter(f->t.rooms, "b", 0, &anybody, &r), -ENOSPC);
	die(f, true);
	assert_int_equal(rooms_count(f->t.rooms), 5);
	assert_int_equal(rooms_enter_existing(f->t.rooms, long_name, 0, &r), 0);
	assert_string_equal(r->outgoing->name + 1, long_name);
}

static void expire(struct fixture *f)
{
	rooms_expire(f->t.rooms, INT64_MAX / 2);
}

static bool is_there(struct fixture *f, const char *name)
{
	struct room *r;

	if (rooms_enter_existing(f->t.rooms, name, 0, &r) < 0)
		return false;
	rooms_leave(f->t.rooms, r, 0);
	return true;
}

static void a_room_stays_until_all_came_back(void **state)
{
	struct fixture *f = *state;
	struct room *r, *held;

	assert_int_equal(rooms_enter(f->t.rooms, "den", 0, &anybody, &r), 0);
	uint32_t index = r->outgoing->index;
	say(f, r, "bye");
	rooms_leave(f->t.rooms, r, 0);
	expire(f);
	assert_true(is_there(f, "den"));
	assert_int_equal(come_back(f, r, 0), 1);
	/* Nor while its pair is held, which neither makes it a member nor lets it be overrun. */
	held = rooms_enter_index(f->t.rooms, index, f->reader);
	assert_ptr_equal(held, r->outgoing);
	assert_ptr_equal(held->main, r);
	expire(f);
	assert_true(is_there(f, "den"));
	assert_int_equal(room_members(r), 0);
	rooms_leave(f->t.rooms, held, f->reader);
	expire(f);
	assert_false(is_there(f, "den"));
	assert_null(rooms_enter_index(f->t.rooms, index, f->reader));
	/* The next one has another epoch. */
	assert_int_equal(rooms_enter(f->t.rooms, "den", 0, &anybody, &r), 0);
	assert_int_equal(logring_count(r->outgoing->log), 0);
	assert_true(outgoing_settled(r));
}

static void forget(uint32_t room, void *arg)
{
	(void)room;
	(void)arg;
}

static void a_pair_survives(void **state)
{
	struct fixture *f = *state;
	uint64_t epoch = f->room->outgoing->epoch;

	for (unsigned i = 0; i < 3; i++)
		say(f, f->room, "x");
	wakeup_take(slots_wakeup(f->t.slots, f->reader), forget, NULL);
	f->shown = 2;
	die(f, true);
	assert_int_equal(f->room->outgoing->epoch, epoch);
	assert_int_equal(logring_count(f->room->outgoing->log), 3);
	assert_false(outgoing_settled(f->room));
	assert_true(wakeup_pending(slots_wakeup(f->t.slots, f->reader)));
	assert_int_equal(come_back(f, f->room, 2), 1);
	assert_true(outgoing_settled(f->room));
	f->shown = 3;
	die(f, true);
	assert_true(outgoing_settled(f->room));
	assert_lines(f->room, "alice: x\n");
	/* One who knows nothing of what was shown takes it that nothing was. */
	f->shown = 0;
	die(f, true);
	assert_false(outgoing_settled(f->room));
	/* A number that there isn't yet. */
	f->shown = 99;
	die(f, true);
	assert_true(outgoing_settled(f->room));
	say(f, f->room, "y");
	assert_false(outgoing_settled(f->room));
	die(f, false);
	assert_lines(f->room, "alice: x\n");
}

/* It is old enough for its log to have come round. */
static void a_number_that_is_gone(void **state)
{
	struct fixture *f = *state;
	char text[1000];
	uint64_t n = 0;

	memset(text, 'x', sizeof(text));
	for (unsigned i = 0; i < 200; i++) {
		struct speech s = {0};
		assert_int_equal(speech_say(&s, f->raw, &alice, text, sizeof(text)), 0);
		commit(f, &s);
		come_back(f, f->raw, i);
		logring_caught_up(f->raw->log, 0);
	}
	/* Of raw it says that nothing was shown. */
	die(f, true);
	assert_false(outgoing_settled(f->raw));
	die(f, false);
	n = logring_count(f->raw->log);
	assert_in_range(n, 230, 299);
}

/* Nobody waits for a thread that there isn't. */
static void without_a_reader(void **state)
{
	struct fixture *f = *state;
	struct room *r;

	rooms_close(f->t.rooms);
	assert_int_equal(rooms_open(f->t.fd, false, f->t.slots, &f->t.rooms), 0);
	assert_int_equal(rooms_cluster(f->t.rooms, is_clustered, f), 0);
	rooms_settle(f->t.rooms, NULL, NULL);
	assert_int_equal(rooms_enter_existing(f->t.rooms, "lobby", 0, &r), 0);
	say(f, r, "x");
	assert_true(outgoing_settled(r));
	expire(f);
	assert_int_equal(logring_count(r->outgoing->log), 1);
	assert_ptr_equal(rooms_at(f->t.rooms, r->outgoing->index), r->outgoing);
}

static struct rooms_directory *map(struct fixture *f)
{
	void *p = mmap(NULL, sizeof(struct rooms_directory), PROT_READ | PROT_WRITE, MAP_SHARED, f->t.fd, 0);

	assert_ptr_not_equal(p, MAP_FAILED);
	return p;
}

static void damage(struct fixture *f, uint32_t index)
{
	struct rooms_directory *dir = map(f);
	const uint64_t nothing = 0;

	assert_int_equal(pwrite(f->t.fd, &nothing, 8, (off_t)dir->slots[index].off), 8);
	munmap(dir, sizeof(*dir));
}

static void a_damaged_one_is_made_anew(void **state)
{
	struct fixture *f = *state;
	uint64_t epoch = f->room->outgoing->epoch;

	say(f, f->room, "x");
	come_back(f, f->room, 0);
	f->shown = 1;
	damage(f, f->room->outgoing->index);
	die(f, true);
	assert_lines(f->room, "alice: x\n");
	assert_non_null(f->room->outgoing);
	assert_true(f->room->outgoing->epoch != epoch);
	assert_int_equal(logring_count(f->room->outgoing->log), 0);
	/* Without its room it is for nothing. */
	say(f, f->room, "y");
	epoch = f->room->outgoing->epoch;
	damage(f, f->room->index);
	f->shown = 0;
	die(f, true);
	assert_int_equal(logring_count(f->room->log), 0);
	assert_true(f->room->outgoing->epoch != epoch);
	assert_int_equal(rooms_count(f->t.rooms), 3);
}

static void two_for_one_room_are_one_too_many(void **state)
{
	struct fixture *f = *state;
	uint32_t other = f->raw->outgoing->index, mine = f->room->outgoing->index;
	struct rooms_directory *dir = map(f);

	strcpy(dir->slots[other].name, OUTGOING_PREFIX "lobby");
	die(f, true);
	assert_int_equal(f->room->outgoing->index, mine < other ? mine : other);
	assert_ptr_equal(f->raw->outgoing->main, f->raw);
	/* Names that there can't be, and a kind. */
	uint64_t epoch = f->room->outgoing->epoch;
	strcpy(dir->slots[f->room->outgoing->index].name, "xlobby");
	die(f, true);
	assert_true(f->room->outgoing->epoch != epoch);
	strcpy(dir->slots[f->room->outgoing->index].name, OUTGOING_PREFIX OUTGOING_PREFIX "lobby");
	other = f->raw->outgoing->index;
	dir->slots[other].kind = 77;
	die(f, true);
	assert_int_equal(f->raw->outgoing->index, other); /* its slot was free */
	assert_ptr_equal(f->room->outgoing->main, f->room);
	assert_ptr_equal(f->raw->outgoing->main, f->raw);
	munmap(dir, sizeof(*dir));
}

/* --- when a room isn't shared any more --- */

static void nothing_that_waits_is_lost(void **state)
{
	struct fixture *f = *state;
	uint32_t index = f->room->outgoing->index;
	struct speech s = {0};

	say(f, f->room, "one");
	say(f, f->room, "two");
	assert_true(speech_rename(&s, f->room, &alice, "bob", 3));
	commit(f, &s);
	say(f, f->raw, "* raw");
	come_back(f, f->room, 0);
	say(f, f->room, "three");
	say(f, f->room, "four");
	f->shown = 3;
	die(f, false);
	assert_null(f->room->outgoing);
	assert_lines(f->room, "alice: one\nalice: two\n* alice is now bob\nalice: three\nalice: four\n");
	assert_lines(f->raw, "** raw\n");
	/* It dies before that is noted, in whatever part of it. */
	struct rooms_directory *dir = map(f);
	dir->slots[index].kind = ROOM_RETIRING;
	die(f, false);
	assert_int_equal(logring_count(f->room->log), 5);
	dir->slots[index].kind = ROOM_RETIRING;
	dir->slots[index].moved_to = 4; /* "four" is missing yet */
	dir->slots[index].moved_from = 3;
	die(f, false);
	assert_lines(f->room,
		     "alice: one\nalice: two\n* alice is now bob\nalice: three\nalice: four\nalice: four\n");
	/* What doesn't add up is left alone. */
	dir->slots[index].kind = ROOM_RETIRING;
	dir->slots[index].moved_from = 96;
	dir->slots[index].moved_to = 99;
	die(f, false);
	assert_int_equal(logring_count(f->room->log), 6);
	munmap(dir, sizeof(*dir));
	say(f, f->room, "five");
	/* An intent may speak of it until the takeover is over. */
	assert_non_null(rooms_at(f->t.rooms, index));
	assert_int_equal(logring_count(rooms_at(f->t.rooms, index)->log), 5);
	die(f, false);
	assert_int_equal(logring_count(f->room->log), 7);
	rooms_settle(f->t.rooms, NULL, NULL);
	assert_null(rooms_at(f->t.rooms, index));
	die(f, false);
	assert_int_equal(logring_count(f->room->log), 7);
	/* And shared again. */
	f->shown = 0;
	die(f, true);
	assert_non_null(f->room->outgoing);
	assert_int_equal(logring_count(f->room->outgoing->log), 0);
	assert_int_equal(logring_count(f->room->log), 7);
}

/* More than one commit can hold. */
static void much_that_waits_is_not_lost(void **state)
{
	struct fixture *f = *state;
	char text[1000];
	struct speech s = {0};

	memset(text, 'x', sizeof(text));
	for (unsigned i = 0; i < 380; i++) {
		text[0] = (char)('a' + i % 26);
		assert_int_equal(speech_say(&s, f->room, &alice, text, sizeof(text)), 0);
		commit(f, &s);
	}
	f->shown = 7;
	die(f, false);
	assert_int_equal(logring_count(f->room->log), 373);
	for (unsigned i = 0; i < 373; i++) {
		char line[1200];
		message(f->room, i, line, sizeof(line));
		assert_int_equal(line[7], 'a' + (i + 7) % 26);
	}
}

#ifdef ENABLE_FAULTS
/* Runs it in a process that dies at the n-th passage of that fault point. False: it did not come so far. */
static bool dies_at(const char *point, unsigned n, void (*run)(struct fixture *f), struct fixture *f)
{
	char fault[64];
	int status;

	snprintf(fault, sizeof(fault), "%s:%u", point, n);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		setenv("CHATD_FAULT", fault, 1);
		run(f);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFSIGNALED(status))
		assert_int_equal(WTERMSIG(status), SIGKILL);
	else
		assert_int_equal(WEXITSTATUS(status), 0);
	return WIFSIGNALED(status);
}

static void run_without_cluster(struct fixture *f)
{
	if (rooms_open(f->t.fd, false, f->t.slots, &f->t.rooms) < 0 || begin(f, false) < 0)
		_exit(1);
	rooms_settle(f->t.rooms, NULL, NULL);
}

static void deaths_while_it_retires(void **state)
{
	static const char *const points[] = {"outgoing-noted", "outgoing-moved-part", "outgoing-moving",
					     "outgoing-moved"};
	struct fixture *f = *state;
	char text[1000];
	struct speech s = {0};
	unsigned deaths = 0;

	/* Into an empty log all of it would go at once. */
	assert_int_equal(speech_note(&s, f->room, "before"), 0);
	commit(f, &s);
	memset(text, 'x', sizeof(text));
	for (unsigned i = 0; i < 380; i++) {
		text[0] = (char)('a' + i % 26);
		assert_int_equal(speech_say(&s, f->room, &alice, text, sizeof(text)), 0);
		commit(f, &s);
	}
	f->shown = 7;
	rooms_close(f->t.rooms);
	f->t.rooms = NULL;
	for (unsigned i = 0; i < 4; i++)
		deaths += dies_at(points[i], 1, run_without_cluster, f);
	assert_int_equal(deaths, 4);
	assert_int_equal(rooms_open(f->t.fd, false, f->t.slots, &f->t.rooms), 0);
	assert_int_equal(begin(f, false), 0);
	assert_int_equal(logring_count(f->room->log), 1 + 373);
	for (unsigned i = 0; i < 373; i++) {
		char line[1200];
		message(f->room, 1 + i, line, sizeof(line));
		assert_int_equal(line[7], 'a' + (i + 7) % 26);
	}
}

static void run_open_and_expire(struct fixture *f)
{
	struct room *r;

	if (rooms_enter(f->t.rooms, "den", 0, &anybody, &r) < 0)
		_exit(1);
	rooms_leave(f->t.rooms, r, 0);
	expire(f);
}

/* Half a pair is completed, or gone. */
static void deaths_while_a_pair_is_made_or_removed(void **state)
{
	static const char *const points[] = {"outgoing-lacking", "room-create", "outgoing-removed"};
	struct fixture *f = *state;
	struct room *r;

	for (unsigned i = 0; i < 3; i++)
		for (unsigned n = 1; dies_at(points[i], n, run_open_and_expire, f); n++) {
			die(f, true);
			if (rooms_enter_existing(f->t.rooms, "den", 0, &r) == 0) {
				assert_non_null(r->outgoing);
				assert_true(outgoing_settled(r));
				rooms_leave(f->t.rooms, r, 0);
				rooms_settle(f->t.rooms, NULL, NULL);
				expire(f);
				assert_false(is_there(f, "den"));
			}
			assert_int_equal(rooms_count(f->t.rooms), 3);
		}
}
#endif

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, test_rooms_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(what_is_said_goes_out_first),
	    CASE(every_kind_comes_back),
	    CASE(raw_lines_come_back),
	    CASE(the_longest_comes_back),
	    CASE(other_machines_have_notices),
	    CASE(what_nobody_could_have_said_is_refused),
	    CASE(raw_lines_are_made_safe_elsewhere),
	    CASE(much_comes_back_in_several_steps),
	    CASE(whoever_reads_has_both_logs),
	    CASE(a_full_outgoing_log_holds_up),
	    CASE(notes_stay_here),
	    CASE(who_is_lost_is_told_of_once),
	    CASE(who_was_told_of_in_the_room_is_not_told_of_again),
	    CASE(hidden_rooms_are_nobodys),
	    CASE(a_room_stays_until_all_came_back),
	    CASE(a_pair_survives),
	    CASE(a_number_that_is_gone),
	    CASE(without_a_reader),
	    CASE(a_damaged_one_is_made_anew),
	    CASE(two_for_one_room_are_one_too_many),
	    CASE(nothing_that_waits_is_lost),
	    CASE(much_that_waits_is_not_lost),
#ifdef ENABLE_FAULTS
	    CASE(deaths_while_it_retires),
	    CASE(deaths_while_a_pair_is_made_or_removed),
#endif
	};

	return cmocka_run_group_tests_name("outgoing", tests, NULL, NULL);
}
