/* SPDX-License-Identifier: MIT */
/* The surviving TLS stream: its state in two halves, its secrets and keys, and how one begins. See tls_stream.h. */
#include "daemon/io/tls_stream_own.h"

#include "common/cleanup.h"
#include "daemon/base/checksum.h"
#include "daemon/base/fault.h"
#include "daemon/io/memfd.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* RFC 8446, 5.5: 2^24.5 full records of AES-GCM under a key. */
#define RECORDS_MAX (UINT64_C(1) << 24)
/* TLS 1.2 has no new keys: it ends in order before 2^34 blocks, which are 2^24 full records. */
#define BLOCKS_MAX(records) ((records) << 10)

/* --- what a worker lends --- */

int tls_tools_new(struct tls_scratch *scratch, struct tls_tools **ret)
{
	struct tls_tools *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	*t = (struct tls_tools){.scratch = scratch};
	tls_tools_limit(t, RECORDS_MAX);
#ifdef ENABLE_FAULTS
	const char *max = getenv("CHATD_TLS_RECORDS_MAX");
	if (max)
		tls_tools_limit(t, strtoull(max, NULL, 10));
	max = getenv("CHATD_TLS_BLOCKS_MAX");
	if (max)
		t->blocks_max = strtoull(max, NULL, 10);
#endif
	*ret = t;
	return 0;
}

void tls_tools_free(struct tls_tools *t)
{
	if (t)
		tls_cryptor_free(t->cryptor);
	free(t);
}

struct tls_cryptor *tls_tools_cryptor(struct tls_tools *t)
{
	if (!t->cryptor && tls_cryptor_new(&t->cryptor) < 0)
		t->cryptor = NULL;
	return t->cryptor;
}

void tls_tools_limit(struct tls_tools *t, uint64_t records)
{
	t->records_max = records;
	t->blocks_max = BLOCKS_MAX(records);
}

/* --- checks: damage hardly makes them --- */

uint64_t tls_mark_owner(const struct tls_mark *m, uint64_t id)
{
	const uint64_t words[] = {m->base, (uint64_t)m->at << 32 | m->size};

	return checksum_add(id * 0x9e3779b97f4a7c15ULL, words, sizeof(words)) | 1;
}

void tls_mark_set(struct tls_mark *m, uint64_t id, uint64_t base, uint32_t at, uint32_t size)
{
	m->base = base;
	m->at = at;
	m->size = size;
	atomic_store_explicit(&m->owner, tls_mark_owner(m, id), memory_order_release);
}

uint32_t tls_half_check(const struct tls_state *s, const struct tls_half *h, uint64_t id)
{
	const uint64_t words[] = {(uint64_t)s->fragment << 32 | (uint64_t)s->suite.hash << 16 |
				      (uint64_t)s->suite.aead << 8 | s->suite.version,
				  s->nonce, h->flags};
	uint64_t x = checksum_add(id * 0x9e3779b97f4a7c15ULL, words, sizeof(words));

	x = checksum_add(x, h, offsetof(struct tls_half, flags));
	return (uint32_t)((x ^ x >> 29) * 0xc4ceb9fe1a85ec53ULL >> 32);
}

uint64_t tls_secret_check(const struct tls_place *p, enum tls_direction d, unsigned slot)
{
	return checksum_add(p->id * 0x9e3779b97f4a7c15ULL + 2ULL * d + slot + 1, p->secrets->secret[d][slot],
			    TLS_SECRET_MAX);
}

/* --- the halves --- */

struct tls_half *tls_begin(struct tls_stream *t)
{
	struct tls_state *s = t->place.state;
	uint32_t live = atomic_load_explicit(&s->live, memory_order_relaxed) & 1;

	s->half[!live] = s->half[live];
	return &s->half[!live];
}

void tls_commit(struct tls_stream *t, struct tls_half *h)
{
	struct tls_state *s = t->place.state;

	h->check = tls_half_check(s, h, t->place.id);
	FAULT("tls-commit");
	atomic_store_explicit(&s->live, h == &s->half[1], memory_order_release);
	FAULT("tls-committed");
}

/* --- secrets and keys --- */

static int tls_derive(struct tls_stream *t, enum tls_direction d, const uint8_t *secret)
{
	const struct tls_suite *suite = &t->place.state->suite;
	struct tls_cryptor *c = tls_tools_cryptor(t->tools);

	if (!c)
		return -ENOMEM;
	if (suite->version == TLS_1_2)
		memcpy(&t->keys[d], secret, sizeof(t->keys[d]));
	else if (tls_derive_keys(c, suite, secret, &t->keys[d]) < 0)
		return -EIO;
	t->keyed[d] = true;
	return 0;
}

int tls_need_keys(struct tls_stream *t, enum tls_direction d)
{
	if (t->keyed[d])
		return 0;
	return tls_derive(t, d, t->place.secrets->secret[d][tls_slot(tls_true(t)->flags, d)]);
}

int tls_renew_secret(struct tls_stream *t, struct tls_half *h, enum tls_direction d)
{
	struct tls_secrets *s = t->place.secrets;
	unsigned slot = tls_slot(h->flags, d);
	struct tls_cryptor *c = tls_tools_cryptor(t->tools);

	if (!c || tls_next_secret(c, &t->place.state->suite, s->secret[d][slot], s->secret[d][!slot]) < 0)
		return -EIO;
	s->check[d][!slot] = tls_secret_check(&t->place, d, !slot);
	FAULT("tls-renewed");
	h->flags ^= d == TLS_IN ? TLS_IN_SLOT : TLS_OUT_SLOT;
	return 0;
}

void tls_forget_secret(struct tls_stream *t, enum tls_direction d)
{
	unsigned slot = tls_slot(tls_true(t)->flags, d);

	explicit_bzero(t->place.secrets->secret[d][!slot], TLS_SECRET_MAX);
	t->place.secrets->check[d][!slot] = 0;
	t->keyed[d] = false;
	FAULT("tls-forgot");
}

void tls_place_wipe(struct tls_state *state, struct tls_secrets *secrets)
{
	if (secrets)
		explicit_bzero(secrets, sizeof(*secrets));
	explicit_bzero(state, sizeof(*state));
}

/* --- as a stream --- */

static void tls_stream_attach(struct stream *s, struct tls_tools *tools)
{
	((struct tls_stream *)s->own)->tools = tools;
}

/* The rests of who has nothing outstanding, or is gone. */
static bool tls_stream_relax(struct stream *s, bool over)
{
	struct tls_stream *t = s->own;
	bool any = false;

	for (enum tls_direction d = TLS_IN; d <= TLS_OUT; d++) {
		bool used = d == TLS_IN ? t->rest > 0 : tls_stream_is_waiting(s);
		if (!t->touched[d] || (used && !over))
			continue;
		memfd_release(tls_rest(t, d), TLS_REST_SIZE);
		t->touched[d] = false;
		any = true;
	}
	return any;
}

static void tls_stream_end(struct stream *s)
{
	if (s->own)
		explicit_bzero(s->own, sizeof(struct tls_stream));
	free(s->own);
}

const struct stream_ops tls_stream_ops = {
    .survives = true,
    .secret = true,
    .least = TLS_RECORD_MAX,
    .attach = tls_stream_attach,
    .receive = tls_stream_receive,
    .send = tls_stream_send,
    .prepare = tls_stream_prepare,
    .sent = tls_stream_sent,
    .has_input = tls_stream_has_input,
    .is_waiting = tls_stream_is_waiting,
    .flush = tls_stream_flush,
    .bye = tls_stream_bye,
    .relax = tls_stream_relax,
    .free = tls_stream_end,
};

/* It says who somebody is, so damage must not make another name of it. */
static uint32_t tls_peer_check(const struct tls_place *place)
{
	const struct tls_state *s = place->state;
	uint64_t x = checksum_add(place->id * 0x9e3779b97f4a7c15ULL + s->peer_len, s->peer, TLS_PEER_MAX);

	return (uint32_t)((x ^ x >> 29) * 0xc4ceb9fe1a85ec53ULL >> 32);
}

void tls_place_set_peer(const struct tls_place *place, const char *name, size_t len)
{
	struct tls_state *s = place->state;

	assert(len <= TLS_PEER_MAX);
	memset(s->peer, 0, sizeof(s->peer));
	memcpy(s->peer, name, len);
	s->peer_len = (uint8_t)len;
	s->peer_check = tls_peer_check(place);
}

size_t tls_place_peer(const struct tls_place *place, char ret[static TLS_PEER_MAX + 1])
{
	const struct tls_state *s = place->state;

	ret[0] = '\0';
	if (s->peer_len == 0 || s->peer_len > TLS_PEER_MAX || s->peer_check != tls_peer_check(place))
		return 0;
	memcpy(ret, s->peer, s->peer_len);
	ret[s->peer_len] = '\0';
	return s->peer_len;
}

int tls_stream_begin(const struct tls_place *place, const struct tls_handed *handed, int fd,
		     struct stream *ret)
{
	struct tls_stream *t = calloc(1, sizeof(*t));
	struct tls_state *s = place->state;
	struct tls_half *h = &s->half[0];

	assert(place->secrets);
	if (!t)
		return -ENOMEM;
	*t = (struct tls_stream){.place = *place, .sent = handed->sent};
	tls_place_wipe(s, place->secrets);
	/* First, since by it the next process knows that there are secrets to wipe. */
	s->suite = handed->suite;
	atomic_signal_fence(memory_order_seq_cst);
	for (enum tls_direction d = TLS_IN; d <= TLS_OUT; d++) {
		memcpy(place->secrets->secret[d][0], handed->secret[d], TLS_SECRET_MAX);
		place->secrets->check[d][0] = tls_secret_check(place, d, 0);
		FAULT("tls-begin-secret");
	}
	s->fragment = handed->fragment;
	s->nonce = handed->nonce;
	*h = (struct tls_half){.in_at = handed->received,
			       .in_seq = handed->in_seq,
			       .out_base = handed->sent,
			       .out_end = handed->sent,
			       .out_seq = handed->out_seq};
	h->check = tls_half_check(s, h, place->id);
	FAULT("tls-begun");
	*ret = (struct stream){.ops = &tls_stream_ops, .own = t, .fd = fd};
	return 0;
}
