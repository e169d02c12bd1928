/* SPDX-License-Identifier: MIT */
/* A listener of type "http", against a worker that is turned by hand: requests, whose words count, and streams that go on. */
#include "tests/unit/unit.h"

#include "tests/unit/harnessed.h"

#include "common/tokens.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static char token[TOKEN_TEXT_SIZE];
static char path[] = "/tmp/chatd-test-tokens-XXXXXX";

static int setup(void **state)
{
	char hash[TOKEN_HASH_SIZE], config[1024];
	int fd = mkstemp(strcpy(path, "/tmp/chatd-test-tokens-XXXXXX"));
	FILE *f = fdopen(fd, "w");

	token_make(token, hash);
	fprintf(f, "bot:%s:lobby=read,speak news=read,speak board=read\n", hash);
	fclose(f);
	snprintf(
	    config, sizeof(config),
	    "workers = 1; limits: { commands_per_second = 0; }; rooms = ( { name = \"lobby\"; history = 10; "
	    "}, { name = \"news\"; read_only = "
	    "true; },"
	    "{ name = \"quiet\"; history = 0; }, { name = \"raw\"; format = \"raw\"; },"
	    "{ name = \"board\"; members = ( \"alice\" ); } );"
	    "listeners = ( { name = \"test\"; type = \"http\"; mode = \"chat\"; listen = \"127.0.0.1:5080\"; "
	    "token_file = \"%s\"; origins = ( \"https://Example.org:8443\" ); hosts = ( \"chat.test\" ); } "
	    ");",
	    path);
	int r = harnessed(state, config);
	unlink(path);
	return r;
}

static const char *ask(struct harness *h, int fd, const char *line, const char *headers, const char *body)
{
	static char text[4096];

	snprintf(text, sizeof(text), "%s HTTP/1.1\r\nHost: 127.0.0.1\r\n%s%s%zu\r\n\r\n%s", line, headers,
		 "Content-Length: ", strlen(body), body);
	return harness_say(h, fd, text);
}

static void expect(const char *answer, unsigned status, const char *part)
{
	char head[32];

	snprintf(head, sizeof(head), "HTTP/1.1 %u ", status);
	if (strncmp(answer, head, strlen(head)) != 0 || !strstr(answer, part))
		fail_msg("expected %u and \"%s\", got: %s", status, part, answer);
}

static int web(struct harness *h)
{
	int fd = harness_connect(h, "http", "chat", "lobby");

	harness_settle(h);
	return fd;
}

static void one_connection_many_requests(void **state)
{
	int fd = web(*state);

	expect(ask(*state, fd, "GET /", "", ""), 200, "<!DOCTYPE html>");
	expect(ask(*state, fd, "GET /nothing", "", ""), 404, "problem+json");
	expect(ask(*state, fd, "POST /", "", ""), 405, "Allow: GET, HEAD\r\n");
	expect(ask(*state, fd, "GET /api/v1/rooms", "", ""), 200, "\"name\":\"lobby\"");
	assert_null(strstr(ask(*state, fd, "GET /api/v1/rooms", "", ""), "board"));
	const char *head = ask(*state, fd, "HEAD /api/v1/rooms", "", "");
	expect(head, 200, "Content-Length: ");
	assert_string_equal(strstr(head, "\r\n\r\n"), "\r\n\r\n");
	assert_string_equal(harness_say(*state, fd, "GET /nothing HTTP/1.1\r\nHo"), "");
	expect(
	    harness_say(*state, fd, "st: 127.0.0.1\r\n\r\nGET /nothing HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"),
	    404, "HTTP/1.1 404");
	expect(harness_say(*state, fd, "nonsense\r\n\r\n"), 400, "Connection: close");
	assert_int_equal(recv(fd, (char[1]){0}, 1, 0), 0);
	close(fd);
}

static void who_may_ask(void **state)
{
	int fd = web(*state);
	static const struct {
		const char *host, *origin;
		unsigned status;
	} cases[] = {
	    {"127.0.0.1:80", "http://127.0.0.1:80", 404},
	    {"127.0.0.1:80", "http://127.0.0.1:81", 403},
	    {"127.0.0.1:80", "http://127.0.0.1:80.evil.test", 403},
	    {"127.0.0.1:80", "https://evil.test", 403},
	    {"127.0.0.1:80", "null", 403},
	    {"127.0.0.1:80", "https://example.ORG:8443", 404},
	    {"[::1]:80", "http://[::1]:80", 404},
	    {"localhost", NULL, 404},
	    {"a.localhost", NULL, 404},
	    {"localhost.evil.test", NULL, 421},
	    {"evil.test:80", "http://evil.test:80", 421}, /* a name that leads here for a moment */
	    {"127.0.0.1.evil.test", NULL, 421},
	    {"chat.test:1234", NULL, 404},
	    {"CHAT.test", "https://chat.test", 404},
	    {"example.org", NULL, 404},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[512];
		snprintf(text, sizeof(text), "GET /nothing HTTP/1.1\r\nHost: %s\r\n%s%s%s\r\n", cases[i].host,
			 cases[i].origin ? "Origin: " : "", cases[i].origin ? cases[i].origin : "",
			 cases[i].origin ? "\r\n" : "");
		expect(harness_say(*state, fd, text), cases[i].status, "");
	}
	expect(ask(*state, fd, "OPTIONS /api/v1/rooms", "Origin: https://example.org:8443\r\n", ""), 204,
	       "Access-Control-Allow-Origin: https://example.org:8443\r\n");
	assert_null(strstr(ask(*state, fd, "GET /api/v1/rooms", "", ""), "Access-Control"));
	close(fd);
}

static void somebody_speaks(void **state)
{
	int fd = web(*state), other = harness_connect(*state, "tcp", "chat", "lobby");
	char bearer[128];
	static const char json[] = "Content-Type: application/json\r\n";

	snprintf(bearer, sizeof(bearer), "%sAuthorization: Bearer %s\r\n", json, token);
	harness_settle(*state);
	harness_read(*state, other);
	expect(ask(*state, fd, "POST /api/v1/rooms/lobby/messages", bearer, "{\"text\":\"it is done\"}"), 201,
	       "\"number\":");
	assert_string_equal(harness_read(*state, other), "bot: it is done\n");
	expect(ask(*state, fd, "POST /api/v1/rooms/lobby/messages", bearer,
		   "{\"text\":\"waves\",\"kind\":\"action\"}"),
	       201, "Location: /api/v1/rooms/lobby/messages?after=");
	assert_string_equal(harness_read(*state, other), "bot * waves\n");
	expect(ask(*state, fd, "POST /api/v1/rooms/news/messages", bearer, "{\"text\":\"x\"}"), 201, "");
	expect(ask(*state, fd, "POST /api/v1/rooms/board/messages", bearer, "{\"text\":\"x\"}"), 403,
	       "right");
	expect(ask(*state, fd, "POST /api/v1/rooms/lobby/messages", json, "{\"text\":\"x\"}"), 401,
	       "WWW-Authenticate: Bearer");
	expect(ask(*state, fd, "GET /api/v1/rooms/lobby/messages", "Authorization: Bearer chatd_x\r\n", ""),
	       401, "no such token");
	expect(ask(*state, fd, "POST /api/v1/rooms/lobby/messages", bearer, "{\"text\":\"a\\nb\"}"), 422,
	       "one line");
	expect(ask(*state, fd, "POST /api/v1/rooms/lobby/messages", bearer, "{\"text\":1}"), 400, "");
	expect(ask(*state, fd, "POST /api/v1/rooms/lobby/messages", bearer, "{"), 400, "");
	expect(ask(*state, fd, "POST /api/v1/rooms/lobby/messages", bearer + sizeof(json) - 1,
		   "{\"text\":\"x\"}"),
	       415, "");
	expect(ask(*state, fd, "POST /api/v1/rooms/no%20room/messages", bearer, "{\"text\":\"x\"}"), 404, "");
	assert_string_equal(harness_read(*state, other), "");
	close(fd);
	close(other);
}

static void what_was_said(void **state)
{
	int fd = web(*state), other = harness_connect(*state, "tcp", "chat", "lobby");

	harness_settle(*state);
	harness_say(*state, other, "one\ntwo \"2\"\n/me waves\n/join raw\nx\377y\n");
	expect(ask(*state, fd, "GET /api/v1/rooms/lobby/messages", "", ""), 200,
	       "\"kind\":\"message\",\"nick\":\"guest2\",\"text\":\"two \\\"2\\\"\"}");
	expect(ask(*state, fd, "GET /api/v1/rooms/lobby/messages?limit=1", "", ""), 200,
	       "\"kind\":\"action\",\"nick\":\"guest2\",\"text\":\"waves\"}],\"more\":true}");
	assert_null(strstr(ask(*state, fd, "GET /api/v1/rooms/lobby/messages", "", ""), "joined"));
	const char *first = strstr(
	    ask(*state, fd, "GET /api/v1/rooms/lobby/messages?after=0&limit=1", "", ""), "\"number\":");
	unsigned long long number = strtoull(first + 9, NULL, 10);
	char line[128];
	snprintf(line, sizeof(line), "GET /api/v1/rooms/lobby/messages?after=%llu", number);
	const char *rest = ask(*state, fd, line, "", "");
	assert_null(strstr(rest, "\"one\""));
	expect(rest, 200, "two");
	assert_null(strstr(rest, "\"gaps\""));
	snprintf(line, sizeof(line), "GET /api/v1/rooms/lobby/messages?before=%llu", number + 1);
	expect(ask(*state, fd, line, "", ""), 200, "\"one\"}],\"more\":false}");
	expect(ask(*state, fd, "GET /api/v1/rooms/raw/messages", "", ""), 200,
	       "\"kind\":\"message\",\"text\":\"x\357\277\275y\"}");
	expect(ask(*state, fd, "GET /api/v1/rooms/quiet/messages", "", ""), 403, "");
	expect(ask(*state, fd, "GET /api/v1/rooms/board/messages", "", ""), 401, "");
	expect(ask(*state, fd, "GET /api/v1/rooms/nowhere/messages", "", ""), 404, "");
	expect(ask(*state, fd, "GET /api/v1/rooms/lobby/messages?limit=0", "", ""), 400, "limit");
	expect(ask(*state, fd, "GET /api/v1/rooms/lobby/messages?before=1&after=1", "", ""), 400, "Either");
	close(fd);
	close(other);
}

static void events_go_on_after_a_crash(void **state)
{
	int fd = web(*state), other = harness_connect(*state, "tcp", "chat", "lobby");
	struct takeover t;
	char id[64] = "";

	harness_settle(*state);
	harness_say(*state, other, "before\n");
	expect(ask(*state, fd, "GET /api/v1/rooms/lobby/events", "", ""), 200,
	       "Content-Type: text/event-stream\r\n");
	harness_say(*state, other, "one\n");
	const char *event = harness_read(*state, fd);
	assert_non_null(strstr(event, "\"text\":\"one\"}\n\n"));
	assert_null(strstr(event, "before"));
	assert_int_equal(sscanf(event, "id: %60s", id), 1);
	assert_int_equal(harness_crash(*state, NULL, NULL, &t), 0);
	harness_settle(*state);
	assert_string_equal(harness_read(*state, fd), "");
	harness_say(*state, other, "two\n/who\n");
	event = harness_read(*state, fd);
	assert_non_null(strstr(event, "\"text\":\"two\"}\n\n"));
	assert_null(strstr(event + 1, "id: ")); /* once */
	assert_non_null(strstr(harness_say(*state, other, "/who\n"), "* 1 in lobby: guest2\n"));

	int later = web(*state);
	char header[128];
	snprintf(header, sizeof(header), "Last-Event-ID: %s\r\n", id);
	const char *missed = ask(*state, later, "GET /api/v1/rooms/lobby/events", header, "");
	assert_null(strstr(missed, "\"one\""));
	assert_null(strstr(missed, "event: gap"));
	assert_non_null(strstr(missed, "\"two\""));
	close(later);
	later = web(*state);
	missed = ask(*state, later, "GET /api/v1/rooms/lobby/events", "Last-Event-ID: 1-1\r\n", "");
	assert_non_null(strstr(missed, "event: gap\ndata: {\"from\":2,\"to\":"));
	assert_non_null(strstr(missed, "\"before\""));
	close(later);
	close(fd);
	harness_settle(*state);
	close(other);
}

/* Its number is decided when it comes back. */
static void a_shared_room_has_it_later(void **state)
{
	char hash[TOKEN_HASH_SIZE], config[512], headers[160];
	int file = mkstemp(strcpy(path, "/tmp/chatd-test-tokens-XXXXXX"));

	(void)state;
	token_make(token, hash);
	dprintf(file, "bot:%s:*=speak\n", hash);
	close(file);
	snprintf(config, sizeof(config),
		 "workers = 1; rooms = ( { name = \"lobby\"; } ); listeners = ( { name = \"test\"; type = "
		 "\"http\"; "
		 "mode = \"chat\"; listen = \"127.0.0.1:5080\"; token_file = \"%s\"; } );",
		 path);
	struct harness *h = harness_new_clustered(config);
	unlink(path);
	assert_non_null(h);
	int fd = web(h), other = harness_connect(h, "tcp", "chat", "lobby");
	harness_settle(h);
	harness_read(h, other);
	snprintf(headers, sizeof(headers), "Content-Type: application/json\r\nAuthorization: Bearer %s\r\n",
		 token);
	expect(ask(h, fd, "POST /api/v1/rooms/lobby/messages", headers, "{\"text\":\"x\"}"), 202,
	       "{\"room\":\"lobby\"}");
	assert_string_equal(harness_read(h, other), "bot: x\n");
	close(fd);
	close(other);
	harness_free(h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(one_connection_many_requests, setup, harnessed_teardown),
	    cmocka_unit_test_setup_teardown(who_may_ask, setup, harnessed_teardown),
	    cmocka_unit_test_setup_teardown(somebody_speaks, setup, harnessed_teardown),
	    cmocka_unit_test_setup_teardown(what_was_said, setup, harnessed_teardown),
	    cmocka_unit_test_setup_teardown(events_go_on_after_a_crash, setup, harnessed_teardown),
	    cmocka_unit_test(a_shared_room_has_it_later),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
