/* SPDX-License-Identifier: MIT */
/*
 * What the files about WebSockets share, and nobody else includes: shake.c shakes hands, socket.c takes messages out of
 * what comes, json_ask.c does what a JSON message says, json_say.c has what is sent in JSON.
 */
#ifndef DAEMON_SOCKET_H
#define DAEMON_SOCKET_H

#include "daemon/modes/chat.h"
#include "daemon/web/frames.h"
#include "common/json_text.h"
#include "daemon/web/web.h"

/* A message has at most so many bytes, whatever a line may have; */
#define SOCKET_MESSAGE_MAX (40U << 10)
/* and so many of its frames wait for the rest of it. What is left of the inbox is enough for a record of TLS. */
#define SOCKET_WAITING_MAX 48000

#define SOCKET_ID_BYTES 64
/* As JSON, where a control character takes six, with its quotes and a NUL. */
#define SOCKET_ID_MAX (6 * SOCKET_ID_BYTES + 4)

/* What is worked on: its answers say so, as they are written within it. One for each thread. */
struct socket_asked {
	char id[SOCKET_ID_MAX]; /* "": it has none */
	bool has_since;		/* of a room that is entered: what was seen of it */
	uint64_t epoch, number;
};
extern _Thread_local struct socket_asked socket_asked;

/* --- socket.c --- */

/* Consumes what needs an answer that nobody would hear: the peer is gone, and what it said before is worked on. */
bool socket_is_moot(struct chat_input *in, size_t consumed);

/* --- json_ask.c --- */

/* Works on a message, UTF-8; see chat_line(). */
enum verdict socket_ask(struct chat_input *in, const char *text, size_t len, size_t consumed);
/* "E" in hexadecimal. False: that is none. */
bool socket_epoch(const char *text, uint64_t *ret);

/* --- json_say.c --- */

/* One that begins, in space that the caller has; what it answers is noted. */
struct json_text socket_begin(char *space, size_t size, const char *type);
/* Writes it, within a transaction, and ends it. */
void socket_send(struct connection *c, struct json_text *t);
size_t socket_render_json(const struct room *room, uint64_t seq, const struct record *event, const char *line,
			  size_t len, char *out);
/* One line that was written to it, without its newline. One that begins with SOCKET_SKIPPED, as nothing does that anybody
 * writes, says how many messages were skipped. */
#define SOCKET_SKIPPED '\x1e'
void socket_reply_json(struct connection *c, const char *line, size_t len);

#endif
