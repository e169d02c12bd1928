/* SPDX-License-Identifier: MIT */
/*
 * File descriptors that come from outside: sockets and state that the service manager (sd_listen_fds(3)) or a
 * process before this one passed, and sockets made here. A socket is matched to a listener by name, else by
 * address.
 */
#ifndef DAEMON_SOCKETS_H
#define DAEMON_SOCKETS_H

#include "common/address.h"

#include <stddef.h>

/* States of a connection as tcpi_state has them (Linux, net/tcp_states.h). */
enum {
	TCP_STATE_ESTABLISHED = 1,
	TCP_STATE_FIN_WAIT1 = 4,
	TCP_STATE_FIN_WAIT2 = 5,
	TCP_STATE_TIME_WAIT = 6,
	TCP_STATE_CLOSE = 7,
	TCP_STATE_CLOSE_WAIT = 8,
	TCP_STATE_LAST_ACK = 9,
	TCP_STATE_CLOSING = 11
};

struct sockets;

/* Where something listens. */
struct place {
	char name[64]; /* of its socket, where one is passed */
	bool datagrams;
	union address address;
	int backlog; /* of listen(2) */
};

/*
 * How many file descriptors are not for clients, of those that RLIMIT_NOFILE allows: the control socket's
 * calls need some, and so does whoever looks at the keeper's messages. The kernel gives out the lowest free
 * number, so one of sockets_for_clients() or above tells that the others are all in use.
 */
unsigned sockets_reserve(void);
int sockets_for_clients(void);
/* Whether only the reserve is left. */
bool sockets_are_short(void);

/* Takes all passed fds. Returns 0 or -ENOMEM. */
int sockets_take(struct sockets **ret);
void sockets_close(struct sockets *s);
/* Whether anything was passed. */
bool sockets_were_passed(const struct sockets *s);
/*
 * Before the listeners' sockets are stored: what the store has is kept under its first name, which may be one
 * that another listener has now; and those that no listener wants any more may have a name that one stores now.
 */
void sockets_forget_names(struct sockets *s);
/* After the start: closes leftovers of a process before, and warns of sockets that no listener wants (they
 * are kept). */
void sockets_settle(struct sockets *s);

/* The first passed fd of that name, which the caller owns then; -ENOENT. */
int sockets_claim(struct sockets *s, const char *name);

/* The same for any fd whose name begins with prefix; its name is copied. */
int sockets_claim_prefix(struct sockets *s, const char *prefix, char *name, size_t size);

/* The first passed fd of that name, or one that listens at an "ipc://PATH", which the caller owns then;
 * -ENOENT. */
int sockets_claim_unix(struct sockets *s, const char *name, const char *endpoint);

/* Where a socket is bound: an address, or a path as "ipc://PATH" in text; false if it is neither. */
bool sockets_bound(int fd, union address *ret, char *text, size_t size);
/* Whether a passed socket's address is what a place's address means. */
bool sockets_same_place(const union address *passed, const union address *wanted);
/* Lets other sockets of ours have the address of this one, too, or no longer. */
void sockets_share(int fd, bool share);
/* The same for all that a process before bound and that nobody has claimed yet, where their address overlaps with
 * that of the place. Whether there was any. */
bool sockets_share_unclaimed(const struct sockets *s, const struct place *place, bool share);
/*
 * A listening socket for the listener: a passed one, or a new one, which may share its address with one of
 * ours. Returns the fd or -errno; *ret_passed tells whether the service manager passed it. Sockets that chatd
 * bound itself come back from a process before, too.
 */
int sockets_listen(struct sockets *s, const struct place *place, bool share, bool *ret_passed);
/* Takes a passed socket back that no listener wants any more: another may want it after a reload. Owns fd. */
void sockets_give_back(struct sockets *s, int fd, const char *name);
/* Calls fn for every fd that nobody has claimed. */
void sockets_each(const struct sockets *s, void (*fn)(const char *name, int fd, void *arg), void *arg);
/* Ends a connection by a reset, whoever else holds its socket. */
void sockets_reset(int fd);
/* What a socket that chatd bound for a listener is called where it is kept. */
#define SOCKETS_OWN_NAME_MAX 96
char *sockets_own_name(const char *listener, char dst[static SOCKETS_OWN_NAME_MAX]);

/* Keeps fd in the service manager's fd store under that name, or takes it out; harmless without systemd. */
void sockets_store(int fd, const char *name);
void sockets_unstore(const char *name);
/* The same for each of what keeper_pairs() or places_each() knows; arg: NULL. */
void sockets_store_each(const char *name, int fd, void *arg);
void sockets_unstore_each(const char *name, int fd, void *arg);
/* Whether there is a service manager that keeps what is stored. */
bool sockets_have_store(void);

#endif
