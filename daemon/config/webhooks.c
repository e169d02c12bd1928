/* SPDX-License-Identifier: MIT */
/* Copies of what is configured of webhooks, and whether a reload has changed one. */
#include "daemon/config/webhooks.h"

#include <stdlib.h>
#include <string.h>

void webhook_config_release(struct webhook_config *c)
{
	if (c->secret)
		explicit_bzero(c->secret, strlen(c->secret));
	free(c->url);
	free(c->secret);
	free(c->secret_file);
	free(c->ca_file);
	free(c->ca);
	c->url = c->secret = c->secret_file = c->ca_file = c->ca = NULL;
}

void webhooks_config_free(struct webhooks_config *c)
{
	for (size_t i = 0; c && i < c->n; i++)
		webhook_config_release(&c->at[i]);
	if (c)
		free(c->at);
	free(c);
}

static bool webhook_copy_text(const char *s, char **ret)
{
	*ret = s ? strdup(s) : NULL;
	return !s || *ret;
}

bool webhook_config_copy(const struct webhook_config *c, struct webhook_config *ret)
{
	*ret = *c;
	bool whole = webhook_copy_text(c->url, &ret->url);
	whole &= webhook_copy_text(c->secret, &ret->secret);
	whole &= webhook_copy_text(c->secret_file, &ret->secret_file);
	whole &= webhook_copy_text(c->ca_file, &ret->ca_file);
	whole &= webhook_copy_text(c->ca, &ret->ca);
	if (!whole)
		webhook_config_release(ret);
	return whole;
}

static bool webhook_same_text(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

/* Where the secret and the certificates are from doesn't matter. */
bool webhook_config_equal(const struct webhook_config *a, const struct webhook_config *b)
{
	return strcmp(a->name, b->name) == 0 && strcmp(a->room, b->room) == 0 &&
	       webhook_same_text(a->url, b->url) && webhook_same_text(a->secret, b->secret) &&
	       webhook_same_text(a->ca, b->ca) && a->keep_us == b->keep_us &&
	       a->timeout_us == b->timeout_us && a->batch == b->batch && a->notices == b->notices;
}
