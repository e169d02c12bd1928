/* SPDX-License-Identifier: MIT */
/* The layouts that there have been, and how what is left of an earlier one is taken over: see layouts.h. */
#include "daemon/state/layouts.h"

#include "common/cleanup.h"
#include "daemon/base/fault.h"
#include "daemon/base/logger.h"
#include "daemon/state/file.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct layout {
	unsigned number;
	const char *rooms, *clients; /* their names in the fd store */
	/* To the next layout; NULL: there is none. */
	int (*convert_rooms)(int rooms_fd);
	int (*convert_clients)(int clients_fd, int rooms_fd);
};

static const struct layout layouts[] = {
    {4, "chatd-rooms", "chatd-clients", layout4_convert_rooms, layout4_convert_clients},
    {CLIENTS_LAYOUT, LAYOUTS_ROOMS_NAME, LAYOUTS_CLIENTS_NAME, NULL, NULL},
};

#define N_LAYOUTS (sizeof(layouts) / sizeof(*layouts))

/* The two files of a layout; -1: not there. */
struct pair {
	int rooms, clients;
};

static const struct layout *const ours = &layouts[N_LAYOUTS - 1];

static void layouts_close_pair(struct pair *p)
{
	if (p->rooms >= 0)
		close(take_fd(&p->rooms));
	if (p->clients >= 0)
		close(take_fd(&p->clients));
}

static void layouts_unstore(const struct layout *l)
{
	sockets_unstore(l->clients);
	FAULT("convert-unstore");
	sockets_unstore(l->rooms);
}

/* What tells one memory file from all others since the machine was started. */
static uint64_t layouts_identity(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 ? st.st_ino : 0;
}

static int layouts_note_origin(int clients_fd, uint64_t from)
{
	const off_t at = offsetof(struct file_header, made_from);

	return pwrite(clients_fd, &from, sizeof(from), at) == sizeof(from) ? 0 : -EIO;
}

/*
 * Whether this build's files count, rather than those of an earlier one that are there as well: they are complete,
 * and what they were made from is what is there. An older build that was run in between has another table.
 */
static bool layouts_is_finished(const struct pair *new, const struct pair *old)
{
	const off_t at = offsetof(struct file_header, made_from);
	uint64_t from;

	if (new->rooms < 0 || new->clients < 0)
		return false;
	return old->clients < 0 || (pread(new->clients, &from, sizeof(from), at) == sizeof(from) &&
				    from == layouts_identity(old->clients));
}

void layouts_tell_refused(const char *name, int error)
{
	log_event(LOG_ERR, &(struct log_fields){.message_id = EVENT_STATE_REFUSED},
		  "the state in %s can't be used: %s", name,
		  error == -EBADMSG ? "it is damaged or of another version's layout" : strerror(-error));
}

/* What converting a file gave. One that is damaged is left out (-1), and 0 is returned; other errors are returned:
 * the next start may have what was lacking. */
static int layouts_converted(const char *name, int fd, int *ret)
{
	*ret = fd >= 0 ? fd : -1;
	if (fd >= 0)
		return 0;
	if (fd != -EBADMSG && fd != -EBADF && fd != -EINVAL)
		return fd;
	layouts_tell_refused(name, fd);
	return 0;
}

/* To the next layout. */
static int layouts_convert_pair(const struct layout *l, const struct pair *old, struct pair *ret)
{
	int r = 0;

	*ret = (struct pair){-1, -1};
	if (old->rooms >= 0)
		r = layouts_converted(l->rooms, l->convert_rooms(old->rooms), &ret->rooms);
	FAULT("convert-rooms");
	if (r == 0 && old->clients >= 0)
		r = layouts_converted(l->clients, l->convert_clients(old->clients, old->rooms),
				      &ret->clients);
	FAULT("convert-clients");
	if (r < 0)
		layouts_close_pair(ret);
	return r;
}

static int layouts_convert_all(const struct layout *from, const struct pair *old, struct pair *ret)
{
	struct pair p = {.rooms = -1, .clients = -1};
	int r = 0;

	for (const struct layout *l = from; l < ours && r == 0; l++) {
		struct pair next;
		r = layouts_convert_pair(l, l == from ? old : &p, &next);
		layouts_close_pair(&p);
		if (r == 0)
			p = next;
	}
	if (r == 0 && p.clients >= 0)
		r = layouts_note_origin(p.clients, layouts_identity(old->clients));
	if (r < 0)
		layouts_close_pair(&p);
	*ret = p;
	return r;
}

/* Stores what an earlier layout was converted to, in place of that. */
static void layouts_replace(const struct layout *from, const struct pair *new)
{
	layouts_unstore(ours); /* what is left of an attempt that was cut */
	FAULT("convert-store");
	if (new->rooms >= 0)
		sockets_store(new->rooms, ours->rooms);
	FAULT("convert-store-rooms");
	if (new->clients >= 0)
		sockets_store(new->clients, ours->clients);
	FAULT("convert-store-clients");
	layouts_unstore(from);
	FAULT("convert-done");
	log_event(LOG_NOTICE, &(struct log_fields){.message_id = EVENT_TAKEOVER},
		  "the state of an earlier release (layout %u) is converted to layout %u", from->number,
		  ours->number);
}

/* What was passed of an earlier layout, the newest of those, or NULL. */
static const struct layout *layouts_claim_old(struct sockets *s, struct pair *ret)
{
	const struct layout *from = NULL;

	*ret = (struct pair){-1, -1};
	for (const struct layout *l = layouts; l < ours; l++) {
		struct pair p = {sockets_claim(s, l->rooms), sockets_claim(s, l->clients)};
		if (p.rooms < 0 && p.clients < 0)
			continue;
		if (from) {
			layouts_unstore(from);
			layouts_close_pair(ret);
		}
		from = l;
		*ret = p;
	}
	return from;
}

int layouts_adopt(struct sockets *s, bool *ret_refused)
{
	struct pair old, new;
	const struct layout *from = layouts_claim_old(s, &old);
	int r = 0;

	*ret_refused = false;
	if (!from)
		return 0;
	new = (struct pair){sockets_claim(s, ours->rooms), sockets_claim(s, ours->clients)};
	if (layouts_is_finished(&new, &old)) {
		layouts_unstore(from);
	} else {
		layouts_close_pair(&new);
		r = layouts_convert_all(from, &old, &new);
		if (r == 0) {
			*ret_refused = old.clients >= 0 && new.clients < 0;
			layouts_replace(from, &new);
		}
	}
	layouts_close_pair(&old);
	if (new.rooms >= 0)
		sockets_give_back(s, new.rooms, ours->rooms);
	if (new.clients >= 0)
		sockets_give_back(s, new.clients, ours->clients);
	return r;
}
