/* SPDX-License-Identifier: MIT */
/* A history's database, damaged in the places that the input names: whatever is done with it is done, or is an error. */
#include "tests/fuzz/fuzz.h"

#include "tests/unit/history/exercise.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char path[64];
static uint8_t *whole;
static size_t whole_size;

static void put(struct store *s, const char *room, uint64_t number)
{
	struct store_room r = {.name = room, .epoch = 77};
	struct store_message m = {.number = number,
				  .event = {.time_us = number,
					    .nick = number % 2 ? "alice" : "bob",
					    .nick_len = number % 2 ? 5 : 3,
					    .text = "a word of text",
					    .text_len = 14}};

	REQUIRE(store_put(s, &r, &m) == 0);
}

static void remove_files(void)
{
	static const char *const suffixes[] = {"", "-wal", "-shm", "-journal", "-lock"};
	char name[80];

	for (size_t i = 0; i < 5; i++) {
		snprintf(name, sizeof(name), "%s%s", path, suffixes[i]);
		unlink(name);
	}
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static char dir[] = "/dev/shm/store-XXXXXX";
	char why[STORE_WHY_MAX];
	struct store *s;
	struct stat st;
	uint64_t waiting;
	int fd;

	(void)argc;
	(void)argv;
	REQUIRE(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/history.db", dir);
	REQUIRE(store_open(path, STORE_WRITE, 77, &s, why) == 0);
	store_set_search(s, true);
	REQUIRE(store_begin(s) == 0);
	for (uint64_t i = 1; i < 300; i++)
		put(s, i % 3 ? "lobby" : "ops", i);
	REQUIRE(store_gap(s, &(struct store_room){.name = "lobby", .epoch = 77}, 400, 500, 7, "slow") == 0);
	REQUIRE(store_index(s, 1000, &waiting) == 0);
	REQUIRE(store_commit(s) == 0);
	store_close(s);
	fd = open(path, O_RDONLY);
	REQUIRE(fd >= 0 && fstat(fd, &st) == 0);
	whole_size = (size_t)st.st_size;
	whole = malloc(whole_size);
	REQUIRE(read(fd, whole, whole_size) == st.st_size);
	close(fd);
	return 0;
}

/* Where (three bytes), how much, and what. */
static void meddle(uint8_t *to, const uint8_t *data, size_t size)
{
	while (size > 4) {
		size_t where = (data[0] | (size_t)data[1] << 8 | (size_t)data[2] << 16) % whole_size,
		       n = 1 + data[3] % 16;

		data += 4;
		size -= 4;
		for (size_t i = 0; i < n && i < size; i++)
			to[(where + i) % whole_size] = data[i];
		data += n < size ? n : size;
		size -= n < size ? n : size;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(whole_size);
	int fd;

	REQUIRE(copy);
	memcpy(copy, whole, whole_size);
	meddle(copy, data, size);
	remove_files();
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	REQUIRE(fd >= 0 && write(fd, copy, whole_size) == (ssize_t)whole_size);
	close(fd);
	free(copy);
	exercise(path);
	remove_files();
	return 0;
}
