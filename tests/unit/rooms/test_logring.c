/* SPDX-License-Identifier: MIT */
/* A room's log: what is put is read again, after a crash as well, and what doesn't add up is refused. */
#include "tests/unit/unit.h"

#include "daemon/io/memfd.h"
#include "daemon/rooms/logring.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SIZE LOGRING_SIZE_MIN

struct fixture {
	int fd;
	struct logring *ring;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->fd = memfd_new("log", logring_extent(SIZE));
	*state = f;
	return logring_open(f->fd, 0, SIZE, true, &f->ring);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	logring_close(f->ring);
	close(f->fd);
	free(f);
	return 0;
}

static void put(struct logring *r, const char *text)
{
	struct record record = {.text = 2};

	logring_lock(r);
	assert_true(logring_put(r, &record, "n:", 2, text, strlen(text)));
	logring_commit(r);
	logring_unlock(r);
}

static void put_kind(struct logring *r, enum record_kind kind)
{
	struct record record = {.kind = (uint8_t)kind};

	logring_lock(r);
	assert_true(logring_put(r, &record, "x", 1, "y", 1));
	logring_commit(r);
	logring_unlock(r);
}

static void notices_are_passed_over_at_once(void **state)
{
	struct logring *r = ((struct fixture *)*state)->ring;
	struct logring_view v;

	put_kind(r, RECORD_NOTICE);
	put_kind(r, RECORD_MESSAGE);
	for (int i = 0; i < 500; i++)
		put_kind(r, RECORD_NOTICE);
	put_kind(r, RECORD_ACTION);
	put_kind(r, RECORD_MESSAGE);
	for (int i = 0; i < 3; i++)
		put_kind(r, RECORD_NOTICE);
	logring_lock(r);
	logring_peek(r, &v);
	/* It is known of each how many notices are before it. */
	assert_int_equal(logring_record(r, 501)->notices, 499);
	assert_int_equal(logring_record(r, 502)->notices, 500);
	assert_int_equal(logring_record(r, 503)->notices, 0);
	uint64_t seq = v.count;
	assert_true(logring_back(r, &v, &seq));
	assert_int_equal(seq, 503);
	assert_true(logring_back(r, &v, &seq));
	assert_int_equal(seq, 502);
	assert_true(logring_back(r, &v, &seq));
	assert_int_equal(seq, 1);
	assert_false(logring_back(r, &v, &seq));
	assert_int_equal(seq, 0);
	logring_unlock(r);
	/* Many more than fit: what is said of those before the first one doesn't matter. */
	for (int i = 0; i < 5000; i++)
		put_kind(r, RECORD_NOTICE);
	logring_lock(r);
	logring_peek(r, &v);
	seq = v.count;
	assert_false(logring_back(r, &v, &seq));
	assert_int_equal(seq, v.first);
	logring_unlock(r);
}

static void puts_and_reads(void **state)
{
	struct logring *r = ((struct fixture *)*state)->ring;
	struct logring_view v;
	uint64_t seq;

	put(r, "one");
	put(r, "two");
	assert_int_equal(logring_count(r), 2);
	logring_pin(r, 0, &v);
	assert_int_equal(v.floor, 0);
	assert_int_equal(v.head, 12);
	assert_memory_equal(logring_at(&v, 0), "n:one\nn:two\n", 12);
	for (uint64_t pos = 0; pos < 12; pos++) {
		seq = logring_seek(r, &v, pos);
		assert_int_equal(seq, pos / 6);
		assert_int_equal(logring_start(r, &v, seq), pos / 6 * 6);
	}
	assert_int_equal(logring_seek(r, &v, 12), 2);
	logring_unpin(r, 0);
}

static void a_batch_becomes_visible_at_once(void **state)
{
	struct logring *r = ((struct fixture *)*state)->ring;
	struct record record = {0};
	struct logring_view v;

	logring_lock(r);
	assert_true(logring_put(r, &record, "", 0, "a", 1));
	assert_true(logring_put(r, &record, "", 0, "b", 1));
	assert_int_equal(logring_pending(r), 2);
	assert_int_equal(logring_pending_head(r), 4);
	logring_peek(r, &v);
	assert_int_equal(v.count, 0);
	logring_abandon(r);
	assert_true(logring_put(r, &record, "", 0, "c", 1));
	logring_commit(r);
	logring_peek(r, &v);
	assert_int_equal(v.count, 1);
	assert_memory_equal(logring_at(&v, 0), "c\n", 2);
	logring_unlock(r);
}

/* Many times around: every message still there reads as it was written, across the seam, too. */
static void wraps(void **state)
{
	struct logring *r = ((struct fixture *)*state)->ring;
	struct logring_view v;
	char text[64];

	for (unsigned i = 0; i < 30000; i++) {
		snprintf(text, sizeof(text), "message %u %.*s", i, (int)(i % 40),
			 "........................................");
		put(r, text);
		if (i % 97)
			continue;
		logring_lock(r);
		logring_peek(r, &v);
		assert_int_equal(v.count, i + 1);
		assert_true(v.head - v.floor <= SIZE);
		assert_true(i < 2000 || v.head - v.floor > SIZE / 4);
		uint64_t start = v.floor;
		for (uint64_t seq = v.first; seq < v.count; seq++) {
			char expected[64];
			int n = snprintf(expected, sizeof(expected), "n:message %u %.*s\n", (unsigned)seq,
					 (int)(seq % 40), "........................................");
			assert_int_equal(logring_start(r, &v, seq), start);
			assert_memory_equal(logring_at(&v, start), expected, (size_t)n);
			start += (uint64_t)n;
			assert_int_equal(logring_record(r, seq)->end, start);
		}
		assert_int_equal(start, v.head);
		logring_unlock(r);
	}
}

/* One-byte messages use up the records before the bytes. */
static void wraps_by_records(void **state)
{
	struct logring *r = ((struct fixture *)*state)->ring;
	struct record record = {0};
	struct logring_view v;

	for (unsigned i = 0; i < 5000; i++) {
		logring_lock(r);
		assert_true(logring_put(r, &record, "", 0, "", 0));
		logring_commit(r);
		logring_peek(r, &v);
		assert_true(v.count - v.first <= SIZE / 64);
		assert_int_equal(v.head - v.floor, v.count - v.first);
		logring_unlock(r);
	}
}

static void batches_are_bounded(void **state)
{
	struct logring *r = ((struct fixture *)*state)->ring;
	struct record record = {0};
	char text[1000];
	unsigned n = 0;

	memset(text, 'x', sizeof(text));
	logring_lock(r);
	while (logring_put(r, &record, "", 0, text, sizeof(text)))
		assert_true(++n < 100);
	assert_true(n >= 4);
	logring_commit(r);
	assert_true(logring_put(r, &record, "", 0, text, sizeof(text)));
	logring_abandon(r);
	logring_unlock(r);
}

static void survives(void **state)
{
	struct fixture *f = *state;
	struct logring *again;
	struct logring_view v;
	struct record record = {0};

	for (unsigned i = 0; i < 3000; i++)
		put(f->ring, "some text to remember");
	/* Put but not committed: it never was. */
	logring_lock(f->ring);
	assert_true(logring_put(f->ring, &record, "", 0, "lost", 4));
	logring_unlock(f->ring);
	assert_int_equal(logring_open(f->fd, 0, SIZE, false, &again), 0);
	assert_int_equal(logring_count(again), 3000);
	put(again, "more");
	logring_lock(again);
	logring_peek(again, &v);
	assert_memory_equal(logring_at(&v, logring_start(again, &v, 3000)), "n:more\n", 7);
	logring_unlock(again);
	logring_close(again);
	logring_lock(f->ring);
	logring_abandon(f->ring);
	logring_unlock(f->ring);
}

/* Whatever is changed in the file, it is refused or it can be read. */
/* A batch that a crash cut has gone over the oldest records; the next process loses no more than that. */
static void a_cut_batch_costs_nothing(void **state)
{
	struct fixture *f = *state;
	struct record record = {.text = 2};
	uint64_t capacity = SIZE / 64;
	struct logring_view v;

	for (uint64_t i = 0; i + 10 < capacity; i++)
		put(f->ring, "x");
	logring_lock(f->ring);
	for (unsigned i = 0; i < 60; i++)
		assert_true(logring_put(f->ring, &record, "n:", 2, "lost", 4));
	logring_unlock(f->ring);
	logring_close(f->ring);
	assert_int_equal(logring_open(f->fd, 0, SIZE, false, &f->ring), 0);
	for (unsigned i = 0; i < 60; i++)
		put(f->ring, "said");
	logring_lock(f->ring);
	logring_peek(f->ring, &v);
	logring_unlock(f->ring);
	assert_int_equal(v.count, capacity + 50);
	assert_in_range(v.first, 50, capacity / 4);
}

static void damage_is_found(void **state)
{
	struct fixture *f = *state;
	size_t size = logring_extent(SIZE);
	unsigned char *file = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, f->fd, 0);
	unsigned refused = 0;

	for (unsigned i = 0; i < 5000; i++)
		put(f->ring, "text");
	srand(1);
	for (unsigned i = 0; i < 2000; i++) {
		size_t at = i < 400 ? i / 8 : (size_t)rand() % size;
		unsigned char before = file[at];
		struct logring *r;
		struct logring_view v;
		file[at] ^= (unsigned char)(1 << (i % 8));
		int e = logring_open(f->fd, 0, SIZE, false, &r);
		if (e == 0) {
			logring_lock(r);
			logring_peek(r, &v);
			for (uint64_t seq = v.first; seq < v.count; seq++)
				assert_int_equal(*logring_at(&v, logring_record(r, seq)->end - 1), '\n');
			logring_unlock(r);
			logring_close(r);
		} else {
			assert_int_equal(e, -EBADMSG);
			refused++;
		}
		file[at] = before;
	}
	assert_true(refused > 100);
	munmap(file, size);
}

static void overtaken_readers(void **state)
{
	struct logring *r = ((struct fixture *)*state)->ring;
	struct logring_view v;
	uint64_t seq;

	logring_caught_up(r, 1);
	assert_false(logring_reader_behind(r, 1));
	for (unsigned i = 0; i < 4000; i++)
		put(r, "123456789012345678901234567890");
	assert_true(logring_reader_behind(r, 1));
	logring_pin(r, 1, &v);
	assert_true(v.floor > 0);
	uint64_t pos = logring_resume(r, &v, &seq);
	assert_true(pos >= v.floor && pos < v.head);
	assert_int_equal(logring_start(r, &v, seq), pos);
	logring_flushed(r, 1, &v);
	logring_unpin(r, 1);
	assert_false(logring_reader_behind(r, 1));
}

static atomic_bool stop;

static void *read_all(void *arg)
{
	struct logring *r = arg;
	uint64_t cursor = 0;

	while (!atomic_load(&stop)) {
		struct logring_view v;
		logring_pin(r, 3, &v);
		if (cursor < v.floor) {
			uint64_t seq;
			cursor = logring_resume(r, &v, &seq);
		}
		/* Every byte of a message is its number's digit, so a torn one shows. */
		while (cursor < v.head) {
			uint64_t seq = logring_seek(r, &v, cursor), end = logring_record(r, seq)->end;
			const char *p = logring_at(&v, cursor);
			for (size_t i = 0; i + 1 < end - cursor; i++)
				if (p[i] != (char)('0' + seq % 10)) {
					logring_unpin(r, 3);
					return "torn";
				}
			cursor = end;
		}
		logring_flushed(r, 3, &v);
		logring_unpin(r, 3);
	}
	return NULL;
}

/* A pinned reader and a writer that laps it all the time. */
static void no_torn_reads(void **state)
{
	struct logring *r = ((struct fixture *)*state)->ring;
	struct record record = {0};
	pthread_t thread;
	char text[50];
	void *result;

	atomic_store(&stop, false);
	pthread_create(&thread, NULL, read_all, r);
	for (unsigned i = 0; i < 100000; i++) {
		memset(text, '0' + (int)(i % 10), sizeof(text));
		logring_lock(r);
		assert_true(logring_put(r, &record, "", 0, text, sizeof(text)));
		logring_commit(r);
		logring_unlock(r);
	}
	atomic_store(&stop, true);
	pthread_join(thread, &result);
	assert_null(result);
}

/* Who writes may take its time, and wait for a reader who waits for this one. */
static void a_pin_waits_for_no_writer(void **state)
{
	struct logring *r = ((struct fixture *)*state)->ring;
	struct record record = {0};
	struct logring_view v;

	put(r, "a");
	logring_lock(r);
	assert_true(logring_put(r, &record, "", 0, "b", 1));
	logring_pin(r, 3, &v);
	assert_int_equal(v.count, 1);
	assert_int_equal(v.head, 4);
	logring_unpin(r, 3);
	logring_commit(r);
	logring_pin(r, 3, &v);
	assert_int_equal(v.count, 2);
	logring_unpin(r, 3);
	logring_unlock(r);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(puts_and_reads),
	    CASE(notices_are_passed_over_at_once),
	    CASE(a_batch_becomes_visible_at_once),
	    CASE(wraps),
	    CASE(wraps_by_records),
	    CASE(batches_are_bounded),
	    CASE(survives),
	    CASE(a_cut_batch_costs_nothing),
	    CASE(damage_is_found),
	    CASE(overtaken_readers),
	    CASE(no_torn_reads),
	    CASE(a_pin_waits_for_no_writer),
	};

	return cmocka_run_group_tests_name("logring", tests, NULL, NULL);
}
