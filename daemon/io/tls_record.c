/* SPDX-License-Identifier: MIT */
/*
 * TLS records by libcrypto's EVP. A context of EVP is larger than all else that a connection has, so a thread
 * has one for each AEAD and direction, and gives it another key when it is another connection's turn. EVP takes
 * longer for a call than for the bytes of a line of chat, so short records are sealed by libsodium where it can.
 */
#include "daemon/io/tls_record.h"

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <sodium.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define RECORD_TAG 16
#define RECORD_NONCE 12
/* TLS 1.2's additional data is longer than TLS 1.3's, which is the header. */
#define RECORD_AAD_MAX 13
/* Up to here a copy costs less than another call of EVP. */
#define RECORD_COPIED 2048
/* Up to here libsodium is faster than EVP, which has wider loops. */
#define RECORD_SHORT 1024

enum { RECORD_OPEN, RECORD_SEAL };

struct record_context {
	EVP_CIPHER_CTX *evp;
	uint8_t key[32]; /* which it has, if ready */
	bool ready;
};

struct tls_cryptor {
	crypto_aead_aes256gcm_state short_state; /* of short_key, if short_ready */
	uint8_t short_key[32];
	bool short_ready, short_aes;
	EVP_CIPHER *ciphers[TLS_CHACHA20_POLY1305 + 1];
	struct record_context contexts[2][TLS_CHACHA20_POLY1305 + 1];
	EVP_KDF *hkdf, *prf;
};

/* What a record needs besides its text. */
struct record_extra {
	uint8_t nonce[RECORD_NONCE], aad[RECORD_AAD_MAX];
	int aad_size;
};

static const struct {
	const char *name;
	size_t key;
	size_t salt;	 /* TLS 1.2: bytes of iv that the key block has */
	size_t explicit; /* TLS 1.2: bytes of the nonce that go with each record */
} aeads[] = {
    [TLS_AES_128_GCM] = {"AES-128-GCM", 16, 4, 8},
    [TLS_AES_256_GCM] = {"AES-256-GCM", 32, 4, 8},
    [TLS_CHACHA20_POLY1305] = {"ChaCha20-Poly1305", 32, 12, 0},
};

/* --- contexts --- */

int tls_cryptor_new(struct tls_cryptor **ret)
{
	struct tls_cryptor *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->short_aes = sodium_init() >= 0 && crypto_aead_aes256gcm_is_available();
	c->hkdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
	c->prf = EVP_KDF_fetch(NULL, "TLS1-PRF", NULL);
	bool good = c->hkdf && c->prf;
	for (int aead = TLS_AES_128_GCM; aead <= TLS_CHACHA20_POLY1305; aead++) {
		c->ciphers[aead] = EVP_CIPHER_fetch(NULL, aeads[aead].name, NULL);
		good = good && c->ciphers[aead];
	}
	if (!good) {
		tls_cryptor_free(c);
		return -EOPNOTSUPP;
	}
	*ret = c;
	return 0;
}

void tls_cryptor_free(struct tls_cryptor *c)
{
	if (!c)
		return;
	for (int aead = TLS_AES_128_GCM; aead <= TLS_CHACHA20_POLY1305; aead++) {
		EVP_CIPHER_CTX_free(c->contexts[RECORD_OPEN][aead].evp); /* wipes its key */
		EVP_CIPHER_CTX_free(c->contexts[RECORD_SEAL][aead].evp);
		EVP_CIPHER_free(c->ciphers[aead]);
	}
	EVP_KDF_free(c->hkdf);
	EVP_KDF_free(c->prf);
	OPENSSL_cleanse(c, sizeof(*c));
	free(c);
}

static bool record_same_key(const uint8_t a[32], const uint8_t b[32])
{
	uint64_t x[4], y[4];

	memcpy(x, a, sizeof(x));
	memcpy(y, b, sizeof(y));
	return ((x[0] ^ y[0]) | (x[1] ^ y[1]) | (x[2] ^ y[2]) | (x[3] ^ y[3])) == 0;
}

/* The context, set to a nonce and if need be to a key; NULL if that failed. */
static EVP_CIPHER_CTX *record_context(struct tls_cryptor *c, int direction, uint8_t aead, const uint8_t *key,
				      const uint8_t *nonce)
{
	struct record_context *x = &c->contexts[direction][aead];
	bool same = x->ready && record_same_key(x->key, key);

	if (!x->evp) {
		x->evp = EVP_CIPHER_CTX_new();
		if (!x->evp ||
		    EVP_CipherInit_ex2(x->evp, c->ciphers[aead], NULL, NULL, direction, NULL) != 1) {
			EVP_CIPHER_CTX_free(x->evp);
			x->evp = NULL;
			return NULL;
		}
	}
	x->ready = EVP_CipherInit_ex2(x->evp, NULL, same ? NULL : key, nonce, direction, NULL) == 1;
	if (!x->ready)
		return NULL;
	if (!same)
		memcpy(x->key, key, sizeof(x->key));
	return x->evp;
}

/* --- keys --- */

int tls_suite_check(const struct tls_suite *suite)
{
	if (suite->version != TLS_1_2 && suite->version != TLS_1_3)
		return -EINVAL;
	if (suite->aead < TLS_AES_128_GCM || suite->aead > TLS_CHACHA20_POLY1305)
		return -EINVAL;
	return suite->hash == 32 || suite->hash == 48 ? 0 : -EINVAL;
}

static char *record_digest(const struct tls_suite *suite)
{
	static char sha256[] = "SHA256", sha384[] = "SHA384";

	return suite->hash == 48 ? sha384 : sha256;
}

/* HKDF-Expand-Label with an empty context: RFC 8446, 7.1. */
static int record_expand(struct tls_cryptor *c, const struct tls_suite *suite, const uint8_t *secret,
			 const char *label, uint8_t *out, size_t len)
{
	static const char prefix[] = "tls13 ";
	uint8_t info[32] = {(uint8_t)(len >> 8), (uint8_t)len};
	size_t n = 3;
	int mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY;
	EVP_KDF_CTX *kdf = EVP_KDF_CTX_new(c->hkdf);

	info[2] = (uint8_t)(sizeof(prefix) - 1 + strlen(label));
	memcpy(info + n, prefix, sizeof(prefix) - 1);
	n += sizeof(prefix) - 1;
	memcpy(info + n, label, strlen(label));
	n += strlen(label) + 1; /* no context: its size, 0 */
	OSSL_PARAM params[] = {
	    OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode),
	    OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, record_digest(suite), 0),
	    OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)secret, suite->hash),
	    OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info, n),
	    OSSL_PARAM_construct_end(),
	};
	int r = kdf && EVP_KDF_derive(kdf, out, len, params) == 1 ? 0 : -EIO;
	EVP_KDF_CTX_free(kdf);
	return r;
}

int tls_derive_keys(struct tls_cryptor *c, const struct tls_suite *suite, const uint8_t *secret,
		    struct tls_keys *ret)
{
	memset(ret, 0, sizeof(*ret));
	int r = record_expand(c, suite, secret, "key", ret->key, aeads[suite->aead].key);
	if (r == 0)
		r = record_expand(c, suite, secret, "iv", ret->iv, sizeof(ret->iv));
	if (r < 0)
		OPENSSL_cleanse(ret, sizeof(*ret));
	return r;
}

int tls_next_secret(struct tls_cryptor *c, const struct tls_suite *suite, const uint8_t *secret, uint8_t *ret)
{
	return record_expand(c, suite, secret, "traffic upd", ret, suite->hash);
}

/* RFC 5246, 6.3: the keys of client and server, then what their nonces begin with. */
int tls12_keys(struct tls_cryptor *c, const struct tls_suite *suite, const uint8_t master[48],
	       const uint8_t client_random[32], const uint8_t server_random[32], struct tls_keys *ret_client,
	       struct tls_keys *ret_server)
{
	static char label[] = "key expansion";
	size_t key = aeads[suite->aead].key, salt = aeads[suite->aead].salt;
	uint8_t seed[64], block[2 * sizeof(struct tls_keys)];
	EVP_KDF_CTX *kdf = EVP_KDF_CTX_new(c->prf);

	memcpy(seed, server_random, 32);
	memcpy(seed + 32, client_random, 32);
	OSSL_PARAM params[] = {
	    OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, record_digest(suite), 0),
	    OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SECRET, (void *)master, 48),
	    OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SEED, label, sizeof(label) - 1),
	    OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SEED, seed, sizeof(seed)),
	    OSSL_PARAM_construct_end(),
	};
	int r = kdf && EVP_KDF_derive(kdf, block, 2 * key + 2 * salt, params) == 1 ? 0 : -EIO;
	EVP_KDF_CTX_free(kdf);
	memset(ret_client, 0, sizeof(*ret_client));
	memset(ret_server, 0, sizeof(*ret_server));
	if (r == 0) {
		memcpy(ret_client->key, block, key);
		memcpy(ret_server->key, block + key, key);
		memcpy(ret_client->iv, block + 2 * key, salt);
		memcpy(ret_server->iv, block + 2 * key + salt, salt);
	}
	OPENSSL_cleanse(block, sizeof(block));
	return r;
}

/* --- records --- */

static void record_put(uint8_t *p, uint64_t value, int bytes)
{
	while (bytes-- > 0) {
		p[bytes] = (uint8_t)value;
		value >>= 8;
	}
}

/* Bytes of the nonce that are sent with each record. */
static size_t record_explicit(const struct tls_suite *suite)
{
	return suite->version == TLS_1_2 ? aeads[suite->aead].explicit : 0;
}

/* header is the record's, explicit what follows it; n: bytes of its text. */
static void record_prepare(const struct tls_suite *suite, const uint8_t *iv, uint64_t seq,
			   const uint8_t *header, size_t n, struct record_extra *ret)
{
	size_t explicit = record_explicit(suite);
	uint8_t number[8];

	record_put(number, seq, 8);
	memcpy(ret->nonce, iv, RECORD_NONCE);
	if (explicit > 0) {
		memcpy(ret->nonce + RECORD_NONCE - explicit, header + TLS_HEADER_SIZE, explicit);
	} else {
		for (int i = 0; i < 8; i++)
			ret->nonce[RECORD_NONCE - 8 + i] ^= number[i];
	}
	if (suite->version == TLS_1_3) {
		memcpy(ret->aad, header, TLS_HEADER_SIZE);
		ret->aad_size = TLS_HEADER_SIZE;
		return;
	}
	memcpy(ret->aad, number, 8);
	memcpy(ret->aad + 8, header, 3);
	record_put(ret->aad + 11, n, 2);
	ret->aad_size = RECORD_AAD_MAX;
}

/* Text is sealed in its place, the tag goes behind it. Whether that was done: not all AEADs and processors. */
static bool record_seal_short(struct tls_cryptor *c, uint8_t aead, const uint8_t *key,
			      const struct record_extra *extra, uint8_t *text, size_t n)
{
	if (aead == TLS_CHACHA20_POLY1305)
		return crypto_aead_chacha20poly1305_ietf_encrypt(text, NULL, text, n, extra->aad,
								 (size_t)extra->aad_size, NULL, extra->nonce,
								 key) == 0;
	if (aead != TLS_AES_256_GCM || !c->short_aes)
		return false;
	if (!c->short_ready || !record_same_key(c->short_key, key)) {
		c->short_ready = crypto_aead_aes256gcm_beforenm(&c->short_state, key) == 0;
		if (!c->short_ready)
			return false;
		memcpy(c->short_key, key, sizeof(c->short_key));
	}
	return crypto_aead_aes256gcm_encrypt_afternm(text, NULL, text, n, extra->aad, (size_t)extra->aad_size,
						     NULL, extra->nonce, &c->short_state) == 0;
}

/* The same by EVP, of any length: n bytes of data, then the type if it is typed. */
static bool record_seal_any(struct tls_cryptor *c, const struct tls_suite *suite, const uint8_t *key,
			    const struct record_extra *extra, uint8_t type, const void *data, size_t n,
			    uint8_t *text)
{
	EVP_CIPHER_CTX *evp = record_context(c, RECORD_SEAL, suite->aead, key, extra->nonce);
	bool typed = suite->version == TLS_1_3, good;
	int k;

	if (!evp || EVP_EncryptUpdate(evp, NULL, &k, extra->aad, extra->aad_size) != 1)
		return false;
	if (n <= RECORD_COPIED) {
		memcpy(text, data, n);
		if (typed)
			text[n] = type;
		good = n + typed == 0 || EVP_EncryptUpdate(evp, text, &k, text, (int)(n + typed)) == 1;
	} else {
		good = EVP_EncryptUpdate(evp, text, &k, data, (int)n) == 1 &&
		       (!typed || EVP_EncryptUpdate(evp, text + n, &k, &type, 1) == 1);
	}
	return good && EVP_EncryptFinal_ex(evp, text, &k) == 1 &&
	       EVP_CIPHER_CTX_ctrl(evp, EVP_CTRL_AEAD_GET_TAG, RECORD_TAG, text + n + typed) == 1;
}

ssize_t tls_seal(struct tls_cryptor *c, const struct tls_suite *suite, const struct tls_keys *keys,
		 uint64_t seq, uint64_t explicit_nonce, uint8_t type, const void *data, size_t n, void *out)
{
	size_t explicit = record_explicit(suite), typed = suite->version == TLS_1_3;
	size_t body = explicit + n + typed + RECORD_TAG;
	uint8_t *header = out, *text = header + TLS_HEADER_SIZE + explicit;
	struct record_extra extra;

	if (n > TLS_PLAIN_MAX)
		return -EMSGSIZE;
	header[0] = typed ? TLS_DATA : type;
	header[1] = 3;
	header[2] = 3;
	record_put(header + 3, body, 2);
	if (explicit > 0)
		record_put(header + TLS_HEADER_SIZE, explicit_nonce, 8);
	record_prepare(suite, keys->iv, seq, header, n, &extra);
	if (n <= RECORD_SHORT) {
		memcpy(text, data, n);
		if (typed)
			text[n] = type;
		if (record_seal_short(c, suite->aead, keys->key, &extra, text, n + typed))
			return (ssize_t)(TLS_HEADER_SIZE + body);
	}
	if (!record_seal_any(c, suite, keys->key, &extra, type, data, n, text))
		return -EIO;
	return (ssize_t)(TLS_HEADER_SIZE + body);
}

ssize_t tls_record_size(const struct tls_suite *suite, const uint8_t *data, size_t have)
{
	bool new = suite->version == TLS_1_3;

	if (have == 0)
		return 0;
	/* TLS 1.3 hides the type; what is not hidden belongs into the handshake. */
	if (new ? data[0] != TLS_DATA : data[0] < TLS_ALERT || data[0] > TLS_DATA)
		return -TLS_UNEXPECTED_MESSAGE;
	if (have < TLS_HEADER_SIZE)
		return 0;
	/* TLS 1.3: not to be looked at, but it is among what is authenticated. */
	if (!new && (data[1] != 3 || data[2] != 3))
		return -TLS_PROTOCOL_VERSION;
	size_t body = (size_t)data[3] << 8 | data[4];
	if (body > TLS_PLAIN_MAX + (new ? 256 : record_explicit(suite) + RECORD_TAG))
		return -TLS_RECORD_OVERFLOW;
	return (ssize_t)(TLS_HEADER_SIZE + body);
}

/* What it says was opened: without the padding and the type behind it (TLS 1.3), if that may come. */
static ssize_t record_content(const struct tls_suite *suite, const uint8_t *header, const uint8_t *text,
			      size_t n, uint8_t *ret_type)
{
	if (suite->version == TLS_1_2) {
		*ret_type = header[0];
	} else {
		if (n > TLS_PLAIN_MAX + 1)
			return -TLS_RECORD_OVERFLOW;
		while (n > 0 && text[n - 1] == 0)
			n--;
		if (n == 0)
			return -TLS_UNEXPECTED_MESSAGE;
		*ret_type = text[--n];
	}
	if (*ret_type < TLS_ALERT || *ret_type > TLS_DATA || (n == 0 && *ret_type != TLS_DATA))
		return -TLS_UNEXPECTED_MESSAGE;
	return n <= TLS_PLAIN_MAX ? (ssize_t)n : -TLS_RECORD_OVERFLOW;
}

ssize_t tls_open(struct tls_cryptor *c, const struct tls_suite *suite, const struct tls_keys *keys,
		 uint64_t seq, const uint8_t *record, size_t size, void *buf, uint8_t *ret_type)
{
	size_t before = TLS_HEADER_SIZE + record_explicit(suite);
	struct record_extra extra;
	int k;

	if (size < before + RECORD_TAG)
		return -TLS_BAD_RECORD_MAC;
	size_t n = size - before - RECORD_TAG;
	record_prepare(suite, keys->iv, seq, record, n, &extra);
	EVP_CIPHER_CTX *evp = record_context(c, RECORD_OPEN, suite->aead, keys->key, extra.nonce);
	if (!evp)
		return -TLS_INTERNAL_ERROR;
	ssize_t r = -TLS_BAD_RECORD_MAC;
	if (EVP_CIPHER_CTX_ctrl(evp, EVP_CTRL_AEAD_SET_TAG, RECORD_TAG, (void *)(record + before + n)) == 1 &&
	    EVP_DecryptUpdate(evp, NULL, &k, extra.aad, extra.aad_size) == 1 &&
	    (n == 0 || EVP_DecryptUpdate(evp, buf, &k, record + before, (int)n) == 1) &&
	    EVP_DecryptFinal_ex(evp, (uint8_t *)buf + n, &k) == 1)
		r = record_content(suite, record, buf, n, ret_type);
	if (r < 0)
		OPENSSL_cleanse(buf, n);
	return r;
}
