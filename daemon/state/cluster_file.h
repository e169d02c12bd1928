/* SPDX-License-Identifier: MIT */
/*
 * What this node must not forget of the other ones, in a memory file: up to where the stream was read, and which
 * line of whom comes next in each room. It belongs to one thread.
 *
 * Lines are put into a room, and what is noted here moves on, in one step, by the store of the log's count:
 *
 *	cluster_file_intend(f, room, logring_pending(room->log), ...);
 *	... the log is committed ...
 *	cluster_file_done(f);
 *
 * The intent says what will be true, completely, before the log does; what is written behind the commit may be torn
 * by a crash, since the next process finds the intent and writes it all again (cluster_file_recover()).
 *
 * The file is made for a node of that name, which may get another one. For another file of rooms (identity: the epoch of its private room), the stream
 * is to be read from its beginning; the positions stay, as the lines' numbers tell what is new.
 */
#ifndef DAEMON_CLUSTER_FILE_H
#define DAEMON_CLUSTER_FILE_H

#include "daemon/rooms/room.h"

#define CLUSTER_FILE_NAME "chatd-cluster" /* in the fd store */
#define CLUSTER_FILE_POSITIONS 1048576
#define CLUSTER_FILE_NODE_MAX 63

struct cluster_file;

/* The size to create the memory file with; a smaller one has space for fewer positions, at least one. */
uint64_t cluster_file_size(void);

/*
 * Opens the file in fd (memfd); a fresh one is initialised. Positions that can't be trusted are dropped, with a log
 * line. Returns 0, -EBADMSG if it isn't such a file, or -errno. cluster_file_recover() must follow, before anybody
 * puts anything into a room. node: of a fresh one, or if the file has none; else NULL is fine.
 */
int cluster_file_open(int fd, bool fresh, const char *node, uint64_t identity, struct cluster_file **ret);
void cluster_file_close(struct cluster_file *f);
/* Whose it is. */
const char *cluster_file_node(const struct cluster_file *f);
/* This node's own positions are those of that name from now on; those before stay. For processes after this one it is so
 * after cluster_file_keep_node(). */
void cluster_file_set_node(struct cluster_file *f, const char *node);
void cluster_file_keep_node(struct cluster_file *f);
/* Carries an intent out if its room's log has that count; else it has not happened. */
void cluster_file_recover(struct cluster_file *f, struct rooms *rooms);

/* The last message of the stream that was applied; 0, 0: none. */
struct cluster_applied {
	uint64_t seq;
	int64_t time_ns;
};
struct cluster_applied cluster_file_applied(const struct cluster_file *f);
/*
 * When the file was made, by the clock of the stream: what is older there was before this node's memory. 0: not known
 * yet. That clock says what time it is when it is reached first, and how long that took is told by this machine's one
 * that nobody sets: so it doesn't matter what time this machine thinks it is.
 */
int64_t cluster_file_made_ns(const struct cluster_file *f);
void cluster_file_tell_time(struct cluster_file *f, int64_t stream_now_ns);
/* For a message that brought nothing new, or a stream that is to be read from its beginning. */
void cluster_file_set_applied(struct cluster_file *f, struct cluster_applied a);

/* Whether people were told that the other nodes can't be reached. */
bool cluster_file_is_away(const struct cluster_file *f);
void cluster_file_set_away(struct cluster_file *f, bool away);

/* Which of the lines that a node said in a room, between two deaths of its memory, comes next here. */
struct cluster_position {
	uint8_t key[16]; /* of the room's name and the node's */
	uint64_t boot;
	uint64_t expected; /* the number of the next line that is to be shown here */
	uint64_t echoed;   /* this node's own: what came back through the stream */
	int64_t seen_s;	   /* CLOCK_REALTIME */
	uint8_t fresh;	   /* 1: nothing was noted yet, and expected is 0 */
	uint8_t own;	   /* of this node, so it doesn't make way for others */
	uint8_t reserved[6];
	uint64_t check;
};

/*
 * That position, made if need be. If there is no space, the one that was noted longest ago and isn't this node's own
 * makes way; NULL: there are none but those. What is returned is true until the next call, and one's own until it is
 * retired; it is read only.
 */
const struct cluster_position *cluster_file_position(struct cluster_file *f, const char *room,
						     const char *node, size_t node_len, uint64_t boot);
/* The same if there is one. */
const struct cluster_position *cluster_file_known(const struct cluster_file *f, const char *room,
						  const char *node, size_t node_len, uint64_t boot);
/* A position of this node's own that isn't needed any longer, as the room is gone: from now on it may make way. */
void cluster_file_retire(struct cluster_file *f, const struct cluster_position *p);

/*
 * When the log of that room, which is locked, has that count, these will be true. room NULL: they will be so with
 * cluster_file_done() alone. Either that or cluster_file_abandon() must follow before anything else.
 */
void cluster_file_intend(struct cluster_file *f, const struct room *room, uint64_t count,
			 const struct cluster_position *p, uint64_t expected, uint64_t echoed,
			 struct cluster_applied applied);
void cluster_file_done(struct cluster_file *f);
void cluster_file_abandon(struct cluster_file *f);
/* The same in one, when nothing is put into a room. */
void cluster_file_move(struct cluster_file *f, const struct cluster_position *p, uint64_t expected,
		       uint64_t echoed, struct cluster_applied applied);

#endif
