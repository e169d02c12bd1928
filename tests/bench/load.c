/* SPDX-License-Identifier: MIT */
/*
 * The load program of ./dev bench: publishers and subscribers of chatd and of its peers, in one thread, and
 *how much got where how fast. It prints one line of JSON.
 *
 *	load fanout PROTOCOL PORT ROOMS PUBLISHERS SUBSCRIBERS SIZE WINDOW RATE SECONDS [SLOW]
 *	load udp PORT MEMBERS SIZE WINDOW SECONDS
 *	load echo PORT CONNECTIONS SIZE SECONDS
 *	load idle PROTOCOL PORT CONNECTIONS SECONDS
 *
 * PUBLISHERS and SUBSCRIBERS are per room. WINDOW: messages of a room in flight. RATE: messages a second and
 *room, 0 as many as possible. SLOW: so many subscribers never read. Every message of a run is equally long on
 *the wire, so deliveries are counted in bytes.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* A frame of a WebSocket's client is masked (RFC 6455, 5.3); with a mask of zeros its payload stays as it is. */
#define CLIENT_FRAME_HEAD_MAX 8

#define PUBLISHER_NICK "p%05d"
#define NICK_LEN 6

struct connection {
	int fd;
	unsigned room;
	bool publishes, counts, silent;
	char *out;
	size_t out_len, out_room;
	/* Of a WebSocket whose frames are looked at: what is left of the one at hand, and of its head what has come. */
	uint64_t frame_left;
	uint8_t head[10];
	unsigned head_len;
};

struct room {
	uint64_t sent, delivered; /* bytes delivered */
	unsigned receivers;	  /* connections that get each message */
	unsigned publishers, next_publisher;
	struct connection **publisher;
	double sent_at, next_at;
};

struct protocol {
	const char *name;
	/* What a connection says first, and what it waits for after that. */
	int (*hello)(char *dst, size_t size, unsigned room, bool publishes, int number);
	const char *(*welcome)(bool publishes);
	/* A message of size bytes; returns its length. */
	int (*message)(char *dst, size_t size, unsigned room, const char *payload, int len);
	/* How long it is where it arrives. */
	int (*delivered)(unsigned room, int len);
	bool publisher_receives;
	/* Where joining takes a second step: what it says, and waits for. */
	const char *join, *joined;
	/* Spoken within a WebSocket: what comes before. NULL: it isn't. */
	const char *upgrade;
	/* Frames differ in what they hold, so that their payload is counted. */
	bool unframe;
};

static void die(const char *what)
{
	fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
	exit(1);
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* --- the protocols --- */

static int chatd_hello(char *dst, size_t size, unsigned room, bool publishes, int number)
{
	int n = snprintf(dst, size, "/join r%04u\n", room);

	if (publishes)
		n += snprintf(dst + n, size - (size_t)n, "/nick " PUBLISHER_NICK "\n", number);
	return n;
}

static const char *chatd_welcome(bool publishes)
{
	return publishes ? "ou are now p" : "You are in r";
}

static int line_message(char *dst, size_t size, unsigned room, const char *payload, int len)
{
	(void)room;
	return snprintf(dst, size, "%.*s\n", len - 1, payload);
}

static int chatd_delivered(unsigned room, int len)
{
	(void)room;
	return NICK_LEN + 2 + len;
}

static int none_hello(char *dst, size_t size, unsigned room, bool publishes, int number)
{
	(void)dst;
	(void)size;
	(void)room;
	(void)publishes;
	(void)number;
	return 0;
}

static const char *none_welcome(bool publishes)
{
	(void)publishes;
	return NULL;
}

static int line_delivered(unsigned room, int len)
{
	(void)room;
	return len;
}

static int nats_hello(char *dst, size_t size, unsigned room, bool publishes, int number)
{
	(void)number;
	return publishes
		   ? snprintf(dst, size, "CONNECT {\"verbose\":false}\r\nPING\r\n")
		   : snprintf(dst, size, "CONNECT {\"verbose\":false}\r\nSUB r%04u 1\r\nPING\r\n", room);
}

static const char *nats_welcome(bool publishes)
{
	(void)publishes;
	return "PONG\r\n";
}

static int nats_message(char *dst, size_t size, unsigned room, const char *payload, int len)
{
	return snprintf(dst, size, "PUB r%04u %d\r\n%.*s\r\n", room, len, len, payload);
}

static int nats_delivered(unsigned room, int len)
{
	char text[64];

	return snprintf(text, sizeof(text), "MSG r%04u 1 %d\r\n\r\n", room, len) + len;
}

static int redis_hello(char *dst, size_t size, unsigned room, bool publishes, int number)
{
	(void)number;
	return publishes ? snprintf(dst, size, "PING\r\n") : snprintf(dst, size, "SUBSCRIBE r%04u\r\n", room);
}

static const char *redis_welcome(bool publishes)
{
	return publishes ? "+PONG\r\n" : ":1\r\n";
}

static int redis_message(char *dst, size_t size, unsigned room, const char *payload, int len)
{
	return snprintf(dst, size, "*3\r\n$7\r\nPUBLISH\r\n$5\r\nr%04u\r\n$%d\r\n%.*s\r\n", room, len, len,
			payload);
}

static int redis_delivered(unsigned room, int len)
{
	char text[64];

	return snprintf(text, sizeof(text), "*3\r\n$7\r\nmessage\r\n$5\r\nr%04u\r\n$%d\r\n\r\n", room, len) +
	       len;
}

/* MQTT 3.1.1, quality of service 0. */
static int mqtt_hello(char *dst, size_t size, unsigned room, bool publishes, int number)
{
	char id[16], topic[8];
	int id_len = snprintf(id, sizeof(id), "c%07d", number), n = 0;

	(void)size;
	memcpy(dst, "\x10\x00\x00\x04MQTT\x04\x02\x00\x00\x00", 13);
	dst[1] = (char)(12 + id_len);
	dst[13] = (char)id_len;
	memcpy(dst + 14, id, (size_t)id_len);
	n = 14 + id_len;
	if (!publishes) {
		int t = snprintf(topic, sizeof(topic), "r%04u", room);
		memcpy(dst + n, "\x82\x00\x00\x01\x00\x00", 6);
		dst[n + 1] = (char)(5 + t);
		dst[n + 5] = (char)t;
		memcpy(dst + n + 6, topic, (size_t)t);
		dst[n + 6 + t] = 0;
		n += 7 + t;
	}
	return n;
}

static const char *mqtt_welcome(bool publishes)
{
	return publishes ? "\x20\x02" : "\x90\x03";
}

static int mqtt_message(char *dst, size_t size, unsigned room, const char *payload, int len)
{
	char topic[8];
	int t = snprintf(topic, sizeof(topic), "r%04u", room), rest = 2 + t + len, n = 0;

	(void)size;
	dst[n++] = 0x30;
	do {
		dst[n++] = (char)((rest & 127) | (rest > 127 ? 128 : 0));
		rest >>= 7;
	} while (rest > 0);
	dst[n++] = 0;
	dst[n++] = (char)t;
	memcpy(dst + n, topic, (size_t)t);
	memcpy(dst + n + t, payload, (size_t)len);
	return n + t + len;
}

static int mqtt_delivered(unsigned room, int len)
{
	static char text[70000];

	return mqtt_message(text, sizeof(text), room, text, len);
}

/* IRC, RFC 2812. bench.py has the servers say a short host for everybody, as far as they can. */
static int irc_hello(char *dst, size_t size, unsigned room, bool publishes, int number)
{
	(void)room;
	(void)publishes;
	return snprintf(dst, size, "NICK " PUBLISHER_NICK "\r\nUSER x 0 * :x\r\n", number);
}

static const char *irc_welcome(bool publishes)
{
	(void)publishes;
	return " 396 ";
}

static int irc_message(char *dst, size_t size, unsigned room, const char *payload, int len)
{
	return snprintf(dst, size, "PRIVMSG #r%04u :%.*s\r\n", room, len, payload);
}

static int irc_delivered_by(const char *user_host, unsigned room, int len)
{
	char text[128];

	return snprintf(text, sizeof(text), ":" PUBLISHER_NICK "!%s PRIVMSG #r%04u :\r\n", 0, user_host,
			room) +
	       len;
}

static int irc_delivered(unsigned room, int len)
{
	return irc_delivered_by("x@h", room, len);
}

static int ngircd_delivered(unsigned room, int len)
{
	return irc_delivered_by("~x@h", room, len);
}

static int chatd_irc_delivered(unsigned room, int len)
{
	return irc_delivered_by("x@127.0.0.1", room, len);
}

static const char *irc_no_motd(bool publishes)
{
	(void)publishes;
	return " 422 ";
}

/* --- the same within WebSockets (RFC 6455) --- */

#define UPGRADE(path)                                                                                        \
	"GET " path " HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"          \
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"

/* Puts the payload behind the head's space into a frame. Returns its length with the head. */
static int client_frame(char *dst, int opcode, const char *payload, int len)
{
	int n = len < 126 ? 2 : 4;

	memmove(dst + n + 4, payload, (size_t)len);
	dst[0] = (char)(0x80 | opcode);
	dst[1] = (char)(0x80 | (len < 126 ? len : 126));
	if (n == 4) {
		dst[2] = (char)(len >> 8);
		dst[3] = (char)len;
	}
	memset(dst + n, 0, 4);
	return n + 4 + len;
}

static int chatd_web_hello(char *dst, size_t size, unsigned room, bool publishes, int number)
{
	char line[64];
	int len = snprintf(line, sizeof(line), "/join r%04u", room);
	int n = client_frame(dst, 1, line, len);

	(void)size;
	if (publishes) {
		len = snprintf(line, sizeof(line), "/nick " PUBLISHER_NICK, number);
		n += client_frame(dst + n, 1, line, len);
	}
	return n;
}

static int chatd_web_message(char *dst, size_t size, unsigned room, const char *payload, int len)
{
	(void)size;
	(void)room;
	return client_frame(dst, 1, payload, len - 1);
}

/* All frames are alike. */
static int chatd_web_delivered(unsigned room, int len)
{
	int payload = chatd_delivered(room, len) - 1;

	return payload + (payload < 126 ? 2 : 4);
}

static int nats_web_hello(char *dst, size_t size, unsigned room, bool publishes, int number)
{
	char text[128];

	(void)size;
	return client_frame(dst, 2, text, nats_hello(text, sizeof(text), room, publishes, number));
}

static int nats_web_message(char *dst, size_t size, unsigned room, const char *payload, int len)
{
	return client_frame(
	    dst, 2, dst + CLIENT_FRAME_HEAD_MAX,
	    nats_message(dst + CLIENT_FRAME_HEAD_MAX, size - CLIENT_FRAME_HEAD_MAX, room, payload, len));
}

/* How much payload is among the n bytes that came. */
static uint64_t unframe(struct connection *c, const char *data, size_t n)
{
	uint64_t payload = 0;

	for (size_t i = 0; i < n;) {
		if (c->frame_left > 0) {
			size_t part = c->frame_left < n - i ? (size_t)c->frame_left : n - i;
			c->frame_left -= part;
			payload += part;
			i += part;
			continue;
		}
		c->head[c->head_len++] = (uint8_t)data[i++];
		unsigned more = c->head_len < 2 || c->head[1] < 126 ? 0 : c->head[1] == 126 ? 2 : 8;
		if (c->head_len < 2 + more)
			continue;
		c->frame_left = more ? 0 : c->head[1];
		for (unsigned k = 0; k < more; k++)
			c->frame_left = c->frame_left << 8 | c->head[2 + k];
		c->head_len = 0;
	}
	return payload;
}

static const struct protocol protocols[] = {
    {"chatd-web", chatd_web_hello, chatd_welcome, chatd_web_message, chatd_web_delivered, true, NULL, NULL,
     UPGRADE("/ws"), false},
    {"nats-web", nats_web_hello, nats_welcome, nats_web_message, nats_delivered, false, NULL, NULL,
     UPGRADE("/"), true},
    {"irc", irc_hello, irc_welcome, irc_message, irc_delivered, false, "JOIN #r%04u\r\n", " 366 ", NULL,
     false},
    {"ngircd", irc_hello, irc_no_motd, irc_message, ngircd_delivered, false, "JOIN #r%04u\r\n", " 366 ", NULL,
     false},
    {"chatd-irc", irc_hello, irc_no_motd, irc_message, chatd_irc_delivered, false, "JOIN #r%04u\r\n", " 366 ",
     NULL, false},
    {"chatd", chatd_hello, chatd_welcome, line_message, chatd_delivered, true, NULL, NULL, NULL, false},
    {"ncat", none_hello, none_welcome, line_message, line_delivered, false, NULL, NULL, NULL, false},
    {"bare", none_hello, none_welcome, line_message, line_delivered, true, NULL, NULL, NULL, false},
    {"nats", nats_hello, nats_welcome, nats_message, nats_delivered, false, NULL, NULL, NULL, false},
    {"redis", redis_hello, redis_welcome, redis_message, redis_delivered, false, NULL, NULL, NULL, false},
    {"mqtt", mqtt_hello, mqtt_welcome, mqtt_message, mqtt_delivered, false, NULL, NULL, NULL, false},
};

static const struct protocol *find_protocol(const char *name)
{
	for (size_t i = 0; i < sizeof(protocols) / sizeof(*protocols); i++)
		if (strcmp(protocols[i].name, name) == 0)
			return &protocols[i];
	errno = EINVAL;
	die(name);
	return NULL;
}

/* --- connections --- */

static int dial(int port, int type)
{
	/* Ports of one source address run out at 28,000: every thousand connections has another one. */
	static unsigned n;
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	struct sockaddr_in from = {.sin_family = AF_INET};
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0), one = 1;

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + n++ / 1000);
	if (fd < 0 || bind(fd, (struct sockaddr *)&from, sizeof(from)) < 0 ||
	    connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		die("connect");
	if (type == SOCK_STREAM)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}

static void expect(int fd, const char *what)
{
	char buf[65536];
	size_t n = 0, len = what ? strlen(what) : 0;
	struct timeval patience = {.tv_sec = 20};

	if (!what)
		return;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	while (!memmem(buf, n, what, len)) {
		if (n == sizeof(buf)) {
			memmove(buf, buf + n / 2, n - n / 2);
			n -= n / 2;
		}
		ssize_t r = recv(fd, buf + n, sizeof(buf) - n, 0);
		if (r <= 0)
			die("no welcome");
		n += (size_t)r;
	}
}

static void swallow(int fd)
{
	char buf[65536];

	while (recv(fd, buf, sizeof(buf), MSG_DONTWAIT) > 0)
		;
}

static struct connection *join(const struct protocol *p, int port, unsigned room, bool publishes, int number)
{
	struct connection *c = calloc(1, sizeof(*c));
	char hello[256];

	c->fd = dial(port, SOCK_STREAM);
	c->room = room;
	c->publishes = publishes;
	if (p->upgrade) {
		if (send(c->fd, p->upgrade, strlen(p->upgrade), 0) != (ssize_t)strlen(p->upgrade))
			die("upgrade");
		expect(c->fd, "\r\n\r\n");
	}
	int n = p->hello(hello, sizeof(hello), room, publishes, number);
	if (n > 0 && send(c->fd, hello, (size_t)n, 0) != n)
		die("hello");
	if (!p->join)
		expect(c->fd, p->welcome(publishes));
	/* ncat has a backlog of 10, and greets nobody: whoever comes too early is made to wait for seconds.
	 */
	if (!p->welcome(publishes))
		usleep(1000);
	return c;
}

/* The second step, which is taken when all have taken the first: inspircd lets people in once a second. */
static void join_at_last(const struct protocol *p, const struct connection *c)
{
	char text[64];

	if (!p->join)
		return;
	expect(c->fd, p->welcome(c->publishes));
	int n = snprintf(text, sizeof(text), p->join, c->room);
	if (send(c->fd, text, (size_t)n, 0) != n)
		die("join");
	expect(c->fd, p->joined);
}

static void flush(struct connection *c)
{
	size_t done = 0;

	while (done < c->out_len) {
		ssize_t n = send(c->fd, c->out + done, c->out_len - done, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0)
			die("send");
		done += (size_t)n;
	}
	c->out_len -= done;
	memmove(c->out, c->out + done, c->out_len);
}

static void append(struct connection *c, const char *data, size_t len)
{
	if (c->out_len + len > c->out_room) {
		c->out_room = (c->out_len + len) * 2;
		c->out = realloc(c->out, c->out_room);
	}
	memcpy(c->out + c->out_len, data, len);
	c->out_len += len;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static void raise_nofile(void)
{
	struct rlimit l;

	getrlimit(RLIMIT_NOFILE, &l);
	l.rlim_cur = l.rlim_max;
	setrlimit(RLIMIT_NOFILE, &l);
}

/* Tells bench.py that the preparations are over, and waits for it to look at the server's CPU. */
static void ready(void)
{
	puts("ready");
	fflush(stdout);
	if (getchar() == EOF)
		exit(1);
}

/* --- fanout --- */

static struct connection **all;
static size_t n_all;

static int command_fanout(char **argv)
{
	const struct protocol *p = find_protocol(argv[0]);
	int port = atoi(argv[1]), size = atoi(argv[5]);
	unsigned n_rooms = (unsigned)atoi(argv[2]), pubs = (unsigned)atoi(argv[3]),
		 subs = (unsigned)atoi(argv[4]);
	unsigned window = (unsigned)atoi(argv[6]), slow = argv[9] ? (unsigned)atoi(argv[9]) : 0;
	double rate = atof(argv[7]), seconds = atof(argv[8]);
	struct room *rooms = calloc(n_rooms, sizeof(*rooms));
	int epoll = epoll_create1(0), len = p->delivered(0, size);
	char payload[65536], message[70000], *buf = malloc(4 << 20);
	double *latencies = calloc(1 << 20, sizeof(double));
	size_t n_latencies = 0;
	uint64_t total = 0;
	int number = 0;

	memset(payload, 'x', sizeof(payload));
	all = calloc((size_t)n_rooms * (pubs + subs), sizeof(*all));
	for (unsigned r = 0; r < n_rooms; r++) {
		rooms[r].publisher = calloc(pubs, sizeof(*rooms[r].publisher));
		for (unsigned i = 0; i < pubs + subs; i++) {
			bool publishes = i >= subs;
			struct connection *c = join(p, port, r, publishes, number++);
			c->silent = i < slow;
			c->counts = (!publishes || p->publisher_receives) && !c->silent;
			rooms[r].receivers += c->counts;
			if (publishes)
				rooms[r].publisher[rooms[r].publishers++] = c;
			all[n_all++] = c;
		}
		/* Where everybody hears everybody but itself. */
		if (strcmp(p->name, "ncat") == 0 && pubs > 0 && subs == 0)
			rooms[r].receivers = pubs - 1;
	}
	for (size_t i = 0; i < n_all; i++)
		join_at_last(p, all[i]);
	if (strcmp(p->name, "ncat") == 0 && subs == 0)
		for (size_t i = 0; i < n_all; i++)
			all[i]->counts = true;
	usleep(300000);
	for (size_t i = 0; i < n_all; i++) {
		struct epoll_event e = {.events = EPOLLIN, .data.ptr = all[i]};
		swallow(all[i]->fd);
		if (!all[i]->silent)
			epoll_ctl(epoll, EPOLL_CTL_ADD, all[i]->fd, &e);
	}
	ready();
	double start = now(), end = start + seconds, at = start;
	for (unsigned r = 0; r < n_rooms; r++)
		rooms[r].next_at = start;
	while (at < end) {
		double wait = 0.02;
		for (unsigned r = 0; r < n_rooms; r++) {
			struct room *m = &rooms[r];
			uint64_t expected = (uint64_t)m->receivers * (unsigned)len;
			while ((m->sent + 1) * expected <= m->delivered + window * expected &&
			       at >= m->next_at) {
				struct connection *c = m->publisher[m->next_publisher++ % m->publishers];
				if (c->out_len > 1 << 20)
					break;
				int n = p->message(message, sizeof(message), r, payload, size);
				append(c, message, (size_t)n);
				m->sent++;
				m->sent_at = at;
				if (rate > 0) {
					m->next_at += 1 / rate;
					break;
				}
			}
			if (rate > 0 && m->next_at - at < wait)
				wait = m->next_at - at > 0 ? m->next_at - at : 0;
			for (unsigned i = 0; i < m->publishers; i++)
				if (m->publisher[i]->out_len)
					flush(m->publisher[i]);
		}
		struct epoll_event events[1024];
		struct timespec ts = {0, (long)(wait * 1e9)};
		int n = epoll_pwait2(epoll, events, 1024, &ts, NULL);
		at = now();
		for (int i = 0; i < n; i++) {
			struct connection *c = events[i].data.ptr;
			ssize_t r = recv(c->fd, buf, 4 << 20, MSG_DONTWAIT);
			if (r == 0 || (r < 0 && errno != EAGAIN))
				die("a connection ended");
			if (r <= 0 || !c->counts)
				continue;
			struct room *m = &rooms[c->room];
			uint64_t got = p->unframe ? unframe(c, buf, (size_t)r) : (uint64_t)r;
			m->delivered += got;
			total += got;
			if (window == 1 && m->delivered >= m->sent * m->receivers * (uint64_t)len &&
			    n_latencies < 1 << 20)
				latencies[n_latencies++] = now() - m->sent_at;
		}
	}
	at = now();
	qsort(latencies, n_latencies, sizeof(double), by_value);
	printf("{\"deliveries\": %.0f, \"seconds\": %.4f, \"p50\": %.6f, \"p99\": %.6f, \"messages\": %zu}\n",
	       (double)total / len, at - start, n_latencies ? latencies[n_latencies / 2] : 0,
	       n_latencies ? latencies[n_latencies * 99 / 100] : 0, n_latencies);
	fflush(stdout);
	getchar();
	return 0;
}

/* --- UDP --- */

static int command_udp(char **argv)
{
	int port = atoi(argv[0]), members = atoi(argv[1]), size = atoi(argv[2]), window = atoi(argv[3]);
	double seconds = atof(argv[4]), progress;
	int *fds = calloc((size_t)members, sizeof(*fds)), epoll = epoll_create1(0);
	uint64_t sent = 0, received = 0, lost = 0;
	char payload[2048], buf[2048];

	memset(payload, 'x', sizeof(payload));
	for (int i = 0; i < members; i++) {
		int n = snprintf(buf, sizeof(buf), "#REG " PUBLISHER_NICK, i);
		fds[i] = dial(port, SOCK_DGRAM);
		if (send(fds[i], buf, (size_t)n, 0) < 0)
			die("register");
		expect(fds[i], "#OK");
		struct epoll_event e = {.events = EPOLLIN, .data.fd = fds[i]};
		epoll_ctl(epoll, EPOLL_CTL_ADD, fds[i], &e);
	}
	usleep(200000);
	for (int i = 0; i < members; i++)
		swallow(fds[i]);
	ready();
	double start = now(), at = progress = start;
	while (at < start + seconds) {
		/* What hasn't come for a while is lost. */
		if (at - progress > 0.05 && received + lost < sent * (unsigned)members)
			lost = sent * (unsigned)members - received;
		while (sent * (unsigned)members < received + lost + (uint64_t)window * (unsigned)members) {
			if (send(fds[0], payload, (size_t)size, 0) < 0)
				die("send");
			sent++;
		}
		struct epoll_event events[512];
		int n = epoll_wait(epoll, events, 512, 20);
		at = now();
		for (int i = 0; i < n; i++)
			while (recv(events[i].data.fd, buf, sizeof(buf), MSG_DONTWAIT) > 0) {
				received++;
				progress = at;
			}
	}
	printf("{\"deliveries\": %llu, \"seconds\": %.4f, \"lost\": %llu}\n", (unsigned long long)received,
	       now() - start, (unsigned long long)lost);
	fflush(stdout);
	getchar();
	return 0;
}

/* --- echo --- */

static int command_echo(char **argv)
{
	int port = atoi(argv[0]), n = atoi(argv[1]), size = atoi(argv[2]), epoll = epoll_create1(0);
	double seconds = atof(argv[3]);
	int *fds = calloc((size_t)n, sizeof(*fds)), *got = calloc((size_t)n, sizeof(*got));
	char payload[65536], buf[65536];
	uint64_t rounds = 0;

	memset(payload, 'x', sizeof(payload));
	for (int i = 0; i < n; i++) {
		fds[i] = dial(port, SOCK_STREAM);
		struct epoll_event e = {.events = EPOLLIN, .data.u32 = (uint32_t)i};
		epoll_ctl(epoll, EPOLL_CTL_ADD, fds[i], &e);
	}
	ready();
	double start = now(), at = start;
	for (int i = 0; i < n; i++)
		if (send(fds[i], payload, (size_t)size, 0) != size)
			die("send");
	while (at < start + seconds) {
		struct epoll_event events[512];
		int k = epoll_wait(epoll, events, 512, 100);
		at = now();
		for (int x = 0; x < k; x++) {
			int i = (int)events[x].data.u32;
			ssize_t r = recv(fds[i], buf, sizeof(buf), MSG_DONTWAIT);
			if (r <= 0)
				die("recv");
			got[i] += (int)r;
			if (got[i] < size)
				continue;
			got[i] = 0;
			rounds++;
			if (send(fds[i], payload, (size_t)size, 0) != size)
				die("send");
		}
	}
	printf("{\"deliveries\": %llu, \"seconds\": %.4f}\n", (unsigned long long)rounds, now() - start);
	fflush(stdout);
	getchar();
	return 0;
}

/* --- idle --- */

static int command_idle(char **argv)
{
	const struct protocol *p = find_protocol(argv[0]);
	int port = atoi(argv[1]), n = atoi(argv[2]);

	struct connection **opened = calloc((size_t)n, sizeof(struct connection *));
	static char waste[1 << 16];

	double start = now();
	for (int i = 0; i < n; i++)
		opened[i] = join(p, port, 0, false, i);
	/* Whoever is in the channel reads who else comes. */
	for (int i = 0; p->join && i < n; i++) {
		join_at_last(p, opened[i]);
		for (int k = 0; k <= i && (i % 64 == 63 || i == n - 1); k++)
			while (recv(opened[k]->fd, waste, sizeof(waste), MSG_DONTWAIT) > 0)
				;
	}
	printf("{\"deliveries\": %d, \"seconds\": %.4f}\n", n, now() - start);
	fflush(stdout);
	for (int i = 0; p->join && i < n; i++)
		while (recv(opened[i]->fd, waste, sizeof(waste), MSG_DONTWAIT) > 0)
			;
	sleep((unsigned)atoi(argv[3]));
	ready();
	return 0;
}

int main(int argc, char **argv)
{
	raise_nofile();
	if (argc >= 11 && strcmp(argv[1], "fanout") == 0)
		return command_fanout(argv + 2);
	if (argc >= 7 && strcmp(argv[1], "udp") == 0)
		return command_udp(argv + 2);
	if (argc >= 6 && strcmp(argv[1], "echo") == 0)
		return command_echo(argv + 2);
	if (argc >= 6 && strcmp(argv[1], "idle") == 0)
		return command_idle(argv + 2);
	fputs("usage: see the source\n", stderr);
	return 2;
}
