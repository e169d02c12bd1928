/* SPDX-License-Identifier: MIT */
/* The way to NATS in a build without libnats: there is none. */
#include "daemon/io/nats_link.h"

#include <errno.h>

int nats_link_new(const struct nats_link_settings *settings, struct nats_link **ret)
{
	(void)settings;
	*ret = NULL;
	return -EOPNOTSUPP;
}

void nats_link_free(struct nats_link *l)
{
	(void)l;
}

int nats_link_fd(const struct nats_link *l)
{
	(void)l;
	return -1;
}

bool nats_link_next(struct nats_link *l, struct nats_event *ret)
{
	(void)l;
	*ret = (struct nats_event){0};
	return false;
}

void nats_event_free(struct nats_event *e)
{
	(void)e;
}

void nats_link_subscribe(struct nats_link *l, uint64_t generation, uint64_t applied, int64_t time_ns)
{
	(void)l;
	(void)generation;
	(void)applied;
	(void)time_ns;
}

int nats_link_publish(struct nats_link *l, uint64_t generation, uint64_t id, const char *subject,
		      const void *data, size_t len)
{
	(void)l;
	(void)generation;
	(void)id;
	(void)subject;
	(void)data;
	(void)len;
	return -ENOTCONN;
}

int nats_link_send(struct nats_link *l, const char *subject, const void *data, size_t len)
{
	(void)l;
	(void)subject;
	(void)data;
	(void)len;
	return -ENOTCONN;
}

void nats_link_server(const struct nats_link *l, char *ret, size_t size)
{
	(void)l;
	if (size)
		*ret = '\0';
}
