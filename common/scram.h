/* SPDX-License-Identifier: MIT */
/*
 * SCRAM-SHA-256 (RFC 5802, 7677), the server's side, without channel binding: passwords are proved and never sent. What is
 * kept of one is a verifier, which no password is in.
 *
 * An exchange is three messages: the client's first, ours, the client's final one. All that has to be kept between them is the
 * client's first message and our nonce, so whoever keeps those can go on with it.
 */
#ifndef COMMON_SCRAM_H
#define COMMON_SCRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SCRAM_MECHANISM "SCRAM-SHA-256"
#define SCRAM_KEY_SIZE 32
#define SCRAM_SALT_MAX 32
#define SCRAM_SALT_SIZE 16 /* of ours */
/* Of ours. It is the client that pays for them, at each login. */
#define SCRAM_ITERATIONS 100000
#define SCRAM_ITERATIONS_MIN 4096
#define SCRAM_ITERATIONS_MAX 10000000
#define SCRAM_VERIFIER_TEXT 192 /* with its NUL */
#define SCRAM_NONCE_SIZE 25	/* with its NUL */
#define SCRAM_NAME_MAX 128	/* bytes of a name */
#define SCRAM_MESSAGE_MAX 512	/* bytes of any message of an exchange; ours have a NUL behind */

struct scram_verifier {
	unsigned iterations; /* 0: there is none */
	uint8_t salt_len;
	uint8_t salt[SCRAM_SALT_MAX];
	uint8_t stored_key[SCRAM_KEY_SIZE], server_key[SCRAM_KEY_SIZE];
};

/* Of a password, with a salt of its own. It takes a tenth of a second. False without memory. */
bool scram_verifier_make(const char *password, size_t len, struct scram_verifier *ret);
/* The same with that salt. */
bool scram_verifier_derive(const char *password, size_t len, const uint8_t *salt, size_t salt_len,
			   unsigned iterations, struct scram_verifier *ret);
/* As text, "SCRAM-SHA-256$ITERATIONS:SALT$STOREDKEY:SERVERKEY" in base64, which other programs have, too. */
void scram_verifier_format(const struct scram_verifier *v, char ret[static SCRAM_VERIFIER_TEXT]);
/* 0 or -EINVAL. */
int scram_verifier_parse(const char *text, struct scram_verifier *ret);
/* Of a name that has none: always the same for that key and name, and nothing proves to be it. */
void scram_verifier_pretend(const uint8_t key[static SCRAM_KEY_SIZE], const char *name, size_t len,
			    struct scram_verifier *ret);

/* Who the client's first message says it is. as: whom it wants to act as, "" if that is the same. */
struct scram_names {
	char name[SCRAM_NAME_MAX + 1], as[SCRAM_NAME_MAX + 1];
};
/* 0; -EBADMSG: it is none, or none that we know. */
int scram_names(const char *first, size_t len, struct scram_names *ret);

void scram_nonce(char ret[static SCRAM_NONCE_SIZE]);
/* Our answer to the first message. 0 or -EBADMSG. */
int scram_challenge(const char *first, size_t len, const char *nonce, const struct scram_verifier *v,
		    char ret[static SCRAM_MESSAGE_MAX + 1]);
/* And to the final one, which proves the password: 0. -EACCES: it doesn't; -EBADMSG: it is none. */
int scram_verify(const char *first, size_t len, const char *nonce, const struct scram_verifier *v,
		 const char *final, size_t final_len, char ret[static SCRAM_MESSAGE_MAX + 1]);

#endif
