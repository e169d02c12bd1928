/* SPDX-License-Identifier: MIT */
/*
 * TLS after the handshake as a stream whose state is in the table of clients (tls_state.h), so that the next process
 * goes on with it. What makes it survive a death at any instant is the order of steps:
 *
 * Input: the worker's scratch is marked, cipher text is received into it, and opened to the handler's scratch (which
 * is marked as well); then it is true that it was opened; what is left of a record goes to the client's rest; the mark
 * goes.
 *
 * Output: only when all that was sealed before is with the kernel, the next records are sealed into the scratch under
 * a mark. Then it is true that they were, and only then the kernel gets them. What it doesn't take goes to the
 * client's rest. The next process sends what is stored from where the kernel says that it is: nothing is ever
 * sealed a second time, so no number of a key is used for two texts that left the machine.
 */
#ifndef DAEMON_TLS_STREAM_H
#define DAEMON_TLS_STREAM_H

#include "daemon/io/stream.h"
#include "daemon/io/tls_state.h"

#include <stdbool.h>

/* Where a client's state is. rests: TLS_REST_SIZE bytes for what comes, and as many for what goes. */
struct tls_place {
	struct tls_state *state;
	struct tls_secrets *secrets;
	uint8_t *rests;
	uint64_t id; /* the client's */
};

/* Wipes a client's state, for the place's next one. secrets may be NULL. */
void tls_place_wipe(struct tls_state *state, struct tls_secrets *secrets);
/* The name in the peer's certificate, at most TLS_PEER_MAX bytes: once, when the stream has begun, before anybody serves it. */
void tls_place_set_peer(const struct tls_place *place, const char *name, size_t len);
/* Its length; 0: there is none. */
size_t tls_place_peer(const struct tls_place *place, char ret[static TLS_PEER_MAX + 1]);

/* What a worker lends its streams, one at a time. */
struct tls_tools;
int tls_tools_new(struct tls_scratch *scratch, struct tls_tools **ret);
void tls_tools_free(struct tls_tools *t);
/* NULL without memory. */
struct tls_cryptor *tls_tools_cryptor(struct tls_tools *t);
/* So many records are sealed under a key, which is 2^24 otherwise: for tests. */
void tls_tools_limit(struct tls_tools *t, uint64_t records);

/* What a handshake gives. */
struct tls_handed {
	struct tls_suite suite;
	uint16_t fragment;
	uint64_t nonce;
	uint64_t received, sent; /* bytes of the socket until now */
	uint64_t in_seq, out_seq;
	uint8_t secret[2][TLS_SECRET_MAX];
};

/* A new connection's stream, and its state. Returns 0 or -errno. */
int tls_stream_begin(const struct tls_place *place, const struct tls_handed *handed, int fd,
		     struct stream *ret);

/* How far a connection of a process before has got. */
struct tls_progress {
	uint64_t received, sent; /* as the kernel counts; then in plain bytes */
	bool over;		 /* nothing can be sent any more, and sent isn't known */
	bool closing;		 /* nothing more is read, and our FIN may count as a byte */
};

/*
 * The stream of a process before. What lies in one of the n scratches is taken from there. Returns NULL, or what
 * doesn't add up. Without memory, *ret has no operations. Apart from that, nothing but memory is looked at.
 */
const char *tls_stream_restore(const struct tls_place *place, struct tls_scratch *scratches, unsigned n,
			       struct tls_progress *p, int fd, struct stream *ret);
/* When all have been taken over. */
void tls_scratch_clear(struct tls_scratch *s);

#endif
