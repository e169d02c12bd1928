/* SPDX-License-Identifier: MIT */
/* Personas and attachments: what records of events name by numbers, as long as it is there. */
#include "tests/unit/irc/kept.h"
#include "tests/unit/state/steps.h"

#include "daemon/irc/attachments.h"
#include "daemon/irc/personas.h"

static uint32_t put(struct kept *k, unsigned n)
{
	struct irc_persona p = {.flags = n};

	snprintf(p.user, sizeof(p.user), "u%u", n);
	snprintf(p.host, sizeof(p.host), "%u.example", n);
	return irc_persona_put(k->irc->personas, &p);
}

static bool is(struct kept *k, uint32_t number, unsigned n)
{
	struct irc_persona p;
	char user[sizeof(p.user)];

	snprintf(user, sizeof(user), "u%u", n);
	return irc_persona_get(k->irc->personas, number, &p) && p.flags == n && strcmp(p.user, user) == 0;
}

static void by_number(void **state)
{
	struct kept *k = *state;
	struct irc_persona p;
	uint32_t a = put(k, 1), b = put(k, 2);

	assert_int_not_equal(a, 0);
	assert_int_not_equal(a, b);
	for (unsigned i = 0; i < 2; i++, kept_crash(k)) {
		assert_true(is(k, a, 1));
		assert_true(is(k, b, 2));
		assert_false(irc_persona_get(k->irc->personas, 0, &p));
		assert_false(irc_persona_get(k->irc->personas, b + 1, &p));
		assert_false(irc_persona_get(k->irc->personas, a - IRC_PERSONAS, &p));
	}
	assert_int_not_equal(put(k, 3), b);
}

/* The last 65,536 are known, also where numbers begin again. */
static void old_ones_go(void **state)
{
	struct kept *k = *state;
	static uint32_t numbers[IRC_PERSONAS + 100];
	struct irc_persona p;

	atomic_store(&k->irc->file->header.next_persona, UINT32_MAX - 1000);
	for (unsigned i = 0; i < IRC_PERSONAS + 100; i++) {
		numbers[i] = put(k, i);
		assert_int_not_equal(numbers[i], 0);
	}
	for (unsigned i = 0; i < IRC_PERSONAS + 100; i++)
		if (i < 99) /* the number 0 is left out */
			assert_false(irc_persona_get(k->irc->personas, numbers[i], &p));
		else if (i > 100)
			assert_true(is(k, numbers[i], i));
}

static void damaged_personas(void **state)
{
	struct kept *k = *state;
	struct irc_persona p;

	for (unsigned at = 0; at < sizeof(struct irc_persona_place) / 8; at++) {
		uint32_t number = put(k, at);
		((uint64_t *)&k->irc->file->personas[number % IRC_PERSONAS])[at] ^= 1ULL << (at % 64);
		kept_crash(k);
		assert_false(irc_persona_get(k->irc->personas, number, &p));
	}
}

struct walk {
	struct kept *k;
	uint32_t number, next;
};

static void walk_change(void *arg)
{
	put(((struct walk *)arg)->k, 2);
}

/* It is there as a whole or not at all, and its number is not given out again once anything was written. */
static bool walk_look(void *arg)
{
	struct walk *w = arg;
	struct irc_persona_place *p = &w->k->irc->file->personas[w->next % IRC_PERSONAS];
	bool taken = atomic_load(&w->k->irc->file->header.next_persona) > w->next;
	struct irc_persona persona;
	struct irc_personas *ps;

	assert_int_equal(irc_personas_new(w->k->irc->file, &ps), 0);
	bool there = irc_persona_get(ps, w->next, &persona);
	bool other = irc_persona_get(ps, w->number, &persona);
	irc_personas_free(ps);
	return other && (!there || is(w->k, w->next, 2)) && (taken || p->number == 0);
}

static void after_any_instruction(void **state)
{
	struct kept *k = *state;
	struct walk w = {.k = k, .number = put(k, 1)};

	w.next = w.number + 1;
	unsigned steps = steps_of(walk_change, walk_look, &w);
	assert_true(is(k, w.next, 2));
	assert_in_range(steps, 200, 1000000);
}

/* --- attachments --- */

static size_t make(unsigned n, char *data)
{
	size_t len = 1 + n * 37 % IRC_ATTACHMENT_MAX;

	for (size_t i = 0; i < len; i++)
		data[i] = (char)(n + i * 7);
	return len;
}

static bool attached(struct kept *k, uint32_t number, unsigned n)
{
	static char data[IRC_ATTACHMENT_MAX], got[IRC_ATTACHMENT_MAX];
	size_t len = make(n, data);

	return irc_attachment_get(k->irc->attachments, number, got, sizeof(got)) == len &&
	       memcmp(got, data, len) == 0;
}

/* Those of at least 3 MB are there, old ones are gone; over the ring's end and that of the numbers. */
static void ring(void **state)
{
	struct kept *k = *state;
	enum { N = 5000 };
	static uint32_t numbers[N];
	static char data[IRC_ATTACHMENT_MAX + 1];

	atomic_store(&k->irc->file->header.next_attachment, UINT32_MAX - 500000ULL);
	for (unsigned i = 0; i < N; i++) {
		numbers[i] = irc_attachment_put(k->irc->attachments, data, make(i, data));
		assert_int_not_equal(numbers[i], 0);
		assert_true(attached(k, numbers[i], i));
		if (i % 1000 == 0)
			kept_crash(k);
	}
	size_t behind = 0;
	for (unsigned i = N; i-- > 0;) {
		behind += make(i, data) + 32;
		if (behind < 3U << 20)
			assert_true(attached(k, numbers[i], i));
		if (behind > 5U << 20)
			assert_int_equal(
			    irc_attachment_get(k->irc->attachments, numbers[i], data, sizeof(data)), 0);
	}
	assert_int_equal(irc_attachment_put(k->irc->attachments, data, 0), 0);
	assert_int_equal(irc_attachment_put(k->irc->attachments, data, IRC_ATTACHMENT_MAX + 1), 0);
	assert_int_equal(irc_attachment_get(k->irc->attachments, 0, data, sizeof(data)), 0);
	assert_int_equal(irc_attachment_get(k->irc->attachments, numbers[N - 1] + 1, data, sizeof(data)), 0);
	assert_int_equal(irc_attachment_get(k->irc->attachments, numbers[N - 1] + 100000, data, sizeof(data)),
			 0);
	assert_int_equal(irc_attachment_get(k->irc->attachments, numbers[N - 1], data, 1), 0);
}

static void damaged_attachments(void **state)
{
	struct kept *k = *state;
	static char data[IRC_ATTACHMENT_MAX];

	for (unsigned at = 0; at < 8; at++) {
		uint32_t number = irc_attachment_put(k->irc->attachments,
						     "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGH", 44);
		uint64_t *words =
		    (uint64_t *)(k->irc->file->attachments + number % (IRC_ATTACHMENTS_SIZE / 16) * 16);
		words[at] ^= 1ULL << (8 * at);
		kept_crash(k);
		assert_int_equal(irc_attachment_get(k->irc->attachments, number, data, sizeof(data)), 0);
	}
	atomic_store(&k->irc->file->header.next_attachment, UINT64_MAX - 1);
	assert_int_equal(kept_crash_to(k, false), -EBADMSG);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, kept_setup, kept_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(by_number), CASE(old_ones_go),		CASE(damaged_personas), CASE(after_any_instruction),
	    CASE(ring),	     CASE(damaged_attachments),
	};

	return cmocka_run_group_tests_name("IRC personas and attachments", tests, NULL, NULL);
}
