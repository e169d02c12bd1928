/* SPDX-License-Identifier: MIT */
/*
 * TLS on a connection, by OpenSSL: plain text on our side, a non-blocking socket on the other. Of one
 * connection's only its worker calls anything; a context is shared by all.
 *
 * The keys are the process's own, so these connections can't be handed on: see chatd(8).
 */
#ifndef DAEMON_TLS_H
#define DAEMON_TLS_H

#include "daemon/io/stream.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct tls_context;
struct tls;

/* Files in PEM: a certificate chain, its key, and who may sign clients' certificates (NULL: none is asked
 * for). */
struct tls_files {
	const char *certificate, *key, *client_ca;
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

/* After the handshake: all of it as a stream, which takes it over. */
struct stream tls_stream(struct tls *t, int fd);

#endif
