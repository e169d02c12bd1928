/* SPDX-License-Identifier: MIT */
/*
 * How a UDP registry's members get the news of the room and their private messages: in batches, from the log,
 * and as segments of one send where the kernel can do that.
 */
#include "daemon/base/fault.h"
#include "daemon/engine/transaction.h"
#include "daemon/modes/udp_registry.h"

#include <errno.h>

/* What begins with '#' is the server's word over UDP, so a message that does gets one more. */
static bool registry_is_stuffed(const struct logring_view *v, uint64_t start)
{
	return *logring_at(v, start) == '#';
}

/* The messages from seq on that fit one send: one, or several of the same length as segments of one. */
static uint64_t registry_gather(const struct udp_listener *u, struct logring *log,
				const struct logring_view *v, uint64_t seq, struct udp_out *o)
{
	uint64_t start = logring_start(log, v, seq), end = logring_record(log, seq)->end, n = 1;
	uint64_t len = end - start;

	o->data = logring_at(v, start);
	o->segment = 0;
	o->stuffed = registry_is_stuffed(v, start);
	if (udp_has_segments(u) && len <= UDP_SEGMENT_MAX && !o->stuffed)
		for (; seq + n < v->count && n < UDP_SEGMENTS_MAX; n++) {
			uint64_t next = logring_record(log, seq + n)->end;
			if (next - end > len || next - start > UDP_SEGMENTED_MAX ||
			    registry_is_stuffed(v, end))
				break;
			bool last = next - end < len; /* the last segment may be shorter */
			end = next;
			if (last) {
				n++;
				break;
			}
		}
	o->len = end - start;
	if (n > 1)
		o->segment = (uint16_t)len;
	return n;
}

/* What is in a batch, for when its results are known. */
struct registry_batch {
	struct udp_out out[UDP_BATCH];
	struct member *members[UDP_BATCH];
	uint64_t end[UDP_BATCH], count[UDP_BATCH];
	size_t n;
};

/* False if the socket is full: the rest comes later. */
static bool registry_send_batch(struct udp_listener *u, struct registry_batch *b)
{
	bool all = true;

	if (b->n == 0)
		return true;
	udp_send(u, b->out, b->n);
	FAULT("udp-sent");
	for (size_t i = 0; i < b->n; i++) {
		struct member *m = b->members[i];
		int e = b->out[i].error;
		if (e == -EAGAIN || e == -EOPNOTSUPP) {
			all = false;
			continue;
		}
		if (m->seq != b->end[i] - b->count[i])
			continue; /* behind one that could not be sent */
		m->seq = b->end[i];
		if (e == 0)
			m->sent += b->out[i].len;
		else
			m->dropped += b->count[i];
		atomic_store_explicit(&m->client->sent_seq, m->seq, memory_order_relaxed);
	}
	b->n = 0;
	return all;
}

bool registry_deliver_room(struct udp_listener *u)
{
	struct registry *g = udp_data(u);
	struct logring *log = g->room->log;
	struct logring_view v;
	struct registry_batch b = {.n = 0};
	bool all = true;

	logring_pin(log, registry_context(u)->slot, &v);
	for (struct member *m = members_oldest(g->members); m && all; m = m->newer) {
		if (m->seq < v.first) {
			/* Datagrams may be lost; a slow socket doesn't hold the room. */
			m->dropped += v.first - m->seq;
			udp_count_dropped(u, v.first - m->seq);
			m->seq = v.first;
		}
		for (uint64_t seq = m->seq; seq < v.count && all;) {
			struct udp_out *o = &b.out[b.n];
			*o = (struct udp_out){.to = &m->address, .local = &m->local};
			uint64_t n = registry_gather(u, log, &v, seq, o);
			seq += n;
			b.members[b.n] = m;
			b.end[b.n] = seq;
			b.count[b.n++] = n;
			if (b.n == UDP_BATCH)
				all = registry_send_batch(u, &b);
		}
	}
	if (all)
		all = registry_send_batch(u, &b);
	logring_flushed(log, registry_context(u)->slot, &v);
	logring_unpin(log, registry_context(u)->slot);
	return all;
}

static void registry_deliver_private(struct udp_listener *u)
{
	struct registry *g = udp_data(u);
	struct logring *log = rooms_private(registry_shared(u)->rooms)->log;
	struct logring_view v;

	logring_lock(log);
	logring_peek(log, &v);
	if (g->private_seq < v.first) {
		udp_count_dropped(u, v.first - g->private_seq);
		g->private_seq = v.first;
	}
	/* What the socket doesn't take now is sent when it does. */
	for (; g->private_seq < v.count && !udp_is_blocked(u); g->private_seq++) {
		uint64_t i = g->private_seq;
		const struct record *r = logring_record(log, i);
		struct member *m = members_at(g->members, r->target_index);
		if (!m || m->client->id != r->target || i < registry_state(m)->private_seq)
			continue;
		uint64_t start = logring_start(log, &v, i);
		struct udp_out o = {.to = &m->address,
				    .local = &m->local,
				    .data = logring_at(&v, start),
				    .len = r->end - start};
		udp_send(u, &o, 1);
		if (o.error == -EAGAIN)
			break;
		transaction_begin(registry_shared(u)->clients, m->client)->private_seq = i + 1;
		transaction_commit(registry_context(u), m->client, NULL);
	}
	logring_unlock(log);
}

void registry_deliver(struct udp_listener *u, uint32_t room)
{
	struct registry *g = udp_data(u);

	if (room == ROOM_PRIVATE || room == ROOM_NONE)
		registry_deliver_private(u);
	if (room == ROOM_PRIVATE)
		return;
	if (members_count(g->members) == 0 || (room != ROOM_NONE && room != g->room->index))
		return;
	if (udp_is_blocked(u)) {
		/* A full socket doesn't hold the room up. */
		logring_caught_up(g->room->log, registry_context(u)->slot);
		return;
	}
	/* Segments may turn out not to work; then once more without. */
	if (!registry_deliver_room(u) && !udp_is_blocked(u))
		registry_deliver_room(u);
}
