/* SPDX-License-Identifier: MIT */
/*
 * The connections of one ZeroMQ socket, which libzmq keeps to itself but for their file descriptors
 * (zmq_socket_monitor(3)), and how much of an unfinished message each may send.
 *
 * libzmq holds the frames of a message until the last one has come, however many there are. So what a peer
 * has sent since its last message is asked of the kernel (TCP_INFO), of those who send and at most every few
 * milliseconds. Whoever has sent more than a message may be long is a suspect; when everything that was
 * complete by then has been taken, and none of it was a suspect's, its message is too long.
 */
#ifndef DAEMON_ZMQ_PEERS_H
#define DAEMON_ZMQ_PEERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <zmq.h>

struct zmq_peers;

/* Returns NULL without memory or descriptors. */
struct zmq_peers *zmq_peers_new(void);
void zmq_peers_free(struct zmq_peers *p);

/* libzmq accepted the connection, or has closed it. */
void zmq_peers_came(struct zmq_peers *p, int fd);
void zmq_peers_went(struct zmq_peers *p, int fd);
size_t zmq_peers_count(const struct zmq_peers *p);
void zmq_peers_each(const struct zmq_peers *p, void (*fn)(int fd, void *arg), void *arg);

/* A message was taken from the socket (m is a frame of it), or there was none to take. Whose it is may be said by the next frame
 * only, as libzmq makes a ROUTER's first one itself: zmq_peers_whose() with any frame. */
void zmq_peers_took(struct zmq_peers *p, zmq_msg_t *m);
void zmq_peers_whose(struct zmq_peers *p, zmq_msg_t *m);
void zmq_peers_took_all(struct zmq_peers *p);

/* Readable when somebody has sent something. */
int zmq_peers_fd(const struct zmq_peers *p);
/* Whether there are suspects, so that it is to be looked at soon. */
bool zmq_peers_suspects(const struct zmq_peers *p);
/*
 * Looks at those who have sent something. Calls fn for each whose message is longer than limit bytes, as they
 * are on the wire; or, while nothing can be taken from the socket, who has sent more than waiting such
 * messages.
 */
void zmq_peers_look(struct zmq_peers *p, uint64_t limit, uint64_t waiting, void (*fn)(int fd, void *arg),
		    void *arg);

#endif
