/* SPDX-License-Identifier: MIT */
/* For the files of speech only: how a line is put together, and what both of them put. */
#ifndef DAEMON_SPEECH_OWN_H
#define DAEMON_SPEECH_OWN_H

#include "daemon/rooms/speech.h"

#include <string.h>

/* "* [" or the like, the nick, and the longest of the words below. */
#define SPEECH_HEAD_MAX (2 + SPEECH_NICK_MAX + 16)

/* What stands before a line's text. */
struct speech_head {
	char at[SPEECH_HEAD_MAX];
	size_t len;
};

/* Always inline, since there it is known how long the words are: everybody's lines come through here. */
#define SPEECH_INLINE static inline __attribute__((always_inline))

SPEECH_INLINE void speech_add(struct speech_head *h, const char *text, size_t len)
{
	memcpy(h->at + h->len, text, len);
	h->len += len;
}

/* Puts a line whose head is BEFORE NICK WORDS. */
SPEECH_INLINE bool speech_put(struct speech *s, struct record *record, const struct speaker *who,
			      const char *before, const char *words, const char *text, size_t len)
{
	struct speech_head h;

	h.len = 0;
	speech_add(&h, before, strlen(before));
	speech_add(&h, who->nick, who->nick_len);
	speech_add(&h, words, strlen(words));
	record->nick_at = (uint8_t)strlen(before);
	record->nick_len = (uint8_t)who->nick_len;
	record->text = (uint16_t)h.len;
	return logring_put(s->room->log, record, h.at, h.len, text, len);
}

SPEECH_INLINE struct record speech_record(const struct speech *s, enum record_kind kind,
					  const struct speaker *who)
{
	return (struct record){.time_us = s->time_us,
			       .sender = who->id,
			       .target = s->stream,
			       .kind = (uint8_t)kind,
			       .sender_index = who->persona,
			       .unanswered = s->unanswered,
			       .from_index = s->attachment,
			       .number = s->number};
}

/*
 * In a raw room a line stands as it was said, with one more star before one that begins with a star: so
 * nothing that a person says looks like the server's own lines, which begin with "* ".
 */
bool speech_put_raw(struct speech *s, const struct speaker *who, const char *text, size_t len);
/* "* TEXT" of nobody; 0, or -EAGAIN. */
int speech_put_notice(struct speech *s, enum record_kind kind, const char *text, size_t len);
/* In the room's own log, whatever others have. */
void speech_begin_own(struct speech *s, struct room *room);

#endif
