/* SPDX-License-Identifier: MIT */
/*
 * The control socket's door: the Unix socket in the file system, who is let in, and what happens when there
 * are too many connections or no descriptors.
 */
#include "daemon/control/control.h"

#include "common/cleanup.h"
#include "daemon/base/clock.h"
#include "daemon/base/logger.h"
#include "daemon/control/client.h"
#include "daemon/control/host.h"
#include "daemon/state/sockets.h"

#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define CLIENTS_MAX 64
/* When nothing can be accepted, until the next try. */
#define PAUSE_US (SECOND_US / 4)

struct control {
	struct control_clients clients;
	int fd;
	char *path;
	sd_event_source *source, *pause;
};

/* Names the peer for the log. */
static void control_name_peer(const struct ucred *cred, char *dst, size_t size)
{
	struct passwd entry, *p = NULL;
	char buf[4096];

	if (getpwuid_r(cred->uid, &entry, buf, sizeof(buf), &p) == 0 && p)
		snprintf(dst, size, "%.48s (uid %u, pid %d)", p->pw_name, (unsigned)cred->uid,
			 (int)cred->pid);
	else
		snprintf(dst, size, "uid %u (pid %d)", (unsigned)cred->uid, (int)cred->pid);
}

/* Not even a spare is left: the listening socket would be ready again and again. */
static void control_pause(struct control *c)
{
	sd_event_source_set_enabled(c->source, SD_EVENT_OFF);
	sd_event_source_set_time_relative(c->pause, PAUSE_US);
	sd_event_source_set_enabled(c->pause, SD_EVENT_ONESHOT);
	log_limited(LOG_TOPIC_CONTROL, LOG_WARNING, &(struct log_fields){.message_id = EVENT_CONTROL},
		    "control: no connection can be accepted for now: %s", strerror(errno));
}

static int control_pause_over(sd_event_source *source, uint64_t now, void *arg)
{
	const struct control *c = arg;

	(void)source;
	(void)now;
	return sd_event_source_set_enabled(c->source, SD_EVENT_ON);
}

static bool control_is_out_of_files(int error)
{
	return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

static void control_accept_client(struct control *c, int listen_fd)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);
	char peer[CONTROL_PEER_MAX];
	_cleanup_close_ int fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0 && control_is_out_of_files(errno)) {
		if (control_clients_make_way(&c->clients))
			fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0)
			control_pause(c);
	}
	if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		return;
	control_name_peer(&cred, peer, sizeof(peer));
	if (c->clients.n >= CLIENTS_MAX && !control_clients_make_way(&c->clients)) {
		log_limited(LOG_TOPIC_CONTROL, LOG_WARNING, &(struct log_fields){.message_id = EVENT_CONTROL},
			    "control: %s is refused: there are %d connections already", peer, CLIENTS_MAX);
		return;
	}
	if (control_client_new(&c->clients, fd, peer) < 0)
		return;
	take_fd(&fd);
	log_event(LOG_DEBUG, &(struct log_fields){.message_id = EVENT_CONTROL}, "control: %s connected",
		  peer);
}

static int control_accept(sd_event_source *source, int listen_fd, uint32_t events, void *arg)
{
	struct control *c = arg;
	bool is_short = sockets_are_short();

	(void)source;
	(void)events;
	if (is_short)
		spares_use(&c->clients.spares);
	control_accept_client(c, listen_fd);
	/* The client's call will need them. */
	while (is_short && !spares_take(&c->clients.spares) && c->clients.n > 1 &&
	       control_clients_make_way(&c->clients))
		;
	return 0;
}

/* A socket file that nobody answers at is a leftover and makes way; a living daemon's is not touched. */
static int control_bind(int fd, const char *path)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};

	memcpy(un.sun_path, path, strlen(path) + 1);
	if (bind(fd, (struct sockaddr *)&un, sizeof(un)) == 0)
		return 0;
	if (errno != EADDRINUSE)
		return -errno;
	struct stat st;
	if (lstat(path, &st) < 0)
		return -errno;
	if (!S_ISSOCK(st.st_mode))
		return -ENOTSOCK; /* somebody's file, which is not ours to remove */
	_cleanup_close_ int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (probe < 0)
		return -errno;
	if (connect(probe, (struct sockaddr *)&un, sizeof(un)) == 0 || errno != ECONNREFUSED)
		return -EADDRINUSE;
	if (unlink(path) < 0 || bind(fd, (struct sockaddr *)&un, sizeof(un)) < 0)
		return -errno;
	return 0;
}

/* The group may not exist on a developer's machine; then only the user that chatd runs as has access. */
static void control_give_to_group(const char *path, const char *group)
{
	const struct group *g = getgrnam(group);

	if (g && chown(path, (uid_t)-1, g->gr_gid) == 0)
		return;
	log_debug("control: %s does not belong to group %s: %s", path, group,
		  g ? strerror(errno) : "no such group");
}

static int control_open(const char *path, const char *group)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	mode_t mask = umask(0117);
	int r = control_bind(fd, path);
	umask(mask);
	if (r < 0)
		return r;
	control_give_to_group(path, group);
	return listen(fd, 64) < 0 ? -errno : take_fd(&fd);
}

int control_new(struct host *host, sd_event *event, const char *path, const char *group, struct control **ret)
{
	_cleanup_close_ int fd = control_open(path, group);

	if (fd < 0) {
		log_error("control socket %s: %s", path, strerror(-fd));
		return fd;
	}
	struct control *c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	*c = (struct control){.clients = {.host = host, .event = event}, .fd = -1, .path = strdup(path)};
	spares_init(&c->clients.spares);
	spares_take(&c->clients.spares);
	int r = sd_event_add_time_relative(event, &c->pause, CLOCK_MONOTONIC, 0, 0, control_pause_over, c);
	if (r >= 0)
		r = sd_event_add_io(event, &c->source, fd, EPOLLIN, control_accept, c);
	if (r < 0) {
		control_free(c);
		return r;
	}
	c->fd = take_fd(&fd);
	*ret = c;
	return 0;
}

void control_free(struct control *c)
{
	if (!c)
		return;
	control_clients_free(&c->clients);
	sd_event_source_disable_unref(c->source);
	sd_event_source_disable_unref(c->pause);
	spares_use(&c->clients.spares);
	if (c->fd >= 0) {
		if (c->path)
			unlink(c->path);
		close(c->fd);
	}
	free(c->path);
	free(c);
}

void control_news(struct control *c)
{
	control_clients_follow(&c->clients);
}
