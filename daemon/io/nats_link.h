/* SPDX-License-Identifier: MIT */
/*
 * The way to NATS: one connection to one of some servers, a JetStream stream on them, and one ordered consumer of it. A
 * thread of the link's own does what may block; nothing else here does for longer than the write deadline (500 ms), or
 * 1.5 s when a server stops in the midst of a TLS record. What comes is read by the owner's thread, when that asks for the
 * next event, so that nobody else has to wake up for it. Built without libnats (configure --without-nats), nats_link_new() returns
 * -EOPNOTSUPP.
 */
#ifndef DAEMON_NATS_LINK_H
#define DAEMON_NATS_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct nats_link;

/* All strings are copied. */
struct nats_link_settings {
	/* "nats://HOST:PORT" or "tls://HOST:PORT", without secrets. Each attempt to connect goes through all of them. */
	const char *const *servers;
	size_t n_servers;
	/* Of this client, for NATS's monitoring: "chatd NODE". */
	const char *name;
	/* NULL: none. The last one is the path of a file. */
	const char *user, *password, *token, *credentials;
	/* Paths, or NULL. */
	const char *tls_ca, *tls_certificate, *tls_key;
	/* "CHATD", "chatd.s.>" */
	const char *stream, *subjects;
	/* Subjects of core NATS to listen to: "chatd.nak.a", "chatd.beat.*" ... */
	const char *const *plain;
	size_t n_plain;
	unsigned replicas;
	/* How long, and how much, the stream keeps; 0: no limit. */
	uint64_t max_age_s, max_bytes;
};

enum nats_event_kind {
	/* The stream is there. It waits for nats_link_subscribe(). max_payload: the longest message that the server takes. */
	NATS_CONNECTED,
	/*
	 * seq: the first message that will come; first and last: what the stream had then. rolled_back: message `applied` was
	 * not there or another one, and all is read from the beginning. Is first > applied + 1, what is between has expired.
	 * time_ns: what time it was there, by the clock that messages have their times from; 0: not known.
	 */
	NATS_SUBSCRIBED,
	/* One of the stream: seq, time_ns, subject, data. */
	NATS_MESSAGE,
	/* To publish number id: stored as seq, or else why. */
	NATS_REPLY,
	/* One of core NATS: subject, data. */
	NATS_PLAIN,
	/* The connection of that generation is over: why. A new one is tried by itself. */
	NATS_LOST,
	/* An attempt to connect failed: why. The next one follows by itself. */
	NATS_FAILED,
};

/* What an event doesn't speak of is 0 or NULL; data may be anything, also nothing, subject and why are text. They are
 * valid until nats_event_free(). */
struct nats_event {
	enum nats_event_kind kind;
	/* Of the connection, counted from 1. */
	uint64_t generation;
	uint64_t id, seq, last, first;
	int64_t time_ns;
	bool rolled_back;
	const char *subject, *data, *why;
	size_t len, max_payload;
	void *own;
};

/*
 * From any thread, but what is called with one link at a time: nats_link_next() by one thread only. Signals are blocked in
 * all threads that come with it. -EINVAL: settings that libnats doesn't take.
 */
int nats_link_new(const struct nats_link_settings *settings, struct nats_link **ret);
/* Ends its thread, which takes about a second when the server hangs. NULL is fine. */
void nats_link_free(struct nats_link *l);
/* Readable while nats_link_next() has something to do, whether an event comes of that or not. */
int nats_link_fd(const struct nats_link *l);
/*
 * The next event, to be released by nats_event_free() on the same thread; false: none at the moment. Messages and replies of
 * a connection that is over are left out. Whoever doesn't take events slows the server down, and is not connected anew.
 */
bool nats_link_next(struct nats_link *l, struct nats_event *ret);
void nats_event_free(struct nats_event *e);

/* After NATS_CONNECTED of that generation: read the stream behind message applied, whose time that was (0, 0: from the
 * beginning). Once more: the connection ends, to be made anew. */
void nats_link_subscribe(struct nats_link *l, uint64_t generation, uint64_t applied, int64_t time_ns);
/* 0: NATS_REPLY with that id follows, unless that is 0, or NATS_LOST. -ENOTCONN: no longer that generation; -EMSGSIZE: the server takes less
 * than that; -EIO. */
int nats_link_publish(struct nats_link *l, uint64_t generation, uint64_t id, const char *subject,
		      const void *data, size_t len);
/* By core NATS: whoever listens now hears it. -ENOTCONN, -EMSGSIZE, -EIO; nothing else comes of it. */
int nats_link_send(struct nats_link *l, const char *subject, const void *data, size_t len);
/* URL of the server that it is connected to; "": none. */
void nats_link_server(const struct nats_link *l, char *ret, size_t size);

#endif
