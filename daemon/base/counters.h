/* SPDX-License-Identifier: MIT */
/* What chatd counts. Each thread writes its own set; the main thread adds them up for `chatctl metrics`. */
#ifndef DAEMON_COUNTERS_H
#define DAEMON_COUNTERS_H

#include <stdatomic.h>
#include <stdint.h>

/* X(identifier, name in the metrics, help) */
#define COUNTERS(X)                                                                                          \
	X(CLIENTS_ACCEPTED, "clients_accepted", "Connections accepted")                                      \
	X(CLIENTS_CLOSED, "clients_closed", "Connections ended, by either side")                             \
	X(CLIENTS_REFUSED, "clients_refused", "Connections refused because of a limit")                      \
	X(CLIENTS_KICKED, "clients_kicked", "Connections ended by an admin")                                 \
	X(CLIENTS_IDLE, "clients_idle_closed", "Connections ended by idle_timeout")                          \
	X(CLIENTS_SLOW, "clients_slow_closed", "Connections ended by slow = \"disconnect\"")                 \
	X(ACCEPT_PAUSES, "accept_pauses", "Times accept() paused for want of file descriptors")              \
	X(MESSAGES, "messages", "Messages taken into rooms")                                                 \
	X(MESSAGES_SKIPPED, "messages_skipped", "Messages that slow readers did not get")                    \
	X(LINES_REFUSED, "lines_refused", "Lines refused because they were too long")                        \
	X(REPLIES_CUT, "replies_cut", "Times a reply was cut, since it didn't fit when it was wrapped")      \
	X(COMMANDS, "commands", "Commands carried out")                                                      \
	X(PRIVATE_MESSAGES, "private_messages", "Private messages sent")                                     \
	X(PRIVATE_DROPPED, "private_messages_dropped",                                                       \
	  "Private messages dropped: the receiver was gone or did not read")                                 \
	X(RATE_PAUSES, "rate_pauses",                                                                        \
	  "Times a client was slowed down by lines_per_second or bytes_per_second")                          \
	X(CHANGES_REFUSED, "changes_refused",                                                                \
	  "Changes of nick or room refused by nick_changes_per_minute or joins_per_minute")                  \
	X(CLIENTS_MUTE, "clients_mute_closed", "Connections ended by first_line_timeout or login_timeout")   \
	X(CLIENTS_UNREAD, "clients_unread_closed",                                                           \
	  "Connections reset since they didn't read what was left for them (flush_timeout, or a kick), or "  \
	  "took nothing for user_timeout")                                                                   \
	X(FOREIGN, "foreign_protocols_closed",                                                               \
	  "Connections ended since they spoke HTTP or TLS at a chat port")                                   \
	X(SOCKETS, "web_sockets", "WebSockets opened")                                                       \
	X(SOCKETS_BROKEN, "web_sockets_broken", "WebSockets closed as what came was none")                   \
	X(HTTP_REQUESTS, "http_requests", "HTTP requests answered")                                          \
	X(HTTP_REFUSED, "http_requests_refused", "HTTP requests answered with an error")                     \
	X(HTTP_STREAMS, "http_streams", "Streams of server-sent events opened")                              \
	X(BANNED, "banned", "Times somebody came from a banned address")                                     \
	X(NOT_ALLOWED, "not_allowed", "Times somebody came from an address that allow or deny keeps out")    \
	X(LOGINS, "logins", "Successful logins")                                                             \
	X(LOGINS_FAILED, "logins_failed", "Logins with a wrong name or password")                            \
	X(ROOMS_FULL, "rooms_full", "Times a room was not made because of max_rooms")                        \
	X(ROOM_REFUSED, "room_refused",                                                                      \
	  "Times a room was not entered, or not spoken in, for want of a right")                             \
	X(PROXY_FAILED, "proxy_failed", "Connections from proxies without a valid PROXY header")             \
	X(TLS_FAILED, "tls_failed", "TLS handshakes that failed")                                            \
	X(TLS_RENEWALS, "tls_renewals_closed", "TLS connections closed for wanting new keys all the time")   \
	X(CROWDED, "crowded", "Times a sender waited for a worker to catch up with the room")                \
	X(SENDS, "sends", "Send operations on client sockets")                                               \
	X(BYTES_IN, "received_bytes", "Bytes received from clients")                                         \
	X(BYTES_OUT, "sent_bytes", "Bytes sent to clients")                                                  \
	X(DATAGRAMS_IN, "datagrams_received", "Datagrams received")                                          \
	X(DATAGRAMS_OUT, "datagrams_sent", "Datagrams sent")                                                 \
	X(DATAGRAMS_DROPPED, "datagrams_dropped", "Datagrams that could not be sent")                        \
	X(DATAGRAMS_IGNORED, "datagrams_ignored",                                                            \
	  "Datagrams ignored: from strangers, or from services that would answer for ever")                  \
	X(DATAGRAMS_REFUSED, "datagrams_refused", "Datagrams answered with #ERR")                            \
	X(COOKIES, "cookies_sent", "Times an address was asked to prove that it is real")                    \
	X(UNREACHABLE, "unreachable", "Times the network reported an address as unreachable")                \
	X(ZMQ_IN, "zmq_received", "ZeroMQ messages taken")                                                   \
	X(ZMQ_OUT, "zmq_sent", "ZeroMQ messages passed on or published")                                     \
	X(ZMQ_DROPPED, "zmq_dropped", "ZeroMQ messages that could not be passed on")                         \
	X(ZMQ_IGNORED, "zmq_ignored", "ZeroMQ connections that failed: no ZeroMQ peer, or not allowed")      \
	X(ZMQ_TOO_LONG, "zmq_too_long", "ZeroMQ peers cut off within a message longer than max_size")        \
	X(ZMQ_PEERS, "zmq_peers_accepted", "ZeroMQ connections accepted")                                    \
	X(UNCOVERED, "clients_uncovered",                                                                    \
	  "Connections that would not survive a crash when they were accepted")

enum counter {
#define X(id, name, help) COUNT_##id,
	COUNTERS(X)
#undef X
	    COUNTERS_N
};

/* One of clients_counters(): they outlive the process. */
struct counters {
	_Atomic uint64_t v[COUNTERS_N];
};

/* Only the thread that owns the set calls this. */
static inline void count(struct counters *c, enum counter which, uint64_t n)
{
	atomic_store_explicit(&c->v[which], atomic_load_explicit(&c->v[which], memory_order_relaxed) + n,
			      memory_order_relaxed);
}

const char *counter_name(enum counter which);
const char *counter_help(enum counter which);

#endif
