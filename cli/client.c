/* SPDX-License-Identifier: MIT */
/* One connection to the control socket: a call is sent, and replies are received. */
#include "cli/client.h"

#include "common/cleanup.h"
#include "common/varlink.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

/* A list of 100,000 clients is one message. */
#define MAX_REPLY (256U << 20)

struct client {
	int fd;
	struct varlink_input in;
};

int client_open(const char *path, struct client **ret)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	if (strlen(path) >= sizeof(un.sun_path))
		return -ENAMETOOLONG;
	memcpy(un.sun_path, path, strlen(path) + 1);
	if (connect(fd, (struct sockaddr *)&un, sizeof(un)) < 0)
		return -errno;
	struct client *c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->fd = take_fd(&fd);
	c->in.max = MAX_REPLY;
	*ret = c;
	return 0;
}

void client_close(struct client *c)
{
	if (!c)
		return;
	close(c->fd);
	varlink_input_clear(&c->in);
	free(c);
}

int client_send(struct client *c, const char *method, json_t *parameters, bool more)
{
	char name[64];
	size_t len, done = 0;

	snprintf(name, sizeof(name), "%s%s", strchr(method, '.') ? "" : VARLINK_INTERFACE ".", method);
	json_t *call =
	    json_pack("{s:s,s:o}", "method", name, "parameters", parameters ? parameters : json_object());
	if (more)
		json_object_set_new(call, "more", json_true());
	_cleanup_free_ char *frame = call ? varlink_frame(call, &len) : NULL;
	json_decref(call);
	if (!frame)
		return -EINVAL; /* JSON can only hold UTF-8 */
	while (done < len) {
		ssize_t n = send(c->fd, frame + done, len - done, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EPIPE ? -ECONNRESET : -errno;
		done += (size_t)n;
	}
	return 0;
}

/* An error in words; people don't know the protocol's names. */
static char *client_error_text(const char *error, const json_t *parameters)
{
	static const char *const words[][2] = {
	    {"address", "ADDRESS has to be an address, or a network such as 192.0.2.0/24"},
	    {"as", "NICK has to be a name"},
	    {"id", "ID has to be a number that `chatctl list` shows"},
	    {"level", "LEVEL has to be error, warning, notice, info or debug"},
	    {"lines", "-n takes a smaller number"},
	    {"nick", "NICK has to be a nick"},
	    {"reason", "REASON has to be text"},
	    {"room", "ROOM has to be the name of a room"},
	    {"seconds", "TIME has to be above 0 and at most a hundred years"},
	    {"text", "TEXT has to be text"},
	};
	const char *reason = json_string_value(json_object_get(parameters, "reason"));
	const char *parameter = json_string_value(json_object_get(parameters, "parameter"));
	const char *dot = strrchr(error, '.');

	if (reason) {
		size_t n = strlen(reason);
		return strndup(reason, n > 0 && reason[n - 1] == '\n' ? n - 1 : n);
	}
	for (size_t i = 0; parameter && i < sizeof(words) / sizeof(*words); i++)
		if (strcmp(words[i][0], parameter) == 0)
			return strdup(words[i][1]);
	/* Only a chatd of another version doesn't know a method or parameter of this program. */
	if (dot && (strncmp(dot, ".Method", 7) == 0 || strncmp(dot, ".Interface", 10) == 0 || parameter))
		return strdup("this chatd can't do that; is it of the same version as chatctl?");
	return strdup("chatd refuses that, without saying why");
}

int client_receive(struct client *c, json_t **ret_parameters, char **ret_error)
{
	char buf[65536];
	json_t *message;
	int r;

	*ret_error = NULL;
	while ((r = varlink_next(&c->in, &message)) == 0) {
		ssize_t n = recv(c->fd, buf, sizeof(buf), 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n == 0 ? -ECONNRESET : -errno;
		r = varlink_feed(&c->in, buf, (size_t)n);
		if (r < 0)
			return r;
	}
	if (r < 0)
		return r;
	json_t *parameters = json_object_get(message, "parameters");
	const char *error = json_string_value(json_object_get(message, "error"));
	if (error) {
		*ret_error = client_error_text(error, parameters);
		r = -EREMOTEIO;
	} else {
		*ret_parameters = json_is_object(parameters) ? json_incref(parameters) : json_object();
		r = json_is_true(json_object_get(message, "continues"));
	}
	json_decref(message);
	return r;
}
