/* SPDX-License-Identifier: MIT */
/*
 * The load on a cluster for ./dev bench; it prints one line of JSON.
 *
 *	cluster latency URL REPLICAS RATE SECONDS PORT_A PORT_B
 *		RATE lines a second are said on node A, and as many messages published to a stream of our own on the same
 *		NATS, in turn: how long each takes to a member on B, to the speaker itself, and to a bare subscriber.
 *	cluster flood SECONDS PORT...
 *		a member on each node says lines of 64 bytes as fast as they are taken, and reads what all say.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <nats/nats.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE 64		   /* bytes of what is said, with its newline */
#define ARRIVES (LINE + 8) /* behind "p00000: " */
#define DIGITS 20	   /* of the time that a line begins with */
#define NODES_MAX 8

static void die(const char *what, const char *why)
{
	fprintf(stderr, "cluster: %s: %s\n", what, why);
	exit(1);
}

static int64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/* --- members --- */

/* Reads until nothing has come for so long. */
static void settle(int fd, int quiet_ms)
{
	char text[65536];
	struct pollfd p = {.fd = fd, .events = POLLIN};

	while (poll(&p, 1, quiet_ms) > 0)
		if (read(fd, text, sizeof(text)) <= 0)
			die("read", "a node has closed the connection");
}

/* In the room "lobby", as "p0000N". */
static int member(const char *port, unsigned number)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
	char text[64];

	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || connect(fd, (struct sockaddr *)&in, sizeof(in)) < 0)
		die("connect", strerror(errno));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	int n = snprintf(text, sizeof(text), "/nick p%05u\n", number);
	if (write(fd, text, (size_t)n) != n)
		die("write", strerror(errno));
	settle(fd, 300);
	return fd;
}

static void begin(void)
{
	puts("ready");
	fflush(stdout);
	if (getchar() == EOF)
		exit(1);
}

static void end(void)
{
	fflush(stdout);
	getchar();
	exit(0);
}

/* --- latency --- */

enum kind { BARE, OTHER_NODE, OWN_NODE, KINDS };

struct samples {
	double *at; /* seconds */
	size_t n, most;
};

static struct samples samples[KINDS];
static natsSubscription *subscription;
static int fds[2]; /* of the speaker on A, and of the member on B */
static atomic_bool over;

static void sample(enum kind kind, const char *time_text)
{
	struct samples *s = &samples[kind];

	if (s->n < s->most)
		s->at[s->n++] = (double)(now_ns() - strtoll(time_text, NULL, 10)) / 1e9;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double percentile(const struct samples *s, double p)
{
	return s->n ? s->at[(size_t)((double)(s->n - 1) * p)] : 0;
}

static void *read_bare(void *arg)
{
	(void)arg;
	while (!atomic_load(&over)) {
		natsMsg *m = NULL;
		if (natsSubscription_NextMsg(&m, subscription, 100) == NATS_OK)
			sample(BARE, natsMsg_GetData(m));
		natsMsg_Destroy(m);
	}
	return NULL;
}

/* What has come on one of both, and the rest of a line from before. */
static void read_lines(int fd, enum kind kind, char *text, size_t *len)
{
	ssize_t n = read(fd, text + *len, 65536 - *len - 1);
	char *line = text, *newline;

	if (n <= 0)
		die("read", "a node has closed the connection");
	*len += (size_t)n;
	text[*len] = '\0';
	for (; (newline = strchr(line, '\n')); line = newline + 1)
		if (newline - line == ARRIVES - 1)
			sample(kind, line + 8);
	*len -= (size_t)(line - text);
	memmove(text, line, *len);
}

static void *read_nodes(void *arg)
{
	static char text[2][65536];
	size_t len[2] = {0, 0};

	(void)arg;
	while (!atomic_load(&over)) {
		struct pollfd p[2] = {{.fd = fds[0], .events = POLLIN}, {.fd = fds[1], .events = POLLIN}};
		if (poll(p, 2, 100) <= 0)
			continue;
		if (p[1].revents)
			read_lines(fds[1], OTHER_NODE, text[1], &len[1]);
		if (p[0].revents)
			read_lines(fds[0], OWN_NODE, text[0], &len[0]);
	}
	return NULL;
}

static void check(natsStatus s, const char *what)
{
	if (s != NATS_OK)
		die(what, nats_GetLastError(NULL) ? nats_GetLastError(NULL) : natsStatus_GetText(s));
}

static natsConnection *nats(const char *url)
{
	natsConnection *nc = NULL;
	natsOptions *o = NULL;

	check(natsOptions_Create(&o), "options");
	check(natsOptions_SetURL(o, url), "URL");
	check(natsOptions_SetSendAsap(o, true), "send as soon as possible");
	check(natsConnection_Connect(&nc, o), "connect to NATS");
	natsOptions_Destroy(o);
	return nc;
}

/* Of ours, with one ordered consumer, as a node has it. */
static natsConnection *bare(const char *url, int replicas)
{
	natsConnection *publisher = nats(url), *subscriber = nats(url);
	jsStreamConfig config;
	jsSubOptions options;
	jsErrCode code;
	jsCtx *js = NULL;
	const char *subject = "bench.line";

	check(natsConnection_JetStream(&js, subscriber, NULL), "JetStream");
	jsStreamConfig_Init(&config);
	config.Name = "BENCH";
	config.Subjects = &subject;
	config.SubjectsLen = 1;
	config.Replicas = replicas;
	check(js_AddStream(NULL, js, &config, NULL, &code), "a stream");
	jsSubOptions_Init(&options);
	options.Ordered = true;
	check(js_SubscribeSync(&subscription, js, subject, NULL, &options, &code), "subscribe");
	return publisher;
}

static void latency(char **argv)
{
	natsConnection *nc = bare(argv[0], atoi(argv[1]));
	int64_t every = (int64_t)(1e9 / atof(argv[2]) / 2), at, until;
	size_t most = (size_t)(atof(argv[2]) * atof(argv[3])) + 1, said = 0;
	pthread_t threads[2];
	char line[LINE + 1];

	for (unsigned i = 0; i < 2; i++)
		fds[i] = member(argv[4 + i], i);
	settle(fds[0], 300);
	for (enum kind k = BARE; k < KINDS; k++)
		samples[k] = (struct samples){calloc(most, sizeof(double)), 0, most};
	pthread_create(&threads[0], NULL, read_bare, NULL);
	pthread_create(&threads[1], NULL, read_nodes, NULL);
	begin();
	at = now_ns();
	until = at + (int64_t)(atof(argv[3]) * 1e9);
	for (; at < until && said < most; at += every, said += 1) {
		for (unsigned turn = 0; turn < 2; turn++, at += turn < 2 ? every : 0) {
			const struct timespec ts = {at / 1000000000, at % 1000000000};
			clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL);
			snprintf(line, sizeof(line), "%0*lld", DIGITS, (long long)now_ns());
			memset(line + DIGITS, '.', LINE - DIGITS - 1);
			line[LINE - 1] = '\n';
			if (turn == 0)
				check(natsConnection_Publish(nc, "bench.line", line, LINE), "publish");
			else if (write(fds[0], line, LINE) != LINE)
				die("write", strerror(errno));
		}
	}
	sleep(2);
	atomic_store(&over, true);
	for (unsigned i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	printf("{\"said\": %zu", said);
	static const char *const names[KINDS] = {"bare", "other", "own"};
	for (enum kind k = BARE; k < KINDS; k++) {
		qsort(samples[k].at, samples[k].n, sizeof(double), compare);
		printf(", \"%s\": {\"n\": %zu, \"p50\": %.9f, \"p99\": %.9f}", names[k], samples[k].n,
		       percentile(&samples[k], 0.5), percentile(&samples[k], 0.99));
	}
	puts("}");
	end();
}

/* --- flood --- */

static struct {
	int fd;
	uint64_t sent, got; /* bytes */
} nodes[NODES_MAX];

static char chunk[LINE * 512];

/* For so long, or until everything has come; whether more is said meanwhile. */
static void flood_run(int n, int64_t until, bool talk)
{
	struct pollfd p[NODES_MAX];
	static char text[1 << 18];

	while (now_ns() < until) {
		uint64_t said = 0, got = 0;
		for (int i = 0; i < n; i++) {
			/* Of a line that was begun the rest is said. */
			bool more = talk || nodes[i].sent % LINE;
			p[i] = (struct pollfd){.fd = nodes[i].fd, .events = POLLIN | (more ? POLLOUT : 0)};
			said += nodes[i].sent;
			got += nodes[i].got;
		}
		if (!talk && said % LINE == 0 && got == said / LINE * ARRIVES * (unsigned)n)
			return;
		poll(p, (nfds_t)n, 100);
		for (int i = 0; i < n; i++) {
			ssize_t r = p[i].revents & POLLIN ? read(nodes[i].fd, text, sizeof(text)) : -1;
			if (r == 0)
				die("read", "a node has closed the connection");
			nodes[i].got += r > 0 ? (uint64_t)r : 0;
			size_t from = nodes[i].sent % LINE, len = talk ? sizeof(chunk) - from : LINE - from;
			r = p[i].revents & POLLOUT ? write(nodes[i].fd, chunk + from, len) : -1;
			nodes[i].sent += r > 0 ? (uint64_t)r : 0;
		}
	}
}

static void flood(int n, char **argv)
{
	double seconds = atof(argv[0]);
	uint64_t before = 0, after = 0, said = 0, got = 0;

	if (n < 1 || n > NODES_MAX)
		die("flood", "1 to 8 nodes");
	for (size_t i = 0; i < sizeof(chunk); i++)
		chunk[i] = i % LINE == LINE - 1 ? '\n' : '.';
	for (int i = 0; i < n; i++)
		nodes[i].fd = member(argv[1 + i], (unsigned)i);
	for (int i = 0; i < n; i++) {
		settle(nodes[i].fd, 300);
		fcntl(nodes[i].fd, F_SETFL, O_NONBLOCK);
	}
	begin();
	flood_run(n, now_ns() + 500000000, true);
	for (int i = 0; i < n; i++)
		before += nodes[i].got;
	int64_t at = now_ns();
	flood_run(n, at + (int64_t)(seconds * 1e9), true);
	seconds = (double)(now_ns() - at) / 1e9;
	for (int i = 0; i < n; i++)
		after += nodes[i].got;
	flood_run(n, now_ns() + 60000000000, false);
	for (int i = 0; i < n; i++) {
		said += nodes[i].sent / LINE;
		got += nodes[i].got;
	}
	/* Lines into the room; each is delivered on each node. */
	printf("{\"deliveries\": %llu, \"seconds\": %.4f, \"said\": %llu, \"lost\": %lld}\n",
	       (unsigned long long)((after - before) / ARRIVES / (unsigned)n), seconds,
	       (unsigned long long)said, (long long)(said * (unsigned)n) - (long long)(got / ARRIVES));
	end();
}

int main(int argc, char **argv)
{
	if (argc == 8 && strcmp(argv[1], "latency") == 0)
		latency(argv + 2);
	if (argc >= 4 && strcmp(argv[1], "flood") == 0)
		flood(argc - 3, argv + 2);
	fputs("usage: see the top of tests/bench/cluster.c\n", stderr);
	return 2;
}
