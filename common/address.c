/* SPDX-License-Identifier: MIT */
/* Both families become the same 16 bytes where addresses are compared or counted. */
#include "common/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int address_parse_number(const char *s, unsigned long max, unsigned long *ret)
{
	unsigned long v = 0;

	if (!*s)
		return -EINVAL;
	for (; *s; s++) {
		if (*s < '0' || *s > '9')
			return -EINVAL;
		v = v * 10 + (unsigned long)(*s - '0');
		if (v > max)
			return -EINVAL;
	}
	*ret = v;
	return 0;
}

int address_parse(const char *s, union address *ret)
{
	char host[INET6_ADDRSTRLEN];
	unsigned long port;
	const char *end, *begin = s;
	bool bracketed = *s == '[';
	union address a;

	if (bracketed) {
		begin = s + 1;
		end = strchr(begin, ']');
		if (!end || end[1] != ':')
			return -EINVAL;
		s = end + 2;
	} else {
		end = strchr(s, ':');
		if (!end)
			return -EINVAL;
		s = end + 1;
	}
	size_t n = (size_t)(end - begin);
	if (n >= sizeof(host) || address_parse_number(s, 65535, &port) < 0 || port == 0)
		return -EINVAL;
	memcpy(host, begin, n);
	host[n] = '\0';

	memset(&a, 0, sizeof(a));
	if (bracketed) {
		a.in6.sin6_family = AF_INET6;
		a.in6.sin6_port = htons((uint16_t)port);
		if (inet_pton(AF_INET6, host, &a.in6.sin6_addr) != 1)
			return -EINVAL;
	} else {
		a.in.sin_family = AF_INET;
		a.in.sin_port = htons((uint16_t)port);
		if (inet_pton(AF_INET, host, &a.in.sin_addr) != 1)
			return -EINVAL;
	}
	*ret = a;
	return 0;
}

char *address_format(const union address *a, char dst[static ADDRESS_TEXT_MAX])
{
	char host[INET6_ADDRSTRLEN];

	if (a->sa.sa_family == AF_INET) {
		inet_ntop(AF_INET, &a->in.sin_addr, host, sizeof(host));
		snprintf(dst, ADDRESS_TEXT_MAX, "%s:%u", host, ntohs(a->in.sin_port));
	} else if (a->sa.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&a->in6.sin6_addr)) {
		inet_ntop(AF_INET, a->in6.sin6_addr.s6_addr + 12, host, sizeof(host));
		snprintf(dst, ADDRESS_TEXT_MAX, "%s:%u", host, ntohs(a->in6.sin6_port));
	} else if (a->sa.sa_family == AF_INET6) {
		inet_ntop(AF_INET6, &a->in6.sin6_addr, host, sizeof(host));
		if (a->in6.sin6_scope_id)
			snprintf(dst, ADDRESS_TEXT_MAX, "[%s%%%u]:%u", host, a->in6.sin6_scope_id,
				 ntohs(a->in6.sin6_port));
		else
			snprintf(dst, ADDRESS_TEXT_MAX, "[%s]:%u", host, ntohs(a->in6.sin6_port));
	} else {
		snprintf(dst, ADDRESS_TEXT_MAX, "?");
	}
	return dst;
}

char *address_host(const union address *a, char dst[static ADDRESS_TEXT_MAX])
{
	struct prefix p = {.bits = 128};

	if (a->sa.sa_family != AF_INET && a->sa.sa_family != AF_INET6)
		return address_format(a, dst);
	address_key(a, p.bytes);
	return prefix_format(&p, dst);
}

char *address_peer(const union address *a, char dst[static ADDRESS_TEXT_MAX])
{
	size_t n = strlen(address_host(a, dst));

	snprintf(dst + n, ADDRESS_TEXT_MAX - n, " port %u", address_port(a));
	return dst;
}

socklen_t address_len(const union address *a)
{
	return a->sa.sa_family == AF_INET ? sizeof(a->in) : sizeof(a->in6);
}

uint16_t address_port(const union address *a)
{
	return ntohs(a->sa.sa_family == AF_INET ? a->in.sin_port : a->in6.sin6_port);
}

bool address_equal(const union address *a, const union address *b)
{
	if (a->sa.sa_family != b->sa.sa_family)
		return false;
	if (a->sa.sa_family == AF_INET)
		return a->in.sin_port == b->in.sin_port && a->in.sin_addr.s_addr == b->in.sin_addr.s_addr;
	return a->in6.sin6_port == b->in6.sin6_port && a->in6.sin6_scope_id == b->in6.sin6_scope_id &&
	       memcmp(&a->in6.sin6_addr, &b->in6.sin6_addr, 16) == 0;
}

static const uint8_t v4_mapped[12] = {[10] = 0xff, [11] = 0xff};

void address_key(const union address *a, uint8_t ret[static 16])
{
	if (a->sa.sa_family == AF_INET) {
		memcpy(ret, v4_mapped, 12);
		memcpy(ret + 12, &a->in.sin_addr, 4);
	} else {
		memcpy(ret, &a->in6.sin6_addr, 16);
	}
}

void address_site(const union address *a, uint8_t ret[static ADDRESS_KEY_LEN])
{
	address_key(a, ret);
	if (memcmp(ret, v4_mapped, 12) != 0)
		memset(ret + 8, 0, 8);
}

/* Whether one is all addresses, of IPv4 or of both, and the other is of them. */
static bool address_covers(const uint8_t all[static 16], const uint8_t key[static 16])
{
	static const uint8_t zero[16];

	return memcmp(all, zero, 16) == 0 ||
	       (memcmp(all, v4_mapped, 12) == 0 && memcmp(all + 12, zero, 4) == 0 &&
		memcmp(key, v4_mapped, 12) == 0);
}

bool address_overlaps(const union address *a, const union address *b)
{
	uint8_t ka[16], kb[16];

	if (address_port(a) != address_port(b))
		return false;
	address_key(a, ka);
	address_key(b, kb);
	return memcmp(ka, kb, 16) == 0 || address_covers(ka, kb) || address_covers(kb, ka);
}

int prefix_parse(const char *s, struct prefix *ret)
{
	char host[INET6_ADDRSTRLEN];
	const char *slash = strchr(s, '/');
	size_t n = slash ? (size_t)(slash - s) : strlen(s);
	unsigned long bits;
	struct prefix p;
	unsigned width;

	if (n >= sizeof(host))
		return -EINVAL;
	memcpy(host, s, n);
	host[n] = '\0';

	if (inet_pton(AF_INET, host, p.bytes + 12) == 1) {
		memcpy(p.bytes, v4_mapped, 12);
		width = 32;
	} else if (inet_pton(AF_INET6, host, p.bytes) == 1) {
		width = 128;
	} else {
		return -EINVAL;
	}
	bits = width;
	if (slash && address_parse_number(slash + 1, width, &bits) < 0)
		return -EINVAL;
	p.bits = (unsigned)bits + (128 - width);
	for (unsigned i = p.bits; i < 128; i++)
		p.bytes[i / 8] &= (uint8_t) ~(0x80 >> i % 8);
	*ret = p;
	return 0;
}

bool prefix_equal(const struct prefix *a, const struct prefix *b)
{
	return a->bits == b->bits && memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

char *prefix_format(const struct prefix *p, char dst[static ADDRESS_TEXT_MAX])
{
	bool v4 = p->bits >= 96 && memcmp(p->bytes, v4_mapped, 12) == 0;
	char host[INET6_ADDRSTRLEN] = "?";

	inet_ntop(v4 ? AF_INET : AF_INET6, p->bytes + (v4 ? 12 : 0), host, sizeof(host));
	if (p->bits == 128)
		snprintf(dst, ADDRESS_TEXT_MAX, "%s", host);
	else
		snprintf(dst, ADDRESS_TEXT_MAX, "%s/%u", host, p->bits - (v4 ? 96 : 0));
	return dst;
}

bool prefixes_contain(const struct prefix_list *l, const union address *a)
{
	for (size_t i = 0; i < l->n; i++)
		if (prefix_contains(&l->at[i], a))
			return true;
	return false;
}

bool prefix_contains(const struct prefix *p, const union address *a)
{
	uint8_t key[16];
	unsigned whole = p->bits / 8, rest = p->bits % 8;

	address_key(a, key);
	if (memcmp(key, p->bytes, whole) != 0)
		return false;
	return rest == 0 || ((key[whole] ^ p->bytes[whole]) >> (8 - rest)) == 0;
}
