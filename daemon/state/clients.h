/* SPDX-License-Identifier: MIT */
/*
 * The table of clients in a memory file: everything about a connection that has to outlive the process.
 * state/file.h says where in the file things are; state/memberships.h has who is in which room.
 *
 * A client's entry holds its state twice, each with a generation; a change is prepared in the other half and
 * becomes true by the single store of `live`. Where a change and a message in a room belong together, an
 * intent in the worker's scratch joins them.
 *
 * Output is one stream of bytes, counted from 0 as the kernel counts them: bytes below out_end lie in the
 * client's outbox (at stream offset % CLIENT_OUT_SIZE), the rest is the log of the client's direct room, from
 * its position there on. Input is counted likewise; bytes from in_parsed on that were received are in a
 * worker's scratch, or in the client's inbox at offset % CLIENT_IN_SIZE. How much was really sent and received
 * the kernel knows, so nothing is stored per send().
 */
#ifndef DAEMON_CLIENTS_H
#define DAEMON_CLIENTS_H

#include "daemon/io/tls_stream.h"
#include "daemon/state/entry.h"

struct clients;
struct secrets;

/* The size to create the memory file with. It is the same whatever max_clients says: pages exist only where
 * something was written, so a restart may allow more clients, or fewer. */
uint64_t clients_file_size(void);
/* Returns 0, -EBADMSG for a file of another layout, or -errno. Entries are checked by whoever takes them
 * back. */
int clients_open(int fd, bool fresh, struct clients **ret);
void clients_close(struct clients *cs);

struct client_history *clients_history(struct clients *cs);

/* The entry for a new client; it has an id but no cookie yet. NULL when the table is full. Any thread. */
struct client *clients_allocate(struct clients *cs);
void clients_release(struct clients *cs, struct client *c);
/* For the start: the free entries become known after all used ones have been looked at. */
void clients_rebuild(struct clients *cs);

uint64_t clients_next_id(const struct clients *cs);
/* The places below have been used; all of them are below. */
uint32_t clients_high(const struct clients *cs);
uint32_t clients_index(const struct clients *cs, const struct client *c);
struct client *clients_at(struct clients *cs, uint32_t index);
char *clients_inbox(struct clients *cs, const struct client *c);
char *clients_outbox(struct clients *cs, const struct client *c);
struct scratch *clients_scratch(struct clients *cs, unsigned worker);

/* Where the secrets of TLS are; without them no TLS survives. Before anybody uses the table. */
void clients_set_secrets(struct clients *cs, struct secrets *s);
/* Where the state of a client's TLS is. Its secrets may be NULL. */
struct tls_place clients_tls(struct clients *cs, const struct client *c);
/* The first one, behind which are those of the other workers. */
struct tls_scratch *clients_tls_scratches(struct clients *cs);

/* The number for such an origin, made if need be; main thread only. -ENOSPC when all are in use, by clients
 * or by who holds them. */
int clients_intern(struct clients *cs, const struct client_origin *origin);
/* As long as it is held, a number is nobody else's. Any thread. */
void clients_hold_origin(struct clients *cs, unsigned number);
void clients_drop_origin(struct clients *cs, unsigned number);
const struct client_origin *clients_origin(const struct clients *cs, unsigned number);

/* What has come through listeners of an origin, ever. */
struct client_tally *clients_tally(struct clients *cs, unsigned origin);

/* A set of counters, which go on where the process before left them. */
_Atomic uint64_t *clients_counters(struct clients *cs, unsigned set);
/*
 * Says which counters this build has, before they are used. Those that another build left are put in their
 * order.
 */
void clients_order_counters(struct clients *cs, const char *const names[], unsigned n);

/* How many subscribers a listener of that origin had, for the next process. */
_Atomic uint32_t *clients_peers(struct clients *cs, unsigned origin);

/* The layout's version that this build reads and writes. */
unsigned clients_layout(void);

/*
 * What builds of the same layout, or of those that it was converted from, write since when. 0: connections that
 * were accepted but not greeted have no rights yet.
 */
#define CLIENTS_REVISION 1
unsigned clients_revision(const struct clients *cs);
void clients_set_revision(struct clients *cs, unsigned revision);

#endif
