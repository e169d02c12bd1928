/* SPDX-License-Identifier: MIT */
/* Internet addresses as people write them: "127.0.0.1:5050", "[::]:5050", "10.0.0.0/8". No name look-ups. */
#ifndef COMMON_ADDRESS_H
#define COMMON_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

union address {
	struct sockaddr sa;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
};

/* Longest text of address_format(): "[" IPv6 "%" scope "]:" port NUL. */
#define ADDRESS_TEXT_MAX 72

struct prefix {
	uint8_t bytes[16]; /* IPv4 as ::ffff:a.b.c.d; 0 beyond bits */
	unsigned bits;	   /* 0-128 */
};

/* Reads "IPv4:PORT" or "[IPv6]:PORT" (RFC 3986 brackets), port 1-65535. Returns 0 or -EINVAL. */
int address_parse(const char *s, union address *ret);

/* Writes "IPv4:PORT" or "[IPv6]:PORT"; an IPv4-mapped IPv6 address is shown as IPv4. Returns dst. */
char *address_format(const union address *a, char dst[static ADDRESS_TEXT_MAX]);

/* The same without the port: "192.0.2.7", "2001:db8::1"; and as a person says it, "192.0.2.7 port 40022".
 * Both return dst. */
char *address_host(const union address *a, char dst[static ADDRESS_TEXT_MAX]);
char *address_peer(const union address *a, char dst[static ADDRESS_TEXT_MAX]);

socklen_t address_len(const union address *a);
uint16_t address_port(const union address *a);
bool address_equal(const union address *a, const union address *b);
/* Whether only one of them can be bound, as [::] is all addresses of its port, IPv4's as well. */
bool address_overlaps(const union address *a, const union address *b);

/* The address without its port as 16 bytes (IPv4 as ::ffff:a.b.c.d), so that both families count alike. */
#define ADDRESS_KEY_LEN 16
void address_key(const union address *a, uint8_t ret[static ADDRESS_KEY_LEN]);
/* The same for whoever it belongs to: an IPv6 host owns a whole /64, so that counts as one. */
void address_site(const union address *a, uint8_t ret[static ADDRESS_KEY_LEN]);

/* Reads "ADDRESS/BITS" or "ADDRESS". Returns 0 or -EINVAL. */
int prefix_parse(const char *s, struct prefix *ret);
bool prefix_contains(const struct prefix *p, const union address *a);
bool prefix_equal(const struct prefix *a, const struct prefix *b);
/* Writes "ADDRESS", or "ADDRESS/BITS" if it is more than one address. Returns dst. */
char *prefix_format(const struct prefix *p, char dst[static ADDRESS_TEXT_MAX]);

struct prefix_list {
	struct prefix *at;
	size_t n;
};
bool prefixes_contain(const struct prefix_list *l, const union address *a);

#endif
