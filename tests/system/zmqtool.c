/* SPDX-License-Identifier: MIT */
/*
 * ZeroMQ programs as chatd's users write them, for the tests. Each prints what it got, one message a line,
 * frames separated by tabs. CURVE_SERVER, CURVE_PUBLIC and CURVE_SECRET in the environment are keys to use.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zmq.h>

static void *context;

static void die(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, zmq_strerror(errno));
	exit(1);
}

static void *connected(int type, const char *endpoint, const char *filter)
{
	const char *server = getenv("CURVE_SERVER");
	const int one = 1, linger = 10000, many = 1000000;
	void *s = zmq_socket(context, type);

	if (!s)
		die("socket");
	zmq_setsockopt(s, ZMQ_IPV6, &one, sizeof(one));
	zmq_setsockopt(s, ZMQ_LINGER, &linger, sizeof(linger));
	if (type == ZMQ_SUB)
		zmq_setsockopt(s, ZMQ_RCVHWM, &many, sizeof(many));
	if (server) {
		zmq_setsockopt(s, ZMQ_CURVE_SERVERKEY, server, 40);
		zmq_setsockopt(s, ZMQ_CURVE_PUBLICKEY, getenv("CURVE_PUBLIC"), 40);
		zmq_setsockopt(s, ZMQ_CURVE_SECRETKEY, getenv("CURVE_SECRET"), 40);
	}
	if (filter && zmq_setsockopt(s, ZMQ_SUBSCRIBE, filter, strlen(filter)) < 0)
		die("subscribe");
	if (zmq_connect(s, endpoint) < 0)
		die(endpoint);
	return s;
}

/* Prints a message, or passes over one whose first frame isn't just room (NULL: any); false on a time-out. */
static int print_message(void *s, const char *room)
{
	zmq_msg_t m;
	int more = 1, first = 1, show = 1;

	zmq_msg_init(&m);
	while (more) {
		if (zmq_msg_recv(&m, s, 0) < 0)
			return 0;
		more = zmq_msg_more(&m);
		if (room && first)
			show = more && zmq_msg_size(&m) == strlen(room) &&
			       memcmp(zmq_msg_data(&m), room, strlen(room)) == 0;
		if (show)
			printf("%s%.*s", first ? "" : "\t", (int)zmq_msg_size(&m),
			       (const char *)zmq_msg_data(&m));
		first = 0;
	}
	if (show)
		putchar('\n');
	fflush(stdout);
	zmq_msg_close(&m);
	return 1;
}

static void send_text(void *s, const char *text, int flags)
{
	if (zmq_send(s, text, strlen(text), flags) < 0)
		die("send");
}

/* The question number k of client i: "I/K....", at least that long. Returns its length. */
static size_t question(char *text, int size, int i, int k)
{
	char head[32];
	int n = snprintf(head, sizeof(head), "%d/%d", i, k);

	memset(text, '.', (size_t)size + sizeof(head));
	memcpy(text, head, (size_t)n);
	return (size_t)(size > n ? size : n);
}

/* req ENDPOINT CLIENTS COUNT SIZE: each client asks and checks that it gets its own question back. */
static int command_req(char **argv)
{
	int clients = atoi(argv[1]), count = atoi(argv[2]), size = atoi(argv[3]);
	zmq_pollitem_t *items = calloc((size_t)clients, sizeof(*items));
	int *done = calloc((size_t)clients, sizeof(*done)), left = clients;
	char *text = malloc((size_t)size + 64), *answer = malloc((size_t)size + 64);

	for (int i = 0; i < clients; i++) {
		items[i].socket = connected(ZMQ_REQ, argv[0], NULL);
		items[i].events = ZMQ_POLLIN;
		if (zmq_send(items[i].socket, text, question(text, size, i, 0), 0) < 0)
			die("send");
	}
	while (left > 0) {
		if (zmq_poll(items, clients, 20000) <= 0)
			die("no answer");
		for (int i = 0; i < clients; i++) {
			if (!items[i].revents)
				continue;
			size_t len = question(text, size, i, done[i]);
			if (zmq_recv(items[i].socket, answer, (size_t)size + 64, 0) != (int)len ||
			    memcmp(answer, text, len) != 0)
				die("the wrong answer");
			if (++done[i] == count)
				left--;
			else if (zmq_send(items[i].socket, text, question(text, size, i, done[i]), 0) < 0)
				die("send");
		}
	}
	printf("%d answers\n", clients * count);
	for (int i = 0; i < clients; i++)
		zmq_close(items[i].socket);
	free(items);
	free(done);
	free(text);
	free(answer);
	return 0;
}

/* dealer ENDPOINT COUNT: asks all at once; answers come in order. */
static int command_dealer(char **argv)
{
	void *s = connected(ZMQ_DEALER, argv[0], NULL);
	int count = atoi(argv[1]);
	char text[32], answer[32];

	for (int i = 0; i < count; i++) {
		snprintf(text, sizeof(text), "%d", i);
		send_text(s, text, 0);
	}
	for (int i = 0; i < count; i++) {
		int n = zmq_recv(s, answer, sizeof(answer), 0);
		if (n < 0 || n >= (int)sizeof(answer))
			die("recv");
		answer[n] = '\0';
		if (atoi(answer) != i) {
			fprintf(stderr, "got %s instead of %d\n", answer, i);
			return 1;
		}
	}
	printf("%d answers\n", count);
	zmq_close(s);
	return 0;
}

/* push ENDPOINT: each line of standard input is a message, tabs separate frames. */
static int command_push(char **argv)
{
	void *s = connected(ZMQ_PUSH, argv[0], NULL);
	char *line = NULL, *rest, *frame;
	size_t room = 0;
	ssize_t n;

	while ((n = getline(&line, &room, stdin)) > 0) {
		if (line[n - 1] == '\n')
			line[n - 1] = '\0';
		for (rest = line; (frame = strsep(&rest, "\t"));)
			send_text(s, frame, rest ? ZMQ_SNDMORE : 0);
	}
	free(line);
	zmq_close(s);
	return 0;
}

/* sub ENDPOINT FILTER COUNT: prints as many messages, or what comes within ten seconds. */
static int command_sub(char **argv)
{
	void *s = connected(ZMQ_SUB, argv[0], argv[1]);
	const int patience = 10000;
	int count = atoi(argv[2]);

	zmq_setsockopt(s, ZMQ_RCVTIMEO, &patience, sizeof(patience));
	while (count-- > 0 && print_message(s, NULL))
		;
	zmq_close(s);
	return 0;
}

/* weather ENDPOINT ROUNDS: "ZIP TEMPERATURE HUMIDITY" for zip codes from 10000 to 10009. */
static int command_weather(char **argv)
{
	void *s = connected(ZMQ_PUSH, argv[0], NULL);
	char text[64];

	for (int i = 0; i < atoi(argv[1]); i++)
		for (int zip = 10000; zip < 10010; zip++) {
			snprintf(text, sizeof(text), "%05d %d %d", zip, i % 40 - 10, 30 + i % 50);
			send_text(s, text, 0);
		}
	zmq_close(s);
	return 0;
}

/* ventilator ENDPOINT COUNT [SIZE]: numbers, filled up to so many bytes. */
static int command_ventilator(char **argv)
{
	void *s = connected(ZMQ_PUSH, argv[0], NULL);
	int size = argv[2] ? atoi(argv[2]) : 1;
	char text[2048];

	for (int i = 0; i < atoi(argv[1]); i++) {
		int n = snprintf(text, sizeof(text), "%-*d", size, i);
		if (zmq_send(s, text, (size_t)n, 0) < 0)
			die("send");
	}
	zmq_close(s);
	return 0;
}

/* worker TASKS RESULTS: passes each task on as a result; ends when nothing comes for a while. */
static int command_worker(char **argv)
{
	void *tasks = connected(ZMQ_PULL, argv[0], NULL), *results = connected(ZMQ_PUSH, argv[1], NULL);
	const int patience = 3000;
	char text[2048];
	int n, count = 0;

	zmq_setsockopt(tasks, ZMQ_RCVTIMEO, &patience, sizeof(patience));
	while ((n = zmq_recv(tasks, text, sizeof(text), 0)) >= 0) {
		if (zmq_send(results, text, (size_t)n, 0) < 0)
			die("send");
		count++;
	}
	printf("%d\n", count);
	zmq_close(tasks);
	zmq_close(results);
	return 0;
}

/* sink ENDPOINT COUNT: takes that many results, each number from 0 on once. Binds if the endpoint begins with
 * "@". */
static int command_sink(char **argv)
{
	int count = atoi(argv[1]), n;
	const int patience = 20000;
	char *seen = calloc((size_t)count, 1), text[2049];
	void *s;

	if (argv[0][0] == '@') {
		s = zmq_socket(context, ZMQ_PULL);
		if (zmq_bind(s, argv[0] + 1) < 0)
			die(argv[0]);
	} else {
		s = connected(ZMQ_PULL, argv[0], NULL);
	}
	zmq_setsockopt(s, ZMQ_RCVTIMEO, &patience, sizeof(patience));
	for (int i = 0; i < count; i++) {
		n = zmq_recv(s, text, sizeof(text) - 1, 0);
		if (n < 0 || n >= (int)sizeof(text)) {
			fprintf(stderr, "only %d results\n", i);
			return 1;
		}
		text[n] = '\0';
		n = atoi(text);
		if (n < 0 || n >= count || seen[n]) {
			fprintf(stderr, "result %s again\n", text);
			return 1;
		}
		seen[n] = 1;
	}
	printf("%d results\n", count);
	free(seen);
	zmq_close(s);
	return 0;
}

/* talk PULL PUB ROOM: what people use: a SUB and a PUSH socket, polled together with standard input. */
static int command_talk(char **argv)
{
	void *out = connected(ZMQ_PUSH, argv[0], NULL), *in = connected(ZMQ_SUB, argv[1], argv[2]);
	zmq_pollitem_t items[] = {{in, 0, ZMQ_POLLIN, 0}, {NULL, 0, ZMQ_POLLIN, 0}};
	char line[4096];

	for (;;) {
		if (zmq_poll(items, 2, 10000) <= 0)
			break;
		if (items[0].revents)
			print_message(in, argv[2]);
		if (items[1].revents) {
			/* Unbuffered, or poll() would not know of what stdio has read already. */
			setvbuf(stdin, NULL, _IONBF, 0);
			if (!fgets(line, sizeof(line), stdin))
				break;
			line[strcspn(line, "\n")] = '\0';
			send_text(out, line, 0);
		}
	}
	zmq_close(out);
	zmq_close(in);
	return 0;
}

/* keys: a new pair, public and secret. */
static int command_keys(char **argv)
{
	char public[41], secret[41];

	(void)argv;
	if (zmq_curve_keypair(public, secret) < 0)
		die("keys");
	printf("%s %s\n", public, secret);
	return 0;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int arguments;
		int (*run)(char **argv);
	} commands[] = {
	    {"req", 4, command_req},	     {"dealer", 2, command_dealer},
	    {"push", 1, command_push},	     {"sub", 3, command_sub},
	    {"weather", 2, command_weather}, {"ventilator", 2, command_ventilator},
	    {"worker", 2, command_worker},   {"sink", 2, command_sink},
	    {"talk", 3, command_talk},	     {"keys", 0, command_keys},
	};
	int status = 2;

	context = zmq_ctx_new();
	zmq_ctx_set(context, ZMQ_MAX_SOCKETS, 4096);
	for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++)
		if (argc >= 2 && strcmp(argv[1], commands[i].name) == 0 && argc - 2 >= commands[i].arguments)
			status = commands[i].run(argv + 2);
	if (status == 2)
		fputs("usage: zmqtool COMMAND ...\n", stderr);
	zmq_ctx_term(context);
	return status;
}
