/* SPDX-License-Identifier: MIT */
/*
 * An audit of what leaves over TLS: in a build with --enable-faults, CHATD_TLS_AUDIT names a directory. In ID.bytes are
 * all bytes that any process offered to the kernel for the client of that number; one that is to be offered and
 * differs from what stands at its place already goes to `violations`. In `seals` is each record that was sealed, so
 * that the tests can see whether a nonce of a key was used for two that left. Nothing in other builds.
 */
#ifndef DAEMON_TLS_AUDIT_H
#define DAEMON_TLS_AUDIT_H

#ifdef ENABLE_FAULTS
#include "daemon/io/tls_record.h"

/* len bytes are offered to the kernel, the first of them at that place of what the socket sends. */
void tls_audit_offer(uint64_t id, uint64_t at, const void *data, size_t len);
/* A record of size bytes is sealed, to stand at that place; nonce is what differs between records of a key. */
void tls_audit_seal(uint64_t id, uint64_t at, const struct tls_keys *keys, uint64_t nonce,
		    const uint8_t *record, size_t size);
#define TLS_OFFER(t, at, data, len) tls_audit_offer((t)->place.id, (at), (data), (len))
#define TLS_SEALED(t, at, nonce, record, size)                                                               \
	tls_audit_seal((t)->place.id, (at), &(t)->keys[TLS_OUT], (nonce), (record), (size))
#else
#define TLS_OFFER(t, at, data, len) ((void)0)
#define TLS_SEALED(t, at, nonce, record, size) ((void)0)
#endif

#endif
