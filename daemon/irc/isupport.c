/* SPDX-License-Identifier: MIT */
/* A table of tokens. A new one is a row. */
#include "daemon/irc/isupport.h"

#include "common/text.h"
#include "daemon/channels/record.h"
#include "daemon/irc/names.h"
#include "daemon/irc/records.h"
#include "daemon/irc/watched.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

/*
 * CASEMAPPING: names of channels are the same if they differ in ASCII case only. So are nicks; more of them are taken for each
 * other (common/nick.h), but two of those are never here at once, so no client can mistake one for the other.
 */
static const struct isupport_row {
	const char *format; /* the token; with one %u, or one %s that is the network's name */
	size_t number;	    /* where in struct irc_limits; SIZE_MAX: there is none */
} isupport_rows[] = {
#define ALWAYS SIZE_MAX
#define NUMBER(field) offsetof(struct irc_limits, field)
    {"ACCOUNTEXTBAN=a", ALWAYS},
    {"AWAYLEN=%u", NUMBER(away)},
    {"BOT=B", ALWAYS},
    {"CASEMAPPING=ascii", ALWAYS},
    {"CHANLIMIT=#:%u", NUMBER(channels)},
    {"CHANMODES=beI,k,l,CMRimnst", ALWAYS},
    {"CHANNELLEN=%u", NUMBER(channel)},
    {"CHANTYPES=#", ALWAYS},
    {"CHATHISTORY=%u", NUMBER(history)},
    {"ELIST=CMNTU", ALWAYS},
    {"EXCEPTS=e", ALWAYS},
    {"EXTBAN=,amr", ALWAYS},
    {"HOSTLEN=%u", NUMBER(host)},
    {"INVEX=I", ALWAYS},
    {"KEYLEN=%u", NUMBER(key)},
    {"KICKLEN=%u", NUMBER(kick)},
    {"MAXLIST=beI:%u", NUMBER(list)},
    {"MODES=%u", NUMBER(modes)},
    {"MONITOR=%u", NUMBER(monitor)},
    {"MSGREFTYPES=msgid,timestamp", NUMBER(history)},
    {"NAMELEN=%u", NUMBER(realname)},
    {"NETWORK=%s", ALWAYS},
    {"NICKLEN=%u", NUMBER(nick)},
    {"PREFIX=(ov)@+", ALWAYS},
    {"SAFELIST", ALWAYS},
    {"STATUSMSG=@+", ALWAYS},
    {"TARGMAX=JOIN:,KICK:,LIST:,NAMES:,NOTICE:%1$u,PART:,PRIVMSG:%1$u,TAGMSG:%1$u,WHOIS:1", NUMBER(targets)},
    {"TOPICLEN=%u", NUMBER(topic)},
    {"USERLEN=%u", NUMBER(user)},
    {"UTF8ONLY", ALWAYS},
    {"WHOX", ALWAYS},
#undef ALWAYS
#undef NUMBER
};

struct irc_limits irc_limits_of(const char *network)
{
	return (struct irc_limits){
	    .network = network,
	    .channels = 100,
	    .nick = TEXT_NICK_MAX,
	    .channel = IRC_CHANNEL_MAX,
	    .user = IRC_USER_MAX,
	    .host = IRC_HOST_MAX,
	    .realname = IRC_REALNAME_MAX,
	    .topic = IRC_TOPIC_MAX,
	    .kick = 255,
	    .away = 200,
	    .key = IRC_KEY_MAX,
	    .modes = 20,
	    .list = 100,
	    .targets = 4,
	    .monitor = IRC_WATCHED_MAX,
	    .history = 0, /* as the configuration says: irc/playback.h */
	};
}

/* A space within a value is \x20. */
static void isupport_escape(const char *s, char *ret, size_t size)
{
	size_t o = 0;

	for (; *s; s++) {
		bool plain = *s != ' ' && *s != '=' && *s != '\\';
		if (o + (plain ? 1 : 4) >= size)
			break;
		if (plain)
			ret[o++] = *s;
		else
			o += (size_t)sprintf(ret + o, "\\x%02X", (unsigned char)*s);
	}
	ret[o] = '\0';
}

/* "": nothing is said. */
static void isupport_token(const struct irc_limits *limits, const struct isupport_row *row, char *ret,
			   size_t size)
{
	char network[160];
	unsigned number;

	ret[0] = '\0';
	if (row->number == SIZE_MAX) {
		isupport_escape(limits->network, network, sizeof(network));
		/* A format without %s doesn't look at it. */
		snprintf(ret, size, row->format, network);
		return;
	}
	memcpy(&number, (const char *)limits + row->number, sizeof(number));
	if (number > 0)
		snprintf(ret, size, row->format, number);
}

size_t irc_isupport(const struct irc_limits *limits, void (*fn)(void *arg, const char *tokens), void *arg)
{
	char line[IRC_ISUPPORT_LINE_MAX + 1] = "", token[200];
	size_t lines = 0, used = 0;
	unsigned n = 0;

	for (size_t i = 0; i <= sizeof(isupport_rows) / sizeof(*isupport_rows); i++) {
		bool end = i == sizeof(isupport_rows) / sizeof(*isupport_rows);
		if (!end)
			isupport_token(limits, &isupport_rows[i], token, sizeof(token));
		if (!end && !token[0])
			continue;
		if (n > 0 &&
		    (end || n == IRC_ISUPPORT_TOKENS || used + 1 + strlen(token) > IRC_ISUPPORT_LINE_MAX)) {
			if (fn)
				fn(arg, line);
			lines++;
			used = n = 0;
		}
		if (!end) {
			used +=
			    (size_t)snprintf(line + used, sizeof(line) - used, "%s%s", n ? " " : "", token);
			n++;
		}
	}
	return lines;
}
