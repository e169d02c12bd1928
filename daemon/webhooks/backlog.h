/* SPDX-License-Identifier: MIT */
/*
 * What a receiver was away for and the room's log has no more of is asked of the history, if there is one, a delivery's
 * worth at a time. Its answer comes later: the thread is woken by it.
 */
#ifndef DAEMON_WEBHOOKS_BACKLOG_H
#define DAEMON_WEBHOOKS_BACKLOG_H

struct hook;
struct webhooks;

/*
 * 0: h->payload is made of the history; -EAGAIN: its answer isn't there yet, or is to be asked for again later; -ENODATA:
 * there is nothing to be had there, so it is made of the log. Or -ENOMEM.
 */
int backlog_make(struct webhooks *w, struct hook *h);
/* Nobody waits for an answer any more. */
void backlog_drop(struct hook *h);

#endif
