/* SPDX-License-Identifier: MIT */
/*
 * Recovery: chatd dies, its state is damaged in the places that the input names, a successor takes it over.
 * Whatever was damaged, it comes up, and every client receives lines that were said, each at most once and in
 * their order, or the end of its connection. Left alone is what has no redundancy: the text of the messages,
 * and which of an entry's two states is the true one.
 */
#include "tests/fuzz/fuzz.h"

#include "daemon/base/logger.h"
#include "daemon/engine/connection.h"
#include "daemon/state/file.h"
#include "tests/harness.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CLIENTS 3
#define LINES 40
#define SCRATCHES_AT CLIENTS_HEADER_SIZE

static const char config[] =
    "workers = 1; rooms = ( { name = \"lobby\"; history = 0; announce_max = 0; log_size = "
    "\"64K\"; }, { name = \"den\"; announce_max = 0; log_size = \"64K\"; } );"
    "room_defaults: { log_size = \"64K\"; };";

struct damage {
	const uint8_t *data;
	size_t size;
	off_t clients_at, log_at;
};

/* Eight bytes a time: which file and part, where, and the new value. */
static void meddle(int rooms_fd, int clients_fd, void *arg)
{
	struct damage *d = arg;

	for (; d->size >= 8; d->data += 8, d->size -= 8) {
		uint64_t value = 0;
		off_t at = d->data[1] | (d->data[2] << 8);
		unsigned width = 1 + (d->data[0] >> 5);
		memcpy(&value, d->data + 3, 5);
		if (d->data[7] & 1)
			value = (uint64_t) - (int64_t)(value & 0xff);
		int fd = clients_fd;
		switch (d->data[0] % 6) {
		case 0: /* the header, with the origins */
			at %= 4096;
			break;
		case 1: /* entries */
			at = d->clients_at + at % (CLIENTS * 256);
			if (at % 256 > 24 - 8 && at % 256 < 28)
				at += 28 - at % 256; /* client.live */
			break;
		case 2: /* a worker's scratch, before its data */
			at = SCRATCHES_AT + at % 128;
			break;
		case 5: /* memberships */
			at = (off_t)offsetof(struct file, memberships) + at % (CLIENTS * 64);
			break;
		case 3: /* the directory of rooms */
			fd = rooms_fd;
			at %= 4096;
			break;
		default: /* a log's header and records */
			fd = rooms_fd;
			at = d->log_at + (at < 32768 ? at % 64 : 65536 + at % 4096);
		}
		if (pwrite(fd, &value, width, at) < 0)
			abort();
	}
}

/* Lines "guestN: NUMBER" must have numbers that grow, of one speaker at least; whatever else begins with "*
 * ". */
static void check_stream(const char *text, long *last)
{
	for (const char *line = text; *line;) {
		size_t n = strcspn(line, "\n");
		const char *number = memchr(line, ':', n);
		if (line[n] == '\0')
			break; /* cut by the end of the connection */
		if (!(n >= 2 && memcmp(line, "* ", 2) == 0)) {
			REQUIRE(number && number[1] == ' ');
			long v = strtol(number + 2, NULL, 10);
			REQUIRE(v > *last);
			*last = v;
		}
		line += n + 1;
	}
}

static off_t find(int fd, const void *what, size_t len, off_t from, off_t to)
{
	static uint8_t buf[1 << 16];

	for (off_t at = from; at < to; at += (off_t)(sizeof(buf) - len)) {
		ssize_t n = pread(fd, buf, sizeof(buf), at);
		const uint8_t *p = n > 0 ? memmem(buf, (size_t)n, what, len) : NULL;
		if (p)
			return at + (p - buf);
	}
	abort();
}

/* Where things are, found once by what is in them. */
static void locate(int rooms_fd, int clients_fd, void *arg)
{
	struct damage *d = arg;

	d->clients_at = (find(clients_fd, "guest1", 6, SCRATCHES_AT + 64 * 69632, 64 << 20) & ~(off_t)255);
	d->log_at = find(rooms_fd, "chatdlog", 8, 65536, 64 << 20);
	/* The private log's comes first; the lobby's is the next one. */
	d->log_at = find(rooms_fd, "chatdlog", 8, d->log_at + 8, 64 << 20);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct damage where;
	struct harness *h = harness_new(config);
	const struct linger at_once = {1, 0};
	struct takeover result;
	long last[CLIENTS] = {0};
	char line[32];
	int fds[CLIENTS];

	if (!h)
		abort();
	for (unsigned i = 0; i < CLIENTS; i++) {
		fds[i] = harness_connect(h, "tcp", "chat", "lobby");
		setsockopt(fds[i], SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	}
	harness_settle(h);
	for (int k = 1; k <= LINES; k++) {
		snprintf(line, sizeof(line), "%d\n", k);
		if (send(fds[k % CLIENTS], line, strlen(line), MSG_NOSIGNAL) < 0)
			abort();
		/* On a busy machine the kernel may bring it later than the next client's. */
		for (int tries = 0; last[0] < k && tries < 2000; tries++) {
			if (tries > 0)
				usleep(1000);
			harness_settle(h);
			check_stream(harness_read(h, fds[0]), &last[0]);
		}
	}
	for (unsigned i = 1; i < CLIENTS; i++)
		check_stream(harness_read(h, fds[i]), &last[i]);
	for (unsigned i = 0; i < CLIENTS; i++)
		REQUIRE(last[i] == LINES);
	/* Half a line is under way when it dies. */
	if (send(fds[0], "4", 1, MSG_NOSIGNAL) < 0)
		abort();
	harness_settle(h);
	if (where.log_at == 0)
		REQUIRE(harness_crash(h, locate, &where, &result) == 0 && result.taken == CLIENTS);

	struct damage d = where;
	d.data = data;
	d.size = size;
	int r = harness_crash(h, meddle, &d, &result);
	if (r == 0) {
		harness_settle(h);
		if (send(fds[0], "1\n", 2, MSG_NOSIGNAL) < 0 || send(fds[1], "42\n", 3, MSG_NOSIGNAL) < 0)
			r = 1; /* one of them has been closed */
		harness_settle(h);
		for (unsigned i = 0; i < CLIENTS; i++)
			check_stream(harness_read(h, fds[i]), &last[i]);
		if (size < 8)
			REQUIRE(r == 0 && result.taken == CLIENTS && last[0] == 42 && last[2] == 42);
	}
	for (unsigned i = 0; i < CLIENTS; i++)
		close(fds[i]);
	harness_free(h);
	return 0;
}
