/* SPDX-License-Identifier: MIT */
/*
 * What members are sent of a room's events, in the words of IRC. A form is which capabilities a client has that change
 * those: IRC_CAPS_FORM. It depends on nothing but the event, and what that names by number.
 */
#include "daemon/irc/irc.h"

#include "daemon/channels/channels.h"
#include "daemon/history/store.h"
#include "daemon/irc/attachments.h"
#include "daemon/irc/names.h"
#include "daemon/irc/personas.h"
#include "daemon/irc/wire.h"
#include "daemon/rooms/elsewhere.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

_Static_assert(HANDLER_RENDERED_MAX(0) >= IRC_TAGS_DATA_MAX + 1024, "a message with the most tags fits");

/* What is rendered, and how much of out is used. */
struct rendering {
	const struct shared *shared;
	unsigned form;
	const struct room *room;
	uint64_t epoch; /* of its number */
	const struct record *event;
	struct speech_event e;
	struct irc_persona persona; /* user "": there is none */
	char *out;
	size_t len, line; /* where the line begins */
	char nick[IRC_SHOWN_MAX + 1];
	char source[IRC_SHOWN_MAX + 1 + IRC_USER_MAX + 1 + IRC_HOST_MAX + 1];
};

__attribute__((format(printf, 2, 3))) static void render_add(struct rendering *r, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	int n = vsprintf(r->out + r->len, format, ap); /* its most is known: HANDLER_RENDERED_MAX() */
	va_end(ap);
	r->len += n > 0 ? (size_t)n : 0;
}

static void render_find_source(struct rendering *r)
{
	struct irc *irc = r->shared->irc;
	char user[IRC_USER_MAX + 1];

	irc_nick_show(r->e.nick, r->e.nick_len, r->nick);
	if (!irc || !irc_persona_get(irc->personas, r->event->sender_index, &r->persona))
		r->persona.user[0] = 0;
	irc_user_of_nick(r->e.nick, r->e.nick_len, user, sizeof(user));
	snprintf(r->source, sizeof(r->source), "%s!%s@%s", r->nick,
		 r->persona.user[0] ? r->persona.user : user,
		 r->persona.user[0] ? r->persona.host : IRC_HOST_OF_OTHERS);
}

/* The tags of a line; the first of several that one message becomes has its name. */
static void render_tags(struct rendering *r, uint64_t seq, bool first)
{
	char tags[256 + IRC_ATTACHMENT_MAX];
	size_t n = 0;

	r->line = r->len;
	tags[0] = 0;
	if (r->form & IRC_CAP_MESSAGE_TAGS && first) {
		n += (size_t)snprintf(tags, sizeof(tags), "msgid=%016" PRIx64 "-%" PRIu64, r->epoch,
				      room_number(r->room, r->event, seq));
		if (r->event->from_index && r->shared->irc) {
			tags[n] = ';';
			size_t m = irc_attachment_get(r->shared->irc->attachments, r->event->from_index,
						      tags + n + 1, r->out ? IRC_TAGS_DATA_MAX : 0);
			n += m > 0 ? m + 1 : 0;
			tags[n] = 0;
		}
		if (r->persona.flags & IRC_BOT)
			n += (size_t)snprintf(tags + n, sizeof(tags) - n, ";bot");
	}
	if (r->form & IRC_CAP_ACCOUNT_TAG && r->persona.user[0] && r->persona.account[0])
		snprintf(tags + n, sizeof(tags) - n, "%saccount=%s", n ? ";" : "", r->persona.account);
	r->len += irc_tags(r->form, r->event->time_us, tags, r->out + r->len, sizeof(tags) + 64);
}

/* How much of the text fits a line whose rest is so long. */
static size_t render_part(const char *text, size_t len, size_t rest)
{
	size_t n = text_cut(text, len, rest + 64 < IRC_BODY_MAX ? IRC_BODY_MAX - 2 - rest : 64);

	return n > 0 ? n : len;
}

/* A message, in as many lines as it needs. */
static void render_message(struct rendering *r, uint64_t seq, const char *verb, const char *target)
{
	const char *text = r->e.text;
	size_t left = r->e.text_len;
	const bool action = r->e.kind == RECORD_ACTION;
	size_t rest = strlen(r->source) + strlen(verb) + strlen(target) + 5 + (action ? 9 : 0);
	bool first = true;

	do {
		size_t n = render_part(text, left, rest);
		render_tags(r, seq, first);
		render_add(r, action ? ":%s %s %s :\001ACTION " : ":%s %s %s :", r->source, verb, target);
		memcpy(r->out + r->len, text, n);
		r->len += n;
		if (action)
			render_add(r, "\001");
		r->len = irc_wire_finish(r->form, r->out, r->line, r->len);
		text += n;
		left -= n;
		first = false;
	} while (left > 0);
}

/* What chatd says itself. */
static void render_notice(struct rendering *r, uint64_t seq)
{
	char channel[sizeof(r->room->name) + 1];

	snprintf(channel, sizeof(channel), "#%s", r->room->name);
	snprintf(r->source, sizeof(r->source), "chatd");
	render_message(r, seq, "NOTICE", channel);
}

/* The rest of a line whose tags are there; what is too long is cut. */
__attribute__((format(printf, 2, 0))) static void render_rest(struct rendering *r, const char *format,
							      va_list ap)
{
	char line[2 * IRC_BODY_MAX];
	int n = vsnprintf(line, sizeof(line), format, ap);
	size_t len = render_part(line, (size_t)n < sizeof(line) ? (size_t)n : sizeof(line) - 1, 0);

	memcpy(r->out + r->len, line, len);
	r->len = irc_wire_finish(r->form, r->out, r->line, r->len + len);
}

/* A line that is one of several of an event, which has no msgid then. */
__attribute__((format(printf, 3, 4))) static void render_tagged(struct rendering *r, const char *tags,
								const char *format, ...)
{
	va_list ap;

	r->line = r->len;
	r->len += irc_tags(r->form, r->event->time_us, tags, r->out + r->len, 128);
	va_start(ap, format);
	render_rest(r, format, ap);
	va_end(ap);
}

/* An event that is one line. */
__attribute__((format(printf, 3, 4))) static void render_line(struct rendering *r, uint64_t seq,
							      const char *format, ...)
{
	va_list ap;

	render_tags(r, seq, true);
	va_start(ap, format);
	render_rest(r, format, ap);
	va_end(ap);
}

/* One of them, whom a node's end took along or its return brought back. */
static void render_one_of(struct rendering *r, const char *tag, bool back, const char *nick, size_t len,
			  const char *why)
{
	char one[IRC_SHOWN_MAX + 1], user[IRC_USER_MAX + 1];

	irc_nick_show(nick, len, one);
	irc_user_of_nick(nick, len, user, sizeof(user));
	if (!back)
		render_tagged(r, tag, ":%s!%s@%s QUIT :%s", one, user, IRC_HOST_OF_OTHERS, why);
	else if (r->form & IRC_CAP_EXTENDED_JOIN)
		render_tagged(r, tag, ":%s!%s@%s JOIN #%s * :%s", one, user, IRC_HOST_OF_OTHERS,
			      r->room->name, one);
	else
		render_tagged(r, tag, ":%s!%s@%s JOIN #%s", one, user, IRC_HOST_OF_OTHERS, r->room->name);
}

/*
 * People of another machine are gone, or back: as the netsplit or netjoin that it is to IRC, in one batch
 * (https://ircv3.net/specs/batches/netsplit).
 */
static void render_gone(struct rendering *r, uint64_t seq)
{
	const char *node, *nicks, *one;
	size_t node_len, len, one_len;
	const bool back = speech_back_of(r->e.text, r->e.text_len, &node, &node_len, &nicks, &len);

	if (!back && !speech_gone_of(r->e.text, r->e.text_len, &node, &node_len, &nicks, &len)) {
		render_notice(r, seq);
		return;
	}
	const bool batch = !(r->form & IRC_FORM_SOCKET) && r->form & IRC_FORM_BATCH;
	const unsigned max = back ? SPEECH_BACK_MAX : SPEECH_GONE_MAX;
	char why[ELSEWHERE_NODE_MAX + 8], tag[64] = "", number[32];
	snprintf(number, sizeof(number), "%s%" PRIx64, back ? "back" : "gone",
		 room_number(r->room, r->event, seq));
	snprintf(why, sizeof(why), "chatd %.*s",
		 (int)(node_len < ELSEWHERE_NODE_MAX ? node_len : ELSEWHERE_NODE_MAX), node);
	if (batch) {
		snprintf(tag, sizeof(tag), "batch=%s", number);
		render_tagged(r, "", ":chatd BATCH +%s %s %s", number, back ? "netjoin" : "netsplit", why);
	}
	for (unsigned n = 0; n < max && (one = speech_next_of(&nicks, &len, &one_len)); n++)
		if (one_len <= TEXT_NICK_MAX)
			render_one_of(r, tag, back, one, one_len, why);
	if (batch)
		render_tagged(r, "", ":chatd BATCH -%s", number);
}

/* The text is "NAME" or "NAME: why". */
static void render_end(struct rendering *r, uint64_t seq, const char *verb)
{
	size_t len;
	const char *why = speech_reason(r->e.text, r->e.text_len, &len);

	render_line(r, seq, ":%s %s%s%.*s", r->source, verb, len ? " :" : "", (int)len, why);
}

static void render_kick(struct rendering *r, uint64_t seq)
{
	size_t len;
	const char *why = speech_reason(r->e.text, r->e.text_len, &len);
	char victim[IRC_SHOWN_MAX + 1];

	irc_nick_show(r->e.text, len ? (size_t)(why - r->e.text) - 2 : r->e.text_len, victim);
	render_line(r, seq, ":%s KICK #%s %s :%.*s", r->source, r->room->name, victim, (int)len, why);
}

static void render_event(struct rendering *r, uint64_t seq)
{
	const char *room = r->room->name;
	char channel[sizeof(r->room->name) + 1], part[sizeof(r->room->name) + 6], new_nick[IRC_SHOWN_MAX + 1];

	snprintf(channel, sizeof(channel), "#%s", room);
	snprintf(part, sizeof(part), "PART #%s", room);
	switch (r->e.kind) {
	case RECORD_MESSAGE:
	case RECORD_ACTION:
		render_message(r, seq, r->event->unanswered ? "NOTICE" : "PRIVMSG", channel);
		break;
	case RECORD_NOTICE:
		render_notice(r, seq);
		break;
	case RECORD_GONE:
		render_gone(r, seq);
		break;
	case RECORD_JOIN:
		if (r->form & IRC_CAP_EXTENDED_JOIN)
			render_line(r, seq, ":%s JOIN #%s %s :%s", r->source, room,
				    r->persona.user[0] && r->persona.account[0] ? r->persona.account : "*",
				    r->persona.user[0] ? r->persona.realname : r->nick);
		else
			render_line(r, seq, ":%s JOIN #%s", r->source, room);
		break;
	case RECORD_LEAVE:
		render_end(r, seq, part);
		break;
	case RECORD_QUIT:
		render_end(r, seq, "QUIT");
		break;
	case RECORD_RENAME:
		irc_nick_show(r->e.text, r->e.text_len, new_nick);
		render_line(r, seq, ":%s NICK %s", r->source, new_nick);
		break;
	case RECORD_TOPIC:
		render_line(r, seq, ":%s TOPIC #%s :%.*s", r->source, room, (int)r->e.text_len, r->e.text);
		break;
	case RECORD_MODE:
		render_line(r, seq, ":%s MODE #%s %.*s", r->source, room, (int)r->e.text_len, r->e.text);
		break;
	case RECORD_KICK:
		render_kick(r, seq);
		break;
	default:
		break;
	}
}

/* Whatever was said there: only UTF-8 goes out. */
static void render_clean(struct rendering *r)
{
	static _Thread_local char clean[TEXT_SANITISE_GROWTH * SPEECH_TEXT_MAX];

	if (text_is_utf8(r->e.text, r->e.text_len) || r->e.text_len > SPEECH_TEXT_MAX)
		return;
	r->e.text_len = text_sanitise(clean, r->e.text, r->e.text_len);
	r->e.text = clean;
}

/* What it is is in r->e. */
static size_t render_whole(struct rendering *r, uint64_t seq)
{
	if (r->e.raw) {
		/* Nobody's name stands in a raw room: the room says it. */
		r->persona.user[0] = 0;
		snprintf(r->source, sizeof(r->source), "%.*s!raw@%s", TEXT_NICK_MAX, r->room->name,
			 IRC_HOST_OF_OTHERS);
		if (r->e.text_len == 0)
			return 0;
		render_clean(r);
	} else {
		render_find_source(r);
	}
	render_event(r, seq);
	return r->len;
}

size_t irc_render(const struct shared *shared, unsigned form, const struct room *room, uint64_t seq,
		  const struct record *event, const char *line, size_t len, char *out)
{
	struct rendering r = {
	    .shared = shared, .form = form, .room = room, .epoch = room->epoch, .event = event, .out = out};

	speech_event_of(event, line, len, &r.e);
	return render_whole(&r, seq);
}

size_t irc_render_stored(const struct shared *shared, unsigned form, const struct room *room,
			 const struct store_message *m, char *out)
{
	const struct record event = {.time_us = m->event.time_us, .kind = m->event.kind, .number = m->number};
	struct rendering r = {.shared = shared,
			      .form = form,
			      .room = room,
			      .epoch = m->epoch,
			      .event = &event,
			      .e = m->event,
			      .out = out};

	return render_whole(&r, 0);
}

/* --- private messages --- */

/* Who said it, as far as that is known still. */
static void render_find_writer(struct rendering *r)
{
	struct irc *irc = r->shared->irc;
	const struct record *event = r->event;
	char user[IRC_USER_MAX + 1];
	struct irc_user u;

	irc_nick_show(r->e.nick, r->e.nick_len, r->nick);
	irc_user_of_nick(r->e.nick, r->e.nick_len, user, sizeof(user));
	bool known = event->sender_index > 0 && !event->from && irc &&
		     irc_users_copy(irc->users, event->sender_index - 1, event->sender, &u) && u.user[0];
	if (known)
		irc_persona_of(&u, &r->persona);
	snprintf(r->source, sizeof(r->source), "%s!%s@%s", r->nick, known ? u.user : user,
		 known ? u.host : IRC_HOST_OF_OTHERS);
	/* "/me" to one person is "* text" for who has no better way. */
	if (known && r->e.text_len > 2 && memcmp(r->e.text, "* ", 2) == 0) {
		r->e.kind = RECORD_ACTION;
		r->e.text += 2;
		r->e.text_len -= 2;
	}
}

size_t irc_render_private(const struct shared *shared, unsigned form, const char *target, uint64_t seq,
			  const struct record *event, const char *line, size_t len, char *out)
{
	struct record plain = *event;
	struct rendering r = {.shared = shared,
			      .form = form,
			      .room = rooms_private(shared->rooms),
			      .epoch = rooms_private(shared->rooms)->epoch,
			      .event = &plain,
			      .out = out};

	speech_event_of(event, line, len, &r.e);
	if (event->from)
		plain.from_index = 0; /* it is somebody's place there */
	render_find_writer(&r);
	render_message(&r, seq, event->unanswered ? "NOTICE" : "PRIVMSG", target);
	return r.len;
}

size_t irc_render_letter(struct connection *c, uint64_t seq, const struct record *event, const char *line,
			 size_t len, char *out)
{
	const struct shared *shared = connection_context(c)->shared;
	struct rendering r = {.shared = shared,
			      .form = connection_form(c) & ~(unsigned)IRC_CAP_MESSAGE_TAGS,
			      .room = rooms_private(shared->rooms),
			      .event = event,
			      .out = out};
	char target[TEXT_NICK_MAX + 1];

	irc_nick(c, target);
	if (event->kind != RECORD_NOTICE)
		return irc_render_private(shared, connection_form(c), target, seq, event, line, len, out);
	speech_event_of(event, line, len, &r.e);
	snprintf(r.source, sizeof(r.source), "%s", connection_context(c)->config->irc.server_name);
	render_message(&r, seq, "NOTICE", target);
	return r.len;
}

/* --- what a member is shown --- */

bool irc_sees(struct connection *c, const struct room *room, uint64_t seq, const struct record *event,
	      const char *line, size_t len)
{
	(void)seq;
	(void)line;
	(void)len;
	if (event->sender != connection_id(c) || event->sender == 0)
		return (event->kind != RECORD_RENAME && event->kind != RECORD_QUIT) ||
		       !seats_passed_elsewhere(c, room, event);
	switch (event->kind) {
	case RECORD_MESSAGE:
	case RECORD_ACTION:
		return irc_user(c)->caps & IRC_CAP_ECHO_MESSAGE;
	case RECORD_TOPIC:
	case RECORD_MODE:
	case RECORD_KICK:
		return true;
	default: /* its own comings and goings are told by the command */
		return false;
	}
}
