/* SPDX-License-Identifier: MIT */
/*
 * What nodes send to each other: a batch of lines that were said in one room of one node, as bytes and back. Lines
 * are numbered upwards without gaps from the batch's first one; all integers are little endian:
 *
 *	batch	"CHDC", u8 version (1), u8 flags (0), u8 node_len, u8 0, u64 boot, u64 first, u32 count, node, lines
 *	line	u32 length of what follows, u8 kind (enum record_kind), u8 flags (1: raw), u8 nick_len, u8 0, u64 sender,
 *		u64 time_us, nick, text
 *
 * Nothing that comes in is trusted: a batch is checked in full when it is opened, so that whoever goes through its
 * lines does not fail half-way. A line of a kind that this build doesn't know, or with flags that it doesn't, is
 * passed over, but keeps its number.
 */
#ifndef DAEMON_CLUSTER_WIRE_H
#define DAEMON_CLUSTER_WIRE_H

#include "common/text.h"
#include "daemon/config/cluster.h"
#include "daemon/config/config.h"
#include "daemon/rooms/speech.h"

#define WIRE_VERSION 1
#define WIRE_NODE_MAX CLUSTER_NODE_MAX
/* What may be said, as text_sanitise() can make it longer. */
#define WIRE_TEXT_MAX ((size_t)TEXT_SANITISE_GROWTH * CONFIG_MAX_MESSAGE)

#define WIRE_HEAD_SIZE 28
#define WIRE_LINE_SIZE 24
/* A buffer of this size has space for a batch of at least one line, whichever it is. */
#define WIRE_SIZE_MIN (WIRE_HEAD_SIZE + WIRE_NODE_MAX + WIRE_LINE_SIZE + SPEECH_NICK_MAX + WIRE_TEXT_MAX)

/* --- reading --- */

struct wire_batch {
	const char *node; /* [A-Za-z0-9_-], without a NUL; in the message, as the lines' text is */
	size_t node_len;
	uint64_t boot, first;
	uint32_t count; /* at least 1; first + count doesn't overflow */
	const unsigned char *at, *end;
};

/* Returns 0, -EBADMSG, or -EPROTONOSUPPORT if it is of a newer version, and so must be passed over. */
int wire_open(const void *data, size_t len, struct wire_batch *ret);

enum wire_next {
	WIRE_END,     /* behind the last line */
	WIRE_EVENT,   /* *ret is one; its nick and text are in the message */
	WIRE_UNKNOWN, /* a line that says nothing to this build */
};
/* The next line. */
enum wire_next wire_next(struct wire_batch *b, struct speech_event *ret);

/* --- writing --- */

struct wire_writer {
	unsigned char *buf;
	size_t size, len;
	uint32_t count;
};

/* buf has WIRE_SIZE_MIN bytes or more; node is as above. */
void wire_begin(struct wire_writer *w, void *buf, size_t size, const char *node, uint64_t boot,
		uint64_t first);
/* Whether that can be said at all. */
bool wire_says(const struct speech_event *e);
/* A line that says nothing, as if it were one that can't. */
bool wire_add_nothing(struct wire_writer *w);
/* False: there is no space left. What no node would accept becomes a line that says nothing. */
bool wire_add(struct wire_writer *w, const struct speech_event *e);
/* The batch's length; 0 if nothing was added. */
size_t wire_end(struct wire_writer *w);

/* --- what nodes say to each other in words --- */

/* Copies a text to copy, where its first four words are cut off at single spaces; *ret_rest is behind them, or NULL. False: it
 * has fewer, or doesn't fit. */
bool wire_words(const char *text, size_t len, char *copy, size_t size, char *words[static 4],
		char **ret_rest);

/* --- names of rooms in subjects of NATS --- */

#define WIRE_TOKEN_MAX (3 * TEXT_ROOM_MAX + 1)

/* The room's name as one token of a subject: [A-Za-z0-9_-] as they are, any other byte as =XX. Returns ret. */
const char *wire_token(const char *room, char ret[static WIRE_TOKEN_MAX]);
/* The room of a token, as wire_token() makes it and not otherwise, and a room that there can be; else false. */
bool wire_room(const char *token, size_t len, char ret[static TEXT_ROOM_MAX + 1]);

#endif
