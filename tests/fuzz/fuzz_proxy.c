/* SPDX-License-Identifier: MIT */
/* The PROXY protocol's header: what is taken doesn't depend on the pieces it comes in. */
#include "tests/fuzz/fuzz.h"

#include "daemon/io/proxy.h"

#include <errno.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	union address a, b;
	ssize_t n = proxy_parse(data, size, &a);

	REQUIRE(n == -EAGAIN || n == -EBADMSG || (n > 0 && (size_t)n <= size && n <= PROXY_HEADER_MAX));
	REQUIRE(n > 0 || a.sa.sa_family == 0);
	REQUIRE(a.sa.sa_family == 0 || a.sa.sa_family == AF_INET || a.sa.sa_family == AF_INET6);
	for (size_t i = 0; i < size; i++) {
		/* On the heap, so that a look behind it is seen. */
		char *piece = malloc(i ? i : 1);
		memcpy(piece, data, i);
		ssize_t m = proxy_parse(piece, i, &b);
		free(piece);
		if (n > 0 && i < (size_t)n)
			REQUIRE(m == -EAGAIN);
		else if (n > 0)
			REQUIRE(m == n && memcmp(&a, &b, sizeof(a)) == 0);
		else if (n == -EAGAIN)
			REQUIRE(m == -EAGAIN);
		else
			REQUIRE(m < 0);
	}
	return 0;
}
