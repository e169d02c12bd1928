/* SPDX-License-Identifier: MIT */
/*
 * The control protocol, against a whole chatd in this process: whatever comes in, it goes on answering, and
 * what it answers is JSON, one object before each NUL.
 */
#include "tests/fuzz/fuzz.h"

#include "common/cleanup.h"
#include "common/varlink.h"
#include "daemon/server/server.h"

#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

static char directory[] = "/tmp/chatd-fuzz-XXXXXX", config_path[64], socket_path[64];

static void clean_up(void)
{
	unlink(socket_path);
	unlink(config_path);
	rmdir(directory);
}

static void *serve(void *arg)
{
	char *argv[] = {(char *)"chatd", NULL};

	(void)arg;
	server_run(config_path, argv);
	return NULL;
}

static int reach(void)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(un.sun_path, socket_path);
	for (unsigned i = 0; i < 1000; i++) {
		if (connect(fd, (struct sockaddr *)&un, sizeof(un)) == 0)
			return fd;
		usleep(10000);
	}
	abort();
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	pthread_t thread;

	(void)argc;
	(void)argv;
	REQUIRE(mkdtemp(directory));
	snprintf(config_path, sizeof(config_path), "%s/chatd.conf", directory);
	snprintf(socket_path, sizeof(socket_path), "%s/socket", directory);
	FILE *f = fopen(config_path, "w");
	fprintf(f,
		"workers = 1; log_level = \"error\"; rooms = ( { name = \"lobby\"; } );"
		"control: { socket = \"%s\"; };",
		socket_path);
	fclose(f);
	atexit(clean_up);
	REQUIRE(pthread_create(&thread, NULL, serve, NULL) == 0);
	close(reach());
	/* The restarts and reloads that are asked for would be reported on stderr otherwise. */
	return 0;
}

/* libFuzzer's alarm interrupts it, in spite of SA_RESTART, since there is a time-out. */
static ssize_t receive(int fd, char *buf, size_t size)
{
	ssize_t n;

	do
		n = recv(fd, buf, size, 0);
	while (n < 0 && errno == EINTR);
	return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char info[] = "{\"method\":\"org.varlink.service.GetInfo\"}";
	struct varlink_input in = {.max = 64 << 20};
	struct timeval patience = {.tv_sec = 5};
	char buf[65536];
	json_t *reply;
	ssize_t n;
	int r;

	/* "Restart" in whatever spelling would run this fuzzer as its own successor. */
	if (memmem(data, size, "Rest", 4) || memmem(data, size, "\\u", 2))
		return -1;
	int fd = reach();
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (send(fd, data, size, MSG_NOSIGNAL) >= 0 && send(fd, "", 1, MSG_NOSIGNAL) >= 0)
		shutdown(fd, SHUT_WR);
	while ((n = receive(fd, buf, sizeof(buf))) > 0) {
		REQUIRE(varlink_feed(&in, buf, (size_t)n) == 0);
		while ((r = varlink_next(&in, &reply)) > 0) {
			REQUIRE(json_object_get(reply, "parameters"));
			json_decref(reply);
		}
		REQUIRE(r == 0);
	}
	REQUIRE(n == 0 || errno == ECONNRESET);
	varlink_input_clear(&in);
	close(fd);

	fd = reach();
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	REQUIRE(send(fd, info, sizeof(info), MSG_NOSIGNAL) == sizeof(info));
	REQUIRE(receive(fd, buf, sizeof(buf)) > 0);
	close(fd);
	return 0;
}
