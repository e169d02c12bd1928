/* SPDX-License-Identifier: MIT */
#include "daemon/control/control.h"

#include "common/cleanup.h"
#include "common/varlink.h"
#include "daemon/base/clock.h"
#include "daemon/base/logger.h"
#include "daemon/control/host.h"
#include "daemon/state/sockets.h"

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define MAX_CLIENTS 64
#define MAX_REQUEST (256 << 10)
/* Descriptors in hand, for when there are no others: to accept a client, and for what its call has to open.
 */
#define SPARES 8
/* When nothing can be accepted, and until there may be some to take in hand again. */
#define PAUSE_US (SECOND_US / 4)
/* A stream waits while so much is unread. */
#define FULL (256 << 10)

struct control_client {
	struct control *control;
	struct control_client *next;
	int fd;
	sd_event_source *source, *again; /* its socket; more to do although that has nothing new */
	struct varlink_input in;
	char *out;
	size_t out_len, out_room;
	char peer[96];
	bool oneway, replied, dead;
	bool ended; /* it says no more, but may still read */
	bool deaf;  /* it reads no more, but what it has said counts */
	const struct control_stream *stream;
	void *stream_data;
};

struct control {
	struct host *host;
	sd_event *event;
	int fd;
	char *path;
	sd_event_source *source, *pause;
	struct control_client *clients;
	unsigned n_clients;
	int spares[SPARES];
};

/* True if all are in hand. */
static bool take_spares(struct control *c)
{
	for (unsigned i = 0; i < SPARES; i++) {
		if (c->spares[i] < 0)
			c->spares[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
		if (c->spares[i] < 0)
			return false;
	}
	return true;
}

/* For a moment, in which the main thread opens what it has to. */
static void use_spares(struct control *c)
{
	for (unsigned i = 0; i < SPARES; i++)
		if (c->spares[i] >= 0)
			close(take_fd(&c->spares[i]));
}

static void client_free(struct control_client *c)
{
	struct control_client **p = &c->control->clients;

	while (*p != c)
		p = &(*p)->next;
	*p = c->next;
	c->control->n_clients--;
	if (c->stream)
		c->stream->forget(c, c->stream_data);
	sd_event_source_disable_unref(c->source);
	sd_event_source_disable_unref(c->again);
	close(c->fd);
	varlink_input_clear(&c->in);
	free(c->out);
	free(c);
}

static bool has_call(const struct control_client *c)
{
	return c->in.len > 0 && memchr(c->in.data, '\0', c->in.len);
}

/* Sends what can be sent, and waits for what comes next. */
static void client_flush(struct control_client *c)
{
	while (c->out_len > 0 && !c->deaf) {
		ssize_t n = send(c->fd, c->out, c->out_len, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0) {
			c->deaf = true;
			break;
		}
		c->out_len -= (size_t)n;
		memmove(c->out, c->out + n, c->out_len);
	}
	if (c->deaf) {
		control_stream_end(c);
		c->out_len = 0;
	}
	/* Who doesn't read its answers isn't asked for more calls, and those it has sent come first. */
	bool call = has_call(c), full = c->out_len >= FULL;
	sd_event_source_set_io_events(c->source, (!c->ended && !call && !full ? EPOLLIN : 0) |
						     (c->out_len > 0 ? EPOLLOUT : 0));
	sd_event_source_set_enabled(c->again, call && !full ? SD_EVENT_ONESHOT : SD_EVENT_OFF);
	if (c->ended && !call && c->out_len == 0 && !c->stream)
		c->dead = true;
}

static void client_send(struct control_client *c, json_t *message)
{
	size_t len;
	_cleanup_free_ char *frame = varlink_frame(message, &len);

	json_decref(message);
	if (!frame) {
		c->dead = true;
		return;
	}
	if (c->out_len + len > c->out_room) {
		size_t room = (c->out_len + len) * 2;
		char *p = realloc(c->out, room);
		if (!p) {
			c->dead = true;
			return;
		}
		c->out = p;
		c->out_room = room;
	}
	memcpy(c->out + c->out_len, frame, len);
	c->out_len += len;
}

struct host *control_host(struct control_client *c)
{
	return c->control->host;
}

const char *control_peer(const struct control_client *c)
{
	return c->peer;
}

void control_reply(struct control_client *c, json_t *parameters, bool continues)
{
	json_t *m = json_pack("{s:o}", "parameters", parameters ? parameters : json_object());

	if (continues)
		json_object_set_new(m, "continues", json_true());
	if (c->oneway)
		json_decref(m);
	else
		client_send(c, m);
	c->replied = true;
}

void control_error(struct control_client *c, const char *error, json_t *parameters)
{
	json_t *m =
	    json_pack("{s:s,s:o}", "error", error, "parameters", parameters ? parameters : json_object());

	if (c->oneway)
		json_decref(m);
	else
		client_send(c, m);
	c->replied = true;
}

void control_refuse(struct control_client *c, const char *format, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	control_error(c, VARLINK_INTERFACE ".Refused", json_pack("{s:s}", "reason", text));
}

void control_invalid(struct control_client *c, const char *parameter)
{
	control_error(c, "org.varlink.service.InvalidParameter", json_pack("{s:s}", "parameter", parameter));
}

void control_stream(struct control_client *c, const struct control_stream *ops, void *data)
{
	c->stream = ops;
	c->stream_data = data;
	c->replied = true;
}

void control_stream_end(struct control_client *c)
{
	if (c->stream)
		c->stream->forget(c, c->stream_data);
	c->stream = NULL;
}

bool control_is_full(const struct control_client *c)
{
	return c->out_len >= FULL;
}

void control_news(struct control *c)
{
	for (struct control_client *k = c->clients, *next; k; k = next) {
		next = k->next;
		if (!k->stream)
			continue;
		k->stream->follow(k, k->stream_data);
		client_flush(k);
		if (k->dead)
			client_free(k);
	}
}

/* --- org.varlink.service --- */

static const char service_interface[] =
    "interface org.varlink.service\n"
    "method GetInfo() -> (vendor: string, product: string, version: string, url: string, interfaces: "
    "[]string)\n"
    "method GetInterfaceDescription(interface: string) -> (description: string)\n"
    "error InterfaceNotFound (interface: string)\n"
    "error MethodNotFound (method: string)\n"
    "error MethodNotImplemented (method: string)\n"
    "error InvalidParameter (parameter: string)\n";

static void get_info(struct control_client *c)
{
	control_reply(c,
		      json_pack("{s:s,s:s,s:s,s:s,s:[s,s]}", "vendor", "chatd", "product", "chatd", "version",
				PACKAGE_VERSION, "url", "https://chatd.io", "interfaces",
				"org.varlink.service", VARLINK_INTERFACE),
		      false);
}

static void get_description(struct control_client *c, const json_t *parameters)
{
	const char *name = json_string_value(json_object_get(parameters, "interface"));

	if (!name)
		control_invalid(c, "interface");
	else if (strcmp(name, VARLINK_INTERFACE) == 0)
		control_reply(c, json_pack("{s:s}", "description", control_interface), false);
	else if (strcmp(name, "org.varlink.service") == 0)
		control_reply(c, json_pack("{s:s}", "description", service_interface), false);
	else
		control_error(c, "org.varlink.service.InterfaceNotFound",
			      json_pack("{s:s}", "interface", name));
}

/* --- calls --- */

static void dispatch(struct control_client *c, const char *method, const json_t *parameters, bool more)
{
	const size_t prefix = strlen(VARLINK_INTERFACE ".");

	if (strcmp(method, "org.varlink.service.GetInfo") == 0) {
		get_info(c);
		return;
	}
	if (strcmp(method, "org.varlink.service.GetInterfaceDescription") == 0) {
		get_description(c, parameters);
		return;
	}
	if (strncmp(method, VARLINK_INTERFACE ".", prefix) == 0)
		for (const struct control_method *m = control_methods; m->name; m++)
			if (strcmp(m->name, method + prefix) == 0) {
				m->call(c, parameters, more);
				return;
			}
	control_error(c, "org.varlink.service.MethodNotFound", json_pack("{s:s}", "method", method));
}

static void call(struct control_client *c, const json_t *message)
{
	const char *method = json_string_value(json_object_get(message, "method"));
	const json_t *parameters = json_object_get(message, "parameters");

	if (c->stream)
		control_stream_end(c); /* a new call ends the one that went on */
	c->replied = false;
	c->oneway = json_is_true(json_object_get(message, "oneway"));
	if (!method || (parameters && !json_is_object(parameters) && !json_is_null(parameters))) {
		control_invalid(c, method ? "parameters" : "method");
		c->dead = true;
		return;
	}
	dispatch(c, method, parameters, json_is_true(json_object_get(message, "more")));
	if (!c->replied)
		control_error(c, VARLINK_INTERFACE ".Refused",
			      json_pack("{s:s}", "reason", "internal error"));
}

static void receive(struct control_client *c)
{
	char buf[16384];
	ssize_t n = recv(c->fd, buf, sizeof(buf), MSG_DONTWAIT);

	if (n == 0)
		c->ended = true;
	else if (n < 0)
		c->dead = errno != EAGAIN && errno != EINTR;
	else if (varlink_feed(&c->in, buf, (size_t)n) < 0)
		c->dead = true;
}

/* One call at a time, so that whatever else the main thread has to do comes in between. */
static void serve(struct control_client *c)
{
	json_t *message;
	int r = 0;

	/* What has an end is answered in full before the next call ends it. */
	if (c->stream && !c->dead)
		c->stream->follow(c, c->stream_data);
	if (!c->dead && c->out_len < FULL && (r = varlink_next(&c->in, &message)) > 0) {
		bool is_short = sockets_are_short();
		if (is_short)
			use_spares(c->control);
		call(c, message);
		if (is_short)
			take_spares(c->control);
		json_decref(message);
		if (c->stream && !c->dead)
			c->stream->follow(c, c->stream_data);
	}
	if (r < 0) {
		log_event(LOG_NOTICE, &(struct log_fields){.message_id = EVENT_CONTROL},
			  "control: %s sent what is no Varlink message; it is disconnected", c->peer);
		c->dead = true;
	}
	client_flush(c);
	if (c->dead)
		client_free(c);
}

static int client_ready(sd_event_source *source, int fd, uint32_t events, void *arg)
{
	struct control_client *c = arg;

	(void)source;
	(void)fd;
	if (events & (EPOLLHUP | EPOLLERR))
		c->deaf = true;
	if (!has_call(c) && events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		receive(c);
	serve(c);
	return 0;
}

static int client_again(sd_event_source *source, void *arg)
{
	(void)source;
	serve(arg);
	return 0;
}

/* Whoever has been there for the longest time without following anything; they may just sit there. */
static bool make_way(struct control *control)
{
	struct control_client *oldest = NULL;

	for (struct control_client *c = control->clients; c; c = c->next)
		if (!c->stream)
			oldest = c;
	if (!oldest)
		return false;
	log_limited(LOG_TOPIC_CONTROL, LOG_WARNING, &(struct log_fields){.message_id = EVENT_CONTROL},
		    "control: %s makes way: there are %u connections", oldest->peer, control->n_clients);
	client_free(oldest);
	return true;
}

/* Who it is, for the log. */
static void name_peer(const struct ucred *cred, char *dst, size_t size)
{
	struct passwd entry, *p = NULL;
	char buf[4096];

	if (getpwuid_r(cred->uid, &entry, buf, sizeof(buf), &p) == 0 && p)
		snprintf(dst, size, "%.48s (uid %u, pid %d)", p->pw_name, (unsigned)cred->uid,
			 (int)cred->pid);
	else
		snprintf(dst, size, "uid %u (pid %d)", (unsigned)cred->uid, (int)cred->pid);
}

/* Not even what was in hand is left: the listening socket would be ready again and again. */
static void pause_accepting(struct control *c)
{
	sd_event_source_set_enabled(c->source, SD_EVENT_OFF);
	sd_event_source_set_time_relative(c->pause, PAUSE_US);
	sd_event_source_set_enabled(c->pause, SD_EVENT_ONESHOT);
	log_limited(LOG_TOPIC_CONTROL, LOG_WARNING, &(struct log_fields){.message_id = EVENT_CONTROL},
		    "control: no connection can be accepted for now: %s", strerror(errno));
}

static int on_pause_over(sd_event_source *source, uint64_t now, void *arg)
{
	const struct control *c = arg;

	(void)source;
	(void)now;
	return sd_event_source_set_enabled(c->source, SD_EVENT_ON);
}

static bool is_out_of_files(int error)
{
	return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

static void accept_client(struct control *control, int listen_fd)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);
	char peer[sizeof(((struct control_client *)NULL)->peer)];
	_cleanup_close_ int fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0 && is_out_of_files(errno)) {
		if (make_way(control))
			fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0)
			pause_accepting(control);
	}
	if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		return;
	if (control->n_clients >= MAX_CLIENTS && !make_way(control)) {
		name_peer(&cred, peer, sizeof(peer));
		log_limited(LOG_TOPIC_CONTROL, LOG_WARNING, &(struct log_fields){.message_id = EVENT_CONTROL},
			    "control: %s is refused: there are %d connections already", peer, MAX_CLIENTS);
		return;
	}
	struct control_client *c = calloc(1, sizeof(*c));
	if (!c)
		return;
	c->control = control;
	c->in.max = MAX_REQUEST;
	name_peer(&cred, c->peer, sizeof(c->peer));
	if (sd_event_add_io(control->event, &c->source, fd, EPOLLIN, client_ready, c) < 0 ||
	    sd_event_add_defer(control->event, &c->again, client_again, c) < 0 ||
	    sd_event_source_set_enabled(c->again, SD_EVENT_OFF) < 0) {
		sd_event_source_disable_unref(c->source);
		sd_event_source_disable_unref(c->again);
		free(c);
		return;
	}
	c->fd = take_fd(&fd);
	c->next = control->clients;
	control->clients = c;
	control->n_clients++;
	log_event(LOG_DEBUG, &(struct log_fields){.message_id = EVENT_CONTROL}, "control: %s connected",
		  c->peer);
}

static int on_accept(sd_event_source *source, int listen_fd, uint32_t events, void *arg)
{
	struct control *c = arg;
	bool is_short = sockets_are_short();

	(void)source;
	(void)events;
	if (is_short)
		use_spares(c);
	accept_client(c, listen_fd);
	/* Its call will need them. */
	while (is_short && !take_spares(c) && c->n_clients > 1 && make_way(c))
		;
	return 0;
}

/* A socket file that nobody answers at is a leftover and makes way; a living daemon's is not touched. */
static int bind_path(int fd, const char *path)
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
static void give_to_group(const char *path, const char *group)
{
	const struct group *g = getgrnam(group);

	if (g && chown(path, (uid_t)-1, g->gr_gid) == 0)
		return;
	log_debug("control: %s does not belong to group %s: %s", path, group,
		  g ? strerror(errno) : "no such group");
}

int control_new(struct host *host, sd_event *event, const char *path, const char *group, struct control **ret)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct control *c;
	int r = fd < 0 ? -errno : 0;

	if (r == 0) {
		mode_t mask = umask(0117);
		r = bind_path(fd, path);
		umask(mask);
	}
	if (r == 0)
		give_to_group(path, group);
	if (r == 0 && listen(fd, 64) < 0)
		r = -errno;
	if (r < 0) {
		log_error("control socket %s: %s", path, strerror(-r));
		return r;
	}
	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	*c = (struct control){.host = host, .event = event, .fd = -1, .path = strdup(path)};
	for (unsigned i = 0; i < SPARES; i++)
		c->spares[i] = -1;
	take_spares(c);
	r = sd_event_add_time_relative(event, &c->pause, CLOCK_MONOTONIC, 0, 0, on_pause_over, c);
	if (r >= 0)
		r = sd_event_add_io(event, &c->source, fd, EPOLLIN, on_accept, c);
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
	while (c->clients)
		client_free(c->clients);
	sd_event_source_disable_unref(c->source);
	sd_event_source_disable_unref(c->pause);
	use_spares(c);
	if (c->fd >= 0) {
		if (c->path)
			unlink(c->path);
		close(c->fd);
	}
	free(c->path);
	free(c);
}
