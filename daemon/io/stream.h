/* SPDX-License-Identifier: MIT */
/*
 * What turns the bytes of a connection's socket into those that its handler sees, and back: nothing (plain), or
 * TLS. A new kind is one file with such operations, and whoever makes the connection chooses it. One thread at a
 * time uses a stream.
 *
 * Results are as recv() and send() have them, but -errno instead of errno.
 */
#ifndef DAEMON_STREAM_H
#define DAEMON_STREAM_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct stream;
struct tls_tools;

struct stream_ops {
	/* The socket's bytes are the handler's: what is sent may be given to the kernel by others (sender.h). */
	bool direct;
	/* The connection can go on in another process. */
	bool survives;
	/* Nobody between the peers can read it. */
	bool secret;
	/* receive() wants so much space at least. */
	size_t least;

	/*
	 * Both take or give what they can without waiting. -EPROTO: the peer does what isn't allowed; -EDQUOT: it
	 * wants new keys all the time; -EKEYEXPIRED: nothing more can be sent, and the peer was told so. Without
	 * direct, -EAGAIN may also mean that something else than data came.
	 */
	ssize_t (*receive)(struct stream *s, void *buf, size_t len);
	ssize_t (*send)(struct stream *s, const void *data, size_t len);
	/* The rest is NULL where direct is true, and some of it elsewhere. */
	/* Before anything else: the thread that has the stream from now on lends it these. */
	void (*attach)(struct stream *s, struct tls_tools *tools);
	/*
	 * For who sends to many at once (sender.h): makes all of data what the kernel is to be given, which is at *ret
	 * then, and taken as by send(); once it was offered, sent() is told what came of it. Returns how many bytes
	 * those are, or 0: send() has to do it.
	 */
	size_t (*prepare)(struct stream *s, const void *data, size_t len, const void **ret);
	void (*sent)(struct stream *s, ssize_t result);
	/* Whether there is input that receive() would return without looking at the socket. */
	bool (*has_input)(const struct stream *s);
	/* Whether output was taken that waits for the socket; flush() tries again. Returns 0, -EAGAIN or -errno. */
	bool (*is_waiting)(const struct stream *s);
	int (*flush)(struct stream *s);
	/* Tells the peer that nothing follows. As flush(). */
	int (*bye)(struct stream *s);
	/* Gives pages of memory back that have no use now, or (over) ever again; whether there were any. */
	bool (*relax)(struct stream *s, bool over);
	/* Releases own. */
	void (*free)(struct stream *s);
};

struct stream {
	const struct stream_ops *ops;
	void *own;	  /* what the operations keep */
	int fd;		  /* non-blocking; closed by whoever has the stream */
	uint32_t padding; /* bytes that said nothing, among those of the last receive() */
};

struct stream stream_plain(int fd);

/* Has its operations ended; the socket stays. */
void stream_free(struct stream *s);

static inline bool stream_has_input(const struct stream *s)
{
	return s->ops->has_input && s->ops->has_input(s);
}

static inline bool stream_is_waiting(const struct stream *s)
{
	return s->ops->is_waiting && s->ops->is_waiting(s);
}

static inline int stream_flush(struct stream *s)
{
	return s->ops->flush ? s->ops->flush(s) : 0;
}

static inline int stream_bye(struct stream *s)
{
	return s->ops->bye ? s->ops->bye(s) : 0;
}

/* Whether *data can be sent in a batch; then they are what is to be sent. */
static inline bool stream_prepare(struct stream *s, const void **data, size_t *len)
{
	if (s->ops->direct)
		return true;
	size_t n = s->ops->prepare ? s->ops->prepare(s, *data, *len, data) : 0;
	if (n > 0)
		*len = n;
	return n > 0;
}

static inline void stream_attach(struct stream *s, struct tls_tools *tools)
{
	if (s->ops->attach)
		s->ops->attach(s, tools);
}

static inline bool stream_relax(struct stream *s, bool over)
{
	return s->ops->relax && s->ops->relax(s, over);
}

/* Whether the same may well succeed later. */
static inline bool stream_is_temporary(ssize_t error)
{
	return error == -EAGAIN || error == -EINTR || error == -ENOBUFS;
}

#endif
