/* SPDX-License-Identifier: MIT */
/* The PROXY protocol's header: the text of version 1, the binary one of version 2. */
#include "daemon/io/proxy.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Section 2.1: "The maximum line lengths the receiver must support including the CRLF" */
#define V1_MAX 107
#define V2_HEAD 16

static const char v2_signature[12] = "\r\n\r\n\0\r\nQUIT\n";

static bool proxy_begins(const void *data, size_t len, const char *with, size_t with_len)
{
	return memcmp(data, with, len < with_len ? len : with_len) == 0;
}

static bool proxy_parse_port(const char *s, in_port_t *ret)
{
	char *end;

	if (s[0] < '0' || s[0] > '9' || (s[0] == '0' && s[1]))
		return false;
	unsigned long v = strtoul(s, &end, 10);
	if (*end || v > 65535)
		return false;
	*ret = htons((uint16_t)v);
	return true;
}

/* "TCP4 SOURCE DESTINATION PORT PORT", without "PROXY " and the line's end. */
static bool proxy_parse_v1_line(char *line, union address *ret)
{
	char *word[5], *save = NULL, *s = line;
	unsigned char destination[16];
	in_port_t destination_port;

	/* One space between the words, so that no word is empty. */
	if (strstr(line, "  ") || line[0] == ' ' || line[strlen(line) - 1] == ' ')
		return false;
	for (unsigned i = 0; i < 5; i++, s = NULL) {
		word[i] = strtok_r(s, " ", &save);
		if (!word[i])
			return false;
	}
	if (strtok_r(NULL, " ", &save) || !proxy_parse_port(word[4], &destination_port))
		return false;
	if (strcmp(word[0], "TCP4") == 0) {
		ret->in.sin_family = AF_INET;
		return inet_pton(AF_INET, word[1], &ret->in.sin_addr) == 1 &&
		       inet_pton(AF_INET, word[2], destination) == 1 &&
		       proxy_parse_port(word[3], &ret->in.sin_port);
	}
	if (strcmp(word[0], "TCP6") == 0) {
		ret->in6.sin6_family = AF_INET6;
		return inet_pton(AF_INET6, word[1], &ret->in6.sin6_addr) == 1 &&
		       inet_pton(AF_INET6, word[2], destination) == 1 &&
		       proxy_parse_port(word[3], &ret->in6.sin6_port);
	}
	return false;
}

static ssize_t proxy_parse_v1(const char *data, size_t len, union address *ret)
{
	size_t max = len < V1_MAX ? len : V1_MAX;
	const char *end = memmem(data, max, "\r\n", 2);
	char line[V1_MAX + 1];

	if (!end)
		return len >= V1_MAX || memchr(data, '\n', max) || memchr(data, '\0', max) ? -EBADMSG
											   : -EAGAIN;
	size_t n = (size_t)(end - data);
	if (memchr(data, '\0', n) || memchr(data, '\n', n) || n < 7)
		return -EBADMSG;
	memcpy(line, data + 6, n - 6);
	line[n - 6] = '\0';
	if (strncmp(line, "UNKNOWN", 7) == 0 && (line[7] == '\0' || line[7] == ' '))
		return (ssize_t)n + 2;
	if (proxy_parse_v1_line(line, ret))
		return (ssize_t)n + 2;
	memset(ret, 0, sizeof(*ret));
	return -EBADMSG;
}

static ssize_t proxy_parse_v2(const unsigned char *data, size_t len, union address *ret)
{
	if (len < V2_HEAD)
		return -EAGAIN;
	size_t addresses = (size_t)data[14] << 8 | data[15], all = V2_HEAD + addresses;
	unsigned command = data[12] & 0x0f, family = data[13] >> 4, transport = data[13] & 0x0f;

	if (data[12] >> 4 != 2 || command > 1 || family > 3 || transport > 2 || all > PROXY_HEADER_MAX)
		return -EBADMSG;
	if (len < all)
		return -EAGAIN;
	data += V2_HEAD;
	if (command == 0 || family == 0 || family == 3)
		return (ssize_t)all; /* LOCAL, or no Internet address */
	if (transport != 1)
		return -EBADMSG;
	if (family == 1) {
		if (addresses < 12)
			return -EBADMSG;
		ret->in.sin_family = AF_INET;
		memcpy(&ret->in.sin_addr, data, 4);
		memcpy(&ret->in.sin_port, data + 8, 2);
	} else {
		if (addresses < 36)
			return -EBADMSG;
		ret->in6.sin6_family = AF_INET6;
		memcpy(&ret->in6.sin6_addr, data, 16);
		memcpy(&ret->in6.sin6_port, data + 32, 2);
	}
	return (ssize_t)all;
}

ssize_t proxy_parse(const void *data, size_t len, union address *ret)
{
	memset(ret, 0, sizeof(*ret));
	if (len == 0)
		return -EAGAIN;
	if (proxy_begins(data, len, v2_signature, sizeof(v2_signature)))
		return proxy_parse_v2(data, len, ret);
	if (proxy_begins(data, len, "PROXY ", 6))
		return len < 6 ? -EAGAIN : proxy_parse_v1(data, len, ret);
	return -EBADMSG;
}
