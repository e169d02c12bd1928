/* SPDX-License-Identifier: MIT */
/*
 * TLS after the handshake by OpenSSL, whose state is the process's own: for suites that no other process could go on
 * with, and listeners that want none to.
 */
#include "daemon/io/tls_own.h"

#include "common/cleanup.h"

#include <openssl/err.h>

/* Answers to requests for new keys that a peer may leave unread. */
#define ANSWERS_MAX 65536

static ssize_t tls_mortal_receive(struct stream *s, void *buf, size_t len)
{
	struct tls *t = s->own;
	size_t n;

	ERR_clear_error();
	int r = SSL_read_ex(t->ssl, buf, len, &n);
	/* An answer to a request for new keys. */
	if (tls_is_waiting(t))
		tls_flush(t);
	if (tls_renewals_too_many(&t->renewals) || BIO_ctrl_pending(t->out) > ANSWERS_MAX)
		return -EDQUOT;
	if (r == 1) {
		tls_renewals_data(&t->renewals, n);
		return (ssize_t)n;
	}
	switch (SSL_get_error(t->ssl, r)) {
	case SSL_ERROR_WANT_READ:
		return -EAGAIN;
	case SSL_ERROR_ZERO_RETURN:
		return 0;
	case SSL_ERROR_SYSCALL:
		return errno == 0 ? 0 : -errno;
	default:
		ERR_clear_error();
		return -EPROTO;
	}
}

static ssize_t tls_mortal_send(struct stream *s, const void *data, size_t len)
{
	struct tls *t = s->own;
	const char *p = data;
	size_t done = 0, n;
	int r = tls_flush(t);

	while (r == 0 && done < len) {
		ERR_clear_error();
		if (SSL_write_ex(t->ssl, p + done, len - done < 16384 ? len - done : 16384, &n) != 1)
			return -EPROTO;
		done += n;
		r = tls_flush(t);
	}
	return done > 0 ? (ssize_t)done : r;
}

static bool tls_mortal_has_input(const struct stream *s)
{
	const struct tls *t = s->own;

	return SSL_pending(t->ssl) > 0;
}

static bool tls_mortal_waits(const struct stream *s)
{
	return tls_is_waiting(s->own);
}

static int tls_mortal_flush(struct stream *s)
{
	return tls_flush(s->own);
}

static int tls_mortal_bye(struct stream *s)
{
	struct tls *t = s->own;

	if (!t->said_bye) {
		ERR_clear_error();
		SSL_shutdown(t->ssl);
		ERR_clear_error();
		t->said_bye = true;
	}
	return tls_flush(t);
}

static void tls_mortal_free(struct stream *s)
{
	tls_free(s->own);
}

static const struct stream_ops tls_mortal_ops = {
    .secret = true,
    .receive = tls_mortal_receive,
    .send = tls_mortal_send,
    .has_input = tls_mortal_has_input,
    .is_waiting = tls_mortal_waits,
    .flush = tls_mortal_flush,
    .bye = tls_mortal_bye,
    .free = tls_mortal_free,
};

struct stream tls_stream(struct tls *t, int fd)
{
	return (struct stream){.ops = &tls_mortal_ops, .own = t, .fd = fd};
}

struct tls *tls_of(const struct stream *s)
{
	return s->ops == &tls_mortal_ops ? s->own : NULL;
}
