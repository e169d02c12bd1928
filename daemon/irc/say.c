/* SPDX-License-Identifier: MIT */
/*
 * PRIVMSG, NOTICE and TAGMSG. What is said in a channel is said in the room, for members of all transports; a private
 * message goes to whoever has that nick, over whatever that is here.
 */
#include "daemon/irc/commands.h"

#include "common/cleanup.h"
#include "common/nick.h"
#include "daemon/base/clock.h"
#include "daemon/base/fault.h"
#include "daemon/channels/channels.h"
#include "daemon/irc/attachments.h"
#include "daemon/irc/away.h"
#include "daemon/irc/formatting.h"
#include "daemon/irc/idle.h"
#include "daemon/irc/msgref.h"
#include "daemon/irc/names.h"
#include "daemon/irc/tell.h"
#include "daemon/rooms/letter.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

/* Targets of one message. */
#define SAY_TARGETS_MAX 4

enum say_kind { SAY_PRIVMSG, SAY_NOTICE, SAY_TAGMSG };

struct saying {
	struct irc_call *call;
	enum say_kind kind;
	const char *verb;
	const char *text; /* without formatting */
	size_t len;
	bool is_action;
	bool is_ctcp; /* of another kind */
	char raw[IRC_BODY_MAX];
	char client_tags[IRC_TAGS_DATA_MAX + 1]; /* as they go out; "": none */
};

/* --- what it is --- */

static void say_take_text(struct saying *s, struct irc_arg text)
{
	static const char action[] = "\001ACTION ";

	if (text.len > 0 && text.at[0] == 1) {
		s->is_action =
		    text.len >= sizeof(action) - 1 && memcmp(text.at, action, sizeof(action) - 1) == 0;
		s->is_ctcp = !s->is_action;
		if (s->is_action) {
			text.at += sizeof(action) - 1;
			text.len -= sizeof(action) - 1;
			if (text.len > 0 && text.at[text.len - 1] == 1)
				text.len--;
		}
	}
	s->len = irc_strip_formatting(text.at, text.len, s->raw);
	s->text = s->raw;
}

static void say_take_tags(struct saying *s)
{
	struct irc_arg tag;
	size_t at = 0, n = 0;

	s->client_tags[0] = 0;
	while (irc_tag_next_client(s->call->line->tags, &at, &tag))
		n += (size_t)snprintf(s->client_tags + n, sizeof(s->client_tags) - n, "%s%.*s", n ? ";" : "",
				      (int)tag.len, tag.at);
}

/* --- to a channel --- */

/* Whether it may speak there; its log is locked. member: it is in it. */
static bool say_may_speak(struct irc_call *call, const struct room *room, bool member, bool is_ctcp)
{
	const struct irc_channel *ch = irc_channel(call, room);
	char source[IRC_SOURCE_MAX + 1];
	const struct irc_channel_who who = irc_channel_who(call, member, source);

	/* +n can be taken from a room that has members, and they are who it is for still. */
	if (!member && room->members_only && !irc_is_member_of(call, room->name))
		return false;
	return !room->read_only && !(is_ctcp && ch && ch->modes & IRC_M_NO_CTCP) &&
	       irc_channel_may_speak(ch, &who) == IRC_WHY_MAY;
}

bool irc_may_speak(struct irc_call *call, const struct room *room)
{
	return say_may_speak(call, room, true, false);
}

static void say_fail(struct saying *s, enum irc_numeric n, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void say_fail(struct saying *s, enum irc_numeric n, const char *format, ...)
{
	char text[IRC_BODY_MAX];
	va_list ap;

	/* A notice must not be answered. */
	if (s->kind == SAY_NOTICE)
		return;
	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	irc_numeric(s->call, n, "%s", text);
}

/* Its client-only tags, for the record; 0: it has none. */
static uint32_t say_attach(const struct saying *s)
{
	return s->client_tags[0] ? irc_attachment_put(irc_shared(s->call)->irc->attachments, s->client_tags,
						      strlen(s->client_tags))
				 : 0;
}

static int say_put(struct saying *s, struct room *room)
{
	struct irc_call *call = s->call;
	const struct speaker who = irc_speaker(call->c);

	call->speech.unanswered = s->kind == SAY_NOTICE;
	call->speech.attachment = say_attach(s);
	int r = s->is_action ? speech_act(&call->speech, room, &who, s->text, s->len)
			     : speech_say(&call->speech, room, &who, s->text, s->len);
	call->speech.unanswered = false;
	call->speech.attachment = 0;
	return r;
}

/* --- what is in no log --- */

/* The name of a message that no log has numbered. */
static const char *say_new_msgid(char ret[static IRC_MSGID_MAX])
{
	uint64_t random;

	randombytes_buf(&random, sizeof(random));
	snprintf(ret, IRC_MSGID_MAX, "t%016" PRIx64, random);
	return ret;
}

/* What the client sees of what no log tells it; target: with its sign. time_us: what others are told, so that it is the same
 * message later; 0: now. */
static void say_echo_as(struct saying *s, const char *msgid, const char *target, uint64_t time_us)
{
	struct irc_call *call = s->call;

	if (!irc_has(call->c, IRC_CAP_ECHO_MESSAGE) ||
	    (s->kind == SAY_TAGMSG && !irc_has(call->c, IRC_CAP_MESSAGE_TAGS)))
		return;
	if (s->kind == SAY_TAGMSG)
		irc_own_event(call, time_us, msgid, s->client_tags, "TAGMSG %s", target);
	else
		irc_own_event(call, time_us, msgid, s->client_tags,
			      s->is_action ? "%s %s :\001ACTION %.*s\001" : "%s %s :%.*s", s->verb, target,
			      (int)s->len, s->text);
}

/* t says to whom. */
static void say_pass_on(struct saying *s, struct irc_tell *t, const char *target)
{
	struct irc_call *call = s->call;
	char source[IRC_SOURCE_MAX + 1], msgid[IRC_MSGID_MAX];

	t->caps = s->kind == SAY_TAGMSG ? IRC_CAP_MESSAGE_TAGS : 0;
	irc_message_tags(call, say_new_msgid(msgid), s->client_tags, t->client_tags, sizeof(t->client_tags));
	if (s->kind == SAY_TAGMSG)
		snprintf(t->line, sizeof(t->line), ":%s TAGMSG %s", irc_source(call->c, source), target);
	else
		snprintf(t->line, sizeof(t->line), ":%s %s %s :%.*s", irc_source(call->c, source), s->verb,
			 target, (int)s->len, s->text);
	irc_tell_later(call, t);
	say_echo_as(s, msgid, target, 0);
}

/* Of TAGMSG and CTCP, which only IRC people have, those who are there at the moment are told, and it is no history. */
static void say_pass_on_in_room(struct saying *s, const struct room *room, uint8_t status)
{
	struct irc_tell *t = irc_tell_new(s->call);
	char target[sizeof(room->name) + 3];

	if (!t)
		return;
	t->rooms[t->n_rooms++] = room->index;
	t->except_id = connection_id(s->call->c);
	t->status = status;
	snprintf(target, sizeof(target), "%s#%s",
		 status & IRC_STATUS_VOICE ? "+"
		 : status		   ? "@"
					   : "",
		 room->name);
	say_pass_on(s, t, target);
}

/*
 * Whether it is one line for others. What isn't is refused rather than cut; but for a NOTICE, since nobody would be told:
 * that is several.
 */
static bool say_fits(struct saying *s, const char *target)
{
	char source[IRC_SOURCE_MAX + 1];
	size_t len = strlen(irc_source(s->call->c, source)) + strlen(s->verb) + strlen(target) + s->len +
		     strlen(":    :\r\n") - 1 + (s->is_action ? strlen("\001ACTION \001") : 0);

	if (s->kind != SAY_PRIVMSG || len <= IRC_BODY_MAX)
		return true;
	irc_numeric(s->call, ERR_INPUTTOOLONG, "%s", "");
	return false;
}

/* The room may be one that it isn't in; then it was entered for this. */
static enum verdict say_in_room(struct saying *s, struct room *room, bool member, uint8_t status)
{
	struct irc_call *call = s->call;
	bool direct = s->kind == SAY_TAGMSG || s->is_ctcp || status;
	/* By the log it would come behind what the client is told of its later commands. */
	bool echoes = irc_has(call->c, IRC_CAP_ECHO_MESSAGE);
	char msgid[IRC_MSGID_MAX], target[sizeof(room->name) + 1];

	if (room_crowded(irc_shared(call)->rooms, room))
		return HANDLER_CROWDED;
	if (direct || !member || echoes) {
		if (!irc_speak(call, room))
			return HANDLER_BLOCKED;
		if (!echoes)
			call->within = NULL; /* it comes by the log */
	} else {
		irc_begin(call);
		speech_begin_reading(&call->speech, room);
	}
	if (!say_may_speak(call, room, member, s->is_ctcp)) {
		say_fail(s, ERR_CANNOTSENDTOCHAN, "#%s", room->name);
		return HANDLER_MORE;
	}
	if (direct) {
		say_pass_on_in_room(s, room, status);
		return HANDLER_MORE;
	}
	uint64_t seq = logring_pending(room->log);
	irc_msgid_next(room, msgid);
	int r = say_put(s, room);
	/* What the room's log doesn't tell it. */
	if (r == 0 && echoes && !irc_sees_later(call, room) && logring_pending(room->log) > seq) {
		snprintf(target, sizeof(target), "#%s", room->name);
		say_echo_as(s, msgid, target, call->speech.time_us);
	}
	return HANDLER_MORE;
}

static enum verdict say_to_channel(struct saying *s, struct irc_arg target, uint8_t status)
{
	struct irc_call *call = s->call;
	struct shared *shared = irc_shared(call);
	char name[TEXT_ROOM_MAX + 1];
	struct room *room;

	if (!irc_room_of(call, target, name) || !rooms_exists(shared->rooms, name)) {
		say_fail(s, ERR_NOSUCHCHANNEL, "%.*s", (int)(target.len < 80 ? target.len : 80), target.at);
		return HANDLER_MORE;
	}
	char shown[sizeof(name) + 3];
	snprintf(shown, sizeof(shown), "%s#%s", status ? "@" : "", name);
	if (!say_fits(s, shown))
		return HANDLER_MORE;
	room = seats_room(call->c, name);
	if (room)
		return say_in_room(s, room, true, status);
	if (rooms_enter_existing(shared->rooms, name, irc_context(call)->slot, &room) < 0)
		return HANDLER_MORE;
	enum verdict verdict = say_in_room(s, room, false, status);
	/* What was put is committed before the room may close. */
	if (verdict == HANDLER_MORE)
		irc_after(call, irc_give_room_back, irc_give_room_back, room);
	else
		rooms_leave(shared->rooms, room, irc_context(call)->slot);
	return verdict;
}

/* --- to a person --- */

/* An away text is told to who says something to somebody. */
static void say_tell_away(struct saying *s, const struct speech_peer *peer, const char *nick)
{
	struct shared *shared = irc_shared(s->call);
	char text[IRC_BLOB_AWAY_MAX + 1];
	struct irc_user u;

	if (s->kind == SAY_PRIVMSG && irc_users_copy(shared->irc->users, peer->index, peer->id, &u) &&
	    irc_away_text(shared->irc, peer->index, peer->id, &u, text) > 0)
		irc_numeric(s->call, RPL_AWAY, "%s :%s", nick, text);
}

/* What somebody is told who has it as a private message, whatever that is here by; NULL: no memory. *buf is to be freed. */
static const char *say_private_text(struct saying *s, size_t *ret_len, char **buf)
{
	char action[IRC_BODY_MAX + 8];

	*ret_len = s->len;
	if (!s->is_action)
		return text_clean(s->text, ret_len, buf);
	*ret_len = (size_t)snprintf(action, sizeof(action), "* %.*s", (int)s->len, s->text);
	const char *text = text_clean(action, ret_len, buf);
	if (text == action)
		text = *buf = strndup(action, *ret_len);
	return text;
}

static enum verdict say_tell(struct saying *s, const struct speech_peer *peer, const char *nick)
{
	struct irc_call *call = s->call;
	struct rooms *rooms = irc_shared(call)->rooms;
	struct room *private = rooms_private(rooms);
	const struct speaker who = irc_speaker(call->c);
	_cleanup_free_ char *buf = NULL;
	char msgid[IRC_MSGID_MAX];

	if (s->kind == SAY_TAGMSG || s->is_ctcp) {
		struct irc_tell *t = irc_tell_new(call);
		if (!t)
			return HANDLER_MORE;
		t->to_id = peer->id;
		t->to_index = peer->index;
		say_pass_on(s, t, nick);
		return HANDLER_MORE;
	}
	if (room_crowded(rooms, private))
		return HANDLER_CROWDED;
	size_t len;
	const char *text = say_private_text(s, &len, &buf);
	if (!text)
		return HANDLER_MORE;
	irc_begin(call);
	call->speech = (struct speech){0};
	speech_begin(&call->speech, private);
	call->speech.unanswered = s->kind == SAY_NOTICE;
	call->speech.attachment = say_attach(s);
	irc_msgid_next(private, msgid);
	speech_tell(&call->speech, private, &who, peer, text, len);
	call->speech.attachment = 0;
	say_tell_away(s, peer, nick);
	say_echo_as(s, msgid, nick, call->speech.time_us);
	FAULT("irc-letter");
	return HANDLER_MORE;
}

_Static_assert((size_t)(IRC_BODY_MAX + 8) * TEXT_SANITISE_GROWTH <= LETTER_TEXT_MAX,
	       "all of a line goes to another node");

/* To somebody on another node. */
static enum verdict say_write(struct saying *s, const struct letter_address *to, const char *nick)
{
	struct irc_call *call = s->call;
	struct rooms *rooms = irc_shared(call)->rooms;
	const struct speaker who = irc_speaker(call->c);
	_cleanup_free_ char *buf = NULL;
	char msgid[IRC_MSGID_MAX];
	size_t len;

	const char *text = say_private_text(s, &len, &buf);
	/* A node may be away for long, and nobody has to stop talking because of that. */
	if (!text || room_log_is_crowded(rooms, rooms_letters(rooms))) {
		irc_numeric(call, ERR_UNAVAILRESOURCE, "%s", nick);
		return HANDLER_MORE;
	}
	irc_begin(call);
	call->speech = (struct speech){0};
	letter_put(&call->speech, rooms_letters(rooms), &who, to, text, len);
	say_echo_as(s, say_new_msgid(msgid), nick, call->speech.time_us);
	FAULT("irc-letter");
	return HANDLER_MORE;
}

/* Whom this node doesn't have. What says that it is no message, or not to be answered, doesn't go to another one. */
static enum verdict say_to_other_node(struct saying *s, struct irc_arg target, const char *nick)
{
	struct shared *shared = irc_shared(s->call);
	struct letter_address to;

	if (s->kind == SAY_PRIVMSG && !s->is_ctcp && nick[0]) {
		if (letter_find(shared->rooms, shared->elsewhere, target.at, target.len, &to))
			return say_fits(s, nick) ? say_write(s, &to, nick) : HANDLER_MORE;
		/* Whom the process before knew is somebody still. */
		if (letter_nodes_is_unsure(rooms_letter_nodes(shared->rooms)))
			return HANDLER_CROWDED;
	}
	say_fail(s, ERR_NOSUCHNICK, "%.*s", (int)(target.len < 64 ? target.len : 64), target.at);
	return HANDLER_MORE;
}

static enum verdict say_to_person(struct saying *s, struct irc_arg target)
{
	struct speech_peer peer;
	char nick[TEXT_NICK_MAX + 1] = "";

	if (nick_valid(target.at, target.len))
		snprintf(nick, sizeof(nick), "%.*s", (int)target.len, target.at);
	if (!nick[0] ||
	    !roster_find(irc_shared(s->call)->roster, target.at, target.len, &peer.id, &peer.index))
		return say_to_other_node(s, target, nick);
	return say_fits(s, nick) ? say_tell(s, &peer, nick) : HANDLER_MORE;
}

/* --- the commands --- */

static enum verdict say_to(struct saying *s, struct irc_arg target)
{
	uint8_t status = 0;

	if (target.len > 1 && (target.at[0] == '@' || target.at[0] == '+') && target.at[1] == '#') {
		status = target.at[0] == '@' ? IRC_STATUS_OP : IRC_STATUS_OP | IRC_STATUS_VOICE;
		target.at++;
		target.len--;
	}
	return irc_is_channel(target) ? say_to_channel(s, target, status) : say_to_person(s, target);
}

static enum verdict say_run(struct irc_call *call, enum say_kind kind, const char *verb)
{
	const struct irc_line *line = call->line;
	struct saying s = {.call = call, .kind = kind, .verb = verb};
	struct irc_arg target;
	size_t at = 0;

	if (line->n_params == 0) {
		say_fail(&s, ERR_NORECIPIENT, ":No recipient given (%s)", verb);
		return HANDLER_MORE;
	}
	if (kind != SAY_TAGMSG && (line->n_params < 2 || line->params[1].len == 0)) {
		say_fail(&s, ERR_NOTEXTTOSEND, "%s", "");
		return HANDLER_MORE;
	}
	irc_idle_spoke(connection_index(call->c), connection_id(call->c));
	say_take_tags(&s);
	if (kind != SAY_TAGMSG)
		say_take_text(&s, line->params[1]);
	else if (!s.client_tags[0])
		return HANDLER_MORE;
	for (unsigned n = 0; irc_arg_next(line->params[0], &at, &target); n++) {
		if (n == SAY_TARGETS_MAX) {
			say_fail(&s, ERR_TOOMANYTARGETS, "%.*s", (int)(target.len < 64 ? target.len : 64),
				 target.at);
			break;
		}
		if (!irc_step(call, n))
			continue;
		enum verdict verdict = say_to(&s, target);
		if (verdict != HANDLER_MORE)
			return verdict;
	}
	return HANDLER_MORE;
}

static enum verdict say_privmsg(struct irc_call *call)
{
	return say_run(call, SAY_PRIVMSG, "PRIVMSG");
}

static enum verdict say_notice(struct irc_call *call)
{
	return say_run(call, SAY_NOTICE, "NOTICE");
}

static enum verdict say_tagmsg(struct irc_call *call)
{
	return say_run(call, SAY_TAGMSG, "TAGMSG");
}

const struct irc_command irc_commands_say[] = {
    {.name = "PRIVMSG", .run = say_privmsg},
    {.name = "NOTICE", .run = say_notice},
    {.name = "TAGMSG", .run = say_tagmsg},
    {.name = "REDACT", .run = irc_redact, .needs = 2, .cost = 4},
    {0},
};
