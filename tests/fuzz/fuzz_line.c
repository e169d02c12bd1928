/* SPDX-License-Identifier: MIT */
/*
 * The chat's line protocol: two clients send pieces of the input (a byte says who and how much), and whatever
 * they send, everybody receives whole lines of clean text.
 */
#include "tests/fuzz/fuzz.h"

#include "common/text.h"
#include "daemon/io/foreign.h"
#include "tests/harness.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const char config[] =
    "workers = 1; max_message = 60; limits: { max_rooms = 8; };"
    "rooms = ( { name = \"lobby\"; history = 3; }, { name = \"raw\"; format = \"raw\"; } );";

static void check_output(const char *text)
{
	size_t len = strlen(text);

	REQUIRE(len == 0 || text[len - 1] == '\n');
	for (const char *line = text; *line;) {
		size_t n = strcspn(line, "\n");
		REQUIRE(text_is_clean(line, n));
		line += n + 1;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* A connection's first bytes; those of the harness are past them. */
	if (size > 0)
		foreign_find((const char *)data, size, size & 1, 60);
	struct harness *h = harness_new(config);
	const struct linger at_once = {1, 0};
	int fds[2];

	for (unsigned i = 0; i < 2; i++) {
		fds[i] = harness_connect(h, "tcp", "chat", "lobby");
		setsockopt(fds[i], SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	}
	harness_settle(h);
	/* Lines of a raw room are delivered as they came. */
	bool raw = memmem(data, size, "raw", 3) != NULL;
	while (size > 1) {
		size_t n = (size_t)(*data >> 1) + 1;
		int fd = fds[*data & 1];
		data++;
		size--;
		if (n > size)
			n = size;
		/* NUL in the output would cut what is looked at here. */
		if (!memchr(data, 0, n) && send(fd, data, n, MSG_NOSIGNAL) < 0)
			break; /* it has quit */
		data += n;
		size -= n;
		harness_settle(h);
		for (unsigned i = 0; i < 2; i++) {
			const char *text = harness_read(h, fds[i]);
			if (!raw)
				check_output(text);
		}
	}
	close(fds[0]);
	close(fds[1]);
	harness_settle(h);
	harness_free(h);
	return 0;
}
