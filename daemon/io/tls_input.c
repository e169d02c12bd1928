/* SPDX-License-Identifier: MIT */
/* What comes in over the surviving TLS stream: records, in whatever pieces, and the messages that are no data. */
#include "daemon/io/tls_stream_own.h"

#include "common/cleanup.h"
#include "daemon/base/fault.h"

#include <string.h>
#include <sys/socket.h>

/* Records that are being opened: from cipher text in the scratch to the handler's. */
struct opening {
	struct tls_stream *t;
	struct tls_half *h; /* not true yet */
	const uint8_t *data;
	size_t have, at; /* of data */
	uint8_t *buf;
	size_t len, got; /* of buf */
	size_t padding;
};

/*
 * RFC 8446, 4.6.3: a KeyUpdate. It may come in several records (5.1), with no others between them. What follows is under the
 * next key, so nothing else is in the record that ends it.
 */
static int tls_take_key_update(struct opening *o, const uint8_t *message, size_t len)
{
	static const uint8_t begins[TLS_PART_MAX] = {24, 0, 0, 1};
	struct tls_stream *t = o->t;
	unsigned part = tls_part(o->h->flags);

	if (t->place.state->suite.version != TLS_1_3)
		return -TLS_UNEXPECTED_MESSAGE;
	for (; len > 0 && part < TLS_PART_MAX; part++, message++, len--)
		if (*message != begins[part])
			return -TLS_UNEXPECTED_MESSAGE;
	o->h->flags &= ~(uint32_t)TLS_PART;
	if (len == 0) {
		o->h->flags |= part * TLS_PART_ONE;
		return 0;
	}
	if (len > 1)
		return -TLS_UNEXPECTED_MESSAGE;
	if (*message > 1)
		return -TLS_ILLEGAL_PARAMETER;
	if (tls_renew_secret(t, o->h, TLS_IN) < 0)
		return -TLS_INTERNAL_ERROR;
	if (*message)
		o->h->flags |= TLS_OWED;
	o->h->in_seq = 0;
	/* At once, since the next one takes the old secret's place. */
	tls_commit(t, o->h);
	tls_forget_secret(t, TLS_IN);
	o->h = tls_begin(t);
	return tls_need_keys(t, TLS_IN) < 0 ? -TLS_INTERNAL_ERROR : 0;
}

static int tls_take_alert(struct opening *o, const uint8_t *message, size_t len)
{
	if (len != 2)
		return -TLS_DECODE_ERROR;
	if (message[1] == TLS_CLOSE_NOTIFY) {
		o->h->flags |= TLS_PEER_BYE;
	} else if (message[1] == TLS_USER_CANCELED ||
		   (o->t->place.state->suite.version == TLS_1_2 && message[0] == 1)) {
		tls_renewals_add(&o->t->renewals); /* a warning */
	} else {
		/* It has given up, and wants no answer. */
		o->h->flags |= TLS_BROKEN | TLS_BYE;
	}
	return 0;
}

/* What a record was: 0, or the negative of an alert. */
static int tls_take(struct opening *o, uint8_t type, size_t len)
{
	const uint8_t *message = o->buf + o->got;

	if (tls_part(o->h->flags) > 0 && type != TLS_HANDSHAKE)
		return -TLS_UNEXPECTED_MESSAGE;
	switch (type) {
	case TLS_DATA:
		o->got += len;
		o->h->in_plain += len;
		if (len == 0)
			tls_renewals_add(&o->t->renewals);
		else
			tls_renewals_data(&o->t->renewals, len);
		return 0;
	case TLS_HANDSHAKE:
		tls_renewals_add(&o->t->renewals);
		return tls_take_key_update(o, message, len);
	case TLS_ALERT:
		return tls_take_alert(o, message, len);
	default:
		return -TLS_UNEXPECTED_MESSAGE;
	}
}

/* The next record, if all of it is there: 1, 0, or the negative of an alert. */
static int tls_open_next(struct opening *o)
{
	struct tls_stream *t = o->t;
	const struct tls_suite *suite = &t->place.state->suite;
	ssize_t size = tls_record_size(suite, o->data + o->at, o->have - o->at);
	uint8_t type;

	if (size <= 0 || (size_t)size > o->have - o->at)
		return size < 0 ? (int)size : 0;
	if ((size_t)size > o->len - o->got) {
		t->again = true; /* the handler has to take some first */
		return 0;
	}
	ssize_t n = tls_open(t->tools->cryptor, suite, &t->keys[TLS_IN], o->h->in_seq, o->data + o->at,
			     (size_t)size, o->buf + o->got, &type);
	FAULT("tls-opened");
	if (n < 0)
		return (int)n;
	o->at += (size_t)size;
	o->h->in_at += (uint64_t)size;
	o->h->in_seq++;
	if ((size_t)size > (size_t)n + TLS_RECORD_OVERHEAD)
		o->padding += (size_t)size - (size_t)n - TLS_RECORD_OVERHEAD;
	int r = tls_take(o, type, (size_t)n);
	return r < 0 ? r : 1;
}

/* Opens all that is there, and has it become true. False: the peer sends too much that is no data. */
static bool tls_open_all(struct opening *o)
{
	const uint32_t last = TLS_PEER_BYE | TLS_BROKEN;
	int r = 1;

	o->h = tls_begin(o->t);
	while (r == 1 && !(o->h->flags & last) && !tls_renewals_too_many(&o->t->renewals))
		r = tls_open_next(o);
	if (r < 0) {
		o->h->flags |= TLS_BROKEN;
		o->t->alert = (uint8_t)-r;
	}
	tls_commit(o->t, o->h);
	return !tls_renewals_too_many(&o->t->renewals);
}

/* Receives behind the have bytes in the scratch, unless there is a record. How many there are then, or -errno. */
static ssize_t tls_fill(struct tls_stream *t, int fd, size_t have, size_t len)
{
	uint8_t *data = t->tools->scratch->in_data;
	size_t most = len < TLS_REST_SIZE ? len : TLS_REST_SIZE;
	ssize_t size = tls_record_size(&t->place.state->suite, data, have);

	/* How the peer went the kernel tells only once, and that comes after what it had said. */
	if (have >= most || size < 0 || (size > 0 && (size_t)size <= have))
		return (ssize_t)have;
	ssize_t n = recv(fd, data + have, most - have, MSG_DONTWAIT);
	FAULT("tls-received");
	if (n == 0)
		t->eof = true;
	if (n >= 0)
		return (ssize_t)have + n;
	return errno == EINTR ? -EAGAIN : -errno;
}

static ssize_t tls_input_verdict(struct stream *s, size_t got)
{
	struct tls_stream *t = s->own;
	uint32_t flags = tls_true(t)->flags;

	if (flags & TLS_OWED && !(flags & TLS_BROKEN) && tls_stream_flush(s) < 0)
		(void)0; /* later, or never */
	if (got > 0)
		return (ssize_t)got;
	if (flags & TLS_BROKEN) {
		tls_tell_alert(s);
		return -EPROTO;
	}
	return flags & TLS_PEER_BYE || t->eof ? 0 : -EAGAIN;
}

ssize_t tls_stream_receive(struct stream *s, void *buf, size_t len)
{
	struct tls_stream *t = s->own;
	struct tls_scratch *scratch = t->tools->scratch;
	uint64_t from = tls_true(t)->in_at;

	if (tls_true(t)->flags & (TLS_BROKEN | TLS_PEER_BYE))
		return tls_input_verdict(s, 0);
	if (tls_need_keys(t, TLS_IN) < 0)
		return -ENOMEM;
	memcpy(scratch->in_data, tls_rest(t, TLS_IN), t->rest);
	tls_mark_set(&scratch->in, t->place.id, from, 0, TLS_REST_SIZE);
	FAULT("tls-in-owner");
	ssize_t have = tls_fill(t, s->fd, t->rest, len);
	bool good = true;
	struct opening o = {
	    .t = t, .data = scratch->in_data, .have = have > 0 ? (size_t)have : 0, .buf = buf, .len = len};
	t->again = false;
	if (have > 0) {
		good = tls_open_all(&o);
		t->rest = (uint32_t)(o.have - o.at);
		if (t->rest > 0) {
			memcpy(tls_rest(t, TLS_IN), o.data + o.at, t->rest);
			t->touched[TLS_IN] = true;
		}
		FAULT("tls-rest-in");
	}
	atomic_store_explicit(&scratch->in.owner, 0, memory_order_release);
	s->padding = (uint32_t)o.padding;
	if (have < 0)
		return have;
	return good ? tls_input_verdict(s, o.got) : -EDQUOT;
}

bool tls_stream_has_input(const struct stream *s)
{
	const struct tls_stream *t = s->own;

	return t->again || tls_true(t)->flags & (TLS_BROKEN | TLS_PEER_BYE);
}
