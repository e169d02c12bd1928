/* SPDX-License-Identifier: MIT */
/*
 * The core of the cluster's service, for the files of this folder and its test, and nobody else. It is driven by
 * the link's events and by what is said in rooms, on one thread, and is told what time it is, so that a test can
 * take it step by step. Each file has one subject:
 *
 *	turn.c      what happens in a turn, and what becomes of each event
 *	channels.c  the rooms that are shared
 *	publish.c   from a room's outgoing log to the stream
 *	apply.c     from the stream into a room
 *	gaps.c      lines that are missing in the stream
 *	boots.c     which boot they have
 *	misuse.c    lines in this node's name that it has not said
 *	away.c      what people are told and shown while NATS can't be reached
 *	nodes.c     which nodes there are
 *	agree.c     whether rooms are the same on all of them
 *	link.c      how NATS is reached
 *	letters.c   private messages to people on other nodes: what is sent,
 *	mailbox.c   and what comes from there
 *	people.c    who is on them; presence, presence_text, kept_names and ban_share are parts of that
 *
 * Words: a line's number is its number in the outgoing log of the room where it was said, whose boot (outgoing.h) is
 * the line's. For each (room, node, boot), cluster_file.h keeps which number comes next here.
 */
#ifndef DAEMON_CLUSTER_CORE_H
#define DAEMON_CLUSTER_CORE_H

#include "common/hash.h"
#include "daemon/cluster/cluster.h"
#include "daemon/cluster/wire.h"
#include "daemon/config/cluster.h"
#include "daemon/io/nats_link.h"
#include "daemon/rooms/outgoing.h"
#include "daemon/rooms/speech.h"
#include "daemon/state/cluster_file.h"

/* A batch has all that waits, up to this; a server of NATS takes 1 MB by default. */
#define CORE_BATCH_MAX 65536
/* What is packed is made no smaller than that, for a server that takes little; one line may be larger. */
#define CORE_BATCH_MIN 1024
/* What a stream's subjects begin with: its name in small letters. */
#define CORE_ROOT_MAX (CLUSTER_STREAM_MAX + 1)
#define CORE_SUBJECT_MAX (CORE_ROOT_MAX + 8 + WIRE_TOKEN_MAX)
#define CORE_NODES_MAX 1024

/* nats_link.h, or a test's. */
struct core_link {
	void *arg;
	void (*subscribe)(void *arg, uint64_t generation, uint64_t applied, int64_t time_ns);
	/* id 0: no reply is wanted */
	int (*publish)(void *arg, uint64_t generation, uint64_t id, const char *subject, const void *data,
		       size_t len);
	int (*send)(void *arg, const char *subject, const void *data, size_t len);
};

struct irc_channels;

struct core_start {
	struct rooms *rooms;
	/* What is decided in them, which a reload may make; it stays the caller's. NULL: there is no such place. */
	_Atomic(struct irc_channels *) *channels;
	unsigned slot; /* of rooms_cluster_reader() */
	struct slot_set *kick;
	struct cluster_file *file; /* which stays the caller's, as the rooms do */
	struct roster *roster;	   /* of who gets private messages; the caller's as well. NULL: nobody */
	struct core_link link;
	const char *node, *stream;
	enum cluster_away when_away;
	int64_t away_after_us;
	int64_t reserve_for_us; /* see kept_names.h */
	/* Whether a room of that name is shared, for rooms that aren't there. */
	bool (*has_room)(const char *name, void *arg);
	void *arg;
	int64_t now; /* CLOCK_MONOTONIC in us, as all times here that aren't for people */
};

struct gap;
struct people;
struct letters;
struct roster;
struct elsewhere;
struct ban_share;
struct slots;

/* A room that is shared with other nodes. */
struct channel {
	struct channel *next;	   /* in the bucket of its name */
	uint32_t index;		   /* of the outgoing room */
	uint64_t epoch;		   /* and its epoch: the channel is of this one room only */
	struct outgoing_boot boot; /* of what is said here */
	char room[TEXT_ROOM_MAX + 1];
	char subject[CORE_SUBJECT_MAX];
	struct room *out, *main; /* held; NULL: it isn't needed at the moment, and may go */
	int64_t used_at;
	const struct cluster_position *own; /* of what is said here */
	/*
	 * Lines of this node in the outgoing log: those below low are in the stream, as far as is known; those
	 * from sent on have not been published. low is own->echoed, unless lines have to be published again.
	 */
	uint64_t low, sent;
	/* Since the subscription: whether the room takes what was said before this node's memory. */
	enum channel_history { HISTORY_UNKNOWN, HISTORY_TAKEN, HISTORY_LEFT } history;
	uint64_t restored;   /* place in the stream of what the room had before this node's memory; 0: none */
	int64_t restored_ns; /* and up to when that was, there */
	uint64_t in_stream;  /* since the subscription, as far as the stream was read; 0: nothing */
	uint64_t flight, flight_end; /* the batch on its way, 0: none; the number behind its last line */
	uint64_t stored;	     /* the stream's number of the last one that was stored; 0: it was read */
	int64_t flight_at, retry_at; /* when it was sent; not before that */
	bool asks; /* the server is asked for a reply, as something has not come back, or nothing has yet */
	uint64_t marked;
	int64_t moved_at; /* when it had nothing to publish, or something of it was stored */
	bool busy;	  /* in the list of those with something to publish */
	/* Somebody else has said lines under its boot: see misuse.c; and then what other nodes take for the next one. */
	bool misused;
	uint64_t theirs;
	unsigned n_gaps;
};

/* Lines of another node that are missing in the stream, or were when it was read. */
struct gap {
	struct gap *next;
	struct channel *ch;
	char node[WIRE_NODE_MAX + 1];
	uint64_t boot;
	uint64_t next_line;	       /* the first one that was seen beyond it */
	uint64_t end;		       /* behind the last line that was seen beyond the gap */
	struct cluster_applied before; /* the stream is to be read from here again */
	int64_t began, asked;
	bool expected; /* the stream, as it was read, may well have lost something */
};

struct core_node {
	struct cluster_node shown;
	uint64_t boot;
	uint64_t letters; /* epoch of their log; 0: of a release that has none */
	int64_t heard;	  /* CLOCK_MONOTONIC; 0: never */
};

struct core {
	struct core_start start;
	char node[WIRE_NODE_MAX + 1];
	size_t node_len;
	uint64_t boot; /* of the node, so that two of one name are told apart */
	char root[CORE_ROOT_MAX];
	/* What others send to this node. */
	char nak[CORE_ROOT_MAX + 8 + WIRE_NODE_MAX], gone[CORE_ROOT_MAX + 8 + WIRE_NODE_MAX];
	char to[CORE_ROOT_MAX + 8 + WIRE_NODE_MAX], took[CORE_ROOT_MAX + 8 + WIRE_NODE_MAX];
	int64_t now;

	/* The connection. */
	uint64_t generation;
	bool connected, subscribed;
	bool rolled_back; /* the stream is being read from its beginning, up to the gate */
	bool first_read;  /* up to the gate, by a node that knows nothing of the stream */
	bool has_holes;	  /* so it may up to the gate: it was set back, or expired, or is new here */
	bool ready;	  /* what was in the stream has been read: it may be published */
	uint64_t gate;	  /* read up to here before that */
	int64_t gate_at;  /* when the last message came, or the subscription */
	struct cluster_applied asked, read; /* subscribed behind; the last one that was worked on */
	uint64_t last;			    /* of the stream's messages that this node knows of */
	int64_t connected_at;
	int64_t reached_at; /* when the others last could be reached: see away.c */
	bool away;	    /* for so long that people were told */

	struct channel *at[ROOMS_CAPACITY]; /* by the outgoing room's index */
	struct channel *by_name[1024];
	struct hash_key key;
	struct channel *busy[ROOMS_CAPACITY];
	unsigned n_busy, n_channels;
	struct gap *gaps;
	unsigned n_misused;
	struct cluster_applied misused_before; /* with any: the stream is to be read again from here */
	uint64_t batch_id;
	size_t max_payload;  /* of the server, 0: it isn't known */
	size_t batch_max;    /* less than CORE_BATCH_MAX if the server takes less */
	uint64_t agreed_sum; /* of what was said of this node's rooms last */
	int64_t agreed_at, agree_looked_at, looked_at, swept_at, beat_at, clash_at, clash_told, version_told,
	    full_told, failed_told, size_told;

	struct letters *letters;
	struct people *people;			 /* the service's; NULL in a test that is not about them */
	struct core_node *nodes[CORE_NODES_MAX]; /* the first one is this one */
	unsigned n_nodes;
	unsigned clients; /* for the others; set by the service */

	struct cluster_status status; /* but for what cluster.c knows better */
	uint64_t refused;	      /* messages of the stream that nothing could be made of */
	uint64_t unread;	      /* those of core NATS, but for the people's */
	unsigned char batch[CORE_BATCH_MAX];
};

/* Whether it is time to tell something again; then it is told now. */
static inline bool core_may_tell(const struct core *c, int64_t *told, int64_t every_us)
{
	if (*told && c->now - *told < every_us)
		return false;
	*told = c->now;
	return true;
}

/* --- turn.c --- */

/*
 * Says how far the outgoing logs' lines have come back, so it is to be made before anybody says anything. 0 or
 * -errno.
 */
int core_new(const struct core_start *start, struct core **ret);
void core_free(struct core *c);
/* False: it can't be worked on now, as a room has to be delivered first, and is to be given again. */
bool core_event(struct core *c, const struct nats_event *e);
/* Something was said in the room with that index. */
void core_said(struct core *c, uint32_t index);
/* Publishes, and does what is due. Returns in how many us the next turn is wanted at the latest. */
int64_t core_turn(struct core *c, int64_t now);
/* How many lines of this node have not come back. */
uint64_t core_waiting(const struct core *c);
/* Whether any of those that were there at core_mark() has not. */
void core_mark(struct core *c);
bool core_is_waiting(const struct core *c);
/* Whether the stream is still the one that was read is looked at, and it is read on from there. */
void core_read_again(struct core *c);
/* The connection is over, without an event of the link. */
void core_lost(struct core *c, const char *why);

/* --- channels.c --- */

/* The channel with its rooms held; NULL if there is no such room (any more), or it isn't shared. */
struct channel *channel_of_index(struct core *c, uint32_t index);
/* The room is opened if need be. */
struct channel *channel_of_room(struct core *c, const char *room);
/* The same if there is one already. */
struct channel *channel_known(struct core *c, const char *room);
/* Holds the rooms, for a moment at least; false if they are gone, and the channel with them. */
bool channel_hold(struct core *c, struct channel *ch);
/* The number of the first line that its outgoing log still has. */
uint64_t channel_oldest(const struct core *c, const struct channel *ch);
static inline bool channel_skips(const struct channel *ch, uint64_t n)
{
	return n >= ch->boot.skip_from && n < ch->boot.skip_to;
}
/* Puts it into the list of busy ones if there is something to publish. */
void channel_look(struct core *c, struct channel *ch);
/* What was published and is not known to be in the stream is published again, not before then. */
void channel_go_back(struct channel *ch, int64_t retry_at);
/*
 * Makes one for each room that is shared, or only for those with members, and calls fn (or NULL) for it, with its rooms
 * held. 0 or -ENOMEM.
 */
int channels_of_rooms(struct core *c, bool with_members,
		      void (*fn)(struct core *c, struct channel *ch, const char *arg), const char *arg);
int channels_open(struct core *c);
/* Lets go those that nobody needs at the moment, and forgets those whose rooms are gone. */
void channels_tidy(struct core *c);
void channels_each(struct core *c, void (*fn)(struct core *c, struct channel *ch));
void channels_free(struct core *c);
/* Tells the outgoing log how far its lines have come back. */
void channel_tell_echoed(const struct core *c, const struct channel *ch);

/* --- boots.c --- */

/* This node's own of a room, made if need be; NULL: there is no space. */
const struct cluster_position *boots_position(struct cluster_file *f, const char *node,
					      const struct room *outgoing, const struct outgoing_boot *b);
/* What went out under the boot before is known here, whatever comes of it. */
void boots_close_before(struct cluster_file *f, const char *node, const struct room *outgoing,
			const struct outgoing_boot *b);
/* Whether it was one of this node's, before the one that it has, and where its lines ended. */
bool boots_was(const struct cluster_file *f, const char *node, const char *room, uint64_t boot,
	       uint64_t *ret_end);
/* From ch->low on, without what ch->boot says is to be skipped. False: there is no space. */
bool boots_change(struct core *c, struct channel *ch);

/* --- misuse.c --- */

/* Whether all lines of a batch under its boot were said here. */
bool misuse_is_own(const struct core *c, const struct channel *ch, const struct wire_batch *b);
/* They were not. */
void misuse_found(struct core *c, struct channel *ch, const struct wire_batch *b);
/* Own lines from ch->low on come back, up to end: up to which number all nodes have them then; and they have come. */
uint64_t misuse_got(const struct channel *ch, uint64_t end);
void misuse_echo(struct channel *ch, uint64_t end);
/* In the place of publish_channel(), until it is over. */
void misuse_turn(struct core *c, struct channel *ch);

/* --- publish.c --- */

/* Fills the core's buffer with lines of the outgoing log from that number on. Returns its length, 0: none; *first
 * may move up if they are gone. */
size_t publish_pack(struct core *c, struct channel *ch, uint64_t *first, uint64_t *ret_end);
void publish_channel(struct core *c, struct channel *ch);
void publish_replied(struct core *c, const struct nats_event *e);

/* --- apply.c --- */

/* A message of the stream. False: later. */
bool apply_message(struct core *c, const struct nats_event *e);
/* The batch's lines from number e on, up to the last one; p moves on with them. False: not all of them yet. */
struct apply {
	struct channel *ch;
	const struct cluster_position *p;
	bool own;	 /* said on this node */
	uint64_t echoed; /* of p, when all of it is there */
	struct cluster_applied applied;
	uint64_t seq;	/* of the message that they came with; 0: they are not in the stream yet */
	uint64_t after; /* lines up to that place in the stream are in the room already */
};
bool apply_lines(struct core *c, const struct apply *a, struct wire_batch *b);

/* --- gaps.c --- */

/* The first line of a batch is not the one that is expected next. True: those before will never come, and it is now. */
bool gap_found(struct core *c, struct channel *ch, const struct wire_batch *b,
	       const struct cluster_position *p);
/* The lines before that one will never come. People are told. */
void gap_give_up(struct core *c, struct channel *ch, const char *node, const struct cluster_position *p,
		 uint64_t next);
/* Lines up to end are here. */
void gap_filled(struct core *c, struct channel *ch, const struct wire_batch *b, uint64_t end);
/* Up to where the stream need not be read again, with those that are missing in mind. */
struct cluster_applied gap_applied(const struct core *c);
/* Asks again, or no longer. */
void gaps_turn(struct core *c);
void gaps_free(struct core *c);
/* A node misses lines of this one; or has none that this one misses. */
void gap_asked(struct core *c, const char *text, size_t len);
void gap_gone(struct core *c, const char *text, size_t len);

/* --- away.c --- */

/* Begins or ends it if it is time, and shows what is said if that is the policy. */
void away_turn(struct core *c);
/* A notice of chatd's own in one room, which is held. */
void away_note(struct core *c, struct room *room, const char *text);
/* The same of another kind: speech_note(), speech_gone(). What can't be put is left out. */
typedef int away_put_fn(struct speech *s, struct room *room, const char *text);
void away_put(struct core *c, struct room *room, away_put_fn *put, const char *text);

/* --- nodes.c --- */

int nodes_open(struct core *c);
void nodes_free(struct core *c);
void nodes_turn(struct core *c);
void nodes_heard(struct core *c, const char *subject, const char *text, size_t len);
/* Whether it was heard of lately. */
bool nodes_is_alive(const struct core *c, const char *name);
/* Whether it is there, and of a release that takes no private messages. */
bool nodes_has_no_letters(const struct core *c, const char *name);

/* --- letters.c: see there for what nodes say to each other --- */

int letters_open(struct core *c);
void letters_free(struct core *c);
/* The epoch of their log. */
uint64_t letters_boot(const struct core *c);
/* Something was put into the log with that index. False: it is another one. */
bool letters_put(struct core *c, uint32_t index);
void letters_turn(struct core *c);
uint64_t letters_waiting(const struct core *c);
/* As core_mark() and core_is_waiting(), for those that a node is there for. */
void letters_mark(struct core *c);
bool letters_is_waiting(const struct core *c);
/* Another node answers. */
void letters_answered(struct core *c, const char *text, size_t len);
/* What is put into the private log becomes true together with that position, which must be of no other room. */
void letters_commit(struct core *c, struct speech *s, const struct cluster_position *p, uint64_t expected,
		    uint64_t echoed);

/* --- mailbox.c --- */

/* Messages of another node's, which is answered. */
void mailbox_take(struct core *c, const char *data, size_t len);

/* --- agree.c: agree.h, of this node's rooms --- */

void agree_turn(struct core *c);
/* False: it is about something else. */
bool agree_heard(struct core *c, const char *subject, const char *text, size_t len);
/* That node is gone. */
void agree_forget(struct core *c, const char *node);

/* --- link.c --- */

/* Returns 0 or -errno, which it has logged. */
int link_new(const struct cluster_config *g, const struct core *core, struct nats_link **ret);
/* Whether the connection need not be made anew for other settings. Files may have other content than before. */
bool link_is_same(const struct cluster_config *a, const struct cluster_config *b);

/* --- netjoin.c: of people whose node is back --- */

struct elsewhere_nick;

/*
 * Those of that node are there, in that room, which is held. Whom its log says to be gone with the node, and not to be back, is
 * told to be back.
 */
void netjoin_tell(struct core *c, struct room *room, const char *node, const struct elsewhere_nick *nicks,
		  unsigned n);

/* --- people.c: presence.h and ban_share.h, of this node's roster, of who is elsewhere and of bans --- */

/* The core is that of this node; both stay the caller's, as what they name does. Returns 0 or -errno. */
struct people_start {
	struct core *core;
	struct roster *roster; /* which is watched */
	struct elsewhere *elsewhere;
	struct ban_share *bans;
	struct slots *slots; /* of whom the workers are woken when somebody has to give a nick back */
	unsigned slot;	     /* this thread's */
};
int people_new(const struct people_start *start, struct people **ret);
void people_free(struct people *p);

/* What others reserve is in that file, too; writes it, on the main thread. Return 0 or -errno: kept_names.h. */
int people_keep_names(struct people *p, const char *path);
int people_save_names(struct people *p);

/* What to subscribe to. */
#define PEOPLE_SUBJECTS 4
const char *people_subject(const struct people *p, unsigned i);
/* The connection has come or gone. */
void people_connected(struct people *p);
/* How many messages of others could not be read. */
uint64_t people_unread(const struct people *p);
/* A message of core NATS. */
void people_heard(struct people *p, const char *subject, const char *data, size_t len);
/* Returns in how many us the next turn is wanted at the latest. */
int64_t people_turn(struct people *p);
/* The node ends, and so it is with its people. */
void people_leave(struct people *p);

#endif
