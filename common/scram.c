/* SPDX-License-Identifier: MIT */
/* Messages are taken apart where they are; what is computed of them is libsodium's and OpenSSL's. */
#include "common/scram.h"

#include "common/text.h"

#include <errno.h>
#include <openssl/evp.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unicode/usprep.h>
#include <unicode/ustring.h>

#define BASE64 sodium_base64_VARIANT_ORIGINAL
#define PREFIX SCRAM_MECHANISM "$"

_Static_assert(crypto_auth_hmacsha256_KEYBYTES == SCRAM_KEY_SIZE, "HMAC's keys are as long as its results");
_Static_assert(crypto_hash_sha256_BYTES == SCRAM_KEY_SIZE, "as are SHA-256's");

static void scram_hmac(const uint8_t key[static SCRAM_KEY_SIZE], const char *text, size_t len,
		       uint8_t ret[static SCRAM_KEY_SIZE])
{
	crypto_auth_hmacsha256(ret, (const unsigned char *)text, len, key);
}

static size_t scram_encode(char *dst, size_t size, const uint8_t *data, size_t len)
{
	sodium_bin2base64(dst, size, data, len, BASE64);
	return strlen(dst);
}

/* All of s, which has exactly so many bytes or (min) at least. Returns how many, 0 for anything else. */
static size_t scram_decode(const char *s, size_t len, uint8_t *dst, size_t min, size_t max)
{
	size_t n;

	return sodium_base642bin(dst, max, s, len, NULL, &n, NULL, BASE64) == 0 && n >= min ? n : 0;
}

/* --- verifiers --- */

/*
 * SASLprep (RFC 4013), so that a password is the same however it was typed. Clients that can't do it send what they have; so
 * does this with what SASLprep doesn't allow. Returns what is to be used: text, or *ret_own, the caller's.
 */
static const char *scram_prepare(const char *text, size_t *len, char **ret_own)
{
	UErrorCode error = U_ZERO_ERROR;
	UChar in[1024], out[1024];
	int32_t n, bytes = 0;

	*ret_own = NULL;
	if (*len > sizeof(in) / sizeof(*in) || !text_is_utf8(text, *len))
		return text;
	UStringPrepProfile *profile = usprep_openByType(USPREP_RFC4013_SASLPREP, &error);
	u_strFromUTF8(in, sizeof(in) / sizeof(*in), &n, text, (int32_t)*len, &error);
	if (U_SUCCESS(error))
		n = usprep_prepare(profile, in, n, out, sizeof(out) / sizeof(*out), USPREP_DEFAULT, NULL,
				   &error);
	if (U_SUCCESS(error) && (*ret_own = malloc((size_t)n * 3 + 1)))
		u_strToUTF8(*ret_own, n * 3 + 1, &bytes, out, n, &error);
	usprep_close(profile);
	sodium_memzero(in, sizeof(in));
	sodium_memzero(out, sizeof(out));
	if (U_FAILURE(error) || !*ret_own || bytes == 0)
		return text;
	*len = (size_t)bytes;
	return *ret_own;
}

bool scram_verifier_derive(const char *password, size_t len, const uint8_t *salt, size_t salt_len,
			   unsigned iterations, struct scram_verifier *ret)
{
	uint8_t salted[SCRAM_KEY_SIZE], client_key[SCRAM_KEY_SIZE];
	char *own;
	const char *prepared = scram_prepare(password, &len, &own);

	*ret = (struct scram_verifier){.iterations = iterations, .salt_len = (uint8_t)salt_len};
	memcpy(ret->salt, salt, salt_len);
	bool done = PKCS5_PBKDF2_HMAC(prepared, (int)len, salt, (int)salt_len, (int)iterations, EVP_sha256(),
				      sizeof(salted), salted) == 1;
	if (own)
		sodium_memzero(own, len);
	free(own);
	scram_hmac(salted, "Client Key", 10, client_key);
	scram_hmac(salted, "Server Key", 10, ret->server_key);
	crypto_hash_sha256(ret->stored_key, client_key, sizeof(client_key));
	sodium_memzero(salted, sizeof(salted));
	sodium_memzero(client_key, sizeof(client_key));
	return done;
}

bool scram_verifier_make(const char *password, size_t len, struct scram_verifier *ret)
{
	uint8_t salt[SCRAM_SALT_SIZE];

	randombytes_buf(salt, sizeof(salt));
	return scram_verifier_derive(password, len, salt, sizeof(salt), SCRAM_ITERATIONS, ret);
}

void scram_verifier_format(const struct scram_verifier *v, char ret[static SCRAM_VERIFIER_TEXT])
{
	const size_t size = SCRAM_VERIFIER_TEXT;
	size_t o = (size_t)snprintf(ret, size, PREFIX "%u:", v->iterations);

	o += scram_encode(ret + o, size - o, v->salt, v->salt_len);
	ret[o++] = '$';
	o += scram_encode(ret + o, size - o, v->stored_key, sizeof(v->stored_key));
	ret[o++] = ':';
	scram_encode(ret + o, size - o, v->server_key, sizeof(v->server_key));
}

int scram_verifier_parse(const char *text, struct scram_verifier *ret)
{
	struct scram_verifier v = {.iterations = 0};
	char *end;

	if (strncmp(text, PREFIX, sizeof(PREFIX) - 1) != 0)
		return -EINVAL;
	text += sizeof(PREFIX) - 1;
	unsigned long iterations = text[0] >= '1' && text[0] <= '9' ? strtoul(text, &end, 10) : 0;
	if (iterations < SCRAM_ITERATIONS_MIN || iterations > SCRAM_ITERATIONS_MAX || *end != ':')
		return -EINVAL;
	v.iterations = (unsigned)iterations;
	text = end + 1;
	size_t salt = strcspn(text, "$"), stored = text[salt] ? strcspn(text + salt + 1, ":") : 0;
	const char *server = text + salt + 1 + stored + 1;
	if (!text[salt] || !text[salt + 1 + stored])
		return -EINVAL;
	v.salt_len = (uint8_t)scram_decode(text, salt, v.salt, 1, sizeof(v.salt));
	if (!v.salt_len ||
	    !scram_decode(text + salt + 1, stored, v.stored_key, SCRAM_KEY_SIZE, SCRAM_KEY_SIZE) ||
	    !scram_decode(server, strlen(server), v.server_key, SCRAM_KEY_SIZE, SCRAM_KEY_SIZE))
		return -EINVAL;
	*ret = v;
	return 0;
}

void scram_verifier_pretend(const uint8_t key[static SCRAM_KEY_SIZE], const char *name, size_t len,
			    struct scram_verifier *ret)
{
	uint8_t salt[SCRAM_KEY_SIZE];

	scram_hmac(key, name, len, salt);
	*ret = (struct scram_verifier){.iterations = SCRAM_ITERATIONS, .salt_len = SCRAM_SALT_SIZE};
	memcpy(ret->salt, salt, SCRAM_SALT_SIZE);
	randombytes_buf(ret->stored_key, sizeof(ret->stored_key));
	randombytes_buf(ret->server_key, sizeof(ret->server_key));
}

/* --- messages --- */

struct scram_part {
	const char *at;
	size_t len;
};

/* The next attribute, "X=..." with that X, up to a comma or the end. */
static bool scram_take(const char **at, const char *end, char name, struct scram_part *ret)
{
	const char *s = *at;

	if (end - s < 2 || s[0] != name || s[1] != '=')
		return false;
	const char *comma = memchr(s, ',', (size_t)(end - s));
	const char *stop = comma ? comma : end;
	*ret = (struct scram_part){s + 2, (size_t)(stop - s - 2)};
	*at = comma ? comma + 1 : end;
	return true;
}

/* A name, where "=2C" and "=3D" stand for ',' and '='. */
static bool scram_unescape(const struct scram_part *p, char ret[static SCRAM_NAME_MAX + 1])
{
	size_t n = 0;

	for (size_t i = 0; i < p->len; i++) {
		char c = p->at[i];
		if (c == '=') {
			if (p->len - i < 3 || p->at[i + 1] < '2' || p->at[i + 1] > '3')
				return false;
			if (memcmp(p->at + i, "=2C", 3) != 0 && memcmp(p->at + i, "=3D", 3) != 0)
				return false;
			c = p->at[i + 1] == '2' ? ',' : '=';
			i += 2;
		}
		if (c == '\0' || n == SCRAM_NAME_MAX)
			return false;
		ret[n++] = c;
	}
	ret[n] = '\0';
	return n > 0 && text_is_utf8(ret, n);
}

/* Printable ASCII without a comma. */
static bool scram_is_nonce(const struct scram_part *p)
{
	for (size_t i = 0; i < p->len; i++)
		if (p->at[i] < 0x21 || p->at[i] > 0x7e)
			return false;
	return p->len > 0 && p->len <= SCRAM_MESSAGE_MAX / 4;
}

struct scram_first {
	struct scram_part header; /* of GSS-API: "n,," or "n,a=NAME," */
	struct scram_part as, bare, name, nonce;
};

static int scram_take_apart(const char *first, size_t len, struct scram_first *ret)
{
	const char *at = first, *end = first + len;

	*ret = (struct scram_first){.as = {first, 0}};
	if (len > SCRAM_MESSAGE_MAX / 2 || memchr(first, '\0', len))
		return -EBADMSG;
	/* "p=..." wants channel binding; "y" could have it, and thinks rightly that we can't. */
	if (len < 3 || (at[0] != 'n' && at[0] != 'y') || at[1] != ',')
		return -EBADMSG;
	at += 2;
	if (*at == ',')
		at++;
	else if (!scram_take(&at, end, 'a', &ret->as) || ret->as.len == 0 || at == end)
		return -EBADMSG;
	ret->header = (struct scram_part){first, (size_t)(at - first)};
	ret->bare = (struct scram_part){at, (size_t)(end - at)};
	/* Extensions that must be understood would come before the name; others follow, and are left alone. */
	if (!scram_take(&at, end, 'n', &ret->name) || !scram_take(&at, end, 'r', &ret->nonce) ||
	    !scram_is_nonce(&ret->nonce))
		return -EBADMSG;
	return 0;
}

int scram_names(const char *first, size_t len, struct scram_names *ret)
{
	struct scram_first f;

	*ret = (struct scram_names){.name = ""};
	if (scram_take_apart(first, len, &f) < 0 || !scram_unescape(&f.name, ret->name) ||
	    (f.as.len > 0 && !scram_unescape(&f.as, ret->as)))
		return -EBADMSG;
	return 0;
}

void scram_nonce(char ret[static SCRAM_NONCE_SIZE])
{
	uint8_t random[18];

	randombytes_buf(random, sizeof(random));
	scram_encode(ret, SCRAM_NONCE_SIZE, random, sizeof(random));
}

static void scram_say_challenge(const struct scram_first *f, const char *nonce,
				const struct scram_verifier *v, char ret[static SCRAM_MESSAGE_MAX + 1])
{
	char salt[sodium_base64_ENCODED_LEN(SCRAM_SALT_MAX, BASE64)];

	scram_encode(salt, sizeof(salt), v->salt, v->salt_len);
	snprintf(ret, SCRAM_MESSAGE_MAX + 1, "r=%.*s%s,s=%s,i=%u", (int)f->nonce.len, f->nonce.at, nonce,
		 salt, v->iterations);
}

int scram_challenge(const char *first, size_t len, const char *nonce, const struct scram_verifier *v,
		    char ret[static SCRAM_MESSAGE_MAX + 1])
{
	struct scram_first f;

	if (scram_take_apart(first, len, &f) < 0)
		return -EBADMSG;
	scram_say_challenge(&f, nonce, v, ret);
	return 0;
}

/* Whether c=... is the header that the first message began with, and r=... both nonces. */
static bool scram_goes_on(const struct scram_first *f, const char *nonce, const struct scram_part *header,
			  const struct scram_part *both)
{
	uint8_t text[SCRAM_MESSAGE_MAX];
	size_t n = scram_decode(header->at, header->len, text, 1, sizeof(text)), ours = strlen(nonce);

	return n == f->header.len && memcmp(text, f->header.at, n) == 0 && both->len == f->nonce.len + ours &&
	       memcmp(both->at, f->nonce.at, f->nonce.len) == 0 &&
	       memcmp(both->at + f->nonce.len, nonce, ours) == 0;
}

int scram_verify(const char *first, size_t len, const char *nonce, const struct scram_verifier *v,
		 const char *final, size_t final_len, char ret[static SCRAM_MESSAGE_MAX + 1])
{
	char challenge[SCRAM_MESSAGE_MAX + 1], all[3 * SCRAM_MESSAGE_MAX + 3];
	uint8_t proof[SCRAM_KEY_SIZE], signature[SCRAM_KEY_SIZE], key[SCRAM_KEY_SIZE];
	struct scram_part header, both, p;
	struct scram_first f;
	const char *at = final, *end = final + final_len;

	if (final_len > SCRAM_MESSAGE_MAX || memchr(final, '\0', final_len) ||
	    scram_take_apart(first, len, &f) < 0 || !scram_take(&at, end, 'c', &header) ||
	    !scram_take(&at, end, 'r', &both))
		return -EBADMSG;
	const char *without_proof = at;
	while (at < end && at[0] != 'p') /* extensions that we don't know */
		if (!scram_take(&at, end, at[0], &p))
			return -EBADMSG;
		else
			without_proof = at;
	if (!scram_take(&at, end, 'p', &p) || at != end || !scram_goes_on(&f, nonce, &header, &both) ||
	    scram_decode(p.at, p.len, proof, sizeof(proof), sizeof(proof)) == 0)
		return -EBADMSG;
	scram_say_challenge(&f, nonce, v, challenge);
	int n = snprintf(all, sizeof(all), "%.*s,%s,%.*s", (int)f.bare.len, f.bare.at, challenge,
			 (int)(without_proof - final - 1), final);
	scram_hmac(v->stored_key, all, (size_t)n, signature);
	for (unsigned i = 0; i < sizeof(proof); i++)
		proof[i] ^= signature[i]; /* the client's key, if it is one */
	crypto_hash_sha256(key, proof, sizeof(proof));
	sodium_memzero(proof, sizeof(proof));
	if (sodium_memcmp(key, v->stored_key, sizeof(key)) != 0)
		return -EACCES;
	scram_hmac(v->server_key, all, (size_t)n, signature);
	memcpy(ret, "v=", 2);
	scram_encode(ret + 2, SCRAM_MESSAGE_MAX - 1, signature, sizeof(signature));
	return 0;
}
