/* SPDX-License-Identifier: MIT */
/* Varlink's framing (https://varlink.org): JSON objects, each ended by a NUL byte. */
#ifndef COMMON_VARLINK_H
#define COMMON_VARLINK_H

#include <jansson.h>
#include <stddef.h>

#define VARLINK_INTERFACE "io.chatd.Control"

/* Bytes received that may not be whole messages yet. Zero-initialise, with max set. */
struct varlink_input {
	char *data;
	size_t len, capacity;
	size_t max; /* the longest message allowed */
};

/* Adds bytes. Returns 0 or -ENOMEM. */
int varlink_feed(struct varlink_input *in, const char *data, size_t len);

/*
 * Takes the next message out. Returns 1 with an object that the caller owns, 0 if none is whole, -EMSGSIZE if
 * it is too long, or -EBADMSG if it isn't a JSON object.
 */
int varlink_next(struct varlink_input *in, json_t **ret);
void varlink_input_clear(struct varlink_input *in);

/* The message as bytes, free()d by the caller; the length includes its NUL. NULL without memory. */
char *varlink_frame(const json_t *message, size_t *ret_len);

#endif
