/* SPDX-License-Identifier: MIT */
/* One pair of the keeper: a socketpair in whose queue copies of sockets are in flight. See pair.h. */
#include "daemon/state/pair.h"

#include "daemon/base/fault.h"
#include "daemon/base/logger.h"
#include "daemon/state/sockets.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * Whoever peeks at a message has the kernel go through all before it, so more and shorter queues are faster. So many
 * messages fit with what any user may have by default: net.core.wmem_max is 212992, which the kernel doubles.
 */
#define MESSAGES_MAX 400
/* More than the kernel accounts to one message, whatever the number of its sockets. */
#define MESSAGE_SPACE 1024

void pair_name(const struct pair *p, char end, char dst[static PAIR_NAME_MAX])
{
	snprintf(dst, PAIR_NAME_MAX, "chatd-keeper-%u-%c", p->number, end);
}

void pair_measure(struct pair *p)
{
	int size = 0;
	socklen_t len = sizeof(size);

	if (getsockopt(p->write, SOL_SOCKET, SO_SNDBUF, &size, &len) == 0)
		p->capacity = (unsigned)size / MESSAGE_SPACE;
	if (p->capacity > MESSAGES_MAX)
		p->capacity = MESSAGES_MAX;
}

int pair_open(unsigned number, struct pair *ret)
{
	const int size = MESSAGES_MAX * MESSAGE_SPACE / 2;
	int fds[2];
	char name[PAIR_NAME_MAX];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0)
		return -errno;
	setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	*ret = (struct pair){.write = fds[0], .read = fds[1], .number = number};
	pair_measure(ret);
	pair_name(ret, 'w', name);
	sockets_store(ret->write, name);
	FAULT("keeper-store");
	pair_name(ret, 'r', name);
	sockets_store(ret->read, name);
	return 0;
}

void pair_drop(struct pair *p)
{
	char name[PAIR_NAME_MAX];

	if (p->read < 0)
		return;
	pair_name(p, 'w', name);
	sockets_unstore(name);
	pair_name(p, 'r', name);
	sockets_unstore(name);
	close(p->write);
	close(p->read);
	p->read = p->write = -1;
}

int pair_put(struct pair *p, const int *fds, unsigned n)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(PAIR_MESSAGE_MAX * sizeof(int))];
	} control;
	char byte = 0;
	struct iovec iov = {&byte, 1};
	struct msghdr m = {.msg_iov = &iov,
			   .msg_iovlen = 1,
			   .msg_control = &control,
			   .msg_controllen = CMSG_SPACE(n * sizeof(int))};

	if (p->messages >= MESSAGES_MAX)
		return -EAGAIN;
	memset(&control, 0, m.msg_controllen);
	struct cmsghdr *h = CMSG_FIRSTHDR(&m);
	h->cmsg_level = SOL_SOCKET;
	h->cmsg_type = SCM_RIGHTS;
	h->cmsg_len = CMSG_LEN(n * sizeof(int));
	memcpy(CMSG_DATA(h), fds, n * sizeof(int));
	if (sendmsg(p->write, &m, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		return -errno;
	p->messages++;
	p->sockets += n;
	return 0;
}

int pair_peek(const struct pair *p, int fds[static PAIR_MESSAGE_MAX], bool *ret_cut)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(PAIR_MESSAGE_MAX * sizeof(int))];
	} control;
	char byte;
	struct iovec iov = {&byte, 1};
	struct msghdr m = {
	    .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
	int n = 0;

	*ret_cut = false;
	ssize_t r = recvmsg(p->read, &m, MSG_PEEK | MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (r <= 0)
		return r < 0 ? -errno : -EAGAIN;
	for (struct cmsghdr *h = CMSG_FIRSTHDR(&m); h; h = CMSG_NXTHDR(&m, h))
		if (h->cmsg_level == SOL_SOCKET && h->cmsg_type == SCM_RIGHTS) {
			n = (int)((h->cmsg_len - CMSG_LEN(0)) / sizeof(int));
			memcpy(fds, CMSG_DATA(h), (size_t)n * sizeof(int));
		}
	*ret_cut = m.msg_flags & MSG_CTRUNC;
	return n;
}

/* The kernel closes what it has no space to tell of. */
void pair_take(struct pair *p, unsigned n)
{
	char byte;

	while (n > 0 && recv(p->read, &byte, 1, MSG_DONTWAIT) == 1) {
		p->messages--;
		n--;
	}
}

/* Each message is a byte. */
void pair_peek_from(const struct pair *p, int number)
{
	setsockopt(p->read, SOL_SOCKET, SO_PEEK_OFF, &number, sizeof(number));
}

void pair_close(struct pair *p)
{
	if (p->read >= 0)
		close(p->read);
	if (p->write >= 0)
		close(p->write);
}

/*
 * The sockets of the message of that number. Those that fn has no use for are closed at once, so a message
 * that was cut is looked at again as long as that shows more of it.
 */
static int pair_message_each(const struct pair *p, int number, void (*fn)(int fd, void *arg), void *arg,
			     bool *ret_cut)
{
	int fds[PAIR_MESSAGE_MAX] = {-1}, seen = 0, n;

	do {
		pair_peek_from(p, number);
		n = pair_peek(p, fds, ret_cut);
		for (int i = 0; i < n; i++)
			fn(fds[i], arg);
		if (n <= seen)
			break;
		seen = n;
	} while (*ret_cut);
	return n < 0 ? n : seen;
}

void pair_each(struct pair *p, void (*fn)(int fd, void *arg), void *arg)
{
	unsigned cut_messages = 0;
	bool cut = false;
	int n;

	while ((n = pair_message_each(p, (int)p->messages, fn, arg, &cut)) >= 0) {
		p->messages++;
		p->sockets += (unsigned)n;
		cut_messages += cut;
	}
	pair_peek_from(p, 0);
	if (cut_messages > 0)
		log_error("keeper: file descriptors ran out, so clients can't be taken over: LimitNOFILE= "
			  "(or ulimit -n) is less than it was");
}
