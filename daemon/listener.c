/* SPDX-License-Identifier: MIT */
#include "daemon/listener.h"

#include "common/cleanup.h"

#include <string.h>

int listener_new(int fd, const struct listener_config *config, unsigned origin, unsigned home,
		 struct listener **ret)
{
	static struct listener *(*const constructors[])(const struct listener_config *config) = {
	    [TRANSPORT_TCP] = tcp_listener_new,
	    [TRANSPORT_UDP] = udp_listener_new,
	};
	struct listener *l = constructors[config->handler->transport](config);

	if (!l)
		return -ENOMEM;
	l->fd = fd;
	l->origin = origin;
	l->home = home;
	l->handler = config->handler;
	memcpy(l->name, config->name, sizeof(l->name));
	*ret = l;
	return 0;
}

void listener_free(struct listener *l)
{
	if (!l)
		return;
	close(l->fd);
	l->ops->free(l);
}

int listener_start(struct listener *l, struct worker *w)
{
	l->w = w;
	int r = l->ops->start(l);
	if (r < 0) {
		l->w = NULL;
		return r;
	}
	l->prev = NULL;
	l->next = *worker_listeners(w);
	if (l->next)
		l->next->prev = l;
	*worker_listeners(w) = l;
	return 0;
}

void listener_stop(struct listener *l)
{
	if (!l->w)
		return;
	l->ops->stop(l);
	if (l->prev)
		l->prev->next = l->next;
	else
		*worker_listeners(l->w) = l->next;
	if (l->next)
		l->next->prev = l->prev;
	l->w = NULL;
}

void listener_stats(const struct listener *l, struct listener_stats *ret)
{
	*ret = (struct listener_stats){0};
	l->ops->stats(l, ret);
}
