/* SPDX-License-Identifier: MIT */
/*
 * TLS records: the traces of RFC 8448, and OpenSSL's own connections, whose server's side is taken over after the
 * handshake. Then what a peer that wants to harm us could send.
 */
#include "tests/unit/unit.h"

#include "daemon/io/tls_record.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct tls_suite suites[] = {
    {TLS_1_3, TLS_AES_128_GCM, 32}, {TLS_1_3, TLS_AES_256_GCM, 48}, {TLS_1_3, TLS_CHACHA20_POLY1305, 32},
    {TLS_1_2, TLS_AES_128_GCM, 32}, {TLS_1_2, TLS_AES_256_GCM, 48}, {TLS_1_2, TLS_CHACHA20_POLY1305, 32},
};
#define SUITES (sizeof(suites) / sizeof(*suites))

static int with_cryptor(void **state)
{
	return tls_cryptor_new((struct tls_cryptor **)state);
}

static int without_cryptor(void **state)
{
	tls_cryptor_free(*state);
	return 0;
}

static size_t unhex(const char *text, uint8_t *out)
{
	size_t n = 0;
	unsigned byte;

	for (; *text; text++)
		if (*text != ' ') {
			assert_int_equal(sscanf(text, "%2x", &byte), 1);
			out[n++] = (uint8_t)byte;
			text++;
		}
	return n;
}

/* --- RFC 8448, 3: Simple 1-RTT Handshake --- */

static const struct trace {
	const char *secret, *key, *iv;
	uint64_t seq;
	uint8_t type;
	const char *text;   /* NULL: 00 01 02 ... 31 */
	const char *record; /* complete record */
} traces[] = {
    /* {client} handshake traffic: Finished */
    {"b3 ed db 12 6e 06 7f 35 a7 80 b3 ab f4 5e 2d 8f 3b 1a 95 07 38 f5 2e 96 00 74 6a 0e 27 a5 5a 21",
     "db fa a6 93 d1 76 2c 5b 66 6a f5 d9 50 25 8d 01", "5b d3 c7 1b 83 6e 0b 76 bb 73 26 5f", 0,
     TLS_HANDSHAKE,
     "14 00 00 20 a8 ec 43 6d 67 76 34 ae 52 5a c1 fc eb e1 1a 03 9e c1 76 94 fa c6 e9 85 27 b6 42 f2 ed d5 "
     "ce 61",
     "17 03 03 00 35 75 ec 4d c2 38 cc e6 0b 29 80 44 a7 1e 21 9c 56 cc 77 b0 51 7f e9 b9 3c 7a 4b fc 44 d8 "
     "7f 38 "
     "f8 03 38 ac 98 fc 46 de b3 84 bd 1c ae ac ab 68 67 d7 26 c4 05 46"},
    /* {client} application traffic: data, then close_notify */
    {"9e 40 64 6c e7 9a 7f 9d c0 5a f8 88 9b ce 65 52 87 5a fa 0b 06 df 00 87 f7 92 eb b7 c1 75 04 a5",
     "17 42 2d da 59 6e d5 d9 ac d8 90 e3 c6 3f 50 51", "5b 78 92 3d ee 08 57 90 33 e5 23 d9", 0, TLS_DATA,
     NULL,
     "17 03 03 00 43 a2 3f 70 54 b6 2c 94 d0 af fa fe 82 28 ba 55 cb ef ac ea 42 f9 14 aa 66 bc ab 3f 2b 98 "
     "19 a8 "
     "a5 b4 6b 39 5b d5 4a 9a 20 44 1e 2b 62 97 4e 1f 5a 62 92 a2 97 70 14 bd 1e 3d ea e6 3a ee bb 21 69 49 "
     "15 e4"},
    {"9e 40 64 6c e7 9a 7f 9d c0 5a f8 88 9b ce 65 52 87 5a fa 0b 06 df 00 87 f7 92 eb b7 c1 75 04 a5",
     "17 42 2d da 59 6e d5 d9 ac d8 90 e3 c6 3f 50 51", "5b 78 92 3d ee 08 57 90 33 e5 23 d9", 1, TLS_ALERT,
     "01 00", "17 03 03 00 13 c9 87 27 60 65 56 66 b7 4d 7f f1 15 3e fd 6d b6 d0 b0 e3"},
    /* {server} application traffic: data behind the ticket, then close_notify */
    {"a1 1a f9 f0 55 31 f8 56 ad 47 11 6b 45 a9 50 32 82 04 b4 f4 4b fb 6b 3a 4b 4f 1f 3f cb 63 16 43",
     "9f 02 28 3b 6c 9c 07 ef c2 6b b9 f2 ac 92 e3 56", "cf 78 2b 88 dd 83 54 9a ad f1 e9 84", 1, TLS_DATA,
     NULL,
     "17 03 03 00 43 2e 93 7e 11 ef 4a c7 40 e5 38 ad 36 00 5f c4 a4 69 32 fc 32 25 d0 5f 82 aa 1b 36 e3 0e "
     "fa f9 "
     "7d 90 e6 df fc 60 2d cb 50 1a 59 a8 fc c4 9c 4b f2 e5 f0 a2 1c 00 47 c2 ab f3 32 54 0d d0 32 e1 67 c2 "
     "95 5d"},
    {"a1 1a f9 f0 55 31 f8 56 ad 47 11 6b 45 a9 50 32 82 04 b4 f4 4b fb 6b 3a 4b 4f 1f 3f cb 63 16 43",
     "9f 02 28 3b 6c 9c 07 ef c2 6b b9 f2 ac 92 e3 56", "cf 78 2b 88 dd 83 54 9a ad f1 e9 84", 2, TLS_ALERT,
     "01 00", "17 03 03 00 13 b5 8f d6 71 66 eb f5 99 d2 47 20 cf be 7e fa 7a 88 64 a9"},
};

static void rfc8448(void **state)
{
	const struct tls_suite *suite = &suites[0];

	for (size_t i = 0; i < sizeof(traces) / sizeof(*traces); i++) {
		const struct trace *t = &traces[i];
		uint8_t secret[32], want[64], record[128], text[128], out[256], type = 0;
		struct tls_keys keys;
		size_t size = unhex(t->record, record), n = 50;
		unhex(t->secret, secret);
		assert_int_equal(tls_derive_keys(*state, suite, secret, &keys), 0);
		assert_int_equal(unhex(t->key, want), 16);
		assert_memory_equal(keys.key, want, 16);
		assert_int_equal(unhex(t->iv, want), 12);
		assert_memory_equal(keys.iv, want, 12);
		if (t->text)
			n = unhex(t->text, text);
		else
			for (uint8_t k = 0; k < 50; k++)
				text[k] = k;
		assert_int_equal(tls_record_size(suite, record, 5), size);
		assert_int_equal(tls_open(*state, suite, &keys, t->seq, record, size, out, &type), n);
		assert_int_equal(type, t->type);
		assert_memory_equal(out, text, n);
		assert_int_equal(tls_seal(*state, suite, &keys, t->seq, 0, type, text, n, out), size);
		assert_memory_equal(out, record, size);
	}
}

/* --- OpenSSL on the other side --- */

struct peer {
	SSL_CTX *ctx[2];
	SSL *client, *server;
	BIO *to_client, *to_server;
	uint8_t client_secret[48], server_secret[48];
	struct tls_keys in, out;
	uint64_t in_seq, out_seq;
};

static void heard_secret(const SSL *ssl, const char *line)
{
	struct peer *p = SSL_get_app_data(ssl);

	if (strncmp(line, "CLIENT_TRAFFIC_SECRET_0 ", 24) == 0)
		unhex(strrchr(line, ' ') + 1, p->client_secret);
	if (strncmp(line, "SERVER_TRAFFIC_SECRET_0 ", 24) == 0)
		unhex(strrchr(line, ' ') + 1, p->server_secret);
}

static void peer_certificate(SSL_CTX *ctx)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = X509_new();

	ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
	X509_gmtime_adj(X509_getm_notBefore(cert), -3600);
	X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
	X509_set_pubkey(cert, key);
	assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
	assert_int_equal(SSL_CTX_use_certificate(ctx, cert), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(ctx, key), 1);
	X509_free(cert);
	EVP_PKEY_free(key);
}

/* A handshake over memory. What the server would have sent or read after it is ours. */
static void peer_connect(struct peer *p, const struct tls_suite *suite)
{
	static const char *const names13[] = {"", "TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384",
					      "TLS_CHACHA20_POLY1305_SHA256"};
	static const char *const names12[] = {"", "ECDHE-ECDSA-AES128-GCM-SHA256",
					      "ECDHE-ECDSA-AES256-GCM-SHA384",
					      "ECDHE-ECDSA-CHACHA20-POLY1305"};
	int version = suite->version == TLS_1_3 ? TLS1_3_VERSION : TLS1_2_VERSION;

	memset(p, 0, sizeof(*p));
	p->ctx[0] = SSL_CTX_new(TLS_client_method());
	p->ctx[1] = SSL_CTX_new(TLS_server_method());
	peer_certificate(p->ctx[1]);
	SSL_CTX_set_keylog_callback(p->ctx[1], heard_secret);
	SSL_CTX_set_num_tickets(p->ctx[1], 0);
	SSL_CTX_set_options(p->ctx[1], SSL_OP_NO_TICKET);
	for (int i = 0; i < 2; i++) {
		SSL_CTX_set_min_proto_version(p->ctx[i], version);
		SSL_CTX_set_max_proto_version(p->ctx[i], version);
		assert_int_equal(SSL_CTX_set_cipher_list(p->ctx[i], names12[suite->aead]), 1);
		assert_int_equal(
		    SSL_CTX_set_ciphersuites(p->ctx[i], names13[suite->version == TLS_1_3 ? suite->aead : 1]),
		    1);
	}
	p->client = SSL_new(p->ctx[0]);
	p->server = SSL_new(p->ctx[1]);
	SSL_set_app_data(p->server, p);
	p->to_client = BIO_new(BIO_s_mem());
	p->to_server = BIO_new(BIO_s_mem());
	BIO_up_ref(p->to_client);
	BIO_up_ref(p->to_server);
	SSL_set_bio(p->client, p->to_client, p->to_server);
	SSL_set_bio(p->server, p->to_server, p->to_client);
	SSL_set_connect_state(p->client);
	SSL_set_accept_state(p->server);
	for (int i = 0; i < 4; i++) {
		SSL_do_handshake(p->client);
		SSL_do_handshake(p->server);
	}
	assert_true(SSL_is_init_finished(p->client) && SSL_is_init_finished(p->server));
	assert_int_equal(BIO_ctrl_pending(p->to_client) + BIO_ctrl_pending(p->to_server), 0);
}

static void peer_adopt(struct peer *p, struct tls_cryptor *c, const struct tls_suite *suite)
{
	uint8_t master[48], client[32], server[32];

	if (suite->version == TLS_1_3) {
		assert_int_equal(tls_derive_keys(c, suite, p->client_secret, &p->in), 0);
		assert_int_equal(tls_derive_keys(c, suite, p->server_secret, &p->out), 0);
		return;
	}
	assert_int_equal(SSL_SESSION_get_master_key(SSL_get_session(p->server), master, 48), 48);
	SSL_get_client_random(p->server, client, 32);
	SSL_get_server_random(p->server, server, 32);
	assert_int_equal(tls12_keys(c, suite, master, client, server, &p->in, &p->out), 0);
	p->in_seq = p->out_seq = 1; /* Finished was 0 */
}

static void peer_free(struct peer *p)
{
	SSL_free(p->client);
	SSL_free(p->server);
	SSL_CTX_free(p->ctx[0]);
	SSL_CTX_free(p->ctx[1]);
}

/* The next record that the client sent; its plain bytes. */
static ssize_t peer_record(struct peer *p, struct tls_cryptor *c, const struct tls_suite *suite, uint8_t *buf,
			   uint8_t *type)
{
	uint8_t record[TLS_RECORD_MAX];

	assert_int_equal(BIO_read(p->to_server, record, 5), 5);
	ssize_t size = tls_record_size(suite, record, 5);
	assert_true(size > 5);
	assert_int_equal(BIO_read(p->to_server, record + 5, (int)size - 5), size - 5);
	return tls_open(c, suite, &p->in, p->in_seq++, record, (size_t)size, buf, type);
}

static void peer_send(struct peer *p, struct tls_cryptor *c, const struct tls_suite *suite, uint8_t type,
		      const void *data, size_t n)
{
	uint8_t record[TLS_PLAIN_MAX + TLS_RECORD_OVERHEAD];
	ssize_t size =
	    tls_seal(c, suite, &p->out, p->out_seq, 0xfffffffffffffff0 + p->out_seq, type, data, n, record);

	p->out_seq++;
	assert_in_range(size, n + 21, n + TLS_RECORD_OVERHEAD);
	assert_int_equal(BIO_write(p->to_client, record, (int)size), size);
}

static void peer_talk(struct peer *p, struct tls_cryptor *c, const struct tls_suite *suite)
{
	static const size_t sizes[] = {1, 2, 15, 16, 17, 100, 2047, 2048, 2049, 5000, 16383, 16384};
	uint8_t text[TLS_PLAIN_MAX], got[TLS_RECORD_MAX], type;

	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		size_t n = sizes[i], have = 0;
		for (size_t k = 0; k < n; k++)
			text[k] = (uint8_t)(k * 7 + i);
		assert_int_equal(SSL_write(p->client, text, (int)n), n);
		while (have < n) {
			ssize_t k = peer_record(p, c, suite, got + have, &type);
			assert_true(k > 0 && type == TLS_DATA);
			have += (size_t)k;
		}
		assert_memory_equal(got, text, n);
		memset(got, 0, n);
		peer_send(p, c, suite, TLS_DATA, text, n);
		assert_int_equal(SSL_read(p->client, got, sizeof(got)), n);
		assert_memory_equal(got, text, n);
	}
	/* An empty record is nothing to the other side, but has a number. */
	peer_send(p, c, suite, TLS_DATA, "", 0);
	peer_send(p, c, suite, TLS_DATA, "x", 1);
	assert_int_equal(SSL_read(p->client, got, sizeof(got)), 1);
}

static void peer_end(struct peer *p, struct tls_cryptor *c, const struct tls_suite *suite)
{
	uint8_t got[TLS_RECORD_MAX], type;

	peer_send(p, c, suite, TLS_ALERT, "\1", 2); /* warning, close_notify */
	assert_int_equal(SSL_read(p->client, got, sizeof(got)), 0);
	assert_int_equal(SSL_get_error(p->client, 0), SSL_ERROR_ZERO_RETURN);
	SSL_shutdown(p->client);
	assert_int_equal(peer_record(p, c, suite, got, &type), 2);
	assert_int_equal(type, TLS_ALERT);
	assert_memory_equal(got, "\1", 2);
}

/* All connections talk by turns, with one cryptor. */
static void openssl_talks(void **state)
{
	struct peer peers[SUITES];

	for (size_t i = 0; i < SUITES; i++) {
		peer_connect(&peers[i], &suites[i]);
		peer_adopt(&peers[i], *state, &suites[i]);
	}
	for (int round = 0; round < 2; round++)
		for (size_t i = 0; i < SUITES; i++)
			peer_talk(&peers[i], *state, &suites[i]);
	for (size_t i = 0; i < SUITES; i++) {
		peer_end(&peers[i], *state, &suites[i]);
		peer_free(&peers[i]);
	}
}

/* Padding: to a multiple of 512, and as much as fits. */
static void openssl_pads(void **state)
{
	static const size_t blocks[] = {512, SSL3_RT_MAX_PLAIN_LENGTH};

	for (size_t i = 0; i < 3; i++)
		for (size_t b = 0; b < 2; b++) {
			uint8_t got[TLS_RECORD_MAX], type;
			struct peer p;
			peer_connect(&p, &suites[i]);
			peer_adopt(&p, *state, &suites[i]);
			assert_int_equal(SSL_set_block_padding(p.client, blocks[b]), 1);
			assert_int_equal(SSL_write(p.client, "hello", 5), 5);
			assert_true(BIO_ctrl_pending(p.to_server) >= blocks[b]);
			assert_int_equal(peer_record(&p, *state, &suites[i], got, &type), 5);
			assert_memory_equal(got, "hello", 5);
			assert_int_equal(type, TLS_DATA);
			peer_free(&p);
		}
}

static void openssl_rekeys(void **state)
{
	for (size_t i = 0; i < 3; i++) {
		uint8_t got[TLS_RECORD_MAX], next[48], type;
		struct peer p;
		peer_connect(&p, &suites[i]);
		peer_adopt(&p, *state, &suites[i]);
		for (int turn = 0; turn < 3; turn++) {
			assert_int_equal(SSL_key_update(p.client, SSL_KEY_UPDATE_REQUESTED), 1);
			assert_int_equal(SSL_do_handshake(p.client), 1);
			assert_int_equal(peer_record(&p, *state, &suites[i], got, &type), 5);
			assert_int_equal(type, TLS_HANDSHAKE);
			assert_memory_equal(got, "\x18\0\0\1\1", 5);
			assert_int_equal(tls_next_secret(*state, &suites[i], p.client_secret, next), 0);
			memcpy(p.client_secret, next, sizeof(next));
			assert_int_equal(tls_derive_keys(*state, &suites[i], next, &p.in), 0);
			p.in_seq = 0;
			peer_send(&p, *state, &suites[i], TLS_HANDSHAKE, "\x18\0\0\1\0", 5);
			assert_int_equal(tls_next_secret(*state, &suites[i], p.server_secret, next), 0);
			memcpy(p.server_secret, next, sizeof(next));
			assert_int_equal(tls_derive_keys(*state, &suites[i], next, &p.out), 0);
			p.out_seq = 0;
			peer_talk(&p, *state, &suites[i]);
		}
		peer_end(&p, *state, &suites[i]);
		peer_free(&p);
	}
}

/* --- what nobody should send --- */

static const struct tls_keys some_keys = {{1, 2, 3}, {4, 5, 6}};

/* As tls_seal() would, but with any text inside and any header: what a peer can do who has the keys. */
static size_t forge(const struct tls_suite *suite, uint64_t seq, uint8_t outer, const uint8_t *inner,
		    size_t n, uint8_t *out)
{
	static const char *const names[] = {"", "AES-128-GCM", "AES-256-GCM", "ChaCha20-Poly1305"};
	bool old = suite->version == TLS_1_2;
	size_t explicit = old && suite->aead != TLS_CHACHA20_POLY1305 ? 8 : 0, body = explicit + n + 16;
	uint8_t nonce[12], number[8] = {0, 0, 0, 0, 0, 0, 0, (uint8_t)seq}, aad[13];
	EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, names[suite->aead], NULL);
	EVP_CIPHER_CTX *evp = EVP_CIPHER_CTX_new();
	int k;

	memcpy(out, (uint8_t[]){outer, 3, 3, (uint8_t)(body >> 8), (uint8_t)body}, 5);
	memset(out + 5, 9, explicit);
	memcpy(nonce, some_keys.iv, 12);
	if (explicit)
		memset(nonce + 4, 9, 8);
	else
		nonce[11] ^= (uint8_t)seq;
	memcpy(aad, number, 8);
	memcpy(aad + 8, (uint8_t[]){outer, 3, 3, (uint8_t)(n >> 8), (uint8_t)n}, 5);
	EVP_EncryptInit_ex2(evp, cipher, some_keys.key, nonce, NULL);
	EVP_EncryptUpdate(evp, NULL, &k, old ? aad : out, old ? 13 : 5);
	if (n > 0)
		EVP_EncryptUpdate(evp, out + 5 + explicit, &k, inner, (int)n);
	EVP_EncryptFinal_ex(evp, out, &k);
	EVP_CIPHER_CTX_ctrl(evp, EVP_CTRL_AEAD_GET_TAG, 16, out + 5 + explicit + n);
	EVP_CIPHER_CTX_free(evp);
	EVP_CIPHER_free(cipher);
	return 5 + body;
}

/* Opens from a heap block of its own size, into one of the record's size, so that ASan sees what is beyond. */
static ssize_t open_exactly(struct tls_cryptor *c, const struct tls_suite *suite, uint64_t seq,
			    const uint8_t *record, size_t size, uint8_t *type)
{
	uint8_t *copy = malloc(size), *buf = malloc(size);

	memcpy(copy, record, size);
	memset(buf, 0, size);
	ssize_t n = tls_open(c, suite, &some_keys, seq, copy, size, buf, type);
	for (size_t i = 0; n < 0 && i < size; i++)
		assert_int_equal(buf[i], 0);
	free(copy);
	free(buf);
	return n;
}

/* Nothing but the record itself, with its number, can be opened; and the next good one still can. */
static void tampered(void **state)
{
	uint8_t record[256], type;

	for (size_t i = 0; i < SUITES; i++) {
		size_t size =
		    (size_t)tls_seal(*state, &suites[i], &some_keys, 7, 99, TLS_DATA, "some text", 9, record);
		assert_int_equal(open_exactly(*state, &suites[i], 7, record, size, &type), 9);
		assert_int_equal(open_exactly(*state, &suites[i], 6, record, size, &type),
				 -TLS_BAD_RECORD_MAC);
		for (size_t bit = 0; bit < 8 * size; bit++) {
			record[bit / 8] ^= (uint8_t)(1 << bit % 8);
			/* TLS 1.2 authenticates the size of the text, which is the caller's here, not the header's. */
			bool unused = suites[i].version == TLS_1_2 && bit >= 24 && bit < 40;
			assert_int_equal(open_exactly(*state, &suites[i], 7, record, size, &type),
					 unused ? 9 : -TLS_BAD_RECORD_MAC);
			record[bit / 8] ^= (uint8_t)(1 << bit % 8);
		}
		for (size_t n = 0; n < size; n++)
			assert_int_equal(open_exactly(*state, &suites[i], 7, record, n, &type),
					 -TLS_BAD_RECORD_MAC);
		assert_int_equal(open_exactly(*state, &suites[i], 7, record, size, &type), 9);
		assert_int_equal(type, TLS_DATA);
	}
}

static void sizes(void **state)
{
	static uint8_t text[TLS_PLAIN_MAX + 300], record[sizeof(text) + 100], again[sizeof(record)];
	uint8_t type;

	for (size_t i = 0; i < SUITES; i++) {
		const struct tls_suite *s = &suites[i];
		bool new = s->version == TLS_1_3;
		memset(text, 'x', sizeof(text));
		assert_int_equal(
		    tls_seal(*state, s, &some_keys, 0, 9, TLS_DATA, text, TLS_PLAIN_MAX + 1, record),
		    -EMSGSIZE);
		/* Of the same bytes in one or two calls of EVP, what is sealed is the same. */
		for (size_t n = 0; n <= TLS_PLAIN_MAX; n = n < 4		       ? n + 1
							   : n * 2 - 1 > TLS_PLAIN_MAX ? n + 4096
										       : n * 2 - 1) {
			text[n] = TLS_DATA;
			ssize_t size =
			    tls_seal(*state, s, &some_keys, 0, 0x0909090909090909, TLS_DATA, text, n, record);
			assert_int_equal(forge(s, 0, TLS_DATA, text, n + new, again), size);
			assert_memory_equal(record, again, (size_t)size);
			assert_int_equal(tls_record_size(s, record, 5), size);
			assert_int_equal(open_exactly(*state, s, 0, record, (size_t)size, &type), n);
			text[n] = 'x';
		}
		/* The most that may come, and more. */
		text[TLS_PLAIN_MAX] = new ? TLS_DATA : 'x';
		size_t most = TLS_PLAIN_MAX + new, size = forge(s, 1, TLS_DATA, text, most, record);
		assert_int_equal(tls_record_size(s, record, 5), size);
		assert_int_equal(open_exactly(*state, s, 1, record, size, &type), TLS_PLAIN_MAX);
		text[most] = text[most - 1];
		size = forge(s, 1, TLS_DATA, text, most + 1, record);
		assert_int_equal(open_exactly(*state, s, 1, record, size, &type), -TLS_RECORD_OVERFLOW);
		assert_int_equal(tls_record_size(s, record, 5), new ? (ssize_t)size : -TLS_RECORD_OVERFLOW);
		memcpy(record + 3, "\x41\x00", 2); /* 16384 + 256 */
		assert_int_equal(tls_record_size(s, record, 5), new ? TLS_RECORD_MAX : -TLS_RECORD_OVERFLOW);
		memcpy(record + 3, "\x41\x01", 2);
		assert_int_equal(tls_record_size(s, record, 5), -TLS_RECORD_OVERFLOW);
	}
}

static void headers(void **state)
{
	(void)state;
	for (size_t i = 0; i < SUITES; i++) {
		bool new = suites[i].version == TLS_1_3;
		uint8_t h[5] = {TLS_DATA, 3, 3, 0, 20};
		assert_int_equal(tls_record_size(&suites[i], h, 5), 25);
		for (size_t have = 0; have < 5; have++)
			assert_int_equal(tls_record_size(&suites[i], h, have), 0);
		for (unsigned type = 0; type < 256; type++) {
			h[0] = (uint8_t)type;
			bool may = type == TLS_DATA || (!new && (type == TLS_ALERT || type == TLS_HANDSHAKE));
			assert_int_equal(tls_record_size(&suites[i], h, 5),
					 may ? 25 : -TLS_UNEXPECTED_MESSAGE);
			/* Said as early as it can be. */
			assert_int_equal(tls_record_size(&suites[i], h, 1),
					 may ? 0 : -TLS_UNEXPECTED_MESSAGE);
		}
		h[0] = TLS_DATA;
		h[2] = 1;
		assert_int_equal(tls_record_size(&suites[i], h, 5), new ? 25 : -TLS_PROTOCOL_VERSION);
	}
}

/* Types and padding, inside (TLS 1.3) or outside (TLS 1.2). */
static void contents(void **state)
{
	static uint8_t padded[TLS_PLAIN_MAX + 2];
	uint8_t record[TLS_RECORD_MAX], type;

	for (size_t i = 0; i < SUITES; i++) {
		const struct tls_suite *s = &suites[i];
		bool new = s->version == TLS_1_3;
		for (unsigned t = 0; t < 256; t++) {
			uint8_t inner[] = {'a', 'b', (uint8_t)t};
			size_t size = forge(s, 0, new ? TLS_DATA : (uint8_t)t, inner, new ? 3 : 2, record);
			ssize_t want = t >= TLS_ALERT && t <= TLS_DATA ? 2 : -TLS_UNEXPECTED_MESSAGE;
			if (new && (t == 0)) /* 'b' is the type then */
				want = -TLS_UNEXPECTED_MESSAGE;
			assert_int_equal(open_exactly(*state, s, 0, record, size, &type), want);
			assert_true(want < 0 || type == t);
			/* Empty ones are for data only. */
			inner[0] = (uint8_t)t;
			size = forge(s, 0, new ? TLS_DATA : (uint8_t)t, inner, new, record);
			assert_int_equal(open_exactly(*state, s, 0, record, size, &type),
					 t == TLS_DATA ? 0 : -TLS_UNEXPECTED_MESSAGE);
		}
		if (!new)
			continue;
		/* Nothing inside, and nothing but padding. */
		size_t size = forge(s, 0, TLS_DATA, padded, 0, record);
		assert_int_equal(open_exactly(*state, s, 0, record, size, &type), -TLS_UNEXPECTED_MESSAGE);
		size = forge(s, 0, TLS_DATA, padded, TLS_PLAIN_MAX + 1, record);
		assert_int_equal(open_exactly(*state, s, 0, record, size, &type), -TLS_UNEXPECTED_MESSAGE);
		/* Zeros of the text are not padding. */
		memcpy(padded, "\0\0x\0\0\x17", 6);
		size = forge(s, 0, TLS_DATA, padded, TLS_PLAIN_MAX + 1, record);
		assert_int_equal(open_exactly(*state, s, 0, record, size, &type), 5);
		/* One byte too much, though it is padding. */
		size = forge(s, 0, TLS_DATA, padded, sizeof(padded), record);
		assert_int_equal(open_exactly(*state, s, 0, record, size, &type), -TLS_RECORD_OVERFLOW);
		memset(padded, 0, 6);
	}
}

static void suites_checked(void **state)
{
	(void)state;
	for (size_t i = 0; i < SUITES; i++)
		assert_int_equal(tls_suite_check(&suites[i]), 0);
	assert_int_equal(tls_suite_check(&(struct tls_suite){2, TLS_AES_128_GCM, 32}), -EINVAL);
	assert_int_equal(tls_suite_check(&(struct tls_suite){5, TLS_AES_128_GCM, 32}), -EINVAL);
	assert_int_equal(tls_suite_check(&(struct tls_suite){TLS_1_3, 0, 32}), -EINVAL);
	assert_int_equal(tls_suite_check(&(struct tls_suite){TLS_1_3, 4, 32}), -EINVAL);
	assert_int_equal(tls_suite_check(&(struct tls_suite){TLS_1_3, 1, 0}), -EINVAL);
	assert_int_equal(tls_suite_check(&(struct tls_suite){TLS_1_3, 1, 47}), -EINVAL);
}

/* Keys that differ in one bit are others, though the context has the one of before. */
static void other_keys(void **state)
{
	uint8_t record[64], type;

	for (size_t i = 0; i < SUITES; i++)
		for (size_t bit = 0; bit < (suites[i].aead == TLS_AES_128_GCM ? 128 : 256); bit++) {
			struct tls_keys other = some_keys;
			other.key[bit / 8] ^= (uint8_t)(1 << bit % 8);
			ssize_t size =
			    tls_seal(*state, &suites[i], &some_keys, 0, 0, TLS_DATA, "text", 4, record);
			assert_int_equal(open_exactly(*state, &suites[i], 0, record, (size_t)size, &type), 4);
			uint8_t buf[64];
			assert_int_equal(
			    tls_open(*state, &suites[i], &other, 0, record, (size_t)size, buf, &type),
			    -TLS_BAD_RECORD_MAC);
			size = tls_seal(*state, &suites[i], &other, 0, 0, TLS_DATA, "text", 4, record);
			assert_int_equal(open_exactly(*state, &suites[i], 0, record, (size_t)size, &type),
					 -TLS_BAD_RECORD_MAC);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(rfc8448, with_cryptor, without_cryptor),
	    cmocka_unit_test_setup_teardown(openssl_talks, with_cryptor, without_cryptor),
	    cmocka_unit_test_setup_teardown(openssl_pads, with_cryptor, without_cryptor),
	    cmocka_unit_test_setup_teardown(openssl_rekeys, with_cryptor, without_cryptor),
	    cmocka_unit_test_setup_teardown(tampered, with_cryptor, without_cryptor),
	    cmocka_unit_test_setup_teardown(sizes, with_cryptor, without_cryptor),
	    cmocka_unit_test(headers),
	    cmocka_unit_test_setup_teardown(contents, with_cryptor, without_cryptor),
	    cmocka_unit_test(suites_checked),
	    cmocka_unit_test_setup_teardown(other_keys, with_cryptor, without_cryptor),
	};

	return cmocka_run_group_tests_name("tls_record", tests, NULL, NULL);
}
