/* SPDX-License-Identifier: MIT */
/* A channel's record as bytes, and back: see pack.h. */
#include "daemon/channels/pack.h"

#include "daemon/channels/decide.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#define PACK_VERSION 1
#define PACK_CHECK sizeof(uint64_t)
#define PACK_MODES                                                                                           \
	(IRC_M_INVITE | IRC_M_MODERATED | IRC_M_NO_EXTERNAL | IRC_M_SECRET | IRC_M_TOPIC | IRC_M_NO_CTCP |   \
	 IRC_M_LOGGED_IN | IRC_M_LOGGED_IN_SPEAK)

#define PACK_STATUS_MAX ((size_t)1 + 2 + TEXT_NICK_MAX)
#define PACK_MASK_MAX ((size_t)8 + 1 + 2 + IRC_MASK_MAX + 2 + TEXT_NICK_MAX)
_Static_assert(PACK_CHECK + 1 + 24 + 8 + IRC_KEY_MAX + IRC_TOPIC_MAX + TEXT_NICK_MAX +
		       IRC_CHANNEL_METADATA_MAX + 4 + IRC_STATUS_MAX * PACK_STATUS_MAX +
		       IRC_LIST_MAX * PACK_MASK_MAX + 7 <=
		   IRC_CHANNEL_PACKED_MAX,
	       "all of it fits");

/* --- writing --- */

struct pack {
	uint8_t *at;
	size_t len;
};

static void pack_number(struct pack *p, uint64_t n, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		p->at[p->len++] = (uint8_t)(n >> 8 * i);
}

static void pack_string(struct pack *p, const char *s, size_t len)
{
	pack_number(p, len, 2);
	memcpy(p->at + p->len, s, len);
	p->len += len;
}

static void pack_people(struct pack *p, const struct irc_channel *ch)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < ch->n_status; i++)
		n += ch->status[i].account[0] != '\0';
	pack_number(p, n, 2);
	for (uint32_t i = 0; i < ch->n_status; i++) {
		const struct irc_channel_person *person = &ch->status[i];
		if (!person->account[0])
			continue;
		pack_number(p, person->flags, 1);
		pack_string(p, person->account, strlen(person->account));
	}
}

static void pack_lists(struct pack *p, const struct irc_channel *ch)
{
	pack_number(p, ch->n_list, 2);
	for (uint32_t i = 0; i < ch->n_list; i++) {
		const struct irc_channel_mask *m = &ch->list[i];
		pack_number(p, m->us, 8);
		pack_number(p, (uint8_t)m->kind, 1);
		pack_string(p, m->mask, strlen(m->mask));
		pack_string(p, m->by, strlen(m->by));
	}
}

size_t irc_channel_pack(const struct irc_channel *ch, uint8_t ret[static IRC_CHANNEL_PACKED_MAX])
{
	struct pack p = {.at = ret, .len = PACK_CHECK}, check = {.at = ret};

	pack_number(&p, PACK_VERSION, 1);
	pack_number(&p, ch->created_us, 8);
	pack_number(&p, ch->topic_us, 8);
	pack_number(&p, ch->modes, 4);
	pack_number(&p, ch->limit, 4);
	pack_string(&p, ch->key, strlen(ch->key));
	pack_string(&p, ch->topic, strlen(ch->topic));
	pack_string(&p, ch->topic_by, strlen(ch->topic_by));
	pack_string(&p, ch->metadata, ch->metadata_len <= sizeof(ch->metadata) ? ch->metadata_len : 0);
	pack_people(&p, ch);
	pack_lists(&p, ch);
	while (p.len % 8 != 0)
		pack_number(&p, 0, 1);
	pack_number(&check, checksum_add(IRC_CHANNEL_CHECK, ret + PACK_CHECK, p.len - PACK_CHECK), 8);
	return p.len;
}

/* --- reading --- */

struct unpack {
	const uint8_t *at;
	size_t left;
	bool bad;
};

static uint64_t unpack_number(struct unpack *u, unsigned bytes)
{
	uint64_t n = 0;

	if (u->left < bytes) {
		u->bad = true;
		u->left = 0;
		return 0;
	}
	for (unsigned i = 0; i < bytes; i++)
		n |= (uint64_t)u->at[i] << 8 * i;
	u->at += bytes;
	u->left -= bytes;
	return n;
}

static uint64_t unpack_time(struct unpack *u)
{
	uint64_t us = unpack_number(u, 8);

	u->bad |= us > INT64_MAX;
	return us;
}

/* Into an array of size bytes, of which all are used or a NUL follows; returns the length. */
static size_t unpack_bytes(struct unpack *u, char *ret, size_t size)
{
	size_t len = unpack_number(u, 2);

	memset(ret, 0, size);
	if (len > u->left || len > size) {
		u->bad = true;
		return 0;
	}
	memcpy(ret, u->at, len);
	u->at += len;
	u->left -= len;
	return len;
}

/* What an operator can have given: a mask may have any byte that doesn't end a word of a line. */
static size_t unpack_word(struct unpack *u, char *ret, size_t size, const char *but)
{
	size_t len = unpack_bytes(u, ret, size - 1);

	ret[size - 1] = '\0';
	u->bad |= strlen(ret) != len || strpbrk(ret, "\r\n") || strpbrk(ret, but);
	return len;
}

/* As it can be shown. */
static size_t unpack_clean(struct unpack *u, char *ret, size_t size, const char *but)
{
	size_t len = unpack_word(u, ret, size, but);

	u->bad |= !text_is_clean(ret, len);
	return len;
}

/* Of those that follow, no more than fit. */
static uint32_t unpack_count(struct unpack *u, uint32_t max)
{
	uint64_t n = unpack_number(u, 2);

	u->bad |= n > max;
	return u->bad ? 0 : (uint32_t)n;
}

static void unpack_people(struct unpack *u, struct irc_channel *ch)
{
	ch->n_status = unpack_count(u, IRC_STATUS_MAX);
	for (uint32_t i = 0; i < ch->n_status && !u->bad; i++) {
		struct irc_channel_person *p = &ch->status[i];
		memset(p, 0, sizeof(*p));
		p->flags = (uint8_t)unpack_number(u, 1);
		u->bad |= p->flags == 0 || p->flags > (IRC_STATUS_VOICE | IRC_STATUS_OP);
		u->bad |= unpack_clean(u, p->account, sizeof(p->account), " ") == 0;
	}
}

static void unpack_lists(struct unpack *u, struct irc_channel *ch)
{
	ch->n_list = unpack_count(u, IRC_LIST_MAX);
	for (uint32_t i = 0; i < ch->n_list && !u->bad; i++) {
		struct irc_channel_mask *m = &ch->list[i];
		memset(m, 0, sizeof(*m));
		m->us = unpack_time(u);
		m->kind = (char)unpack_number(u, 1);
		u->bad |= m->kind != 'b' && m->kind != 'e' && m->kind != 'I';
		u->bad |= unpack_word(u, m->mask, sizeof(m->mask), " ") == 0;
		unpack_clean(u, m->by, sizeof(m->by), " ");
	}
}

int irc_channel_unpack(const void *data, size_t len, struct irc_channel *ret)
{
	struct unpack u = {.at = data, .left = len};

	memset(ret, 0, offsetof(struct irc_channel, status));
	uint64_t check = unpack_number(&u, PACK_CHECK);
	if (u.bad || len % 8 != 0 || len > IRC_CHANNEL_PACKED_MAX ||
	    check != checksum_add(IRC_CHANNEL_CHECK, u.at, u.left))
		return -EBADMSG;
	uint64_t version = unpack_number(&u, 1);
	if (version != PACK_VERSION)
		return version > PACK_VERSION ? -EPROTONOSUPPORT : -EBADMSG;
	ret->created_us = unpack_time(&u);
	ret->topic_us = unpack_time(&u);
	ret->modes = (uint32_t)unpack_number(&u, 4);
	ret->limit = (uint32_t)unpack_number(&u, 4);
	unpack_word(&u, ret->key, sizeof(ret->key), " ,:");
	unpack_clean(&u, ret->topic, sizeof(ret->topic), "");
	unpack_clean(&u, ret->topic_by, sizeof(ret->topic_by), " ");
	ret->metadata_len = (uint32_t)unpack_bytes(&u, ret->metadata, sizeof(ret->metadata));
	unpack_people(&u, ret);
	unpack_lists(&u, ret);
	if (u.bad || ret->modes & ~(uint32_t)PACK_MODES || ret->limit > IRC_DECIDE_LIMIT_MAX || u.left >= 8)
		return -EBADMSG;
	return 0;
}
