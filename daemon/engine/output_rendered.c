/* SPDX-License-Identifier: MIT */
/*
 * What members are sent whose handler renders the room's events: parts of the worker's renderings, which are made once
 * for all of them (rendering.h). Until a place is committed, how far each has got is known by what its kernel took.
 */
#include "daemon/engine/connection_own.h"

#include "daemon/base/fault.h"

void output_tell_place(struct connection *c)
{
	if (c->untold == 0 || c->phase >= PHASE_DOOMED || output_is_pending(c))
		return;
	connection_begin(c);
	connection_commit(c, NULL);
}

/* All before message number seq was sent. */
static void output_move_to(struct connection *c, const struct logring_view *v, uint64_t seq)
{
	uint64_t pos = seq < v->count ? logring_start(c->room->log, v, seq) : v->head;

	c->untold += (uint32_t)logring_weight(pos - c->pos, seq - c->seq);
	c->pos = pos;
	c->seq = seq;
	c->behind = seq < v->count;
}

/*
 * After a send of a rendering. What is not committed of it, a successor finds out from the log, so it is committed
 * before the log has it no more. Who is slow may be as far behind as that: at once. Holds the pin.
 */
void output_sent_rendered(struct connection *c, const struct logring_view *v, const struct rendered *r,
			  ssize_t n)
{
	const uint64_t share = logring_size(c->room->log) / RENDERING_UNTOLD_SHARE;
	size_t cut, len;

	FAULT("send-rendered");
	n = output_took(c, n);
	if (n < 0)
		return;
	output_move_to(c, v, r->first + rendered_events(r, (size_t)n, &cut));
	if ((size_t)n == r->len) {
		if (c->untold > (share < RENDERING_UNTOLD_MAX ? share : RENDERING_UNTOLD_MAX))
			output_tell_place(c);
		return;
	}
	FAULT("send-rendered-cut");
	connection_begin(c);
	if (cut > 0) {
		const char *event = rendered_event(r, c->seq, &len);
		connection_go_on_at(c,
				    (struct position){logring_record(c->room->log, c->seq)->end, c->seq + 1});
		connection_write_wire(c, event + cut, len - cut);
	}
	connection_commit(c, NULL);
	output_was_cut(c);
}

/* What was sent up to something that is forgotten can be rendered again, what is behind it as well; but not both at once. */
static void output_pass_forgotten(struct connection *c)
{
	const struct position behind = {logring_record(c->room->log, c->seq)->end, c->seq + 1};

	connection_begin(c);
	connection_go_on_at(c, behind);
	connection_commit(c, NULL);
}

static bool output_shows_at(struct connection *c, const struct logring_view *v, uint64_t seq)
{
	const struct record *event = logring_record(c->room->log, seq);
	uint64_t start = logring_start(c->room->log, v, seq);

	return output_shows(c, c->room, seq, event, logring_at(v, start), event->end - start);
}

/*
 * A rendering is everybody's, so what this member isn't shown of it is gone past by a commit, as what is forgotten is: up
 * to there, it can be made again. Cuts *r in front of that; false: it is what comes next, and it was gone past.
 */
static bool output_leave_out(struct connection *c, const struct logring_view *v, struct rendered *r)
{
	uint64_t seq = r->first;

	while (seq < r->next && output_shows_at(c, v, seq))
		seq++;
	if (seq == r->next)
		return true;
	if (seq > r->first) {
		*r = rendered_before(r, seq);
		return true;
	}
	while (seq + 1 < r->next && !output_shows_at(c, v, seq + 1))
		seq++;
	connection_begin(c);
	connection_go_on_at(c, (struct position){logring_record(c->room->log, seq)->end, seq + 1});
	connection_commit(c, NULL);
	return false;
}

/* What it is sent next, be it nothing that is shown; false: it has all. Holds the pin. */
static bool output_next_rendered(struct connection *c, const struct logring_view *v, struct rendered *ret,
				 bool *ret_lasts)
{
	const struct audience to = writing_audience(c, c->room);

	while (c->seq < v->count) {
		*ret = renderings_get(c->ctx->connections->renderings, &to, v, c->seq, ret_lasts);
		if (ret->next == c->seq)
			output_pass_forgotten(c);
		else if (c->handler->sees && !output_leave_out(c, v, ret))
			continue;
		else if (ret->len == 0)
			output_move_to(c, v, ret->next);
		else
			return true;
	}
	c->behind = false;
	return false;
}

void output_send_rendered(struct connection *c, const struct logring_view *v)
{
	struct rendered r;
	bool lasts;

	if (output_next_rendered(c, v, &r, &lasts))
		output_sent_rendered(c, v, &r, output_transmit(c, r.data, r.len));
}

bool output_restore_rendered(struct connection *c, const struct logring_view *v, uint64_t straight)
{
	struct renderings *renderings = c->ctx->connections->renderings;
	const struct audience to = writing_audience(c, c->room);
	const struct position from = {c->pos, c->seq};
	struct position at;
	size_t cut, len;
	const char *event;

	if (renderings_recover(renderings, &to, v, from, straight, &at, &cut))
		return false;
	FAULT("recover-rendered");
	c->pos = at.cursor;
	c->seq = at.seq;
	connection_begin(c);
	if (cut > 0) {
		const struct record *r = logring_record(c->room->log, c->seq);
		len = renderings_event(renderings, &to, c->seq, r, logring_at(v, c->pos), r->end - c->pos,
				       &event);
		connection_go_on_at(c, (struct position){r->end, c->seq + 1});
		connection_write_wire(c, event + cut, len - cut);
	}
	connection_commit(c, NULL);
	return true;
}

void output_prepare_rendered(struct connection *c, const struct logring_view *v, struct output_batch *b)
{
	struct send_op *op = &b->ops[b->n];
	struct rendered *r = &b->parts[b->n];
	bool lasts;

	if (!output_next_rendered(c, v, r, &lasts))
		return;
	*op = (struct send_op){.fd = c->stream.fd, .data = r->data, .len = r->len, .user = c};
	if (lasts && !c->unheard && stream_prepare(&c->stream, &op->data, &op->len)) {
		b->n++;
		return;
	}
	output_sent_rendered(c, v, r, output_transmit(c, r->data, r->len));
	if (c->behind && !c->blocked)
		connection_retry(c);
	connection_rewatch(c);
}
