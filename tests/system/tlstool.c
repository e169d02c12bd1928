/* SPDX-License-Identifier: MIT */
/*
 * A TLS client that renews its keys, or wants to begin again, for the tests:
 *
 *	tlstool PORT LINES UPDATES EVERY	before every EVERY-th of so many lines of 1,000 bytes, the
 *keys are renewed so often; an echo must send all of it back tlstool PORT renegotiate		TLS 1.2; says
 *whether the server does it tlstool PORT tickets			counts the tickets and resumes, if it
 *can
 *
 * The exit code is 0 if all went well, and 3 if the server closed the connection.
 */
#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINE 1000

static unsigned tickets;
static SSL_SESSION *session;

static void die(const char *what)
{
	perror(what);
	ERR_print_errors_fp(stderr);
	exit(1);
}

static int got_session(SSL *ssl, SSL_SESSION *s)
{
	(void)ssl;
	tickets++;
	SSL_SESSION_free(session);
	session = s;
	return 1;
}

static SSL *connected(SSL_CTX *ctx, int port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	SSL *ssl = SSL_new(ctx);

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		die("connect");
	SSL_set_fd(ssl, fd);
	if (session)
		SSL_set_session(ssl, session);
	if (SSL_connect(ssl) != 1)
		die("handshake");
	return ssl;
}

/* Reads what there is; true if the connection has ended. */
static bool take(SSL *ssl, size_t *got, int timeout_ms)
{
	struct pollfd p = {SSL_get_fd(ssl), POLLIN, 0};
	char buf[16384];

	while (SSL_pending(ssl) > 0 || poll(&p, 1, timeout_ms) > 0) {
		int n = SSL_read(ssl, buf, sizeof(buf));
		if (n > 0)
			*got += (size_t)n;
		else if (SSL_get_error(ssl, n) != SSL_ERROR_WANT_READ)
			return true;
		timeout_ms = 0;
	}
	return false;
}

static int renew(SSL *ssl, size_t lines, size_t updates, size_t every)
{
	char line[LINE];
	size_t got = 0;

	memset(line, 'x', sizeof(line));
	line[LINE - 1] = '\n';
	for (size_t i = 0; i < lines; i++) {
		for (size_t k = 0; i % every == 0 && k < updates; k++)
			if (SSL_key_update(ssl, SSL_KEY_UPDATE_REQUESTED) != 1 || SSL_do_handshake(ssl) != 1)
				return 3;
		if (SSL_write(ssl, line, sizeof(line)) != sizeof(line) || take(ssl, &got, 0))
			return 3;
	}
	while (got < lines * LINE)
		if (take(ssl, &got, 10000))
			return 3;
	return 0;
}

static int renegotiate(SSL *ssl)
{
	size_t got = 0;

	take(ssl, &got, 10000); /* the greeting, which would come in between */
	if (SSL_renegotiate(ssl) != 1)
		die("renegotiate");
	int done = SSL_do_handshake(ssl);
	printf("renegotiated: %s\n", done == 1 && !SSL_renegotiate_pending(ssl) ? "yes" : "no");
	ERR_clear_error();
	return done == 1 || take(ssl, &got, 0) ? 0 : 3;
}

static int resume(SSL_CTX *ctx, SSL *ssl, int port)
{
	size_t got = 0;

	take(ssl, &got, 10000); /* tickets come before the first byte */
	if (!session)
		session = SSL_get1_session(ssl);
	SSL_shutdown(ssl);
	SSL *second = connected(ctx, port);
	printf("tickets: %u, resumed: %s\n", tickets, SSL_session_reused(second) ? "yes" : "no");
	SSL_free(second);
	return 0;
}

int main(int argc, char **argv)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	int port = argc > 2 ? atoi(argv[1]) : 0;
	const char *version = getenv("TLS_VERSION");

	signal(SIGPIPE, SIG_IGN);
	if (argc < 3 || !ctx)
		return 2;
	if (version && strcmp(version, "1.2") == 0)
		SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(ctx, got_session);
	SSL *ssl = connected(ctx, port);
	int code = 2;
	if (strcmp(argv[2], "renegotiate") == 0)
		code = renegotiate(ssl);
	else if (strcmp(argv[2], "tickets") == 0)
		code = resume(ctx, ssl, port);
	else if (argc == 5)
		code = renew(ssl, strtoul(argv[2], NULL, 10), strtoul(argv[3], NULL, 10),
			     strtoul(argv[4], NULL, 10));
	SSL_free(ssl);
	SSL_SESSION_free(session);
	SSL_CTX_free(ctx);
	return code;
}
