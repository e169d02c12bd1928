/* SPDX-License-Identifier: MIT */
/*
 * How the next process goes on with a TLS stream. All of what it finds is checked before it is used; what a death
 * left in a worker's scratch is brought to the client's rests, in steps that may be cut as well.
 */
#include "daemon/io/tls_stream_own.h"

#include "common/cleanup.h"
#include "daemon/base/fault.h"

#include <stdlib.h>
#include <string.h>

/* RFC 6066, 4. */
#define FRAGMENT_MIN 512

static const char *tls_check_state(const struct tls_place *place)
{
	const struct tls_state *s = place->state;
	const struct tls_half *h = tls_live(s);

	if (s->suite.version == 0)
		return "its TLS ends with its process";
	if (atomic_load(&s->live) > 1 || tls_suite_check(&s->suite) < 0 ||
	    h->check != tls_half_check(s, h, place->id) || h->flags & ~(uint32_t)TLS_FLAGS ||
	    tls_part(h->flags) > TLS_PART_MAX || s->fragment < FRAGMENT_MIN || s->fragment > TLS_PLAIN_MAX ||
	    h->out_base > h->out_end || h->out_end - h->out_base > TLS_REST_SIZE)
		return "its TLS state is damaged";
	if (!place->secrets)
		return "its TLS secrets are gone";
	for (enum tls_direction d = TLS_IN; d <= TLS_OUT; d++) {
		unsigned slot = tls_slot(h->flags, d);
		if (place->secrets->check[d][slot] != tls_secret_check(place, d, slot))
			return "its TLS secrets are gone";
	}
	return NULL;
}

/* What the kernel counts against what was committed. */
static const char *tls_check_progress(const struct tls_half *h, struct tls_progress *p)
{
	if (p->over)
		p->sent = h->out_end;
	else if (p->closing && h->flags & TLS_BYE && p->sent == h->out_end + 1)
		p->sent--; /* the FIN */
	if (p->sent < h->out_base || p->sent > h->out_end)
		return "its TLS output doesn't add up";
	if (p->closing || h->flags & (TLS_BROKEN | TLS_PEER_BYE))
		return NULL;
	if (p->received < h->in_at || p->received - h->in_at > TLS_REST_SIZE)
		return "its TLS input doesn't add up";
	return NULL;
}

/* What a worker had received, and not opened yet. */
static const char *tls_recover_input(struct tls_stream *t, struct tls_scratch *scratches, unsigned n,
				     uint64_t received)
{
	const struct tls_half *h = tls_true(t);

	if (h->flags & (TLS_BROKEN | TLS_PEER_BYE))
		return NULL;
	t->rest = (uint32_t)(received - h->in_at);
	t->again = t->rest > 0;
	for (unsigned i = 0; i < n; i++) {
		struct tls_mark *m = &scratches[i].in;
		if (atomic_load(&m->owner) != tls_mark_owner(m, t->place.id))
			continue;
		if (m->at != 0 || m->size != TLS_REST_SIZE || h->in_at < m->base ||
		    received - m->base > TLS_REST_SIZE)
			return "its TLS input is missing";
		memcpy(tls_rest(t, TLS_IN), scratches[i].in_data + (h->in_at - m->base), t->rest);
		FAULT("tls-recover-in");
		atomic_store(&m->owner, 0);
	}
	return NULL;
}

/* Where what is to be sent lies in the scratch, or NULL. */
static const uint8_t *tls_find_sealed(const struct tls_stream *t, struct tls_scratch *s)
{
	const struct tls_half *h = tls_true(t);
	uint64_t size = h->out_end - h->out_base;

	for (unsigned i = 0; i < 1 + TLS_BATCH; i++) {
		const struct tls_mark *m = &s->out[i];
		if (m->base == h->out_base && m->size >= size && m->at <= sizeof(s->out_data) &&
		    m->size <= sizeof(s->out_data) - m->at &&
		    atomic_load(&m->owner) == tls_mark_owner(m, t->place.id))
			return s->out_data + m->at;
	}
	return NULL;
}

static const char *tls_recover_output(struct tls_stream *t, struct tls_scratch *scratches, unsigned n)
{
	const struct tls_half *h = tls_true(t);

	if (t->sent == h->out_end || !(h->flags & TLS_SCRATCH))
		return NULL;
	for (unsigned i = 0; i < n; i++) {
		const uint8_t *from = tls_find_sealed(t, &scratches[i]);
		if (from) {
			tls_stash(t, from);
			FAULT("tls-recover-out");
			return NULL;
		}
	}
	return "its TLS output is missing";
}

const char *tls_stream_restore(const struct tls_place *place, struct tls_scratch *scratches, unsigned n,
			       struct tls_progress *p, int fd, struct stream *ret)
{
	const char *why = tls_check_state(place);

	*ret = (struct stream){.fd = fd};
	if (!why)
		why = tls_check_progress(tls_live(place->state), p);
	if (why)
		return why;
	struct tls_stream *t = calloc(1, sizeof(*t));
	if (!t)
		return "out of memory";
	*t = (struct tls_stream){.place = *place, .sent = p->sent, .touched = {true, true}};
	if (!p->closing)
		why = tls_recover_input(t, scratches, n, p->received);
	if (!why)
		why = tls_recover_output(t, scratches, n);
	if (why) {
		free(t);
		return why;
	}
	/* A renewal that was cut left two. */
	for (enum tls_direction d = TLS_IN; d <= TLS_OUT; d++)
		tls_forget_secret(t, d);
	p->received = tls_true(t)->in_plain;
	p->sent = tls_true(t)->out_plain;
	*ret = (struct stream){.ops = &tls_stream_ops, .own = t, .fd = fd};
	return NULL;
}

void tls_scratch_clear(struct tls_scratch *s)
{
	if (atomic_load(&s->in.owner))
		atomic_store(&s->in.owner, 0);
	for (unsigned i = 0; i < 1 + TLS_BATCH; i++)
		if (atomic_load(&s->out[i].owner))
			atomic_store(&s->out[i].owner, 0);
}
