/* SPDX-License-Identifier: MIT */
/*
 * What a method of the control socket may do with the client that called it: reply, refuse, or go on as a
 * stream. All on the main thread.
 */
#ifndef DAEMON_CALL_H
#define DAEMON_CALL_H

#include <jansson.h>
#include <stdbool.h>

struct control_client;
struct host;

typedef void control_call(struct control_client *c, const json_t *parameters, bool more);

struct host *control_host(struct control_client *c);
/* Who calls, for the log: "root (uid 0, pid 123)". */
const char *control_peer(const struct control_client *c);

/* Each takes the reference to parameters over. Another reply follows if continues. */
void control_reply(struct control_client *c, json_t *parameters, bool continues);
void control_error(struct control_client *c, const char *error, json_t *parameters);
/* io.chatd.Control.Refused with a reason for people. */
void control_refuse(struct control_client *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
void control_invalid(struct control_client *c, const char *parameter);

/* A call that goes on. */
struct control_stream {
	/* There may be news, or the client has read. */
	void (*follow)(struct control_client *c, void *data);
	/* At the end, once. */
	void (*forget)(struct control_client *c, void *data);
};
void control_stream(struct control_client *c, const struct control_stream *ops, void *data);
void control_stream_end(struct control_client *c);
/* Whether the client reads slower than it is written to: wait for the next follow(). */
bool control_is_full(const struct control_client *c);

#endif
