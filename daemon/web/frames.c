/* SPDX-License-Identifier: MIT */
/*
 * Frames are walked from the beginning of the buffer each time, header by header: so nothing has to be remembered, and a
 * process that finds the same bytes goes on. The payload is touched once, when the message is whole.
 */
#include "daemon/web/frames.h"

#include "common/text.h"

#include <string.h>

#define FRAMES_MASK 4

struct frames_frame {
	unsigned opcode;
	bool last;
	size_t header; /* with the mask */
	size_t len;    /* of the payload */
};

/* --- one frame --- */

static bool frames_is_control(unsigned opcode)
{
	return opcode & 8;
}

static const char *frames_check_opcode(const unsigned char *p, bool within)
{
	unsigned opcode = p[0] & 0x0f;

	if (p[0] & 0x70)
		return "reserved bits are set";
	if (!(p[1] & 0x80))
		return "a client's frames are masked";
	if (frames_is_control(opcode)) {
		if (opcode > FRAMES_PONG)
			return "reserved opcode";
		if (!(p[0] & 0x80))
			return "a control frame has no fragments";
		return (p[1] & 0x7f) > FRAMES_CONTROL_MAX ? "a control frame has at most 125 bytes" : NULL;
	}
	if (opcode > FRAMES_BINARY)
		return "reserved opcode";
	if (within != (opcode == FRAMES_CONTINUATION))
		return within ? "the message before has no end" : "there is nothing to continue";
	return NULL;
}

static uint64_t frames_number(const unsigned char *p, size_t bytes)
{
	uint64_t v = 0;

	for (size_t i = 0; i < bytes; i++)
		v = v << 8 | p[i];
	return v;
}

static enum frames_what frames_break(struct frames_found *ret, unsigned code, const char *why)
{
	ret->what = FRAMES_BROKEN;
	ret->code = code;
	ret->why = why;
	return FRAMES_BROKEN;
}

/* The header at data. left: how much more the message may have. Not FRAMES_UNFINISHED or _BROKEN: the header is whole. */
static enum frames_what frames_parse(const char *data, size_t len, bool within, size_t left,
				     struct frames_frame *f, struct frames_found *ret)
{
	const unsigned char *p = (const unsigned char *)data;
	const char *why = len >= 2 ? frames_check_opcode(p, within) : NULL;

	if (why)
		return frames_break(ret, FRAMES_PROTOCOL, why);
	if (len < 2)
		return FRAMES_UNFINISHED;
	size_t more = (p[1] & 0x7f) == 127 ? 8 : (p[1] & 0x7f) == 126 ? 2 : 0;
	if (len < 2 + more)
		return FRAMES_UNFINISHED;
	uint64_t n = more ? frames_number(p + 2, more) : p[1] & 0x7f;
	if (n >> 63 || (more == 2 && n < 126) || (more == 8 && n <= UINT16_MAX))
		return frames_break(ret, FRAMES_PROTOCOL, "a length has as few bytes as it needs");
	f->opcode = p[0] & 0x0f;
	f->last = p[0] & 0x80;
	if (!frames_is_control(f->opcode) && n > left)
		return frames_break(ret, FRAMES_TOO_LONG, "the message is too long");
	f->header = 2 + more + FRAMES_MASK;
	f->len = (size_t)n;
	return len < f->header ? FRAMES_UNFINISHED : FRAMES_FOUND_MESSAGE;
}

/* Undoes the mask, eight bytes at a time. */
static void frames_unmask(char *to, const char *from, size_t len, const char *mask)
{
	uint64_t word, key;
	size_t i = 0;

	memcpy(&key, mask, FRAMES_MASK);
	memcpy((char *)&key + FRAMES_MASK, mask, FRAMES_MASK);
	for (; i + sizeof(word) <= len; i += sizeof(word)) {
		memcpy(&word, from + i, sizeof(word));
		word ^= key;
		memcpy(to + i, &word, sizeof(word));
	}
	for (; i < len; i++)
		to[i] = (char)(from[i] ^ mask[i % FRAMES_MASK]);
}

/* --- control frames --- */

/* Those that may stand in a frame: not the ones that mean that there was none. */
static bool frames_is_code(unsigned code)
{
	if (code >= 3000)
		return code < 5000;
	return code >= 1000 && code <= 1014 && code != 1004 && code != 1005 && code != 1006;
}

static void frames_read_close(struct frames_found *ret)
{
	ret->code = FRAMES_NO_CODE;
	if (ret->len == 0)
		return;
	if (ret->len == 1) {
		frames_break(ret, FRAMES_PROTOCOL, "a close code has two bytes");
		return;
	}
	unsigned code = (unsigned)frames_number((const unsigned char *)ret->payload, 2);
	if (!frames_is_code(code))
		frames_break(ret, FRAMES_PROTOCOL, "there is no such close code");
	else if (!text_is_utf8(ret->payload + 2, ret->len - 2))
		frames_break(ret, FRAMES_NOT_UTF8, "that is not UTF-8");
	else
		ret->code = code;
}

static void frames_read_control(const char *data, size_t at, const struct frames_frame *f,
				struct frames_found *ret)
{
	const char *frame = data + at;

	ret->what = FRAMES_FOUND_CONTROL;
	ret->opcode = f->opcode;
	ret->at = at;
	ret->size = f->header + f->len;
	ret->len = f->len;
	frames_unmask(ret->payload, frame + f->header, f->len, frame + f->header - FRAMES_MASK);
	if (f->opcode == FRAMES_CLOSE)
		frames_read_close(ret);
}

/* --- messages --- */

void frames_find(const char *data, size_t len, size_t max, struct frames_found *ret)
{
	struct frames_frame f = {0};
	bool within = false;

	*ret = (struct frames_found){.what = FRAMES_UNFINISHED};
	for (size_t at = 0; at < len; at += f.header + f.len) {
		enum frames_what what = frames_parse(data + at, len - at, within, max - ret->len, &f, ret);
		if (what != FRAMES_FOUND_MESSAGE || f.len > len - at - f.header)
			return;
		if (frames_is_control(f.opcode)) {
			if (f.opcode == FRAMES_PONG && at > 0)
				continue;
			frames_read_control(data, at, &f, ret);
			return;
		}
		if (!within)
			ret->opcode = f.opcode;
		within = true;
		ret->len += f.len;
		if (f.last) {
			ret->what = FRAMES_FOUND_MESSAGE;
			ret->size = at + f.header + f.len;
			return;
		}
	}
}

void frames_copy(const char *data, const struct frames_found *found, char *to)
{
	struct frames_found ignored;
	struct frames_frame f = {0};

	for (size_t at = 0; at < found->size; at += f.header + f.len) {
		const char *frame = data + at;
		if (frames_parse(frame, found->size - at, at > 0, found->len, &f, &ignored) !=
		    FRAMES_FOUND_MESSAGE)
			return;
		if (frames_is_control(f.opcode))
			continue;
		frames_unmask(to, frame + f.header, f.len, frame + f.header - FRAMES_MASK);
		to += f.len;
	}
}

/* --- what is sent --- */

size_t frames_header(char *to, enum frames_opcode opcode, size_t len)
{
	size_t more = len > UINT16_MAX ? 8 : len > 125 ? 2 : 0;

	to[0] = (char)(0x80 | opcode);
	to[1] = (char)(more == 8 ? 127 : more == 2 ? 126 : len);
	for (size_t i = 0; i < more; i++)
		to[2 + i] = (char)((uint64_t)len >> (8 * (more - 1 - i)));
	return 2 + more;
}

size_t frames_close(char to[static FRAMES_CLOSE_MAX], unsigned code, const char *why)
{
	size_t len = why ? strlen(why) : 0;

	if (code == FRAMES_NO_CODE)
		return frames_header(to, FRAMES_CLOSE, 0);
	if (len > FRAMES_CONTROL_MAX - 2)
		len = FRAMES_CONTROL_MAX - 2;
	size_t n = frames_header(to, FRAMES_CLOSE, 2 + len);
	to[n++] = (char)(code >> 8);
	to[n++] = (char)code;
	if (len > 0)
		memcpy(to + n, why, len);
	return n + len;
}
