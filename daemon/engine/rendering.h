/* SPDX-License-Identifier: MIT */
/*
 * A worker's renderings of its rooms' events: each event is rendered once for all members in the same form, and they
 * are sent it from here, as others are from the log. A member's place is between two events; what it was sent since
 * then is so many bytes of the rendering that begins there. So:
 *
 *	- what is sent from here is made again from the log by renderings_recover(), in whatever process;
 *	- a place is committed before the log loses what is behind it: RENDERING_UNTOLD_SHARE;
 *	- nothing is sent across an event that is forgotten (it can't be made again): a run ends in front of it, and
 *	  members go past it by a transaction;
 *	- data that was handed out stays where it is, and as it is, until renderings_advance().
 *
 * One thread at a time uses them. Where a view is given, the log is pinned or locked.
 */
#ifndef DAEMON_RENDERING_H
#define DAEMON_RENDERING_H

#include "daemon/config/handler.h"
#include "daemon/rooms/speech.h"
#include "daemon/state/memberships.h"

/* No line in a log is longer. One that is, or becomes more than RENDERED_MAX, isn't shown to those it is rendered for. */
#define RENDERED_LINE_MAX (SPEECH_NICK_MAX + SPEECH_TEXT_MAX + 64)
#define RENDERED_MAX (CLIENT_OUT_SIZE / 2)
/* This much of the log, or less, may have been sent since a member's place was committed. */
#define RENDERING_UNTOLD_MAX (32U << 10)
#define RENDERING_UNTOLD_SHARE 8

struct renderings;

/* For whom. */
struct audience {
	const struct handler *handler;
	unsigned form;
	const struct room *room;
};

/* Returns 0 or -ENOMEM. What isn't used costs no memory. */
int renderings_new(const struct shared *shared, struct renderings **ret);
void renderings_free(struct renderings *rs);

/* One event, at *ret until the next call. 0: nothing is shown of it. */
size_t renderings_event(struct renderings *rs, const struct audience *to, uint64_t seq,
			const struct record *event, const char *line, size_t len, const char **ret);

/* The same of a private message, by the handler's letter(). */
size_t renderings_letter(struct renderings *rs, const struct handler *handler, struct connection *c,
			 uint64_t seq, const struct record *event, const char *line, size_t len,
			 const char **ret);

/*
 * A delivery of that room begins: its members, but for some that are late, lack the events from number first on.
 * renderings_advance() goes on to those behind what was rendered by now; false: nothing was, or that was all, and the
 * delivery is over.
 */
void renderings_begin(struct renderings *rs, const struct room *room, uint64_t first);
bool renderings_advance(struct renderings *rs, const struct logring_view *v);
/* What was rendered isn't to be sent any more: the room is gone, or something is forgotten. */
void renderings_forget(struct renderings *rs);

/* A part of a rendering: events first .. next - 1, whole. */
struct rendered {
	const struct rendering *of;
	uint64_t first, next;
	const char *data;
	size_t len;
};
/*
 * What a member is sent next that lacks the events from number seq on; len 0: nothing is shown of them. Its data stays
 * until renderings_advance() if *ret_lasts, else until the next call. next == seq: that one is forgotten, go past it.
 */
struct rendered renderings_get(struct renderings *rs, const struct audience *to, const struct logring_view *v,
			       uint64_t seq, bool *ret_lasts);
/* What it is in front of that event of it. */
struct rendered rendered_before(const struct rendered *r, uint64_t seq);
/* How many whole events the first n bytes of it are; *ret_cut: so many bytes are of the one behind them. */
uint64_t rendered_events(const struct rendered *r, size_t n, size_t *ret_cut);
/* The bytes of that event of it. */
const char *rendered_event(const struct rendered *r, uint64_t seq, size_t *ret_len);

/*
 * Where a member is that stood at that place and was sent so many bytes of rendering since: *ret is the place of the
 * event in front of which, or within which (*ret_cut bytes), it stopped. Returns why that can't be told, or NULL.
 */
const char *renderings_recover(struct renderings *rs, const struct audience *to, const struct logring_view *v,
			       struct position from, uint64_t sent, struct position *ret, size_t *ret_cut);

#endif
