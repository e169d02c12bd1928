/* SPDX-License-Identifier: MIT */
/* TLS by OpenSSL: contexts from the files of a listener, the handshake, and the stream after it. */
#include "daemon/io/tls.h"

#include "common/cleanup.h"
#include "daemon/base/clock.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

/*
 * Handshake messages behind the handshake are new keys, or the wish for a new handshake; each costs as much
 * as many lines. So many are taken within a minute, or a megabyte: programs do it every few gigabytes.
 */
#define RENEWALS_MAX 32
#define RENEWALS_US (60 * SECOND_US)
#define RENEWALS_BYTES (1 << 20)
/* Answers to them that a peer may leave unread. */
#define ANSWERS_MAX 65536

struct tls_context {
	SSL_CTX *ctx;
};

/*
 * Cipher text goes through a buffer, so that what was accepted once is on its way: OpenSSL would want the
 * very same bytes again after a short write, but a reader that is lapped meanwhile has others to be sent.
 */
struct tls {
	SSL *ssl;
	BIO *out;
	int fd;
	bool said_bye, established;
	unsigned renewals;     /* handshake messages since renewals_us */
	int64_t renewals_us;   /* CLOCK_MONOTONIC */
	size_t renewals_bytes; /* of data since then */
};

/* What the system said (a file that isn't there) has no text of OpenSSL's. */
static void tls_explain(char *why, size_t size, const char *what)
{
	unsigned long e = ERR_peek_error();
	const char *text = ERR_SYSTEM_ERROR(e) ? strerror(ERR_GET_REASON(e)) : ERR_reason_error_string(e);

	snprintf(why, size, "%s%s%s", what, e && text ? ": " : "", e && text ? text : "");
	ERR_clear_error();
}

/* Nobody is there to type a passphrase. */
static int tls_no_passphrase(char *buf, int size, int rwflag, void *arg)
{
	(void)buf;
	(void)size;
	(void)rwflag;
	(void)arg;
	return 0;
}

/* Whether the file has anything that is called a private key; what is unreadable may have. */
static bool tls_has_key(const char *path)
{
	_cleanup_free_ char *line = NULL;
	FILE *f = fopen(path, "re");
	bool found = !f;
	size_t capacity = 0;

	while (!found && getline(&line, &capacity, f) >= 0)
		found = strstr(line, "PRIVATE KEY-----") != NULL;
	if (line)
		explicit_bzero(line, capacity);
	if (f)
		fclose(f);
	return found;
}

/* Returns the setting that has a mistake, or NULL. */
static const char *tls_load(SSL_CTX *ctx, const struct tls_files *files, char *why, size_t size)
{
	const char *certificate = files->certificate, *key = files->key, *client_ca = files->client_ca;
	char text[512];

	SSL_CTX_set_default_passwd_cb(ctx, tls_no_passphrase);
	if (SSL_CTX_use_certificate_chain_file(ctx, certificate) != 1) {
		snprintf(text, sizeof(text), "the certificate in %s can't be used", certificate);
		tls_explain(why, size, text);
		return "tls_certificate";
	}
	if (SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1 ||
	    SSL_CTX_check_private_key(ctx) != 1) {
		if (!tls_has_key(key)) {
			snprintf(why, size, "there is no private key in %s%s", key,
				 key == certificate ? "; it needs a tls_key" : "");
			return "tls_key";
		}
		bool other = ERR_GET_LIB(ERR_peek_error()) == ERR_LIB_X509;
		snprintf(text, sizeof(text), "the key in %s can't be used%s%s", key,
			 other ? " with the certificate in " : "", other ? certificate : "");
		tls_explain(why, size, text);
		return "tls_key";
	}
	if (!client_ca)
		return NULL;
	STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(client_ca);
	if (!names || SSL_CTX_load_verify_file(ctx, client_ca) != 1) {
		sk_X509_NAME_pop_free(names, X509_NAME_free);
		snprintf(text, sizeof(text), "the certificates in %s can't be used", client_ca);
		tls_explain(why, size, text);
		return "tls_client_ca";
	}
	SSL_CTX_set_client_CA_list(ctx, names);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	return NULL;
}

int tls_context_new(const struct tls_files *files, char *why, size_t size, const char **ret_setting,
		    struct tls_context **ret)
{
	struct tls_context *c = calloc(1, sizeof(*c));

	*ret_setting = "tls_certificate";
	ERR_clear_error();
	if (!c || !(c->ctx = SSL_CTX_new(TLS_server_method()))) {
		free(c);
		snprintf(why, size, "out of memory");
		return -ENOMEM;
	}
	SSL_CTX_set_min_proto_version(c->ctx, TLS1_2_VERSION);
	/* Nothing is kept about a session: its keys would have to outlive the process. */
	SSL_CTX_set_session_cache_mode(c->ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_num_tickets(c->ctx, 0);
	/* Programs that end without a word of farewell are many: it counts as an end, as over plain TCP,
	 * where also the last line arrives without its newline, and we may still answer. */
	SSL_CTX_set_options(c->ctx, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION |
					SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_NO_COMPRESSION |
					SSL_OP_IGNORE_UNEXPECTED_EOF);
	SSL_CTX_set_mode(c->ctx, SSL_MODE_RELEASE_BUFFERS);
	/* Or a peer that sends nothing but new keys would keep SSL_read() for as long as it likes. */
	SSL_CTX_clear_mode(c->ctx, SSL_MODE_AUTO_RETRY);
	*ret_setting = tls_load(c->ctx, files, why, size);
	if (*ret_setting) {
		tls_context_free(c);
		return -EINVAL;
	}
	*ret = c;
	return 0;
}

void tls_context_free(struct tls_context *c)
{
	if (!c)
		return;
	SSL_CTX_free(c->ctx);
	free(c);
}

/* OpenSSL tells of each message of the protocol. */
static void tls_saw_message(int is_sent, int version, int type, const void *data, size_t len, SSL *ssl,
			    void *arg)
{
	struct tls *t = arg;

	(void)version;
	(void)data;
	(void)len;
	(void)ssl;
	if (is_sent || type != SSL3_RT_HANDSHAKE || !t->established)
		return;
	int64_t now = clock_us(CLOCK_MONOTONIC);
	if (now - t->renewals_us > RENEWALS_US || t->renewals_bytes >= RENEWALS_BYTES) {
		t->renewals = 0;
		t->renewals_bytes = 0;
		t->renewals_us = now;
	}
	t->renewals++;
}

struct tls *tls_new(struct tls_context *c, int fd)
{
	struct tls *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->fd = fd;
	t->ssl = SSL_new(c->ctx); /* holds a reference to ctx, so a reload may drop ours */
	BIO *in = BIO_new_socket(fd, BIO_NOCLOSE);
	t->out = BIO_new(BIO_s_mem());
	if (!t->ssl || !in || !t->out) {
		BIO_free(in);
		BIO_free(t->out);
		SSL_free(t->ssl);
		free(t);
		return NULL;
	}
	SSL_set_bio(t->ssl, in, t->out);
	SSL_set_accept_state(t->ssl);
	SSL_set_msg_callback(t->ssl, tls_saw_message);
	SSL_set_msg_callback_arg(t->ssl, t);
	return t;
}

void tls_free(struct tls *t)
{
	if (!t)
		return;
	SSL_free(t->ssl);
	free(t);
}

bool tls_is_waiting(const struct tls *t)
{
	return BIO_ctrl_pending(t->out) > 0;
}

static int tls_flush(struct tls *t)
{
	char *data;
	long n = BIO_get_mem_data(t->out, &data);

	while (n > 0) {
		ssize_t sent = send(t->fd, data, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (sent < 0)
			return errno == EINTR || errno == ENOBUFS ? -EAGAIN : -errno;
		if (sent == n) {
			BIO_reset(t->out);
			return 0;
		}
		char gone[4096];
		for (long left = sent; left > 0;) {
			int k =
			    BIO_read(t->out, gone, left < (long)sizeof(gone) ? (int)left : (int)sizeof(gone));
			if (k <= 0)
				return -EPROTO;
			left -= k;
		}
		n = BIO_get_mem_data(t->out, &data);
	}
	return 0;
}

int tls_handshake(struct tls *t, char *why, size_t size)
{
	ERR_clear_error();
	int r = SSL_do_handshake(t->ssl), flushed = tls_flush(t);

	if (r == 1) {
		t->established = true;
		return flushed;
	}
	if (SSL_get_error(t->ssl, r) == SSL_ERROR_WANT_READ && (flushed == 0 || flushed == -EAGAIN))
		return -EAGAIN;
	tls_explain(why, size,
		    SSL_get_error(t->ssl, r) == SSL_ERROR_ZERO_RETURN ? "it ended within the handshake"
								      : "the handshake failed");
	return -EPROTO;
}

/* --- as a stream --- */

static ssize_t tls_receive(struct stream *s, void *buf, size_t len)
{
	struct tls *t = s->own;
	size_t n;

	ERR_clear_error();
	int r = SSL_read_ex(t->ssl, buf, len, &n);
	/* An answer to a request for new keys. */
	if (tls_is_waiting(t))
		tls_flush(t);
	if (t->renewals > RENEWALS_MAX || BIO_ctrl_pending(t->out) > ANSWERS_MAX)
		return -EDQUOT;
	if (r == 1) {
		t->renewals_bytes += n;
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

static ssize_t tls_send(struct stream *s, const void *data, size_t len)
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

static bool tls_has_input(const struct stream *s)
{
	const struct tls *t = s->own;

	return SSL_pending(t->ssl) > 0;
}

static bool tls_waits(const struct stream *s)
{
	return tls_is_waiting(s->own);
}

static int tls_flush_stream(struct stream *s)
{
	return tls_flush(s->own);
}

static int tls_bye(struct stream *s)
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

static void tls_stream_free(struct stream *s)
{
	tls_free(s->own);
}

static const struct stream_ops tls_ops = {
    .secret = true,
    .receive = tls_receive,
    .send = tls_send,
    .has_input = tls_has_input,
    .is_waiting = tls_waits,
    .flush = tls_flush_stream,
    .bye = tls_bye,
    .free = tls_stream_free,
};

struct stream tls_stream(struct tls *t, int fd)
{
	return (struct stream){.ops = &tls_ops, .own = t, .fd = fd};
}
