/* SPDX-License-Identifier: MIT */
/*
 * The socket of a connection to NATS. libnats reads and writes it only when it is told to, on the owner's thread: so what
 * comes is with the owner at once, and not after two other threads have woken up for it.
 */
#include "daemon/base/clock.h"
#include "daemon/io/nats_link_own.h"

#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

/* As much as a large batch of lines, and more. */
#define NATS_READ_MAX (128 * 1024)
/* More than that isn't left to be written by and by. */
#define NATS_UNSENT_MAX (1 << 20)
#define NATS_QUIET_MS 20

/* --- what libnats calls --- */

static natsStatus nats_socket_attached(void **ret, void *loop, natsConnection *nc, natsSock socket)
{
	struct nats_life *life = loop;

	(void)nc;
	*ret = life;
	pthread_mutex_lock(&life->link->mutex);
	life->socket = socket;
	pthread_mutex_unlock(&life->link->mutex);
	return NATS_OK;
}

/* It is being closed. */
static natsStatus nats_socket_reads(void *arg, bool add)
{
	struct nats_life *life = arg;

	pthread_mutex_lock(&life->link->mutex);
	if (!add)
		life->socket = -1;
	pthread_mutex_unlock(&life->link->mutex);
	return NATS_OK;
}

/* The owner looks at that by itself behind what it does; the link's thread has to tell it. */
static natsStatus nats_socket_writes(void *arg, bool add)
{
	struct nats_life *life = arg;

	atomic_store(&life->writes, add);
	if (add && pthread_equal(pthread_self(), life->session)) {
		pthread_mutex_lock(&life->link->mutex);
		nats_events_wake(life->link);
		pthread_mutex_unlock(&life->link->mutex);
	}
	return NATS_OK;
}

/* The life may be gone. */
static natsStatus nats_socket_detached(void *life)
{
	(void)life;
	return NATS_OK;
}

natsStatus nats_socket_options(natsOptions *o, struct nats_life *life)
{
	natsOptions_SetIOBufSize(o, NATS_READ_MAX);
	return natsOptions_SetEventLoop(o, life, nats_socket_attached, nats_socket_reads, nats_socket_writes,
					nats_socket_detached);
}

/* --- what the owner does --- */

static int nats_socket_of(struct nats_life *life)
{
	pthread_mutex_lock(&life->link->mutex);
	int fd = life->socket;
	pthread_mutex_unlock(&life->link->mutex);
	return fd;
}

static void nats_socket_watch(struct nats_link *l, int how, uint32_t events)
{
	struct epoll_event e = {.events = events};
	int fd = nats_socket_of(l->user);

	if (fd >= 0)
		(void)!epoll_ctl(l->epoll, how, fd, &e);
}

/* From the first bytes behind the handshakes on: NATS's own words are letters. */
static enum nats_layer nats_socket_layer(const unsigned char head[static 5])
{
	return head[0] >= 20 && head[0] <= 23 && head[1] == 3 ? NATS_LAYER_TLS : NATS_LAYER_PLAIN;
}

/* libnats waits, for however long that takes, for the rest of a TLS record that has begun to come. So it is called when all
 * of it is there, and poll() is told not to say anything before. */
static bool nats_socket_is_whole(struct nats_life *life, int fd)
{
	unsigned char head[5] = {0};
	ssize_t n = recv(fd, head, sizeof(head), MSG_PEEK | MSG_DONTWAIT);
	int have = 0;

	if (n <= 0)
		return n == 0 || errno != EAGAIN;
	if (life->layer == NATS_LAYER_UNKNOWN)
		life->layer = nats_socket_layer(head);
	if (life->layer == NATS_LAYER_PLAIN)
		return true;
	int needs =
	    n < (ssize_t)sizeof(head) ? (int)sizeof(head) : (int)sizeof(head) + (head[3] << 8 | head[4]);
	(void)ioctl(fd, FIONREAD, &have);
	bool whole = have >= needs;
	needs = whole ? 1 : needs;
	if (needs != life->needs)
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &needs, sizeof(needs));
	life->needs = needs;
	return whole;
}

static void nats_socket_fetch(struct nats_life *life, natsConnection *nc)
{
	if (life->layer == NATS_LAYER_PLAIN || nats_socket_is_whole(life, nats_socket_of(life)))
		natsConnection_ProcessReadEvent(nc);
}

void nats_socket_begin(struct nats_link *l)
{
	l->writing = false;
	nats_socket_watch(l, EPOLL_CTL_ADD, EPOLLIN);
	/* What there is to write has been told already. */
	pthread_mutex_lock(&l->mutex);
	nats_events_wake(l);
	pthread_mutex_unlock(&l->mutex);
}

void nats_socket_end(struct nats_link *l)
{
	nats_socket_watch(l, EPOLL_CTL_DEL, 0);
}

void nats_socket_write(struct nats_link *l)
{
	if (atomic_load(&l->user->writes))
		natsConnection_ProcessWriteEvent(l->nc);
	bool more = atomic_load(&l->user->writes);
	if (more != l->writing)
		nats_socket_watch(l, EPOLL_CTL_MOD, EPOLLIN | (more ? EPOLLOUT : 0));
	l->writing = more;
}

void nats_socket_read(struct nats_link *l)
{
	nats_socket_fetch(l->user, l->nc);
	nats_socket_write(l);
}

bool nats_socket_press(struct nats_link *l)
{
	int64_t until = clock_us(CLOCK_MONOTONIC) + NATS_WRITE_MS * INT64_C(1000), left;

	for (;;) {
		nats_socket_write(l);
		if (natsConnection_Buffered(l->nc) < NATS_UNSENT_MAX)
			return true;
		struct pollfd p = {.fd = nats_socket_of(l->user), .events = POLLOUT};
		left = until - clock_us(CLOCK_MONOTONIC);
		if (left <= 0 || p.fd < 0)
			return false;
		(void)!poll(&p, 1, (int)(left / 1000) + 1);
	}
}

/* --- what the link's thread does --- */

void nats_socket_settle(struct nats_life *life, natsConnection *nc, int64_t ms)
{
	int64_t until = clock_us(CLOCK_MONOTONIC) + ms * 1000;

	for (;;) {
		bool writes = atomic_load(&life->writes);
		struct pollfd p = {.fd = nats_socket_of(life), .events = POLLIN | (writes ? POLLOUT : 0)};
		int64_t left = until - clock_us(CLOCK_MONOTONIC);
		if (left <= 0 || p.fd < 0)
			return;
		if (poll(&p, 1, writes ? (int)(left / 1000) + 1 : NATS_QUIET_MS) <= 0)
			return;
		if (p.revents & POLLOUT)
			natsConnection_ProcessWriteEvent(nc);
		if (p.revents & ~POLLOUT)
			nats_socket_fetch(life, nc);
	}
}

bool nats_socket_is_dead(struct nats_life *life)
{
	struct pollfd p = {.fd = nats_socket_of(life), .events = POLLRDHUP};

	return p.fd >= 0 && poll(&p, 1, 0) > 0;
}

bool nats_socket_is_behind(struct nats_life *life)
{
	struct pollfd p = {.fd = nats_socket_of(life),
			   .events = POLLIN | (atomic_load(&life->writes) ? POLLOUT : 0)};

	return p.fd >= 0 && poll(&p, 1, 0) > 0;
}

void nats_socket_cut(struct nats_life *life)
{
	pthread_mutex_lock(&life->link->mutex);
	if (life->socket >= 0)
		shutdown(life->socket, SHUT_RDWR);
	pthread_mutex_unlock(&life->link->mutex);
}
