/* SPDX-License-Identifier: MIT */
/*
 * Who is here: every nick once (common/nick.h says which ones are the same), and the nicks of each room.
 * Whoever has a nick may be in many rooms. Any thread. A cluster is told of all changes: see
 * roster_watch().
 */
#ifndef DAEMON_ROSTER_H
#define DAEMON_ROSTER_H

#include "common/text.h"

#include <stdbool.h>
#include <stdint.h>

struct elsewhere;
struct wakeup;
struct roster;
struct roster_entry;

enum roster_title {
	ROSTER_ENTITLED = 1, /* the nick is the client's, whoever it is reserved for */
	ROSTER_DATAGRAM = 2, /* the client has an address only */
	ROSTER_LOST = 4,     /* somebody on another node has it by right: see roster_contest() */
	ROSTER_AGAIN = 8,    /* it is not new to the client: roster_person.since_us is older than the claim */
};

/* Who claims a nick. */
struct roster_person {
	uint64_t id;
	uint32_t index;	  /* its place in the table of clients */
	unsigned title;	  /* enum roster_title */
	int64_t since_us; /* CLOCK_REALTIME: since when it is its nick; only for a cluster */
};

/* Look-ups are fast up to about so many clients; more are no harm. */
int roster_new(uint32_t clients, struct roster **ret);
void roster_free(struct roster *ro);

/*
 * Registers a nick (normalised, not NUL-terminated) of a client, in no room. Returns 0; -EEXIST if it is taken, here
 * or elsewhere (but for an account's, if that one has none, and for who has had it for longer than that one); -EPERM if it
 * is reserved for chatd itself (admin, chatd; guest and a number, unless that is the client's own) or, unless
 * entitled, by roster_reserve(); or -ENOMEM.
 */
int roster_claim(struct roster *ro, const char *nick, size_t len, const struct roster_person *who,
		 struct roster_entry **ret);
/* Leaves all rooms, and frees the entry. */
void roster_release(struct roster *ro, struct roster_entry *e);
/* *mine (or NULL) makes way for another nick of the same client, which is in its rooms then. */
void roster_replace(struct roster *ro, struct roster_entry **mine, struct roster_entry *with);

/* Enters a room that it is not in. Returns 0, or -ENOMEM, which can't be if it is in no room yet. Without an
 * entry (NULL) these two do nothing. */
int roster_enter(struct roster *ro, struct roster_entry *e, uint32_t room);
void roster_leave(struct roster *ro, struct roster_entry *e, uint32_t room);

/* From now on the nicks of these n keys (nick_keys()) are reserved; takes the array over. Whoever has one
 * keeps it: see roster_is_reserved(). */
void roster_reserve(struct roster *ro, uint64_t *keys, size_t n);
bool roster_is_reserved(struct roster *ro, const struct roster_entry *e);

/*
 * For somebody who speaks under a nick without being there: 0, -EINVAL if it isn't one, -EPERM if it is
 * reserved, -EEXIST if somebody has it.
 */
int roster_check(struct roster *ro, const char *nick, size_t len);

/*
 * From now on fn is told of every nick that somebody gets or gives up (who changes its case does both), on that thread and without
 * any lock of the roster's. It may still be called a moment after it was replaced. l is the caller's; NULL: nobody listens.
 */
struct roster_listener {
	void (*fn)(void *arg, const char *nick, size_t len);
	void *arg;
};
void roster_listen(struct roster *ro, const struct roster_listener *l);

/* What the client of that id is called as a guest; returns its length. */
size_t roster_guest(const struct roster *ro, uint64_t id, char ret[static TEXT_NICK_MAX + 1]);

/* Whether somebody here has that nick, and who. */
bool roster_find(struct roster *ro, const char *nick, size_t len, uint64_t *ret_id, uint32_t *ret_index);

/* Writes "alice, bob" of a room to buf, as many as fit, and returns how many there are; *ret_shown is how
 * many fit. */
size_t roster_list(struct roster *ro, uint32_t room, char *buf, size_t size, size_t *ret_shown);

/* --- about people, for who asks (roster_people.c) --- */

struct roster_member {
	uint64_t id;
	uint32_t index; /* place in the table of clients */
	uint8_t len;
	bool is_account; /* the nick is that of its account */
	char nick[TEXT_NICK_MAX + 1];
};
/* Those in a room, newest first, in an array to be freed; NULL: there is nobody, or no memory. */
struct roster_member *roster_members(struct roster *ro, uint32_t room, size_t *ret_n);
/* Who here has that nick, in whatever form it is typed; false: nobody. */
bool roster_member(struct roster *ro, const char *nick, size_t len, struct roster_member *ret);
/* The rooms (their indices) that it is in, at most max; returns how many. */
size_t roster_rooms(struct roster *ro, const struct roster_member *of, uint32_t *ret, size_t max);
/*
 * Some of all, in no order, from *cursor on, which is 0 at first; 0: there are no more. Who comes or changes the nick meanwhile
 * may be left out, or come twice.
 */
size_t roster_some(struct roster *ro, uint64_t *cursor, struct roster_member *ret, size_t max);

/* --- for a cluster --- */

struct elsewhere_client;

/* The names that roster_reserve() has the keys of, so that other nodes can be told; takes the array over. */
void roster_reserve_names(struct roster *ro, char (*names)[TEXT_NICK_MAX + 1], size_t n);
/* A copy of them, to be freed, if it isn't that version (first 0), which becomes what it is; else, or without memory, NULL. */
char (*roster_names(struct roster *ro, unsigned *version, size_t *ret_n))[TEXT_NICK_MAX + 1];

/*
 * From now on there is a cluster: this node has that name, changes are noted for one thread that takes them, and nicks
 * of people elsewhere are taken. Nobody is here yet. Returns 0 or -ENOMEM.
 */
int roster_watch(struct roster *ro, const char *node, struct elsewhere *elsewhere);
/* That thread is woken, whenever somebody gets a nick that others could want as well. */
void roster_wakes(struct roster *ro, struct wakeup *w);
/* Whether somebody did since this was asked last. */
bool roster_hurries(struct roster *ro);
/*
 * Somebody on another node has that nick. If somebody here has it as well, as both were given it at the same moment or
 * while the nodes were apart, one of the two loses it: who has no account, then who had it for less long, then whose
 * node's name comes later. The one here is lost then. A name that is reserved there isn't that of one here who has no
 * account: roster_losses() grows, and roster_is_reserved() knows.
 */
void roster_contest(struct roster *ro, const char *node, const struct elsewhere_client *c);
/* Whether an entry is lost: its client becomes a guest. roster_losses() grows whenever one is; any thread. */
bool roster_is_lost(struct roster *ro, const struct roster_entry *e);
unsigned roster_losses(const struct roster *ro);

/* How somebody is now of whom something has changed; or that it is gone: then only the id is there. */
struct roster_change {
	uint64_t id;
	int64_t since_us; /* CLOCK_REALTIME: when it got that nick */
	uint32_t room;	  /* ROOM_NONE: none */
	bool is_account, is_datagram;
	uint8_t nick_len; /* 0: it is gone */
	char nick[TEXT_NICK_MAX + 1];
};
/* Takes at most max (two or more) changes; if it is less than max - 1, there are no more at the moment. */
size_t roster_changes(struct roster *ro, struct roster_change *ret, size_t max);

#endif
