/* SPDX-License-Identifier: MIT */
/* Letters as lines of their log, and back; nothing of what comes in is trusted. See letter.h for what is where. */
#include "daemon/rooms/letter.h"

#include "common/nick.h"
#include "daemon/rooms/directory.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

struct room *rooms_letters(struct rooms *rs)
{
	return rs->letters;
}

uint64_t letter_tag(const char *node, size_t node_len, uint64_t boot)
{
	crypto_generichash_state hash;
	unsigned char bytes[crypto_generichash_BYTES_MIN];
	uint64_t tag;

	crypto_generichash_init(&hash, NULL, 0, sizeof(bytes));
	crypto_generichash_update(&hash, (const unsigned char *)&boot, sizeof(boot));
	crypto_generichash_update(&hash, (const unsigned char *)node, node_len);
	crypto_generichash_final(&hash, bytes, sizeof(bytes));
	memcpy(&tag, bytes, sizeof(tag));
	return tag ? tag : 1;
}

bool letter_find(struct rooms *rs, struct elsewhere *el, const char *nick, size_t len,
		 struct letter_address *ret)
{
	const struct nick_keys keys = nick_keys(nick, len);
	struct elsewhere_found found;

	if (!rooms_letters(rs) || !elsewhere_find(el, &keys, &found))
		return false;
	*ret = (struct letter_address){.boot = letter_nodes_boot(rooms_letter_nodes(rs), found.node),
				       .id = found.client.id,
				       .nick_len = found.client.nick_len};
	memcpy(ret->node, found.node, sizeof(ret->node));
	memcpy(ret->nick, found.client.nick, sizeof(ret->nick));
	return true;
}

/* --- writing --- */

static void letter_put_line(struct speech *s, struct room *letters, struct record *record,
			    const struct speaker *who, uint32_t index, const struct letter_address *to,
			    const char *text, size_t len)
{
	char head[SPEECH_NICK_MAX + LETTER_HEAD_MAX + 1];
	int n = snprintf(head, sizeof(head), "%.*s %s %" PRIx64 " %" PRIx64 " %" PRIx32 " %.*s ",
			 (int)who->nick_len, who->nick, to->node, to->boot, to->id, index, to->nick_len,
			 to->nick);

	speech_begin(s, letters);
	record->time_us = s->time_us;
	record->nick_len = (uint8_t)who->nick_len;
	record->text = (uint16_t)(who->nick_len + 1);
	logring_put(letters->log, record, head, (size_t)n, text, len);
}

void letter_put(struct speech *s, struct room *letters, const struct speaker *who,
		const struct letter_address *to, const char *text, size_t len)
{
	struct record record = {.kind = RECORD_MESSAGE, .sender = who->id, .sender_index = who->index + 1};

	letter_put_line(s, letters, &record, who, who->index, to, text, len);
}

void letter_put_return(struct speech *s, struct room *letters, const struct speaker *who,
		       const struct letter_address *to)
{
	struct record record = {.kind = RECORD_NOTICE};

	letter_put_line(s, letters, &record, who, to->index, to, "", 0);
}

/* --- reading --- */

struct letter_word {
	const char *at;
	size_t len;
};

/* The next word, and the space behind it. */
static bool letter_next(const char **at, const char *end, struct letter_word *ret)
{
	const char *space = memchr(*at, ' ', (size_t)(end - *at));

	if (!space)
		return false;
	*ret = (struct letter_word){*at, (size_t)(space - *at)};
	*at = space + 1;
	return ret->len > 0;
}

static bool letter_number(const char **at, const char *end, uint64_t max, uint64_t *ret)
{
	struct letter_word w;

	if (!letter_next(at, end, &w) || w.len > 16)
		return false;
	*ret = 0;
	for (size_t i = 0; i < w.len; i++) {
		const char *digits = "0123456789abcdef", *d = w.at[i] ? strchr(digits, w.at[i]) : NULL;
		if (!d)
			return false;
		*ret = *ret << 4 | (uint64_t)(d - digits);
	}
	return *ret <= max;
}

static bool letter_node(const char **at, const char *end, struct letter_word *ret)
{
	if (!letter_next(at, end, ret) || ret->len > LETTER_NODE_MAX)
		return false;
	for (size_t i = 0; i < ret->len; i++)
		if (!memchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-", ret->at[i],
			    64))
			return false;
	return true;
}

bool letter_is_to(const struct speech_event *e, const char *node, size_t node_len)
{
	const char *at = e->text;
	struct letter_word w;

	return letter_node(&at, e->text + e->text_len, &w) && w.len == node_len &&
	       memcmp(w.at, node, node_len) == 0;
}

bool letter_read(const struct speech_event *e, struct letter *ret)
{
	const char *at = e->text, *end = e->text + e->text_len;
	struct letter_word node, nick;
	uint64_t index;

	if ((e->kind != RECORD_MESSAGE && e->kind != RECORD_NOTICE) || e->raw ||
	    e->text_len > SPEECH_TEXT_MAX || !text_is_clean(e->text, e->text_len) ||
	    !nick_well_formed(e->nick, e->nick_len))
		return false;
	*ret =
	    (struct letter){.is_return = e->kind == RECORD_NOTICE, .from = e->nick, .from_len = e->nick_len};
	if (!letter_node(&at, end, &node) || !letter_number(&at, end, UINT64_MAX, &ret->to.boot) ||
	    !letter_number(&at, end, UINT64_MAX, &ret->to.id) ||
	    !letter_number(&at, end, UINT32_MAX - 1, &index) || !letter_next(&at, end, &nick) ||
	    nick.len > TEXT_NICK_MAX || !nick_well_formed(nick.at, nick.len))
		return false;
	memcpy(ret->to.node, node.at, node.len);
	memcpy(ret->to.nick, nick.at, nick.len);
	ret->to.nick_len = (uint8_t)nick.len;
	*(ret->is_return ? &ret->to.index : &ret->from_index) = (uint32_t)index;
	ret->text = at;
	ret->text_len = (size_t)(end - at);
	return ret->is_return == (at == end);
}
