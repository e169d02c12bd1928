/* SPDX-License-Identifier: MIT */
/* Records of users, which become true together with their clients' states; and blobs, which do with the records. */
#include "tests/unit/irc/kept.h"
#include "tests/unit/state/steps.h"

#include "daemon/irc/blobs.h"
#include "daemon/irc/personas.h"

#define WORKER 3

/* As engine/transaction.c does it. */
static struct client_state *begin(struct kept *k)
{
	uint32_t next = !(atomic_load(&k->c->live) & 1);

	k->c->st[next] = k->c->st[!next];
	k->c->st[next].generation++;
	return &k->c->st[next];
}

static void commit(struct kept *k)
{
	uint32_t next = !(atomic_load(&k->c->live) & 1);

	irc_users_seal(k->irc->users, WORKER, &k->c->st[next]);
	atomic_store(&k->c->live, next);
	irc_users_settle(k->irc->users, WORKER);
}

static const struct irc_user *now(struct kept *k)
{
	return irc_users_get(k->irc->users, WORKER, k->c);
}

static struct irc_user *draft(struct kept *k)
{
	return irc_users_draft(k->irc->users, WORKER, k->c);
}

static void set_true(struct kept *k, uint32_t caps, const char *host)
{
	begin(k);
	draft(k)->caps = caps;
	snprintf(draft(k)->host, IRC_HOST_MAX + 1, "%s", host);
	commit(k);
}

static void assert_is(struct kept *k, uint32_t caps, const char *host)
{
	struct irc_user copy;

	assert_non_null(now(k));
	assert_int_equal(now(k)->caps, caps);
	assert_string_equal(now(k)->host, host);
	assert_true(irc_users_copy(k->irc->users, clients_index(k->cs, k->c), k->c->id, &copy));
	assert_int_equal(copy.caps, caps);
	assert_string_equal(copy.host, host);
}

static void becomes_true_with_its_client(void **state)
{
	struct kept *k = *state;
	struct irc_user copy;

	assert_null(now(k));
	assert_false(irc_users_copy(k->irc->users, clients_index(k->cs, k->c), k->c->id, &copy));
	begin(k);
	assert_int_equal(draft(k)->caps, 0);
	draft(k)->caps = 7;
	assert_int_equal(now(k)->caps, 7); /* within the transaction */
	assert_false(irc_users_copy(k->irc->users, clients_index(k->cs, k->c), k->c->id, &copy));
	commit(k);
	for (unsigned i = 0; i < 2; i++, kept_crash(k))
		assert_is(k, 7, "");
	set_true(k, 8, "a.example");
	begin(k);
	assert_int_equal(draft(k)->caps, 8);
	irc_users_forget(k->irc->users, WORKER);
	for (unsigned i = 0; i < 2; i++, kept_crash(k))
		assert_is(k, 8, "a.example");
	/* Transactions without a change of it, which go over the same generation. */
	begin(k);
	commit(k);
	assert_is(k, 8, "a.example");
}

/* Dead before the commit, whatever of the draft was written: nothing has happened, nor does it with the next commit. */
static void before_the_commit(void **state)
{
	struct kept *k = *state;

	set_true(k, 1, "one");
	for (unsigned sealed = 0; sealed < 2; sealed++) {
		struct client_state *st = begin(k);
		draft(k)->caps = 2;
		strcpy(draft(k)->host, "two");
		if (sealed)
			irc_users_seal(k->irc->users, WORKER, st);
		kept_crash(k);
		assert_is(k, 1, "one");
		begin(k);
		atomic_store(&k->c->live, !(atomic_load(&k->c->live) & 1)); /* of the same generation */
		kept_crash(k);
		assert_is(k, 1, "one");
	}
}

/* Dead after the commit, before anybody tidied up: all has happened. */
static void after_the_commit(void **state)
{
	struct kept *k = *state;

	set_true(k, 1, "one");
	struct client_state *st = begin(k);
	draft(k)->caps = 2;
	strcpy(draft(k)->host, "two");
	irc_users_seal(k->irc->users, WORKER, st);
	atomic_store(&k->c->live, !(atomic_load(&k->c->live) & 1));
	for (unsigned i = 0; i < 3; i++) {
		kept_crash(k);
		assert_is(k, 2, "two");
	}
}

static void given_up(void **state)
{
	struct kept *k = *state;

	set_true(k, 1, "one");
	begin(k);
	draft(k)->caps = 2;
	irc_users_forget(k->irc->users, WORKER);
	assert_is(k, 1, "one");
	begin(k);
	commit(k);
	for (unsigned i = 0; i < 2; i++, kept_crash(k))
		assert_is(k, 1, "one");
}

struct walk {
	struct kept *k;
	bool changed;
};

static void walk_change(void *arg)
{
	set_true(((struct walk *)arg)->k, 2, "two.example");
}

/* As a successor would find it if it came now; the process that is stepped keeps what it does. */
static uint32_t found(struct kept *k)
{
	uint32_t index = clients_index(k->cs, k->c);
	struct irc_user_draft *d = &k->irc->file->drafts[WORKER], d_before = *d;
	struct irc_user_place *p = &k->irc->file->users[index], p_before = *p;
	uint64_t id = k->irc->file->ids[index];
	struct irc_user u = {0};
	struct irc_users *us;

	assert_int_equal(irc_users_new(k->irc->file, k->cs, &us), 0);
	irc_users_recover(us);
	bool there = irc_users_copy(us, index, k->c->id, &u);
	irc_users_free(us);
	*d = d_before;
	*p = p_before;
	k->irc->file->ids[index] = id;
	if (!there)
		return 0;
	assert_string_equal(u.host, u.caps == 2 ? "two.example" : "one.example");
	return u.caps;
}

static bool walk_look(void *arg)
{
	struct walk *w = arg;
	uint32_t now_caps = found(w->k);

	/* It is true exactly from the store of `live` on. */
	w->changed = client_live(w->k->c)->generation == 2;
	return now_caps == (w->changed ? 2 : 1);
}

/* Dead after any instruction: all of a change has happened or nothing, as has that of the client's state. */
static void after_any_instruction(void **state)
{
	struct kept *k = *state;
	struct walk w = {.k = k};

	set_true(k, 1, "one.example");
	unsigned steps = steps_of(walk_change, walk_look, &w);
	assert_true(w.changed);
	assert_int_equal(found(k), 2);
	assert_in_range(steps, 300, 1000000);
}

/* Who gets an index has nothing of who had it before, without any call; nor does anybody after all clients are lost. */
static void another_client(void **state)
{
	struct kept *k = *state;
	struct irc_user copy;

	set_true(k, 1, "one");
	uint64_t old = k->c->id;
	clients_release(k->cs, k->c);
	struct client *other = clients_allocate(k->cs);
	assert_ptr_equal(other, k->c);
	atomic_store(&k->c->cookie, 2);
	for (unsigned i = 0; i < 2; i++, kept_crash(k)) {
		assert_null(now(k));
		assert_false(irc_users_copy(k->irc->users, clients_index(k->cs, k->c), old, &copy) && i > 0);
		assert_false(irc_users_copy(k->irc->users, clients_index(k->cs, k->c), k->c->id, &copy));
	}
	begin(k);
	assert_int_equal(draft(k)->caps, 0);
	assert_string_equal(draft(k)->host, "");
	commit(k);
	set_true(k, 5, "five");
	assert_int_equal(kept_crash_to(k, true), 0);
	assert_null(now(k));
	assert_int_equal(k->irc->file->users[clients_index(k->cs, k->c)].user.caps, 0);
}

/* A draft that was sealed for who is gone is nobody's, whoever has its index and a record there. */
static void a_draft_of_another(void **state)
{
	struct kept *k = *state;
	struct irc_users *us = k->irc->users;

	struct client_state *st = begin(k);
	irc_users_draft(us, WORKER + 1, k->c)->caps = 9;
	irc_users_seal(us, WORKER + 1, st);
	clients_release(k->cs, k->c);
	k->c = clients_allocate(k->cs);
	atomic_store(&k->c->cookie, 2);
	set_true(k, 1, "one");
	set_true(k, 2, "two");
	kept_crash(k);
	assert_is(k, 2, "two");
}

/* Whatever is changed by anybody else is not believed. */
static void damage(void **state)
{
	struct kept *k = *state;

	for (unsigned at = 0; at < sizeof(struct irc_user_place) / 8; at++) {
		set_true(k, 1, "one");
		uint64_t *words = (uint64_t *)&k->irc->file->users[clients_index(k->cs, k->c)];
		words[at] ^= 1ULL << (at % 64);
		kept_crash(k);
		assert_null(now(k));
	}
	set_true(k, 1, "one");
	for (unsigned at = 1; at < sizeof(struct irc_user_draft) / 8; at++) {
		struct client_state *st = begin(k);
		draft(k)->caps = 2;
		irc_users_seal(k->irc->users, WORKER, st);
		atomic_store(&k->c->live, !(atomic_load(&k->c->live) & 1));
		((uint64_t *)&k->irc->file->drafts[WORKER])[at] ^= 1ULL << (at % 64);
		kept_crash(k);
		assert_is(k, 1, "one");
	}
	/* Nor is what a build with other sizes wrote. */
	struct irc_file_header *h = &k->irc->file->header;
	h->shape.user_size++;
	h->check = checksum_add(IRC_FILE_MAGIC, h, offsetof(struct irc_file_header, check));
	assert_int_equal(kept_crash_to(k, false), -EBADMSG);
}

static void blobs(void **state)
{
	struct kept *k = *state;
	uint32_t index = clients_index(k->cs, k->c);
	char text[IRC_BLOB_MONITOR_MAX];
	static const char long_text[IRC_BLOB_MONITOR_MAX + 1];
	uint32_t number = 0;

	for (unsigned i = 0; i < 5; i++) {
		char away[32];
		int len = snprintf(away, sizeof(away), "back at %u o'clock", i);
		uint32_t next = irc_blob_put(k->irc->blobs, k->c, IRC_BLOB_AWAY, number, away, (size_t)len);
		/* What holds is still there. */
		if (number)
			assert_true(irc_blob_get(k->irc->blobs, index, k->c->id, IRC_BLOB_AWAY, number, text,
						 sizeof(text)));
		/* And another one instead, in the same transaction. */
		away[0] = 'B';
		next = irc_blob_put(k->irc->blobs, k->c, IRC_BLOB_AWAY, number, away, (size_t)len);
		if (number)
			assert_true(irc_blob_get(k->irc->blobs, index, k->c->id, IRC_BLOB_AWAY, number, text,
						 sizeof(text)));
		number = next;
		kept_crash(k);
		assert_int_equal(
		    irc_blob_get(k->irc->blobs, index, k->c->id, IRC_BLOB_AWAY, number, text, sizeof(text)),
		    len);
		assert_memory_equal(text, away, (size_t)len);
		assert_int_equal(irc_blob_get(k->irc->blobs, index, k->c->id, IRC_BLOB_AWAY, number, text, 3),
				 0);
		assert_int_equal(irc_blob_get(k->irc->blobs, index, k->c->id, IRC_BLOB_MONITOR, number, text,
					      sizeof(text)),
				 0);
		assert_int_equal(irc_blob_get(k->irc->blobs, index, k->c->id + 1, IRC_BLOB_AWAY, number, text,
					      sizeof(text)),
				 0);
	}
	assert_int_not_equal(
	    irc_blob_put(k->irc->blobs, k->c, IRC_BLOB_MONITOR, 0, long_text, IRC_BLOB_MONITOR_MAX), 0);
	assert_int_equal(
	    irc_blob_put(k->irc->blobs, k->c, IRC_BLOB_MONITOR, 0, long_text, IRC_BLOB_MONITOR_MAX + 1), 0);
	assert_int_equal(
	    irc_blob_put(k->irc->blobs, k->c, IRC_BLOB_AWAY, 0, long_text, IRC_BLOB_AWAY_MAX + 1), 0);
	assert_int_not_equal(irc_blob_put(k->irc->blobs, k->c, IRC_BLOB_AWAY, UINT32_MAX, "x", 1), 0);
	k->irc->file->away[index][number & 1].data[3] ^= 1;
	assert_int_equal(
	    irc_blob_get(k->irc->blobs, index, k->c->id, IRC_BLOB_AWAY, number, text, sizeof(text)), 0);
}

/* With a persona each, they and the rest take no more than this for each idle user. */
#define IDLE_MAX 600

static void memory(void **state)
{
	struct kept *k = *state;
	enum { N = 20000 };
	uint64_t before = kept_memory(k);
	struct irc_user copy;

	/* The map itself is nothing. */
	assert_in_range(before, 0, 65536 * 2);
	for (unsigned i = 0; i < N; i++) {
		k->c = clients_allocate(k->cs);
		atomic_store(&k->c->cookie, i + 2);
		struct irc_persona persona = {.user = "u"};
		for (unsigned n = 0; n < 6; n++)
			set_true(k, n, "host.example");
		begin(k);
		draft(k)->persona = irc_persona_put(k->irc->personas, &persona);
		commit(k);
	}
	uint64_t each = (kept_memory(k) - before) / N;
	print_message("%u bytes for each idle user\n", (unsigned)each);
	assert_in_range(each, 300, IDLE_MAX);
	/* Nor does looking for users that there aren't. */
	before = kept_memory(k);
	for (uint32_t i = 0; i < N; i++)
		assert_false(irc_users_copy(k->irc->users, 1000000 + i, 7, &copy));
	assert_in_range(kept_memory(k) - before, 0, N * 8 + 65536 * 2);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, kept_setup, kept_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(becomes_true_with_its_client),
	    CASE(before_the_commit),
	    CASE(after_the_commit),
	    CASE(given_up),
	    CASE(after_any_instruction),
	    CASE(another_client),
	    CASE(a_draft_of_another),
	    CASE(damage),
	    CASE(blobs),
	    CASE(memory),
	};

	return cmocka_run_group_tests_name("IRC users", tests, NULL, NULL);
}
