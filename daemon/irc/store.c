/* SPDX-License-Identifier: MIT */
/* The file of IRC: made, or checked and taken over; each part has what it says by itself. */
#include "daemon/irc/store.h"

#include "daemon/base/fault.h"
#include "daemon/channels/channels.h"
#include "daemon/irc/attachments.h"
#include "daemon/irc/blobs.h"
#include "daemon/irc/file.h"
#include "daemon/irc/markers.h"
#include "daemon/irc/personas.h"
#include "daemon/irc/users.h"
#include "daemon/irc/watchers.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <sys/mman.h>

#define IRC_FILE_SHAPE                                                                                       \
	((struct irc_file_shape){CLIENTS_CAPACITY, ROOMS_CAPACITY, CLIENTS_SCRATCHES, IRC_PERSONAS,          \
				 sizeof(struct irc_user), sizeof(struct irc_channel_half),                   \
				 sizeof(struct irc_persona), IRC_ATTACHMENTS_SIZE})

uint64_t irc_store_size(void)
{
	return sizeof(struct irc_file);
}

static uint64_t irc_store_check(const struct irc_file_header *h)
{
	return checksum_add(IRC_FILE_MAGIC, h, offsetof(struct irc_file_header, check));
}

/*
 * What rooms still have of a file that is gone names numbers of that one. Beginning somewhere, there is
 * hardly ever something of the same number here.
 */
static void irc_store_make(struct irc_file_header *h)
{
	h->magic = IRC_FILE_MAGIC;
	h->layout = IRC_FILE_LAYOUT;
	h->reserved = 0;
	h->shape = IRC_FILE_SHAPE;
	h->check = irc_store_check(h);
	randombytes_buf(h->marker_key, sizeof(h->marker_key));
	atomic_store(&h->next_persona, 1 + randombytes_uniform(UINT32_MAX / 2));
	atomic_store(&h->next_attachment, 1 + randombytes_uniform(UINT32_MAX / 2));
}

static bool irc_store_is_ours(const struct irc_file_header *h)
{
	static const struct irc_file_shape shape = IRC_FILE_SHAPE;

	return h->magic == IRC_FILE_MAGIC && h->layout == IRC_FILE_LAYOUT &&
	       memcmp(&h->shape, &shape, sizeof(shape)) == 0 && h->check == irc_store_check(h) &&
	       atomic_load(&h->next_attachment) > 0 && atomic_load(&h->next_attachment) < UINT64_MAX / 2;
}

/* May be cut short: nobody is served before it is done. */
static void irc_store_forget_users(struct irc_file *file)
{
	for (unsigned i = 0; i < CLIENTS_SCRATCHES; i++)
		atomic_store(&file->drafts[i].mark, 0);
	FAULT("irc-users-forgotten");
	memfd_release(file->ids, sizeof(*file) - offsetof(struct irc_file, ids));
}

static int irc_store_open_parts(struct irc *irc, struct clients *cs)
{
	int r = irc_users_new(irc->file, cs, &irc->users);

	if (r == 0)
		r = irc_blobs_new(irc->file, cs, &irc->blobs);
	if (r == 0)
		r = irc_personas_new(irc->file, &irc->personas);
	if (r == 0)
		r = irc_attachments_new(irc->file, &irc->attachments);
	if (r == 0)
		r = irc_channels_new(irc->file->made, irc->file->channels, &irc->channels);
	if (r == 0)
		r = irc_markers_new(irc->file, &irc->markers);
	if (r == 0)
		r = irc_watchers_new(&irc->watchers);
	return r;
}

int irc_store_open(int fd, bool fresh, bool strangers, struct clients *cs, struct rooms *rooms,
		   struct irc **ret)
{
	int64_t size = memfd_check(fd, sizeof(struct irc_file));
	struct irc *irc = calloc(1, sizeof(*irc));
	int r = !irc ? -ENOMEM : size < 0 ? (int)size : 0;

	if (r == 0)
		r = memfd_map(fd, 0, sizeof(*irc->file), (void **)&irc->file);
	if (r == 0 && fresh)
		irc_store_make(&irc->file->header);
	else if (r == 0 && !irc_store_is_ours(&irc->file->header))
		r = -EBADMSG;
	else if (r == 0 && strangers)
		irc_store_forget_users(irc->file);
	if (r == 0)
		r = irc_store_open_parts(irc, cs);
	if (r < 0) {
		irc_store_close(irc);
		return r;
	}
	if (!fresh)
		irc_channels_recover(irc->channels, rooms);
	*ret = irc;
	return 0;
}

void irc_store_close(struct irc *irc)
{
	if (!irc)
		return;
	irc_users_free(irc->users);
	irc_blobs_free(irc->blobs);
	irc_personas_free(irc->personas);
	irc_attachments_free(irc->attachments);
	irc_channels_free(irc->channels);
	irc_markers_free(irc->markers);
	irc_watchers_free(irc->watchers);
	if (irc->file)
		munmap(irc->file, sizeof(*irc->file));
	free(irc);
}
