/* SPDX-License-Identifier: MIT */
/* Writes state files of layout 4: see old_state.h. */
#include "tests/old_state.h"

#include "daemon/rooms/room.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define LOG_SIZE 65536
#define EXTENT (65536 + 65536 + LOG_SIZE) /* a header page, 1,024 records, the log */

static void put(int fd, const void *data, size_t n, uint64_t at)
{
	if (pwrite(fd, data, n, (off_t)at) != (ssize_t)n)
		abort();
}

static int line(unsigned seq, char dst[static 32])
{
	return snprintf(dst, 32, "guest1: %u\n", seq);
}

uint64_t old_state_start(unsigned seq)
{
	char text[32];
	uint64_t at = 0;

	for (unsigned i = 0; i < seq; i++)
		at += (unsigned)line(i, text);
	return at;
}

static void make_room(struct old_state_files *s, unsigned i, const char *name, unsigned messages)
{
	struct old_slot *slot = &s->rooms->slots[i];
	struct logring_header h = {.magic = LOGRING_MAGIC, .log_size = LOG_SIZE, .records = LOG_SIZE / 64};
	uint64_t end = 0;
	char text[32];

	snprintf(slot->name, sizeof(slot->name), "%s", name);
	slot->off = ((sizeof(struct old_directory) + 65535) & ~65535UL) + (uint64_t)i * EXTENT;
	slot->log_size = LOG_SIZE;
	slot->used = 1;
	for (unsigned k = 0; k < messages; k++) {
		int n = line(k, text);
		struct old_record r = {.end = end + (unsigned)n, .time_us = k, .sender = 1, .text = 8};
		if (k % 10 == 7)
			r.kind = RECORD_ACTION;
		put(s->rooms_fd, text, (size_t)n, slot->off + 2 * 65536 + end);
		put(s->rooms_fd, &r, sizeof(r), slot->off + 65536 + k * sizeof(r));
		end = r.end;
	}
	atomic_store(&h.count, messages);
	put(s->rooms_fd, &h, sizeof(h), slot->off);
}

void old_state_seal(struct old_client *c)
{
	for (unsigned i = 0; i < 2; i++)
		c->st[i].seal = old_seal(c, &c->st[i]);
}

static void make_client(struct old_state_files *s, unsigned i, uint16_t kind, const char *nick, uint32_t room)
{
	struct old_client *c = &s->clients->entries[i];

	c->cookie = kind == CLIENT_DATAGRAM ? i + 1 : 1000 + i;
	c->id = i + 1;
	c->connected_us = 5;
	c->kind = kind;
	c->sent_seq = kind == CLIENT_DATAGRAM ? OLD_MESSAGES - 1 : c->cookie;
	c->active_us = 7;
	for (unsigned k = 0; k < 2; k++) {
		struct old_state *st = &c->st[k];
		*st = (struct old_state){.stream = {100 + k, 200 + k},
					 .cursor = old_state_start(OLD_MESSAGES - 2 + k),
					 .cursor_seq = OLD_MESSAGES - 2 + k,
					 .private_seq = 0,
					 .room = room,
					 .flags = CLIENT_GREETED,
					 .nick_len = (uint8_t)strlen(nick),
					 .rights = CLIENT_OPEN};
		memcpy(st->nick, nick, strlen(nick));
	}
	old_state_seal(c);
}

void old_state_new(struct old_state_files *ret)
{
	struct old_state_files s = {.rooms_fd = memfd_new("rooms", 1ULL << 43),
				    .clients_fd = memfd_new("clients", sizeof(struct old_file))};
	const size_t mapped = offsetof(struct old_file, areas);

	if (s.rooms_fd < 0 || s.clients_fd < 0 ||
	    memfd_map(s.rooms_fd, 0, sizeof(*s.rooms), (void **)&s.rooms) < 0 ||
	    memfd_map(s.clients_fd, 0, mapped, (void **)&s.clients) < 0)
		abort();
	s.rooms->magic = ROOMS_MAGIC;
	s.rooms->layout = OLD_ROOMS_LAYOUT;
	s.rooms->capacity = 16384;
	s.rooms->file_size = 1ULL << 43;
	make_room(&s, 0, "", 0);
	make_room(&s, 1, "lobby", OLD_MESSAGES);
	make_room(&s, 2, "gone", 3);
	make_room(&s, 3, "den", 1);
	s.rooms->slots[2].used = 0;
	s.rooms->slots[3].members_only = 1;

	struct old_header *h = &s.clients->header;
	h->magic = CLIENTS_MAGIC;
	h->layout = OLD_CLIENTS_LAYOUT;
	h->capacity = OLD_CAPACITY;
	h->next_id = 10;
	h->high = OLD_CLIENTS;
	h->n_origins = 1;
	h->origins[0] =
	    (struct client_origin){.listener = "chat", .type = "tcp", .mode = "chat", .room = "lobby"};
	h->history.takeovers = 3;
	h->peers[0] = 4;
	s.clients->scratches[0].beat_us = 99;
	s.clients->scratches[0].counters[2] = 77;
	make_client(&s, 0, CLIENT_CONNECTION, "alice", 1);
	make_client(&s, 2, CLIENT_DATAGRAM, "dev", 1);
	make_client(&s, 3, CLIENT_CONNECTION, "carol", ROOM_NONE);
	put(s.clients_fd, "inbox", 5, mapped + 100);
	put(s.clients_fd, "outbox", 6, mapped + 3 * 327680UL + CLIENT_IN_SIZE + 4000);
	*ret = s;
}

void old_state_free(struct old_state_files *s)
{
	munmap(s->rooms, sizeof(*s->rooms));
	munmap(s->clients, offsetof(struct old_file, areas));
	close(s->rooms_fd);
	close(s->clients_fd);
}
