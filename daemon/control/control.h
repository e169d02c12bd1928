/* SPDX-License-Identifier: MIT */
/*
 * The control socket: Varlink on a Unix socket, served by the main thread. This file is the transport; what
 * can be called is in control_methods.h.
 */
#ifndef DAEMON_CONTROL_H
#define DAEMON_CONTROL_H

#include <jansson.h>
#include <stdbool.h>
#include <systemd/sd-event.h>

struct control;
struct control_client;
struct host;

/* Listens at the path (0660, that group if it exists). Returns 0 or -errno, which is logged. */
int control_new(struct host *host, sd_event *event, const char *path, const char *group,
		struct control **ret);
void control_free(struct control *c);

/* --- for the methods --- */

typedef void control_call(struct control_client *c, const json_t *parameters, bool more);

struct control_method {
	const char *name;
	control_call *call;
};
/* Ends with a NULL name. */
extern const struct control_method control_methods[];
extern const char control_interface[];

struct host *control_host(struct control_client *c);
/* Who calls, for the log: "root (uid 0, pid 123)". */
const char *control_peer(const struct control_client *c);

/* Each takes the reference to parameters over. Another reply follows if continues. */
void control_reply(struct control_client *c, json_t *parameters, bool continues);
void control_error(struct control_client *c, const char *error, json_t *parameters);
/* io.chatd.Control.Refused with a reason for people. */
void control_refuse(struct control_client *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
void control_invalid(struct control_client *c, const char *parameter);

/* A call that goes on: follow() is called when the room has news or the client has read; forget() at the end.
 */
struct control_stream {
	void (*follow)(struct control_client *c, void *data);
	void (*forget)(struct control_client *c, void *data);
};
void control_stream(struct control_client *c, const struct control_stream *ops, void *data);
void control_stream_end(struct control_client *c);
/* Whether the client reads slower than it is written to: wait for the next follow(). */
bool control_is_full(const struct control_client *c);
/* Something happened in some room. */
void control_news(struct control *c);

#endif
