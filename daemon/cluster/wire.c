/* SPDX-License-Identifier: MIT */
/* Batches as bytes, and back: see wire.h for what is where. */
#include "daemon/cluster/wire.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

static const char wire_magic[4] = "CHDC";
#define WIRE_RAW 1
/* Never a kind: a line that only keeps its number. */
#define WIRE_NOTHING 255

static const char wire_digits[] = "0123456789ABCDEF";

/* --- integers, wherever they lie --- */

static uint32_t wire_get32(const unsigned char *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return le32toh(v);
}

static uint64_t wire_get64(const unsigned char *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return le64toh(v);
}

static void wire_put32(unsigned char *p, uint32_t v)
{
	v = htole32(v);
	memcpy(p, &v, sizeof(v));
}

static void wire_put64(unsigned char *p, uint64_t v)
{
	v = htole64(v);
	memcpy(p, &v, sizeof(v));
}

/* --- what may be said --- */

static bool wire_is_plain(unsigned char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' ||
	       c == '-';
}

static bool wire_node_valid(const char *node, size_t len)
{
	if (len == 0 || len > WIRE_NODE_MAX)
		return false;
	for (size_t i = 0; i < len; i++)
		if (!wire_is_plain((unsigned char)node[i]))
			return false;
	return true;
}

/* In a raw room people say any bytes; a line ends with the first newline, wherever it is. */
bool wire_says(const struct speech_event *e)
{
	if (e->kind >= RECORD_KINDS || e->nick_len > SPEECH_NICK_MAX || e->text_len > WIRE_TEXT_MAX ||
	    !text_is_clean(e->nick, e->nick_len))
		return false;
	return e->raw ? !memchr(e->text, '\n', e->text_len) : text_is_clean(e->text, e->text_len);
}

/* --- reading --- */

/* Of the line at p, whose length was checked to lie in the message. */
static enum wire_next wire_parse(const unsigned char *p, uint32_t len, struct speech_event *ret)
{
	if (p[0] >= RECORD_KINDS || (len >= 2 && p[1] & ~WIRE_RAW))
		return WIRE_UNKNOWN;
	if (len < WIRE_LINE_SIZE - 4 || p[2] > len - (WIRE_LINE_SIZE - 4))
		return WIRE_END; /* there is no such line */
	*ret = (struct speech_event){.kind = p[0],
				     .raw = p[1] & WIRE_RAW,
				     .nick_len = p[2],
				     .sender = wire_get64(p + 4),
				     .time_us = wire_get64(p + 12),
				     .nick = (const char *)p + 20,
				     .text = (const char *)p + 20 + p[2],
				     .text_len = len - 20 - p[2]};
	return WIRE_EVENT;
}

static bool wire_lines_valid(const struct wire_batch *b)
{
	const unsigned char *p = b->at;
	struct speech_event e;

	for (uint32_t i = 0; i < b->count; i++) {
		if ((size_t)(b->end - p) < 4)
			return false;
		uint32_t len = wire_get32(p);
		p += 4;
		if (len == 0 || len > (size_t)(b->end - p))
			return false;
		enum wire_next what = wire_parse(p, len, &e);
		if (what == WIRE_END || (what == WIRE_EVENT && !wire_says(&e)))
			return false;
		p += len;
	}
	return p == b->end;
}

int wire_open(const void *data, size_t len, struct wire_batch *ret)
{
	const unsigned char *p = data;

	if (len < WIRE_HEAD_SIZE || memcmp(p, wire_magic, sizeof(wire_magic)) != 0 || p[4] == 0)
		return -EBADMSG;
	if (p[4] > WIRE_VERSION || p[5] != 0)
		return -EPROTONOSUPPORT;
	*ret = (struct wire_batch){.node = (const char *)p + WIRE_HEAD_SIZE,
				   .node_len = p[6],
				   .boot = wire_get64(p + 8),
				   .first = wire_get64(p + 16),
				   .count = wire_get32(p + 24),
				   .end = p + len};
	if (ret->node_len > len - WIRE_HEAD_SIZE || !wire_node_valid(ret->node, ret->node_len) ||
	    ret->count == 0 || ret->first > UINT64_MAX - ret->count)
		return -EBADMSG;
	ret->at = p + WIRE_HEAD_SIZE + ret->node_len;
	return wire_lines_valid(ret) ? 0 : -EBADMSG;
}

enum wire_next wire_next(struct wire_batch *b, struct speech_event *ret)
{
	if (b->at == b->end)
		return WIRE_END;
	uint32_t len = wire_get32(b->at);
	const unsigned char *line = b->at + 4;
	b->at = line + len;
	enum wire_next what = wire_parse(line, len, ret);
	if (what == WIRE_EVENT)
		ret->clean = true; /* or the batch would not be open */
	return what;
}

/* --- writing --- */

void wire_begin(struct wire_writer *w, void *buf, size_t size, const char *node, uint64_t boot,
		uint64_t first)
{
	size_t node_len = strlen(node);

	*w = (struct wire_writer){.buf = buf, .size = size, .len = WIRE_HEAD_SIZE + node_len};
	memcpy(w->buf, wire_magic, sizeof(wire_magic));
	w->buf[4] = WIRE_VERSION;
	w->buf[5] = 0;
	w->buf[6] = (unsigned char)node_len;
	w->buf[7] = 0;
	wire_put64(w->buf + 8, boot);
	wire_put64(w->buf + 16, first);
	memcpy(w->buf + WIRE_HEAD_SIZE, node, node_len);
}

static bool wire_put(struct wire_writer *w, const struct speech_event *e)
{
	size_t len = WIRE_LINE_SIZE + e->nick_len + e->text_len;
	if (len > w->size - w->len)
		return false;
	unsigned char *p = w->buf + w->len;
	wire_put32(p, (uint32_t)(len - 4));
	p[4] = e->kind;
	p[5] = e->raw ? WIRE_RAW : 0;
	p[6] = e->nick_len;
	p[7] = 0;
	wire_put64(p + 8, e->sender);
	wire_put64(p + 16, e->time_us);
	memcpy(p + WIRE_LINE_SIZE, e->nick, e->nick_len);
	memcpy(p + WIRE_LINE_SIZE + e->nick_len, e->text, e->text_len);
	w->len += len;
	w->count++;
	return true;
}

bool wire_add_nothing(struct wire_writer *w)
{
	return wire_put(w, &(const struct speech_event){.kind = WIRE_NOTHING, .nick = "", .text = ""});
}

bool wire_add(struct wire_writer *w, const struct speech_event *e)
{
	return wire_says(e) ? wire_put(w, e) : wire_add_nothing(w);
}

size_t wire_end(struct wire_writer *w)
{
	wire_put32(w->buf + 24, w->count);
	return w->count > 0 ? w->len : 0;
}

/* --- words --- */

bool wire_words(const char *text, size_t len, char *copy, size_t size, char *words[static 4], char **ret_rest)
{
	char *at = copy;

	if (len >= size || memchr(text, '\0', len))
		return false;
	memcpy(copy, text, len);
	copy[len] = '\0';
	for (int i = 0; i < 4; i++)
		if (!(words[i] = strsep(&at, " ")) || !*words[i])
			return false;
	*ret_rest = at;
	return true;
}

/* --- names of rooms --- */

const char *wire_token(const char *room, char ret[static WIRE_TOKEN_MAX])
{
	char *p = ret;

	for (size_t i = 0; i < TEXT_ROOM_MAX && room[i]; i++) {
		unsigned char c = (unsigned char)room[i];
		if (wire_is_plain(c)) {
			*p++ = (char)c;
		} else {
			*p++ = '=';
			*p++ = wire_digits[c >> 4];
			*p++ = wire_digits[c & 15];
		}
	}
	*p = '\0';
	return ret;
}

/* The byte of "=XX"; -1: it isn't that, or one that stands as it is. */
static int wire_escaped(const char *s, size_t len)
{
	const char *high = len >= 3 && s[1] ? strchr(wire_digits, s[1]) : NULL;
	const char *low = len >= 3 && s[2] ? strchr(wire_digits, s[2]) : NULL;

	if (!high || !low)
		return -1;
	int c = (int)((high - wire_digits) << 4 | (low - wire_digits));
	return wire_is_plain((unsigned char)c) ? -1 : c;
}

bool wire_room(const char *token, size_t len, char ret[static TEXT_ROOM_MAX + 1])
{
	size_t n = 0;

	for (size_t i = 0; i < len; n++) {
		int c = token[i] == '=' ? wire_escaped(token + i, len - i) : token[i];
		if (n == TEXT_ROOM_MAX || c < 0 || (c == token[i] && !wire_is_plain((unsigned char)c)))
			return false;
		ret[n] = (char)c;
		i += token[i] == '=' ? 3 : 1;
	}
	ret[n] = '\0';
	return text_room_valid(ret, n);
}
