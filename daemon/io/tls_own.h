/* SPDX-License-Identifier: MIT */
/* What the files of OpenSSL's TLS know of each other: a connection's insides. */
#ifndef DAEMON_TLS_OWN_H
#define DAEMON_TLS_OWN_H

#include "daemon/io/tls.h"
#include "daemon/io/tls_renewals.h"

#include <openssl/ssl.h>

/*
 * Cipher text goes through a buffer, so that what was accepted once is on its way: OpenSSL would want the very same
 * bytes again after a short write, but a reader that is lapped meanwhile has others to be sent.
 */
struct tls {
	SSL *ssl;
	BIO *out;
	int fd;
	bool said_bye, established, survives;
	struct tls_renewals renewals; /* handshake messages behind the handshake */
	uint64_t sent;		      /* bytes of the socket */
	/* For who goes on with it. */
	uint8_t secret[2][TLS_SECRET_MAX], secret_len[2];
	uint64_t nonce;
	bool nonce_is_known;
};

int tls_flush(struct tls *t);
/* Whose stream it is, if it is OpenSSL's; else NULL. */
struct tls *tls_of(const struct stream *s);

#endif
