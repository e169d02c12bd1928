/* SPDX-License-Identifier: MIT */
/*
 * One connection of the control socket: it receives, answers one call at a time, and follows streams. A
 * client that has shut down its side still gets its replies, and the calls of one that no longer reads are
 * still carried out.
 */
#include "daemon/control/client.h"

#include "common/cleanup.h"
#include "common/varlink.h"
#include "daemon/base/logger.h"
#include "daemon/control/dispatch.h"
#include "daemon/state/sockets.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

struct control_client {
	struct control_clients *all;
	struct control_client *next;
	int fd;
	sd_event_source *source, *again; /* input on its socket; calls that have been received already */
	struct varlink_input in;
	char *out;
	size_t out_len, out_capacity;
	char peer[CONTROL_PEER_MAX];
	bool oneway, replied, dead;
	bool ended; /* the client has shut down its side, but may still read */
	bool deaf;  /* the client no longer reads, but the calls it has sent still count */
	const struct control_stream *stream;
	void *stream_data;
};

/* --- output --- */

static bool client_has_call(const struct control_client *c)
{
	return c->in.len > 0 && memchr(c->in.data, '\0', c->in.len);
}

/* Sends as much as possible, and decides which events to wait for. */
static void client_flush(struct control_client *c)
{
	bool paused = c->stream && control_is_full(c);

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
	/*
	 * No more calls are read from a client that doesn't read its replies; those already received come
	 * first.
	 */
	bool call = client_has_call(c), full = control_is_full(c);
	sd_event_source_set_io_events(c->source, (!c->ended && !call && !full ? EPOLLIN : 0) |
						     (c->out_len > 0 ? EPOLLOUT : 0));
	/* A stream that stopped because so much was unread goes on, although there may be no news for it. */
	bool again = !full && (call || (paused && c->stream));
	sd_event_source_set_enabled(c->again, again ? SD_EVENT_ONESHOT : SD_EVENT_OFF);
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
	if (c->out_len + len > c->out_capacity) {
		size_t capacity = (c->out_len + len) * 2;
		char *p = realloc(c->out, capacity);
		if (!p) {
			c->dead = true;
			return;
		}
		c->out = p;
		c->out_capacity = capacity;
	}
	memcpy(c->out + c->out_len, frame, len);
	c->out_len += len;
}

/* --- for the methods: call.h --- */

struct host *control_host(struct control_client *c)
{
	return c->all->host;
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
	return c->out_len >= CONTROL_FULL;
}

/* --- input --- */

static void client_free(struct control_client *c)
{
	struct control_client **p = &c->all->first;

	while (*p != c)
		p = &(*p)->next;
	*p = c->next;
	c->all->n--;
	control_stream_end(c);
	sd_event_source_disable_unref(c->source);
	sd_event_source_disable_unref(c->again);
	close(c->fd);
	varlink_input_clear(&c->in);
	free(c->out);
	free(c);
}

static void client_call(struct control_client *c, const json_t *message)
{
	const char *method = json_string_value(json_object_get(message, "method"));
	const json_t *parameters = json_object_get(message, "parameters");

	control_stream_end(c); /* a new call ends the stream of the one before */
	c->replied = false;
	c->oneway = json_is_true(json_object_get(message, "oneway"));
	if (!method || (parameters && !json_is_object(parameters) && !json_is_null(parameters))) {
		control_invalid(c, method ? "parameters" : "method");
		c->dead = true;
		return;
	}
	control_dispatch(c, method, parameters, json_is_true(json_object_get(message, "more")));
	if (!c->replied)
		control_refuse(c, "internal error");
}

static void client_receive(struct control_client *c)
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

static void client_follow(struct control_client *c)
{
	if (c->stream && !c->dead)
		c->stream->follow(c, c->stream_data);
}

/* One call at a time, so that the main thread gets to its other work in between. */
static void client_serve(struct control_client *c)
{
	json_t *message;
	int r = 0;

	/* A stream that ends by itself is answered in full before the next call ends it. */
	client_follow(c);
	if (!c->dead && !control_is_full(c) && (r = varlink_next(&c->in, &message)) > 0) {
		bool is_short = sockets_are_short();
		if (is_short) {
			spares_gather(&c->all->spares);
			spares_use(&c->all->spares);
		}
		client_call(c, message);
		if (is_short)
			spares_take(&c->all->spares);
		json_decref(message);
		client_follow(c);
	}
	if (r < 0) {
		log_event(LOG_NOTICE, &(struct log_fields){.message_id = EVENT_CONTROL},
			  "control: %s sent something that isn't a Varlink message; it is disconnected",
			  c->peer);
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
	if (!client_has_call(c) && events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		client_receive(c);
	client_serve(c);
	return 0;
}

static int client_again(sd_event_source *source, void *arg)
{
	(void)source;
	client_serve(arg);
	return 0;
}

/* --- all of them --- */

int control_client_new(struct control_clients *all, int fd, const char *peer)
{
	struct control_client *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->all = all;
	c->in.max = CONTROL_REQUEST_MAX;
	snprintf(c->peer, sizeof(c->peer), "%s", peer);
	int r = sd_event_add_io(all->event, &c->source, fd, EPOLLIN, client_ready, c);
	if (r >= 0)
		r = sd_event_add_defer(all->event, &c->again, client_again, c);
	if (r >= 0)
		r = sd_event_source_set_enabled(c->again, SD_EVENT_OFF);
	if (r < 0) {
		sd_event_source_disable_unref(c->source);
		sd_event_source_disable_unref(c->again);
		free(c);
		return r;
	}
	c->fd = fd;
	c->next = all->first;
	all->first = c;
	all->n++;
	return 0;
}

bool control_clients_make_way(struct control_clients *all)
{
	struct control_client *oldest = NULL;

	for (struct control_client *c = all->first; c; c = c->next)
		if (!c->stream)
			oldest = c;
	if (!oldest)
		return false;
	log_limited(LOG_TOPIC_CONTROL, LOG_WARNING, &(struct log_fields){.message_id = EVENT_CONTROL},
		    "control: %s makes way: there are %u connections", oldest->peer, all->n);
	client_free(oldest);
	return true;
}

void control_clients_follow(struct control_clients *all)
{
	for (struct control_client *c = all->first, *next; c; c = next) {
		next = c->next;
		if (!c->stream)
			continue;
		client_follow(c);
		client_flush(c);
		if (c->dead)
			client_free(c);
	}
}

void control_clients_free(struct control_clients *all)
{
	while (all->first)
		client_free(all->first);
}
