/* SPDX-License-Identifier: MIT */
/* From the event to the change that it tells of: see follow.h. */
#include "daemon/channels/follow.h"

#include "daemon/channels/accounts.h"
#include "daemon/channels/channels.h"
#include "daemon/channels/decide.h"
#include "daemon/channels/mask.h"

#include <string.h>

static void follow_topic(struct irc_deciding *d, const struct speech_event *e)
{
	char topic[IRC_TOPIC_MAX + 1] = "";

	if (e->text_len > IRC_TOPIC_MAX)
		return;
	memcpy(topic, e->text, e->text_len);
	irc_decide_topic(d, topic);
}

/* --- modes: "+mb-l eve!*@*" --- */

struct follow_words {
	const char *at, *end;
};

/* The next word, with a NUL; false: there is none, or it is longer than any can be. */
static bool follow_word(struct follow_words *w, char *ret, size_t size)
{
	const char *space = memchr(w->at, ' ', (size_t)(w->end - w->at));
	size_t len = (size_t)((space ? space : w->end) - w->at);

	if (len == 0 || len >= size)
		return false;
	memcpy(ret, w->at, len);
	ret[len] = '\0';
	w->at += len + (space ? 1 : 0);
	return true;
}

/* False: that is no change, and neither is what follows, as it isn't clear which word belongs to what. */
static bool follow_mode(struct irc_deciding *d, char sign, char letter, struct follow_words *w)
{
	char word[IRC_MASK_MAX + 1] = "", mask[IRC_MASK_MAX + 1];

	if (irc_decide_is_flag(letter)) {
		irc_decide_flag(d, sign, letter);
		return true;
	}
	bool has_word = strchr("beIkov", letter) || (letter == 'l' && sign == '+');
	if (!strchr("beIklov", letter) || (has_word && !follow_word(w, word, sizeof(word))))
		return false;
	if (letter == 'k') {
		irc_decide_key(d, sign, word);
	} else if (letter == 'l') {
		irc_decide_limit(d, sign, word);
	} else if (letter == 'o' || letter == 'v') {
		irc_decide_status_of_account(d, sign, letter, word);
	} else {
		irc_mask_normalise(word, strlen(word), mask, sizeof(mask));
		irc_decide_mask(d, sign, letter, mask);
	}
	return true;
}

static void follow_modes(struct irc_deciding *d, const struct speech_event *e)
{
	const char *space = memchr(e->text, ' ', e->text_len), *end = e->text + e->text_len;
	struct follow_words w = {space ? space + 1 : end, end};
	char sign = '+';

	for (const char *p = e->text; p < (space ? space : end); p++)
		if (*p == '+' || *p == '-')
			sign = *p;
		else if (!follow_mode(d, sign, *p, &w))
			return;
}

void irc_follow(struct irc_channels *cs, const struct room *room, const struct speech_event *e)
{
	/* A bridge may have a longer name than a person; nothing else is cut. */
	const struct speaker who = {.nick = e->nick,
				    .nick_len = e->nick_len < TEXT_NICK_MAX ? e->nick_len : TEXT_NICK_MAX};
	struct irc_deciding d = {.channels = cs, .room = room, .by = &who, .time_us = e->time_us};

	if (!cs || room->raw)
		return;
	if (e->kind == RECORD_TOPIC)
		follow_topic(&d, e);
	else if (e->kind == RECORD_MODE)
		follow_modes(&d, e);
}

void irc_follow_seal(struct irc_channels *cs, const struct room *room)
{
	if (cs)
		irc_channels_seal(cs, room, logring_pending(room->log));
}
