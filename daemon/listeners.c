/* SPDX-License-Identifier: MIT */
#include "daemon/listeners.h"

#include "common/cleanup.h"
#include "daemon/clock.h"
#include "daemon/logger.h"
#include "daemon/recovery.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

/* How long workers may take over a change of what they do. */
#define CALL_TIMEOUT_US (5 * SECOND_US)

struct listeners {
	struct shared *shared;
	struct sockets *sockets;
	struct listener_entry *at;
	size_t n;
	/* Between listeners_prepare() and what follows it. */
	struct listener_entry *next;
	size_t n_next;
};

int listeners_new(struct shared *shared, struct sockets *sockets, struct listeners **ret)
{
	struct listeners *ls = calloc(1, sizeof(*ls));

	if (!ls)
		return -ENOMEM;
	ls->shared = shared;
	ls->sockets = sockets;
	*ret = ls;
	return 0;
}

void listeners_free(struct listeners *ls)
{
	if (!ls)
		return;
	for (size_t i = 0; i < ls->n; i++)
		listener_free(ls->at[i].listener);
	free(ls->at);
	free(ls);
}

size_t listeners_count(const struct listeners *ls)
{
	return ls->n;
}

const struct listener_entry *listeners_at(const struct listeners *ls, size_t i)
{
	return i < ls->n ? &ls->at[i] : NULL;
}

/* --- opening one --- */

/* Whether the one can become the other without closing its socket. */
static bool is_same(const struct listener_config *a, const struct listener_config *b)
{
	return a->handler == b->handler && strcmp(a->name, b->name) == 0 && strcmp(a->room, b->room) == 0 &&
	       address_equal(&a->listen, &b->listen);
}

static bool same_place(const struct listener_config *a, const struct listener_config *b)
{
	return a->handler->transport == b->handler->transport && address_equal(&a->listen, &b->listen);
}

/* A listener that was there before, under whatever name, lends its socket to one at the same address. */
static int borrow_socket(const struct listeners *ls, const struct listener_config *config, bool *ret_passed)
{
	for (size_t i = 0; i < ls->n; i++) {
		const struct listener_entry *e = &ls->at[i];
		if (!same_place(&e->config, config))
			continue;
		*ret_passed = e->passed;
		int fd = fcntl(e->listener->fd, F_DUPFD_CLOEXEC, 3);
		return fd < 0 ? -errno : fd;
	}
	return -ENOENT;
}

static int intern(struct listeners *ls, const struct listener_config *config)
{
	struct client_origin origin = {.listener = ""};

	snprintf(origin.listener, sizeof(origin.listener), "%s", config->name);
	snprintf(origin.type, sizeof(origin.type), "%s", config->handler->type);
	snprintf(origin.mode, sizeof(origin.mode), "%s", config->handler->mode);
	snprintf(origin.room, sizeof(origin.room), "%s", config->room);
	return clients_intern(ls->shared->clients, &origin);
}

static int open_entry(struct listeners *ls, const struct listener_config *config, size_t number,
		      struct listener_entry *ret)
{
	unsigned home = (unsigned)(number % ls->shared->n_workers);

	*ret = (struct listener_entry){.config = *config};
	int fd = borrow_socket(ls, config, &ret->passed);
	if (fd == -ENOENT)
		fd = sockets_listen(ls->sockets, config, &ret->passed);
	if (fd < 0)
		return fd;
	int origin = intern(ls, config);
	int r = origin < 0 ? origin : listener_new(fd, config, (unsigned)origin, home, &ret->listener);
	if (r < 0)
		close(fd);
	return r;
}

static void report(FILE *errors, const struct listener_config *config, int r)
{
	char address[ADDRESS_TEXT_MAX];

	fprintf(errors, "listener %s: %s: %s\n", config->name, address_format(&config->listen, address),
		strerror(-r));
}

static void log_entry(const struct listener_entry *e)
{
	char address[ADDRESS_TEXT_MAX];

	log_event(LOG_INFO, &(struct log_fields){EVENT_LISTENER, 0, NULL, e->config.name},
		  "listener %s: %s %s on %s%s%s%s", e->config.name, e->config.handler->type,
		  e->config.handler->mode, address_format(&e->config.listen, address),
		  e->config.room[0] ? ", room " : "", e->config.room,
		  e->passed ? " (socket from systemd)" : "");
}

/* What waits in a socket outlives us, too, if it was chatd that bound it. */
static void store(const struct listener_entry *e)
{
	char name[SOCKETS_OWN_NAME_MAX];

	if (!e->passed)
		sockets_store(e->listener->fd, sockets_own_name(e->config.name, name));
}

static void unstore(const struct listener_entry *e)
{
	char name[SOCKETS_OWN_NAME_MAX];

	if (!e->passed)
		sockets_unstore(sockets_own_name(e->config.name, name));
}

/* --- the start --- */

static bool has_home(unsigned origin, void *arg)
{
	const struct listeners *ls = arg;

	for (size_t i = 0; i < ls->n; i++)
		if (ls->at[i].listener->origin == origin)
			return true;
	return false;
}

int listeners_open(struct listeners *ls, const struct config *config)
{
	ls->at = calloc(config->n_listeners + 1, sizeof(*ls->at));
	if (!ls->at)
		return -ENOMEM;
	for (size_t i = 0; i < config->n_listeners; i++) {
		struct listener_entry *e = &ls->at[ls->n];
		int r = open_entry(ls, &config->listeners[i], i, e);
		if (r == 0) {
			ls->n++;
			r = listener_start(e->listener, ls->shared->workers[e->listener->home]);
		}
		if (r < 0) {
			char address[ADDRESS_TEXT_MAX];
			log_event(LOG_ERR, &(struct log_fields){EVENT_LISTENER, 0, NULL, e->config.name},
				  "listener %s: %s: %s", e->config.name,
				  address_format(&e->config.listen, address), strerror(-r));
			return r;
		}
		store(e);
		log_entry(e);
	}
	recovery_orphans(ls->shared, has_home, ls);
	return 0;
}

/* --- a reload --- */

static bool holds(const struct listener_entry *list, size_t n, const struct listener *l)
{
	for (size_t i = 0; i < n; i++)
		if (list[i].listener == l)
			return true;
	return false;
}

static void forget_next(struct listeners *ls)
{
	free(ls->next);
	ls->next = NULL;
	ls->n_next = 0;
}

void listeners_cancel(struct listeners *ls)
{
	for (size_t i = 0; i < ls->n_next; i++)
		if (ls->next[i].listener && !holds(ls->at, ls->n, ls->next[i].listener))
			listener_free(ls->next[i].listener);
	forget_next(ls);
}

int listeners_prepare(struct listeners *ls, const struct config *new, FILE *errors)
{
	int result = 0;

	ls->next = calloc(new->n_listeners + 1, sizeof(*ls->next));
	if (!ls->next)
		return -ENOMEM;
	ls->n_next = new->n_listeners;
	for (size_t i = 0; i < new->n_listeners; i++) {
		const struct listener_config *config = &new->listeners[i];
		bool kept = false;
		for (size_t k = 0; k < ls->n && !kept; k++)
			if (is_same(&ls->at[k].config, config)) {
				ls->next[i] = ls->at[k];
				ls->next[i].config = *config;
				kept = true;
			}
		int r = kept ? 0 : open_entry(ls, config, i, &ls->next[i]);
		if (r < 0) {
			report(errors, config, r);
			result = r;
		}
	}
	if (result < 0)
		listeners_cancel(ls);
	return result;
}

/* What the workers have to do; it owns what is no longer needed when all have done it. */
struct change {
	const struct config *config;
	struct config *old;
	struct listener **stop, **start, **keep;
	const struct listener_config **settings; /* of those in keep */
	size_t n_stop, n_start, n_keep;
};

static void change_free(void *arg)
{
	struct change *c = arg;

	for (size_t i = 0; i < c->n_stop; i++)
		listener_free(c->stop[i]);
	config_free(c->old);
	free(c->stop);
	free(c->start);
	free(c->keep);
	free(c->settings);
	free(c);
}

static void apply(struct worker *w, void *arg)
{
	const struct change *c = arg;
	unsigned me = worker_index(w);

	worker_set_config(w, c->config);
	for (size_t i = 0; i < c->n_stop; i++)
		if (c->stop[i]->home == me)
			listener_stop(c->stop[i]);
	for (size_t i = 0; i < c->n_keep; i++)
		if (c->keep[i]->home == me)
			c->keep[i]->ops->configure(c->keep[i], c->settings[i]);
	for (size_t i = 0; i < c->n_start; i++) {
		if (c->start[i]->home != me)
			continue;
		int r = listener_start(c->start[i], w);
		if (r < 0)
			log_error("listener %s: %s", c->start[i]->name, strerror(-r));
	}
}

/* A passed socket that no listener has any more waits for the next reload; systemd holds it anyway. */
static void give_back_passed(struct listeners *ls, const struct listener_entry *e)
{
	for (size_t i = 0; i < ls->n_next; i++)
		if (same_place(&ls->next[i].config, &e->config))
			return;
	int fd = fcntl(e->listener->fd, F_DUPFD_CLOEXEC, 3);
	if (fd >= 0)
		sockets_give_back(ls->sockets, fd, e->config.name);
}

static struct change *change_new(const struct listeners *ls)
{
	struct change *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->stop = calloc(ls->n + 1, sizeof(struct listener *));
	c->start = calloc(ls->n_next + 1, sizeof(struct listener *));
	c->keep = calloc(ls->n_next + 1, sizeof(struct listener *));
	c->settings = calloc(ls->n_next + 1, sizeof(struct listener_config *));
	if (c->stop && c->start && c->keep && c->settings)
		return c;
	change_free(c);
	return NULL;
}

void listeners_apply(struct listeners *ls, const struct config *new, struct config *old)
{
	struct change *c = change_new(ls);

	if (!c)
		abort(); /* a crash is recovered from */
	c->config = new;
	c->old = old;
	for (size_t i = 0; i < ls->n; i++) {
		const struct listener_entry *e = &ls->at[i];
		if (holds(ls->next, ls->n_next, e->listener))
			continue;
		c->stop[c->n_stop++] = e->listener;
		unstore(e);
		if (e->passed)
			give_back_passed(ls, e);
		log_event(LOG_INFO, &(struct log_fields){EVENT_LISTENER, 0, NULL, e->config.name},
			  "listener %s ends", e->config.name);
	}
	for (size_t i = 0; i < ls->n_next; i++) {
		const struct listener_entry *e = &ls->next[i];
		if (holds(ls->at, ls->n, e->listener)) {
			c->settings[c->n_keep] = &new->listeners[i];
			c->keep[c->n_keep++] = e->listener;
			continue;
		}
		c->start[c->n_start++] = e->listener;
		store(e);
		log_entry(e);
	}
	free(ls->at);
	ls->at = ls->next;
	ls->n = ls->n_next;
	ls->next = NULL;
	forget_next(ls);
	if (workers_call(ls->shared, NULL, apply, c, change_free, CALL_TIMEOUT_US) < 0)
		log_error("a worker does not answer; it will follow the reload when it does");
}

/* --- the end --- */

void listeners_unstore(struct listeners *ls)
{
	for (size_t i = 0; i < ls->n; i++)
		unstore(&ls->at[i]);
}

void listeners_each_socket(struct listeners *ls, void (*fn)(const char *name, int fd, void *arg), void *arg)
{
	for (size_t i = 0; i < ls->n; i++) {
		const struct listener_entry *e = &ls->at[i];
		char own[SOCKETS_OWN_NAME_MAX];
		fn(e->passed ? e->config.name : sockets_own_name(e->config.name, own), e->listener->fd, arg);
	}
}
