/* SPDX-License-Identifier: MIT */
/*
 * The ring itself. The newest message's number is in the file; where it ends, in its record. Whatever a
 * process before left is checked in full before anybody reads it.
 */
#include "daemon/rooms/logring.h"

#include "common/cleanup.h"
#include "daemon/base/fault.h"
#include "daemon/io/memfd.h"
#include "daemon/rooms/file.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

/* What one reader tells the writers; a cache line of its own. */
struct logring_reader {
	_Alignas(64) _Atomic uint64_t pin; /* UINT64_MAX: none */
	_Atomic uint64_t flushed_pos, flushed_seq;
};

struct logring {
	struct logring_header *header;
	struct record *records;
	char *log;
	uint64_t size, mask, record_mask;
	void *map;
	size_t map_size;

	pthread_mutex_t lock;
	uint64_t head, pending_head, pending_count; /* under the lock; head belongs to the committed count */
	_Atomic uint64_t now_head, now_count;	    /* the same for a glance without the lock */
	/* Who has it waits for nothing, so that a pin never waits for who writes: head, count and tail change under both. */
	pthread_mutex_t view;
	unsigned n_readers; /* under view: those from here on have never held a pin */
	struct logring_reader readers[LOGRING_READERS];
};

_Static_assert(sizeof(struct record) == 64, "part of the state's layout");

uint64_t logring_round(uint64_t log_size)
{
	uint64_t s = LOGRING_SIZE_MIN;

	while (s < log_size && s < LOGRING_SIZE_MAX)
		s <<= 1;
	return s;
}

static uint64_t logring_records(uint64_t size)
{
	return size / LOGRING_BYTES_PER_RECORD;
}

static uint64_t logring_records_bytes(uint64_t size)
{
	return memfd_align(logring_records(size) * sizeof(struct record));
}

uint64_t logring_extent(uint64_t log_size)
{
	uint64_t size = logring_round(log_size);

	return MEMFD_ALIGN + logring_records_bytes(size) + size;
}

static uint64_t logring_end(const struct logring *r, uint64_t seq)
{
	return r->records[seq & r->record_mask].end;
}

/* Where message seq begins. The record before the oldest one is gone, so nobody asks where that begins. */
static uint64_t logring_start_of(const struct logring *r, uint64_t seq)
{
	return seq == 0 ? 0 : logring_end(r, seq - 1);
}

/* The oldest message that is still whole: it begins at the tail or above, and the record before its own is
 * still there. */
static uint64_t logring_oldest(const struct logring *r, uint64_t count, uint64_t tail)
{
	/* An eighth of the records may be overwritten by a batch that is not committed yet, or never was. */
	uint64_t usable = (r->record_mask + 1) / 8 * 7;
	uint64_t low = count >= usable ? count - usable + 1 : 0, high = count;

	while (low < high) {
		uint64_t mid = low + (high - low) / 2;
		if (logring_start_of(r, mid) >= tail)
			high = mid;
		else
			low = mid + 1;
	}
	return low;
}

/* Everything that readers will rely on: ends that grow, stay within the ring, and stand behind newlines. */
static int logring_check(const struct logring *r)
{
	const struct logring_header *h = r->header;
	uint64_t count = atomic_load(&h->count), tail = atomic_load(&h->tail), capacity = r->record_mask + 1;

	if (h->magic != LOGRING_MAGIC || h->log_size != r->size || h->records != capacity)
		return -EBADMSG;
	if (count > UINT64_MAX / 2)
		return -EBADMSG;
	if (count == 0)
		return tail == 0 ? 0 : -EBADMSG;

	uint64_t head = logring_end(r, count - 1);
	if (head == 0 || head > UINT64_MAX / 2 || tail > head || head - tail > r->size)
		return -EBADMSG;
	uint64_t usable = capacity / 8 * 7, first = count >= usable ? count - usable : 0, above = head;
	for (uint64_t seq = count; seq-- > first;) {
		uint64_t end = logring_end(r, seq);
		const struct record *at = &r->records[seq & r->record_mask];
		if (end > above || (seq + 1 < count && end == above) || at->kind >= RECORD_KINDS ||
		    (at->nick_len > 0 && at->nick_at + at->nick_len > at->text))
			return -EBADMSG;
		/* Below the tail only the records are left. */
		if (end > tail && r->log[(end - 1) & r->mask] != '\n')
			return -EBADMSG;
		if (seq > first && logring_end(r, seq - 1) < end && end - logring_end(r, seq - 1) <= at->text)
			return -EBADMSG;
		above = end;
	}
	return 0;
}

/*
 * A batch that a crash cut has overwritten records of the oldest messages, which logring_make_space() would
 * ask for their ends. Nobody else looks at them: see logring_oldest().
 */
static void logring_forget_cut_batch(struct logring *r)
{
	uint64_t capacity = r->record_mask + 1, count = atomic_load(&r->header->count);
	uint64_t head = count ? logring_end(r, count - 1) : 0;

	for (uint64_t seq = count; seq < count + capacity / 8; seq++)
		if (logring_end(r, seq) > head)
			r->records[seq & r->record_mask].end = 0;
}

int logring_open(int fd, uint64_t off, uint64_t log_size, bool fresh, struct logring **ret)
{
	_cleanup_free_ struct logring *r = aligned_alloc(64, sizeof(*r));
	int e;

	if (!r)
		return -ENOMEM;
	memset(r, 0, sizeof(*r));
	r->size = logring_round(log_size);
	r->mask = r->size - 1;
	r->record_mask = logring_records(r->size) - 1;
	r->map_size = logring_extent(r->size);
	e = memfd_map_ring(fd, off, r->map_size, r->size, &r->map);
	if (e < 0)
		return e;
	r->header = r->map;
	r->records = (void *)((char *)r->map + MEMFD_ALIGN);
	r->log = (char *)r->map + MEMFD_ALIGN + logring_records_bytes(r->size);

	if (fresh) {
		memset(r->header, 0, sizeof(*r->header));
		r->header->magic = LOGRING_MAGIC;
		r->header->log_size = r->size;
		r->header->records = r->record_mask + 1;
	} else {
		e = logring_check(r);
		if (e < 0) {
			munmap(r->map, r->map_size + r->size);
			return e;
		}
		logring_forget_cut_batch(r);
	}
	r->pending_count = atomic_load(&r->header->count);
	r->head = r->pending_head = r->pending_count ? logring_end(r, r->pending_count - 1) : 0;
	atomic_store(&r->now_head, r->head);
	atomic_store(&r->now_count, r->pending_count);
	for (unsigned i = 0; i < LOGRING_READERS; i++) {
		atomic_store(&r->readers[i].pin, UINT64_MAX);
		atomic_store(&r->readers[i].flushed_pos, r->head);
		atomic_store(&r->readers[i].flushed_seq, r->pending_count);
	}
	pthread_mutex_init(&r->lock, NULL);
	pthread_mutex_init(&r->view, NULL);
	*ret = take_ptr(r);
	return 0;
}

void logring_close(struct logring *r)
{
	if (!r)
		return;
	munmap(r->map, r->map_size + r->size);
	pthread_mutex_destroy(&r->lock);
	pthread_mutex_destroy(&r->view);
	free(r);
}

uint64_t logring_size(const struct logring *r)
{
	return r->size;
}

uint64_t logring_count(struct logring *r)
{
	return atomic_load_explicit(&r->header->count, memory_order_acquire);
}

void logring_lock(struct logring *r)
{
	pthread_mutex_lock(&r->lock);
}

void logring_unlock(struct logring *r)
{
	pthread_mutex_unlock(&r->lock);
}

/* Readers hold pins only while a batch of non-blocking sends runs, so the wait is short. No new ones are below the tail. */
static void logring_move_tail(struct logring *r, uint64_t tail)
{
	pthread_mutex_lock(&r->view);
	atomic_store(&r->header->tail, tail);
	unsigned n = r->n_readers;
	pthread_mutex_unlock(&r->view);
	for (unsigned i = 0; i < n; i++)
		for (unsigned spins = 0; atomic_load(&r->readers[i].pin) < tail; spins++) {
			if (spins < 64)
				sched_yield();
			else
				nanosleep(&(struct timespec){.tv_nsec = 50000}, NULL);
		}
}

/* What must have moved out of the way before a message that ends at end can be written as number seq. */
static void logring_make_space(struct logring *r, uint64_t end, uint64_t seq)
{
	uint64_t capacity = r->record_mask + 1,
		 tail = atomic_load_explicit(&r->header->tail, memory_order_relaxed);
	uint64_t need = end > r->size ? end - r->size : 0;

	/* Writing record seq takes away the record that says where message seq - capacity + 1 begins. */
	if (seq >= capacity) {
		uint64_t next = logring_end(r, seq - capacity + 1);
		if (next > need)
			need = next;
	}
	if (need <= tail)
		return;
	/* In larger steps, so that the pins are looked at seldom. */
	uint64_t step = need + r->size / 64;
	if (step < r->head && end - step > r->size / 2)
		need = step;
	logring_move_tail(r, need);
	FAULT("log-tail");
}

bool logring_put(struct logring *r, struct record *record, const char *a, size_t a_len, const char *b,
		 size_t b_len)
{
	size_t len = a_len + b_len + 1;
	uint64_t end = r->pending_head + len, capacity = r->record_mask + 1;
	uint64_t count = atomic_load_explicit(&r->header->count, memory_order_relaxed);
	uint64_t batch = r->pending_count - count;
	/* In an empty log nothing is in the way, and what a room gets back is put there at once. */
	unsigned eighths = count == 0 ? LOGRING_FIRST_EIGHTHS : 1;

	if (batch > 0 && (end - r->head > r->size / 8 * eighths || batch >= capacity / 8 * eighths))
		return false;
	logring_make_space(r, end, r->pending_count);
	char *p = r->log + (r->pending_head & r->mask);
	memcpy(p, a, a_len);
	memcpy(p + a_len, b, b_len);
	p[len - 1] = '\n';
	record->end = end;
	record->notices = 0;
	if (r->pending_count > 0) {
		const struct record *before = &r->records[(r->pending_count - 1) & r->record_mask];
		if (record_is_notice(before) && before->notices < UINT32_MAX)
			record->notices = before->notices + 1;
	}
	r->records[r->pending_count & r->record_mask] = *record;
	r->pending_head = end;
	r->pending_count++;
	return true;
}

uint64_t logring_pending(const struct logring *r)
{
	return r->pending_count;
}

uint64_t logring_pending_head(const struct logring *r)
{
	return r->pending_head;
}

void logring_commit(struct logring *r)
{
	pthread_mutex_lock(&r->view);
	r->head = r->pending_head;
	atomic_store_explicit(&r->header->count, r->pending_count, memory_order_release);
	pthread_mutex_unlock(&r->view);
	atomic_store_explicit(&r->now_count, r->pending_count, memory_order_relaxed);
	atomic_store_explicit(&r->now_head, r->head, memory_order_release);
}

void logring_abandon(struct logring *r)
{
	r->pending_head = r->head;
	r->pending_count = atomic_load_explicit(&r->header->count, memory_order_relaxed);
}

static void logring_fill_view(struct logring *r, struct logring_view *v)
{
	v->log = r->log;
	v->mask = r->mask;
	v->head = r->head;
	v->count = atomic_load_explicit(&r->header->count, memory_order_relaxed);
}

void logring_peek(struct logring *r, struct logring_view *ret)
{
	logring_fill_view(r, ret);
	ret->first =
	    logring_oldest(r, ret->count, atomic_load_explicit(&r->header->tail, memory_order_relaxed));
	ret->floor = logring_start_of(r, ret->first);
}

/* The oldest message that is no more than bytes and records old. */
static uint64_t logring_recent(const struct logring *r, const struct logring_view *v, uint64_t bytes,
			       uint64_t records)
{
	uint64_t tail = atomic_load_explicit(&r->header->tail, memory_order_relaxed);
	uint64_t pos = v->head > bytes ? v->head - bytes : 0;
	uint64_t first = logring_oldest(r, v->count, pos > tail ? pos : tail);

	return v->count > records && first < v->count - records ? v->count - records : first;
}

void logring_pin(struct logring *r, unsigned reader, struct logring_view *ret)
{
	pthread_mutex_lock(&r->view);
	logring_fill_view(r, ret);
	/* The oldest eighth is left to the writers, so that they seldom meet a pin. */
	ret->first = logring_recent(r, ret, r->size / 8 * 7, (r->record_mask + 1) / 8 * 7);
	ret->floor = logring_start_of(r, ret->first);
	if (reader >= r->n_readers)
		r->n_readers = reader + 1;
	atomic_store(&r->readers[reader].pin, ret->floor);
	pthread_mutex_unlock(&r->view);
}

void logring_unpin(struct logring *r, unsigned reader)
{
	atomic_store_explicit(&r->readers[reader].pin, UINT64_MAX, memory_order_release);
}

uint64_t logring_seek(const struct logring *r, const struct logring_view *v, uint64_t pos)
{
	uint64_t low = v->first, high = v->count;

	while (low < high) {
		uint64_t mid = low + (high - low) / 2;
		if (logring_end(r, mid) > pos)
			high = mid;
		else
			low = mid + 1;
	}
	return low;
}

uint64_t logring_start(const struct logring *r, const struct logring_view *v, uint64_t seq)
{
	return seq == v->first ? v->floor : logring_start_of(r, seq);
}

uint64_t logring_resume(const struct logring *r, const struct logring_view *v, uint64_t *ret_seq)
{
	uint64_t bytes = r->size / 4 * 3, records = (r->record_mask + 1) / 4 * 3;
	uint64_t seq =
	    logring_seek(r, v, v->head > bytes && v->head - bytes > v->floor ? v->head - bytes : v->floor);

	if (v->count > records && seq < v->count - records)
		seq = v->count - records;
	*ret_seq = seq;
	return logring_start(r, v, seq);
}

const struct record *logring_record(const struct logring *r, uint64_t seq)
{
	return &r->records[seq & r->record_mask];
}

void logring_forget(struct logring *r, const struct logring_view *v, uint64_t seq)
{
	struct record *record = &r->records[seq & r->record_mask];
	uint64_t start = logring_start(r, v, seq);

	record->forgotten = 1; /* first, or a process that dies in between leaves what looks like a message */
	memset(r->log + (start & (r->size - 1)), ' ', record->end - start - 1);
}

/* Notices are passed over as one, so that a log full of them costs nothing. */
bool logring_back(const struct logring *r, const struct logring_view *v, uint64_t *seq)
{
	while (*seq > v->first) {
		const struct record *at = logring_record(r, --*seq);
		if (!record_is_notice(at))
			return true;
		*seq -= at->notices < *seq - v->first ? at->notices : *seq - v->first;
	}
	return false;
}

void logring_flushed_to(struct logring *r, unsigned reader, uint64_t pos, uint64_t seq)
{
	atomic_store_explicit(&r->readers[reader].flushed_pos, pos, memory_order_relaxed);
	atomic_store_explicit(&r->readers[reader].flushed_seq, seq, memory_order_relaxed);
}

void logring_flushed(struct logring *r, unsigned reader, const struct logring_view *v)
{
	logring_flushed_to(r, reader, v->head, v->count);
}

void logring_caught_up(struct logring *r, unsigned reader)
{
	atomic_store(&r->readers[reader].flushed_pos, atomic_load(&r->now_head));
	atomic_store(&r->readers[reader].flushed_seq, atomic_load(&r->now_count));
}

void logring_reader_lag(struct logring *r, unsigned reader, uint64_t *ret_messages, uint64_t *ret_bytes)
{
	uint64_t head = atomic_load_explicit(&r->now_head, memory_order_relaxed);
	uint64_t count = atomic_load_explicit(&r->now_count, memory_order_relaxed);
	uint64_t pos = atomic_load_explicit(&r->readers[reader].flushed_pos, memory_order_relaxed);
	uint64_t seq = atomic_load_explicit(&r->readers[reader].flushed_seq, memory_order_relaxed);

	*ret_messages = count > seq ? count - seq : 0;
	*ret_bytes = head > pos ? head - pos : 0;
}

uint64_t logring_reader_at(struct logring *r, unsigned reader)
{
	return atomic_load_explicit(&r->readers[reader].flushed_seq, memory_order_relaxed);
}

uint64_t logring_weight(uint64_t bytes, uint64_t messages)
{
	uint64_t records = messages * LOGRING_BYTES_PER_RECORD;

	return bytes > records ? bytes : records;
}

bool logring_reader_behind(struct logring *r, unsigned reader)
{
	uint64_t messages, bytes;

	logring_reader_lag(r, reader, &messages, &bytes);
	return bytes > r->size / 8 * 3 || messages > (r->record_mask + 1) / 8 * 3;
}
