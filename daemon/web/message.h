/* SPDX-License-Identifier: MIT */
/* A message of a room as JSON, as the API and server-sent events have it: the same bytes whoever makes them, and when. */
#ifndef DAEMON_MESSAGE_H
#define DAEMON_MESSAGE_H

#include "daemon/rooms/speech.h"

#include <jansson.h>

/* {"number","time","kind","nick","text"}; nick is missing if there is none. What was said in a raw room is made safe. NULL
 * without memory. */
json_t *message_json(uint64_t number, const struct speech_event *e);
/* Message number seq of a room, whose log is locked or pinned; line is with its newline. */
json_t *message_json_of(const struct room *room, uint64_t seq, const struct record *record, const char *line,
			size_t len);
/* An epoch as it is told: JavaScript's numbers have only 53 bits. */
#define MESSAGE_EPOCH_MAX 17
void message_epoch(uint64_t epoch, char ret[static MESSAGE_EPOCH_MAX]);
/* A message's name, "EPOCH-NUMBER"; false if that is none. */
bool message_parse_id(const char *text, size_t len, uint64_t *ret_epoch, uint64_t *ret_number);

#endif
