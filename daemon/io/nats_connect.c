/* SPDX-License-Identifier: MIT */
/*
 * The link's connection to a NATS server: its options, its TLS, and what went wrong in plain words. libnats's own reconnect
 * is off, as it gives up in some cases and begins a stream anew in others: each connection is made from the start.
 */
#include "daemon/io/nats_link_own.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* For all of an attempt at one server, but for the TLS handshake: libnats does that without any limit, so a signal ends it. */
#define NATS_CONNECT_MS 1000
#define NATS_HANDSHAKE_MS 2000
#define NATS_AGAIN_MS 100

/* Ignored by those who don't catch it, and never sent by the kernel unless asked for. */
#define NATS_INTERRUPT SIGURG

/* --- what went wrong --- */

void nats_connect_why(natsStatus s, char why[NATS_WHY_MAX])
{
	static const struct {
		natsStatus status;
		const char *text;
	} known[] = {
	    {NATS_NO_SERVER, "no NATS server can be reached there"},
	    {NATS_TIMEOUT, "it doesn't answer in time"},
	    {NATS_CONNECTION_AUTH_FAILED, "it refuses the user, the password, the token or the credentials"},
	    {NATS_SECURE_CONNECTION_WANTED, "it doesn't speak TLS, which tls:// asks for"},
	    {NATS_STALE_CONNECTION, "it doesn't answer any more"},
	    {NATS_CONNECTION_CLOSED, "the connection was closed"},
	    {NATS_IO_ERROR, "the connection is broken"},
	};
	natsStatus last;
	const char *text = nats_GetLastError(&last);

	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
		if (s == known[i].status) {
			snprintf(why, NATS_WHY_MAX, "%s", known[i].text);
			return;
		}
	if (last != s || !text || !*text)
		text = natsStatus_GetText(s);
	snprintf(why, NATS_WHY_MAX, "%s%s", s == NATS_SSL_ERROR ? "TLS: " : "", text);
}

/* --- from libnats's threads --- */

static void nats_connect_closed(natsConnection *nc, void *arg)
{
	struct nats_life *life = arg;
	char why[NATS_WHY_MAX];
	const char *text = NULL;
	natsStatus s = natsConnection_GetLastError(nc, &text);

	if (s == NATS_ERR && text && *text)
		snprintf(why, sizeof(why), "%s", text);
	else
		nats_connect_why(s == NATS_OK ? NATS_CONNECTION_CLOSED : s, why);
	nats_life_end(life, "%s", why);
	nats_life_unref(life);
}

/* Whatever it is: a new connection is sure to have no gap. */
static void nats_connect_error(natsConnection *nc, natsSubscription *sub, natsStatus s, void *arg)
{
	const char *text = NULL;

	(void)sub;
	natsConnection_GetLastError(nc, &text);
	nats_life_end(arg, "%s", text && *text ? text : natsStatus_GetText(s));
}

/* --- options --- */

/* The name that the server's certificate must have: libnats would take any, if it was built so. */
static natsStatus nats_connect_expect(natsOptions *o, const char *server)
{
	const char *start = strstr(server, "://"), *at, *end;
	char host[256];

	start = start ? start + 3 : server;
	at = strrchr(start, '@');
	start = at ? at + 1 : start;
	if (*start == '[') {
		start++;
		end = strchr(start, ']');
	} else {
		end = strchr(start, ':');
	}
	snprintf(host, sizeof(host), "%.*s", end ? (int)(end - start) : (int)strlen(start), start);
	return natsOptions_SetExpectedHostname(o, host);
}

static bool nats_connect_wants_tls(const char *server)
{
	return strncmp(server, "tls://", 6) == 0;
}

static natsStatus nats_connect_tls(const struct nats_link_settings *s, const char *server, natsOptions *o)
{
	bool wanted = nats_connect_wants_tls(server);
	natsStatus r = NATS_OK;

	/* Without tls:// a server that wants TLS gets it, too; but then nothing is got ready for it with each attempt,
	 * as all of the system's authorities would be read, which takes 40 ms. libnats checks its name all the same,
	 * unless it was built not to, which test_nats_link.c would find. */
	if (!wanted && !s->tls_ca && !s->tls_certificate)
		return NATS_OK;
	if (wanted)
		r = natsOptions_SetSecure(o, true);
	if (r == NATS_OK && s->tls_ca)
		r = natsOptions_LoadCATrustedCertificates(o, s->tls_ca);
	if (r == NATS_OK && s->tls_certificate)
		r = natsOptions_LoadCertificatesChain(o, s->tls_certificate,
						      s->tls_key ? s->tls_key : s->tls_certificate);
	return r == NATS_OK ? nats_connect_expect(o, server) : r;
}

static natsStatus nats_connect_options(struct nats_life *life, const char *server, natsOptions *o)
{
	const struct nats_link_settings *s = &life->link->settings;
	natsStatus r = natsOptions_SetURL(o, server);

	if (r == NATS_OK && s->name)
		r = natsOptions_SetName(o, s->name);
	if (r == NATS_OK && s->user)
		r = natsOptions_SetUserInfo(o, s->user, s->password);
	if (r == NATS_OK && s->token)
		r = natsOptions_SetToken(o, s->token);
	if (r == NATS_OK && s->credentials)
		r = natsOptions_SetUserCredentialsFromFiles(o, s->credentials, NULL);
	if (r == NATS_OK)
		r = nats_connect_tls(s, server, o);
	if (r != NATS_OK)
		return r;
	natsOptions_SetTimeout(o, NATS_CONNECT_MS);
	natsOptions_SetWriteDeadline(o, NATS_WRITE_MS);
	/* The session's thread looks whether anything comes. */
	natsOptions_SetPingInterval(o, 0);
	natsOptions_SetAllowReconnect(o, false);
	natsOptions_SetIgnoreDiscoveredServers(o, true);
	natsOptions_SetNoRandomize(o, true);
	/* Else its flusher thread lets a message wait for a millisecond. */
	natsOptions_SetSendAsap(o, true);
	natsOptions_SetFailRequestsOnDisconnect(o, true);
	natsOptions_SetErrorHandler(o, nats_connect_error, life);
	r = nats_socket_options(o, life);
	if (r != NATS_OK)
		return r;
	return natsOptions_SetClosedCB(o, nats_connect_closed, life);
}

/* --- an attempt --- */

static void nats_connect_interrupted(int signal)
{
	(void)signal;
}

int nats_connect_prepare(void)
{
	/* No SA_RESTART: what blocks is to fail. */
	struct sigaction action = {.sa_handler = nats_connect_interrupted};

	return sigaction(NATS_INTERRUPT, &action, NULL) < 0 ? -errno : 0;
}

void nats_connect_interrupt(pthread_t thread)
{
	pthread_kill(thread, NATS_INTERRUPT);
}

/* As natsConnection_Connect(), but it ends. Again and again, as the first signal may come just before something blocks. */
static natsStatus nats_connect_limited(natsConnection **ret, natsOptions *o)
{
	struct itimerspec when = {.it_value = {.tv_sec = NATS_HANDSHAKE_MS / 1000},
				  .it_interval = {.tv_nsec = NATS_AGAIN_MS * 1000000L}};
	struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = NATS_INTERRUPT};
	sigset_t set;
	timer_t timer;
	natsStatus s;

	event._sigev_un._tid = (pid_t)syscall(SYS_gettid);
	if (timer_create(CLOCK_MONOTONIC, &event, &timer) < 0)
		return NATS_NO_MEMORY;
	timer_settime(timer, 0, &when, NULL);
	sigemptyset(&set);
	sigaddset(&set, NATS_INTERRUPT);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	s = natsConnection_Connect(ret, o);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	timer_delete(timer);
	return s;
}

int nats_connect(struct nats_life *life, const char *server, natsConnection **ret, char why[NATS_WHY_MAX])
{
	struct nats_link *l = life->link;
	natsOptions **kept = &l->kept;
	natsStatus s;

	if (l->kept_tls != nats_connect_wants_tls(server))
		nats_connect_forget(l);
	l->kept_tls = nats_connect_wants_tls(server);
	s = *kept ? NATS_OK : natsOptions_Create(kept);
	if (s == NATS_OK)
		s = nats_connect_options(life, server, *kept);
	/* Whoever is closed says so. */
	nats_life_ref(life);
	if (s == NATS_OK)
		s = nats_connect_limited(ret, *kept);
	if (s != NATS_OK) {
		nats_connect_why(s, why);
		nats_life_unref(life);
	}
	/* Nobody is there: the next attempt need not read all certificates of the machine again, which takes 40 ms. */
	if (s != NATS_NO_SERVER)
		nats_connect_forget(l);
	return s == NATS_OK ? 0 : -1;
}

void nats_connect_forget(struct nats_link *l)
{
	natsOptions_Destroy(l->kept);
	l->kept = NULL;
}
