/* SPDX-License-Identifier: MIT */
#include "daemon/sockets.h"

#include "common/cleanup.h"
#include "daemon/logger.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>

struct passed {
	int fd;
	char *name;
};

struct sockets {
	struct passed *at;
	size_t n;
};

int sockets_take(struct sockets **ret)
{
	struct sockets *s = calloc(1, sizeof(*s));
	char **names = NULL;

	if (!s)
		return -ENOMEM;
	int n = sd_listen_fds_with_names(true, &names);
	if (n > 0)
		s->at = calloc((size_t)n, sizeof(*s->at));
	for (int i = 0; s->at && i < n; i++) {
		int fd = SD_LISTEN_FDS_START + i;
		fcntl(fd, F_SETFD, FD_CLOEXEC);
		s->at[s->n++] = (struct passed){fd, names[i]};
	}
	free(names);
	*ret = s;
	return 0;
}

void sockets_close(struct sockets *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->n; i++) {
		if (s->at[i].fd >= 0) {
			log_warning("passed file descriptor \"%s\" belongs to no listener; it is closed",
				    s->at[i].name ? s->at[i].name : "");
			/* What came out of the fd store would come back at every start. */
			if (s->at[i].name)
				sockets_unstore(s->at[i].name);
			close(s->at[i].fd);
		}
		free(s->at[i].name);
	}
	free(s->at);
	free(s);
}

int sockets_claim(struct sockets *s, const char *name)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->at[i].fd >= 0 && s->at[i].name && strcmp(s->at[i].name, name) == 0)
			return take_fd(&s->at[i].fd);
	return -ENOENT;
}

int sockets_claim_prefix(struct sockets *s, const char *prefix, char *name, size_t size)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->at[i].fd >= 0 && s->at[i].name && strncmp(s->at[i].name, prefix, strlen(prefix)) == 0) {
			snprintf(name, size, "%s", s->at[i].name);
			return take_fd(&s->at[i].fd);
		}
	return -ENOENT;
}

/* [::]:PORT and 0.0.0.0:PORT are the same to a person who wrote ListenStream=PORT. */
static bool same_place(const union address *passed, const union address *wanted)
{
	if (address_equal(passed, wanted))
		return true;
	if (passed->sa.sa_family != AF_INET6 || address_port(passed) != address_port(wanted))
		return false;
	uint8_t a[16], b[16];
	address_key(passed, a);
	address_key(wanted, b);
	return memcmp(a, b, 16) == 0;
}

static bool fits(int fd, const union address *wanted, bool by_address)
{
	union address a;
	socklen_t len = sizeof(a);

	memset(&a, 0, sizeof(a));
	if (sd_is_socket(fd, AF_UNSPEC, SOCK_STREAM, 1) <= 0 || getsockname(fd, &a.sa, &len) < 0)
		return false;
	if (a.sa.sa_family != AF_INET && a.sa.sa_family != AF_INET6)
		return false;
	return !by_address || same_place(&a, wanted);
}

static int find_passed(struct sockets *s, const struct listener_config *l)
{
	for (int by_address = 0; by_address <= 1; by_address++)
		for (size_t i = 0; i < s->n; i++) {
			struct passed *p = &s->at[i];
			if (p->fd < 0 || (!by_address && (!p->name || strcmp(p->name, l->name) != 0)))
				continue;
			if (fits(p->fd, &l->listen, by_address))
				return take_fd(&p->fd);
			if (!by_address)
				log_error("passed file descriptor \"%s\" is no listening TCP socket; it is not used",
					  p->name);
		}
	return -ENOENT;
}

static int open_socket(const struct listener_config *l)
{
	const int one = 1;
	int zero = 0;
	_cleanup_close_ int fd = socket(l->listen.sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	/* [::] serves IPv4 as well, whatever net.ipv6.bindv6only says. */
	if (l->listen.sa.sa_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero));
	if (bind(fd, &l->listen.sa, address_len(&l->listen)) < 0)
		return -errno;
	return take_fd(&fd);
}

int sockets_listen(struct sockets *s, const struct listener_config *l, bool *ret_passed)
{
	const int one = 1;
	_cleanup_close_ int fd = s ? find_passed(s, l) : -ENOENT;

	*ret_passed = fd >= 0;
	if (fd < 0) {
		fd = open_socket(l);
		if (fd < 0)
			return take_fd(&fd);
	}
	int flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return -errno;
	/* Accepted sockets inherit it: a line of chat should not wait for the next one. */
	setsockopt(fd, IPPROTO_TCP, 1 /* TCP_NODELAY */, &one, sizeof(one));
	if (listen(fd, l->backlog) < 0)
		return -errno;
	return take_fd(&fd);
}

void sockets_store(int fd, const char *name)
{
	char text[128];

	snprintf(text, sizeof(text), "FDSTORE=1\nFDPOLL=0\nFDNAME=%s", name);
	sd_pid_notify_with_fds(0, false, text, &fd, 1);
}

void sockets_unstore(const char *name)
{
	sd_notifyf(false, "FDSTOREREMOVE=1\nFDNAME=%s", name);
}

bool sockets_have_store(void)
{
	/* FDSTORE= says how many fit, from systemd 254 on. */
	const char *max = getenv("FDSTORE");

	return getenv("NOTIFY_SOCKET") && (!max || strcmp(max, "0") != 0);
}
