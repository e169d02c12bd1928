/* SPDX-License-Identifier: MIT */
/*
 * What belongs to messages and has no place in a room's log, such as client-only tags: a ring of 4 MB.
 * Records name it by a number. What is old is gone.
 */
#ifndef DAEMON_IRC_ATTACHMENTS_H
#define DAEMON_IRC_ATTACHMENTS_H

#include "daemon/irc/records.h"

#include <stddef.h>
#include <stdint.h>

struct irc_file;
struct irc_attachments;

/*
 * Stores len bytes and returns their number; 0: there are none, or more than IRC_ATTACHMENT_MAX. Any thread.
 */
uint32_t irc_attachment_put(struct irc_attachments *as, const void *data, size_t len);
/*
 * Copies what has that number to ret, and returns its length; 0: there is none, it is gone, or longer than
 * size. Any thread.
 */
size_t irc_attachment_get(struct irc_attachments *as, uint32_t number, void *ret, size_t size);

/* Returns 0 or -ENOMEM. */
int irc_attachments_new(struct irc_file *file, struct irc_attachments **ret);
void irc_attachments_free(struct irc_attachments *as);

#endif
