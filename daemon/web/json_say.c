/* SPDX-License-Identifier: MIT */
/* What is sent to WebSockets that speak chatd.v1.json: docs/PROTOCOL.md has each of the messages. */
#include "daemon/web/socket.h"

#include "common/cleanup.h"
#include "daemon/modes/past.h"
#include "daemon/rooms/speech.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* A message without anybody's text; and what comes to one that has some. */
#define SAY_SIZE 4096
#define SAY_FRAME (1024 + SOCKET_ID_MAX)
#define SAY_NAMES 16384
#define SAY_ROOMS 200
/* How much of what was said since then is sent to who comes back, in messages and, of the outbox, in what stays free. */
#define SAY_SINCE 1000
#define SAY_SPARE 8192U

/* --- messages --- */

struct json_text socket_begin(char *space, size_t size, const char *type)
{
	struct json_text t = {.at = space + FRAMES_HEADER_MAX, .size = size - FRAMES_HEADER_MAX};

	json_putf(&t, "{\"type\":\"%s\"", type);
	if (socket_asked.id[0]) {
		json_put(&t, ",\"id\":");
		json_put(&t, socket_asked.id);
	}
	return t;
}

/* The frame's header stands right in front of it. */
static const char *say_frame(struct json_text *t, size_t *ret_len)
{
	char header[FRAMES_HEADER_MAX];

	json_put(t, "}");
	size_t n = frames_header(header, FRAMES_TEXT, t->len);
	memcpy(t->at - n, header, n);
	*ret_len = n + t->len;
	return t->at - n;
}

void socket_send(struct connection *c, struct json_text *t)
{
	size_t len;
	const char *frame = say_frame(t, &len);

	if (t->cut)
		count(chat_counters(c), COUNT_REPLIES_CUT, 1);
	else
		connection_write_wire(c, frame, len);
}

static void say_skipped(struct connection *c, const char *count, size_t len)
{
	char space[256 + SOCKET_ID_MAX];
	struct json_text t = socket_begin(space, sizeof(space), "skipped");

	json_putf(&t, ",\"count\":%.*s", (int)len, count);
	socket_send(c, &t);
}

void socket_reply_json(struct connection *c, const char *line, size_t len)
{
	if (len > 1 && line[0] == SOCKET_SKIPPED) {
		say_skipped(c, line + 1, len - 1);
		return;
	}
	size_t size = 6 * len + SAY_FRAME;
	_cleanup_free_ char *space = malloc(size);
	if (!space) {
		count(chat_counters(c), COUNT_REPLIES_CUT, 1);
		return;
	}
	struct json_text t = socket_begin(space, size, "reply");
	json_put_member(&t, "text", line, len);
	socket_send(c, &t);
}

/* --- events --- */

static void say_put_event(struct json_text *t, const struct room *room, uint64_t seq, const struct record *r,
			  const struct speech_event *e)
{
	json_putf(t, "{\"type\":\"%s\"", speech_kind_name(r->kind));
	json_put_member(t, "room", room->name, strlen(room->name));
	json_putf(t, ",\"epoch\":\"%" PRIx64 "\"", room->epoch);
	json_put_number(t, "number", room_number(room, r, seq));
	json_put_number(t, "time", r->time_us);
	if (e->nick_len > 0)
		json_put_member(t, "nick", e->nick, e->nick_len);
	json_put_member(t, "text", e->text, e->text_len);
}

static void say_put_private(struct json_text *t, const struct record *r, const struct speech_event *e,
			    const char *line, size_t len)
{
	if (r->kind != RECORD_MESSAGE || e->nick_len == 0) { /* that one didn't arrive */
		json_put(t, "{\"type\":\"reply\"");
		json_put_member(t, "text", line, len - 1);
		return;
	}
	json_put(t, "{\"type\":\"private\"");
	json_put_member(t, "from", e->nick, e->nick_len);
	json_put_number(t, "time", r->time_us);
	json_put_member(t, "text", e->text, e->text_len);
}

size_t socket_render_json(const struct room *room, uint64_t seq, const struct record *event, const char *line,
			  size_t len, char *out)
{
	struct json_text t = {.at = out + FRAMES_HEADER_MAX,
			      .size = HANDLER_RENDERED_MAX(len) - FRAMES_HEADER_MAX};
	struct speech_event e;
	size_t n;

	speech_event_of(event, line, len, &e);
	if (room->index == ROOM_PRIVATE)
		say_put_private(&t, event, &e, line, len);
	else
		say_put_event(&t, room, seq, event, &e);
	const char *frame = say_frame(&t, &n);
	if (t.cut)
		return 0;
	memmove(out, frame, n);
	return n;
}

/* --- coming, and names --- */

static void say_welcome(struct connection *c)
{
	const struct client_state *draft = connection_draft(c);
	const struct chat_command *k;
	char space[SAY_SIZE];
	struct json_text t = socket_begin(space, sizeof(space), "welcome");

	json_put_member(&t, "version", PACKAGE_VERSION, strlen(PACKAGE_VERSION));
	json_put_number(&t, "client", connection_id(c));
	if (draft->nick_len > 0)
		json_put_member(&t, "nick", draft->nick, draft->nick_len);
	json_putf(&t, ",\"login\":%s,\"commands\":[", draft->nick_len > 0 ? "false" : "true");
	for (size_t i = 0; (k = chat_command_at(i)); i++) {
		if (!chat_command_is_shown(c, k))
			continue;
		json_putf(&t, "%s{\"name\":\"%s\"", i > 0 ? "," : "", k->name);
		json_put_member(&t, "arguments", k->arguments, strlen(k->arguments));
		json_put_member(&t, "help", k->help, strlen(k->help));
		json_put(&t, "}");
	}
	json_put(&t, "]");
	socket_send(c, &t);
}

/* What can't be had any more of what was said since then. Numbers only grow, whatever the epoch, and a log that was restored
 * has those of before. */
static void say_put_gap(struct json_text *t, const struct room *room, const struct logring_view *v,
			const struct chat_events *events)
{
	uint64_t from = socket_asked.number + 1, end = room->number_base + v->count, seq;

	if (events->more && events->n > 0)
		end = events->first;
	else if (v->first < v->count) {
		seq = events->more ? v->count - 1 : v->first;
		end = room_number(room, logring_record(room->log, seq), seq) + events->more;
	}
	if (from < end)
		json_putf(t, ",\"gap\":{\"from\":%" PRIu64 ",\"to\":%" PRIu64 "}", from, end - 1);
}

static void say_entered(struct connection *c, struct room *room)
{
	const struct client_state *draft = connection_draft(c);
	bool since = socket_asked.has_since;
	unsigned wanted = since && room->history > 0 ? SAY_SINCE : room->history;
	char space[SAY_SIZE];
	struct logring_view v;
	struct chat_events events;

	logring_peek(room->log, &v);
	size_t wire = connection_wire_space(c);
	chat_events_find(c, room, wanted, since ? socket_asked.number : 0,
			 wire > SAY_SPARE ? wire - SAY_SPARE : 0, &events);
	struct json_text t = socket_begin(space, sizeof(space), "joined");
	json_put_member(&t, "room", room->name, strlen(room->name));
	json_putf(&t, ",\"epoch\":\"%" PRIx64 "\"", room->epoch);
	json_put_number(&t, "next", room->number_base + v.count);
	if (since)
		say_put_gap(&t, room, &v, &events);
	json_put_member(&t, "nick", draft->nick, draft->nick_len);
	socket_send(c, &t);
	chat_events_write(c, room, &events);
}

static void say_named(struct connection *c, const char *nick, size_t len)
{
	char space[SAY_SIZE];
	struct json_text t = socket_begin(space, sizeof(space), "nick");

	json_put_member(&t, "nick", nick, len);
	socket_send(c, &t);
}

static void say_told(struct connection *c, const struct chat_arg *nick, const char *text, size_t len)
{
	size_t size = 6 * (nick->len + len) + SAY_FRAME;
	_cleanup_free_ char *space = malloc(size);

	if (!space)
		return;
	struct json_text t = socket_begin(space, size, "private");
	json_put_member(&t, "to", nick->at, nick->len);
	json_put_member(&t, "text", text, len);
	socket_send(c, &t);
}

/* --- who, and where --- */

/* list: "alice, bob"; no nick has a space. */
static void say_put_names(struct json_text *t, const char *list)
{
	const char *separator;

	for (const char *at = list; *at; at = separator + 2) {
		separator = strstr(at, ", ");
		json_put_string(t, at, separator ? (size_t)(separator - at) : strlen(at));
		if (!separator)
			return;
		json_put(t, ",");
	}
}

static void say_who(struct connection *c, struct room *room)
{
	struct shared *shared = chat_shared(c);
	char list[SAY_NAMES], space[3 * SAY_NAMES + SAY_SIZE];
	size_t shown = 0, all = 0;

	struct json_text t = socket_begin(space, sizeof(space), "who");
	json_put_member(&t, "room", room ? room->name : "", room ? strlen(room->name) : 0);
	json_put(&t, ",\"nicks\":[");
	if (room)
		all = roster_list(shared->roster, room->index, list, sizeof(list), &shown);
	if (room && room->outgoing)
		all += elsewhere_list(shared->elsewhere, room->name, list, sizeof(list), &shown);
	if (room)
		say_put_names(&t, list);
	json_put(&t, "]");
	json_put_number(&t, "count", all);
	socket_send(c, &t);
}

struct say_rooms {
	struct connection *c;
	struct json_text *t;
	unsigned n, hidden;
};

/* The number of the newest message that is no notice; 0: there is none. */
static uint64_t say_last(struct connection *c, struct room *room)
{
	struct logring_view v;
	uint64_t last = 0;

	logring_pin(room->log, chat_slot(c), &v);
	uint64_t seq = v.count;
	if (logring_back(room->log, &v, &seq))
		last = room_number(room, logring_record(room->log, seq), seq);
	logring_unpin(room->log, chat_slot(c));
	return last;
}

static bool say_put_room(struct room *room, void *arg)
{
	struct say_rooms *s = arg;

	if (room->decided & ROOM_SECRET && room != connection_room(s->c)) {
		s->hidden++;
		return true;
	}
	json_put(s->t, s->n > 0 ? ",{\"name\":" : "{\"name\":");
	json_put_string(s->t, room->name, strlen(room->name));
	size_t there = room->outgoing ? elsewhere_count(chat_shared(s->c)->elsewhere, room->name) : 0;
	json_put_number(s->t, "members", room_members(room) + there);
	bool shows = room_is_open(room) || room == connection_room(s->c);
	json_put_number(s->t, "last", shows ? say_last(s->c, room) : 0);
	json_putf(s->t, ",\"epoch\":\"%" PRIx64 "\",\"raw\":%s,\"read_only\":%s,\"members_only\":%s}",
		  room->epoch, room->raw ? "true" : "false", room->read_only ? "true" : "false",
		  room->members_only ? "true" : "false");
	return ++s->n < SAY_ROOMS;
}

static void say_rooms(struct connection *c)
{
	size_t size = SAY_ROOMS * (TEXT_ROOM_MAX + 192) + SAY_FRAME;
	_cleanup_free_ char *space = malloc(size);
	struct rooms *rooms = chat_shared(c)->rooms;

	if (!space)
		return;
	struct json_text t = socket_begin(space, size, "rooms");
	json_put(&t, ",\"rooms\":[");
	struct say_rooms s = {.c = c, .t = &t};
	rooms_each(rooms, say_put_room, &s);
	json_put(&t, "]");
	json_put_number(&t, "count", rooms_count(rooms) - s.hidden);
	socket_send(c, &t);
}

/* --- what was said before --- */

static void say_past(struct connection *c, const struct room *room, const struct past *p,
		     const char *searched, const char *remark)
{
	size_t size = p->len + SAY_SIZE;
	_cleanup_free_ char *space = malloc(size);

	if (!space)
		return;
	struct json_text t = socket_begin(space, size, "history");
	json_put_member(&t, "room", room->name, strlen(room->name));
	json_putf(&t, ",\"epoch\":\"%" PRIx64 "\"", room->epoch);
	if (searched)
		json_put_member(&t, "search", searched, strlen(searched));
	json_put(&t, ",\"messages\":[");
	if (p->len > 0 && p->len - 1 <= t.size - t.len) { /* without the last one's comma */
		memcpy(t.at + t.len, p->text, p->len - 1);
		t.len += p->len - 1;
	}
	json_putf(&t, "],\"more\":%s", p->more ? "true" : "false");
	if (remark)
		json_put_member(&t, "remark", remark, strlen(remark));
	socket_send(c, &t);
}

const struct chat_words socket_words = {
    .form = WEB_JSON,
    .welcome = say_welcome,
    .entered = say_entered,
    .named = say_named,
    .told = say_told,
    .who = say_who,
    .rooms = say_rooms,
    .past = say_past,
};
