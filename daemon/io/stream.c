/* SPDX-License-Identifier: MIT */
/* The plain stream: the socket's bytes as they are. */
#include "daemon/io/stream.h"

#include <sys/socket.h>

static ssize_t plain_receive(struct stream *s, void *buf, size_t len)
{
	ssize_t n = recv(s->fd, buf, len, MSG_DONTWAIT);

	return n < 0 ? -errno : n;
}

static ssize_t plain_send(struct stream *s, const void *data, size_t len)
{
	ssize_t n = send(s->fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);

	return n < 0 ? -errno : n;
}

static const struct stream_ops plain_ops = {
    .direct = true,
    .survives = true,
    .receive = plain_receive,
    .send = plain_send,
};

struct stream stream_plain(int fd)
{
	return (struct stream){.ops = &plain_ops, .fd = fd};
}

void stream_free(struct stream *s)
{
	if (s->ops->free)
		s->ops->free(s);
	s->own = NULL;
}
