/* SPDX-License-Identifier: MIT */
/*
 * Outgoing logs: what is said here in a room that is shared with other machines goes into a hidden room's log
 * first, from where one thread, the cluster's, sends it out. It is put into the room itself, with
 * speech_replay(), when it comes back.
 *
 * A hidden room lives in the rooms' file as others do and is made and removed together with its room, which
 * stays as long as lines of it have not come back, or somebody holds the hidden one. A line's name among all
 * machines is (boot, number): of the hidden room, and in its log.
 *
 * The cluster's thread is a reader of every hidden room, which is waited for, from the moment when it is made;
 * so it is woken by what is said, and a full log holds up who speaks. How far its lines have come back is its
 * logring_flushed_to(). It may read and write only a pair that it holds: rooms_enter_index(outgoing->index) with
 * its slot, until rooms_leave(). Both rooms stay meanwhile, so the room itself needn't be entered (and a reader
 * who is there has to keep up, or the room is crowded). An index that was heard of some time ago may be another
 * room's by now: look at room->main.
 */
#ifndef DAEMON_OUTGOING_H
#define DAEMON_OUTGOING_H

#include "daemon/rooms/room.h"

/*
 * These two once at the start, before anything is said or configured and before the takeover.
 *
 * Who reads the outgoing logs (not called: nobody, and they are not waited for), and how it finds out what became
 * of the lines of a process before: shown() is the number of the first line that was not put into its room here.
 * NULL: it isn't known, and none is taken to have been.
 */
void rooms_cluster_reader(struct rooms *rs, unsigned slot,
			  uint64_t (*shown)(const struct room *outgoing, void *arg), void *arg);
/* The latter alone, if there is no such reader; NULL: from now on nobody can be asked. */
void rooms_cluster_shown(struct rooms *rs, uint64_t (*shown)(const struct room *outgoing, void *arg),
			 void *arg);
/*
 * From now on every room for which that is true has an outgoing log; is_clustered() is asked for a room that is
 * made, by any thread, under the rooms' lock. NULL: there is no cluster, and no room has one. What was said in a
 * room that isn't shared any more, and was not shown yet, is put into it now. 0 or -errno.
 */
int rooms_cluster(struct rooms *rs, bool (*is_clustered)(const char *name, void *arg), void *arg);

/*
 * The boot is the hidden room's epoch, until its lines have to go out under another one, as somebody else has said
 * lines under this one, or as the node has another name.
 */
struct outgoing_boot {
	uint64_t boot;
	uint64_t from;		     /* the first line under it: those before are out */
	uint64_t skip_from, skip_to; /* of those from there on, these are out as well; equal: none */
	uint64_t before, before_end; /* the one before, and where its lines end; 0: there was none */
};
struct outgoing_boot outgoing_boot(const struct room *outgoing);
/* In one step, on the thread that reads it, or at the start. */
void outgoing_set_boot(struct room *outgoing, const struct outgoing_boot *b);
/* Calls fn for each hidden room, at the start. */
void outgoing_each(struct rooms *rs, void (*fn)(struct room *outgoing, void *arg), void *arg);

/* Whether all that was said here in this room, which has a hidden one or not, came back. */
bool outgoing_settled(const struct room *room);

#endif
