/* SPDX-License-Identifier: MIT */
/*
 * The cluster's positions, which become true with a room's log. A crash is a copy of the file as it is at that moment,
 * which is opened as the next process does.
 */
#include "tests/unit/rooms/rooms.h"
#include "tests/unit/state/steps.h"

#include "daemon/state/cluster_file_own.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#define SELF "here"
#define IDENTITY 77

struct fixture {
	struct test_rooms t;
	struct room *lobby;
	int fd;
	uint64_t size;
	struct cluster_file *f;
};

static uint64_t size_of(unsigned positions)
{
	return CLUSTER_TABLE_AT + positions * sizeof(struct cluster_position);
}

static void use(struct fixture *f, unsigned positions)
{
	cluster_file_close(f->f);
	close(f->fd);
	f->size = size_of(positions);
	f->fd = memfd_new("cluster", f->size);
	assert_int_equal(cluster_file_open(f->fd, true, SELF, IDENTITY, &f->f), 0);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	*state = f;
	f->fd = -1;
	if (test_rooms_open(&f->t, 1) < 0 || rooms_enter(f->t.rooms, "lobby", 0, &anybody, &f->lobby) < 0)
		return -1;
	use(f, 64);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	cluster_file_close(f->f);
	close(f->fd);
	test_rooms_close(&f->t);
	free(f);
	return 0;
}

/* A copy of the file as it is now. */
static int copy(struct fixture *f)
{
	int fd = memfd_new("copy", f->size);
	char *data = malloc(f->size);

	assert_int_equal(pread(f->fd, data, f->size, 0), f->size);
	assert_int_equal(pwrite(fd, data, f->size, 0), f->size);
	free(data);
	return fd;
}

/* The process has died, and the next one goes on. */
static void crash_as(struct fixture *f, const char *node, uint64_t identity)
{
	int fd = copy(f);

	cluster_file_close(f->f);
	close(f->fd);
	f->fd = fd;
	assert_int_equal(cluster_file_open(f->fd, false, node, identity, &f->f), 0);
	cluster_file_recover(f->f, f->t.rooms);
}

static void crash(struct fixture *f)
{
	crash_as(f, SELF, IDENTITY);
}

static const struct cluster_position *at(struct cluster_file *f, const char *room, const char *node,
					 uint64_t boot)
{
	return cluster_file_position(f, room, node, strlen(node), boot);
}

static struct cluster_applied message(uint64_t seq)
{
	return (struct cluster_applied){seq, (int64_t)seq * 1000};
}

static void move(struct fixture *f, const char *room, const char *node, uint64_t boot, uint64_t expected)
{
	cluster_file_move(f->f, at(f->f, room, node, boot), expected, expected / 2,
			  cluster_file_applied(f->f));
}

static void assert_expected(struct fixture *f, const char *room, const char *node, uint64_t boot,
			    uint64_t expected)
{
	const struct cluster_position *p = at(f->f, room, node, boot);

	assert_non_null(p);
	assert_int_equal(p->fresh, 0);
	assert_int_equal(p->expected, expected);
	assert_int_equal(p->echoed, expected / 2);
}

static void assert_fresh(struct fixture *f, const char *room, const char *node, uint64_t boot)
{
	const struct cluster_position *p = at(f->f, room, node, boot);

	assert_non_null(p);
	assert_int_equal(p->fresh, 1);
	assert_int_equal(p->expected, 0);
}

static void assert_applied(struct fixture *f, uint64_t seq)
{
	assert_int_equal(cluster_file_applied(f->f).seq, seq);
	assert_int_equal(cluster_file_applied(f->f).time_ns, seq * 1000);
}

/* Puts a line into the lobby, and notes that it is there, up to the step given. */
enum step { PUT, INTENDED, COMMITTED, DONE };
static void apply(struct fixture *f, const struct cluster_position *p, uint64_t expected, enum step last)
{
	struct record record = {0};
	struct logring *log = f->lobby->log;

	logring_lock(log);
	assert_true(logring_put(log, &record, "", 0, "hi\n", 3));
	if (last >= INTENDED)
		cluster_file_intend(f->f, f->lobby, logring_pending(log), p, expected, 0, message(expected));
	if (last >= COMMITTED)
		logring_commit(log);
	else
		logring_abandon(log);
	logring_unlock(log);
	if (last >= DONE)
		cluster_file_done(f->f);
}

/* --- */

static void they_stay(void **state)
{
	struct fixture *f = *state;

	assert_applied(f, 0);
	assert_fresh(f, "lobby", "b", 1);
	crash(f);
	assert_applied(f, 0);
	assert_fresh(f, "lobby", "b", 1);
	for (unsigned round = 1; round <= 3; round++, crash(f)) {
		for (uint64_t boot = 1; boot <= 5; boot++) {
			move(f, "lobby", "b", boot, 100 * round + boot);
			move(f, "lobby", "c", boot, 200 * round + boot);
			move(f, "den", "b", boot, 300 * round + boot);
			move(f, "lobby", SELF, boot, 400 * round + boot);
		}
		cluster_file_set_applied(f->f, message(round));
		crash(f);
		assert_applied(f, round);
		for (uint64_t boot = 1; boot <= 5; boot++) {
			assert_expected(f, "lobby", "b", boot, 100 * round + boot);
			assert_expected(f, "lobby", "c", boot, 200 * round + boot);
			assert_expected(f, "den", "b", boot, 300 * round + boot);
			assert_expected(f, "lobby", SELF, boot, 400 * round + boot);
		}
	}
	/* Where the one name ends and the other begins counts. */
	move(f, "ab", "c", 1, 9);
	assert_fresh(f, "a", "bc", 1);
	assert_fresh(f, "abc", "", 1);
	assert_int_equal(at(f->f, "ab", "c", 1)->own, 0);
	assert_int_equal(at(f->f, "lobby", SELF, 1)->own, 1);
	assert_int_equal(at(f->f, "lobby", SELF "2", 1)->own, 0);
}

/* Dead before the log's count was stored: the line comes again. Afterwards: it does not. */
static void with_the_log(void **state)
{
	struct fixture *f = *state;

	apply(f, at(f->f, "lobby", "b", 1), 1, DONE);
	for (enum step last = PUT; last <= DONE; last++) {
		uint64_t count = logring_count(f->lobby->log), before = at(f->f, "lobby", "b", 1)->expected;
		assert_int_equal(count, before);
		apply(f, at(f->f, "lobby", "b", 1), before + 1, last);
		crash(f);
		uint64_t after = before + (last >= COMMITTED);
		assert_int_equal(logring_count(f->lobby->log), after);
		assert_int_equal(at(f->f, "lobby", "b", 1)->expected, after);
		assert_applied(f, after);
		crash(f);
		assert_int_equal(at(f->f, "lobby", "b", 1)->expected, after);
	}
	/* Given up within the process. */
	apply(f, at(f->f, "lobby", "b", 1), 50, INTENDED);
	cluster_file_abandon(f->f);
	test_rooms_say(f->lobby, "somebody else's\n", 16);
	crash(f);
	assert_int_equal(at(f->f, "lobby", "b", 1)->expected, 3);
	/* What others say behind the commit doesn't undo it. */
	apply(f, at(f->f, "lobby", "b", 1), 4, COMMITTED);
	test_rooms_say(f->lobby, "somebody else's\n", 16);
	crash(f);
	assert_int_equal(at(f->f, "lobby", "b", 1)->expected, 4);
	assert_applied(f, 4);
	/* The room was lost with what was said in it. */
	apply(f, at(f->f, "lobby", "b", 1), 5, COMMITTED);
	f->lobby->epoch ^= 2;
	crash(f);
	assert_int_equal(at(f->f, "lobby", "b", 1)->expected, 4);
	f->lobby->epoch ^= 2;
	apply(f, at(f->f, "lobby", "b", 1), 5, COMMITTED);
	f->f->header->intent.room = 4000;
	f->f->header->intent.mark = cluster_intent_mark(&f->f->header->intent);
	crash(f);
	assert_int_equal(at(f->f, "lobby", "b", 1)->expected, 4);
}

/* --- one instruction after the other --- */

/* What the next process finds; each scenario has its own. */
struct found {
	uint64_t count, expected, applied;
};

static struct found look(struct fixture *f, const char *node, uint64_t identity,
			 void (*more)(struct cluster_file *f))
{
	struct cluster_file *next;
	int fd = copy(f);

	assert_int_equal(cluster_file_open(fd, false, node, identity, &next), 0);
	cluster_file_recover(next, f->t.rooms);
	if (more)
		more(next);
	struct found found = {logring_count(f->lobby->log), at(next, "lobby", "b", 1)->expected,
			      cluster_file_applied(next).seq};
	cluster_file_close(next);
	close(fd);
	return found;
}

struct walk {
	struct fixture *f;
	void (*change)(struct fixture *f);
	const char *node;
	uint64_t identity;
	const struct found *states, *end;
	struct found found;
	void (*more)(struct cluster_file *f);
	/* The memory when it was looked at last; what is found depends on nothing else. */
	void *seen;
	uint64_t count;
};

static void walk_change(void *arg)
{
	struct walk *w = arg;

	w->change(w->f);
}

static bool walk_look(void *arg)
{
	struct walk *w = arg;
	struct fixture *f = w->f;

	if (w->seen && memcmp(w->seen, f->f->header, f->size) == 0 &&
	    w->count == logring_count(f->lobby->log))
		return true;
	if (!w->seen)
		w->seen = malloc(f->size);
	memcpy(w->seen, f->f->header, f->size);
	w->count = logring_count(f->lobby->log);
	w->found = look(f, w->node, w->identity, w->more);
	if (memcmp(&w->found, w->states, sizeof(w->found)) != 0 && w->states + 1 < w->end)
		w->states++;
	return memcmp(&w->found, w->states, sizeof(w->found)) == 0;
}

/*
 * Dead after any instruction: the next process finds one of these, in this order, and each of them.
 */
static void single_step(struct fixture *f, void (*change)(struct fixture *f), const char *node,
			uint64_t identity, const struct found *states, unsigned n,
			void (*more)(struct cluster_file *f))
{
	struct walk w = {.f = f,
			 .change = change,
			 .node = node,
			 .identity = identity,
			 .states = states,
			 .end = states + n,
			 .more = more};
	unsigned steps = steps_of(walk_change, walk_look, &w);

	free(w.seen);
	if (w.states != w.end - 1 || memcmp(&w.found, w.states, sizeof(w.found)) != 0)
		fail_msg("step %u, in state %u: count %lu, expected %lu, applied %lu", steps,
			 (unsigned)(w.states - states), (unsigned long)w.found.count,
			 (unsigned long)w.found.expected, (unsigned long)w.found.applied);
	assert_in_range(steps, 100, 10000000);
}

static void apply_some(struct fixture *f)
{
	for (uint64_t i = 1; i <= 3; i++)
		apply(f, at(f->f, "lobby", "b", 1), i, DONE);
	cluster_file_set_applied(f->f, message(4));
	cluster_file_move(f->f, at(f->f, "lobby", "b", 1), 10, 0, message(5));
}

static void never_lost_never_again(void **state)
{
	static const struct found states[] = {{0, 0, 0}, {1, 1, 1}, {2, 2, 2},
					      {3, 3, 3}, {3, 3, 4}, {3, 10, 5}};
	struct fixture *f = *state;

	use(f, 4);
	single_step(f, apply_some, SELF, IDENTITY, states, 6, NULL);
}

/* Whoever makes way is there or not, and nobody else is touched. */
static void make_way(struct fixture *f)
{
	move(f, "lobby", "new", 1, 3);
	cluster_file_retire(f->f, at(f->f, "lobby", SELF, 1));
}

static void others_are_there(struct cluster_file *f)
{
	assert_int_equal(at(f, "den", "b", 1)->expected, 6);
	assert_int_equal(at(f, "lobby", SELF, 1)->expected, 7);
}

static void making_way(void **state)
{
	static const struct found states[] = {{0, 5, 9}, {0, 0, 9}};
	struct fixture *f = *state;

	use(f, 4);
	move(f, "lobby", "b", 1, 5);
	move(f, "den", "b", 1, 6);
	move(f, "lobby", SELF, 1, 7);
	move(f, "lobby", "c", 1, 8);
	cluster_file_set_applied(f->f, message(9));
	single_step(f, make_way, SELF, IDENTITY, states, 2, others_are_there);
}

/* A start with another name and other rooms may be interrupted, too. */
static void open_as_another(struct fixture *f)
{
	struct cluster_file *other;

	if (cluster_file_open(f->fd, false, NULL, IDENTITY + 1, &other) < 0)
		return;
	cluster_file_recover(other, f->t.rooms);
	cluster_file_set_node(other, "there");
	cluster_file_keep_node(other);
}

static void own_are_there(struct cluster_file *f)
{
	assert_int_equal(at(f, "lobby", SELF, 1)->expected, 7);
}

static void another_start(void **state)
{
	static const struct found states[] = {{1, 1, 0}};
	struct fixture *f = *state;

	move(f, "lobby", SELF, 1, 7);
	apply(f, at(f->f, "lobby", "b", 1), 1, COMMITTED);
	single_step(f, open_as_another, "there", IDENTITY + 1, states, 1, own_are_there);
	/* And a start as before, in the midst of recovering. */
	use(f, 4);
	move(f, "lobby", SELF, 1, 7);
	apply(f, at(f->f, "lobby", "b", 1), 2, COMMITTED);
	single_step(f, open_as_another, SELF, IDENTITY, (const struct found[]){{2, 2, 2}, {2, 2, 0}}, 2,
		    NULL);
}

/* --- a full table --- */

static void the_oldest_makes_way(void **state)
{
	struct fixture *f = *state;
	char node[16];

	use(f, 8);
	for (unsigned i = 0; i < 8; i++) {
		snprintf(node, sizeof(node), "n%u", i);
		move(f, "lobby", node, 1, 10 + i);
	}
	move(f, "lobby", "n0", 1, 50); /* so n1 is the oldest, then n2 */
	assert_fresh(f, "lobby", "new", 1);
	assert_expected(f, "lobby", "n0", 1, 50);
	for (unsigned i = 2; i < 8; i++) {
		snprintf(node, sizeof(node), "n%u", i);
		assert_expected(f, "lobby", node, 1, 10 + i);
	}
	assert_fresh(f, "lobby", "n1", 1);
	assert_fresh(f, "lobby", "n2", 1);
	assert_fresh(f, "lobby", "n3", 1);
	assert_expected(f, "lobby", "n5", 1, 15);
	/* After a crash the order is by the seconds that are noted. */
	for (unsigned i = 0; i < 8; i++) {
		struct cluster_position *p = &f->f->table[i];
		p->seen_s = p->expected == 15 ? 5 : 100 + i;
		p->check = cluster_position_check(p);
	}
	crash(f);
	assert_fresh(f, "lobby", "newer", 1);
	for (unsigned i = 6; i < 8; i++) {
		snprintf(node, sizeof(node), "n%u", i);
		assert_expected(f, "lobby", node, 1, 10 + i);
	}
	assert_expected(f, "lobby", "n0", 1, 50);
	assert_fresh(f, "lobby", "n5", 1);
	for (unsigned i = 0; i < 100; i++) {
		snprintf(node, sizeof(node), "x%u", i);
		move(f, "lobby", node, 1, i);
		if (i % 10 == 9)
			crash(f);
		assert_expected(f, "lobby", node, 1, i);
	}
}

static void own_stay(void **state)
{
	struct fixture *f = *state;
	char node[16];

	use(f, 3);
	move(f, "lobby", SELF, 1, 10);
	move(f, "den", SELF, 1, 20);
	for (unsigned i = 0; i < 10; i++) {
		snprintf(node, sizeof(node), "n%u", i);
		move(f, "lobby", node, 1, i);
		if (i == 5)
			crash(f);
	}
	assert_expected(f, "lobby", SELF, 1, 10);
	assert_expected(f, "den", SELF, 1, 20);
	move(f, "attic", SELF, 1, 30);
	assert_null(at(f->f, "lobby", "b", 1));
	assert_null(at(f->f, "cellar", SELF, 1));
	crash(f);
	assert_null(at(f->f, "lobby", "b", 1));
	/* The den is gone. */
	cluster_file_retire(f->f, at(f->f, "den", SELF, 1));
	assert_expected(f, "den", SELF, 1, 20);
	cluster_file_retire(f->f, at(f->f, "den", SELF, 1));
	crash(f);
	assert_expected(f, "den", SELF, 1, 20);
	move(f, "cellar", SELF, 1, 40);
	assert_null(at(f->f, "den", SELF, 1));
	assert_expected(f, "lobby", SELF, 1, 10);
	assert_expected(f, "attic", SELF, 1, 30);
	/* Nothing was noted yet, and that is retired. */
	use(f, 1);
	assert_fresh(f, "lobby", SELF, 1);
	cluster_file_retire(f->f, at(f->f, "lobby", SELF, 1));
	assert_fresh(f, "lobby", SELF, 1);
	assert_fresh(f, "lobby", "b", 1);
}

/* As many as there can be, and some more. */
static void a_million(void **state)
{
	struct fixture *f = *state;
	const uint64_t n = CLUSTER_FILE_POSITIONS;

	use(f, CLUSTER_FILE_POSITIONS);
	assert_int_equal(f->size, cluster_file_size());
	move(f, "lobby", SELF, 1, 6);
	for (uint64_t boot = 1; boot < n + 1000; boot++)
		if (!at(f->f, "lobby", "b", boot))
			fail();
	move(f, "lobby", "b", n, 8);
	cluster_file_close(f->f);
	assert_int_equal(cluster_file_open(f->fd, false, SELF, IDENTITY, &f->f), 0);
	cluster_file_recover(f->f, f->t.rooms);
	assert_int_equal(f->f->high, n);
	assert_expected(f, "lobby", "b", n, 8);
	assert_expected(f, "lobby", SELF, 1, 6);
	/* Memory is used for what is there. */
	use(f, CLUSTER_FILE_POSITIONS);
	move(f, "lobby", "b", 1, 6);
	cluster_file_close(f->f);
	assert_int_equal(cluster_file_open(f->fd, false, SELF, IDENTITY, &f->f), 0);
	cluster_file_recover(f->f, f->t.rooms);
	assert_in_range(f->f->high, 1, 1024);
	assert_expected(f, "lobby", "b", 1, 6);
}

/* --- what can't be trusted --- */

static void damaged_positions(void **state)
{
	struct fixture *f = *state;

	for (unsigned byte = 0; byte < sizeof(struct cluster_position); byte++) {
		use(f, 4);
		move(f, "lobby", "b", 1, 10);
		move(f, "lobby", "c", 1, 20);
		move(f, "lobby", SELF, 1, 30);
		((char *)f->f->table)[byte] ^= 4;
		crash(f);
		assert_expected(f, "lobby", "c", 1, 20);
		assert_expected(f, "lobby", SELF, 1, 30);
		assert_fresh(f, "lobby", "b", 1);
		assert_fresh(f, "lobby", "new", 1); /* and its place is free */
		assert_expected(f, "lobby", "c", 1, 20);
	}
	/* The same one twice. */
	use(f, 4);
	move(f, "lobby", "b", 1, 10);
	move(f, "lobby", "c", 1, 20);
	f->f->table[1] = f->f->table[0];
	crash(f);
	assert_expected(f, "lobby", "b", 1, 10);
	assert_fresh(f, "lobby", "c", 1);
	/* Its check fits, but there can't be such a one. */
	f->f->table[0].fresh = 1;
	f->f->table[0].check = cluster_position_check(&f->f->table[0]);
	crash(f);
	assert_fresh(f, "lobby", "b", 1);
}

static void damaged_place_in_the_stream(void **state)
{
	struct fixture *f = *state;

	for (unsigned byte = 0; byte < sizeof(struct cluster_half); byte++) {
		cluster_file_set_applied(f->f, message(5));
		cluster_file_set_applied(f->f, message(6));
		struct cluster_header *h = f->f->header;
		((char *)&h->half[h->live & 1])[byte] ^= 1;
		crash(f);
		assert_applied(f, 5); /* read again, which does no harm */
		h = f->f->header;
		((char *)&h->half[h->live & 1])[byte] ^= 1;
		crash(f);
		assert_applied(f, 0);
		h = f->f->header;
		h->live |= 2;
		crash(f);
		assert_applied(f, 0);
	}
}

static void damaged_intents(void **state)
{
	struct fixture *f = *state;
	const struct cluster_position *p = at(f->f, "lobby", "b", 1);

	for (unsigned byte = 0; byte < sizeof(struct cluster_intent); byte++) {
		use(f, 4);
		move(f, "lobby", "b", 1, 10);
		p = at(f->f, "lobby", "b", 1);
		cluster_file_intend(f->f, NULL, 0, p, 11, 0, message(1));
		((char *)&f->f->header->intent)[byte] ^= 1;
		crash(f);
		assert_expected(f, "lobby", "b", 1, 10);
		assert_applied(f, 0);
	}
	/* Their check fits, but there is no such row. */
	for (unsigned i = 0; i < 3; i++) {
		cluster_file_intend(f->f, NULL, 0, at(f->f, "lobby", "b", 1), 11, 0, message(1));
		struct cluster_intent *intent = &f->f->header->intent;
		if (i < 2)
			intent->row = i == 0 ? 0 : 5;
		else
			intent->position.boot++;
		intent->mark = cluster_intent_mark(intent);
		crash(f);
		assert_expected(f, "lobby", "b", 1, 10);
		assert_applied(f, 0);
	}
}

static void refused(void **state)
{
	struct fixture *f = *state;
	struct cluster_file *other;
	char name[CLUSTER_FILE_NODE_MAX + 2] = {0};

	for (unsigned i = 0; i < 3; i++) {
		use(f, 4);
		struct cluster_header *h = f->f->header;
		if (i == 0)
			h->magic++;
		else if (i == 1)
			h->layout++;
		else
			h->capacity++;
		assert_int_equal(cluster_file_open(f->fd, false, SELF, IDENTITY, &other), -EBADMSG);
	}
	int fd = memfd_new("short", CLUSTER_TABLE_AT);
	assert_true(cluster_file_open(fd, true, SELF, IDENTITY, &other) < 0);
	close(fd);
	fd = memfd_new("empty", size_of(4));
	assert_int_equal(cluster_file_open(fd, false, SELF, IDENTITY, &other), -EBADMSG);
	memset(name, 'n', sizeof(name) - 1);
	assert_int_equal(cluster_file_open(fd, true, name, IDENTITY, &other), -EINVAL);
	name[CLUSTER_FILE_NODE_MAX] = '\0';
	assert_int_equal(cluster_file_open(fd, true, name, IDENTITY, &other), 0);
	assert_int_equal(cluster_file_position(other, "lobby", name, strlen(name), 1)->own, 1);
	cluster_file_close(other);
	close(fd);
}

/* --- another name, other rooms --- */

static void renamed(void **state)
{
	struct fixture *f = *state;

	move(f, "lobby", SELF, 1, 10);
	move(f, "lobby", "there", 1, 20);
	cluster_file_set_applied(f->f, message(3));
	/* It has its name until it gets another one, for good. */
	crash_as(f, "there", IDENTITY);
	assert_string_equal(cluster_file_node(f->f), SELF);
	cluster_file_set_node(f->f, "there");
	assert_int_equal(at(f->f, "den", "there", 1)->own, 1);
	crash_as(f, "there", IDENTITY);
	assert_string_equal(cluster_file_node(f->f), SELF);
	for (unsigned i = 0; i < 3; i++) {
		const char *name = i == 1 ? SELF : "there";
		cluster_file_set_node(f->f, name);
		cluster_file_keep_node(f->f);
		crash_as(f, SELF, IDENTITY);
		assert_string_equal(cluster_file_node(f->f), name);
	}
	assert_applied(f, 3);
	assert_expected(f, "lobby", SELF, 1, 10);
	assert_expected(f, "lobby", "there", 1, 20);
	move(f, "lobby", SELF, 2, 30);
	assert_int_equal(at(f->f, "lobby", SELF, 2)->own, 0);
	/* One that is none. */
	memset(f->f->header->other_node, '.', sizeof(f->f->header->other_node));
	crash_as(f, SELF, IDENTITY);
	assert_string_equal(cluster_file_node(f->f), SELF);
}

static void other_rooms(void **state)
{
	struct fixture *f = *state;

	move(f, "lobby", SELF, 1, 10);
	move(f, "lobby", "b", 1, 20);
	cluster_file_set_applied(f->f, message(3));
	crash_as(f, SELF, IDENTITY + 1);
	assert_applied(f, 0);
	assert_expected(f, "lobby", SELF, 1, 10);
	assert_expected(f, "lobby", "b", 1, 20);
	cluster_file_set_applied(f->f, message(4));
	crash_as(f, SELF, IDENTITY + 1);
	assert_applied(f, 4);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(they_stay),
	    CASE(with_the_log),
	    CASE(never_lost_never_again),
	    CASE(making_way),
	    CASE(another_start),
	    CASE(the_oldest_makes_way),
	    CASE(own_stay),
	    CASE(a_million),
	    CASE(damaged_positions),
	    CASE(damaged_place_in_the_stream),
	    CASE(damaged_intents),
	    CASE(refused),
	    CASE(renamed),
	    CASE(other_rooms),
	};

	return cmocka_run_group_tests_name("cluster_file", tests, NULL, NULL);
}
