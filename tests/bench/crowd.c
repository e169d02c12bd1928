/* SPDX-License-Identifier: MIT */
/*
 * The crowd of ./dev bench sizes: many clients who come at once and then say nothing. It prints one line of JSON, and
 * goes when its input ends.
 *
 *	crowd tcp PORT CLIENTS	connections to a chat listener: "connected" when the last one is, "seconds" when
 *				the last one has been greeted, "slowest" from connecting to being greeted
 *	crowd udp PORT CLIENTS	registrations, each from an address of its own, of which nothing is left but the entry
 */
#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* Registrations on their way at once. */
#define FLIGHT 64
#define PATIENCE_MS 20000

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Ports of one source address run out at 28,000: every thousand has another one. */
static int dial(int port, int type, unsigned number)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	struct sockaddr_in from = {.sin_family = AF_INET};
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + number / 1000);
	if (fd < 0)
		die("socket");
	if (type == SOCK_DGRAM)
		from.sin_port = htons((uint16_t)(10000 + number % 1000));
	if (bind(fd, (struct sockaddr *)&from, sizeof(from)) < 0 ||
	    connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		die("connect");
	return fd;
}

static void await(int fd, const char *what)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	char buf[4096];

	if (poll(&p, 1, PATIENCE_MS) != 1)
		die("nothing comes");
	ssize_t n = recv(fd, buf, sizeof(buf) - 1, 0);
	buf[n > 0 ? n : 0] = '\0';
	if (!strstr(buf, what)) {
		fprintf(stderr, "expected %s, got: %s\n", what, buf);
		exit(1);
	}
}

static void crowd_tcp(int port, unsigned n)
{
	int *fds = calloc(n, sizeof(*fds));
	double *began = calloc(n, sizeof(*began)), start = now(), slowest = 0;

	if (!fds || !began)
		die("memory");
	for (unsigned i = 0; i < n; i++) {
		began[i] = now();
		fds[i] = dial(port, SOCK_STREAM, i);
	}
	double connected = now() - start;
	for (unsigned i = 0; i < n; i++) {
		await(fds[i], "Welcome");
		if (now() - began[i] > slowest)
			slowest = now() - began[i];
	}
	printf("{\"connected\": %.4f, \"seconds\": %.4f, \"slowest\": %.4f}\n", connected, now() - start,
	       slowest);
}

static void crowd_udp(int port, unsigned n)
{
	int fds[FLIGHT];
	double start = now();
	char text[32];

	for (unsigned i = 0; i < n; i += FLIGHT) {
		unsigned batch = n - i < FLIGHT ? n - i : FLIGHT;
		for (unsigned k = 0; k < batch; k++) {
			int len = snprintf(text, sizeof(text), "#REG m%07u", i + k);
			fds[k] = dial(port, SOCK_DGRAM, i + k);
			if (send(fds[k], text, (size_t)len, 0) != len)
				die("send");
		}
		for (unsigned k = 0; k < batch; k++) {
			await(fds[k], "#OK");
			close(fds[k]);
		}
	}
	printf("{\"seconds\": %.4f}\n", now() - start);
}

int main(int argc, char **argv)
{
	struct rlimit l;

	if (argc != 4) {
		fputs("usage: see the source\n", stderr);
		return 2;
	}
	getrlimit(RLIMIT_NOFILE, &l);
	l.rlim_cur = l.rlim_max;
	setrlimit(RLIMIT_NOFILE, &l);
	(strcmp(argv[1], "udp") == 0 ? crowd_udp : crowd_tcp)(atoi(argv[2]), (unsigned)atoi(argv[3]));
	fflush(stdout);
	while (getchar() != EOF)
		;
	return 0;
}
