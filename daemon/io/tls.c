/* SPDX-License-Identifier: MIT */
/* TLS by OpenSSL: contexts from the files of a listener, the handshake, and what it gives to the stream after it. */
#include "daemon/io/tls_own.h"

#include "common/cleanup.h"

#include <openssl/err.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

struct tls_context {
	SSL_CTX *ctx;
	bool survives; /* its connections, if their suite allows it */
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
/* A certificate and its key; which setting is wrong, or NULL. */
static const char *tls_load_own(SSL_CTX *ctx, const char *certificate, const char *key, char *why,
				size_t size)
{
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
	return NULL;
}

/* The same of who signs the peers' certificates. */
static const char *tls_load_ca(SSL_CTX *ctx, const char *client_ca, bool optional, char *why, size_t size)
{
	STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(client_ca);
	char text[512];

	if (!names || SSL_CTX_load_verify_file(ctx, client_ca) != 1) {
		sk_X509_NAME_pop_free(names, X509_NAME_free);
		snprintf(text, sizeof(text), "the certificates in %s can't be used", client_ca);
		tls_explain(why, size, text);
		return "tls_client_ca";
	}
	SSL_CTX_set_client_CA_list(ctx, names);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | (optional ? 0 : SSL_VERIFY_FAIL_IF_NO_PEER_CERT), NULL);
	return NULL;
}

static const char *tls_load(SSL_CTX *ctx, const struct tls_files *files, char *why, size_t size)
{
	const char *wrong =
	    files->certificate ? tls_load_own(ctx, files->certificate, files->key, why, size) : NULL;

	return !wrong && files->client_ca ? tls_load_ca(ctx, files->client_ca, files->optional, why, size)
					  : wrong;
}

static void tls_unhex(const char *text, uint8_t *ret, uint8_t *ret_len)
{
	unsigned n = 0, byte;

	while (n < TLS_SECRET_MAX && sscanf(text + (size_t)2 * n, "%2x", &byte) == 1)
		ret[n++] = (uint8_t)byte;
	*ret_len = (uint8_t)n;
}

/* OpenSSL tells the secrets of TLS 1.3 in the way of a key log. */
static void tls_heard(const SSL *ssl, const char *line)
{
	static const char *const labels[] = {
	    [TLS_IN] = "CLIENT_TRAFFIC_SECRET_0 ",
	    [TLS_OUT] = "SERVER_TRAFFIC_SECRET_0 ",
	};
	struct tls *t = SSL_get_app_data(ssl);
	const char *secret = strrchr(line, ' ');

	for (enum tls_direction d = TLS_IN; t && secret && d <= TLS_OUT; d++)
		if (strncmp(line, labels[d], strlen(labels[d])) == 0)
			tls_unhex(secret + 1, t->secret[d], &t->secret_len[d]);
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
	/* Many programs end without a word of farewell: it counts as an end, as over plain TCP,
	 * where also the last line arrives without its newline, and we may still answer. */
	SSL_CTX_set_options(c->ctx, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION |
					SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_NO_COMPRESSION |
					SSL_OP_IGNORE_UNEXPECTED_EOF);
	SSL_CTX_set_mode(c->ctx, SSL_MODE_RELEASE_BUFFERS);
	/* Or a peer that sends nothing but new keys would keep SSL_read() for as long as it likes. */
	SSL_CTX_clear_mode(c->ctx, SSL_MODE_AUTO_RETRY);
	c->survives = files->survives;
	if (c->survives)
		SSL_CTX_set_keylog_callback(c->ctx, tls_heard);
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
	tls_renewals_add(&t->renewals);
}

struct tls *tls_new(struct tls_context *c, int fd)
{
	struct tls *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->fd = fd;
	t->survives = c->survives;
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
	SSL_set_app_data(t->ssl, t);
	return t;
}

void tls_free(struct tls *t)
{
	if (!t)
		return;
	SSL_free(t->ssl);
	explicit_bzero(t, sizeof(*t));
	free(t);
}

bool tls_is_waiting(const struct tls *t)
{
	return BIO_ctrl_pending(t->out) > 0;
}

int tls_flush(struct tls *t)
{
	char *data;
	long n = BIO_get_mem_data(t->out, &data);

	while (n > 0) {
		ssize_t sent = send(t->fd, data, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (sent < 0)
			return errno == EINTR || errno == ENOBUFS ? -EAGAIN : -errno;
		t->sent += (uint64_t)sent;
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

/*
 * TLS 1.2 with AES-GCM: our Finished is the last record of the handshake and the first one under the key; nonces go on
 * from the one that was sent with it.
 */
static void tls_note_nonce(struct tls *t)
{
	const unsigned size = TLS_HEADER_SIZE + 8 + 16 + 16; /* the nonce, the message, its tag */
	char *data;
	long n = BIO_get_mem_data(t->out, &data);

	if (t->established || n < (long)size || data[n - size] != TLS_HANDSHAKE)
		return;
	for (unsigned i = 0; i < 8; i++)
		t->nonce = t->nonce << 8 | (uint8_t)data[n - size + TLS_HEADER_SIZE + i];
	t->nonce_is_known = true;
}

int tls_handshake(struct tls *t, char *why, size_t size)
{
	ERR_clear_error();
	int r = SSL_do_handshake(t->ssl);

	if (r == 1)
		tls_note_nonce(t);
	int flushed = tls_flush(t);
	if (r == 1) {
		t->established = true;
		return flushed;
	}
	if (SSL_get_error(t->ssl, r) == SSL_ERROR_WANT_READ && (flushed == 0 || flushed == -EAGAIN))
		return -EAGAIN;
	tls_explain(why, size,
		    SSL_get_error(t->ssl, r) == SSL_ERROR_ZERO_RETURN ? "it ended during the handshake"
								      : "the handshake failed");
	return -EPROTO;
}

size_t tls_peer(const struct stream *s, char ret[static TLS_PEER_MAX + 1])
{
	const struct tls *t = tls_of(s);
	X509 *x = t ? SSL_get0_peer_certificate(t->ssl) : NULL;
	X509_NAME *subject =
	    x && SSL_get_verify_result(t->ssl) == X509_V_OK ? X509_get_subject_name(x) : NULL;
	int at = subject ? X509_NAME_get_index_by_NID(subject, NID_commonName, -1) : -1;
	unsigned char *name = NULL;

	ret[0] = '\0';
	/* Of two names nobody knows which one was meant. */
	if (at < 0 || X509_NAME_get_index_by_NID(subject, NID_commonName, at) >= 0)
		return 0;
	int n = ASN1_STRING_to_UTF8(&name, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
	bool good = n > 0 && n <= TLS_PEER_MAX && !memchr(name, '\0', (size_t)n);
	if (good) {
		memcpy(ret, name, (size_t)n);
		ret[n] = '\0';
	}
	OPENSSL_free(name);
	return good ? (size_t)n : 0;
}

/* --- handing over --- */

static int tls_suite_of(const struct tls *t, struct tls_suite *ret)
{
	const SSL_CIPHER *cipher = SSL_get_current_cipher(t->ssl);
	const EVP_MD *md = cipher ? SSL_CIPHER_get_handshake_digest(cipher) : NULL;

	*ret = (struct tls_suite){.version = SSL_version(t->ssl) == TLS1_3_VERSION   ? TLS_1_3
					     : SSL_version(t->ssl) == TLS1_2_VERSION ? TLS_1_2
										     : 0,
				  .hash = md ? (uint8_t)EVP_MD_get_size(md) : 0};
	switch (cipher ? SSL_CIPHER_get_cipher_nid(cipher) : NID_undef) {
	case NID_aes_128_gcm:
		ret->aead = TLS_AES_128_GCM;
		break;
	case NID_aes_256_gcm:
		ret->aead = TLS_AES_256_GCM;
		break;
	case NID_chacha20_poly1305:
		ret->aead = TLS_CHACHA20_POLY1305;
		break;
	default:
		break;
	}
	return tls_suite_check(ret);
}

static int tls_hand_over_12(const struct tls *t, struct tls_cryptor *c, struct tls_handed *ret)
{
	uint8_t master[48], client[32], server[32];
	struct tls_keys keys[2];
	bool counts = ret->suite.aead != TLS_CHACHA20_POLY1305;

	if ((counts && !t->nonce_is_known) ||
	    SSL_SESSION_get_master_key(SSL_get_session(t->ssl), master, sizeof(master)) != sizeof(master))
		return -EOPNOTSUPP;
	SSL_get_client_random(t->ssl, client, sizeof(client));
	SSL_get_server_random(t->ssl, server, sizeof(server));
	int r = tls12_keys(c, &ret->suite, master, client, server, &keys[TLS_IN], &keys[TLS_OUT]);
	for (enum tls_direction d = TLS_IN; d <= TLS_OUT; d++)
		memcpy(ret->secret[d], &keys[d], sizeof(keys[d]));
	ret->in_seq = ret->out_seq = 1; /* behind each one's Finished */
	ret->nonce = counts ? t->nonce : 0;
	explicit_bzero(master, sizeof(master));
	explicit_bzero(keys, sizeof(keys));
	return r;
}

static int tls_hand_over_13(const struct tls *t, struct tls_handed *ret)
{
	for (enum tls_direction d = TLS_IN; d <= TLS_OUT; d++) {
		if (t->secret_len[d] != ret->suite.hash)
			return -EOPNOTSUPP;
		memcpy(ret->secret[d], t->secret[d], sizeof(ret->secret[d]));
	}
	return 0;
}

int tls_hand_over(const struct stream *s, struct tls_cryptor *c, struct tls_handed *ret)
{
	const struct tls *t = tls_of(s);

	*ret = (struct tls_handed){.fragment = TLS_PLAIN_MAX};
	/* Every byte that was taken from the socket is used up, and every one of ours is with the kernel. */
	if (!t || !t->survives || !c || !t->established || tls_is_waiting(t) || SSL_has_pending(t->ssl) ||
	    tls_suite_of(t, &ret->suite) < 0)
		return -EOPNOTSUPP;
	uint8_t fragment = SSL_SESSION_get_max_fragment_length(SSL_get_session(t->ssl));
	if (fragment >= TLSEXT_max_fragment_length_512 && fragment <= TLSEXT_max_fragment_length_4096)
		ret->fragment = (uint16_t)(256 << fragment);
	ret->received = BIO_number_read(SSL_get_rbio(t->ssl));
	ret->sent = t->sent;
	return ret->suite.version == TLS_1_3 ? tls_hand_over_13(t, ret) : tls_hand_over_12(t, c, ret);
}
