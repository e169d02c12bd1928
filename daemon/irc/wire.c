/* SPDX-License-Identifier: MIT */
/* See wire.h. */
#include "daemon/irc/wire.h"

#include "daemon/web/frames.h"

#include <string.h>

_Static_assert(FRAMES_HEADER_MAX <= IRC_WIRE_MORE, "a frame's header fits");

static enum frames_opcode wire_opcode(unsigned form)
{
	return form & IRC_FORM_BINARY ? FRAMES_BINARY : FRAMES_TEXT;
}

void irc_write_line(struct connection *c, const char *tags, size_t tags_len, const char *line, size_t len)
{
	const unsigned form = connection_form(c);
	char header[FRAMES_HEADER_MAX];

	if (form & IRC_FORM_SOCKET)
		connection_write(c, header, frames_header(header, wire_opcode(form), tags_len + len));
	connection_write(c, tags, tags_len);
	connection_write(c, line, len);
	if (!(form & IRC_FORM_SOCKET))
		connection_write(c, "\r\n", 2);
}

size_t irc_wire_finish(unsigned form, char *text, size_t at, size_t len)
{
	char header[FRAMES_HEADER_MAX];

	if (!(form & IRC_FORM_SOCKET)) {
		memcpy(text + len, "\r\n", 2);
		return len + 2;
	}
	size_t n = frames_header(header, wire_opcode(form), len - at);
	memmove(text + at + n, text + at, len - at);
	memcpy(text + at, header, n);
	return len + n;
}

void irc_write_end(struct connection *c)
{
	char frame[FRAMES_CLOSE_MAX];

	if (!(connection_form(c) & IRC_FORM_SOCKET))
		return;
	size_t n = frames_close(frame, FRAMES_NORMAL, NULL);
	if (connection_space(c) >= n)
		connection_write(c, frame, n);
}
