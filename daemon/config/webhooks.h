/* SPDX-License-Identifier: MIT */
/* `webhooks` in the configuration: which rooms' messages are posted to which addresses. */
#ifndef DAEMON_CONFIG_WEBHOOKS_H
#define DAEMON_CONFIG_WEBHOOKS_H

#include "common/text.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WEBHOOKS_MAX 64
#define WEBHOOK_NAME_MAX 63 /* bytes, of what a room's name has */
#define WEBHOOK_URL_MAX 2048
#define WEBHOOK_BATCH_MAX 1000

struct webhook_config {
	char name[WEBHOOK_NAME_MAX + 1];
	char room[TEXT_ROOM_MAX + 1];
	char *url;	   /* http:// or https:// */
	char *secret;	   /* what deliveries are signed with */
	char *secret_file; /* where it is from, or NULL */
	char *ca_file,
	    *ca; /* certificates that are trusted instead of the system's: their path, and text; or NULL */
	int64_t keep_us;    /* what is older is not delivered any more */
	int64_t timeout_us; /* of one delivery */
	unsigned batch;	    /* messages in one delivery */
	bool notices;	    /* comings and goings, too */
};

struct webhooks_config {
	struct webhook_config *at; /* each name is there once */
	size_t n;
};

void webhooks_config_free(struct webhooks_config *c);
/* Of one, what is not its own. */
void webhook_config_release(struct webhook_config *c);
/* A copy for another thread; false without memory. */
bool webhook_config_copy(const struct webhook_config *c, struct webhook_config *ret);
bool webhook_config_equal(const struct webhook_config *a, const struct webhook_config *b);

#endif
