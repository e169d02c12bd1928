/* SPDX-License-Identifier: MIT */
/* What other nodes say of who is there: whatever it is, what is taken of it is valid, and is read as it was written. */
#include "tests/fuzz/fuzz.h"

#include "daemon/cluster/ban_share.h"
#include "daemon/cluster/agree.h"
#include "daemon/cluster/presence.h"
#include "daemon/cluster/presence_text.h"

#include <string.h>

static void discard(void *arg, const char *subject, const char *data, size_t len)
{
	(void)arg;
	REQUIRE(strncmp(subject, "chatd.", 6) == 0 && strlen(data) == len);
}

static size_t nothing(void *arg, struct elsewhere_client *ret, size_t max)
{
	(void)arg;
	(void)ret;
	(void)max;
	return 0;
}

static void check(const struct presence_message *m)
{
	struct presence_message again;
	char *text = presence_write(m);

	REQUIRE(text);
	if (strlen(text) <= PRESENCE_TEXT_MAX) {
		REQUIRE(presence_read(text, strlen(text), &again) == 0);
		REQUIRE(again.n == m->n && again.n_refused == 0 && strcmp(again.node, m->node) == 0);
		REQUIRE(m->n == 0 || memcmp(again.clients, m->clients, m->n * sizeof(*m->clients)) == 0 ||
			m->clients[0].nick_len == 0);
		presence_message_free(&again);
	}
	free(text);
}

static bool shares(const char *room, void *arg)
{
	(void)arg;
	return room[0] != 'p';
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const subjects[] = {"chatd.who.b", "chatd.whole.a", "chatd.ask.a"};
	static const struct presence_ops ops = {.send = discard, .changes = nothing};
	struct presence_message m;
	struct elsewhere *el;
	struct presence *p;

	if (size > 0 && presence_read((const char *)data + 1, size - 1, &m) == 0) {
		for (size_t i = 0; i < m.n; i++) {
			const struct elsewhere_client *c = &m.clients[i];
			REQUIRE(c->nick_len == strlen(c->nick));
			REQUIRE(c->nick_len == 0 || nick_valid(c->nick, c->nick_len));
			REQUIRE(c->room[0] == '\0' || text_room_valid(c->room, strlen(c->room)));
		}
		check(&m);
		presence_message_free(&m);
	}
	struct ban_share *bans;
	if (ban_share_new(&bans) < 0)
		abort();
	ban_share_heard(bans, "a", 1, (const char *)data, size);
	struct ban_word word;
	while (ban_share_take(bans, &word, 1) > 0)
		REQUIRE(word.until_us >= 0 && word.changed_us >= 0);
	free(ban_share_next(bans, "a", 10000000, 0));
	ban_share_free(bans);
	struct agree_said own, other;
	if (agree_read((const char *)data, size, &other) == 0) {
		struct cluster_difference d[2];
		own = (struct agree_said){.all = true,
					  .rooms = json_pack("{s:s,s:s}", "den", "m01234567", "x", "r")};
		REQUIRE(agree_compare(&own, &other, shares, NULL, d, 2) <= 2);
		free(agree_write(&other, 100));
		json_decref(own.rooms);
		json_decref(other.rooms);
	}
	/* Messages one after another, each behind a byte that says what it is. */
	if (elsewhere_new(64, &el) < 0 || presence_new("chatd", "a", 1, el, &ops, NULL, &p) < 0)
		abort();
	presence_connected(p, 1, true);
	presence_start(p);
	int64_t now = 2;
	for (const uint8_t *end = data + size; data < end; now += 300000) {
		const uint8_t *stop = memchr(data, '\n', (size_t)(end - data));
		size_t len = (size_t)((stop ? stop : end) - data);
		if (len > 0)
			presence_take(p, now, subjects[data[0] % 3], (const char *)data + 1, len - 1);
		presence_tick(p, now);
		data += len + 1;
	}
	for (int i = 0; i < 50; i++)
		presence_tick(p, now += 1000000);
	REQUIRE(presence_nodes(p) == 0 && elsewhere_count(el, NULL) == 0);
	presence_free(p);
	elsewhere_free(el);
	return 0;
}
