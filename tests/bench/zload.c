/* SPDX-License-Identifier: MIT */
/*
 * The load on ZeroMQ for ./dev bench; it prints one line of JSON.
 *
 *	zload relay PULL PUB SUBSCRIBERS SIZE WINDOW SECONDS
 *	zload reply ENDPOINT CLIENTS SIZE SECONDS	DEALERs with ten questions under way each
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

static void *context;

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void *connected(int type, const char *endpoint)
{
	void *s = zmq_socket(context, type);
	const int mark = 100000, zero = 0;

	zmq_setsockopt(s, ZMQ_SNDHWM, &mark, sizeof(mark));
	zmq_setsockopt(s, ZMQ_RCVHWM, &mark, sizeof(mark));
	zmq_setsockopt(s, ZMQ_LINGER, &zero, sizeof(zero));
	if (type == ZMQ_SUB)
		zmq_setsockopt(s, ZMQ_SUBSCRIBE, "", 0);
	if (zmq_connect(s, endpoint) < 0) {
		perror(endpoint);
		exit(1);
	}
	return s;
}

static void ready(void)
{
	usleep(500000);
	puts("ready");
	fflush(stdout);
	if (getchar() == EOF)
		exit(1);
}

static void result(unsigned long long n, double seconds, unsigned long long lost)
{
	printf("{\"deliveries\": %llu, \"seconds\": %.4f, \"lost\": %llu}\n", n, seconds, lost);
	fflush(stdout);
	getchar();
	exit(0);
}

static void relay(char **argv)
{
	int subs = atoi(argv[2]), size = atoi(argv[3]), window = atoi(argv[4]);
	double seconds = atof(argv[5]), at, progress;
	void *push = connected(ZMQ_PUSH, argv[0]);
	zmq_pollitem_t *items = calloc((size_t)subs, sizeof(*items));
	char buf[65536] = {0};
	unsigned long long sent = 0, received = 0, lost = 0, n = (unsigned long long)subs;

	for (int i = 0; i < subs; i++)
		items[i] = (zmq_pollitem_t){.socket = connected(ZMQ_SUB, argv[1]), .events = ZMQ_POLLIN};
	ready();
	double start = now();
	for (at = progress = start; at < start + seconds; at = now()) {
		if (at - progress > 0.1 && received + lost < sent * n)
			lost = sent * n - received;
		while (sent * n < received + lost + (unsigned long long)window * n) {
			zmq_send(push, buf, (size_t)size, 0);
			sent++;
		}
		zmq_poll(items, subs, 20);
		for (int i = 0; i < subs; i++)
			for (int k = 0;
			     k < 1000 && zmq_recv(items[i].socket, buf, sizeof(buf), ZMQ_DONTWAIT) >= 0;
			     k++) {
				received++;
				progress = at;
			}
	}
	result(received, at - start, lost);
}

static void reply(char **argv)
{
	int clients = atoi(argv[1]), size = atoi(argv[2]);
	double seconds = atof(argv[3]), at;
	zmq_pollitem_t *items = calloc((size_t)clients, sizeof(*items));
	char buf[65536] = {0};
	unsigned long long received = 0;

	for (int i = 0; i < clients; i++)
		items[i] = (zmq_pollitem_t){.socket = connected(ZMQ_DEALER, argv[0]), .events = ZMQ_POLLIN};
	ready();
	double start = now();
	for (int i = 0; i < clients * 10; i++)
		zmq_send(items[i % clients].socket, buf, (size_t)size, 0);
	for (at = start; at < start + seconds; at = now()) {
		zmq_poll(items, clients, 100);
		for (int i = 0; i < clients; i++)
			while (zmq_recv(items[i].socket, buf, sizeof(buf), ZMQ_DONTWAIT) >= 0) {
				received++;
				zmq_send(items[i].socket, buf, (size_t)size, 0);
			}
	}
	result(received, at - start, 0);
}

int main(int argc, char **argv)
{
	context = zmq_ctx_new();
	if (argc == 8 && strcmp(argv[1], "relay") == 0)
		relay(argv + 2);
	if (argc == 6 && strcmp(argv[1], "reply") == 0)
		reply(argv + 2);
	fputs("usage: see the source\n", stderr);
	return 2;
}
