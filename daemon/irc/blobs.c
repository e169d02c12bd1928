/* SPDX-License-Identifier: MIT */
/* Away texts and lists of whom somebody watches, by the client's index: see blobs.h. */
#include "daemon/irc/blobs.h"

#include "daemon/base/fault.h"
#include "daemon/irc/file.h"

#include <errno.h>
#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define STRIPES 16

struct irc_blobs {
	struct irc_file *file;
	struct clients *clients;
	pthread_mutex_t locks[STRIPES]; /* by the client's index */
};

static size_t irc_blobs_max(enum irc_blob_kind kind)
{
	return kind == IRC_BLOB_AWAY	   ? IRC_BLOB_AWAY_MAX
	       : kind == IRC_BLOB_SASL	   ? IRC_BLOB_SASL_MAX
	       : kind == IRC_BLOB_METADATA ? IRC_BLOB_METADATA_MAX
					   : IRC_BLOB_MONITOR_MAX;
}

/* The one of the two places that a blob of that number has; its bytes follow. */
static struct irc_blob_head *irc_blobs_at(struct irc_blobs *bs, uint32_t index, enum irc_blob_kind kind,
					  uint32_t number)
{
	return kind == IRC_BLOB_AWAY	   ? &bs->file->away[index][number & 1].head
	       : kind == IRC_BLOB_SASL	   ? &bs->file->sasl[index][number & 1].head
	       : kind == IRC_BLOB_METADATA ? &bs->file->metadata[index][number & 1].head
					   : &bs->file->monitor[index][number & 1].head;
}

uint32_t irc_blob_put(struct irc_blobs *bs, const struct client *c, enum irc_blob_kind kind, uint32_t holds,
		      const void *data, size_t len)
{
	uint32_t index = clients_index(bs->clients, c), number = holds + 1;

	if (len > irc_blobs_max(kind))
		return 0;
	if (number == 0)
		number = 2; /* in the place that UINT32_MAX isn't in */
	pthread_mutex_lock(&bs->locks[index % STRIPES]);
	struct irc_blob_head *h = irc_blobs_at(bs, index, kind, number);
	h->check = 0;
	h->number = number;
	h->len = (uint32_t)len;
	memcpy(h + 1, data, len);
	memset((char *)(h + 1) + len, 0, -len & 7);
	FAULT("irc-blob-written");
	h->check = irc_file_blob_check(h, c->id, kind);
	pthread_mutex_unlock(&bs->locks[index % STRIPES]);
	return number;
}

void irc_blob_wipe(struct irc_blobs *bs, const struct client *c, enum irc_blob_kind kind)
{
	uint32_t index = clients_index(bs->clients, c);

	pthread_mutex_lock(&bs->locks[index % STRIPES]);
	for (uint32_t number = 0; number < 2; number++) {
		struct irc_blob_head *h = irc_blobs_at(bs, index, kind, number);
		/* One that was never written would get its page by being wiped. */
		if (h->number != 0)
			sodium_memzero(h, sizeof(*h) + irc_blobs_max(kind));
	}
	pthread_mutex_unlock(&bs->locks[index % STRIPES]);
}

size_t irc_blob_get(struct irc_blobs *bs, uint32_t index, uint64_t id, enum irc_blob_kind kind,
		    uint32_t number, void *ret, size_t size)
{
	size_t len = 0;

	if (number == 0 || index >= CLIENTS_CAPACITY)
		return 0;
	pthread_mutex_lock(&bs->locks[index % STRIPES]);
	const struct irc_blob_head *h = irc_blobs_at(bs, index, kind, number);
	if (h->number == number && h->len <= size && h->len <= irc_blobs_max(kind) &&
	    h->check == irc_file_blob_check(h, id, kind)) {
		len = h->len;
		memcpy(ret, h + 1, len);
	}
	pthread_mutex_unlock(&bs->locks[index % STRIPES]);
	return len;
}

int irc_blobs_new(struct irc_file *file, struct clients *cs, struct irc_blobs **ret)
{
	struct irc_blobs *bs = calloc(1, sizeof(*bs));

	if (!bs)
		return -ENOMEM;
	bs->file = file;
	bs->clients = cs;
	for (unsigned i = 0; i < STRIPES; i++)
		pthread_mutex_init(&bs->locks[i], NULL);
	*ret = bs;
	return 0;
}

void irc_blobs_free(struct irc_blobs *bs)
{
	if (!bs)
		return;
	for (unsigned i = 0; i < STRIPES; i++)
		pthread_mutex_destroy(&bs->locks[i]);
	free(bs);
}
