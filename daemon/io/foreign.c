/* SPDX-License-Identifier: MIT */
/* Tells by the first bytes of a connection that they are an HTTP request or a TLS handshake. */
#include "daemon/io/foreign.h"

#include <string.h>

#define METHOD_MAX 20

static bool foreign_is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* METHOD SP TARGET SP HTTP/x.y, as RFC 9112 has it; of one that is too long, as much as there is. */
static bool foreign_is_request(const char *line, size_t len, bool cut)
{
	static const char version[] = "HTTP/";
	size_t method = 0, target;

	while (method < len && line[method] >= 'A' && line[method] <= 'Z')
		method++;
	if (method < 3 || method > METHOD_MAX || method == len || line[method] != ' ')
		return false;
	const char *rest = line + method + 1;
	len -= method + 1;
	for (target = 0; target < len && rest[target] != ' ';)
		target++;
	if (target == 0)
		return false;
	if (target == len)
		return cut && (rest[0] == '/' || (len > 4 && memcmp(rest, "http", 4) == 0));
	rest += target + 1;
	len -= target + 1;
	return len == sizeof(version) - 1 + 3 && memcmp(rest, version, sizeof(version) - 1) == 0 &&
	       foreign_is_digit(rest[5]) && rest[6] == '.' && foreign_is_digit(rest[7]);
}

enum foreign foreign_find(const char *data, size_t len, bool eof, size_t max)
{
	const char *newline = memchr(data, '\n', len);
	size_t n = newline ? (size_t)(newline - data) : len;

	/* A record of a handshake, of whatever version. */
	if (len >= 2 && data[0] == 0x16 && data[1] == 0x03)
		return FOREIGN_TLS;
	bool cut = !newline && len > max;
	if (!newline && !cut && !eof)
		return FOREIGN_NONE;
	if (n > 0 && data[n - 1] == '\r')
		n--;
	return foreign_is_request(data, n, cut) ? FOREIGN_HTTP : FOREIGN_NONE;
}
