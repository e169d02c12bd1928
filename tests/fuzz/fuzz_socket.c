/* SPDX-License-Identifier: MIT */
/*
 * Two WebSockets, one of each protocol: a byte says who sends, and whether what follows is the payload of a text frame or
 * bytes as they are, or that chatd dies. Whatever they send, what they get are frames, of UTF-8 and of JSON.
 */
#include "tests/fuzz/fuzz.h"

#include "common/text.h"
#include "daemon/web/frames.h"
#include "tests/harness.h"

#include <jansson.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const char config[] =
    "workers = 1; max_message = 60; limits: { max_rooms = 8; lines_per_second = 0; commands_per_second = 0; "
    "};"
    "rooms = ( { name = \"lobby\"; history = 3; }, { name = \"raw\"; format = \"raw\"; } );";

struct peer {
	int fd;
	bool json;
	unsigned char in[1 << 19];
	size_t len;
};

static void shake_hands(struct harness *h, struct peer *p)
{
	char request[512];

	p->fd = harness_connect(h, "http", "chat", "lobby");
	p->len = 0;
	int n =
	    snprintf(request, sizeof(request),
		     "GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
		     "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s\r\n",
		     p->json ? "Sec-WebSocket-Protocol: chatd.v1.json\r\n" : "");
	REQUIRE(send(p->fd, request, (size_t)n, MSG_NOSIGNAL) == n);
	harness_settle(h);
	char head[2048];
	ssize_t got = recv(p->fd, head, sizeof(head) - 1, MSG_PEEK);
	REQUIRE(got > 0);
	head[got] = '\0';
	char *end = strstr(head, "\r\n\r\n");
	REQUIRE(end && strncmp(head, "HTTP/1.1 101 ", 13) == 0);
	REQUIRE(recv(p->fd, head, (size_t)(end + 4 - head), 0) > 0);
}

/* One frame as a server may send it; 0: it isn't whole. */
static size_t check_frame(const struct peer *p, const unsigned char *f, size_t len)
{
	size_t head = 2, n;

	if (len < 2 || len < (head = f[1] == 127 ? 10 : f[1] == 126 ? 4 : 2))
		return 0;
	REQUIRE((f[0] & 0x70) == 0 && f[0] & 0x80 && !(f[1] & 0x80));
	n = f[1];
	if (head > 2) {
		n = 0;
		for (size_t i = 2; i < head; i++)
			n = n << 8 | f[i];
		REQUIRE(n > (head == 4 ? 125 : 65535));
	}
	if (len - head < n)
		return 0;
	unsigned opcode = f[0] & 15;
	REQUIRE(opcode == FRAMES_TEXT || opcode == FRAMES_PONG || opcode == FRAMES_CLOSE);
	if (opcode == FRAMES_TEXT)
		REQUIRE(text_is_utf8((const char *)f + head, n));
	if (opcode == FRAMES_TEXT && p->json) {
		json_t *o =
		    json_loadb((const char *)f + head, n, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
		REQUIRE(o && json_is_string(json_object_get(o, "type")));
		json_decref(o);
	}
	return head + n;
}

static void look(struct peer *p)
{
	ssize_t n;

	while ((n = recv(p->fd, p->in + p->len, sizeof(p->in) - p->len, MSG_DONTWAIT)) > 0)
		p->len += (size_t)n;
	size_t at = 0, size;
	while ((size = check_frame(p, p->in + at, p->len - at)) > 0)
		at += size;
	memmove(p->in, p->in + at, p->len - at);
	p->len -= at;
}

static void put(const struct peer *p, const uint8_t *data, size_t n, bool framed)
{
	char frame[2 + 4 + 64] = {(char)0x81, (char)(0x80 | n), 0, 0, 0, 0};

	if (framed) {
		memcpy(frame + 6, data, n);
		(void)!send(p->fd, frame, 6 + n, MSG_NOSIGNAL);
	} else {
		(void)!send(p->fd, data, n, MSG_NOSIGNAL);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct peer peers[2];
	const struct linger at_once = {1, 0};
	struct harness *h = harness_new(config);
	struct takeover taken;

	for (unsigned i = 0; i < 2; i++) {
		peers[i].json = i == 1;
		shake_hands(h, &peers[i]);
		setsockopt(peers[i].fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	}
	for (unsigned deaths = 0; size > 1;) {
		const struct peer *p = &peers[*data & 1];
		bool framed = *data & 2, dies = *data & 4;
		size_t n = (size_t)(*data >> 3) * 2 + 1;
		data++;
		size--;
		if (dies && deaths++ < 3)
			REQUIRE(harness_crash(h, NULL, NULL, &taken) == 0);
		if (n > size)
			n = size;
		put(p, data, n, framed);
		data += n;
		size -= n;
		harness_settle(h);
		for (unsigned i = 0; i < 2; i++)
			look(&peers[i]);
	}
	for (unsigned i = 0; i < 2; i++)
		close(peers[i].fd);
	harness_settle(h);
	harness_free(h);
	return 0;
}
