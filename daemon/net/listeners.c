/* SPDX-License-Identifier: MIT */
#include "daemon/net/listeners.h"

#include "common/cleanup.h"
#include "daemon/base/clock.h"
#include "daemon/base/logger.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

/* How long workers may take over a change of what they do. */
#define CALL_TIMEOUT_US (5 * SECOND_US)
#define LISTEN_BACKLOG 4096
/* How long a service that a reload takes away may go on, since others wait meanwhile. */
#define DRAIN_US (SECOND_US)

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

static void entry_free(struct listener_entry *e)
{
	listener_free(e->listener);
	zmq_listener_free(e->zmq);
	e->listener = NULL;
	e->zmq = NULL;
}

void listeners_free(struct listeners *ls)
{
	if (!ls)
		return;
	for (size_t i = 0; i < ls->n; i++)
		entry_free(&ls->at[i]);
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

void listeners_stats(const struct listeners *ls, const struct listener_entry *e, struct listener_stats *ret)
{
	listener_tally_stats(clients_tally(ls->shared->clients, e->origin), ret);
}

/* --- one of them --- */

static bool is_zmq(const struct listener_config *c)
{
	return c->handler->transport == TRANSPORT_ZMQ;
}

char *listener_place(const struct listener_config *c, char dst[static LISTENER_PLACE_MAX])
{
	size_t o = 0;

	if (!is_zmq(c))
		return address_format(config_bound(c), dst);
	for (unsigned i = 0; i < HANDLER_ENDPOINTS && c->handler->endpoints[i]; i++)
		o +=
		    (size_t)snprintf(dst + o, LISTENER_PLACE_MAX - o, "%s%s%s%s", i ? " " : "",
				     i || c->handler->endpoints[1] ? c->handler->endpoints[i] : "",
				     i || c->handler->endpoints[1] ? " " : "",
				     c->endpoints[i].bound[0] ? c->endpoints[i].bound : c->endpoints[i].text);
	return dst;
}

/* Whether a listener can have that configuration without closing its sockets. */
static bool is_same(const struct listener_entry *e, const struct listener_config *b)
{
	const struct listener_config *a = &e->config;

	return a->handler == b->handler && strcmp(a->name, b->name) == 0 && strcmp(a->room, b->room) == 0 &&
	       (e->zmq ? zmq_listener_is_same(e->zmq, b) : address_equal(&a->listen, &b->listen));
}

/* Where each socket of a listener listens. */
static unsigned places(const struct listener_config *c, struct place ret[static HANDLER_ENDPOINTS])
{
	unsigned n = 0;

	if (!is_zmq(c)) {
		ret[0] = (struct place){.datagrams = c->handler->transport == TRANSPORT_UDP,
					.address = c->listen,
					.backlog = c->backlog};
		snprintf(ret[0].name, sizeof(ret[0].name), "%s", c->name);
		return 1;
	}
	for (; n < HANDLER_ENDPOINTS && c->handler->endpoints[n]; n++) {
		const char *which = c->handler->endpoints[1] ? c->handler->endpoints[n] : NULL;
		ret[n] = (struct place){.address = c->endpoints[n].address, .backlog = LISTEN_BACKLOG};
		snprintf(ret[n].name, sizeof(ret[n].name), "%.*s%s%s",
			 (int)(sizeof(c->name) - (which ? 2 + strlen(which) : 1)), c->name, which ? "." : "",
			 which ? which : "");
	}
	return n;
}

static int entry_fd(const struct listener_entry *e, unsigned number)
{
	return e->zmq ? zmq_listener_fd(e->zmq, number) : e->listener->fd;
}

/* Datagrams and connections may share an address. */
static bool same_place(const struct place *a, const struct place *b)
{
	return a->address.sa.sa_family && a->datagrams == b->datagrams &&
	       address_equal(&a->address, &b->address);
}

/* A listener that was there before, under whatever name, lends its socket to one at the same address. */
static int borrow_socket(const struct listeners *ls, const struct place *place, bool *ret_passed)
{
	struct place old[HANDLER_ENDPOINTS];

	for (size_t i = 0; i < ls->n; i++) {
		unsigned n = places(&ls->at[i].config, old);
		for (unsigned k = 0; k < n; k++) {
			if (!same_place(&old[k], place))
				continue;
			*ret_passed = ls->at[i].passed[k];
			int fd = fcntl(entry_fd(&ls->at[i], k), F_DUPFD_CLOEXEC, 3);
			return fd < 0 ? -errno : fd;
		}
	}
	return -ENOENT;
}

/* Whether sockets of listeners that were there before let others have their addresses, [::] and 127.0.0.1 of
 * one port. */
static bool share_sockets(const struct listeners *ls, const struct place *place, bool share)
{
	bool any = false;
	struct place old[HANDLER_ENDPOINTS];
	char text[LISTENER_PLACE_MAX];
	union address a;

	for (size_t i = 0; i < ls->n; i++) {
		unsigned n = places(&ls->at[i].config, old);
		for (unsigned k = 0; k < n; k++) {
			int fd = entry_fd(&ls->at[i], k);
			if (fd < 0 || old[k].datagrams != place->datagrams ||
			    !sockets_bound(fd, &a, text, sizeof(text)) || !a.sa.sa_family ||
			    !address_overlaps(&a, &place->address))
				continue;
			sockets_share(fd, share);
			any = true;
		}
	}
	return any;
}

static int open_socket(struct listeners *ls, const struct place *place, bool *ret_passed)
{
	int fd = borrow_socket(ls, place, ret_passed);

	if (fd == -ENOENT)
		fd = sockets_listen(ls->sockets, place, false, ret_passed);
	/* It may be a listener of ours that a reload moves from an address to all of them, or back: both have
	 * it until the old one ends. */
	if (fd == -EADDRINUSE && share_sockets(ls, place, true)) {
		fd = sockets_listen(ls->sockets, place, true, ret_passed);
		share_sockets(ls, place, false);
	}
	return fd;
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

/* What is bound is the truth, also where a unit of systemd says something else than the configuration. */
static void find_bound(struct listener_config *c, unsigned number, int fd)
{
	char text[sizeof(c->endpoints[0].bound)];
	union address a;

	if (fd < 0 || !sockets_bound(fd, &a, text, sizeof(text)))
		return;
	if (is_zmq(c))
		memcpy(c->endpoints[number].bound, text, sizeof(text));
	else
		c->bound = a;
}

/* A ZeroMQ listener listens at TCP endpoints with our sockets, at others with libzmq's own. */
static int open_zmq(struct listeners *ls, const struct config *config, struct listener_entry *e,
		    unsigned origin)
{
	struct place place[HANDLER_ENDPOINTS];
	int fds[HANDLER_ENDPOINTS] = {-1, -1}, r = 0;
	unsigned n = places(&e->config, place);

	for (unsigned i = 0; r == 0 && i < n; i++) {
		fds[i] = sockets_claim_unix(ls->sockets, place[i].name, e->config.endpoints[i].text);
		e->passed[i] = fds[i] >= 0;
		if (fds[i] >= 0 || !place[i].address.sa.sa_family)
			continue;
		fds[i] = open_socket(ls, &place[i], &e->passed[i]);
		r = fds[i] < 0 ? fds[i] : 0;
	}
	for (unsigned i = 0; i < n; i++)
		find_bound(&e->config, i, fds[i]);
	if (r == 0)
		r = zmq_listener_new(ls->shared, config, &e->config, fds, origin, &e->zmq);
	if (r == 0)
		e->service = zmq_listener_service(e->zmq);
	for (unsigned i = 0; r < 0 && i < n; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	return r;
}

static int open_entry(struct listeners *ls, struct config *config, size_t number, struct listener_entry *ret)
{
	struct listener_config *c = &config->listeners[number];
	unsigned home = (unsigned)(number % ls->shared->n_workers);

	*ret = (struct listener_entry){.config = *c};
	int origin = intern(ls, c);
	if (origin < 0)
		return origin;
	ret->origin = (unsigned)origin;
	if (is_zmq(c))
		return open_zmq(ls, config, ret, (unsigned)origin);
	struct place place[HANDLER_ENDPOINTS];
	places(c, place);
	int fd = open_socket(ls, &place[0], &ret->passed[0]);
	if (fd < 0)
		return fd;
	find_bound(c, 0, fd);
	ret->config = *c;
	int r = listener_new(ls->shared->clients, fd, c, (unsigned)origin, home, &ret->listener);
	if (r < 0)
		close(fd);
	else if (ret->listener->ops->configure) /* a borrowed socket has the backlog of before */
		ret->listener->ops->configure(ret->listener);
	return r;
}

/* [::] of a unit with BindIPv6Only=ipv6-only. */
static bool is_ipv6_only(int fd, const union address *a)
{
	int only = 0;
	socklen_t len = sizeof(only);

	return a->sa.sa_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&a->in6.sin6_addr) &&
	       getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, &len) == 0 && only;
}

/* A unit counts more than the configuration, which is easily overlooked. */
static void warn_of_units(const struct listener_entry *e)
{
	struct place place[HANDLER_ENDPOINTS];
	unsigned n = places(&e->config, place);
	const struct log_fields fields = {.message_id = EVENT_LISTENER, .listener = e->config.name};

	for (unsigned i = 0; i < n; i++) {
		char bound[LISTENER_PLACE_MAX], wanted[ADDRESS_TEXT_MAX];
		bool zmq = is_zmq(&e->config);
		union address a;
		if (!e->passed[i] || !sockets_bound(entry_fd(e, i), &a, bound, sizeof(bound)))
			continue;
		const char *at = zmq ? bound : bound + strlen("tcp://");
		const char *conf =
		    zmq ? e->config.endpoints[i].text : address_format(&place[i].address, wanted);
		if (a.sa.sa_family
			? !place[i].address.sa.sa_family || !sockets_same_place(&a, &place[i].address)
			: strcmp(bound, conf) != 0)
			log_event(LOG_WARNING, &fields,
				  "listener %s: the socket from systemd is at %s, which counts; the "
				  "configuration says %s",
				  e->config.name, at, conf);
		else if (a.sa.sa_family && is_ipv6_only(entry_fd(e, i), &a))
			log_event(LOG_WARNING, &fields,
				  "listener %s: the socket from systemd at %s takes no IPv4 (BindIPv6Only=)",
				  e->config.name, at);
	}
}

static void log_entry(const struct listener_entry *e)
{
	char place[LISTENER_PLACE_MAX];

	warn_of_units(e);
	log_event(LOG_INFO, &(struct log_fields){.message_id = EVENT_LISTENER, .listener = e->config.name},
		  "listener %s: %s %s on %s%s%s%s", e->config.name, e->config.handler->type,
		  e->config.handler->mode, listener_place(&e->config, place),
		  e->config.room[0] ? ", room " : "", e->config.room,
		  e->passed[0] ? " (socket from systemd)" : "");
}

/* Calls fn with the sockets that chatd bound itself, or with all, and the names by which they are kept. */
static void each_socket(const struct listener_entry *e, bool passed_too,
			void (*fn)(const char *name, int fd, void *arg), void *arg)
{
	struct place place[HANDLER_ENDPOINTS];
	unsigned n = places(&e->config, place);
	char own[SOCKETS_OWN_NAME_MAX];

	for (unsigned i = 0; i < n; i++) {
		int fd = entry_fd(e, i);
		if (fd >= 0 && !e->passed[i])
			fn(sockets_own_name(place[i].name, own), fd, arg);
		else if (fd >= 0 && passed_too)
			fn(place[i].name, fd, arg);
	}
}

static void store_socket(const char *name, int fd, void *arg)
{
	(void)arg;
	sockets_store(fd, name);
}

static void unstore_socket(const char *name, int fd, void *arg)
{
	(void)fd;
	(void)arg;
	sockets_unstore(name);
}

/* What waits in a socket outlives us, too, if it was chatd that bound it. */
static void store(const struct listener_entry *e)
{
	each_socket(e, false, store_socket, NULL);
}

static void unstore(const struct listener_entry *e)
{
	each_socket(e, false, unstore_socket, NULL);
}

/* --- the start --- */

bool listeners_has_origin(const struct listeners *ls, unsigned origin)
{
	for (size_t i = 0; i < ls->n; i++)
		if (ls->at[i].listener && ls->at[i].listener->origin == origin)
			return true;
	return false;
}

/* That its room can't be entered keeps nobody else from being served; a reload tries again. */
static int start_zmq_at_start(struct listener_entry *e, bool held)
{
	int r = service_start(e->service, held);

	return r == -EACCES || r == -ENOSPC ? 0 : r;
}

int listeners_open(struct listeners *ls, struct config *config, bool taken_over)
{
	ls->at = calloc(config->n_listeners + 1, sizeof(*ls->at));
	if (!ls->at)
		return -ENOMEM;
	for (size_t i = 0; i < config->n_listeners; i++) {
		struct listener_entry *e = &ls->at[ls->n];
		int r = open_entry(ls, config, i, e);
		if (r == 0) {
			ls->n++;
			r = e->zmq ? start_zmq_at_start(e, taken_over)
				   : listener_start(e->listener, ls->shared->workers[e->listener->home]);
		}
		if (r < 0) {
			char place[LISTENER_PLACE_MAX];
			log_event(
			    LOG_ERR,
			    &(struct log_fields){.message_id = EVENT_LISTENER, .listener = e->config.name},
			    "%s: listener %s: %s: %s", e->config.where ? e->config.where : "?",
			    e->config.name, listener_place(&e->config, place), zmq_strerror(-r));
			return r;
		}
		log_entry(e);
	}
	sockets_forget_names(ls->sockets);
	for (size_t i = 0; i < config->n_listeners; i++)
		store(&ls->at[i]);
	return 0;
}

/* --- a reload --- */

static bool holds(const struct listener_entry *list, size_t n, const struct listener_entry *e)
{
	for (size_t i = 0; i < n; i++)
		if (list[i].listener == e->listener && list[i].zmq == e->zmq)
			return true;
	return false;
}

static bool is_open(const struct listener_entry *e)
{
	return e->listener || e->zmq;
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
		if (is_open(&ls->next[i]) && !holds(ls->at, ls->n, &ls->next[i])) {
			if (ls->next[i].service)
				service_end(ls->next[i].service, 0);
			entry_free(&ls->next[i]);
		}
	forget_next(ls);
}

/* Whether an old listener has one of these endpoints. */
static bool is_borrowed(const struct listeners *ls, const struct listener_config *c)
{
	for (size_t i = 0; i < ls->n; i++)
		for (unsigned k = 0; ls->at[i].zmq && k < HANDLER_ENDPOINTS; k++)
			for (unsigned m = 0; m < HANDLER_ENDPOINTS; m++)
				if (c->endpoints[m].text[0] &&
				    strcmp(c->endpoints[m].text, ls->at[i].config.endpoints[k].text) == 0)
					return true;
	return false;
}

/* A new configuration of one that stays open. */
static void keep_bound(struct listener_config *new, const struct listener_config *old)
{
	new->bound = old->bound;
	for (unsigned i = 0; i < HANDLER_ENDPOINTS; i++)
		memcpy(new->endpoints[i].bound, old->endpoints[i].bound, sizeof(new->endpoints[i].bound));
}

int listeners_prepare(struct listeners *ls, struct config *new, FILE *errors)
{
	int result = 0;

	ls->next = calloc(new->n_listeners + 1, sizeof(*ls->next));
	if (!ls->next)
		return -ENOMEM;
	ls->n_next = new->n_listeners;
	for (size_t i = 0; i < new->n_listeners; i++) {
		struct listener_config *config = &new->listeners[i];
		bool kept = false;
		for (size_t k = 0; k < ls->n && !kept; k++)
			if (is_same(&ls->at[k], config)) {
				keep_bound(config, &ls->at[k].config);
				ls->next[i] = ls->at[k];
				ls->next[i].config = *config;
				kept = true;
			}
		int r = kept ? 0 : open_entry(ls, new, i, &ls->next[i]);
		/* An endpoint that an old one holds is free when that has ended. */
		if (r == 0 && ls->next[i].zmq && !kept && !is_borrowed(ls, config))
			r = service_start(ls->next[i].service, false);
		if (r < 0) {
			char place[LISTENER_PLACE_MAX];
			fprintf(errors, "%s: listener %s: %s: %s\n", config->where ? config->where : "?",
				config->name, listener_place(config, place), zmq_strerror(-r));
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

static void reconfigure(struct listener *l, const struct listener_config *config)
{
	l->config = config;
	if (l->ops->configure)
		l->ops->configure(l);
}

static void apply(struct worker *w, void *arg)
{
	const struct change *c = arg;
	unsigned me = worker_context(w)->slot;

	worker_reload(w, c->config);
	for (size_t i = 0; i < c->n_stop; i++)
		if (c->stop[i]->home == me)
			listener_stop(c->stop[i]);
	for (size_t i = 0; i < c->n_keep; i++)
		if (c->keep[i]->home == me)
			reconfigure(c->keep[i], c->settings[i]);
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
	struct place old[HANDLER_ENDPOINTS], now[HANDLER_ENDPOINTS];
	unsigned n = places(&e->config, old);

	for (unsigned k = 0; k < n; k++) {
		bool used = !e->passed[k];
		for (size_t i = 0; i < ls->n_next; i++) {
			unsigned m = places(&ls->next[i].config, now);
			for (unsigned x = 0; x < m; x++)
				used |= same_place(&now[x], &old[k]);
		}
		int fd = used ? -1 : fcntl(entry_fd(e, k), F_DUPFD_CLOEXEC, 3);
		if (fd >= 0)
			sockets_give_back(ls->sockets, fd, old[k].name);
	}
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
		if (holds(ls->next, ls->n_next, e))
			continue;
		unstore(e);
		give_back_passed(ls, e);
		if (e->zmq) {
			service_end(e->service, DRAIN_US);
			zmq_listener_free(e->zmq);
		} else {
			c->stop[c->n_stop++] = e->listener;
		}
		log_event(LOG_INFO,
			  &(struct log_fields){.message_id = EVENT_LISTENER, .listener = e->config.name},
			  "listener %s ends", e->config.name);
	}
	for (size_t i = 0; i < ls->n_next; i++) {
		struct listener_entry *e = &ls->next[i];
		bool kept = holds(ls->at, ls->n, e);
		if (e->zmq) {
			if (!kept && is_borrowed(ls, &e->config))
				service_start(e->service,
					      false); /* what is wrong is logged; a reload tries again */
		} else if (kept) {
			c->settings[c->n_keep] = &new->listeners[i];
			c->keep[c->n_keep++] = e->listener;
		} else {
			c->start[c->n_start++] = e->listener;
		}
		if (kept)
			continue;
		store(e);
		log_entry(e);
	}
	services_reloaded(&ls->shared->services, new);
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
	for (size_t i = 0; i < ls->n; i++)
		each_socket(&ls->at[i], true, fn, arg);
}
