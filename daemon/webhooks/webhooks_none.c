/* SPDX-License-Identifier: MIT */
/* Without libcurl there are no webhooks, and the configuration has none. */
#include "daemon/webhooks/webhooks.h"

int webhooks_open(struct shared *shared, const struct config *config)
{
	(void)shared;
	(void)config;
	return 0;
}

int webhooks_start(struct webhooks *w)
{
	(void)w;
	return 0;
}

void webhooks_leave(struct webhooks *w)
{
	(void)w;
}

struct webhook_status *webhooks_copy_status(struct webhooks *w, size_t *ret_n)
{
	(void)w;
	*ret_n = 0;
	return NULL;
}
