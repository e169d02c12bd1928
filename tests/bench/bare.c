/* SPDX-License-Identifier: MIT */
/*
 * What ./dev bench measures chatd against beside other servers: the least that a program can do.
 *
 *	bare tcp PORT		each line goes to every connection by send(), one message at a time
 *	bare echo PORT		an epoll loop that sends back what it receives
 *	bare udp PORT		#REG registers; each other datagram goes to all by sendto()
 *	bare proxy PULL PUB	zmq_proxy()
 *	bare reply ENDPOINT	a ROUTER that sends back what it receives
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <netinet/tcp.h>
#include <zmq.h>

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static int bound(const char *port, int type)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
	int fd = socket(AF_INET, type, 0), one = 1, size = 4 << 20;

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (type == SOCK_DGRAM) {
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	}
	if (bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || (type == SOCK_STREAM && listen(fd, 4096) < 0))
		die("bind");
	return fd;
}

static int serve_tcp(const char *port, int echo)
{
	int listener = bound(port, SOCK_STREAM), epoll = epoll_create1(0), n = 0;
	static int fds[20000];
	static char buf[65536];
	struct epoll_event e = {.events = EPOLLIN, .data.fd = listener}, events[512];

	epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &e);
	for (;;) {
		int k = epoll_wait(epoll, events, 512, -1);
		for (int x = 0; x < k; x++) {
			int fd = events[x].data.fd;
			if (fd == listener) {
				fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
				e.data.fd = fd;
				epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e);
				fds[n++] = fd;
				continue;
			}
			ssize_t r = recv(fd, buf, sizeof(buf), 0);
			if (r <= 0)
				return 0; /* the load is over */
			for (int i = 0; i < (echo ? 1 : n); i++)
				if (send(echo ? fd : fds[i], buf, (size_t)r, MSG_DONTWAIT | MSG_NOSIGNAL) !=
				    r)
					return 0;
		}
	}
}

__attribute__((noreturn)) static void serve_udp(const char *port)
{
	static struct sockaddr_in members[20000];
	int fd = bound(port, SOCK_DGRAM), n = 0;
	char buf[65536];

	for (;;) {
		struct sockaddr_in from;
		socklen_t len = sizeof(from);
		ssize_t r = recvfrom(fd, buf, sizeof(buf), 0, (struct sockaddr *)&from, &len);
		if (r < 0)
			continue;
		if (r > 4 && memcmp(buf, "#REG", 4) == 0) {
			members[n++] = from;
			sendto(fd, "#OK", 3, 0, (struct sockaddr *)&from, len);
			continue;
		}
		for (int i = 0; i < n; i++)
			sendto(fd, buf, (size_t)r, MSG_DONTWAIT, (struct sockaddr *)&members[i],
			       sizeof(members[i]));
	}
}

static void *zmq_bound(void *context, int type, const char *endpoint)
{
	void *s = zmq_socket(context, type);
	const int mark = 10000;

	zmq_setsockopt(s, ZMQ_SNDHWM, &mark, sizeof(mark));
	zmq_setsockopt(s, ZMQ_RCVHWM, &mark, sizeof(mark));
	if (zmq_bind(s, endpoint) < 0)
		die(endpoint);
	return s;
}

int main(int argc, char **argv)
{
	struct rlimit l;

	getrlimit(RLIMIT_NOFILE, &l);
	l.rlim_cur = l.rlim_max;
	setrlimit(RLIMIT_NOFILE, &l);
	if (argc == 3 && strcmp(argv[1], "tcp") == 0)
		return serve_tcp(argv[2], 0);
	if (argc == 3 && strcmp(argv[1], "echo") == 0)
		return serve_tcp(argv[2], 1);
	if (argc == 3 && strcmp(argv[1], "udp") == 0)
		serve_udp(argv[2]);
	void *context = zmq_ctx_new();
	if (argc == 4 && strcmp(argv[1], "proxy") == 0)
		return zmq_proxy(zmq_bound(context, ZMQ_PULL, argv[2]), zmq_bound(context, ZMQ_PUB, argv[3]),
				 NULL);
	if (argc == 3 && strcmp(argv[1], "reply") == 0) {
		void *s = zmq_bound(context, ZMQ_ROUTER, argv[2]);
		zmq_msg_t m;
		zmq_msg_init(&m);
		while (zmq_msg_recv(&m, s, 0) >= 0) {
			int more = zmq_msg_more(&m);
			zmq_msg_send(&m, s, more ? ZMQ_SNDMORE : 0);
		}
	}
	return 2;
}
