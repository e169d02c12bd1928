/* SPDX-License-Identifier: MIT */
#include "cli/link.h"

#include "common/cleanup.h"
#include "common/nick.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define TIMEOUT_MS 10000
#define LINE_MAX_BYTES 65536

struct transport {
	const char *scheme, *name;
	const char *service; /* where the URL has none: as in the configuration that comes with chatd */
	const char *example;
	int (*open)(struct link *l, const struct link_options *o, const char *host, const char *service,
		    char *why, size_t size);
	int (*receive)(struct link *l, void (*line)(const char *s, size_t len, void *arg), void *arg);
	int (*send)(struct link *l, const char *line, size_t len);
	void (*leave)(struct link *l);
	bool has_end;
};

struct link {
	const struct transport *t;
	int fd;
	SSL_CTX *ctx;
	SSL *ssl;
	void *zmq, *push, *sub;
	char nick[64];
	/* A line that has not ended yet. */
	char *buf;
	size_t len;
	/* UDP: */
	double lease, renewed;
	bool registered, refused, left, patient;
};

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* --- sockets --- */

static int dial(const char *host, const char *service, int type, char *why, size_t size)
{
	const struct addrinfo hints = {.ai_socktype = type};
	struct addrinfo *list;
	int fd = -1, e = ENOENT;

	int r = getaddrinfo(host, service, &hints, &list);
	if (r != 0) {
		snprintf(why, size, "%s: %s", host, gai_strerror(r));
		return -ENOENT;
	}
	for (const struct addrinfo *a = list; a && fd < 0; a = a->ai_next) {
		fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, 0);
		if (fd >= 0 && connect(fd, a->ai_addr, a->ai_addrlen) == 0)
			break;
		e = errno;
		if (fd >= 0)
			close(fd);
		fd = -1;
	}
	freeaddrinfo(list);
	if (fd < 0)
		snprintf(why, size, "%s port %s: %s", host, service, strerror(e));
	return fd < 0 ? -e : fd;
}

/* Splits what has come into lines. */
static void take(struct link *l, size_t n, void (*line)(const char *s, size_t len, void *arg), void *arg)
{
	char *start = l->buf, *end;

	l->len += n;
	while ((end = memchr(start, '\n', (size_t)(l->buf + l->len - start)))) {
		line(start, (size_t)(end - start), arg);
		start = end + 1;
	}
	l->len = (size_t)(l->buf + l->len - start);
	memmove(l->buf, start, l->len);
	if (l->len == LINE_MAX_BYTES) { /* no line of chatd's */
		line(l->buf, l->len, arg);
		l->len = 0;
	}
}

/* --- tcp, tls --- */

static int send_all(struct link *l, const char *data, size_t len)
{
	while (len > 0) {
		size_t n = 0;
		if (l->ssl) {
			if (SSL_write_ex(l->ssl, data, len, &n) != 1) {
				int e = SSL_get_error(l->ssl, 0);
				if (e != SSL_ERROR_WANT_WRITE && e != SSL_ERROR_WANT_READ)
					return -ECONNRESET;
			}
		} else {
			ssize_t r = send(l->fd, data, len, MSG_NOSIGNAL);
			if (r < 0 && errno != EAGAIN && errno != EINTR)
				return -errno;
			n = r > 0 ? (size_t)r : 0;
		}
		data += n;
		len -= n;
		if (n == 0)
			poll(&(struct pollfd){.fd = l->fd, .events = POLLOUT}, 1, TIMEOUT_MS);
	}
	return 0;
}

static int stream_send(struct link *l, const char *line, size_t len)
{
	_cleanup_free_ char *text = malloc(len + 1);

	if (!text)
		return -ENOMEM;
	memcpy(text, line, len);
	text[len] = '\n';
	return send_all(l, text, len + 1);
}

static int open_stream(struct link *l, const char *host, const char *service, char *why, size_t size)
{
	int one = 1;

	l->fd = dial(host, service, SOCK_STREAM, why, size);
	if (l->fd < 0)
		return l->fd;
	setsockopt(l->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return 0;
}

static int tcp_open(struct link *l, const struct link_options *o, const char *host, const char *service,
		    char *why, size_t size)
{
	int r = open_stream(l, host, service, why, size);

	(void)o;
	if (r < 0)
		return r;
	fcntl(l->fd, F_SETFL, O_NONBLOCK);
	return 0;
}

static int tls_open(struct link *l, const struct link_options *o, const char *host, const char *service,
		    char *why, size_t size)
{
	int r = open_stream(l, host, service, why, size);

	if (r < 0)
		return r;
	l->ctx = SSL_CTX_new(TLS_client_method());
	if (!l->ctx || SSL_CTX_set_min_proto_version(l->ctx, TLS1_2_VERSION) != 1 ||
	    (o->ca ? SSL_CTX_load_verify_file(l->ctx, o->ca) : SSL_CTX_set_default_verify_paths(l->ctx)) !=
		1) {
		snprintf(why, size, "%s: no certificates can be read there", o->ca ? o->ca : "the system");
		return -EINVAL;
	}
	SSL_CTX_set_verify(l->ctx, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_mode(l->ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	l->ssl = SSL_new(l->ctx);
	if (!l->ssl || SSL_set_fd(l->ssl, l->fd) != 1 || SSL_set_tlsext_host_name(l->ssl, host) != 1)
		return -ENOMEM;
	/* An address is looked for among the certificate's addresses, a name among its names. */
	if (X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(l->ssl), host) != 1 &&
	    SSL_set1_host(l->ssl, host) != 1)
		return -ENOMEM;
	if (SSL_connect(l->ssl) != 1) {
		long verdict = SSL_get_verify_result(l->ssl);
		unsigned long e = ERR_get_error();
		snprintf(why, size, "%s port %s: %s", host, service,
			 verdict != X509_V_OK ? X509_verify_cert_error_string(verdict)
			 : e		      ? ERR_reason_error_string(e)
					      : "the TLS handshake failed");
		return -EPROTO;
	}
	fcntl(l->fd, F_SETFL, O_NONBLOCK);
	return 0;
}

static int stream_receive(struct link *l, void (*line)(const char *s, size_t len, void *arg), void *arg)
{
	for (;;) {
		size_t n = 0, room = LINE_MAX_BYTES - l->len;
		if (l->ssl) {
			if (SSL_read_ex(l->ssl, l->buf + l->len, room, &n) != 1) {
				int e = SSL_get_error(l->ssl, 0);
				return e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE ? 0
											     : -ECONNRESET;
			}
		} else {
			ssize_t r = recv(l->fd, l->buf + l->len, room, 0);
			if (r < 0)
				return errno == EAGAIN || errno == EINTR ? 0 : -errno;
			if (r == 0)
				return -ECONNRESET;
			n = (size_t)r;
		}
		take(l, n, line, arg);
	}
}

static void stream_leave(struct link *l)
{
	stream_send(l, "/quit", 5);
}

/* --- udp --- */

static int udp_say(struct link *l, const char *text, size_t len)
{
	return send(l->fd, text, len, 0) < 0 && errno != ECONNREFUSED ? -errno : 0;
}

static int udp_register(struct link *l, const char *cookie)
{
	char text[256];
	int n = snprintf(text, sizeof(text), "#REG %s%s%s", l->nick[0] ? l->nick : "*", cookie ? " " : "",
			 cookie ? cookie : "");

	l->renewed = now();
	l->refused = false;
	/* A request is never shorter than its answer, so that forged ones are of no use. */
	while (n < 64)
		text[n++] = ' ';
	return udp_say(l, text, (size_t)n);
}

static int udp_open(struct link *l, const struct link_options *o, const char *host, const char *service,
		    char *why, size_t size)
{
	if (o->room) {
		snprintf(why, size, "over UDP the room is the listener's");
		return -EINVAL;
	}
	l->fd = dial(host, service, SOCK_DGRAM, why, size);
	if (l->fd < 0)
		return l->fd;
	fcntl(l->fd, F_SETFL, O_NONBLOCK);
	l->lease = 3;
	l->patient = o->patient;
	return udp_register(l, NULL);
}

static void udp_take(struct link *l, char *text, void (*line)(const char *s, size_t len, void *arg),
		     void *arg)
{
	char nick[64], cookie[64], note[256];
	double lease;

	text[strcspn(text, "\n")] = '\0';
	if (sscanf(text, "#COOKIE %63s", cookie) == 1) {
		udp_register(l, cookie);
	} else if (sscanf(text, "#OK %63s %lf", nick, &lease) == 2) {
		snprintf(l->nick, sizeof(l->nick), "%s", nick);
		l->lease = lease > 3 ? lease : 3;
		if (!l->registered) {
			int n = snprintf(note, sizeof(note), "* Registered as %s.", nick);
			line(note, (size_t)n, arg);
		}
		l->registered = true;
	} else if (strcmp(text, "#BYE") == 0) {
		l->left = true;
	} else {
		l->refused |= !l->registered && strncmp(text, "#ERR", 4) == 0;
		line(text, strlen(text), arg);
	}
}

/* Until it is registered nothing is said, and a name that was refused is for the person to change. */
static int udp_send(struct link *l, const char *text, size_t len)
{
	if (l->registered)
		return udp_say(l, text, len);
	if (len < 4 || strncmp(text, "#REG", 4) != 0 || len - 4 >= sizeof(l->nick))
		return -EPERM;
	snprintf(l->nick, sizeof(l->nick), "%.*s", (int)(len > 5 ? len - 5 : 0), len > 5 ? text + 5 : "");
	return udp_register(l, NULL);
}

static int udp_receive(struct link *l, void (*line)(const char *s, size_t len, void *arg), void *arg)
{
	char text[65536];
	ssize_t n;

	/* Once more in good time, and soon as long as nothing has been confirmed. */
	if (!l->left && !l->refused && now() - l->renewed > (l->registered ? l->lease / 3 : 1))
		udp_register(l, NULL);
	while ((n = recv(l->fd, text, sizeof(text) - 1, 0)) >= 0) {
		text[n] = '\0';
		udp_take(l, text, line, arg);
	}
	if (l->left)
		return -ECONNRESET;
	if (errno == ECONNREFUSED && l->patient && !l->registered)
		return 0;
	return errno == EAGAIN || errno == EINTR ? 0 : -errno;
}

static void udp_leave(struct link *l)
{
	udp_say(l, "#DEREG", 6);
}

/* --- zmq --- */

static int zmq_open(struct link *l, const struct link_options *o, const char *host, const char *service,
		    char *why, size_t size)
{
	const char *comma = strchr(service, ',');
	char endpoint[300];
	int linger = 2000;

	if (!comma || comma == service || !comma[1]) {
		snprintf(why, size, "a ZeroMQ URL has two ports: zmq://HOST:PULL,PUB");
		return -EINVAL;
	}
	l->zmq = zmq_ctx_new();
	l->push = l->zmq ? zmq_socket(l->zmq, ZMQ_PUSH) : NULL;
	l->sub = l->zmq ? zmq_socket(l->zmq, ZMQ_SUB) : NULL;
	if (!l->push || !l->sub)
		return -ENOMEM;
	zmq_setsockopt(l->push, ZMQ_LINGER, &linger, sizeof(linger));
	/* Without a room all that is published; else what is said in the room. */
	zmq_setsockopt(l->sub, ZMQ_SUBSCRIBE, o->room ? o->room : "", o->room ? strlen(o->room) : 0);
	snprintf(endpoint, sizeof(endpoint), "tcp://%s:%.*s", host, (int)(comma - service), service);
	if (zmq_connect(l->push, endpoint) == 0) {
		snprintf(endpoint, sizeof(endpoint), "tcp://%s:%s", host, comma + 1);
		if (zmq_connect(l->sub, endpoint) == 0)
			return 0;
	}
	snprintf(why, size, "%s: %s", endpoint, zmq_strerror(errno));
	return -EINVAL;
}

/* All frames of a message as one line; [ROOM][NICK: TEXT] shows the second only. */
static int zmq_receive(struct link *l, void (*line)(const char *s, size_t len, void *arg), void *arg)
{
	for (;;) {
		size_t n = 0, frames = 0;
		int more = 1;
		while (more) {
			zmq_msg_t m;
			size_t size = sizeof(more);
			zmq_msg_init(&m);
			if (zmq_msg_recv(&m, l->sub, ZMQ_DONTWAIT) < 0) {
				zmq_msg_close(&m);
				return errno == EAGAIN || errno == EINTR ? 0 : -errno;
			}
			zmq_getsockopt(l->sub, ZMQ_RCVMORE, &more, &size);
			if (frames++ == 1)
				n = 0;
			size_t len =
			    zmq_msg_size(&m) < LINE_MAX_BYTES - n ? zmq_msg_size(&m) : LINE_MAX_BYTES - n;
			memcpy(l->buf + n, zmq_msg_data(&m), len);
			n += len;
			zmq_msg_close(&m);
		}
		line(l->buf, n, arg);
	}
}

static int zmq_say(struct link *l, const char *text, size_t len)
{
	if (l->nick[0] && zmq_send(l->push, l->nick, strlen(l->nick), ZMQ_SNDMORE) < 0)
		return -errno;
	return zmq_send(l->push, text, len, 0) < 0 ? -errno : 0;
}

static void zmq_leave(struct link *l)
{
	(void)l; /* nobody is told; what waits is sent when the socket is closed */
}

/* --- any of them --- */

static const struct transport transports[] = {
    {"tcp://", "TCP", "5050", "tcp://HOST:PORT", tcp_open, stream_receive, stream_send, stream_leave, true},
    {"tls://", "TLS", "5052", "tls://HOST:PORT", tls_open, stream_receive, stream_send, stream_leave, true},
    {"udp://", "UDP", "5051", "udp://HOST:PORT", udp_open, udp_receive, udp_send, udp_leave, true},
    {"zmq://", "ZeroMQ", "5558,5557", "zmq://HOST:PULL,PUB", zmq_open, zmq_receive, zmq_say, zmq_leave,
     false},
};

/* "HOST:PORT", "[HOST]:PORT", or either without its port; an IPv6 address without one needs no brackets. */
static bool split(const char *s, const char *standard, char host[static 256], char service[static 32])
{
	const char *colon = strrchr(s, ':');
	size_t n = strlen(s);

	/* A colon within brackets, or one of many, is the address's. */
	if (colon && (s[0] == '[' ? colon[-1] != ']' : strchr(s, ':') != colon))
		colon = NULL;
	if (colon)
		n = (size_t)(colon - s);
	if (s[0] == '[' && (n < 3 || s[n - 1] != ']'))
		return false;
	if (s[0] == '[') {
		s++;
		n -= 2;
	}
	const char *port = colon ? colon + 1 : standard;
	if (n == 0 || n >= 256 || strcspn(s, "/ ") < n || strlen(port) == 0 || strlen(port) >= 32 ||
	    port[strspn(port, "0123456789,")])
		return false;
	snprintf(host, 256, "%.*s", (int)n, s);
	snprintf(service, 32, "%s", port);
	return true;
}

/* What a URL begins with; without any it is tcp://. NULL for what is something else. */
static const struct transport *find_transport(const char *url, const char **ret_rest)
{
	*ret_rest = url;
	if (!strstr(url, "://"))
		return &transports[0];
	for (size_t i = 0; i < sizeof(transports) / sizeof(*transports); i++)
		if (strncmp(transports[i].scheme, url, 6) == 0) {
			*ret_rest = url + 6;
			return &transports[i];
		}
	return NULL;
}

int link_open(const struct link_options *o, char *why, size_t size, struct link **ret)
{
	char host[256], service[32];

	snprintf(why, size, "out of memory");
	struct link *l = calloc(1, sizeof(*l));
	if (!l)
		return -ENOMEM;
	l->fd = -1;
	l->buf = malloc(LINE_MAX_BYTES);
	snprintf(l->nick, sizeof(l->nick), "%s", o->nick ? o->nick : "");
	const char *rest;
	l->t = find_transport(o->url, &rest);
	int r = l->buf ? 0 : -ENOMEM;
	if (r == 0 && (!l->t || !split(rest, l->t->service, host, service))) {
		snprintf(why, size, "\"%s\" is not a URL like %s", o->url,
			 l->t ? l->t->example
			      : "tcp://HOST:PORT, tls://HOST:PORT, udp://HOST:PORT or zmq://HOST:PULL,PUB");
		r = -EINVAL;
	}
	if (r == 0)
		r = l->t->open(l, o, host, service, why, size);
	if (r < 0) {
		link_close(l);
		return r;
	}
	*ret = l;
	return 0;
}

void link_close(struct link *l)
{
	if (!l)
		return;
	SSL_free(l->ssl);
	SSL_CTX_free(l->ctx);
	if (l->fd >= 0)
		close(l->fd);
	if (l->push)
		zmq_close(l->push);
	if (l->sub)
		zmq_close(l->sub);
	if (l->zmq)
		zmq_ctx_term(l->zmq);
	free(l->buf);
	free(l);
}

void link_poll_item(const struct link *l, zmq_pollitem_t *item)
{
	*item = (zmq_pollitem_t){.socket = l->sub, .fd = l->fd, .events = ZMQ_POLLIN};
}

long link_timeout(const struct link *l)
{
	return l->t->receive == udp_receive ? 500 : -1;
}

int link_receive(struct link *l, void (*line)(const char *s, size_t len, void *arg), void *arg)
{
	return l->t->receive(l, line, arg);
}

int link_send(struct link *l, const char *line, size_t len)
{
	return l->t->send(l, line, len);
}

void link_leave(struct link *l)
{
	l->t->leave(l);
}

bool link_is_ready(const struct link *l)
{
	return l->t->receive != udp_receive || l->registered;
}

bool link_is_refused(const struct link *l)
{
	return l->refused;
}

const char *link_nick(const struct link *l)
{
	return l->registered && !nick_is_guest(l->nick, strlen(l->nick)) ? l->nick : NULL;
}

const char *link_name(const struct link *l)
{
	return l->t->name;
}

bool link_has_commands(const struct link *l)
{
	return l->t->send == stream_send;
}

bool link_has_end(const struct link *l)
{
	return l->t->has_end;
}
