/* SPDX-License-Identifier: MIT */
/* Renderings of events, once for all members in a form; and again, to find out how far a process before had got. */
#include "daemon/engine/rendering.h"

#include "common/cleanup.h"
#include "daemon/base/fault.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Forms that one room's members have at a time; those of more are served one by one. */
#define RENDERINGS_FORMS 16
/* What is sent to all of them before the next part is rendered; the longest event fits with some to spare. */
#define RENDERING_SIZE (512U << 10)
#define RENDERING_EVENTS 8192
/* What is rendered at a time for one that is late. */
#define RENDERING_LATE_SIZE (64U << 10)

_Static_assert(HANDLER_RENDERED_MAX(RENDERED_LINE_MAX) + RENDERING_LATE_SIZE < RENDERING_SIZE,
	       "there is always space for one event");

/* Events first .. first + n - 1: the i-th one ends at ends[i] in data. */
struct rendering {
	struct audience to;
	uint64_t first;
	uint32_t n;
	uint32_t ends[RENDERING_EVENTS];
	char data[RENDERING_SIZE];
};

struct renderings {
	const struct shared *shared;
	/* Of the room under delivery, or the last one, from the same event on. */
	const struct room *room;
	uint64_t first;
	bool delivering;
	unsigned n_fresh;
	struct rendering fresh[RENDERINGS_FORMS];
	struct rendering late;
	char one[HANDLER_RENDERED_MAX(RENDERED_LINE_MAX)];
	/* For renderings_recover(): where the events from first on end, counted in bytes of rendering. */
	struct measure {
		struct audience to;
		uint64_t first;
		size_t n, capacity;
		uint64_t *ends;
	} measure;
};

int renderings_new(const struct shared *shared, struct renderings **ret)
{
	*ret = calloc(1, sizeof(**ret));
	if (!*ret)
		return -ENOMEM;
	(*ret)->shared = shared;
	return 0;
}

void renderings_free(struct renderings *rs)
{
	if (rs)
		free(rs->measure.ends);
	free(rs);
}

static bool rendering_is_to(const struct audience *a, const struct audience *b)
{
	return a->handler == b->handler && a->form == b->form && a->room == b->room;
}

/* To out, which has space for the longest one. */
static size_t rendering_make(const struct renderings *rs, const struct audience *to, uint64_t seq,
			     const struct record *event, const char *line, size_t len, char *out)
{
	if (event->forgotten || len > RENDERED_LINE_MAX)
		return 0;
	size_t n = to->handler->render(rs->shared, to->form, to->room, seq, event, line, len, out);
	if (n > HANDLER_RENDERED_MAX(len))
		abort(); /* and a crash is recovered from */
	return n <= RENDERED_MAX ? n : 0;
}

size_t renderings_event(struct renderings *rs, const struct audience *to, uint64_t seq,
			const struct record *event, const char *line, size_t len, const char **ret)
{
	*ret = rs->one;
	return rendering_make(rs, to, seq, event, line, len, rs->one);
}

size_t renderings_letter(struct renderings *rs, const struct handler *handler, struct connection *c,
			 uint64_t seq, const struct record *event, const char *line, size_t len,
			 const char **ret)
{
	*ret = rs->one;
	if (event->forgotten || len > RENDERED_LINE_MAX)
		return 0;
	size_t n = handler->letter(c, seq, event, line, len, rs->one);
	return n <= RENDERED_MAX ? n : 0;
}

/* --- for members --- */

static size_t rendering_len(const struct rendering *r)
{
	return r->n > 0 ? r->ends[r->n - 1] : 0;
}

/* Renders what is new, until there is more than most of it, or something forgotten is next. */
static void rendering_extend(const struct renderings *rs, struct rendering *r, const struct logring_view *v,
			     size_t most)
{
	const struct logring *log = r->to.room->log;
	uint64_t seq = r->first + r->n;
	uint64_t start = seq < v->count ? logring_start(log, v, seq) : 0;
	size_t len = rendering_len(r);

	for (; seq < v->count && r->n < RENDERING_EVENTS && len < most; seq++) {
		const struct record *event = logring_record(log, seq);
		size_t line = event->end - start;
		if (event->forgotten ||
		    (line <= RENDERED_LINE_MAX && HANDLER_RENDERED_MAX(line) > RENDERING_SIZE - len))
			break;
		len += rendering_make(rs, &r->to, seq, event, logring_at(v, start), line, r->data + len);
		r->ends[r->n++] = (uint32_t)len;
		start = event->end;
	}
}

static struct rendered rendering_from(const struct rendering *r, uint64_t seq)
{
	uint32_t i = (uint32_t)(seq - r->first), start = i > 0 ? r->ends[i - 1] : 0;

	return (struct rendered){.of = r,
				 .first = seq,
				 .next = r->first + r->n,
				 .data = r->data + start,
				 .len = rendering_len(r) - start};
}

void renderings_begin(struct renderings *rs, const struct room *room, uint64_t first)
{
	rs->room = room;
	rs->first = first;
	rs->n_fresh = 0;
	rs->delivering = true;
}

void renderings_forget(struct renderings *rs)
{
	rs->room = NULL;
	rs->n_fresh = 0;
	rs->late.n = 0;
	rs->late.to.room = NULL;
	rs->measure.n = 0;
	rs->measure.to.room = NULL;
}

bool renderings_advance(struct renderings *rs, const struct logring_view *v)
{
	uint64_t next = v->count;

	for (unsigned i = 0; i < rs->n_fresh; i++)
		if (rs->fresh[i].first + rs->fresh[i].n < next)
			next = rs->fresh[i].first + rs->fresh[i].n;
	rs->delivering = rs->n_fresh > 0 && next < v->count;
	if (!rs->delivering)
		return false;
	/* Something forgotten was next, and all have gone past it. */
	if (next == rs->first)
		next++;
	rs->first = next;
	rs->n_fresh = 0;
	return true;
}

/* The one for all of them; NULL: there is none, or there are too many forms. */
static struct rendering *renderings_fresh(struct renderings *rs, const struct audience *to,
					  const struct logring_view *v)
{
	for (unsigned i = 0; i < rs->n_fresh; i++)
		if (rendering_is_to(&rs->fresh[i].to, to))
			return &rs->fresh[i];
	if (!rs->delivering || rs->n_fresh == RENDERINGS_FORMS)
		return NULL;
	struct rendering *r = &rs->fresh[rs->n_fresh++];
	r->to = *to;
	r->first = rs->first;
	r->n = 0;
	rendering_extend(rs, r, v, RENDERING_SIZE / 2);
	return r;
}

struct rendered renderings_get(struct renderings *rs, const struct audience *to, const struct logring_view *v,
			       uint64_t seq, bool *ret_lasts)
{
	struct rendering *r = NULL;

	if (rs->room == to->room && rs->first <= seq)
		r = renderings_fresh(rs, to, v);
	*ret_lasts = r && seq < r->first + r->n;
	if (*ret_lasts)
		return rendering_from(r, seq);
	r = &rs->late;
	/* Others that are as late have been here. */
	if (!rendering_is_to(&r->to, to) || seq < r->first || seq >= r->first + r->n) {
		r->to = *to;
		r->first = seq;
		r->n = 0;
		rendering_extend(rs, r, v, RENDERING_LATE_SIZE);
	}
	return rendering_from(r, seq);
}

static size_t rendered_end(const struct rendered *r, uint64_t seq)
{
	return (size_t)(r->of->data + r->of->ends[seq - r->of->first] - r->data);
}

struct rendered rendered_before(const struct rendered *r, uint64_t seq)
{
	struct rendered before = *r;

	before.next = seq;
	before.len = seq > r->first ? rendered_end(r, seq - 1) : 0;
	return before;
}

uint64_t rendered_events(const struct rendered *r, size_t n, size_t *ret_cut)
{
	uint64_t low = r->first, high = r->next;

	/* The first one that doesn't end within n. */
	while (low < high) {
		uint64_t mid = low + (high - low) / 2;
		if (rendered_end(r, mid) <= n)
			low = mid + 1;
		else
			high = mid;
	}
	*ret_cut = n - (low > r->first ? rendered_end(r, low - 1) : 0);
	return low - r->first;
}

const char *rendered_event(const struct rendered *r, uint64_t seq, size_t *ret_len)
{
	size_t start = seq > r->first ? rendered_end(r, seq - 1) : 0;

	*ret_len = rendered_end(r, seq) - start;
	return r->data + start;
}

/* --- for who takes over --- */

static bool measure_add(struct measure *m, uint64_t end)
{
	if (m->n == m->capacity) {
		size_t capacity = m->capacity ? 2 * m->capacity : 1024;
		uint64_t *ends = realloc(m->ends, capacity * sizeof(*ends));
		if (!ends)
			return false;
		m->ends = ends;
		m->capacity = capacity;
	}
	m->ends[m->n++] = end;
	return true;
}

/* Measures on up to the event with which they are target bytes. */
static const char *measure_extend(struct renderings *rs, const struct logring_view *v, uint64_t target)
{
	struct measure *m = &rs->measure;
	const struct logring *log = m->to.room->log;
	uint64_t end = m->n > 0 ? m->ends[m->n - 1] : 0;

	while (end < target) {
		uint64_t seq = m->first + m->n;
		if (seq >= v->count)
			return "its output doesn't add up";
		const struct record *event = logring_record(log, seq);
		if (event->forgotten)
			return "what it was sent is forgotten";
		uint64_t start = logring_start(log, v, seq);
		end +=
		    rendering_make(rs, &m->to, seq, event, logring_at(v, start), event->end - start, rs->one);
		if (!measure_add(m, end))
			return "out of memory";
	}
	return NULL;
}

const char *renderings_recover(struct renderings *rs, const struct audience *to, const struct logring_view *v,
			       struct position from, uint64_t sent, struct position *ret, size_t *ret_cut)
{
	const struct logring *log = to->room->log;
	struct measure *m = &rs->measure;

	*ret = from;
	*ret_cut = 0;
	if (sent == 0)
		return NULL;
	if (from.seq < v->first || from.seq >= v->count || logring_start(log, v, from.seq) != from.cursor)
		return "what it was sent is gone";
	if (!rendering_is_to(&m->to, to) || from.seq < m->first || from.seq > m->first + m->n) {
		m->to = *to;
		m->first = from.seq;
		m->n = 0;
	}
	size_t low = from.seq - m->first;
	uint64_t base = low > 0 ? m->ends[low - 1] : 0;
	const char *why =
	    sent > UINT64_MAX - base ? "its output doesn't add up" : measure_extend(rs, v, base + sent);
	if (why)
		return why;
	/* The first event that doesn't end within what was sent. */
	size_t high = m->n;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		if (m->ends[mid] <= base + sent)
			low = mid + 1;
		else
			high = mid;
	}
	*ret_cut = base + sent - (low > 0 ? m->ends[low - 1] : 0);
	ret->seq = m->first + low;
	ret->cursor = ret->seq < v->count ? logring_start(log, v, ret->seq) : v->head;
	return NULL;
}
