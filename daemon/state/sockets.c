/* SPDX-License-Identifier: MIT */
/* File descriptors from outside, and the matching of sockets to listeners: see sockets.h. */
#include "daemon/state/sockets.h"

#include "common/cleanup.h"
#include "daemon/base/logger.h"
#include "daemon/state/handover.h"

#include <fcntl.h>
#include <limits.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>

#define OWN_PREFIX "chatd-own-"
#define UDP_BUFFER (4 << 20)
/* An eighth of all descriptors is in reserve, but not more than two of the keeper's messages and some take.
 */
#define RESERVE_MAX 640

struct passed {
	int fd;
	char *name;
	bool renamed; /* our own, which a listener of another name has now */
};

struct sockets {
	struct passed *at;
	size_t n;
};

static int sockets_limit_of_files(void)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l) < 0 || l.rlim_cur > INT_MAX)
		return INT_MAX;
	return (int)l.rlim_cur;
}

unsigned sockets_reserve(void)
{
	int n = sockets_limit_of_files() / 8;

	return n < RESERVE_MAX ? (unsigned)n : RESERVE_MAX;
}

int sockets_for_clients(void)
{
	return sockets_limit_of_files() - (int)sockets_reserve();
}

bool sockets_are_short(void)
{
	_cleanup_close_ int fd = eventfd(0, EFD_CLOEXEC);

	return fd < 0 || fd >= sockets_for_clients();
}

static bool sockets_has_prefix(const char *name, const char *prefix)
{
	return strncmp(name, prefix, strlen(prefix)) == 0;
}

/* Rather than something an admin named: "chatd-extra.socket" is a fine name for a unit. */
static bool sockets_is_kept_by_us(const char *name)
{
	static const char *const states[] = {"chatd-rooms", "chatd-clients", "chatd-secrets",
					     "chatd-cluster"};

	/* Whatever the layout is: 4 has these names, and from 5 on there is a number. */
	for (size_t i = 0; i < sizeof(states) / sizeof(*states); i++)
		if (sockets_has_prefix(name, states[i]) &&
		    strspn(name + strlen(states[i]), "-0123456789") == strlen(name + strlen(states[i])))
			return true;
	return sockets_has_prefix(name, OWN_PREFIX) || sockets_has_prefix(name, "chatd-keeper-") ||
	       sockets_has_prefix(name, "chatd-config-");
}

static int sockets_add(struct sockets *s, int fd, char *name)
{
	struct passed *at = reallocarray(s->at, s->n + 1, sizeof(*at));

	if (at)
		s->at = at;
	if (!at || !name) {
		free(name);
		return -ENOMEM;
	}
	s->at[s->n++] = (struct passed){.fd = fd, .name = name};
	return 0;
}

/* From a process before that became this one by exec, or from the parent: see handover.h. */
static int sockets_take_handover(struct sockets *s)
{
	const char *value = getenv(HANDOVER_VARIABLE);
	_cleanup_free_ char *text = value ? strdup(value) : NULL;
	char *rest = text;
	int r = 0;

	unsetenv(HANDOVER_VARIABLE);
	const char *pid = text ? strsep(&rest, ":") : NULL;
	if (!pid || atoi(pid) != getpid())
		return 0; /* meant for somebody else */
	while (rest && r == 0) {
		char *name = strsep(&rest, ":"), *number = strsep(&name, "=");
		int fd = name ? atoi(number) : -1;
		if (fd < SD_LISTEN_FDS_START || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
			log_error("the file descriptor \"%s\" was not handed over", number);
		else
			r = sockets_add(s, fd, strdup(name));
	}
	return r;
}

int sockets_take(struct sockets **ret)
{
	struct sockets *s = calloc(1, sizeof(*s));
	char **names = NULL;
	int r = 0;

	if (!s)
		return -ENOMEM;
	int n = sd_listen_fds_with_names(true, &names);
	for (int i = 0; r == 0 && i < n; i++) {
		fcntl(SD_LISTEN_FDS_START + i, F_SETFD, FD_CLOEXEC);
		r = sockets_add(s, SD_LISTEN_FDS_START + i, names[i]);
	}
	free(names);
	if (r == 0)
		r = sockets_take_handover(s);
	if (r < 0)
		sockets_close(s);
	else
		*ret = s;
	return r;
}

void sockets_close(struct sockets *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->n; i++) {
		if (s->at[i].fd >= 0)
			close(s->at[i].fd);
		free(s->at[i].name);
	}
	free(s->at);
	free(s);
}

bool sockets_were_passed(const struct sockets *s)
{
	return s->n > 0;
}

void sockets_settle(struct sockets *s)
{
	for (size_t i = 0; i < s->n; i++) {
		struct passed *p = &s->at[i];
		if (p->fd < 0)
			continue;
		if (p->name && sockets_is_kept_by_us(p->name)) {
			/* What came out of the fd store would come back at every start. */
			sockets_unstore(p->name);
			close(take_fd(&p->fd));
		} else {
			log_warning("the passed socket \"%s\" belongs to no listener",
				    p->name ? p->name : "");
		}
	}
}

void sockets_forget_names(struct sockets *s)
{
	for (size_t i = 0; i < s->n; i++) {
		struct passed *p = &s->at[i];
		bool unwanted = p->fd >= 0 && p->name && sockets_has_prefix(p->name, OWN_PREFIX);
		if (p->renamed || unwanted)
			sockets_unstore(p->name);
		p->renamed = false;
		if (unwanted)
			close(take_fd(&p->fd));
	}
}

void sockets_give_back(struct sockets *s, int fd, const char *name)
{
	if (sockets_add(s, fd, strdup(name)) < 0)
		close(fd);
}

void sockets_each(const struct sockets *s, void (*fn)(const char *name, int fd, void *arg), void *arg)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->at[i].fd >= 0 && s->at[i].name)
			fn(s->at[i].name, s->at[i].fd, arg);
}

char *sockets_own_name(const char *listener, char dst[static SOCKETS_OWN_NAME_MAX])
{
	snprintf(dst, SOCKETS_OWN_NAME_MAX, OWN_PREFIX "%s", listener);
	return dst;
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
		if (s->at[i].fd >= 0 && s->at[i].name && sockets_has_prefix(s->at[i].name, prefix)) {
			snprintf(name, size, "%s", s->at[i].name);
			return take_fd(&s->at[i].fd);
		}
	return -ENOENT;
}

int sockets_claim_unix(struct sockets *s, const char *name, const char *endpoint)
{
	const char *path = sockets_has_prefix(endpoint, "ipc://") ? endpoint + 6 : NULL;

	if (!path)
		return -ENOENT;
	for (unsigned by_path = 0; by_path < 2; by_path++)
		for (size_t i = 0; i < s->n; i++) {
			struct passed *p = &s->at[i];
			if (p->fd >= 0 && p->name && (by_path || strcmp(p->name, name) == 0) &&
			    sd_is_socket_unix(p->fd, SOCK_STREAM, 1, by_path ? path : NULL, 0) > 0)
				return take_fd(&p->fd);
		}
	return -ENOENT;
}

/* [::]:PORT and 0.0.0.0:PORT are the same to a person who wrote ListenStream=PORT. */
bool sockets_same_place(const union address *passed, const union address *wanted)
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

static bool sockets_fits(int fd, const struct place *place, bool by_address)
{
	const union address *wanted = &place->address;
	union address a;
	socklen_t len = sizeof(a);

	memset(&a, 0, sizeof(a));
	if (sd_is_socket(fd, AF_UNSPEC, place->datagrams ? SOCK_DGRAM : SOCK_STREAM,
			 place->datagrams ? -1 : 1) <= 0 ||
	    getsockname(fd, &a.sa, &len) < 0)
		return false;
	if (a.sa.sa_family != AF_INET && a.sa.sa_family != AF_INET6)
		return false;
	return !by_address || sockets_same_place(&a, wanted);
}

/* One of the listener's name, at its address or at any. */
static int sockets_take_named(struct sockets *s, const struct place *place, bool by_address, bool *ret_passed)
{
	for (size_t i = 0; i < s->n; i++) {
		struct passed *p = &s->at[i];
		if (p->fd < 0 || !p->name || strcmp(p->name, place->name) != 0)
			continue;
		*ret_passed = true;
		if (sockets_fits(p->fd, place, by_address))
			return take_fd(&p->fd);
		if (!by_address)
			log_error("the passed file descriptor \"%s\" is not a %s socket; it is not used",
				  p->name, place->datagrams ? "UDP" : "listening TCP");
	}
	return -ENOENT;
}

/* By name, else by address; chatd's own is only good for the address it was bound to. A unit may have several
 * sockets, all of one name: the one at the listener's address comes first. */
static int sockets_find_passed(struct sockets *s, const struct place *place, bool *ret_passed)
{
	char own[SOCKETS_OWN_NAME_MAX];
	int fd = sockets_take_named(s, place, true, ret_passed);

	if (fd < 0)
		fd = sockets_take_named(s, place, false, ret_passed);
	if (fd >= 0)
		return fd;
	sockets_own_name(place->name, own);
	for (size_t i = 0; i < s->n; i++) {
		struct passed *p = &s->at[i];
		bool is_own = p->name && sockets_has_prefix(p->name, OWN_PREFIX);
		if (p->fd < 0 || !sockets_fits(p->fd, place, true))
			continue;
		p->renamed = is_own && strcmp(p->name, own) != 0;
		*ret_passed = !is_own;
		return take_fd(&p->fd);
	}
	return -ENOENT;
}

bool sockets_bound(int fd, union address *ret, char *text, size_t size)
{
	union {
		struct sockaddr_storage any;
		struct sockaddr_un un;
		union address a;
	} u = {0};
	socklen_t len = sizeof(u);

	*ret = (union address){0};
	if (getsockname(fd, (struct sockaddr *)&u, &len) < 0)
		return false;
	if (u.any.ss_family == AF_UNIX) {
		snprintf(text, size, "ipc://%s%s", u.un.sun_path[0] ? "" : "@",
			 u.un.sun_path + !u.un.sun_path[0]);
		return true;
	}
	if (u.any.ss_family != AF_INET && u.any.ss_family != AF_INET6)
		return false;
	*ret = u.a;
	char at[ADDRESS_TEXT_MAX];
	snprintf(text, size, "tcp://%s", address_format(ret, at));
	return true;
}

void sockets_share(int fd, bool share)
{
	const int value = share;

	setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &value, sizeof(value));
}

bool sockets_share_unclaimed(const struct sockets *s, const struct place *place, bool share)
{
	bool any = false;

	for (size_t i = 0; i < s->n; i++) {
		const struct passed *p = &s->at[i];
		char text[128];
		union address a;
		if (p->fd < 0 || !p->name || !sockets_has_prefix(p->name, OWN_PREFIX) ||
		    !sockets_fits(p->fd, place, false) || !sockets_bound(p->fd, &a, text, sizeof(text)) ||
		    !address_overlaps(&a, &place->address))
			continue;
		sockets_share(p->fd, share);
		any = true;
	}
	return any;
}

static int sockets_open(const struct place *place, bool share)
{
	const int one = 1;
	int zero = 0;
	_cleanup_close_ int fd =
	    socket(place->address.sa.sa_family,
		   (place->datagrams ? SOCK_DGRAM : SOCK_STREAM) | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	/* For UDP it would let another program take datagrams away. */
	if (!place->datagrams)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	/* [::] serves IPv4 as well, whatever net.ipv6.bindv6only says. */
	if (place->address.sa.sa_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero));
	/* Where IPv6 is turned off, as in many containers, there is no [::1], and nobody who could come from
	 * there. */
	if (place->address.sa.sa_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&place->address.in6.sin6_addr))
		setsockopt(fd, IPPROTO_IPV6, IPV6_FREEBIND, &one, sizeof(one));
	if (share)
		sockets_share(fd, true);
	if (bind(fd, &place->address.sa, address_len(&place->address)) < 0)
		return -errno;
	return take_fd(&fd);
}

/* Errors that the network reports are wanted, and the address that a datagram was sent to. */
static void sockets_prepare_udp(int fd)
{
	const int one = 1, size = UDP_BUFFER;
	int family = AF_UNSPEC;
	socklen_t len = sizeof(family);

	getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &len);
	setsockopt(fd, IPPROTO_IP, IP_RECVERR, &one, sizeof(one));
	setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &one, sizeof(one));
	if (family == AF_INET6) {
		setsockopt(fd, IPPROTO_IPV6, IPV6_RECVERR, &one, sizeof(one));
		setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &one, sizeof(one));
	}
	/* As much as the system allows: net.core.rmem_max, wmem_max. */
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
}

int sockets_listen(struct sockets *s, const struct place *place, bool share, bool *ret_passed)
{
	const int one = 1;
	_cleanup_close_ int fd = sockets_find_passed(s, place, ret_passed);

	if (fd < 0) {
		*ret_passed = false;
		fd = sockets_open(place, share);
		if (fd < 0)
			return take_fd(&fd);
	}
	int flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return -errno;
	if (place->datagrams) {
		sockets_prepare_udp(fd);
		if (share)
			sockets_share(fd, false);
		return take_fd(&fd);
	}
	/* Accepted sockets inherit it: a line of chat should not wait for the next one. */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (listen(fd, place->backlog) < 0)
		return -errno;
	if (share)
		sockets_share(fd, false);
	return take_fd(&fd);
}

void sockets_reset(int fd)
{
	const struct sockaddr none = {.sa_family = AF_UNSPEC};

	if (connect(fd, &none, sizeof(none)) < 0)
		shutdown(fd, SHUT_RDWR); /* it has ended already */
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

void sockets_store_each(const char *name, int fd, void *arg)
{
	(void)arg;
	sockets_store(fd, name);
}

void sockets_unstore_each(const char *name, int fd, void *arg)
{
	(void)fd;
	(void)arg;
	sockets_unstore(name);
}

bool sockets_have_store(void)
{
	/* FDSTORE= says how many fit, from systemd 254 on. */
	const char *max = getenv("FDSTORE");

	return getenv("NOTIFY_SOCKET") && (!max || strcmp(max, "0") != 0);
}
