/* SPDX-License-Identifier: MIT */
/*
 * The connections of one ZeroMQ socket by their file descriptors, and the suspects among them: those that have
 * sent more than a message may be long. How that is told from many short messages is in the header.
 */
#include "daemon/net/zmq_peers.h"

#include "common/cleanup.h"
#include "daemon/base/clock.h"

#include <fcntl.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

/* At most this many are watched closely at once; the others' turn is later. */
#define SUSPECTS 64
/* What may be under way in libzmq: a batch that it has read, or messages that are not flushed. */
#define SLACK 65536
/* A peer's heartbeats count as well, for which there is no message. */
#define HEARTBEAT_RATE 32 /* bytes a second */
/* libzmq takes from its peers in turns, and learns of new messages after this many at the latest. */
#define TURN_MAX 1000

struct peer {
	uint64_t cookie; /* 0: nobody */
	uint64_t mark;	 /* bytes up to its last message; those of the handshake, at first */
	uint64_t seen;	 /* bytes that libzmq had read when it was looked at */
	int64_t marked_at;
	bool suspect;
	bool took; /* one of its messages since then */
};

struct zmq_peers {
	int epoll;
	struct peer *at; /* by file descriptor */
	size_t capacity, n;
	int suspects[SUSPECTS];
	unsigned n_suspects;
	uint64_t taken; /* messages since the suspects were looked at */
	bool took_all;	/* since then */
};

struct zmq_peers *zmq_peers_new(void)
{
	struct zmq_peers *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (p->epoll < 0) {
		free(p);
		return NULL;
	}
	return p;
}

void zmq_peers_free(struct zmq_peers *p)
{
	if (!p)
		return;
	close(p->epoll);
	free(p->at);
	free(p);
}

static uint64_t zmq_peers_cookie(int fd)
{
	uint64_t cookie = 0;
	socklen_t len = sizeof(cookie);

	return getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &len) == 0 ? cookie : 0;
}

/* How many bytes the peer has sent, and how many of them libzmq has read. False for others than TCP. */
static bool zmq_peers_progress(int fd, uint64_t *ret_sent, uint64_t *ret_read)
{
	struct tcp_info info = {0};
	socklen_t len = sizeof(info);
	int in = 0;

	/* In this order: what comes in between isn't taken for read. */
	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0 || ioctl(fd, SIOCINQ, &in) < 0)
		return false;
	*ret_sent = info.tcpi_bytes_received;
	*ret_read = info.tcpi_bytes_received > (uint64_t)in ? info.tcpi_bytes_received - (uint64_t)in : 0;
	return true;
}

/* It has sent a message: up to where libzmq has read, all is well. */
static void zmq_peers_mark(struct peer *k, int64_t now)
{
	k->mark = k->seen;
	k->marked_at = now;
	k->took = false;
}

void zmq_peers_came(struct zmq_peers *p, int fd)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.fd = fd};
	uint64_t sent;

	if ((size_t)fd >= p->capacity) {
		size_t capacity = p->capacity ? p->capacity : 64;
		while (capacity <= (size_t)fd)
			capacity *= 2;
		struct peer *at = reallocarray(p->at, capacity, sizeof(*at));
		if (!at)
			return;
		memset(at + p->capacity, 0, (capacity - p->capacity) * sizeof(*at));
		p->at = at;
		p->capacity = capacity;
	}
	zmq_peers_went(p, fd);
	p->at[fd].cookie = zmq_peers_cookie(fd);
	if (p->at[fd].cookie == 0)
		return; /* gone already */
	/* libzmq may have told so late: what was read by now may have been whole messages, which were taken. */
	zmq_peers_progress(fd, &sent, &p->at[fd].seen);
	zmq_peers_mark(&p->at[fd], clock_us(CLOCK_MONOTONIC));
	p->n++;
	/* libzmq's close() takes it out again. */
	epoll_ctl(p->epoll, EPOLL_CTL_ADD, fd, &event);
}

static void zmq_peers_acquit(struct zmq_peers *p, unsigned i)
{
	p->at[p->suspects[i]].suspect = false;
	p->suspects[i] = p->suspects[--p->n_suspects];
}

void zmq_peers_went(struct zmq_peers *p, int fd)
{
	if (fd < 0 || (size_t)fd >= p->capacity || p->at[fd].cookie == 0)
		return;
	for (unsigned i = 0; i < p->n_suspects; i++)
		if (p->suspects[i] == fd) {
			zmq_peers_acquit(p, i);
			break;
		}
	p->at[fd] = (struct peer){0};
	p->n--;
}

size_t zmq_peers_count(const struct zmq_peers *p)
{
	return p->n;
}

void zmq_peers_each(const struct zmq_peers *p, void (*fn)(int fd, void *arg), void *arg)
{
	for (size_t fd = 0; fd < p->capacity; fd++)
		if (p->at[fd].cookie)
			fn((int)fd, arg);
}

void zmq_peers_whose(struct zmq_peers *p, zmq_msg_t *m)
{
	/* libzmq looks it up in a map of texts. Asked of some messages only, others' messages would hide one
	 * without an end. */
	int fd = zmq_msg_get(m, ZMQ_SRCFD);

	if (fd >= 0 && (size_t)fd < p->capacity)
		p->at[fd].took = true;
}

void zmq_peers_took(struct zmq_peers *p, zmq_msg_t *m)
{
	zmq_peers_whose(p, m);
	p->taken++;
}

void zmq_peers_took_all(struct zmq_peers *p)
{
	p->took_all = true;
}

int zmq_peers_fd(const struct zmq_peers *p)
{
	return p->epoll;
}

bool zmq_peers_suspects(const struct zmq_peers *p)
{
	return p->n_suspects > 0;
}

static bool zmq_peers_exceed(const struct peer *k, uint64_t bytes, uint64_t limit, int64_t now)
{
	uint64_t heartbeats = (uint64_t)((now - k->marked_at) / SECOND_US) * HEARTBEAT_RATE;

	return bytes > k->mark && bytes - k->mark > limit + SLACK + heartbeats;
}

/* libzmq may close the descriptor at any time, and somebody else's connection get its number. */
static void zmq_peers_call(int fd, uint64_t cookie, void (*fn)(int fd, void *arg), void *arg)
{
	_cleanup_close_ int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);

	if (copy >= 0 && zmq_peers_cookie(copy) == cookie)
		fn(copy, arg);
}

/* What has become of those who were suspects when it was looked the last time. */
static void zmq_peers_judge(struct zmq_peers *p, uint64_t limit, uint64_t waiting, int64_t now,
			    void (*fn)(int fd, void *arg), void *arg)
{
	/* A peer that has sent a whole message has had its turn by now. */
	bool all = p->took_all || p->taken > 2 * p->n + TURN_MAX;
	uint64_t sent;

	for (unsigned i = 0; i < p->n_suspects;) {
		int fd = p->suspects[i];
		struct peer *k = &p->at[fd];
		if (k->took || zmq_peers_cookie(fd) != k->cookie) {
			/* More may have been read since then, of which all was taken: it begins again. */
			zmq_peers_progress(fd, &sent, &k->seen);
			zmq_peers_mark(k, now);
			zmq_peers_acquit(p, i);
		} else if (zmq_peers_exceed(k, k->seen, all ? limit : limit * waiting, now)) {
			zmq_peers_acquit(p, i);
			k->mark = UINT64_MAX; /* once is enough; it ends as soon as libzmq notices */
			zmq_peers_call(fd, k->cookie, fn, arg);
		} else {
			i++;
		}
	}
}

void zmq_peers_look(struct zmq_peers *p, uint64_t limit, uint64_t waiting, void (*fn)(int fd, void *arg),
		    void *arg)
{
	struct epoll_event events[SUSPECTS];
	int64_t now = clock_us(CLOCK_MONOTONIC);
	uint64_t sent;

	zmq_peers_judge(p, limit, waiting, now, fn, arg);
	if (p->n_suspects < SUSPECTS) {
		int n = epoll_wait(p->epoll, events, (int)(SUSPECTS - p->n_suspects), 0);
		for (int i = 0; i < n; i++) {
			int fd = events[i].data.fd;
			struct peer *k = (size_t)fd < p->capacity ? &p->at[fd] : NULL;
			if (!k || k->cookie == 0 || k->suspect || !zmq_peers_progress(fd, &sent, &k->seen))
				continue;
			/* How much of it was whole messages isn't known: it begins again. */
			if (k->took)
				zmq_peers_mark(k, now);
			if (!zmq_peers_exceed(k, sent, limit, now))
				continue;
			k->suspect = true;
			p->suspects[p->n_suspects++] = fd;
		}
	}
	/* From here on messages count that are taken. */
	for (unsigned i = 0; i < p->n_suspects; i++) {
		struct peer *k = &p->at[p->suspects[i]];
		zmq_peers_progress(p->suspects[i], &sent, &k->seen);
		k->took = false;
	}
	p->taken = 0;
	p->took_all = false;
}
