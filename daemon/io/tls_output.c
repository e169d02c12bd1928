/* SPDX-License-Identifier: MIT */
/*
 * What goes out over the surviving TLS stream: sealed, true, and only then given to the kernel; alone, or with many
 * others' as one batch.
 */
#include "daemon/io/tls_stream_own.h"

#include "common/cleanup.h"
#include "daemon/base/fault.h"

#include <string.h>
#include <sys/socket.h>

bool tls_stream_is_waiting(const struct stream *s)
{
	const struct tls_stream *t = s->own;

	return t->sent < tls_true(t)->out_end;
}

void tls_stash(struct tls_stream *t, const uint8_t *from)
{
	const struct tls_half *live = tls_true(t);

	memcpy(tls_rest(t, TLS_OUT), from + (t->sent - live->out_base), live->out_end - t->sent);
	t->touched[TLS_OUT] = true;
	FAULT("tls-stashed");
	struct tls_half *h = tls_begin(t);
	h->out_base = t->sent;
	h->flags &= ~(uint32_t)TLS_SCRATCH;
	tls_commit(t, h);
}

static uint8_t *tls_sealed(const struct tls_stream *t)
{
	return tls_true(t)->flags & TLS_SCRATCH ? t->tools->scratch->out_data + t->mark->at
						: tls_rest(t, TLS_OUT);
}

/* Gives what is sealed to the kernel. 0: all of it. */
static int tls_push(struct tls_stream *t, int fd)
{
	const struct tls_half *h = tls_true(t);
	const uint8_t *from = t->sent < h->out_end ? tls_sealed(t) : NULL;

	if (t->batched)
		return -EAGAIN;
	while (t->sent < h->out_end) {
		TLS_OFFER(t, t->sent, from + (t->sent - h->out_base), h->out_end - t->sent);
		FAULT("tls-send");
		ssize_t n = send(fd, from + (t->sent - h->out_base), h->out_end - t->sent,
				 MSG_DONTWAIT | MSG_NOSIGNAL);
		FAULT("tls-sent");
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			int error = errno == ENOBUFS ? EAGAIN : errno;
			if (h->flags & TLS_SCRATCH)
				tls_stash(t, from);
			return -error;
		}
		t->sent += (uint64_t)n;
	}
	return 0;
}

/* The mark of what is sealed next, by who sends alone. */
static void tls_take_scratch(struct tls_stream *t)
{
	t->mark = &t->tools->scratch->out[0];
	tls_mark_set(t->mark, t->place.id, tls_true(t)->out_end, 0, TLS_REST_SIZE);
	FAULT("tls-out-owner");
}

/* Seals one record behind what is in the mark's place; its size or -errno. */
static ssize_t tls_add(struct tls_stream *t, struct tls_half *h, uint8_t type, const void *data, size_t len)
{
	uint8_t *at = t->tools->scratch->out_data + t->mark->at + (h->out_end - t->mark->base);
	ssize_t size = tls_seal(t->tools->cryptor, &t->place.state->suite, &t->keys[TLS_OUT], h->out_seq,
				t->place.state->nonce + h->out_seq, type, data, len, at);

	if (size < 0)
		return size;
	TLS_SEALED(t, h->out_end, t->place.state->nonce + h->out_seq, at, (size_t)size);
	h->out_end += (uint64_t)size;
	h->out_seq++;
	return size;
}

/* What is to be sent begins with what was sealed just now. */
static void tls_commit_sealed(struct tls_stream *t, struct tls_half *h)
{
	h->out_base = t->mark->base;
	h->flags |= TLS_SCRATCH;
	FAULT("tls-sealed");
	tls_commit(t, h);
}

/* A record that is no data. All before it is with the kernel. */
static int tls_send_control(struct stream *s, uint8_t type, const uint8_t *message, size_t len, uint32_t set)
{
	struct tls_stream *t = s->own;

	if (tls_need_keys(t, TLS_OUT) < 0)
		return -ENOMEM;
	struct tls_half *h = tls_begin(t);
	tls_take_scratch(t);
	if (tls_add(t, h, type, message, len) < 0)
		return -EIO;
	h->flags |= set;
	if (type == TLS_HANDSHAKE) {
		/* What follows is under the next key: one step with this record. */
		if (tls_renew_secret(t, h, TLS_OUT) < 0)
			return -EIO;
		h->out_seq = 0;
		h->flags &= ~(uint32_t)TLS_OWED;
	}
	tls_commit_sealed(t, h);
	if (type == TLS_HANDSHAKE)
		tls_forget_secret(t, TLS_OUT);
	return tls_push(t, s->fd);
}

static int tls_send_key_update(struct stream *s)
{
	static const uint8_t message[5] = {24, 0, 0, 1, 0};

	return tls_send_control(s, TLS_HANDSHAKE, message, sizeof(message), 0);
}

int tls_stream_flush(struct stream *s)
{
	struct tls_stream *t = s->own;
	int r = tls_push(t, s->fd);

	if (r == 0 && (tls_true(t)->flags & (TLS_OWED | TLS_BYE)) == TLS_OWED)
		r = tls_send_key_update(s);
	return r;
}

int tls_stream_bye(struct stream *s)
{
	static const uint8_t message[2] = {1, TLS_CLOSE_NOTIFY};
	struct tls_stream *t = s->own;
	int r = tls_push(t, s->fd);

	if (r < 0 || tls_true(t)->flags & TLS_BYE)
		return r;
	return tls_send_control(s, TLS_ALERT, message, sizeof(message), TLS_BYE);
}

void tls_tell_alert(struct stream *s)
{
	struct tls_stream *t = s->own;
	const uint8_t message[2] = {2, t->alert};

	if (t->alert == 0 || tls_push(t, s->fd) < 0 || tls_true(t)->flags & TLS_BYE)
		return;
	if (tls_send_control(s, TLS_ALERT, message, sizeof(message), TLS_BYE) < 0)
		(void)0; /* a courtesy */
}

/* --- data --- */

/* Whether the key has sealed as much as it may; the records of TLS 1.2 are counted by their blocks. */
static bool tls_key_is_used_up(const struct tls_stream *t)
{
	const struct tls_half *h = tls_true(t);
	uint64_t max = t->tools->records_max;

	if (t->place.state->suite.version == TLS_1_3)
		return h->out_seq >= max;
	return h->out_seq * 2 + h->out_plain / 16 >= t->tools->blocks_max;
}

/* Before data: 0 if it may be sealed. */
static int tls_make_way(struct stream *s)
{
	struct tls_stream *t = s->own;
	int r = tls_stream_flush(s);

	if (r == 0 && tls_true(t)->flags & TLS_BYE)
		r = -EKEYEXPIRED;
	if (r == 0 && tls_key_is_used_up(t)) {
		if (t->place.state->suite.version == TLS_1_3)
			r = tls_send_key_update(s);
		else
			r = tls_stream_bye(s) < 0 ? -EAGAIN : -EKEYEXPIRED;
	}
	return r == 0 ? tls_need_keys(t, TLS_OUT) : r;
}

/* As much as fits in the scratch; how many plain bytes, or -errno. It is true then. */
static ssize_t tls_seal_data(struct tls_stream *t, const uint8_t *data, size_t len)
{
	struct tls_half *h = tls_begin(t);
	size_t done = 0, space = TLS_REST_SIZE;
	bool new = t->place.state->suite.version == TLS_1_3;

	tls_take_scratch(t);
	do {
		size_t n = len - done;
		if (n > t->place.state->fragment)
			n = t->place.state->fragment;
		if (n > space - TLS_RECORD_OVERHEAD)
			n = space - TLS_RECORD_OVERHEAD;
		ssize_t size = tls_add(t, h, TLS_DATA, data + done, n);
		if (size < 0)
			return size;
		done += n;
		space -= (size_t)size;
	} while (done < len && space > (size_t)2 * TLS_RECORD_OVERHEAD &&
		 (!new || h->out_seq < t->tools->records_max));
	h->out_plain += done;
	tls_commit_sealed(t, h);
	return (ssize_t)done;
}

ssize_t tls_stream_send(struct stream *s, const void *data, size_t len)
{
	struct tls_stream *t = s->own;
	size_t done = 0;
	int r = 0;

	while (r == 0 && done < len) {
		r = tls_make_way(s);
		if (r < 0)
			break;
		ssize_t n = tls_seal_data(t, (const uint8_t *)data + done, len - done);
		if (n < 0)
			return n;
		done += (size_t)n;
		r = tls_push(t, s->fd);
	}
	return done > 0 ? (ssize_t)done : r;
}

/* --- in a batch --- */

size_t tls_stream_prepare(struct stream *s, const void *data, size_t len, const void **ret)
{
	struct tls_stream *t = s->own;
	struct tls_tools *tools = t->tools;
	uint32_t size = (uint32_t)(len + TLS_RECORD_OVERHEAD);

	if (tls_stream_is_waiting(s) || tls_true(t)->flags & (TLS_OWED | TLS_BYE) || tls_key_is_used_up(t) ||
	    len > t->place.state->fragment || tools->batched == TLS_BATCH ||
	    size > TLS_BATCH_SIZE - tools->batch_at || tls_need_keys(t, TLS_OUT) < 0)
		return 0;
	struct tls_half *h = tls_begin(t);
	t->mark = &tools->scratch->out[1 + tools->batched];
	tls_mark_set(t->mark, t->place.id, h->out_end, TLS_REST_SIZE + tools->batch_at, size);
	FAULT("tls-batch-owner");
	ssize_t sealed = tls_add(t, h, TLS_DATA, data, len);
	if (sealed < 0)
		return 0;
	h->out_plain += len;
	tls_commit_sealed(t, h);
	tools->batched++;
	tools->batch_at += size;
	t->batched = true;
	*ret = tls_sealed(t);
	TLS_OFFER(t, t->sent, *ret, (size_t)sealed);
	return (size_t)sealed;
}

void tls_stream_sent(struct stream *s, ssize_t result)
{
	struct tls_stream *t = s->own;
	struct tls_tools *tools = t->tools;

	/* What is wrong with the socket, if anything, the next send() tells. */
	if (result > 0)
		t->sent += (uint64_t)result;
	t->batched = false;
	FAULT("tls-batch-sent");
	if (tls_stream_is_waiting(s))
		tls_stash(t, tls_sealed(t));
	if (++tools->offered == tools->batched)
		tools->offered = tools->batched = tools->batch_at = 0;
}
