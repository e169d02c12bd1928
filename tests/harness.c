/* SPDX-License-Identifier: MIT */
#include "tests/harness.h"

#include "common/cleanup.h"
#include "daemon/connection.h"
#include "daemon/keeper.h"
#include "daemon/limits.h"
#include "daemon/logger.h"
#include "daemon/memfd.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

struct harness {
	struct config *config;
	struct shared shared;
	struct wakeup *slots[2];
	struct worker *workers[1];
	int rooms_fd, clients_fd;
	uint64_t next_cookie;
	char buf[1 << 20];
};

struct harness *harness_new(const char *text)
{
	struct harness *h = calloc(1, sizeof(*h));
	FILE *errors = fopen("/dev/null", "w");

	log_open(LOG_ERR);
	if (!h || !errors || config_parse(text, "test", errors, &h->config) < 0) {
		fclose(errors);
		free(h);
		return NULL;
	}
	fclose(errors);
	h->rooms_fd = memfd_new("rooms", rooms_file_size());
	h->clients_fd = memfd_new("clients", clients_file_size());
	h->shared.slots = h->slots;
	h->shared.workers = h->workers;
	if (wakeup_new(&h->slots[0]) < 0 || wakeup_new(&h->slots[1]) < 0 ||
	    rooms_open(h->rooms_fd, true, h->slots, 2, &h->shared.rooms) < 0 ||
	    clients_open(h->clients_fd, true, &h->shared.clients) < 0 || roster_new(&h->shared.roster) < 0 ||
	    limits_new(&h->shared.limits) < 0 || keeper_new(NULL, &h->shared.keeper) < 0 ||
	    rooms_configure(h->shared.rooms, h->config->rooms, h->config->n_rooms, &h->config->room_defaults,
			    h->config->max_rooms, h->config->room_linger_us) < 0 ||
	    worker_new(&h->shared, 0, h->config, &h->workers[0]) < 0)
		abort();
	h->shared.n_workers = 1;
	return h;
}

void harness_free(struct harness *h)
{
	worker_free(h->workers[0]);
	keeper_free(h->shared.keeper);
	limits_free(h->shared.limits);
	roster_free(h->shared.roster);
	clients_close(h->shared.clients);
	rooms_close(h->shared.rooms);
	wakeup_free(h->slots[0]);
	wakeup_free(h->slots[1]);
	close(h->rooms_fd);
	close(h->clients_fd);
	config_free(h->config);
	free(h);
}

struct shared *harness_shared(struct harness *h)
{
	return &h->shared;
}

int harness_connect(struct harness *h, const char *type, const char *mode, const char *room)
{
	struct client_origin origin = {.listener = "test"};
	union address a = {.in = {.sin_family = AF_INET, .sin_port = 1}};
	int fds[2];

	snprintf(origin.type, sizeof(origin.type), "%s", type);
	snprintf(origin.mode, sizeof(origin.mode), "%s", mode);
	snprintf(origin.room, sizeof(origin.room), "%s", room);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) < 0 ||
	    limits_take(h->shared.limits, &a, 1000, 0) < 0)
		abort();
	struct client *c = clients_allocate(h->shared.clients);
	c->origin = (uint16_t)clients_intern(h->shared.clients, &origin);
	c->st[0].room = ROOM_NONE;
	c->st[0].private_seq = logring_count(rooms_private(h->shared.rooms)->log);
	atomic_store(&c->cookie, ++h->next_cookie);
	if (connection_open(h->workers[0], fds[0], &a, c, handler_find(type, mode), true) < 0)
		abort();
	return fds[1];
}

void harness_settle(struct harness *h)
{
	for (unsigned i = 0; i < 12; i++) {
		wakeup_kick(h->slots[0]); /* so that no turn waits */
		worker_turn(h->workers[0]);
	}
}

const char *harness_read(struct harness *h, int fd)
{
	size_t n = 0;
	ssize_t r;

	while (n < sizeof(h->buf) - 1 && (r = recv(fd, h->buf + n, sizeof(h->buf) - 1 - n, 0)) > 0)
		n += (size_t)r;
	h->buf[n] = '\0';
	return h->buf;
}

const char *harness_say(struct harness *h, int fd, const char *text)
{
	if (send(fd, text, strlen(text), MSG_NOSIGNAL) != (ssize_t)strlen(text))
		abort();
	harness_settle(h);
	return harness_read(h, fd);
}
