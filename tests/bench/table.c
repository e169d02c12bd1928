/* SPDX-License-Identifier: MIT */
/*
 * ./dev bench sizes: what chatd itself does for each client when it connects and at a takeover, with more clients than
 * this machine may have sockets. It is chatd's own code, but what it asks of the kernel about a client's socket is
 * answered here at once (the linker's --wrap), so the CPU time is chatd's and its page faults'. It prints a line of JSON.
 *
 *	table CLIENTS
 */
#include "daemon/engine/connection.h"
#include "daemon/engine/limits.h"
#include "daemon/modes/table.h"
#include "tests/harness.h"

#include <errno.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

#define FAKE 1000000000
#define COOKIES 5000
#define MESSAGE 253

static uint32_t *sent; /* bytes, per client */
static unsigned in_keeper, next_peeked;

/* --- the kernel --- */

int __real_getsockopt(int fd, int level, int name, void *value, socklen_t *len);
int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *len);
int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *len)
{
	if (fd < FAKE)
		return __real_getsockopt(fd, level, name, value, len);
	if (level == SOL_SOCKET && name == SO_COOKIE) {
		*(uint64_t *)value = COOKIES + (uint64_t)(fd - FAKE);
	} else if (level == IPPROTO_TCP && name == TCP_INFO) {
		struct tcp_info *info = value;
		info->tcpi_state = 1; /* ESTABLISHED */
		info->tcpi_bytes_acked = sent[fd - FAKE];
	} else {
		memset(value, 0, *len);
	}
	return 0;
}

int __real_ioctl(int fd, unsigned long request, void *value);
int __wrap_ioctl(int fd, unsigned long request, void *value);
int __wrap_ioctl(int fd, unsigned long request, void *value)
{
	if (fd < FAKE)
		return __real_ioctl(fd, request, value);
	*(int *)value = 0;
	return 0;
}

int __real_epoll_ctl(int epoll, int op, int fd, struct epoll_event *e);
int __wrap_epoll_ctl(int epoll, int op, int fd, struct epoll_event *e);
int __wrap_epoll_ctl(int epoll, int op, int fd, struct epoll_event *e)
{
	return fd < FAKE ? __real_epoll_ctl(epoll, op, fd, e) : 0;
}

ssize_t __real_send(int fd, const void *data, size_t len, int flags);
ssize_t __wrap_send(int fd, const void *data, size_t len, int flags);
ssize_t __wrap_send(int fd, const void *data, size_t len, int flags)
{
	if (fd < FAKE)
		return __real_send(fd, data, len, flags);
	sent[fd - FAKE] += (uint32_t)len;
	return (ssize_t)len;
}

int __real_close(int fd);
int __wrap_close(int fd);
int __wrap_close(int fd)
{
	return fd < FAKE ? __real_close(fd) : 0;
}

int __real_shutdown(int fd, int how);
int __wrap_shutdown(int fd, int how);
int __wrap_shutdown(int fd, int how)
{
	return fd < FAKE ? __real_shutdown(fd, how) : 0;
}

/* The keeper is the only one who is sent descriptors. */
ssize_t __wrap_recvmsg(int fd, struct msghdr *m, int flags);
ssize_t __wrap_recvmsg(int fd, struct msghdr *m, int flags)
{
	unsigned left = in_keeper - next_peeked, n = left < MESSAGE ? left : MESSAGE;
	int fds[MESSAGE];

	(void)fd;
	(void)flags;
	if (n == 0) {
		errno = EAGAIN;
		return -1;
	}
	for (unsigned i = 0; i < n; i++)
		fds[i] = FAKE + (int)next_peeked++;
	struct cmsghdr *h = CMSG_FIRSTHDR(m);
	h->cmsg_level = SOL_SOCKET;
	h->cmsg_type = SCM_RIGHTS;
	h->cmsg_len = CMSG_LEN(n * sizeof(int));
	memcpy(CMSG_DATA(h), fds, n * sizeof(int));
	m->msg_flags = 0;
	m->msg_controllen = CMSG_SPACE(n * sizeof(int));
	return 1;
}

/* --- chatd --- */

static double now(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Of this process, the state's pages included, in bytes. */
static double memory(void)
{
	unsigned long pages = 0;
	FILE *f = fopen("/proc/self/statm", "re");

	if (!f || fscanf(f, "%*u %lu", &pages) != 1)
		abort();
	fclose(f);
	return (double)pages * 4096;
}

/* As net/tcp.c does it. */
static void connect_one(struct harness *h, unsigned number)
{
	const struct client_origin origin = {
	    .listener = "chat", .type = "tcp", .mode = "chat", .room = "lobby"};
	struct shared *shared = harness_shared(h);
	union address a = {.in = {.sin_family = AF_INET, .sin_port = htons(1024)}};
	struct client *c = clients_allocate(shared->clients);
	uint64_t cookie = COOKIES + (uint64_t)number;

	a.in.sin_addr.s_addr = htonl(0x0a000000 + number);
	if (!c || limits_take(shared->limits, &a, 0, NULL) < 0)
		abort();
	c->origin = (uint16_t)clients_intern(shared->clients, &origin);
	c->st[0].rights = CLIENT_OPEN;
	c->st[0].private_seq = logring_count(rooms_private(shared->rooms)->log);
	c->address = a;
	atomic_store(&c->sealed_cookie, cookie);
	client_seal(c, &c->st[0]);
	atomic_store(&c->cookie, cookie);
	const struct connection_start start = {stream_plain(FAKE + (int)number), a, c,
					       handler_find("tcp", "chat"), true};
	if (connection_open(shared->workers[0], &start) < 0)
		abort();
}

static void turn(struct harness *h)
{
	wakeup_kick(slots_wakeup(harness_shared(h)->slots, 0)); /* so that it doesn't wait */
	worker_turn(harness_shared(h)->workers[0]);
}

static double user_seconds(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (double)u.ru_utime.tv_sec + (double)u.ru_utime.tv_usec / 1e6;
}

struct start {
	double at, user;
};

/* Between the death of the one process and the beginning of the other. */
static void died(int rooms_fd, int clients_fd, void *arg)
{
	(void)rooms_fd;
	(void)clients_fd;
	*(struct start *)arg = (struct start){now(CLOCK_PROCESS_CPUTIME_ID), user_seconds()};
}

int main(int argc, char **argv)
{
	unsigned n = argc > 1 ? (unsigned)atoi(argv[1]) : 1000;
	char config[512];
	struct takeover t;

	snprintf(config, sizeof(config),
		 "io_uring = false; limits: { max_clients = %u; max_clients_per_address = 0; };"
		 "rooms = ( { name = \"lobby\"; announce_max = 0; } );"
		 "listeners = ( { name = \"chat\"; type = \"tcp\"; mode = \"chat\"; listen = "
		 "\"127.0.0.1:1\"; room = \"lobby\"; } );",
		 n);
	struct harness *h = harness_new(config);
	sent = malloc(n * sizeof(*sent));
	if (!h || !sent)
		abort();
	memset(sent, 0, n * sizeof(*sent)); /* not counted as chatd's */

	double before = memory(), cpu = now(CLOCK_PROCESS_CPUTIME_ID), tick = 0, idle = memory();
	for (unsigned i = 0; i < n; i++) {
		connect_one(h, i);
		if (i % 16 == 15)
			turn(h);
	}
	turn(h);
	double connected = now(CLOCK_PROCESS_CPUTIME_ID) - cpu, busy = memory();
	/* Seconds pass: how long a turn takes at most, and what is left when all pages that nobody needs are back. */
	for (unsigned second = 0, calm = 0; second < 90 && calm < 3; second++) {
		double was = idle, until = now(CLOCK_MONOTONIC) + 1;
		while (now(CLOCK_MONOTONIC) < until) {
			double began = now(CLOCK_PROCESS_CPUTIME_ID);
			turn(h);
			double took = now(CLOCK_PROCESS_CPUTIME_ID) - began;
			if (took > tick)
				tick = took;
			nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
		}
		idle = memory();
		calm = idle < was - 100000 || second < 3 ? 0 : calm + 1;
	}

	struct start start;
	in_keeper = n;
	int r = harness_crash(h, died, &start, &t);
	double taken = now(CLOCK_PROCESS_CPUTIME_ID) - start.at, user = user_seconds() - start.user;
	if (r < 0 || t.taken != n) {
		fprintf(stderr, "%d: %u taken over, %u closed, of %u\n", r, t.taken, t.closed, n);
		return 1;
	}
	printf("{\"clients\": %u, \"connect_us\": %.3f, \"takeover_us\": %.3f, \"takeover_user_us\": %.3f, "
	       "\"turn_ms\": %.2f, "
	       "\"kB_at_first\": %.3f, \"kB\": %.3f}\n",
	       n, connected / n * 1e6, taken / n * 1e6, user / n * 1e6, tick * 1e3,
	       (busy - before) / n / 1024, (idle - before) / n / 1024);
	return 0;
}
