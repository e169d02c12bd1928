/* SPDX-License-Identifier: MIT */
/* What messages are called, rooms whose messages are stored, and rooms that get their last ones back. */
#include "tests/unit/rooms/rooms.h"

#include "daemon/base/clock.h"
#include "daemon/rooms/archived.h"
#include "daemon/rooms/file.h"
#include "daemon/rooms/restore.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

static const struct room_settings defaults = {.log_size = 65536, .history = 5, .announce_max = 10};

struct fixture {
	struct test_rooms t;
	struct rooms_archive archive;
	const char *forgets; /* a room that is not stored */
	unsigned removed;
	uint64_t first, end; /* of what was lost with the last one */
};

static bool keeps(const char *room, void *arg)
{
	const struct fixture *f = arg;

	return !f->forgets || strcmp(f->forgets, room) != 0;
}

static void removed(const struct room *r, uint64_t first, uint64_t end, void *arg)
{
	struct fixture *f = arg;

	(void)r;
	f->removed++;
	f->first = first;
	f->end = end;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	*state = f;
	int r = test_rooms_open(&f->t, 1);
	if (r == 0)
		r = slots_take(f->t.slots, false, &f->archive.slot);
	f->archive.keeps = keeps;
	f->archive.removed = removed;
	f->archive.arg = f;
	return r;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	test_rooms_close(&f->t);
	free(f);
	return 0;
}

/* A next process takes the rooms over. */
static void again(struct fixture *f)
{
	rooms_close(f->t.rooms);
	assert_int_equal(rooms_open(f->t.fd, false, f->t.slots, &f->t.rooms), 0);
}

static void configure(struct fixture *f, unsigned max_rooms)
{
	const struct rooms_limits limits = {max_rooms, 0, 0};

	assert_int_equal(rooms_configure(f->t.rooms, NULL, 0, &defaults, &limits), 0);
}

static struct room *enter(struct fixture *f, const char *name, unsigned slot)
{
	struct room *r;

	assert_int_equal(rooms_enter(f->t.rooms, name, slot, &anybody, &r), 0);
	return r;
}

static uint64_t number(struct room *r, uint64_t seq)
{
	return room_number(r, logring_record(r->log, seq), seq);
}

static void numbers_grow_for_ever(void **state)
{
	struct fixture *f = *state;
	uint64_t now = (uint64_t)clock_us(CLOCK_REALTIME);

	configure(f, 10);
	rooms_settle(f->t.rooms, NULL, NULL);
	struct room *r = enter(f, "den", 0);
	uint64_t base = r->number_base;
	assert_true(base >= now);
	test_rooms_say(r, "a", 1);
	test_rooms_say(r, "b", 1);
	assert_int_equal(number(r, 1), base + 1);
	rooms_leave(f->t.rooms, r, 0);

	/* All others are above those of a log that is gone, whatever the clock says. */
	struct rooms_directory *dir = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, f->t.fd, 0);
	dir->number_base = now + 3600 * UINT64_C(1000000);
	rooms_expire(f->t.rooms, INT64_MAX);
	assert_int_equal(rooms_count(f->t.rooms), 0);
	r = enter(f, "den", 0);
	assert_int_equal(r->number_base, now + 3600 * UINT64_C(1000000));
	test_rooms_say(r, "a", 1);
	rooms_leave(f->t.rooms, r, 0);
	again(f);
	configure(f, 10);
	rooms_settle(f->t.rooms, NULL, NULL);
	rooms_expire(f->t.rooms, INT64_MAX);
	r = enter(f, "den", 0);
	assert_int_equal(r->number_base, now + 3600 * UINT64_C(1000000) + 1);
	/* Even if nothing was said, no two logs have one. */
	assert_true(enter(f, "other", 0)->number_base > r->number_base);

	rooms_name_messages(f->t.rooms, 77, dir->number_base + 1000);
	r = enter(f, "third", 0);
	assert_int_equal(r->epoch, 77);
	assert_int_equal(r->number_base, dir->number_base - 1);
	dir->number_base = UINT64_MAX;
	munmap(dir, 4096);
	struct rooms *broken;
	assert_int_equal(rooms_open(f->t.fd, false, f->t.slots, &broken), -EBADMSG);
}

static void a_room_waits_until_it_is_stored(void **state)
{
	struct fixture *f = *state;

	rooms_archive(f->t.rooms, &f->archive);
	configure(f, 3);
	rooms_settle(f->t.rooms, NULL, NULL);
	struct room *den = enter(f, "den", 0), *bar = enter(f, "bar", 0);
	assert_int_equal(room_members(den), 1);
	for (unsigned i = 0; i < 3; i++)
		test_rooms_say(den, "a", 1);
	rooms_leave(f->t.rooms, den, 0);
	rooms_leave(f->t.rooms, bar, 0);
	/* Nothing was said there, so nothing is waited for. */
	rooms_expire(f->t.rooms, INT64_MAX);
	assert_int_equal(f->removed, 1);
	assert_int_equal(f->first, f->end);
	assert_int_equal(rooms_count(f->t.rooms), 1);
	/* While the archive holds it nobody takes it away. */
	assert_ptr_equal(rooms_enter_index(f->t.rooms, den->index, f->archive.slot), den);
	room_set_archived(den, 3);
	rooms_expire(f->t.rooms, INT64_MAX);
	assert_int_equal(rooms_count(f->t.rooms), 1);
	room_set_archived(den, 1);
	rooms_leave(f->t.rooms, den, f->archive.slot);
	/* Whoever makes a room gets one, and of two rooms the one goes of which nothing is lost. */
	bar = enter(f, "bar", 0);
	rooms_leave(f->t.rooms, bar, 0);
	assert_int_equal(rooms_count(f->t.rooms), 2);
	enter(f, "c", 0);
	enter(f, "d", 0);
	assert_int_equal(f->removed, 2);
	assert_int_equal(f->first, f->end);
	uint64_t base = den->number_base;
	enter(f, "e", 0);
	assert_int_equal(f->removed, 3);
	assert_int_equal(f->first, base + 1);
	assert_int_equal(f->end, base + 3);
}

static void what_was_not_to_be_stored_never_is(void **state)
{
	struct fixture *f = *state;

	rooms_archive(f->t.rooms, NULL);
	configure(f, 10);
	struct room *r = enter(f, "den", 0);
	assert_false(r->is_archived);
	test_rooms_say(r, "a", 1);
	rooms_archive(f->t.rooms, &f->archive);
	assert_true(r->is_archived);
	assert_int_equal(r->kept_from, 1);
	assert_true(enter(f, "new", 0)->is_archived);
	test_rooms_say(r, "b", 1);

	f->forgets = "den";
	rooms_archive(f->t.rooms, &f->archive);
	assert_false(r->is_archived);
	assert_int_equal(atomic_load(&r->readers[f->archive.slot]), 0);
	test_rooms_say(r, "secret", 6);
	f->forgets = NULL;
	rooms_archive(f->t.rooms, &f->archive);
	rooms_archive(f->t.rooms, &f->archive);
	assert_int_equal(r->kept_from, 3);
	assert_int_equal(atomic_load(&r->readers[f->archive.slot]), 1);

	/* A process that has no history leaves word of it, and one that has one all along does not. */
	again(f);
	rooms_archive(f->t.rooms, &f->archive);
	assert_int_equal(rooms_enter_existing(f->t.rooms, "den", 0, &r), 0);
	assert_int_equal(r->kept_from, 3);
	test_rooms_say(r, "c", 1);
	again(f);
	rooms_archive(f->t.rooms, NULL);
	again(f);
	rooms_archive(f->t.rooms, &f->archive);
	assert_int_equal(rooms_enter_existing(f->t.rooms, "den", 0, &r), 0);
	assert_int_equal(r->kept_from, 4);
	assert_false(rooms_private(f->t.rooms)->is_archived);
}

static struct speech_event said(uint64_t n, const char *text)
{
	return (struct speech_event){.time_us = 1000 + n,
				     .number = n,
				     .stream = n << 16 | 7,
				     .kind = RECORD_MESSAGE,
				     .nick = "alice",
				     .nick_len = 5,
				     .text = text,
				     .text_len = strlen(text)};
}

static void rooms_get_their_messages_back(void **state)
{
	struct fixture *f = *state;
	struct speech_event events[] = {said(10, "one"), said(5, "not in order"), said(11, "bad\ntext"),
					said(12, "two"), said(UINT64_MAX, "above")};
	const struct restored_room what = {.name = "den", .epoch = 99, .members_only = true};
	struct room *r;

	rooms_archive(f->t.rooms, &f->archive);
	rooms_name_messages(f->t.rooms, 42, 0);
	configure(f, 2);
	assert_true(rooms_begin(f->t.rooms));
	assert_int_equal(rooms_restore(f->t.rooms, &what, &r), 0);
	assert_true(r->members_only);
	assert_int_equal(room_restore(r, events, 5), 2);
	assert_int_equal(r->epoch, 99);
	assert_int_equal(number(r, 0), 10);
	assert_int_equal(number(r, 1), 12);
	assert_int_equal(logring_record(r->log, 1)->target, 12 << 16 | 7);
	assert_int_equal(logring_record(r->log, 1)->time_us, 1012);
	test_rooms_say(r, "next", 4);
	assert_int_equal(number(r, 2), r->number_base + 2);

	/* Nobody was served yet: the next process goes on with the other rooms. */
	again(f);
	rooms_archive(f->t.rooms, &f->archive);
	configure(f, 2);
	assert_true(rooms_begin(f->t.rooms));
	assert_int_equal(rooms_restore(f->t.rooms, &what, &r), -EEXIST);
	assert_int_equal(rooms_restore(f->t.rooms, &(struct restored_room){.name = "bar"}, &r), 0);
	assert_int_equal(r->epoch, 42);
	assert_int_equal(rooms_restore(f->t.rooms, &(struct restored_room){.name = "c"}, &r), -ENOSPC);
	assert_int_equal(
	    rooms_restore(f->t.rooms, &(struct restored_room){.name = "staff", .members_only = true}, &r), 0);
	assert_int_equal(rooms_restore(f->t.rooms, &(struct restored_room){.name = "a b"}, &r), -EINVAL);
	rooms_settle(f->t.rooms, NULL, NULL);
	assert_false(rooms_begin(f->t.rooms));
	assert_int_equal(rooms_restore(f->t.rooms, &(struct restored_room){.name = "bar"}, &r), -EEXIST);
}

static void nothing_is_opened_while_the_past_is_unknown(void **state)
{
	static const union address somewhere = {.sa.sa_family = AF_INET};
	static const struct room_guest stranger = {.address = &somewhere}, node = {.from_others = true};
	const struct restored_room closed = {.name = "staff", .epoch = 99, .members_only = true};
	struct fixture *f = *state;
	struct room *r;

	rooms_archive(f->t.rooms, &f->archive);
	configure(f, 10);
	rooms_settle(f->t.rooms, NULL, NULL);
	enter(f, "there", 0);
	rooms_set_past_unknown(f->t.rooms, true);
	again(f); /* the next process knows no more */
	rooms_archive(f->t.rooms, &f->archive);
	configure(f, 10);
	assert_true(rooms_past_is_unknown(f->t.rooms));
	assert_int_equal(rooms_enter(f->t.rooms, "staff", 0, &stranger, &r), -EAGAIN);
	assert_int_equal(rooms_enter(f->t.rooms, "there", 0, &stranger, &r), 0);
	assert_int_equal(rooms_enter(f->t.rooms, "listeners", 0, &anybody, &r), 0);
	/* What other nodes say is taken, but nobody here hears it. */
	assert_int_equal(rooms_enter(f->t.rooms, "staff", 0, &node, &r), 0);
	rooms_leave(f->t.rooms, r, 0);
	assert_int_equal(rooms_enter(f->t.rooms, "staff", 0, &stranger, &r), -EAGAIN);
	/* It is closed when that is known. */
	assert_int_equal(rooms_restore(f->t.rooms, &closed, &r), -EEXIST);
	rooms_set_past_unknown(f->t.rooms, false);
	assert_int_equal(rooms_enter(f->t.rooms, "staff", 0, &stranger, &r), -EACCES);
	assert_int_equal(rooms_enter(f->t.rooms, "new", 0, &stranger, &r), 0);
	/* Without an archive there is nothing to be read. */
	rooms_set_past_unknown(f->t.rooms, true);
	rooms_archive(f->t.rooms, NULL);
	assert_int_equal(rooms_enter(f->t.rooms, "newer", 0, &stranger, &r), 0);
}

/* A process died between making it and learning what there was. */
static void a_room_that_was_made_before_gets_new_numbers(void **state)
{
	struct fixture *f = *state;
	const uint64_t ahead = (uint64_t)clock_us(CLOCK_REALTIME) + 3600 * UINT64_C(1000000);
	struct room *r;

	rooms_archive(f->t.rooms, &f->archive);
	configure(f, 10);
	assert_true(enter(f, "den", 0)->number_base < ahead);
	again(f);
	rooms_archive(f->t.rooms, &f->archive);
	rooms_name_messages(f->t.rooms, 42, ahead);
	configure(f, 10);
	assert_int_equal(rooms_restore(f->t.rooms, &(struct restored_room){.name = "den", .epoch = 9}, &r),
			 0);
	assert_int_equal(r->epoch, 9);
	assert_true(r->number_base >= ahead);
	again(f);
	assert_int_equal(rooms_enter_existing(f->t.rooms, "den", 0, &r), 0);
	assert_true(r->number_base >= ahead);
}

/* They become true at once, so not more of them than a log takes at once. */
static void the_newest_are_restored(void **state)
{
	struct fixture *f = *state;
	static struct speech_event events[1000];
	struct room *r;

	for (unsigned i = 0; i < 1000; i++)
		events[i] = said(i + 1, "a text of some length, as people write them all the time");
	configure(f, 2);
	assert_int_equal(rooms_restore(f->t.rooms, &(struct restored_room){.name = "den"}, &r), 0);
	size_t n = room_restore(r, events, 1000);
	assert_in_range(n, 500, 768);
	assert_int_equal(logring_count(r->log), n);
	assert_int_equal(number(r, n - 1), 1000);
	assert_int_equal(number(r, 0), 1001 - n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(numbers_grow_for_ever, setup, teardown),
	    cmocka_unit_test_setup_teardown(a_room_waits_until_it_is_stored, setup, teardown),
	    cmocka_unit_test_setup_teardown(what_was_not_to_be_stored_never_is, setup, teardown),
	    cmocka_unit_test_setup_teardown(rooms_get_their_messages_back, setup, teardown),
	    cmocka_unit_test_setup_teardown(nothing_is_opened_while_the_past_is_unknown, setup, teardown),
	    cmocka_unit_test_setup_teardown(a_room_that_was_made_before_gets_new_numbers, setup, teardown),
	    cmocka_unit_test_setup_teardown(the_newest_are_restored, setup, teardown),
	};

	return cmocka_run_group_tests_name("archived", tests, NULL, NULL);
}
