/* SPDX-License-Identifier: MIT */
/*
 * TLS on a connection, by OpenSSL: plain text on our side, a non-blocking socket on the other. Of one
 * connection's only its worker calls anything; a context is shared by all.
 *
 * After the handshake its keys can be handed to a stream that other processes can go on with (tls_stream.h), or it goes
 * on as a stream that ends with this process.
 */
#ifndef DAEMON_TLS_H
#define DAEMON_TLS_H

#include "daemon/io/tls_stream.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct tls_context;
struct tls;

/* Files in PEM: a certificate chain, its key, and who may sign clients' certificates (NULL: none is asked
 * for). Without a certificate it can only be checked who may sign. */
struct tls_files {
	const char *certificate, *key, *client_ca;
	bool survives; /* keys may be handed over */
	bool optional; /* a client need not have a certificate */
};

/* Returns 0, or -EINVAL (-ENOMEM) with the reason in why, and whose it is in *ret_setting: "tls_key". */
int tls_context_new(const struct tls_files *files, char *why, size_t size, const char **ret_setting,
		    struct tls_context **ret);
void tls_context_free(struct tls_context *c);

/* The server's side on a connected socket, which stays the caller's. NULL without memory. */
struct tls *tls_new(struct tls_context *c, int fd);
void tls_free(struct tls *t);

/* Returns 0 when it is done, -EAGAIN, or -EPROTO with the reason in why. */
int tls_handshake(struct tls *t, char *why, size_t size);

/* Whether cipher text waits for the socket. */
bool tls_is_waiting(const struct tls *t);

/* After the handshake: all of it as a stream, which takes it over, and ends with the process. */
struct stream tls_stream(struct tls *t, int fd);

/* Of such a stream: the common name in the certificate that the peer has proved to be its own, at most TLS_PEER_MAX bytes of UTF-8.
 * Returns its length; 0: it has none. */
size_t tls_peer(const struct stream *s, char ret[static TLS_PEER_MAX + 1]);

/*
 * Of such a stream before its first use: its keys, and where it is. From then on it may only be freed. -EOPNOTSUPP: it
 * goes on as it is. ret holds secrets, which the caller wipes.
 */
int tls_hand_over(const struct stream *s, struct tls_cryptor *c, struct tls_handed *ret);

#endif
