/* SPDX-License-Identifier: MIT */
/*
 * The cluster's file, damaged in the places that the input names, with and without checks that fit: it is refused, or
 * opened, and then it holds what it says, also for the process after the next.
 */
#include "tests/fuzz/fuzz.h"

#include "daemon/base/logger.h"
#include "daemon/io/memfd.h"
#include "daemon/state/cluster_file_own.h"

#include <string.h>
#include <unistd.h>

#define POSITIONS 8
#define SIZE (CLUSTER_TABLE_AT + POSITIONS * sizeof(struct cluster_position))

static const char *const nodes[] = {"here", "b", "c", "d"};
static struct rooms *rooms;
static struct room *lobby;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static const struct room_guest anybody;
	struct slots *slots;
	struct record record = {0};

	(void)argc;
	(void)argv;
	log_open(LOG_EMERG);
	REQUIRE(slots_new(1, &slots) == 0);
	REQUIRE(rooms_open(memfd_new("rooms", rooms_file_size()), true, slots, &rooms) == 0);
	REQUIRE(rooms_enter(rooms, "lobby", 0, &anybody, &lobby) == 0);
	logring_lock(lobby->log);
	REQUIRE(logring_put(lobby->log, &record, "", 0, "hi\n", 3));
	logring_commit(lobby->log);
	logring_unlock(lobby->log);
	return 0;
}

static const struct cluster_position *at(struct cluster_file *f, unsigned i)
{
	return cluster_file_position(f, "lobby", nodes[i], strlen(nodes[i]), i);
}

/* As a process leaves it that dies in the midst of applying. */
static void fill(struct cluster_file *f)
{
	for (unsigned i = 0; i < 4; i++)
		cluster_file_move(f, at(f, i), 10 + i, i, (struct cluster_applied){i, i});
	cluster_file_intend(f, lobby, 1, at(f, 1), 20, 0, (struct cluster_applied){9, 9});
}

static void make_checks_fit(struct cluster_file *f)
{
	struct cluster_header *h = f->header;

	for (unsigned i = 0; i < 2; i++)
		h->half[i].check = cluster_half_check(&h->half[i]);
	for (unsigned i = 0; i < POSITIONS; i++)
		if (f->table[i].check)
			f->table[i].check = cluster_position_check(&f->table[i]);
	h->intent.position.check = cluster_position_check(&h->intent.position);
	h->intent.mark = cluster_intent_mark(&h->intent);
}

/* Eight bytes a time: where, how much, and the new value. */
static void meddle(struct cluster_file *f, const uint8_t *data, size_t size)
{
	const size_t header = sizeof(struct cluster_header),
		     table = POSITIONS * sizeof(struct cluster_position);

	for (; size >= 8; data += 8, size -= 8) {
		size_t where = (data[0] | (size_t)data[1] << 8) % (header + table), width = 1 + (data[2] & 3);
		char *to = where < header ? (char *)f->header + where : (char *)f->table + (where - header);
		if (where % 8 + width > 8)
			width = 8 - where % 8;
		memcpy(to, data + 3, width);
		if (data[2] & 4)
			make_checks_fit(f);
	}
}

static void go_on(int fd, struct cluster_file *f)
{
	struct cluster_position kept[4];
	struct cluster_applied applied;
	struct cluster_file *next;

	cluster_file_recover(f, rooms);
	applied = cluster_file_applied(f);
	for (unsigned i = 0; i < 4; i++) {
		const struct cluster_position *p = at(f, i);
		if (!p)
			return; /* all of them say that they are this node's own */
		kept[i] = *p;
	}
	REQUIRE(cluster_file_open(fd, false, "here", 77, &next) == 0);
	cluster_file_recover(next, rooms);
	REQUIRE(cluster_file_applied(next).seq == applied.seq);
	for (unsigned i = 4; i-- > 0;)
		REQUIRE(at(next, i) && (f->high > 4 || memcmp(at(next, i), &kept[i], sizeof(kept[i])) == 0));
	for (unsigned i = 0; i < 4; i++) {
		if (!at(next, i))
			break;
		cluster_file_move(next, at(next, i), i, i, applied);
		cluster_file_retire(next, at(next, i));
		REQUIRE(at(next, i)->expected == i && !at(next, i)->fresh && !at(next, i)->own);
	}
	cluster_file_close(next);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int fd = memfd_new("cluster", SIZE);
	struct cluster_file *before, *f;

	REQUIRE(cluster_file_open(fd, true, "here", 77, &before) == 0);
	fill(before);
	meddle(before, data, size);
	if (cluster_file_open(fd, false, "here", 77, &f) == 0) {
		if (size < 8) {
			cluster_file_recover(f, rooms);
			REQUIRE(at(f, 0)->expected == 10 && at(f, 1)->expected == 20 &&
				at(f, 3)->expected == 13);
			REQUIRE(cluster_file_applied(f).seq == 9);
		}
		go_on(fd, f);
		cluster_file_close(f);
	} else {
		REQUIRE(size >= 8);
	}
	cluster_file_close(before);
	close(fd);
	return 0;
}
