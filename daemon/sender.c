/* SPDX-License-Identifier: MIT */
#include "daemon/sender.h"

#include "common/cleanup.h"

#include <sys/socket.h>

struct sender {
	bool io_uring;
};

int sender_new(bool io_uring, struct sender **ret)
{
	struct sender *s = calloc(1, sizeof(*s));

	(void)io_uring;
	if (!s)
		return -ENOMEM;
	*ret = s;
	return 0;
}

void sender_free(struct sender *s)
{
	free(s);
}

const char *sender_name(const struct sender *s)
{
	return s->io_uring ? "io_uring" : "send";
}

void sender_run(struct sender *s, struct send_op *ops, size_t n)
{
	(void)s;
	for (size_t i = 0; i < n; i++) {
		ssize_t r = send(ops[i].fd, ops[i].data, ops[i].len, MSG_DONTWAIT | MSG_NOSIGNAL);
		ops[i].result = r < 0 ? -errno : r;
	}
}
