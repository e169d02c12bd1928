/* SPDX-License-Identifier: MIT */
/*
 * The ring of attachments. It is counted in units from the beginning of all time; an attachment's number is
 * the last 32 bits of where it begins. None goes over the ring's end.
 */
#include "daemon/irc/attachments.h"

#include "daemon/base/fault.h"
#include "daemon/irc/file.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define UNITS (IRC_ATTACHMENTS_SIZE / IRC_ATTACHMENT_UNIT)

_Static_assert(sizeof(struct irc_attachment_head) == IRC_ATTACHMENT_UNIT, "part of the state's layout");
_Static_assert((UNITS & (UNITS - 1)) == 0, "numbers that have gone round go on in the next place");

struct irc_attachments {
	struct irc_file *file;
	pthread_mutex_t lock;
};

static struct irc_attachment_head *irc_attachments_at(struct irc_attachments *as, uint64_t at)
{
	return (void *)(as->file->attachments + at % UNITS * IRC_ATTACHMENT_UNIT);
}

/* Where so many units fit that have a number, and are not the ring's end and its beginning. */
static uint64_t irc_attachments_place(uint64_t next, uint64_t units)
{
	if (next % UNITS + units > UNITS)
		next += UNITS - next % UNITS;
	return (uint32_t)next == 0 ? next + 1 : next;
}

uint32_t irc_attachment_put(struct irc_attachments *as, const void *data, size_t len)
{
	uint64_t units = irc_file_attachment_units(len);

	if (len == 0 || len > IRC_ATTACHMENT_MAX)
		return 0;
	pthread_mutex_lock(&as->lock);
	uint64_t at = irc_attachments_place(atomic_load(&as->file->header.next_attachment), units);
	struct irc_attachment_head *h = irc_attachments_at(as, at);
	/* What is overwritten is gone before, and the number is nobody else's any more. */
	atomic_store(&as->file->header.next_attachment, at + units);
	FAULT("irc-attachment-numbered");
	h->at = at;
	h->len = (uint32_t)len;
	memset(h + units - 1, 0, IRC_ATTACHMENT_UNIT);
	memcpy(h + 1, data, len);
	FAULT("irc-attachment-written");
	h->check = irc_file_attachment_check(h);
	pthread_mutex_unlock(&as->lock);
	return (uint32_t)at;
}

/* Where the newest of that number begins, if it is still there; UINT64_MAX: it is not. */
static uint64_t irc_attachments_find(struct irc_attachments *as, uint32_t number)
{
	uint64_t next = atomic_load(&as->file->header.next_attachment);
	uint64_t back = (uint32_t)((uint32_t)next - number);

	return number != 0 && back > 0 && back <= UNITS && back <= next ? next - back : UINT64_MAX;
}

static bool irc_attachments_is_whole(const struct irc_attachment_head *h, uint64_t at)
{
	return h->at == at && h->len > 0 && h->len <= IRC_ATTACHMENT_MAX &&
	       at % UNITS + irc_file_attachment_units(h->len) <= UNITS &&
	       h->check == irc_file_attachment_check(h);
}

size_t irc_attachment_get(struct irc_attachments *as, uint32_t number, void *ret, size_t size)
{
	size_t len = 0;

	pthread_mutex_lock(&as->lock);
	uint64_t at = irc_attachments_find(as, number);
	const struct irc_attachment_head *h = irc_attachments_at(as, at);
	if (at != UINT64_MAX && irc_attachments_is_whole(h, at) && h->len <= size) {
		len = h->len;
		memcpy(ret, h + 1, len);
	}
	pthread_mutex_unlock(&as->lock);
	return len;
}

int irc_attachments_new(struct irc_file *file, struct irc_attachments **ret)
{
	struct irc_attachments *as = calloc(1, sizeof(*as));

	if (!as)
		return -ENOMEM;
	as->file = file;
	pthread_mutex_init(&as->lock, NULL);
	*ret = as;
	return 0;
}

void irc_attachments_free(struct irc_attachments *as)
{
	if (!as)
		return;
	pthread_mutex_destroy(&as->lock);
	free(as);
}
