/* SPDX-License-Identifier: MIT */
/*
 * Backup: a copy of the database with the bans and the accounts in it, in pieces of base64, as Varlink has no other bytes.
 * It is made before the first piece goes out.
 */
#include "daemon/history/backup.h"

#include "common/cleanup.h"
#include "daemon/base/logger.h"
#include "daemon/control/host.h"
#include "daemon/control/methods.h"
#include "daemon/engine/bans.h"
#include "daemon/history/archive.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BACKUP_PIECE 49152 /* bytes, a multiple of three */

struct backup_call {
	struct backup *backup;
	off_t at, size; /* what went out, and all; -1: it isn't there yet */
	unsigned char piece[BACKUP_PIECE];
	char text[sodium_base64_ENCODED_LEN(BACKUP_PIECE, sodium_base64_VARIANT_ORIGINAL)];
};

static void backup_forget(struct control_client *c, void *data)
{
	struct backup_call *b = data;

	backup_free(b->backup);
	control_host(c)->backing_up = false;
	free(b);
}

/* False: it isn't there yet, or the call has ended. */
static bool backup_look(struct control_client *c, struct backup_call *b, int *ret_fd)
{
	const char *why;
	struct stat st;

	*ret_fd = backup_fd(b->backup, &why);
	if (*ret_fd >= 0 && b->size < 0 && fstat(*ret_fd, &st) == 0)
		b->size = st.st_size;
	if (*ret_fd >= 0 || *ret_fd == -EINPROGRESS)
		return *ret_fd >= 0;
	control_refuse(c, "there is no copy: %s", why);
	control_stream_end(c);
	return false;
}

/* False: that was the last one. */
static bool backup_send_piece(struct control_client *c, struct backup_call *b, int fd)
{
	ssize_t n = pread(fd, b->piece, sizeof(b->piece), b->at);

	if (n <= 0 && b->at < b->size) {
		control_refuse(c, "the copy can't be read: %s",
			       n < 0 ? strerror(errno) : "it has become shorter");
		control_stream_end(c);
		return false;
	}
	b->at += n > 0 ? n : 0;
	bool last = b->at >= b->size;
	sodium_bin2base64(b->text, sizeof(b->text), b->piece, n > 0 ? (size_t)n : 0,
			  sodium_base64_VARIANT_ORIGINAL);
	control_reply(
	    c,
	    json_pack("{s:s,s:I,s:I}", "data", b->text, "at", (json_int_t)b->at, "size", (json_int_t)b->size),
	    !last);
	if (last)
		control_stream_end(c);
	return !last;
}

static void backup_follow(struct control_client *c, void *data)
{
	struct backup_call *b = data;
	bool more = true;
	int fd;

	if (!backup_look(c, b, &fd))
		return;
	while (more && !control_is_full(c))
		more = backup_send_piece(c, b, fd);
}

/* Those of the bans and of all listeners' accounts; to be freed, but not what it points to. */
static const char **backup_files(const struct host *h, size_t *ret_n)
{
	const struct config *config = h->ctx.config;
	const char **files = calloc(config->n_listeners + 1, sizeof(*files));
	const char *bans = bans_path(h->ctx.shared->bans);
	size_t n = 0;

	if (files && bans)
		files[n++] = bans;
	for (size_t i = 0; files && i < config->n_listeners; i++) {
		const char *path = config->listeners[i].password_file;
		bool known = !path;
		for (size_t k = 0; k < n && !known; k++)
			known = strcmp(files[k], path) == 0;
		if (!known)
			files[n++] = path;
	}
	*ret_n = n;
	return files;
}

void control_backup(struct control_client *c, const json_t *parameters, bool more)
{
	static const struct control_stream ops = {backup_follow, backup_forget};
	struct host *h = control_host(c);
	const char *database = archive_path(h->ctx.shared->archive);
	size_t n = 0;

	(void)parameters;
	if (!more || !database || h->backing_up) {
		control_refuse(c, !more	      ? "Backup has many replies, so the call must say \"more\""
				  : !database ? "there is no history: the configuration has no group history"
					      : "another copy is being made; try again when it is done");
		return;
	}
	struct backup_call *b = calloc(1, sizeof(*b));
	const char **files = b ? backup_files(h, &n) : NULL;
	int r =
	    files ? backup_begin(database, files, n, h->ctx.shared->slots, h->ctx.slot, &b->backup) : -ENOMEM;
	free(files);
	if (r < 0) {
		control_refuse(c, "there is no copy: %s", strerror(-r));
		free(b);
		return;
	}
	b->size = -1;
	h->backing_up = true;
	log_event(LOG_INFO, &(struct log_fields){.message_id = EVENT_CONTROL},
		  "control: %s makes a copy of the history, the bans and the accounts", control_peer(c));
	control_stream(c, &ops, b);
}
