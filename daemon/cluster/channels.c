/* SPDX-License-Identifier: MIT */
/*
 * The channels: one for each room that is shared, made when the room is or when something comes for it. Rooms come
 * and go with the people in them, and may not go while this thread looks at them; so a channel holds its rooms
 * while it has something to do, and lets them go soon after that.
 */
#include "daemon/cluster/core.h"

#include "daemon/base/clock.h"
#include "daemon/base/logger.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHANNEL_IDLE_US (2 * SECOND_US)
/* Whether rooms are gone is looked at that often; only their positions' space depends on it. */
#define CHANNEL_SWEEP_US (60 * SECOND_US)

static struct channel **channel_bucket(struct core *c, const char *room)
{
	return &c->by_name[hash_bytes(&c->key, room, strlen(room)) % 1024];
}

struct channel *channel_known(struct core *c, const char *room)
{
	struct channel *ch = *channel_bucket(c, room);

	while (ch && strcmp(ch->room, room) != 0)
		ch = ch->next;
	return ch;
}

static void channel_forget(struct core *c, struct channel *ch)
{
	struct channel **p = channel_bucket(c, ch->room);

	while (*p != ch)
		p = &(*p)->next;
	*p = ch->next;
	c->at[ch->index] = NULL;
	c->n_channels--;
	c->n_misused -= ch->misused;
	free(ch);
}

/* --- holding --- */

bool channel_hold(struct core *c, struct channel *ch)
{
	ch->used_at = c->now;
	if (ch->out)
		return true;
	struct room *out = rooms_enter_index(c->start.rooms, ch->index, c->start.slot);
	if (out && out->main && out->epoch == ch->epoch) {
		ch->out = out;
		ch->main = out->main;
		return true;
	}
	if (out)
		rooms_leave(c->start.rooms, out, c->start.slot);
	cluster_file_retire(c->start.file, ch->own);
	channel_forget(c, ch);
	return false;
}

static void channel_let_go(const struct core *c, struct channel *ch)
{
	rooms_leave(c->start.rooms, ch->out, c->start.slot);
	ch->out = ch->main = NULL;
}

static bool channels_count(struct room *r, void *arg)
{
	*(unsigned *)arg += r->outgoing != NULL;
	return true;
}

void channels_tidy(struct core *c)
{
	bool sweep = c->now - c->swept_at >= CHANNEL_SWEEP_US;

	if (c->now - c->looked_at < SECOND_US)
		return;
	c->looked_at = c->now;
	c->status.n_rooms = 0;
	rooms_each(c->start.rooms, channels_count, &c->status.n_rooms);
	if (sweep)
		c->swept_at = c->now;
	for (uint32_t i = 0; i < ROOMS_CAPACITY; i++) {
		struct channel *ch = c->at[i];
		if (!ch)
			continue;
		if (ch->out && !ch->busy && ch->n_gaps == 0 && c->now - ch->used_at >= CHANNEL_IDLE_US)
			channel_let_go(c, ch);
		else if (!ch->out && sweep && channel_hold(c, ch))
			channel_let_go(c, ch);
	}
}

/* --- making --- */

void channel_tell_echoed(const struct core *c, const struct channel *ch)
{
	struct logring_view v;
	uint64_t seq = ch->low;

	logring_pin(ch->out->log, c->start.slot, &v);
	if (seq < v.first)
		seq = v.first;
	uint64_t pos = logring_start(ch->out->log, &v, seq);
	logring_unpin(ch->out->log, c->start.slot);
	logring_flushed_to(ch->out->log, c->start.slot, pos, seq);
}

/* What the file says of lines that this log never had is of no use. */
static void channel_check(const struct core *c, const struct channel *ch)
{
	uint64_t count = logring_count(ch->out->log);

	if (ch->own->echoed <= count && ch->own->expected <= count && ch->boot.from <= count)
		return;
	log_event(LOG_ERR, &(struct log_fields){.message_id = EVENT_STATE_REFUSED, .room = ch->room},
		  "cluster: %" PRIu64 " lines were said here, and not %" PRIu64, count, ch->own->expected);
	cluster_file_move(c->start.file, ch->own, ch->own->expected < count ? ch->own->expected : count,
			  ch->own->echoed < count ? ch->own->echoed : count,
			  cluster_file_applied(c->start.file));
}

/* Of an outgoing room that is held, which it takes over. */
static struct channel *channel_add(struct core *c, struct room *out)
{
	struct channel *ch = calloc(1, sizeof(*ch));
	char token[WIRE_TOKEN_MAX];

	if (ch)
		ch->boot = outgoing_boot(out);
	if (ch)
		ch->own = boots_position(c->start.file, c->node, out, &ch->boot);
	if (!ch || !ch->own) {
		log_event(LOG_ERR, &(struct log_fields){.message_id = EVENT_CLUSTER, .room = out->main->name},
			  "cluster: there is no space for one more room");
		rooms_leave(c->start.rooms, out, c->start.slot);
		free(ch);
		return NULL;
	}
	ch->out = out;
	ch->main = out->main;
	ch->index = out->index;
	ch->epoch = out->epoch;
	snprintf(ch->room, sizeof(ch->room), "%.*s", TEXT_ROOM_MAX, out->main->name);
	snprintf(ch->subject, sizeof(ch->subject), "%s.s.room.%s", c->root, wire_token(ch->room, token));
	ch->used_at = c->now;
	channel_check(c, ch);
	boots_close_before(c->start.file, c->node, out, &ch->boot);
	ch->low = ch->sent = ch->own->echoed;
	ch->asks = true;
	channel_tell_echoed(c, ch);
	ch->next = *channel_bucket(c, ch->room);
	*channel_bucket(c, ch->room) = ch;
	c->at[ch->index] = ch;
	c->n_channels++;
	channel_look(c, ch);
	return ch;
}

struct channel *channel_of_index(struct core *c, uint32_t index)
{
	if (index >= ROOMS_CAPACITY)
		return NULL;
	if (c->at[index] && channel_hold(c, c->at[index]))
		return c->at[index];
	struct room *out = rooms_enter_index(c->start.rooms, index, c->start.slot);
	if (out && out->main)
		return channel_add(c, out);
	if (out)
		rooms_leave(c->start.rooms, out, c->start.slot);
	return NULL;
}

struct channel *channel_of_room(struct core *c, const char *room)
{
	static const struct room_guest service = {.is_member = true, .from_others = true};
	struct channel *ch = channel_known(c, room);
	struct room *main;

	if (ch && channel_hold(c, ch))
		return ch;
	if (!c->start.has_room(room, c->start.arg))
		return NULL;
	int r = rooms_enter(c->start.rooms, room, c->start.slot, &service, &main);
	if (r < 0) {
		c->refused++;
		if (!c->full_told || c->now - c->full_told > 60 * SECOND_US)
			log_event(LOG_ERR, &(struct log_fields){.message_id = EVENT_CLUSTER, .room = room},
				  "cluster: the room can't be opened, and its lines are passed over: %s",
				  r == -ENOSPC ? "there are max_rooms" : strerror(-r));
		c->full_told = c->now;
		return NULL;
	}
	ch = main->outgoing ? channel_of_index(c, main->outgoing->index) : NULL;
	rooms_leave(c->start.rooms, main, c->start.slot);
	return ch;
}

struct channels_found {
	uint32_t *at;
	size_t n;
	bool with_members;
};

static bool channels_find(struct room *r, void *arg)
{
	struct channels_found *f = arg;

	if (r->outgoing && (!f->with_members || room_members(r) > 0) && f->n < ROOMS_CAPACITY)
		f->at[f->n++] = r->outgoing->index;
	return true;
}

int channels_of_rooms(struct core *c, bool with_members,
		      void (*fn)(struct core *c, struct channel *ch, const char *arg), const char *arg)
{
	struct channels_found f = {.at = calloc(ROOMS_CAPACITY, sizeof(*f.at)), .with_members = with_members};

	if (!f.at)
		return -ENOMEM;
	rooms_each(c->start.rooms, channels_find, &f);
	for (size_t i = 0; i < f.n; i++) {
		struct channel *ch = channel_of_index(c, f.at[i]);
		if (ch && fn)
			fn(c, ch, arg);
	}
	free(f.at);
	return 0;
}

int channels_open(struct core *c)
{
	return channels_of_rooms(c, false, NULL, NULL);
}

/* --- their lines --- */

uint64_t channel_oldest(const struct core *c, const struct channel *ch)
{
	struct logring_view v;

	logring_pin(ch->out->log, c->start.slot, &v);
	logring_unpin(ch->out->log, c->start.slot);
	return v.first;
}

void channel_look(struct core *c, struct channel *ch)
{
	if (ch->busy || (logring_count(ch->out->log) == ch->low && !ch->misused))
		return;
	ch->busy = true;
	ch->moved_at = c->now;
	c->busy[c->n_busy++] = ch;
}

void channel_go_back(struct channel *ch, int64_t retry_at)
{
	ch->sent = ch->low;
	ch->flight = 0;
	ch->asks = true;
	ch->retry_at = retry_at;
}

void channels_each(struct core *c, void (*fn)(struct core *c, struct channel *ch))
{
	for (uint32_t i = 0; i < ROOMS_CAPACITY; i++)
		if (c->at[i])
			fn(c, c->at[i]);
}

static void channel_close(struct core *c, struct channel *ch)
{
	if (ch->out)
		channel_let_go(c, ch);
	channel_forget(c, ch);
}

void channels_free(struct core *c)
{
	channels_each(c, channel_close);
}
