/* SPDX-License-Identifier: MIT */
/* Lines over UDP: a registration that is renewed in good time, and a datagram for each line. */
#include "cli/link_own.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

static double udp_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static int udp_say(struct link *l, const char *text, size_t len)
{
	return send(l->fd, text, len, 0) < 0 && errno != ECONNREFUSED ? -errno : 0;
}

static int udp_register(struct link *l, const char *cookie)
{
	char text[256];
	int n = snprintf(text, sizeof(text), "#REG %s%s%s", l->nick[0] ? l->nick : "*", cookie ? " " : "",
			 cookie ? cookie : "");

	l->renewed = udp_now();
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
		snprintf(why, size, "over UDP the listener decides which room it is");
		return -EINVAL;
	}
	l->fd = link_dial(host, service, SOCK_DGRAM, why, size);
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

/* Before the registration only another "#REG NAME" is sent: the person changes a name that was refused. */
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

	/* Registers again well before the lease ends, and every second until the first confirmation. */
	if (!l->left && !l->refused && udp_now() - l->renewed > (l->registered ? l->lease / 3 : 1))
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

const struct transport link_udp = {
    .scheme = "udp://",
    .name = "UDP",
    .service = "5051",
    .example = "udp://HOST:PORT",
    .open = udp_open,
    .receive = udp_receive,
    .send = udp_send,
    .leave = udp_leave,
    .timeout_ms = 500,
    .has_end = true,
    .registers = true,
};
