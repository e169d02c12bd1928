/* SPDX-License-Identifier: MIT */
/*
 * TLS's record layer with the AEADs of TLS 1.3 and 1.2 (RFC 8446, RFC 5246): keys from secrets, records
 * sealed and opened, from memory to memory. It knows of no sockets and no state: who calls says which key and
 * which number, and never the same two for two texts.
 */
#ifndef DAEMON_TLS_RECORD_H
#define DAEMON_TLS_RECORD_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum tls_version { TLS_1_2 = 3, TLS_1_3 = 4 }; /* the second byte of its number */
enum tls_aead { TLS_AES_128_GCM = 1, TLS_AES_256_GCM, TLS_CHACHA20_POLY1305 };
enum tls_type { TLS_CHANGE_CIPHER_SPEC = 20, TLS_ALERT, TLS_HANDSHAKE, TLS_DATA };

enum tls_alert {
	TLS_CLOSE_NOTIFY = 0,
	TLS_UNEXPECTED_MESSAGE = 10,
	TLS_BAD_RECORD_MAC = 20,
	TLS_RECORD_OVERFLOW = 22,
	TLS_ILLEGAL_PARAMETER = 47,
	TLS_DECODE_ERROR = 50,
	TLS_PROTOCOL_VERSION = 70,
	TLS_INTERNAL_ERROR = 80,
	TLS_USER_CANCELED = 90,
};

#define TLS_HEADER_SIZE 5
#define TLS_SECRET_MAX 48
/* Plain bytes of a record. */
#define TLS_PLAIN_MAX 16384
/* What a record that we seal has beyond its plain bytes, at most. */
#define TLS_RECORD_OVERHEAD (TLS_HEADER_SIZE + 8 + 16)
/* A record that comes: its header, and a body with padding. */
#define TLS_RECORD_MAX (TLS_HEADER_SIZE + TLS_PLAIN_MAX + 256)

struct tls_suite {
	uint8_t version; /* enum tls_version */
	uint8_t aead;	 /* enum tls_aead */
	uint8_t hash;	 /* bytes of a secret: 32 (SHA-256), 48 (SHA-384) */
};

/* Of one direction. What is too short for its place is filled up with zeros. */
struct tls_keys {
	uint8_t key[32], iv[12];
};

/* A thread's cipher contexts. They remember whose key they hold last: the same one again is cheaper. */
struct tls_cryptor;

int tls_cryptor_new(struct tls_cryptor **ret);
void tls_cryptor_free(struct tls_cryptor *c);

/* Whether it is one of those above; nothing else may be handed to what follows. */
int tls_suite_check(const struct tls_suite *suite);

/* TLS 1.3: the keys of a traffic secret, and the secret behind it (KeyUpdate). secret and ret have suite->hash
 * bytes and are different places. 0 or -errno. */
int tls_derive_keys(struct tls_cryptor *c, const struct tls_suite *suite, const uint8_t *secret,
		    struct tls_keys *ret);
int tls_next_secret(struct tls_cryptor *c, const struct tls_suite *suite, const uint8_t *secret,
		    uint8_t *ret);

/* TLS 1.2: the keys of both directions of a master secret. 0 or -errno. */
int tls12_keys(struct tls_cryptor *c, const struct tls_suite *suite, const uint8_t master[48],
	       const uint8_t client_random[32], const uint8_t server_random[32], struct tls_keys *ret_client,
	       struct tls_keys *ret_server);

/*
 * Seals n (at most TLS_PLAIN_MAX) bytes as one record, without padding. explicit_nonce is of TLS 1.2 with
 * AES-GCM only, and like seq never the same twice under a key. out has n + TLS_RECORD_OVERHEAD bytes and does
 * not overlap data. The size of the record, or -errno.
 */
ssize_t tls_seal(struct tls_cryptor *c, const struct tls_suite *suite, const struct tls_keys *keys,
		 uint64_t seq, uint64_t explicit_nonce, uint8_t type, const void *data, size_t n, void *out);

/* The size of the record that begins there, of which have bytes are there; 0: too few to say, or the negative
 * of an alert: no such record may come once the handshake is done. */
ssize_t tls_record_size(const struct tls_suite *suite, const uint8_t *data, size_t have);

/*
 * Opens a whole record, whose size tls_record_size() said. Its plain bytes, without padding, are at buf, which
 * has size bytes and does not overlap the record. How many they are, and *ret_type is their type (alert,
 * handshake or data); or the negative of an alert, and nothing is in buf.
 */
ssize_t tls_open(struct tls_cryptor *c, const struct tls_suite *suite, const struct tls_keys *keys,
		 uint64_t seq, const uint8_t *record, size_t size, void *buf, uint8_t *ret_type);

#endif
