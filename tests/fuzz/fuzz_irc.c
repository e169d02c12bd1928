/* SPDX-License-Identifier: MIT */
/*
 * Lines of IRC with their tags: whatever comes, what is found lies within the line, and means what was there.
 *
 * Behind a first line that is empty they are what two clients say, who have not registered at first: those with '>' in front come
 * from the second one, and at "!" chatd dies. Whatever they say, what they get is lines of IRC.
 */
#include "tests/fuzz/fuzz.h"

#include "common/text.h"
#include "daemon/irc/line.h"
#include "tests/harness.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void require_within(struct irc_arg a, const char *data, size_t len)
{
	REQUIRE(a.len == 0 || (a.at >= data && a.at + a.len <= data + len));
	REQUIRE(a.len == 0 ||
		(!memchr(a.at, '\n', a.len) && !memchr(a.at, '\r', a.len) && !memchr(a.at, 0, a.len)));
}

static void check_line(const struct irc_line *l, const char *data, size_t len)
{
	require_within(l->tags, data, len);
	require_within(l->source, data, len);
	require_within(l->command, data, len);
	REQUIRE(l->n_params <= IRC_PARAMS_MAX);
	REQUIRE(!l->tags.at || !memchr(l->tags.at, ' ', l->tags.len));
	REQUIRE(!l->command.at || !memchr(l->command.at, ' ', l->command.len));
	for (unsigned i = 0; i < l->n_params; i++) {
		const struct irc_arg *a = &l->params[i];
		struct irc_arg piece;
		size_t at = 0, sum = 0;

		require_within(*a, data, len);
		if (i + 1 < l->n_params)
			REQUIRE(a->len > 0 && !memchr(a->at, ' ', a->len) && a->at[0] != ':');
		while (irc_arg_next(*a, &at, &piece)) {
			require_within(piece, a->at, a->len);
			REQUIRE(piece.len > 0 && !memchr(piece.at, ',', piece.len));
			sum += piece.len;
		}
		REQUIRE(sum <= a->len);
	}
}

/* What a tag is, unescaped and escaped, is what it is. */
static void check_tags(struct irc_arg tags)
{
	static char value[8192], escaped[16384], tag[16384 + 2], again[8192];
	struct irc_arg whole;
	char key[64];

	for (size_t at = 0; irc_tag_next_client(tags, &at, &whole);) {
		require_within(whole, tags.at, tags.len);
		REQUIRE(whole.len > 1 && whole.at[0] == '+' && text_is_utf8(whole.at, whole.len));
		REQUIRE(!memchr(whole.at, ';', whole.len) && !memchr(whole.at, ' ', whole.len));
		const char *equals = memchr(whole.at, '=', whole.len);
		size_t n = equals ? (size_t)(equals - whole.at) : whole.len;
		if (n >= sizeof(key))
			continue;
		memcpy(key, whole.at, n);
		key[n] = '\0';
		REQUIRE(irc_tag_get(tags, key, value, sizeof(value)) == 0);
		size_t len = irc_tag_escape(escaped, sizeof(escaped), value, strlen(value));
		REQUIRE(len == strlen(escaped) && len < sizeof(escaped));
		REQUIRE(!strpbrk(escaped, "; \r\n"));
		int k = snprintf(tag, sizeof(tag), "k=%s", escaped);
		REQUIRE(irc_tag_get((struct irc_arg){tag, (size_t)k}, "k", again, sizeof(again)) == 0);
		REQUIRE(strcmp(value, again) == 0);
	}
}

static void check_alone(const uint8_t *data, size_t size)
{
	struct irc_line line;
	/* On the heap, so that a look behind it is seen. */
	char *copy = malloc(size ? size : 1);

	memcpy(copy, data, size);
	int r = irc_line_parse(copy, size, &line);
	REQUIRE(r == 0 || r == -EINVAL || r == -E2BIG || r == -EMSGSIZE);
	check_line(&line, copy, size);
	if (r == 0) {
		REQUIRE(line.command.len > 0 && line.tags.len <= IRC_TAGS_DATA_MAX && size <= IRC_INPUT_MAX);
		check_tags(line.tags);
	}
	free(copy);
}

/* --- what clients say --- */

static const char config[] =
    "workers = 1; rooms = (); server_name = \"s.x\"; admin = ( \"a\" ); operators = ( { name = \"o\"; "
    "password = \"p\"; } );"
    "limits: { max_clients = 16; max_rooms = 8; lines_per_second = 0; commands_per_second = 0; "
    "nick_changes_per_minute = 0; "
    "joins_per_minute = 0; };"
    "listeners = ( { name = \"test\"; type = \"tcp\"; mode = \"irc\"; listen = \"127.0.0.1:1\"; } );";

struct peer {
	int fd;
	char in[1 << 19];
	size_t len;
};

/* The server's: tags may be more than a client's, and there is an answer in each. */
static void check_answer(const char *line, size_t len)
{
	const char *body = line;

	REQUIRE(len > 0 && !memchr(line, 0, len) && !memchr(line, '\r', len) && text_is_utf8(line, len));
	if (*line == '@') {
		body = memchr(line, ' ', len);
		REQUIRE(body && body - line <= IRC_TAGS_MAX);
		body++;
	}
	size_t n = len - (size_t)(body - line);
	REQUIRE(n > 0 && n <= IRC_BODY_MAX - 2);
	const char *word = *body == ':' ? memchr(body, ' ', n) : body - 1;
	REQUIRE(word && word + 1 < line + len && word[1] != ' ' && word[1] != ':');
}

static void look(struct peer *p)
{
	ssize_t n;
	size_t at = 0;

	while ((n = recv(p->fd, p->in + p->len, sizeof(p->in) - p->len, MSG_DONTWAIT)) > 0)
		p->len += (size_t)n;
	for (char *end; (end = memchr(p->in + at, '\n', p->len - at)); at = (size_t)(end + 1 - p->in)) {
		REQUIRE(end > p->in + at && end[-1] == '\r');
		check_answer(p->in + at, (size_t)(end - 1 - p->in) - at);
	}
	memmove(p->in, p->in + at, p->len - at);
	p->len -= at;
}

static void check_session(const char *data, size_t size)
{
	static struct peer peers[2];
	const struct linger at_once = {1, 0};
	struct harness *h = harness_new(config);
	struct takeover taken;
	unsigned deaths = 0;

	REQUIRE(h);
	for (unsigned i = 0; i < 2; i++) {
		peers[i].fd = harness_connect(h, "tcp", "irc", "");
		peers[i].len = 0;
		setsockopt(peers[i].fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	}
	while (size > 0) {
		const char *end = memchr(data, '\n', size);
		size_t n = end ? (size_t)(end + 1 - data) : size;
		bool second = *data == '>';

		if (*data == '!' && n == 2 && deaths++ < 3)
			REQUIRE(harness_crash(h, NULL, NULL, &taken) == 0 && taken.closed == 0);
		else
			(void)!send(peers[second].fd, data + second, n - second, MSG_NOSIGNAL);
		data += n;
		size -= n;
		harness_settle(h);
		look(&peers[0]);
		look(&peers[1]);
	}
	close(peers[0].fd);
	close(peers[1].fd);
	harness_settle(h);
	harness_free(h);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	signal(SIGHUP, SIG_IGN); /* REHASH */
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size > 0 && *data == '\n')
		check_session((const char *)data + 1, size - 1);
	else
		check_alone(data, size);
	return 0;
}
