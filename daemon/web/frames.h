/* SPDX-License-Identifier: MIT */
/*
 * The framing of WebSocket (RFC 6455), of a server: what a client has sent is looked at in a buffer, which is neither
 * changed nor kept. A message, with all of its frames, is found when the whole of it is there; a control frame at once,
 * wherever it is. Nothing here knows sockets.
 */
#ifndef DAEMON_FRAMES_H
#define DAEMON_FRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FRAMES_CONTROL_MAX 125 /* bytes in a control frame */
#define FRAMES_HEADER_MAX 10   /* of what a server sends */
#define FRAMES_CLOSE_MAX (FRAMES_HEADER_MAX + FRAMES_CONTROL_MAX)

enum frames_opcode {
	FRAMES_CONTINUATION = 0,
	FRAMES_TEXT = 1,
	FRAMES_BINARY = 2,
	FRAMES_CLOSE = 8,
	FRAMES_PING = 9,
	FRAMES_PONG = 10,
};

/* Why a WebSocket ends. */
enum frames_code {
	FRAMES_NORMAL = 1000,
	FRAMES_GOING_AWAY = 1001,
	FRAMES_PROTOCOL = 1002,
	FRAMES_UNSUPPORTED = 1003,
	FRAMES_NO_CODE = 1005, /* never sent: a close frame without one came */
	FRAMES_NOT_UTF8 = 1007,
	FRAMES_POLICY = 1008,
	FRAMES_TOO_LONG = 1009,
	FRAMES_INTERNAL = 1011,
};

enum frames_what {
	FRAMES_UNFINISHED,    /* more has to come */
	FRAMES_FOUND_MESSAGE, /* text or binary, whose frames are data[0..size) */
	FRAMES_FOUND_CONTROL, /* the frame is data[at..at + size) */
	FRAMES_BROKEN,	      /* that is no WebSocket: it is to be closed with code */
};

struct frames_found {
	enum frames_what what;
	unsigned opcode; /* of a control frame or of a message's first frame */
	size_t at, size;
	size_t len; /* bytes of payload */
	/* FRAMES_CLOSE: what it says, or FRAMES_NO_CODE. FRAMES_BROKEN: why, in words for the peer as well. */
	unsigned code;
	const char *why;
	char payload[FRAMES_CONTROL_MAX]; /* of a control frame */
};

/*
 * What is the first thing in data that has to be dealt with: a control frame, then the message. A control frame at 0 is
 * to be consumed. One behind that is within a message that isn't whole: whoever has dealt with it makes it a pong by
 * putting FRAMES_DEALT_WITH at data[at], since pongs within a message are passed over. max: a message's most bytes.
 */
void frames_find(const char *data, size_t len, size_t max, struct frames_found *ret);
#define FRAMES_DEALT_WITH ((char)(0x80 | FRAMES_PONG))

/* Puts the message that was found in data together in to, which has space for found->len bytes. */
void frames_copy(const char *data, const struct frames_found *found, char *to);

/* Writes the header of a whole frame; returns its length, at most FRAMES_HEADER_MAX. */
size_t frames_header(char *to, enum frames_opcode opcode, size_t len);
/* Writes a close frame, with a reason (it is cut if need be); FRAMES_NO_CODE: with none. Returns its length. */
size_t frames_close(char to[static FRAMES_CLOSE_MAX], unsigned code, const char *why);

#endif
