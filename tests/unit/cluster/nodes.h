/* SPDX-License-Identifier: MIT */
/*
 * A few nodes of a cluster in one process, without threads and without NATS: each has rooms, a file of positions and
 * a core; the stream and the connections to it are made here, and do whatever the real ones could. A node can be
 * killed at any moment, also at a fault point in the midst of its core, and goes on from its memory files.
 */
#ifndef TESTS_UNIT_CLUSTER_NODES_H
#define TESTS_UNIT_CLUSTER_NODES_H

#include "tests/unit/unit.h"

#include "daemon/base/clock.h"
#include "daemon/base/logger.h"
#include "daemon/cluster/core.h"
#include "daemon/io/memfd.h"
#include "daemon/rooms/letter.h"
#include "daemon/rooms/roster.h"

#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define NODES 3
#define TEST_ROOMS 2
#define TEST_PEOPLE 3 /* who get private messages, on each node */
#define SECOND INT64_C(1000000)

struct message {
	uint64_t seq;
	int64_t time_ns;
	char subject[CORE_SUBJECT_MAX];
	char *data;
	size_t len;
};

struct stream {
	struct message *at;
	size_t n, space;
	uint64_t first, next;
	int64_t time_ns;
};

/* An event on its way to a core, or a batch on its way to the stream. */
struct parcel {
	struct parcel *next;
	struct nats_event event;
	char subject[CORE_SUBJECT_MAX];
	char why[32];
	char *data;
};

struct queue {
	struct parcel *first, **last;
	unsigned n;
};

struct shown {
	char (*at)[48];
	size_t n, space;
};

struct cluster_test;

/* Somebody of a node, who is there at times, as another client each time. */
struct person {
	char nick[24];
	bool is_here;
	uint64_t id, old_id;
};

/* Private messages of one node to a person of another. */
struct letters_told {
	uint64_t sent, got, next;	/* and the number of the next one that may come */
	uint64_t lost, in_doubt, waits; /* as their sender was told */
};

struct node {
	struct cluster_test *t;
	char name[8];
	int rooms_fd, file_fd;
	struct slots *slots;
	struct rooms *rooms;
	unsigned slot;
	struct slot_set kick;
	struct cluster_file *file;
	struct core *core;
	bool alive;
	bool file_is_new; /* the next time that it is opened */
	/* The connection. */
	bool up, subscribed;
	uint64_t generation, pos;
	struct queue events, publishes;
	/* Who is in the rooms. */
	struct room *room[TEST_ROOMS];
	uint64_t seen[TEST_ROOMS];
	struct shown shown[TEST_ROOMS];
	uint64_t said[TEST_ROOMS], notices;
	unsigned n_publishes; /* ever */
	uint64_t letters;     /* epoch of its log */
	/* Its people, and what its sender said to those of others. */
	struct roster *roster;
	struct roster_entry *entry[TEST_PEOPLE];
	struct person person[TEST_PEOPLE];
	uint64_t private_seen;
	char heard[256]; /* the last private message or notice */
	struct letters_told told[NODES][TEST_PEOPLE];
};

struct cluster_test {
	struct node node[NODES];
	unsigned n;
	struct stream stream;
	struct queue late;	 /* publishes of connections that are over, and may still be stored */
	struct queue late_plain; /* what comes once more, later; event.id is the node's number */
	enum cluster_away when_away;
	unsigned seed, random;
	int64_t now;
	uint64_t log_size;
	bool has_down; /* nobody can connect */
	unsigned lose_plain;
	size_t max_payload; /* 0: there is no limit */
};

/* --- a queue --- */

static inline void queue_add(struct queue *q, const struct nats_event *e, const char *subject,
			     const void *data, size_t len)
{
	struct parcel *p = calloc(1, sizeof(*p));

	p->event = *e;
	if (subject)
		snprintf(p->subject, sizeof(p->subject), "%s", subject);
	if (e->why)
		snprintf(p->why, sizeof(p->why), "%s", e->why);
	p->data = malloc(len + 1);
	if (len > 0)
		memcpy(p->data, data, len);
	p->event.subject = p->subject;
	p->event.data = p->data;
	p->event.len = len;
	p->event.why = e->why ? p->why : NULL;
	if (!q->first)
		q->last = &q->first;
	*q->last = p;
	q->last = &p->next;
	q->n++;
}

static inline struct parcel *queue_take(struct queue *q)
{
	struct parcel *p = q->first;

	if (p) {
		q->first = p->next;
		q->n--;
	}
	return p;
}

static inline void parcel_free(struct parcel *p)
{
	free(p->data);
	free(p);
}

static inline void queue_clear(struct queue *q)
{
	struct parcel *p;

	while ((p = queue_take(q)))
		parcel_free(p);
}

static inline unsigned chance(struct cluster_test *t, unsigned n)
{
	return (unsigned)rand_r(&t->random) % n;
}

/* --- the stream --- */

static inline uint64_t stream_last(const struct stream *s)
{
	return s->next - 1;
}

static inline struct message *stream_at(struct stream *s, uint64_t seq)
{
	return seq >= s->first && seq < s->next ? &s->at[seq - s->first] : NULL;
}

static inline uint64_t stream_store(struct stream *s, const struct parcel *p)
{
	if (s->n == s->space) {
		s->space = s->space ? s->space * 2 : 64;
		s->at = realloc(s->at, s->space * sizeof(*s->at));
	}
	struct message *m = &s->at[s->n++];
	s->time_ns += 1000;
	*m = (struct message){.seq = s->next++, .time_ns = s->time_ns, .len = p->event.len};
	snprintf(m->subject, sizeof(m->subject), "%s", p->subject);
	m->data = malloc(m->len + 1);
	memcpy(m->data, p->data, m->len);
	return m->seq;
}

/* It lost its last n messages. */
static inline void stream_roll_back(struct stream *s, uint64_t n)
{
	for (; n > 0 && s->n > 0; n--) {
		free(s->at[--s->n].data);
		s->next--;
	}
}

static inline void stream_expire(struct stream *s, uint64_t n)
{
	for (; n > 0 && s->n > 0; n--) {
		free(s->at[0].data);
		memmove(s->at, s->at + 1, --s->n * sizeof(*s->at));
		s->first++;
	}
}

static inline void stream_make_anew(struct stream *s)
{
	stream_roll_back(s, UINT64_MAX);
	s->first = s->next = 1;
}

/* --- the link --- */

static inline void link_subscribe(void *arg, uint64_t generation, uint64_t applied, int64_t time_ns)
{
	struct node *n = arg;
	struct stream *s = &n->t->stream;
	struct nats_event e = {.kind = NATS_SUBSCRIBED, .generation = generation};

	if (!n->up || generation != n->generation)
		return;
	const struct message *m = stream_at(s, applied);
	n->pos = applied + 1;
	if (applied > 0 && (applied >= s->next || (m && m->time_ns != time_ns))) {
		e.rolled_back = true;
		n->pos = s->first;
	}
	if (n->pos < s->first)
		n->pos = s->first;
	e.seq = n->pos;
	e.first = s->first;
	e.last = stream_last(s);
	e.time_ns = s->time_ns;
	n->subscribed = true;
	queue_add(&n->events, &e, NULL, NULL, 0);
}

static inline int link_publish(void *arg, uint64_t generation, uint64_t id, const char *subject,
			       const void *data, size_t len)
{
	struct node *n = arg;
	const struct nats_event e = {.generation = generation, .id = id};

	n->n_publishes++;
	if (!n->up || generation != n->generation)
		return -ENOTCONN;
	if (n->t->max_payload && len > n->t->max_payload)
		return -EMSGSIZE;
	queue_add(&n->publishes, &e, subject, data, len);
	return 0;
}

static inline int link_send(void *arg, const char *subject, const void *data, size_t len)
{
	struct node *n = arg;
	struct cluster_test *t = n->t;
	const char *dot = strrchr(subject, '.');
	bool all = strstr(subject, ".beat.") || strstr(subject, ".rooms.");

	if (!n->up)
		return -ENOTCONN;
	if (t->max_payload && len > t->max_payload)
		return -EMSGSIZE;
	for (unsigned i = 0; i < t->n; i++) {
		struct node *to = &t->node[i];
		const struct nats_event e = {.kind = NATS_PLAIN, .generation = to->generation};
		if (!to->up || !(all || strcmp(dot + 1, to->name) == 0))
			continue;
		if (!(t->lose_plain && chance(t, t->lose_plain) == 0))
			queue_add(&to->events, &e, subject, data, len);
		const struct nats_event late = {.kind = NATS_PLAIN, .id = i};
		if (t->lose_plain && !all && chance(t, t->lose_plain) == 0)
			queue_add(&t->late_plain, &late, subject, data, len);
	}
	return 0;
}

static inline void test_send_late(struct cluster_test *t)
{
	struct parcel *p = queue_take(&t->late_plain);

	if (!p)
		return;
	struct node *to = &t->node[p->event.id];
	const struct nats_event e = {.kind = NATS_PLAIN, .generation = to->generation};
	if (to->up)
		queue_add(&to->events, &e, p->subject, p->data, p->event.len);
	parcel_free(p);
}

static inline void node_connect(struct node *n)
{
	const struct nats_event e = {.kind = NATS_CONNECTED, .generation = ++n->generation};

	n->up = true;
	n->subscribed = false;
	queue_add(&n->events, &e, NULL, NULL, 0);
}

/* What it has published may be stored later, or never. */
static inline void node_cut(struct node *n)
{
	const struct nats_event e = {.kind = NATS_LOST, .generation = n->generation, .why = "test"};
	struct parcel *p;

	n->up = n->subscribed = false;
	while ((p = queue_take(&n->publishes))) {
		if (chance(n->t, 2))
			queue_add(&n->t->late, &p->event, p->subject, p->data, p->event.len);
		parcel_free(p);
	}
	queue_clear(&n->events); /* the link leaves out what is of a connection that is over */
	queue_add(&n->events, &e, NULL, NULL, 0);
}

/* --- a node --- */

static bool test_has_room(const char *name, void *arg)
{
	(void)arg;
	return strncmp(name, "own", 3) != 0;
}

/* Where somebody goes on who read that log before. */
static inline void node_take_over(struct logring *log, uint64_t seen)
{
	struct logring_view v;

	logring_pin(log, 0, &v);
	assert_true(seen >= v.first);
	logring_flushed_to(log, 0, logring_start(log, &v, seen), seen);
	logring_unpin(log, 0);
}

static inline void node_claim(struct node *n, unsigned i)
{
	const struct person *p = &n->person[i];
	const struct roster_person who = {.id = p->id, .index = i};

	assert_int_equal(roster_claim(n->roster, p->nick, strlen(p->nick), &who, &n->entry[i]), 0);
}

/* The person comes, or goes. */
static inline void node_person(struct node *n, unsigned i, bool is_here)
{
	static uint64_t ids = 100;
	struct person *p = &n->person[i];

	if (p->is_here == is_here)
		return;
	p->is_here = is_here;
	if (!is_here) {
		roster_release(n->roster, n->entry[i]);
		return;
	}
	p->old_id = p->id;
	p->id = ids++;
	node_claim(n, i);
}

static inline void node_open_people(struct node *n, bool fresh)
{
	assert_int_equal(roster_new(8, &n->roster), 0);
	for (unsigned i = 0; i < TEST_PEOPLE; i++) {
		struct person *p = &n->person[i];
		snprintf(p->nick, sizeof(p->nick), "p%s%u", n->name, i);
		if (fresh)
			node_person(n, i, true);
		else if (p->is_here)
			node_claim(n, i);
	}
}

static inline void node_open(struct node *n, bool fresh)
{
	const struct room_settings set = {.log_size = n->t->log_size, .announce_max = 10};
	const struct room_config configured[TEST_ROOMS] = {{.name = "r0", .settings = set},
							   {.name = "r1", .settings = set}};
	static const struct rooms_limits limits = {.rooms = 8};
	static const struct room_guest anybody;
	struct cluster_test *t = n->t;

	assert_int_equal(slots_new(1, &n->slots), 0);
	assert_int_equal(slots_take(n->slots, true, &n->slot), 0);
	assert_int_equal(rooms_open(n->rooms_fd, fresh, n->slots, &n->rooms), 0);
	assert_int_equal(cluster_file_open(n->file_fd, fresh || n->file_is_new, n->name,
					   rooms_private(n->rooms)->epoch, &n->file),
			 0);
	n->file_is_new = false;
	cluster_file_recover(n->file, n->rooms);
	rooms_cluster_reader(n->rooms, n->slot, NULL, NULL);
	assert_int_equal(rooms_cluster(n->rooms, test_has_room, NULL), 0);
	node_open_people(n, fresh);
	const struct core_start start = {.rooms = n->rooms,
					 .roster = n->roster,
					 .slot = n->slot,
					 .kick = &n->kick,
					 .file = n->file,
					 .link = {n, link_subscribe, link_publish, link_send},
					 .node = n->name,
					 .stream = "CHATD",
					 .when_away = t->when_away,
					 .away_after_us = SECOND,
					 .has_room = test_has_room,
					 .now = t->now};
	assert_int_equal(core_new(&start, &n->core), 0);
	assert_int_equal(rooms_configure(n->rooms, configured, TEST_ROOMS, &set, &limits), 0);
	for (unsigned i = 0; i < TEST_ROOMS; i++)
		assert_int_equal(rooms_enter(n->rooms, configured[i].name, 0, &anybody, &n->room[i]), 0);
	for (unsigned i = 0; i < TEST_ROOMS; i++) {
		n->seen[i] = fresh ? 0 : n->seen[i];
		node_take_over(n->room[i]->log, n->seen[i]);
	}
	n->private_seen = fresh ? 0 : n->private_seen;
	node_take_over(rooms_private(n->rooms)->log, n->private_seen);
	rooms_settle(n->rooms, NULL, NULL);
	n->letters = rooms_letters(n->rooms)->epoch;
	n->alive = true;
}

/* What its process had in memory is gone; whatever it had locked stays so. */
static inline void node_kill(struct node *n)
{
	struct core *c = n->core;

	if (n->up)
		node_cut(n);
	queue_clear(&n->events);
	for (uint32_t i = 0; i < ROOMS_CAPACITY; i++)
		free(c->at[i]);
	for (struct gap *g = c->gaps, *next; g; g = next) {
		next = g->next;
		free(g);
	}
	letters_free(c);
	nodes_free(c);
	free(c);
	roster_free(n->roster);
	cluster_file_close(n->file);
	rooms_close(n->rooms);
	slots_free(n->slots);
	n->kick = (struct slot_set){{0}};
	n->alive = false;
}

static inline void node_make(struct node *n)
{
	n->rooms_fd = memfd_new("rooms", rooms_file_size());
	n->file_fd = memfd_new("cluster", cluster_file_size());
	assert_true(n->rooms_fd >= 0 && n->file_fd >= 0);
	node_open(n, true);
}

/* Its machine goes down: nothing of it is left, and its people come anew. */
static inline void node_lose_memory(struct node *n)
{
	node_kill(n);
	close(n->rooms_fd);
	close(n->file_fd);
	for (unsigned i = 0; i < TEST_PEOPLE; i++)
		n->person[i].is_here = false;
	node_make(n);
}

static inline void node_end(struct node *n)
{
	if (n->alive) {
		queue_clear(&n->events);
		core_free(n->core);
		roster_free(n->roster);
		cluster_file_close(n->file);
		rooms_close(n->rooms);
		slots_free(n->slots);
	}
	n->alive = n->up = n->subscribed = false;
	queue_clear(&n->events);
	queue_clear(&n->publishes);
	close(n->rooms_fd);
	close(n->file_fd);
}

/* Somebody there says so many lines; fewer if the room is crowded. */
static inline void node_say(struct node *n, unsigned room, unsigned lines)
{
	static const struct speaker who = {.id = 7, .nick = "alice", .nick_len = 5};
	struct speech s = {0};
	char text[48];

	if (!speech_try(&s, n->rooms, n->room[room]))
		return;
	for (; lines > 0; lines--) {
		int len = snprintf(text, sizeof(text), "%s %u %" PRIu64, n->name, room, n->said[room]);
		if (speech_say(&s, n->room[room], &who, text, (size_t)len) < 0)
			break;
		n->said[room]++;
	}
	speech_commit(&s, n->rooms, &n->kick);
	rooms_kick(n->rooms, &n->kick, 0);
}

/* The same node's sender says something to a person elsewhere, whom it may know as who that was before. */
static inline void node_write(struct node *n, unsigned node, unsigned person, bool is_stale)
{
	static const struct speaker who = {.id = 7, .index = 3, .nick = "alice", .nick_len = 5};
	struct room *letters = rooms_letters(n->rooms);
	struct node *other = &n->t->node[node];
	const struct person *p = &other->person[person];
	struct letters_told *told = &n->told[node][person];
	struct letter_address to = {.id = is_stale ? p->old_id : p->id, .nick_len = (uint8_t)strlen(p->nick)};
	struct speech s = {0};
	char text[32];

	if (room_log_is_crowded(n->rooms, letters))
		return;
	to.boot = other->alive ? rooms_letters(other->rooms)->epoch : 0;
	memcpy(to.node, other->name, strlen(other->name));
	memcpy(to.nick, p->nick, to.nick_len);
	int len = snprintf(text, sizeof(text), "%" PRIu64, told->sent++);
	letter_put(&s, letters, &who, &to, text, (size_t)len);
	speech_commit(&s, n->rooms, &n->kick);
	rooms_kick(n->rooms, &n->kick, 0);
}

/* "* [alice -> you] NUMBER", or a notice. From which node a message is tells its record. */
static inline void node_read_private_line(struct node *n, const struct record *r, const char *line)
{
	struct cluster_test *t = n->t;
	char nick[8];

	if (r->kind == RECORD_NOTICE) {
		assert_int_equal(r->target, 7);
		assert_int_equal(r->target_index, 3);
		const char *to = strstr(line, "message to ");
		assert_non_null(to);
		assert_int_equal(sscanf(to, "message to %7s", nick), 1);
		struct letters_told *told = &n->told[nick[1] - 'a'][nick[2] - '0'];
		told->lost += strstr(line, "could not be delivered") != NULL;
		told->in_doubt += strstr(line, "isn't known") != NULL;
		told->waits += strstr(line, "waits") != NULL;
		return;
	}
	assert_in_range(r->target_index, 0, TEST_PEOPLE - 1);
	for (unsigned i = 0; i < t->n; i++) {
		struct node *from = &t->node[i];
		if (r->from != letter_tag(from->name, strlen(from->name), from->letters))
			continue;
		struct letters_told *told = &from->told[n - t->node][r->target_index];
		uint64_t number = strtoull(line + r->text, NULL, 10);
		if (number < told->next)
			print_error("seed %u: %s: %" PRIu64 " instead of %" PRIu64 "\n", t->seed, n->name,
				    number, told->next);
		assert_true(number >= told->next && number < told->sent);
		told->next = number + 1;
		told->got++;
		return;
	}
	fail_msg("a message from nobody: %s", line);
}

static inline void node_read_private(struct node *n)
{
	struct logring *log = rooms_private(n->rooms)->log;
	struct logring_view v;
	char line[256];

	logring_pin(log, 0, &v);
	assert_true(n->private_seen >= v.first);
	for (; n->private_seen < v.count; n->private_seen++) {
		const struct record *r = logring_record(log, n->private_seen);
		uint64_t start = logring_start(log, &v, n->private_seen);
		assert_true(r->end - start < sizeof(line));
		memcpy(line, logring_at(&v, start), r->end - start);
		line[r->end - start] = '\0';
		node_read_private_line(n, r, line);
		memcpy(n->heard, line, sizeof(line));
	}
	logring_flushed(log, 0, &v);
	logring_unpin(log, 0);
}

static void node_said(uint32_t room, void *arg)
{
	core_said(((struct node *)arg)->core, room);
}

static inline int64_t node_turn(struct node *n)
{
	n->core->now = n->t->now;
	wakeup_take(slots_wakeup(n->slots, n->slot), node_said, n);
	return core_turn(n->core, n->t->now);
}

/* Whoever is in the room gets what is new there. */
static inline void node_read(struct node *n, unsigned room)
{
	struct logring *log = n->room[room]->log;
	struct shown *sh = &n->shown[room];
	struct logring_view v;

	logring_pin(log, 0, &v);
	assert_true(n->seen[room] >= v.first); /* nothing was overrun */
	for (; n->seen[room] < v.count; n->seen[room]++) {
		const struct record *r = logring_record(log, n->seen[room]);
		uint64_t start = logring_start(log, &v, n->seen[room]);
		if (record_is_notice(r)) {
			n->notices++;
			continue;
		}
		if (sh->n == sh->space) {
			sh->space = sh->space ? sh->space * 2 : 256;
			sh->at = realloc(sh->at, sh->space * sizeof(*sh->at));
		}
		size_t len = r->end - start - 1 - r->text;
		assert_true(len < sizeof(*sh->at));
		memcpy(sh->at[sh->n], logring_at(&v, start) + r->text, len);
		sh->at[sh->n++][len] = '\0';
	}
	logring_flushed(log, 0, &v);
	logring_unpin(log, 0);
}

/* The next event, or the next one that the server sends. */
static inline bool node_receive(struct node *n)
{
	struct parcel *p = n->events.first;

	if (p) {
		n->core->now = n->t->now;
		if (!core_event(n->core, &p->event))
			return false; /* crowded */
		parcel_free(queue_take(&n->events));
		return true;
	}
	struct message *m = n->up && n->subscribed ? stream_at(&n->t->stream, n->pos) : NULL;
	if (!m)
		return false;
	const struct nats_event e = {
	    .kind = NATS_MESSAGE, .generation = n->generation, .seq = m->seq, .time_ns = m->time_ns};
	n->pos++;
	queue_add(&n->events, &e, m->subject, m->data, m->len);
	return true;
}

/* The server works on what a node has published last. */
static inline bool node_store(struct node *n, bool can_fail)
{
	struct parcel *p = queue_take(&n->publishes);
	struct nats_event e = {.kind = NATS_REPLY, .generation = n->generation};

	if (!p)
		return false;
	e.id = p->event.id;
	unsigned what = can_fail ? chance(n->t, 12) : 9;
	if (what == 0)
		e.why = "not now";
	else if (what > 1)
		e.seq = stream_store(&n->t->stream, p); /* else it is lost */
	if (what == 2)
		(void)stream_store(&n->t->stream, p); /* twice */
	if (e.id && what != 1 && what != 3)	      /* else the answer is lost */
		queue_add(&n->events, &e, NULL, NULL, 0);
	parcel_free(p);
	return true;
}

static inline void test_store_late(struct cluster_test *t)
{
	struct parcel *p = queue_take(&t->late);

	if (!p)
		return;
	(void)stream_store(&t->stream, p);
	parcel_free(p);
}

/* --- all of them --- */

static inline struct cluster_test *test_new(unsigned n, enum cluster_away when_away, uint64_t log_size,
					    unsigned seed)
{
	struct cluster_test *t = calloc(1, sizeof(*t));

	log_set_level(LOG_EMERG);
	t->n = n;
	t->when_away = when_away;
	t->log_size = log_size;
	t->random = t->seed = seed;
	t->now = 1000 * SECOND;
	t->stream.first = t->stream.next = 1;
	t->stream.time_ns = clock_us(CLOCK_REALTIME) * 1000;
	for (unsigned i = 0; i < n; i++) {
		t->node[i].t = t;
		snprintf(t->node[i].name, sizeof(t->node[i].name), "%c", 'a' + i);
		node_make(&t->node[i]);
	}
	return t;
}

static inline void test_end(struct cluster_test *t)
{
	for (unsigned i = 0; i < t->n; i++) {
		node_end(&t->node[i]);
		for (unsigned r = 0; r < TEST_ROOMS; r++)
			free(t->node[i].shown[r].at);
	}
	queue_clear(&t->late);
	queue_clear(&t->late_plain);
	stream_roll_back(&t->stream, UINT64_MAX);
	free(t->stream.at);
	free(t);
}

static inline bool node_is_quiet(const struct node *n)
{
	return n->core->ready && n->core->n_busy == 0 && !n->core->gaps && !n->events.first &&
	       !n->publishes.first && n->pos == n->t->stream.next && letters_waiting(n->core) == 0;
}

/* Everything works again, until nothing happens any more. */
static inline void test_settle(struct cluster_test *t)
{
	t->has_down = false;
	t->lose_plain = 0;
	queue_clear(&t->late);
	while (t->late_plain.first)
		test_send_late(t);
	for (unsigned turns = 0, quiet = 0; quiet < 30; turns++) {
		bool all = true;
		assert_true(turns < 20000);
		t->now += 50000;
		for (unsigned i = 0; i < t->n; i++) {
			struct node *n = &t->node[i];
			if (!n->alive)
				node_open(n, false);
			if (!n->up)
				node_connect(n);
			(void)node_turn(n);
			while (node_store(n, false))
				;
			for (unsigned k = 0; k < 20 && node_receive(n); k++)
				;
			for (unsigned r = 0; r < TEST_ROOMS; r++)
				node_read(n, r);
			node_read_private(n);
			all &= node_is_quiet(n);
		}
		quiet = all ? quiet + 1 : 0;
	}
}

/* --- what must be --- */

/* Each line of each node is there once, and those of one node are in order. */
static inline void test_check_node(struct cluster_test *t, struct node *n, unsigned room)
{
	uint64_t next[NODES] = {0};

	for (size_t i = 0; i < n->shown[room].n; i++) {
		const char *line = n->shown[room].at[i];
		unsigned from = (unsigned)(line[0] - 'a');
		uint64_t number = strtoull(line + 4, NULL, 10);
		assert_true(from < t->n);
		if (number != next[from])
			print_error("seed %u: node %s, room %u, line %zu: %s instead of %" PRIu64 "\n",
				    t->seed, n->name, room, i, line, next[from]);
		assert_int_equal(number, next[from]);
		next[from]++;
	}
	for (unsigned i = 0; i < t->n; i++) {
		if (next[i] != t->node[i].said[room])
			print_error("node %s, room %u: %" PRIu64 " of %" PRIu64 " lines of node %s\n",
				    n->name, room, next[i], t->node[i].said[room], t->node[i].name);
		assert_int_equal(next[i], t->node[i].said[room]);
	}
}

/* Each private message has come once, or its sender was told that it has not. */
static inline void test_check_private(struct cluster_test *t, struct node *n)
{
	for (unsigned i = 0; i < t->n; i++)
		for (unsigned p = 0; p < TEST_PEOPLE; p++) {
			const struct letters_told *told = &n->told[i][p];
			if (told->got + told->lost != told->sent)
				print_error("seed %u: %s to %s: %" PRIu64 " sent, %" PRIu64 " came, %" PRIu64
					    " lost\n",
					    t->seed, n->name, t->node[i].person[p].nick, told->sent,
					    told->got, told->lost);
			assert_int_equal(told->got + told->lost, told->sent);
			assert_int_equal(told->in_doubt, 0);
		}
}

static inline void test_check(struct cluster_test *t, bool one_order)
{
	for (unsigned i = 0; i < t->n; i++)
		test_check_private(t, &t->node[i]);
	for (unsigned r = 0; r < TEST_ROOMS; r++) {
		for (unsigned i = 0; i < t->n; i++)
			test_check_node(t, &t->node[i], r);
		const struct shown *a = &t->node[0].shown[r];
		for (unsigned i = 1; one_order && i < t->n; i++)
			for (size_t k = 0; k < a->n; k++)
				assert_string_equal(a->at[k], t->node[i].shown[r].at[k]);
	}
}

#endif
