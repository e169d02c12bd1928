/* SPDX-License-Identifier: MIT */
/* Messages as JSON objects. */
#include "daemon/web/message.h"

#include "common/cleanup.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

json_t *message_json(uint64_t number, const struct speech_event *e)
{
	_cleanup_free_ char *buf = NULL;
	size_t len = e->text_len;
	const char *text = text_clean(e->text, &len, &buf);

	if (!text)
		return NULL;
	json_t *o = json_pack("{s:I, s:I, s:s}", "number", (json_int_t)number, "time", (json_int_t)e->time_us,
			      "kind", speech_kind_name(e->kind));
	if (o && e->nick_len > 0 && !e->raw)
		json_object_set_new(o, "nick", json_stringn(e->nick, e->nick_len));
	if (o)
		json_object_set_new(o, "text", json_stringn(text, len));
	return o;
}

json_t *message_json_of(const struct room *room, uint64_t seq, const struct record *record, const char *line,
			size_t len)
{
	struct speech_event e;

	speech_event_of(record, line, len, &e);
	return message_json(room_number(room, record, seq), &e);
}

void message_epoch(uint64_t epoch, char ret[static MESSAGE_EPOCH_MAX])
{
	snprintf(ret, MESSAGE_EPOCH_MAX, "%" PRIx64, epoch);
}

bool message_parse_id(const char *text, size_t len, uint64_t *ret_epoch, uint64_t *ret_number)
{
	char copy[48], *end;

	if (len == 0 || len >= sizeof(copy))
		return false;
	for (size_t i = 0; i < len; i++) {
		copy[i] = text[i];
		if (copy[i] != '-' && (copy[i] < '0' || copy[i] > '9') && (copy[i] < 'a' || copy[i] > 'f'))
			return false;
	}
	copy[len] = 0;
	if (copy[0] == '-')
		return false;
	*ret_epoch = strtoull(copy, &end, 16);
	if (end[0] != '-' || end[1] < '0' || end[1] > '9' || end - copy > 16)
		return false;
	const char *number = end + 1;
	*ret_number = strtoull(number, &end, 10);
	return *end == 0 && end - number <= 19;
}
