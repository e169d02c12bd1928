/* SPDX-License-Identifier: MIT */
/*
 * What is decided of a room, by people of IRC and others: topic, modes, key, lists, operators. A record lies at the room's
 * index in the file of IRC (irc/file.h), twice, each half with the count of the room's log from which on it
 * holds. Of those that are whole and whose count the log has reached the newer one is true. So a change
 * becomes true with the event that tells of it, by the one store that commits the log, by these rules:
 *
 * - all of this happens with the log of the room (room->log) locked;
 * - a change goes to the half that does not hold;
 * - its check is taken away first, and put there (sealed) last, right before the commit.
 *
 * A record is that of one log: it names its epoch, the number of its first message, and the room's name.
 * Another room that gets the index has none.
 */
#ifndef DAEMON_CHANNELS_CHANNELS_H
#define DAEMON_CHANNELS_CHANNELS_H

#include "daemon/channels/record.h"
#include "daemon/rooms/room.h"

struct irc_channels;

/*
 * What holds; NULL: the room has no record, as nobody ever changed anything: it has the modes IRC_M_DEFAULT,
 * no topic, and no operator. Good while the lock is held, until the next draft.
 */
const struct irc_channel *irc_channels_get(struct irc_channels *cs, const struct room *room);
/* What will hold, if there is a draft, or what holds. */
const struct irc_channel *irc_channels_now(struct irc_channels *cs, const struct room *room);
/* Whether that room may have one. Takes no lock. */
bool irc_channels_are_made(struct irc_channels *cs, const struct room *room);
/*
 * What will hold, to be changed: at the first call a copy of what holds, or that of a channel with
 * IRC_M_DEFAULT. Calls before irc_channels_seal() return the same one, as long as the lock is held: who gives
 * up what it put (logring_abandon()), or gives the lock back without a commit, calls irc_channels_forget()
 * before.
 */
struct irc_channel *irc_channels_draft(struct irc_channels *cs, const struct room *room);
void irc_channels_forget(struct irc_channels *cs, const struct room *room);
/*
 * Right before the commit, between which and this nothing may fail: the draft holds from that count on, which
 * is logring_pending(). Where nothing was put that is the log's count, and it holds at once. Nothing happens
 * without a draft.
 */
void irc_channels_seal(struct irc_channels *cs, const struct room *room, uint64_t pending);

/*
 * For one who stores them: fn is called with the index of each room whose record has changed since it was last, or of each that
 * ever had one at first and after irc_channels_change_all(). What holds with the log locked is new then, or will be told of again.
 */
void irc_channels_take_changed(struct irc_channels *cs, void (*fn)(uint32_t index, void *arg), void *arg);
/* Any thread. */
void irc_channels_change_all(struct irc_channels *cs);
/*
 * What was decided before this state, which becomes true at once, unless something holds already; whether it does now. Takes the
 * log's lock.
 */
bool irc_channels_restore(struct irc_channels *cs, const struct room *room, const struct irc_channel *was);

/* Whether a list of clients' ids (invited, expelled) has that one. */
bool irc_channel_lists(const uint64_t *ids, uint32_t n, uint64_t id);
/* Invitations are good for once; and who was removed, but had gone by itself, has come back: whether there is such a thing of that
 * client, and forgets it. */
bool irc_channel_has_past(const struct irc_channel *ch, uint64_t id);
void irc_channel_forget_past(struct irc_channel *ch, uint64_t id);
/* Whether an operator is to come who has had that status before a reboot: it has the id 0 until its account is there. */
bool irc_channel_awaits_operator(const struct irc_channel *ch);
/* The status that a client of that account gets back (enum irc_channel_status), and then has; 0: none. */
uint8_t irc_channel_awaits(const struct irc_channel *ch, const char *account);
uint8_t irc_channel_come_back(struct irc_channel *ch, uint64_t id, const char *account);
/* Who leaves has no status any more. */
void irc_channel_forget_status(struct irc_channel *ch, uint64_t id);

/* --- for the file --- */

/*
 * made and halves are there for each room's index, and outlive it: where there ever was a record, and both of its halves.
 * Returns 0 or -ENOMEM.
 */
int irc_channels_new(_Atomic uint64_t *made, struct irc_channel_half (*halves)[2], struct irc_channels **ret);
void irc_channels_free(struct irc_channels *cs);
/*
 * For the start, before anything is said: what was under way has happened or not; what is damaged is
 * forgotten, with a line in the log, and so is what belongs to rooms that are gone.
 */
void irc_channels_recover(struct irc_channels *cs, struct rooms *rooms);

#endif
