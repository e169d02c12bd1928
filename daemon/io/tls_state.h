/* SPDX-License-Identifier: MIT */
/*
 * What of a TLS connection outlives the process: its part of the table of clients, its secrets, and what workers are
 * within. Whoever finds it goes on with the next record; tls_stream.h has those who do.
 *
 * Bytes are counted four times: cipher text as the kernel counts the socket's (in_at, out_base, out_end), and plain
 * text from 0 (in_plain, out_plain). All that has to be true together is in one half, and becomes so by the store of
 * `live`.
 */
#ifndef DAEMON_TLS_STATE_H
#define DAEMON_TLS_STATE_H

#include "daemon/io/tls_record.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

/* Cipher text that is kept for a client, in each direction. */
#define TLS_REST_SIZE 65536
/* Records of so many members are made, and then sent as one batch. */
#define TLS_BATCH 256
#define TLS_BATCH_SIZE 131072

enum tls_direction { TLS_IN, TLS_OUT };

enum tls_flags {
	TLS_IN_SLOT = 1 << 0,  /* which secret of TLS_IN is used */
	TLS_OUT_SLOT = 1 << 1, /* and of TLS_OUT */
	TLS_OWED = 1 << 2,     /* the peer asked for a KeyUpdate */
	TLS_PEER_BYE = 1 << 3, /* nothing more comes */
	TLS_BYE = 1 << 4,      /* close_notify, or an alert that ends it, was sealed */
	TLS_SCRATCH = 1 << 5,  /* what is to be sent lies in a worker's scratch, not in the client's rest */
	TLS_BROKEN = 1 << 6,   /* what came is no TLS, or the peer said that it gives up */
	TLS_PART =
	    7 << 7, /* a number: bytes of a message that has more in the next record, at most TLS_PART_MAX */
	TLS_FLAGS = (1 << 10) - 1,
};

/* The one message that may come is a KeyUpdate, of which only the last byte says something. */
#define TLS_KEY_UPDATE_SIZE 5
#define TLS_PART_MAX (TLS_KEY_UPDATE_SIZE - 1)
#define TLS_PART_ONE (1 << 7)

struct tls_half {
	uint64_t in_at;	    /* where the next record to be opened begins */
	uint64_t in_seq;    /* its number */
	uint64_t in_plain;  /* so much was opened */
	uint64_t out_base;  /* where what lies in the rest, or in the scratch, begins */
	uint64_t out_end;   /* and ends: so much was sealed */
	uint64_t out_seq;   /* the next record's number */
	uint64_t out_plain; /* so much was sealed */
	uint32_t flags;
	uint32_t check;
};

/* Bytes of the name in a peer's certificate. A longer one counts as none. */
#define TLS_PEER_MAX 32

/* A client's, in the table of clients. */
struct tls_state {
	struct tls_half half[2];
	_Atomic uint32_t live;	/* which of them is true */
	struct tls_suite suite; /* its version is 0: there is none */
	uint8_t reserved;
	uint16_t fragment; /* plain bytes of a record of ours, at most */
	uint8_t reserved2[6];
	uint64_t nonce; /* TLS 1.2 with AES-GCM: what the explicit nonce is when a record's number is 0 */
	/* The name in the certificate that the peer has proved to be its own; peer_len 0: it has none. Also of a connection
	 * whose TLS ends with the process. */
	uint32_t peer_check;
	uint8_t peer_len;
	char peer[TLS_PEER_MAX];
	uint8_t reserved3[3];
};

/* A client's, in the file of secrets. TLS 1.2 has a struct tls_keys in a secret's place. */
struct tls_secrets {
	uint8_t secret[2][2][TLS_SECRET_MAX]; /* by direction and slot */
	uint64_t check[2][2];
	uint8_t reserved[32];
};

/* Whose cipher text lies somewhere in the scratch: of that client from base on. owner is a check of all of it. */
struct tls_mark {
	_Atomic uint64_t owner; /* 0: nobody's */
	uint64_t base;
	uint32_t at, size;
};

/* A worker's. */
struct tls_scratch {
	union {
		struct {
			struct tls_mark in;		    /* size is as much as can have been received */
			struct tls_mark out[1 + TLS_BATCH]; /* the first one is of who sends alone */
		};
		char marks_space[65536];
	};
	uint8_t in_data[TLS_REST_SIZE];
	uint8_t out_data[TLS_REST_SIZE + TLS_BATCH_SIZE];
};

_Static_assert(sizeof(struct tls_half) == 64, "part of the state's layout: a cache line");
_Static_assert(sizeof(struct tls_state) == 192, "part of the state's layout");
_Static_assert(sizeof(struct tls_secrets) == 256, "part of the state's layout");
_Static_assert(sizeof(struct tls_keys) <= TLS_SECRET_MAX, "they have a secret's place");
_Static_assert(sizeof(struct tls_scratch) == 65536 + 2 * TLS_REST_SIZE + TLS_BATCH_SIZE,
	       "part of the state's layout");
_Static_assert(TLS_REST_SIZE > 3 * TLS_RECORD_MAX, "records fit, whatever is left of one");

static inline unsigned tls_part(uint32_t flags)
{
	return (flags & TLS_PART) / TLS_PART_ONE;
}

static inline const struct tls_half *tls_live(const struct tls_state *s)
{
	return &s->half[atomic_load_explicit(&s->live, memory_order_acquire) & 1];
}

#endif
