/* SPDX-License-Identifier: MIT */
/*
 * How lines of IRC go out: with CR LF over TCP, and each as a message of its own, without them, in a WebSocket
 * (https://ircv3.net/specs/extensions/websocket), of text or of binary data.
 */
#ifndef DAEMON_IRC_WIRE_H
#define DAEMON_IRC_WIRE_H

#include "daemon/engine/connection.h"

/* Beside IRC_CAPS_FORM in a connection's form, for good once it is there. */
#define IRC_FORM_SOCKET (1U << 4)
#define IRC_FORM_BINARY (1U << 5)
/* Of who is not in a WebSocket: it has batches. There are no more forms than 64, so in WebSockets they don't tell. */
#define IRC_FORM_BATCH IRC_FORM_BINARY
#define IRC_FORM_WIRE (IRC_FORM_SOCKET | IRC_FORM_BINARY)

/* The most that goes out beside a line. */
#define IRC_WIRE_MORE 10

/* A line without its end; in two parts. It must fit: connection_space(). */
void irc_write_line(struct connection *c, const char *tags, size_t tags_len, const char *line, size_t len);
/* text[at..len) is a line without its end, and behind it there is space for IRC_WIRE_MORE bytes: makes of it what goes out,
 * and returns the new len. */
size_t irc_wire_finish(unsigned form, char *text, size_t at, size_t len);
/* Within a transaction that ends the connection: what says so in a WebSocket. */
void irc_write_end(struct connection *c);

#endif
