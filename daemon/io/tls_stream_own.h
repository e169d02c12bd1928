/* SPDX-License-Identifier: MIT */
/* What the files of the surviving TLS stream know of each other: its insides, its state's commits, its keys. */
#ifndef DAEMON_TLS_STREAM_OWN_H
#define DAEMON_TLS_STREAM_OWN_H

#include "daemon/io/tls_audit.h"
#include "daemon/io/tls_renewals.h"
#include "daemon/io/tls_stream.h"

struct tls_tools {
	struct tls_scratch *scratch;
	struct tls_cryptor *cryptor;	  /* made when it is needed */
	uint64_t records_max, blocks_max; /* under a key: TLS 1.3, TLS 1.2 */
	unsigned batched;		  /* records of the batch that is being made */
	unsigned offered;		  /* of those, the ones that have had their turn */
	uint32_t batch_at;		  /* bytes of the batch */
};

/* The process's side of a connection. */
struct tls_stream {
	struct tls_place place;
	struct tls_tools *tools; /* of the worker that has it */
	uint64_t sent;		 /* bytes of the socket that the kernel took */
	uint32_t rest;		 /* bytes of the rest that came */
	bool again;		 /* there may be whole records in it */
	bool eof;		 /* of the socket */
	bool keyed[2];		 /* keys[] are those of the secret that is used */
	bool touched[2];	 /* pages of the rests to give back */
	bool batched;		 /* what was sealed last is in the batch */
	uint8_t alert;		 /* to be told to the peer */
	struct tls_renewals renewals;
	struct tls_mark *mark; /* where in the scratch what was sealed last is */
	struct tls_keys keys[2];
};

/* --- tls_stream.c --- */

uint64_t tls_mark_owner(const struct tls_mark *m, uint64_t id);
void tls_mark_set(struct tls_mark *m, uint64_t id, uint64_t base, uint32_t at, uint32_t size);
uint32_t tls_half_check(const struct tls_state *s, const struct tls_half *h, uint64_t id);
uint64_t tls_secret_check(const struct tls_place *p, enum tls_direction d, unsigned slot);

/* The other half, as the true one is; with the commit it is true. */
struct tls_half *tls_begin(struct tls_stream *t);
void tls_commit(struct tls_stream *t, struct tls_half *h);

static inline unsigned tls_slot(uint32_t flags, enum tls_direction d)
{
	return !!(flags & (d == TLS_IN ? TLS_IN_SLOT : TLS_OUT_SLOT));
}

/* Has keys[d] ready. Returns 0 or -errno. */
int tls_need_keys(struct tls_stream *t, enum tls_direction d);
/* Writes the next secret behind the one that is used, as h has it, and has h use it. Returns 0 or -errno. */
int tls_renew_secret(struct tls_stream *t, struct tls_half *h, enum tls_direction d);
/* After the commit: wipes the one before. */
void tls_forget_secret(struct tls_stream *t, enum tls_direction d);

static inline uint8_t *tls_rest(const struct tls_stream *t, enum tls_direction d)
{
	return t->place.rests + (d == TLS_OUT ? TLS_REST_SIZE : 0);
}

static inline const struct tls_half *tls_true(const struct tls_stream *t)
{
	return tls_live(t->place.state);
}

extern const struct stream_ops tls_stream_ops;

/* --- tls_input.c --- */

ssize_t tls_stream_receive(struct stream *s, void *buf, size_t len);
bool tls_stream_has_input(const struct stream *s);

/* --- tls_output.c --- */

/* What of the sealed text the kernel has not got goes from the scratch (from: its first byte) to the rest. */
void tls_stash(struct tls_stream *t, const uint8_t *from);
ssize_t tls_stream_send(struct stream *s, const void *data, size_t len);
bool tls_stream_is_waiting(const struct stream *s);
int tls_stream_flush(struct stream *s);
int tls_stream_bye(struct stream *s);
size_t tls_stream_prepare(struct stream *s, const void *data, size_t len, const void **ret);
void tls_stream_sent(struct stream *s, ssize_t result);
/* Tells the peer of t->alert, if that can be done at once. */
void tls_tell_alert(struct stream *s);

#endif
