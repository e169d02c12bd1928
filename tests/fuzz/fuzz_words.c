/* SPDX-License-Identifier: MIT */
/*
 * The text of a search, as it comes from people: cleaned and cut as in modes/chat_history, then looked for in two
 * databases of the same messages, one with an index and one that is read through. Both find the same, or find that there is
 * no word in it.
 */
#include "tests/fuzz/fuzz.h"

#include "daemon/history/store.h"
#include "daemon/modes/past.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define WORDS_MAX 256
#define WORDS_FOUND_MAX 1000

static const char *const texts[] = {
    "The quick brown fox",
    "a lazy dog, quickly",
    "F\xc3\xbc"
    "chse und Hunde",
    "fuchse",
    "x",
    "x x x x y",
    "y x",
    "NEAR(fox dog) AND NOT OR",
    "text:fox \"quoted words\" ^begin",
    "1234 5678 12345",
    "\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e \xe6\x97\xa5",
    "e\xcc\x81t\xc3\xa9 ete",
    "\xf0\x9f\x98\x80 smile",
    "a-b c_d e'f g.h",
    "*** --- \"\" ''",
    "quick fox brown the",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
};

static struct store *stores[2];

static struct store *make(const char *dir, const char *name, bool search)
{
	const struct store_room room = {.name = "lobby", .epoch = 7};
	char path[64], why[STORE_WHY_MAX];
	uint64_t waiting;
	struct store *s;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	REQUIRE(store_open(path, STORE_WRITE, 7, &s, why) == 0);
	store_set_search(s, search);
	REQUIRE(store_begin(s) == 0);
	for (size_t i = 0; i < 3 * sizeof(texts) / sizeof(*texts); i++) {
		const char *text = texts[i % (sizeof(texts) / sizeof(*texts))];
		const struct store_message m = {.number = i + 1,
						.event = {.time_us = i + 1,
							  .nick = "alice",
							  .nick_len = 5,
							  .text = text,
							  .text_len = strlen(text)}};
		REQUIRE(store_put(s, &room, &m) == 0);
	}
	/* Some of them are not in the index yet. */
	REQUIRE(!search || store_index(s, 40, &waiting) == 0);
	REQUIRE(store_commit(s) == 0);
	return s;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static char dir[] = "/dev/shm/words-XXXXXX";
	char command[64];

	(void)argc;
	(void)argv;
	REQUIRE(mkdtemp(dir));
	stores[0] = make(dir, "indexed", true);
	stores[1] = make(dir, "plain", false);
	snprintf(command, sizeof(command), "rm -r %s", dir); /* the open files stay until the end */
	REQUIRE(system(command) == 0);
	return 0;
}

struct found {
	int64_t id[WORDS_FOUND_MAX];
	size_t n;
};

static bool found(const struct store_message *m, void *arg)
{
	struct found *f = arg;

	REQUIRE(f->n < WORDS_FOUND_MAX);
	REQUIRE(f->n == 0 || m->id < f->id[f->n - 1]);
	f->id[f->n++] = m->id;
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char typed[WORDS_MAX + 1], text[WORDS_MAX * TEXT_SANITISE_GROWTH + 1];
	size_t len = size < WORDS_MAX ? size : WORDS_MAX, before_len;
	static struct found f[2];
	uint64_t before = 0;
	int r[2];

	for (size_t i = 0; i < len; i++)
		typed[i] = (char)(data[i] == '\n' ? ' ' : data[i]);
	before_len = len;
	if (past_cut_before(typed, &len, &before))
		REQUIRE(len < before_len && (len == 0 || typed[len - 1] != ' '));
	else
		REQUIRE(len == before_len);
	text[text_sanitise(text, typed, len)] = '\0';
	for (int i = 0; i < 2; i++) {
		const struct store_query q = {
		    .room = size % 2 ? "lobby" : NULL, .text = text, .notices = true};
		f[i].n = 0;
		r[i] = store_read(stores[i], &q, found, &f[i]);
	}
	REQUIRE(r[0] == 0 || r[0] == -EINVAL);
	REQUIRE(r[0] == r[1]);
	REQUIRE(f[0].n == f[1].n && memcmp(f[0].id, f[1].id, f[0].n * sizeof(f[0].id[0])) == 0);
	return 0;
}
