/* SPDX-License-Identifier: MIT */
/* Lines over TCP and TLS. */
#include "cli/link_own.h"

#include "common/cleanup.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* Splits the bytes received into lines. */
static void stream_take(struct link *l, size_t n, void (*line)(const char *s, size_t len, void *arg),
			void *arg)
{
	char *start = l->buf, *end;

	l->len += n;
	while ((end = memchr(start, '\n', (size_t)(l->buf + l->len - start)))) {
		line(start, (size_t)(end - start), arg);
		start = end + 1;
	}
	l->len = (size_t)(l->buf + l->len - start);
	memmove(l->buf, start, l->len);
	if (l->len == LINK_LINE_MAX) { /* longer than any line of chatd's */
		line(l->buf, l->len, arg);
		l->len = 0;
	}
}

static int stream_send_all(struct link *l, const char *data, size_t len)
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
			poll(&(struct pollfd){.fd = l->fd, .events = POLLOUT}, 1, LINK_TIMEOUT_MS);
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
	return stream_send_all(l, text, len + 1);
}

static int stream_open(struct link *l, const char *host, const char *service, char *why, size_t size)
{
	int one = 1;

	l->fd = link_dial(host, service, SOCK_STREAM, why, size);
	if (l->fd < 0)
		return l->fd;
	setsockopt(l->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return 0;
}

static int stream_open_tcp(struct link *l, const struct link_options *o, const char *host,
			   const char *service, char *why, size_t size)
{
	int r = stream_open(l, host, service, why, size);

	(void)o;
	if (r < 0)
		return r;
	fcntl(l->fd, F_SETFL, O_NONBLOCK);
	return 0;
}

static int stream_open_tls(struct link *l, const struct link_options *o, const char *host,
			   const char *service, char *why, size_t size)
{
	int r = stream_open(l, host, service, why, size);

	if (r < 0)
		return r;
	l->ctx = SSL_CTX_new(TLS_client_method());
	if (!l->ctx || SSL_CTX_set_min_proto_version(l->ctx, TLS1_2_VERSION) != 1 ||
	    (o->ca ? SSL_CTX_load_verify_file(l->ctx, o->ca) : SSL_CTX_set_default_verify_paths(l->ctx)) !=
		1) {
		snprintf(why, size, "%s: no certificates can be read", o->ca ? o->ca : "the system");
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
		size_t n = 0, space = LINK_LINE_MAX - l->len;
		if (l->ssl) {
			if (SSL_read_ex(l->ssl, l->buf + l->len, space, &n) != 1) {
				int e = SSL_get_error(l->ssl, 0);
				return e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE ? 0
											     : -ECONNRESET;
			}
		} else {
			ssize_t r = recv(l->fd, l->buf + l->len, space, 0);
			if (r < 0)
				return errno == EAGAIN || errno == EINTR ? 0 : -errno;
			if (r == 0)
				return -ECONNRESET;
			n = (size_t)r;
		}
		stream_take(l, n, line, arg);
	}
}

static void stream_leave(struct link *l)
{
	stream_send(l, "/quit", 5);
}

const struct transport link_tcp = {
    .scheme = "tcp://",
    .name = "TCP",
    .service = "5050",
    .example = "tcp://HOST:PORT",
    .open = stream_open_tcp,
    .receive = stream_receive,
    .send = stream_send,
    .leave = stream_leave,
    .timeout_ms = -1,
    .has_end = true,
    .has_commands = true,
};

const struct transport link_tls = {
    .scheme = "tls://",
    .name = "TLS",
    .service = "5052",
    .example = "tls://HOST:PORT",
    .open = stream_open_tls,
    .receive = stream_receive,
    .send = stream_send,
    .leave = stream_leave,
    .timeout_ms = -1,
    .has_end = true,
    .has_commands = true,
};
