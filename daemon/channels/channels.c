/* SPDX-License-Identifier: MIT */
/*
 * The records of channels, which become true with what is said in their rooms: channels.h says by which
 * rules.
 */
#include "daemon/channels/channels.h"

#include "common/hash.h"
#include "common/nick.h"
#include "daemon/base/fault.h"
#include "daemon/base/logger.h"
#include "daemon/io/memfd.h"

#include <errno.h>
#include <stdlib.h>

struct irc_channels {
	_Atomic uint64_t *made;
	struct irc_channel_half (*halves)[2];
	bool drafted[ROOMS_CAPACITY]; /* each under the lock of its room's log */
	atomic_bool has_changed;      /* a bit is set: which says so after it was */
	_Atomic uint64_t changed[ROOMS_CAPACITY / 64];
	_Atomic uint64_t known[ROOMS_CAPACITY / 64]; /* as what is read of the file gets pages */
};

static struct irc_channel_half *irc_channels_halves(struct irc_channels *cs, const struct room *room)
{
	return cs->halves[room->index];
}

static bool irc_channels_is_of(const struct irc_channel_half *h, const struct room *room)
{
	return h->epoch == room->epoch && h->base == room->number_base &&
	       h->name == hash_fixed(room->name, strlen(room->name));
}

static void irc_channels_name(struct irc_channel_half *h, const struct room *room)
{
	h->epoch = room->epoch;
	h->base = room->number_base;
	h->name = hash_fixed(room->name, strlen(room->name));
}

static bool irc_channels_fits(const struct irc_channel *c)
{
	return c->n_status <= IRC_STATUS_MAX && c->n_list <= IRC_LIST_MAX &&
	       c->n_invited <= IRC_INVITED_MAX && c->n_expelled <= IRC_INVITED_MAX;
}

/* They go out as C strings, whatever a build before wrote. */
static void irc_channels_end_strings(struct irc_channel *c)
{
	c->key[IRC_KEY_MAX] = c->topic[IRC_TOPIC_MAX] = c->topic_by[TEXT_NICK_MAX] = '\0';
	for (uint32_t i = 0; i < c->n_status; i++)
		c->status[i].account[TEXT_NICK_MAX] = '\0';
	for (uint32_t i = 0; i < c->n_list; i++)
		c->list[i].mask[IRC_MASK_MAX] = c->list[i].by[TEXT_NICK_MAX] = '\0';
}

/* enum room_decided */
static unsigned irc_channels_decided(const struct irc_channel *c)
{
	bool differs =
	    c->topic[0] || c->key[0] || c->limit || c->modes != IRC_M_DEFAULT || c->n_status || c->n_list;
	bool closed = c->key[0] || c->modes & (IRC_M_INVITE | IRC_M_LOGGED_IN);

	return (differs ? ROOM_DECIDED : 0U) | (closed ? ROOM_CLOSED : 0U) |
	       (c->modes & IRC_M_SECRET ? ROOM_SECRET : 0U);
}

/* Which of the two is true; -1: none. */
static int irc_channels_true(const struct irc_channel_half h[2], const struct room *room)
{
	uint64_t count = logring_count(room->log);
	int best = -1;

	for (int i = 0; i < 2; i++)
		if (atomic_load_explicit(&h[i].check, memory_order_acquire) != 0 && h[i].from <= count &&
		    irc_channels_is_of(&h[i], room) && (best < 0 || h[i].version > h[best].version))
			best = i;
	return best;
}

bool irc_channels_are_made(struct irc_channels *cs, const struct room *room)
{
	return atomic_load_explicit(&cs->made[room->index], memory_order_acquire) != 0;
}

const struct irc_channel *irc_channels_get(struct irc_channels *cs, const struct room *room)
{
	const struct irc_channel_half *h = irc_channels_halves(cs, room);
	int now = atomic_load_explicit(&cs->made[room->index], memory_order_relaxed)
		      ? irc_channels_true(h, room)
		      : -1;

	return now >= 0 ? &h[now].channel : NULL;
}

/* --- for who stores them --- */

static void irc_channels_note_change(struct irc_channels *cs, uint32_t index)
{
	atomic_fetch_or(&cs->known[index / 64], UINT64_C(1) << index % 64);
	atomic_fetch_or(&cs->changed[index / 64], UINT64_C(1) << index % 64);
	atomic_store(&cs->has_changed, true);
}

void irc_channels_change_all(struct irc_channels *cs)
{
	for (uint32_t i = 0; i < ROOMS_CAPACITY / 64; i++)
		atomic_fetch_or(&cs->changed[i], atomic_load(&cs->known[i]));
	atomic_store(&cs->has_changed, true);
}

void irc_channels_take_changed(struct irc_channels *cs, void (*fn)(uint32_t index, void *arg), void *arg)
{
	if (!atomic_exchange(&cs->has_changed, false))
		return;
	for (uint32_t i = 0; i < ROOMS_CAPACITY / 64; i++) {
		uint64_t bits = atomic_load(&cs->changed[i]) ? atomic_exchange(&cs->changed[i], 0) : 0;
		for (; bits; bits &= bits - 1)
			fn(i * 64 + (uint32_t)__builtin_ctzll(bits), arg);
	}
}

/* --- changing --- */

/* The half to be written, which never is the one that is true. */
static struct irc_channel_half *irc_channels_other(struct irc_channel_half h[2], int now)
{
	return &h[now == 0];
}

/* What is left of another room that had this index goes; NULL: there is nothing to go on from. */
static const struct irc_channel_half *irc_channels_begin(struct irc_channels *cs, const struct room *room)
{
	struct irc_channel_half *h = irc_channels_halves(cs, room);
	_Atomic uint64_t *made = &cs->made[room->index];
	int now = atomic_load_explicit(made, memory_order_relaxed) ? irc_channels_true(h, room) : -1;

	if (now >= 0)
		return &h[now];
	for (unsigned i = 0; i < 2; i++)
		atomic_store_explicit(&h[i].check, 0, memory_order_release);
	memfd_release(h, 2 * sizeof(*h));
	atomic_store_explicit(made, 1, memory_order_release);
	FAULT("irc-channel-made");
	return NULL;
}

static void irc_channels_copy(struct irc_channel_half *to, const struct irc_channel_half *from)
{
	const struct irc_channel *c = &from->channel;

	memcpy(&to->channel, c, offsetof(struct irc_channel, status));
	memcpy(to->channel.status, c->status, c->n_status * sizeof(*c->status));
	memcpy(to->channel.list, c->list, c->n_list * sizeof(*c->list));
	to->version = from->version + 1;
}

struct irc_channel *irc_channels_draft(struct irc_channels *cs, const struct room *room)
{
	struct irc_channel_half *h = irc_channels_halves(cs, room);

	if (cs->drafted[room->index])
		return &irc_channels_other(h, irc_channels_true(h, room))->channel;
	const struct irc_channel_half *now = irc_channels_begin(cs, room);
	struct irc_channel_half *to = irc_channels_other(h, now ? (int)(now - h) : -1);
	atomic_store_explicit(&to->check, 0, memory_order_release);
	FAULT("irc-channel-cleared");
	irc_channels_name(to, room);
	if (now) {
		irc_channels_copy(to, now);
	} else {
		to->version = 1;
		memset(&to->channel, 0, offsetof(struct irc_channel, status));
		to->channel.modes = IRC_M_DEFAULT;
	}
	cs->drafted[room->index] = true;
	return &to->channel;
}

const struct irc_channel *irc_channels_now(struct irc_channels *cs, const struct room *room)
{
	return cs->drafted[room->index] ? irc_channels_draft(cs, room) : irc_channels_get(cs, room);
}

void irc_channels_forget(struct irc_channels *cs, const struct room *room)
{
	cs->drafted[room->index] = false;
}

void irc_channels_seal(struct irc_channels *cs, const struct room *room, uint64_t pending)
{
	struct irc_channel_half *h = irc_channels_halves(cs, room);

	if (!cs->drafted[room->index])
		return;
	cs->drafted[room->index] = false;
	struct irc_channel_half *to = irc_channels_other(h, irc_channels_true(h, room));
	if (!irc_channels_fits(&to->channel))
		abort(); /* a crash is recovered from: what was there before holds */
	irc_channels_end_strings(&to->channel);
	to->from = pending;
	FAULT("irc-channel-written");
	atomic_store_explicit(&to->check, irc_channel_check(to), memory_order_release);
	room_set_decided(room, irc_channels_decided(&to->channel));
	irc_channels_note_change(cs, room->index); /* who is told waits for the log, and sees it */
	FAULT("irc-channel-sealed");
}

bool irc_channels_restore(struct irc_channels *cs, const struct room *room, const struct irc_channel *was)
{
	logring_lock(room->log);
	bool there = irc_channels_get(cs, room);
	if (!there) {
		struct irc_channel *ch = irc_channels_draft(cs, room);
		memcpy(ch, was, offsetof(struct irc_channel, status));
		memcpy(ch->status, was->status, was->n_status * sizeof(*ch->status));
		memcpy(ch->list, was->list, was->n_list * sizeof(*ch->list));
		irc_channels_seal(cs, room, logring_count(room->log));
	}
	logring_unlock(room->log);
	return !there;
}

bool irc_channel_lists(const uint64_t *ids, uint32_t n, uint64_t id)
{
	for (uint32_t i = 0; i < n; i++)
		if (ids[i] == id)
			return true;
	return false;
}

/* Returns how many are left. */
static uint32_t irc_channel_strike(uint64_t *ids, uint32_t n, uint64_t id)
{
	uint32_t left = 0;

	for (uint32_t i = 0; i < n; i++)
		if (ids[i] != id)
			ids[left++] = ids[i];
	return left;
}

bool irc_channel_has_past(const struct irc_channel *ch, uint64_t id)
{
	return irc_channel_lists(ch->invited, ch->n_invited, id) ||
	       irc_channel_lists(ch->expelled, ch->n_expelled, id);
}

void irc_channel_forget_past(struct irc_channel *ch, uint64_t id)
{
	ch->n_invited = irc_channel_strike(ch->invited, ch->n_invited, id);
	ch->n_expelled = irc_channel_strike(ch->expelled, ch->n_expelled, id);
}

static int64_t irc_channel_awaited(const struct irc_channel *ch, const char *account)
{
	for (uint32_t i = 0; ch && account[0] && i < ch->n_status; i++)
		if (ch->status[i].id == 0 && nick_equal(ch->status[i].account, strlen(ch->status[i].account),
							account, strlen(account)))
			return i;
	return -1;
}

bool irc_channel_awaits_operator(const struct irc_channel *ch)
{
	for (uint32_t i = 0; ch && i < ch->n_status; i++)
		if (ch->status[i].id == 0 && ch->status[i].flags & IRC_STATUS_OP)
			return true;
	return false;
}

uint8_t irc_channel_awaits(const struct irc_channel *ch, const char *account)
{
	int64_t i = irc_channel_awaited(ch, account);

	return i < 0 ? 0 : ch->status[i].flags;
}

uint8_t irc_channel_come_back(struct irc_channel *ch, uint64_t id, const char *account)
{
	int64_t i = irc_channel_awaited(ch, account);

	if (i < 0)
		return 0;
	ch->status[i].id = id;
	return ch->status[i].flags;
}

void irc_channel_forget_status(struct irc_channel *ch, uint64_t id)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < ch->n_status; i++)
		if (ch->status[i].id != id)
			ch->status[n++] = ch->status[i];
	ch->n_status = n;
}

/* --- the start --- */

static bool irc_channels_is_whole(const struct irc_channel_half *h)
{
	return irc_channels_fits(&h->channel) && h->version < UINT64_MAX / 2 &&
	       atomic_load(&h->check) == irc_channel_check(h);
}

/* What never became true is wiped, as its count will be reached by something else. False: it is damaged. */
static bool irc_channels_recover_one(struct irc_channel_half h[2], const struct room *room)
{
	for (unsigned i = 0; i < 2; i++) {
		if (atomic_load(&h[i].check) == 0)
			continue;
		if (!irc_channels_is_whole(&h[i]))
			return false;
		if (irc_channels_is_of(&h[i], room) && h[i].from <= logring_count(room->log))
			irc_channels_end_strings(&h[i].channel);
		else
			atomic_store(&h[i].check, 0);
		FAULT("irc-channel-recovered");
	}
	return true;
}

static void irc_channels_drop(struct irc_channels *cs, uint32_t index)
{
	for (unsigned i = 0; i < 2; i++)
		atomic_store(&cs->halves[index][i].check, 0);
	FAULT("irc-channel-dropped");
	memfd_release(cs->halves[index], sizeof(cs->halves[index]));
	atomic_store(&cs->made[index], 0);
}

void irc_channels_recover(struct irc_channels *cs, struct rooms *rooms)
{
	for (uint32_t i = 0; i < ROOMS_CAPACITY; i++) {
		struct irc_channel_half *h = cs->halves[i];
		const struct room *room = atomic_load(&cs->made[i]) ? rooms_at(rooms, i) : NULL;
		bool sound = room && irc_channels_recover_one(h, room);
		if (room && !sound)
			log_event(LOG_ERR,
				  &(struct log_fields){.message_id = EVENT_STATE_REFUSED, .room = room->name},
				  "the topic and modes of %s can't be trusted and are forgotten", room->name);
		int now = sound ? irc_channels_true(h, room) : -1;
		if (now >= 0) {
			room_set_decided(room, irc_channels_decided(&h[now].channel));
			irc_channels_note_change(cs, i);
		} else if (atomic_load(&cs->made[i])) {
			irc_channels_drop(cs, i);
		}
	}
}

int irc_channels_new(_Atomic uint64_t *made, struct irc_channel_half (*halves)[2], struct irc_channels **ret)
{
	struct irc_channels *cs = calloc(1, sizeof(*cs));

	if (!cs)
		return -ENOMEM;
	cs->made = made;
	cs->halves = halves;
	*ret = cs;
	return 0;
}

void irc_channels_free(struct irc_channels *cs)
{
	free(cs);
}
