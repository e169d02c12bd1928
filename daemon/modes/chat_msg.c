/* SPDX-License-Identifier: MIT */
/* /msg: something for one person only, who is on this node or on another. */
#include "common/cleanup.h"
#include "common/nick.h"
#include "daemon/base/fault.h"
#include "daemon/modes/chat.h"
#include "daemon/rooms/letter.h"

#include <stdio.h>
#include <string.h>

/* Where a message goes: to a client of this node, or to one of another. */
struct msg_peer {
	bool is_elsewhere;
	struct speech_peer here;
	struct letter_address there;
};

static bool msg_find_peer(struct connection *c, const struct chat_arg *nick, struct msg_peer *ret)
{
	const struct shared *shared = chat_shared(c);

	*ret = (struct msg_peer){.is_elsewhere = false};
	if (!nick_valid(nick->at, nick->len))
		return false;
	if (roster_find(shared->roster, nick->at, nick->len, &ret->here.id, &ret->here.index))
		return true;
	ret->is_elsewhere = letter_find(shared->rooms, shared->elsewhere, nick->at, nick->len, &ret->there);
	return ret->is_elsewhere;
}

/* Why a message to another node can't be sent; NULL: it can. */
static const char *msg_why_not_sent(struct connection *c, size_t len)
{
	struct rooms *rooms = chat_shared(c)->rooms;

	/* A node may be away for long, and nobody has to stop talking because of that. */
	if (room_log_is_crowded(rooms, rooms_letters(rooms)))
		return "Not possible now: too many messages wait for other nodes.";
	return len > LETTER_TEXT_MAX ? "That is too long for somebody on another node." : NULL;
}

static void msg_send(struct connection *c, struct speech *s, const struct msg_peer *to, const char *text,
		     size_t len)
{
	struct rooms *rooms = chat_shared(c)->rooms;
	const struct speaker who = chat_speaker(c);

	if (to->is_elsewhere)
		letter_put(s, rooms_letters(rooms), &who, &to->there, text, len);
	else
		speech_tell(s, rooms_private(rooms), &who, &to->here, text, len);
}

/* What whoever sends a message sees of it. */
static void msg_confirm(struct connection *c, const struct chat_arg *nick, const char *text, size_t len)
{
	const struct chat_words *words = chat_words(c);

	if (words) {
		words->told(c, nick, text, len);
		return;
	}
	connection_printf(c, "* [you -> %.*s] ", (int)nick->len, nick->at);
	connection_write(c, text, len);
	connection_write(c, "\n", 1);
}

enum verdict chat_msg(struct connection *c, const struct chat_call *call)
{
	struct rooms *rooms = chat_shared(c)->rooms;
	const struct chat_arg *nick = &call->args[0];
	_cleanup_free_ char *buf = NULL;
	struct msg_peer to;
	struct speech s = {0};

	if (!msg_find_peer(c, nick, &to)) {
		/* Whom the process before knew is somebody still. */
		if (nick_valid(nick->at, nick->len) && letter_nodes_is_unsure(rooms_letter_nodes(rooms)))
			return HANDLER_CROWDED;
		chat_reply(c, call->consumed, "* There is nobody by that name here.\n");
		return HANDLER_MORE;
	}
	/* Or messages that are on their way would be overrun. */
	if (!to.is_elsewhere && room_crowded(rooms, rooms_private(rooms)))
		return HANDLER_CROWDED;
	size_t len = call->args[1].len;
	const char *text = text_clean(call->args[1].at, &len, &buf);
	const char *why = !text ? "Not possible now." : to.is_elsewhere ? msg_why_not_sent(c, len) : NULL;
	if (why) {
		chat_reply(c, call->consumed, "* %s\n", why);
		return HANDLER_MORE;
	}
	chat_begin_reply(c, call->consumed);
	msg_confirm(c, nick, text, len);
	msg_send(c, &s, &to, text, len);
	FAULT("msg");
	connection_commit(c, speech_room(&s));
	count(chat_counters(c), COUNT_PRIVATE_MESSAGES, 1);
	return HANDLER_MORE;
}
