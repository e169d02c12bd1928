/* SPDX-License-Identifier: MIT */
/* How a question is answered: by a store that only reads, which is opened anew when the database is another one. */
#include "daemon/history/questions_own.h"

#include "daemon/base/fault.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Under the lock, because of who interrupts it. Returns the one before. */
static struct store *lookup_set_store(struct questions *qs, struct store *s)
{
	pthread_mutex_lock(&qs->lock);
	struct store *old = qs->store;
	qs->store = s;
	pthread_mutex_unlock(&qs->lock);
	return old;
}

/* Tries again with the next question. */
static int lookup_fail(struct questions *qs, struct answer *a, int error, const char *why)
{
	a->error = error;
	snprintf(a->why, sizeof(a->why), "%s", why && *why ? why : strerror(-error));
	store_close(lookup_set_store(qs, NULL));
	return error;
}

/* The database may have been set aside, and another one begun under its name. */
static int lookup_reach(struct questions *qs, struct answer *a)
{
	struct stat st;
	char why[STORE_WHY_MAX] = "";

	if (stat(qs->database, &st) < 0)
		return lookup_fail(qs, a, -errno, NULL);
	if (qs->store && st.st_dev == qs->file.st_dev && st.st_ino == qs->file.st_ino)
		return 0;
	store_close(lookup_set_store(qs, NULL));
	qs->file = st;
	struct store *s = NULL;
	int r = store_open(qs->database, STORE_READ, 0, &s, why);
	if (r < 0)
		return lookup_fail(qs, a, r, why);
	lookup_set_store(qs, s);
	return 0;
}

/* A copy of the message that needs nothing else. */
static struct store_message *lookup_copy(const struct store_message *m)
{
	size_t room = m->room ? strlen(m->room) + 1 : 0, nick = m->event.nick_len, text = m->event.text_len;
	struct store_message *copy = malloc(sizeof(*copy) + room + nick + text);

	if (!copy)
		return NULL;
	char *at = (char *)(copy + 1);
	*copy = *m;
	copy->room = m->room ? memcpy(at, m->room, room) : NULL;
	copy->event.nick = nick > 0 ? memcpy(at + room, m->event.nick, nick) : at;
	copy->event.text = text > 0 ? memcpy(at + room + nick, m->event.text, text) : at;
	return copy;
}

/* False: no more of them. */
static bool lookup_found(const struct store_message *m, void *arg)
{
	struct question *q = arg;
	struct answer *a = &q->answer;
	size_t bytes = m->event.text_len + m->event.nick_len;

	if (atomic_load_explicit(&q->dropped, memory_order_relaxed))
		return false;
	if (a->n == q->messages || (a->n > 0 && q->answer_bytes + bytes > q->bytes)) {
		a->more = true;
		return false;
	}
	if (a->n % 64 == 0) {
		struct store_message **more = reallocarray(a->at, a->n + 64, sizeof(*more));
		if (!more)
			goto out_of_memory;
		a->at = more;
	}
	struct store_message *copy = lookup_copy(m);
	if (!copy)
		goto out_of_memory;
	a->at[a->n++] = copy;
	q->answer_bytes += bytes;
	return true;

out_of_memory:
	a->more = true;
	a->error = -ENOMEM;
	return false;
}

/* Whoever was interrupted was meant, unless that came too late for another one. */
static bool lookup_goes_on(struct questions *qs, const struct question *q)
{
	pthread_mutex_lock(&qs->lock);
	bool quit = qs->quit;
	pthread_mutex_unlock(&qs->lock);
	return !quit && !atomic_load(&q->dropped);
}

struct lookup_probe {
	int64_t id; /* 0: there is none */
	uint64_t number;
};

static bool lookup_probed(const struct store_message *m, void *arg)
{
	*(struct lookup_probe *)arg = (struct lookup_probe){m->id, m->number};
	return false;
}

/* The first message behind that id (0: of all), or the newest. */
static int lookup_probe(struct questions *qs, const char *room, bool newest, int64_t after,
			struct lookup_probe *ret)
{
	const struct store_query query = {
	    .room = room, .after = after, .oldest_first = !newest, .notices = true, .limit = 1};

	*ret = (struct lookup_probe){0, 0};
	return store_read(qs->store, &query, lookup_probed, ret);
}

/*
 * In a room numbers grow with the ids. Finds from which id on they are not below number (0: nowhere), in as many
 * steps as the ids have bits.
 */
static int lookup_find_number(struct questions *qs, const char *room, uint64_t number, int64_t *ret)
{
	struct lookup_probe p;
	int64_t low = 0, high; /* up to low they are below number, from high on they are not */
	int r = lookup_probe(qs, room, true, 0, &p);

	*ret = 0;
	if (r < 0 || p.id == 0 || p.number < number)
		return r;
	for (high = p.id; high - low > 1;) {
		int64_t middle = low + (high - low) / 2;
		r = lookup_probe(qs, room, false, middle - 1, &p);
		if (r < 0)
			return r;
		if (p.id == 0 || p.id >= high || p.number >= number)
			high = middle;
		else
			low = p.id;
	}
	*ret = high;
	return 0;
}

/* --- what is missing --- */

/* What is told of an answer; so many are looked at. */
#define LOOKUP_GAPS_MAX 64
#define LOOKUP_GAPS_LOOKS 10000

struct lookup_gaps {
	struct answer *a;
	uint64_t from, to; /* numbers */
	unsigned looks;
};

static bool lookup_found_gap(const struct store_gap *g, void *arg)
{
	struct lookup_gaps *l = arg;
	struct answer *a = l->a;

	if (++l->looks > LOOKUP_GAPS_LOOKS || g->end <= l->from || a->n_gaps == LOOKUP_GAPS_MAX)
		return false;
	if (g->first < l->to)
		a->gaps[a->n_gaps++] = (struct answer_gap){g->first, g->end, g->time_us};
	return true;
}

/* Whether it asks for all that was said in one room. */
static bool lookup_is_whole(const struct question_request *r)
{
	return r->query.room && !r->query.nick && !r->query.text && r->query.before == 0;
}

static int lookup_gaps(struct questions *qs, struct question *q)
{
	const struct question_request *r = &q->request;
	struct answer *a = &q->answer;
	struct lookup_gaps l = {.a = a,
				.from = r->after_number > 0 ? r->after_number + 1 : 0,
				.to = r->before_number > 0 ? r->before_number : UINT64_MAX};

	if (!lookup_is_whole(r))
		return 0;
	/* What lies behind the last message is told with those that follow. */
	if (a->more && a->n > 0)
		*(r->query.oldest_first ? &l.to : &l.from) = a->at[a->n - 1]->number;
	a->gaps = calloc(LOOKUP_GAPS_MAX, sizeof(*a->gaps));
	return a->gaps ? store_gaps(qs->store, r->query.room, lookup_found_gap, &l) : -ENOMEM;
}

/* One try. */
static int lookup_read(struct questions *qs, struct question *q)
{
	struct store_query query = q->request.query;
	int64_t before = 0, from = 0;

	question_forget_answer(q);
	/* Before anything else: what is stored meanwhile is found all the same. */
	if (lookup_is_whole(&q->request)) {
		struct answer *a = &q->answer;
		int r = store_room_next(qs->store, query.room, &a->epoch, &a->next);
		if (r < 0 && r != -ENOENT)
			return r;
	}
	if (q->request.before_number > 0 && query.room) {
		int r = lookup_find_number(qs, query.room, q->request.before_number, &before);
		if (r < 0)
			return r;
	}
	if (before > 0 && (query.before == 0 || query.before > before))
		query.before = before;
	if (q->request.after_number > 0 && query.room) {
		int r = lookup_find_number(qs, query.room, q->request.after_number + 1, &from);
		if (r < 0)
			return r;
		if (from == 0) /* nothing is behind it, unless it is missing */
			return lookup_gaps(qs, q);
		query.after = from - 1;
	}
	query.time_limit_us = q->time_limit_us;
	query.limit = q->messages + 1; /* to know whether there is more */
	int r = store_read(qs->store, &query, lookup_found, q);
	if (r == 0)
		r = q->answer.error;
	return r == 0 ? lookup_gaps(qs, q) : r;
}

void lookup_run(struct questions *qs, struct question *q)
{
	struct answer *a = &q->answer;
	int r = -EINTR;

	FAULT("question-begun");
	if (lookup_reach(qs, a) < 0)
		return;
	while (r == -EINTR && lookup_goes_on(qs, q))
		r = lookup_read(qs, q);
	FAULT("question-found");
	if (r == -ETIME || r == -EINVAL || r == -ENOMEM) {
		a->error = r;
		a->more |= r == -ETIME;
		snprintf(a->why, sizeof(a->why), "%s",
			 r == -ENOMEM ? strerror(ENOMEM) : store_why(qs->store));
	} else if (r < 0 && r != -EINTR) {
		lookup_fail(qs, a, r, store_why(qs->store));
	}
}

void lookup_end(struct questions *qs)
{
	store_close(lookup_set_store(qs, NULL));
}
