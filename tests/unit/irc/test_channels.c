/* SPDX-License-Identifier: MIT */
/* Records of channels, which become true together with the events that tell of them. */
#include "tests/unit/irc/kept.h"
#include "tests/unit/state/steps.h"

static struct room *enter(struct kept *k, const char *name)
{
	struct room *r;

	assert_int_equal(rooms_enter(k->rooms.rooms, name, 0, &anybody, &r), 0);
	return r;
}

static void put(struct room *r)
{
	struct record record = {.kind = RECORD_NOTICE};

	assert_true(logring_put(r->log, &record, "", 0, "event\n", 6));
}

static void change(struct kept *k, struct room *r, unsigned n)
{
	struct irc_channel *c = irc_channels_draft(k->irc->channels, r);

	snprintf(c->topic, sizeof(c->topic), "topic %u", n);
	c->limit = n;
	c->status[c->n_status++ % 200] = (struct irc_channel_person){.id = n, .flags = IRC_STATUS_OP};
	c->n_list = n % IRC_LIST_MAX;
	for (uint32_t i = 0; i < c->n_list; i++)
		c->list[i] = (struct irc_channel_mask){.us = n, .kind = 'b', .mask = "*!*@bad.example"};
}

/* A change and its event, as a command does it. */
static void say(struct kept *k, struct room *r, unsigned n)
{
	logring_lock(r->log);
	change(k, r, n);
	put(r);
	irc_channels_seal(k->irc->channels, r, logring_pending(r->log));
	logring_commit(r->log);
	logring_unlock(r->log);
}

/* Which change holds; 0: none. All of it is that one's. */
static unsigned holds_in(struct irc_channels *cs, const struct room *r)
{
	const struct irc_channel *c = irc_channels_get(cs, r);
	char topic[32];

	if (!c)
		return 0;
	snprintf(topic, sizeof(topic), "topic %u", c->limit);
	assert_string_equal(c->topic, topic);
	assert_int_equal(c->n_list, c->limit % IRC_LIST_MAX);
	assert_int_equal(c->status[c->n_status - 1].id, c->limit);
	for (uint32_t i = 0; i < c->n_list; i++)
		assert_int_equal(c->list[i].us, c->limit);
	return c->limit;
}

static unsigned holds(struct kept *k, const struct room *r)
{
	logring_lock(r->log);
	unsigned n = holds_in(k->irc->channels, r);
	logring_unlock(r->log);
	return n;
}

/* The room of that name in the next process. */
static struct room *crash(struct kept *k, const char *name)
{
	struct room *r;

	kept_crash(k);
	assert_int_equal(rooms_enter_existing(k->rooms.rooms, name, 0, &r), 0);
	return r;
}

static void note(uint32_t index, void *arg)
{
	*(uint32_t *)arg = index;
}

/* What has changed is told once, also if another process changed it. */
static void who_stores_them_is_told(void **state)
{
	struct kept *k = *state;
	struct room *r = enter(k, "den");
	uint32_t index = 0;

	irc_channels_take_changed(k->irc->channels, note, &index);
	assert_int_equal(index, 0);
	say(k, r, 1);
	irc_channels_take_changed(k->irc->channels, note, &index);
	assert_int_equal(index, r->index);
	index = 0;
	irc_channels_take_changed(k->irc->channels, note, &index);
	assert_int_equal(index, 0);
	r = crash(k, "den");
	irc_channels_take_changed(k->irc->channels, note, &index);
	assert_int_equal(index, r->index);
	index = 0;
	irc_channels_change_all(k->irc->channels);
	irc_channels_take_changed(k->irc->channels, note, &index);
	assert_int_equal(index, r->index);
}

/* Who has an account gets back what it had, once; others get nothing. */
static void what_was_before_a_reboot(void **state)
{
	static struct irc_channel was = {.modes = IRC_M_SECRET, .n_status = 3, .n_list = 1};
	struct kept *k = *state;
	struct room *r = enter(k, "den");

	was.status[0] = (struct irc_channel_person){.flags = IRC_STATUS_VOICE, .account = "bob"};
	was.status[1] = (struct irc_channel_person){.flags = IRC_STATUS_OP, .account = "ann"};
	was.status[2] = (struct irc_channel_person){.flags = IRC_STATUS_OP, .account = "ann"};
	was.list[0] = (struct irc_channel_mask){.kind = 'b', .mask = "eve!*@*"};
	assert_true(irc_channels_restore(k->irc->channels, r, &was));
	assert_false(irc_channels_restore(k->irc->channels, r, &was)); /* what holds is newer */
	r = crash(k, "den");
	logring_lock(r->log);
	const struct irc_channel *now = irc_channels_get(k->irc->channels, r);
	assert_int_equal(now->modes, IRC_M_SECRET);
	assert_string_equal(now->list[0].mask, "eve!*@*");
	assert_true(irc_channel_awaits_operator(now));
	assert_int_equal(irc_channel_awaits(now, ""), 0);
	assert_int_equal(irc_channel_awaits(now, "annie"), 0);
	assert_int_equal(irc_channel_awaits(now, "Ann"), IRC_STATUS_OP);
	assert_false(irc_channel_awaits_operator(NULL));
	struct irc_channel *ch = irc_channels_draft(k->irc->channels, r);
	assert_int_equal(irc_channel_come_back(ch, 7, "bob"), IRC_STATUS_VOICE);
	assert_int_equal(irc_channel_come_back(ch, 8, "bob"), 0);
	assert_int_equal(irc_channel_come_back(ch, 9, "ann"), IRC_STATUS_OP);
	assert_int_equal(irc_channel_come_back(ch, 10, "ann"), IRC_STATUS_OP); /* another client of hers */
	assert_false(irc_channel_awaits_operator(ch));
	assert_int_equal(ch->status[1].id, 9);
	irc_channels_forget(k->irc->channels, r);
	logring_unlock(r->log);
}

static void becomes_true_with_its_event(void **state)
{
	struct kept *k = *state;
	struct room *r = enter(k, "den");

	assert_int_equal(holds(k, r), 0);
	logring_lock(r->log);
	assert_int_equal(irc_channels_draft(k->irc->channels, r)->modes, IRC_M_DEFAULT);
	assert_int_equal(irc_channels_draft(k->irc->channels, r)->n_status, 0);
	irc_channels_forget(k->irc->channels, r);
	logring_unlock(r->log);
	for (unsigned n = 1; n < 20; n++) {
		logring_lock(r->log);
		change(k, r, n);
		put(r);
		irc_channels_seal(k->irc->channels, r, logring_pending(r->log));
		assert_int_equal(holds_in(k->irc->channels, r), n - 1);
		logring_commit(r->log);
		assert_int_equal(holds_in(k->irc->channels, r), n);
		logring_unlock(r->log);
		if (n % 3 == 0)
			r = crash(k, "den");
		assert_int_equal(holds(k, r), n);
		if (n % 4 == 0)
			test_rooms_say(r, "something else\n", 15);
		assert_int_equal(holds(k, r), n);
	}
	/* Two changes before the seal are one, and one without an event holds at once. */
	logring_lock(r->log);
	change(k, r, 30);
	change(k, r, 31);
	irc_channels_seal(k->irc->channels, r, logring_pending(r->log));
	assert_int_equal(holds_in(k->irc->channels, r), 31);
	irc_channels_seal(k->irc->channels, r, logring_pending(r->log)); /* there is no draft */
	logring_unlock(r->log);
	r = crash(k, "den");
	assert_int_equal(holds(k, r), 31);
}

/* Dead before the commit: what was before holds, and goes on to when the log gets that far by something else. */
static void before_the_commit(void **state)
{
	struct kept *k = *state;
	struct room *r = enter(k, "den");

	for (unsigned first = 0; first < 2; first++) {
		for (unsigned sealed = 0; sealed < 2; sealed++) {
			logring_lock(r->log);
			change(k, r, 7);
			put(r);
			if (sealed)
				irc_channels_seal(k->irc->channels, r, logring_pending(r->log));
			logring_unlock(r->log);
			r = crash(k, "den");
			assert_int_equal(holds(k, r), first);
			test_rooms_say(r, "something else\n", 15);
			assert_int_equal(holds(k, r), first);
			r = crash(k, "den");
			assert_int_equal(holds(k, r), first);
		}
		if (first == 0)
			say(k, r, 1);
	}
}

static void given_up(void **state)
{
	struct kept *k = *state;
	struct room *r = enter(k, "den");

	say(k, r, 1);
	logring_lock(r->log);
	change(k, r, 2);
	put(r);
	logring_abandon(r->log);
	irc_channels_forget(k->irc->channels, r);
	logring_unlock(r->log);
	test_rooms_say(r, "something else\n", 15);
	assert_int_equal(holds(k, r), 1);
	logring_lock(r->log);
	assert_int_equal(irc_channels_draft(k->irc->channels, r)->limit, 1);
	irc_channels_forget(k->irc->channels, r);
	logring_unlock(r->log);
	r = crash(k, "den");
	assert_int_equal(holds(k, r), 1);
}

struct walk {
	struct kept *k;
	struct room *room;
	uint64_t count;
	bool changed;
};

static void walk_change(void *arg)
{
	struct walk *w = arg;

	/* The lock is another process's here. */
	change(w->k, w->room, 4);
	put(w->room);
	irc_channels_seal(w->k->irc->channels, w->room, logring_pending(w->room->log));
	logring_commit(w->room->log);
}

/* What a successor would find, which wipes what never became true. */
static unsigned found(struct walk *w)
{
	static struct irc_channel_half kept[2];
	struct irc_channel_half *h = w->k->irc->file->channels[w->room->index];
	struct irc_channels *cs;

	for (unsigned i = 0; i < 2; i++)
		memcpy(&kept[i], &h[i], sizeof(kept[i]));
	assert_int_equal(irc_channels_new(w->k->irc->file->made, w->k->irc->file->channels, &cs), 0);
	irc_channels_recover(cs, w->k->rooms.rooms);
	unsigned n = holds_in(cs, w->room);
	irc_channels_free(cs);
	for (unsigned i = 0; i < 2; i++)
		memcpy(&h[i], &kept[i], sizeof(kept[i]));
	return n;
}

static bool walk_look(void *arg)
{
	struct walk *w = arg;

	w->changed = logring_count(w->room->log) > w->count;
	return found(w) == (w->changed ? 4U : 3U);
}

/* Dead after any instruction: a change and its event have both happened, or neither has. */
static void after_any_instruction(void **state)
{
	struct kept *k = *state;
	struct walk w = {.k = k, .room = enter(k, "den")};

	for (unsigned n = 1; n <= 3; n++)
		say(k, w.room, n);
	w.count = logring_count(w.room->log);
	unsigned steps = steps_of(walk_change, walk_look, &w);
	assert_true(w.changed);
	assert_int_equal(found(&w), 4);
	assert_in_range(steps, 300, 1000000);
}

/* Another room that gets the index, by whatever name, has nothing of the one before. */
static void another_room(void **state)
{
	struct kept *k = *state;
	struct room_settings settings = {.log_size = LOGRING_SIZE_MIN};
	struct rooms_limits limits = {.rooms = 2};

	assert_int_equal(rooms_configure(k->rooms.rooms, NULL, 0, &settings, &limits), 0);
	rooms_settle(k->rooms.rooms, NULL, NULL);
	for (unsigned i = 0; i < 4; i++) {
		struct room *r = enter(k, "den");
		uint32_t index = r->index;
		assert_int_equal(holds(k, r), 0);
		say(k, r, 100 + i);
		rooms_leave(k->rooms.rooms, r, 0);
		rooms_expire(k->rooms.rooms, INT64_MAX);
		if (i & 1) {
			kept_crash(k);
			assert_int_equal(atomic_load(&k->irc->file->made[index]), 0);
			assert_int_equal(rooms_configure(k->rooms.rooms, NULL, 0, &settings, &limits), 0);
			rooms_settle(k->rooms.rooms, NULL, NULL);
		}
		r = enter(k, i & 2 ? "den" : "cave");
		assert_int_equal(r->index, index);
		for (unsigned n = 0; n < 3; n++) /* further than the one before had got */
			test_rooms_say(r, "something\n", 10);
		assert_int_equal(holds(k, r), 0);
		logring_lock(r->log);
		struct irc_channel *c = irc_channels_draft(k->irc->channels, r);
		assert_int_equal(c->n_status, 0);
		assert_int_equal(c->status[0].id, 0); /* nor is it anywhere */
		irc_channels_forget(k->irc->channels, r);
		logring_unlock(r->log);
		rooms_leave(k->rooms.rooms, r, 0);
		rooms_expire(k->rooms.rooms, INT64_MAX);
	}
}

/* Whatever is changed by anybody else is not believed, nor is an older half in its stead. */
static void damage(void **state)
{
	struct kept *k = *state;
	struct room *r = enter(k, "den");

	for (unsigned at = 0; at < 260; at++) {
		say(k, r, 5);
		say(k, r, 6);
		struct irc_channel_half *h = k->irc->file->channels[r->index];
		uint64_t *words = (uint64_t *)&h[h[1].version > h[0].version];
		/* The words that are used: those of the beginning, and the first of the lists. */
		size_t used = offsetof(struct irc_channel_half, channel.status) / 8;
		size_t word =
		    at < used ? at : offsetof(struct irc_channel_half, channel.list) / 8 + at - used;
		if (at >= used + 6 * 18)
			break;
		words[word] ^= 1ULL << (at % 64);
		r = crash(k, "den");
		assert_int_equal(holds(k, r), 0);
	}
	say(k, r, 9);
	r = crash(k, "den");
	assert_int_equal(holds(k, r), 9);
}

/* A room that nobody gave a topic or modes has nothing, however often one asks; one that has, a page or two of each half. */
static void memory(void **state)
{
	struct kept *k = *state;
	uint64_t before = kept_memory(k);
	struct room *r[100];
	char name[16];

	for (unsigned i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "room%u", i);
		r[i] = enter(k, name);
		assert_int_equal(holds(k, r[i]), 0);
	}
	assert_in_range(kept_memory(k) - before, 0, 65536);
	for (unsigned i = 0; i < 100; i++)
		for (unsigned n = 1; n <= 2; n++)
			say(k, r[i], IRC_LIST_MAX * n); /* without lists */
	assert_in_range((kept_memory(k) - before) / 100, 4096, 2 * 65536);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, kept_setup, kept_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(who_stores_them_is_told),
	    CASE(what_was_before_a_reboot),
	    CASE(becomes_true_with_its_event),
	    CASE(before_the_commit),
	    CASE(given_up),
	    CASE(after_any_instruction),
	    CASE(another_room),
	    CASE(damage),
	    CASE(memory),
	};

	return cmocka_run_group_tests_name("IRC channels", tests, NULL, NULL);
}
