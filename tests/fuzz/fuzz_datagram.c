/* SPDX-License-Identifier: MIT */
/*
 * Datagrams at two registries: one trusts the address, the other one wants a proof that is never given. Each
 * byte of the input says to which of them and how much of what follows is one datagram. Answers are lines;
 * whoever gave no proof gets no more bytes than it sent. A byte 1 to the first one is the last proof that it gave, so that
 * #HISTORY is read to its end.
 */
#include "tests/fuzz/fuzz.h"

#include "tests/harness.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const char config[] =
    "workers = 1; max_message = 100; rooms = ( { name = \"lobby\"; }, { name = \"raw\"; format = \"raw\"; } "
    ");"
    "listeners = ( { name = \"a\"; type = \"udp\"; mode = \"registry\"; listen = \"127.0.0.1:1\"; },"
    "{ name = \"b\"; type = \"udp\"; mode = \"registry\"; listen = \"127.0.0.1:2\"; trusted = (); room = "
    "\"raw\"; } );";

static char cookie[9];

/* With the proof in the place of each byte 1. */
static size_t prove(const uint8_t *data, size_t n, char ret[1024])
{
	size_t len = 0;

	for (size_t i = 0; i < n; i++) {
		if (data[i] != 1) {
			ret[len++] = (char)data[i];
			continue;
		}
		memcpy(ret + len, cookie, strlen(cookie));
		len += strlen(cookie);
	}
	return len;
}

static void take_cookie(const char *answer, ssize_t n)
{
	if (n >= 16 && memcmp(answer, "#COOKIE ", 8) == 0)
		memcpy(cookie, answer + 8, 8);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct harness *h = harness_new(config);
	int fds[2];

	for (unsigned i = 0; i < 2; i++) {
		struct sockaddr_in a = {.sin_family = AF_INET,
					.sin_port = htons(harness_listen(h, i)),
					.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
		fds[i] = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		if (connect(fds[i], (struct sockaddr *)&a, sizeof(a)) < 0)
			abort();
	}
	while (size > 0) {
		size_t n = *data >> 1;
		unsigned which = *data & 1;
		char answer[4096], text[1024];
		ssize_t r;
		data++;
		size--;
		if (n > size)
			n = size;
		size_t len = which == 0 ? prove(data, n, text) : n;
		if (send(fds[which], which == 0 ? (const void *)text : data, len, 0) < 0)
			abort();
		data += n;
		size -= n;
		harness_settle(h);
		while ((r = recv(fds[which], answer, sizeof(answer), 0)) >= 0) {
			if (which == 1)
				REQUIRE((size_t)r <= n);
			else
				REQUIRE(r > 0 && answer[r - 1] == '\n' &&
					!memchr(answer, '\n', (size_t)r - 1));
			if (which == 0)
				take_cookie(answer, r);
		}
	}
	close(fds[0]);
	close(fds[1]);
	harness_free(h);
	return 0;
}
