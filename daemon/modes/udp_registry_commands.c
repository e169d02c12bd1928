/* SPDX-License-Identifier: MIT */
/*
 * What a UDP registry's datagrams say: commands, which begin with '#', and messages to the room. Answers
 * begin with '#', too. Whoever has not proved that its address is real gets no more bytes than it sent.
 */
#include "common/nick.h"
#include "daemon/base/clock.h"
#include "daemon/engine/limits.h"
#include "daemon/modes/udp_registry.h"
#include "daemon/net/cookie.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* --- answers --- */

__attribute__((format(printf, 3, 4))) static void registry_reply(struct udp_listener *u,
								 const struct datagram *d, const char *format,
								 ...)
{
	char text[256];
	va_list ap;

	va_start(ap, format);
	int n = vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	udp_say(u, &d->from, &d->local, text, (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1);
}

static void registry_refuse(struct udp_listener *u, const struct datagram *d, const char *why)
{
	count(registry_context(u)->counters, COUNT_DATAGRAMS_REFUSED, 1);
	registry_reply(u, d, "#ERR %s\n", why);
}

void registry_confirm(struct udp_listener *u, const struct member *m)
{
	char text[TEXT_NICK_MAX + 32];
	int n = snprintf(text, sizeof(text), "#OK %.*s %" PRId64 "\n", registry_state(m)->nick_len,
			 registry_state(m)->nick, registry_own(u)->lease_us / SECOND_US);

	udp_say(u, &m->address, &m->local, text, (size_t)n);
}

/* --- registering --- */

/* Whoever asks in fewer bytes than the cookie's line has is told to fill up. */
void registry_ask_for_proof(struct udp_listener *u, const struct datagram *d)
{
	struct registry *g = udp_data(u);
	char text[] = "#COOKIE xxxxxxxx\n", cookie[COOKIE_LEN];
	static const char pad[] = "#PAD 16\n";

	cookies_make(g->cookies, &d->from, registry_context(u)->now, cookie);
	memcpy(text + 8, cookie, COOKIE_LEN);
	size_t all = sizeof(text) - 1;
	count(registry_context(u)->counters, COUNT_COOKIES, 1);
	if (d->len >= all - 1)
		udp_say(u, &d->from, &d->local, text, d->len >= all ? all : all - 1);
	else
		udp_say(u, &d->from, &d->local, pad, d->len >= sizeof(pad) - 1 ? sizeof(pad) - 1 : 4);
}

struct registry_word registry_next_word(const char **at, const char *end)
{
	while (*at < end && (**at == ' ' || **at == '\t'))
		++*at;
	struct registry_word w = {*at, 0};
	while (*at < end && **at != ' ' && **at != '\t')
		++*at;
	w.len = (size_t)(*at - w.at);
	return w;
}

/* #REG [NICK|* [COOKIE]] */
static void registry_reg(struct udp_listener *u, struct datagram *d, struct member *m, const char *at,
			 const char *end)
{
	struct registry *g = udp_data(u);
	struct registry_word nick = registry_next_word(&at, end), cookie = registry_next_word(&at, end);

	if (nick.len == 1 && nick.at[0] == '*')
		nick.len = 0; /* "any" */
	if (!m && !prefixes_contain(&registry_own(u)->trusted, &d->from) &&
	    !cookies_check(g->cookies, &d->from, registry_context(u)->now, cookie.at, cookie.len)) {
		registry_ask_for_proof(u, d);
		return;
	}
	char normal[TEXT_NICK_MAX + 1];
	int n = nick.len ? nick_normalise(nick.at, nick.len, normal) : 0;
	if (n < 0) {
		registry_refuse(
		    u, d, "a name has 1 to 32 bytes, no space, : or *, and doesn't begin with / # or [");
		return;
	}
	nick = (struct registry_word){normal, (size_t)n};
	const char *why = NULL;
	if (!m)
		m = registry_register(u, d, nick.len ? nick.at : NULL, nick.len, &why);
	else if (nick.len)
		why = registry_rename(u, m, nick.at, nick.len);
	if (why)
		registry_refuse(u, d, why);
	else
		registry_confirm(u, m);
}

/* --- messages --- */

/* Messages of many members are put under one lock and committed as one step. */
static void registry_end_run(struct udp_listener *u, struct speech *run)
{
	struct context *x = registry_context(u);

	count(x->counters, COUNT_MESSAGES, speech_commit(run, x->shared->rooms, &x->kick));
}

/* False if it has to be tried again, as the room has to be delivered first. */
static bool registry_say(struct udp_listener *u, struct speech *run, const struct member *m, const char *text,
			 size_t len)
{
	const struct registry *g = udp_data(u);
	const struct speaker who = registry_speaker(m);
	int r = -EAGAIN;

	while (r == -EAGAIN) {
		if (!irc_others_try(registry_channels(u), run, registry_shared(u)->rooms, g->room))
			return false;
		r = speech_say(run, g->room, &who, text, len);
		if (r == -EAGAIN)
			registry_end_run(u, run);
	}
	return true;
}

static bool registry_is_command(struct registry_word w, const char *name)
{
	return w.len == strlen(name) && strncasecmp(w.at, name, w.len) == 0;
}

/* A line of the protocol, without its end. */
struct registry_line {
	const char *text, *end;
	struct registry_word command; /* "#WORD"; len 0: it isn't a command */
	const char *rest;	      /* behind the command's word */
	bool quits;
};

static struct registry_line registry_parse(const struct datagram *d)
{
	struct registry_line l = {.text = d->data, .end = d->data + d->len, .rest = d->data};

	if (l.end > l.text && l.end[-1] == '\n')
		l.end--;
	if (l.end > l.text && l.end[-1] == '\r')
		l.end--;
	l.command = registry_next_word(&l.rest, l.end);
	/* What begins with a space isn't a command, nor is "##x", which says "#x". */
	if (l.command.at != l.text || l.command.len == 0 || l.text[0] != '#' ||
	    (l.command.len > 1 && l.text[1] == '#'))
		l.command.len = 0;
	l.quits = registry_is_command(l.command, "#DEREG") ||
		  (l.end - l.text == 4 && memcmp(l.text, "quit", 4) == 0);
	return l;
}

static void registry_ask_past(struct udp_listener *u, const struct datagram *d, struct member *m,
			      const struct registry_line *l)
{
	const char *why = registry_history(u, d, m, l->rest, l->end);

	if (why)
		registry_refuse(u, d, why);
}

static void registry_command(struct udp_listener *u, struct datagram *d, struct member *m,
			     const struct registry_line *l)
{
	if (l->quits)
		registry_send_away(u, m, true);
	else if (registry_is_command(l->command, "#REG"))
		registry_reg(u, d, m, l->rest, l->end);
	else if (registry_is_command(l->command, "#HISTORY"))
		registry_ask_past(u, d, m, l);
	else
		registry_refuse(u, d, "there is no such command; there are #REG, #HISTORY and #DEREG");
}

/* Why a member's message isn't said, or NULL. */
static const char *registry_why_not_said(struct udp_listener *u, struct member *m, const char *text,
					 size_t len)
{
	const struct registry *g = udp_data(u);
	const struct context *x = registry_context(u);

	if (g->room->read_only)
		return "this room is read-only";
	if (len == 0)
		return "the message is empty";
	/* Its log is locked by now. */
	const struct speaker who = registry_speaker(m);
	enum irc_channel_why why = irc_others_may_speak(
	    registry_channels(u), g->room, &(struct irc_other){.speaker = &who, .is_account = false});
	if (why != IRC_WHY_MAY)
		return irc_others_why_silent(why);
	if (len > x->config->max_message)
		return "the message is longer than max_message";
	if (memchr(text, '\n', len))
		return "a message is one line";
	if (!limits_allow(&m->lines_due, x->config->lines_per_second, SECOND_US, x->now))
		return "too many messages";
	return NULL;
}

/* False if it has to be tried again next turn; nothing has happened then. */
static bool registry_take(struct udp_listener *u, struct speech *run, struct datagram *d)
{
	struct registry *g = udp_data(u);
	struct member *m = members_find(g->members, &d->from);
	struct registry_line l = registry_parse(d);
	bool is_command = l.command.len > 0 || l.quits;

	if (!m) {
		registry_end_run(u, run);
		if (registry_is_command(l.command, "#REG"))
			registry_reg(u, d, NULL, l.rest, l.end);
		else
			udp_count_ignored(u);
		return true;
	}
	if (!is_command && l.end > l.text &&
	    !irc_others_try(registry_channels(u), run, registry_shared(u)->rooms, g->room))
		return false;
	m->received += d->len;
	registry_note_local(u, m, &d->local);
	registry_touch(g, m, registry_context(u)->now);
	if (is_command) {
		registry_end_run(u, run);
		registry_command(u, d, m, &l);
		return true;
	}
	size_t len = (size_t)(l.end - l.text);
	const char *why = registry_why_not_said(u, m, l.text, len);
	if (why) {
		registry_refuse(u, d, why);
		return true;
	}
	bool hashes = l.text[0] == '#';
	return registry_say(u, run, m, l.text + hashes, len - hashes);
}

size_t registry_received(struct udp_listener *u, struct datagram *d, size_t n)
{
	struct speech run = {0};
	size_t i = 0;

	while (i < n && registry_take(u, &run, &d[i]))
		i++;
	registry_end_run(u, &run);
	return i;
}
