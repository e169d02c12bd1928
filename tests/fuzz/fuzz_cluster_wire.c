/* SPDX-License-Identifier: MIT */
/*
 * A message of another node: it is refused as a whole, or all of its lines can be said; written again they are the same.
 * Whatever of it is a private message is for somebody; what is decided in it becomes a record of a room that is as it may be. And the
 * same bytes as a room's name in a subject.
 */
#include "tests/fuzz/fuzz.h"

#include "common/nick.h"
#include "daemon/base/logger.h"
#include "daemon/channels/channels.h"
#include "daemon/channels/decide.h"
#include "daemon/channels/follow.h"
#include "daemon/cluster/wire.h"
#include "daemon/io/memfd.h"
#include "daemon/irc/store.h"
#include "daemon/rooms/letter.h"
#include "daemon/state/clients.h"

#include <errno.h>
#include <string.h>

static unsigned char again[1 << 20];
static struct rooms *rooms;
static struct room *lobby;
static struct irc *irc;
static struct irc_channels *channels;

static void require_sayable(const struct speech_event *e)
{
	REQUIRE(e->kind < RECORD_KINDS && e->nick_len <= SPEECH_NICK_MAX && e->text_len <= WIRE_TEXT_MAX);
	REQUIRE(!memchr(e->nick, '\n', e->nick_len) && !memchr(e->nick, '\0', e->nick_len));
	REQUIRE(!memchr(e->text, '\n', e->text_len));
	REQUIRE(e->raw || text_is_clean(e->text, e->text_len));
}

static void letter(const struct speech_event *e)
{
	struct letter l;

	if (!letter_read(e, &l))
		return;
	size_t node_len = strlen(l.to.node);
	REQUIRE(node_len >= 1 && node_len <= LETTER_NODE_MAX && letter_is_to(e, l.to.node, node_len));
	REQUIRE(nick_well_formed(l.to.nick, l.to.nick_len) && nick_well_formed(l.from, l.from_len));
	REQUIRE(l.to.index < UINT32_MAX && l.from_index < UINT32_MAX);
	REQUIRE(l.text + l.text_len == e->text + e->text_len && l.text_len < e->text_len);
	REQUIRE(l.is_return == (l.text_len == 0) && text_is_clean(l.text, l.text_len));
}

/* In a room where all that came before was decided as well. */
static void decided(const struct speech_event *e)
{
	struct speech s = {0};
	struct slot_set kick = {0};

	if (speech_replay(&s, lobby, e) < 0)
		return;
	irc_follow(channels, lobby, e);
	irc_follow_seal(channels, lobby);
	speech_commit(&s, rooms, &kick);
	logring_lock(lobby->log);
	const struct irc_channel *ch = irc_channels_get(channels, lobby);
	if (ch) {
		REQUIRE(ch->n_status <= IRC_STATUS_MAX && ch->n_list <= IRC_DECIDE_LIST_MAX);
		REQUIRE(ch->limit <= IRC_DECIDE_LIMIT_MAX && !strpbrk(ch->key, " ,:"));
		REQUIRE(text_is_clean(ch->topic, strlen(ch->topic)) &&
			text_is_clean(ch->topic_by, strlen(ch->topic_by)));
	}
	for (uint32_t i = 0; ch && i < ch->n_status; i++)
		REQUIRE(ch->status[i].flags &&
			nick_valid(ch->status[i].account, strlen(ch->status[i].account)));
	for (uint32_t i = 0; ch && i < ch->n_list; i++)
		REQUIRE(strchr("beI", ch->list[i].kind) && ch->list[i].mask[0] &&
			!strchr(ch->list[i].mask, ' '));
	logring_unlock(lobby->log);
}

static void require_same(struct wire_batch *b, const unsigned char *data, size_t len)
{
	struct wire_batch first;
	struct speech_event e, f;

	REQUIRE(wire_open(data, len, &first) == 0);
	REQUIRE(first.count == b->count && first.boot == b->boot && first.first == b->first);
	for (uint32_t i = 0; i < b->count; i++) {
		enum wire_next what = wire_next(&first, &e);
		REQUIRE(what != WIRE_END && wire_next(b, &f) == what);
		if (what == WIRE_EVENT)
			REQUIRE(e.kind == f.kind && e.raw == f.raw && e.sender == f.sender &&
				e.time_us == f.time_us && e.nick_len == f.nick_len &&
				e.text_len == f.text_len && memcmp(e.nick, f.nick, e.nick_len) == 0 &&
				memcmp(e.text, f.text, e.text_len) == 0);
	}
	REQUIRE(wire_next(b, &f) == WIRE_END);
}

static void batch(const uint8_t *data, size_t size)
{
	const struct speech_event nothing = {.kind = RECORD_KINDS, .nick = "", .text = ""};
	char node[WIRE_NODE_MAX + 1] = {0};
	struct wire_writer w;
	struct wire_batch b;
	struct speech_event e;
	enum wire_next what;
	uint32_t n = 0;

	if (wire_open(data, size, &b) < 0)
		return;
	REQUIRE(b.node_len >= 1 && b.node_len <= WIRE_NODE_MAX && b.first + b.count > b.first);
	memcpy(node, b.node, b.node_len);
	wire_begin(&w, again, sizeof(again), node, b.boot, b.first);
	for (; (what = wire_next(&b, &e)) != WIRE_END; n++) {
		if (what == WIRE_EVENT)
			require_sayable(&e);
		if (what == WIRE_EVENT)
			letter(&e);
		if (what == WIRE_EVENT)
			decided(&e);
		REQUIRE(wire_add(&w, what == WIRE_EVENT ? &e : &nothing));
	}
	REQUIRE(n == b.count);
	size_t len = wire_end(&w);
	REQUIRE(wire_open(again, len, &b) == 0);
	require_same(&b, data, size);
}

static void subject(const uint8_t *data, size_t size)
{
	char room[TEXT_ROOM_MAX + 1], token[WIRE_TOKEN_MAX];

	if (!wire_room((const char *)data, size, room))
		return;
	REQUIRE(text_room_valid(room, strlen(room)));
	REQUIRE(strlen(wire_token(room, token)) == size && memcmp(token, data, size) == 0);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	static const struct room_guest anybody;
	struct slots *slots;
	struct clients *clients;

	log_open(LOG_EMERG);
	REQUIRE(slots_new(1, &slots) == 0);
	REQUIRE(rooms_open(memfd_new("rooms", rooms_file_size()), true, slots, &rooms) == 0);
	REQUIRE(rooms_enter(rooms, "lobby", 0, &anybody, &lobby) == 0);
	REQUIRE(clients_open(memfd_new("clients", clients_file_size()), true, &clients) == 0);
	REQUIRE(irc_store_open(memfd_new("irc", irc_store_size()), true, true, clients, rooms, &irc) == 0);
	channels = irc->channels;
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct speech_event e = {
	    .kind = size % 2 ? RECORD_MESSAGE : RECORD_NOTICE,
	    .nick = "x",
	    .nick_len = 1,
	    .text = (const char *)data,
	    .text_len = size,
	};

	batch(data, size);
	letter(&e);
	subject(data, size);
	return 0;
}
