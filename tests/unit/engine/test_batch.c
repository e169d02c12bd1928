/* SPDX-License-Identifier: MIT */
/* When a busy room's delivery waits for more, for how long at most, and that the worker then reads it first. */
#include "tests/unit/unit.h"

#include "daemon/engine/batch.h"
#include "daemon/engine/worker.h"
#include "tests/harness.h"

#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* A room that was delivered twice: the second time with so many messages, us after the first. */
static struct batch busy(uint64_t messages, int64_t took, int64_t period)
{
	struct batch b = {0};

	batch_delivered(&b, 7, messages, 1000000 - period - took, 1000000 - period);
	batch_delivered(&b, 7, messages, 1000000 - took, 1000000);
	return b;
}

static void a_stream_is_waited_for(void **state)
{
	struct batch b = busy(500, 200, 1000);

	(void)state;
	/* 200 may be expected in the time that two workers' parts take. */
	assert_int_equal(batch_delay(&b, 720, 10, 2), 400);
	assert_int_equal(batch_delay(&b, 14400, 200, 2), 400);
	/* More than that has come already, or so many bytes that a send is worth it. */
	assert_int_equal(batch_delay(&b, 14472, 201, 2), 0);
	assert_int_equal(batch_delay(&b, 65536, 10, 2), 0);
	assert_int_equal(batch_delay(&b, 0, 0, 2), 0);
}

static void one_worker_delivers_at_once(void **state)
{
	struct batch b = busy(500, 300, 1000);

	(void)state;
	assert_int_equal(batch_delay(&b, 720, 10, 1), 0);
	assert_int_equal(batch_delay(&b, 720, 10, 0), 0);
}

static void an_idle_room_is_delivered_at_once(void **state)
{
	struct batch never = {0}, once = {0};

	(void)state;
	assert_int_equal(batch_delay(&never, 72, 1, 2), 0);
	batch_delivered(&once, 7, 500, 1000, 1300);
	assert_int_equal(batch_delay(&once, 72, 1, 2), 0);
	/* A message now and then, though each takes its time; and one after another, each after the one before. */
	struct batch calm = busy(1, 4000, 100000), one_by_one = busy(1, 2000, 2100);
	assert_int_equal(batch_delay(&calm, 72, 1, 2), 0);
	assert_int_equal(batch_delay(&one_by_one, 72, 1, 2), 0);
	/* A few are no stream yet. */
	struct batch few = busy(3, 1000, 1000);
	assert_int_equal(batch_delay(&few, 72, 1, 2), 0);
	/* After a burst comes a lull: the period with the lull in it counts. */
	struct batch after = busy(500, 300, 1000);
	batch_delivered(&after, 7, 10, 1500000, 1500300);
	assert_int_equal(batch_delay(&after, 72, 1, 2), 0);
}

static void no_delay_is_long(void **state)
{
	struct batch b = busy(1000000, 50000, 60000), quick = busy(500, 19, 30);

	(void)state;
	assert_int_equal(batch_delay(&b, 720, 10, 2), BATCH_DELAY_MAX_US);
	assert_int_equal(batch_delay(&b, 720, 10, 63), BATCH_DELAY_MAX_US);
	/* Where a delivery takes no time, there is nothing to be saved. */
	assert_int_equal(batch_delay(&quick, 720, 10, 2), 0);
}

static void the_busiest_room_is_remembered(void **state)
{
	struct batch b = busy(500, 300, 1000);

	(void)state;
	batch_delivered(&b, 8, 5, 1000000, 1000599);
	assert_int_equal(b.room, 7);
	batch_delivered(&b, 8, 5, 1000000, 1000600);
	assert_int_equal(b.room, 8);
	assert_int_equal(b.period, 0);
	batch_delivered(&b, 7, 500, 1000600, 1000900);
	assert_int_equal(b.room, 8);
	/* Unless it has been silent for a while. */
	batch_delivered(&b, 7, 500, 1020000, 1020300);
	assert_int_equal(b.room, 7);
}

/* --- the worker's side --- */

struct probe {
	struct resident resident;
	struct source source;
	struct harness *h;
	int fd;
	int64_t delay;
	char happened[64];
};

static struct probe *probe_of(struct resident *r)
{
	return (struct probe *)r;
}

static void probe_ready(struct source *s, uint32_t events)
{
	struct probe *p = (struct probe *)((char *)s - offsetof(struct probe, source));
	uint64_t n;

	(void)events;
	assert_int_equal(read(p->fd, &n, sizeof(n)), sizeof(n));
	strcat(p->happened, "read ");
}

static void probe_write(struct probe *p)
{
	uint64_t one = 1;

	assert_int_equal(write(p->fd, &one, sizeof(one)), sizeof(one));
}

static int64_t probe_delay(struct resident *r)
{
	strcat(probe_of(r)->happened, "delay ");
	probe_write(probe_of(r)); /* what comes meanwhile */
	return probe_of(r)->delay;
}

static void probe_deliver(struct resident *r, uint32_t room)
{
	if (room == 1)
		strcat(probe_of(r)->happened, "deliver ");
}

static const struct resident_ops probe_ops = {.delay = probe_delay, .deliver = probe_deliver};

static void turn(struct probe *p, int64_t delay)
{
	struct shared *shared = harness_shared(p->h);

	p->delay = delay;
	p->happened[0] = '\0';
	probe_write(p);
	wakeup_mark(slots_wakeup(shared->slots, 0), 1);
	worker_turn(shared->workers[0]);
}

static void what_comes_meanwhile_is_read_first(void **state)
{
	struct probe p = {.resident.ops = &probe_ops, .source.ready = probe_ready};

	(void)state;
	p.h = harness_new("listeners = ();");
	assert_non_null(p.h);
	struct worker *w = harness_shared(p.h)->workers[0];
	p.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	assert_int_equal(worker_watch(w, p.fd, EPOLLIN, &p.source), 0);
	worker_add(w, &p.resident);
	turn(&p, 0);
	assert_string_equal(p.happened, "read delay deliver ");
	turn(&p, 50);
	assert_string_equal(p.happened, "read delay read deliver ");
	worker_remove(w, &p.resident);
	worker_unwatch(w, p.fd);
	close(p.fd);
	harness_free(p.h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_stream_is_waited_for),
	    cmocka_unit_test(one_worker_delivers_at_once),
	    cmocka_unit_test(an_idle_room_is_delivered_at_once),
	    cmocka_unit_test(no_delay_is_long),
	    cmocka_unit_test(the_busiest_room_is_remembered),
	    cmocka_unit_test(what_comes_meanwhile_is_read_first),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
