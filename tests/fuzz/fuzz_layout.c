/* SPDX-License-Identifier: MIT */
/*
 * Converting the state of layout 4, damaged in the places that the input names: whatever is there, a file is
 * converted or refused, and what was converted holds only what can be taken over or refused in turn.
 */
#include "tests/fuzz/fuzz.h"

#include "daemon/base/logger.h"
#include "daemon/rooms/room.h"
#include "daemon/server/takeover.h"
#include "daemon/state/layouts.h"
#include "tests/old_state.h"

#include <string.h>
#include <unistd.h>

/* Eight bytes a time: which part, where, and the new value. */
static void meddle(struct old_state_files *s, const uint8_t *data, size_t size)
{
	for (; size >= 8; data += 8, size -= 8) {
		uint64_t value = 0;
		unsigned at = data[1] | (data[2] << 8), width = 1 + (data[0] >> 5);
		char *to;

		memcpy(&value, data + 3, 5);
		if (data[7] & 1)
			value = (uint64_t) - (int64_t)(value & 0xff);
		switch (data[0] % 6) {
		case 0: /* the header, with the first origins */
			to = (char *)&s->clients->header + at % 4096;
			break;
		case 1:
			to = (char *)s->clients->entries + at % (OLD_CLIENTS * sizeof(struct old_client));
			break;
		case 2: /* the scratches, before their data; where an intent is right for once */
			to = (char *)&s->clients->scratches[at / 64 % 64] + at % 64;
			if (data[7] & 2)
				s->clients->scratches[0].intent = old_intent(&s->clients->scratches[0]);
			break;
		case 3: /* the directory of rooms */
			to = (char *)s->rooms + at % 1024;
			break;
		default: /* the lobby's header and records */
			if (pwrite(s->rooms_fd, &value, width,
				   (off_t)(s->rooms->slots[1].off % (1ULL << 40)) +
				       (at < 32768 ? at % 64 : 65536 + at % 4096)) < 0)
				abort();
			continue;
		}
		memcpy(to, &value, width);
	}
	/* Damage that its seal doesn't show. */
	if (size >= 1 && data[0] & 1)
		for (unsigned i = 0; i < OLD_CLIENTS; i++)
			old_state_seal(&s->clients->entries[i]);
}

static void look(struct clients *cs, struct rooms *rooms)
{
	struct client *c;

	takeover_intents(cs, rooms);
	memberships_rebuild(cs);
	for (uint32_t i = 0; i < 4096 && (c = clients_at(cs, i)); i++) {
		const struct connection_progress p = {.sent = client_live(c)->out_end,
						      .received = client_live(c)->in_parsed};
		if (!atomic_load(&c->cookie))
			continue;
		if (!takeover_check(cs, rooms, c, &p, NULL) && membership_direct(cs, client_live(c)))
			REQUIRE(rooms_at(rooms, membership_room(cs, client_live(c))));
		takeover_input(cs, c, &p);
	}
	clients_rebuild(cs);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct old_state_files s;
	struct slots *slots;
	struct rooms *rooms = NULL;
	struct clients *cs = NULL;

	log_open(LOG_CRIT);
	old_state_new(&s);
	if (slots_new(1, &slots) < 0)
		abort();
	meddle(&s, data, size);
	int rooms_fd = layout4_convert_rooms(s.rooms_fd);
	int clients_fd = layout4_convert_clients(s.clients_fd, s.rooms_fd);
	int r = rooms_fd < 0 ? rooms_fd : rooms_open(rooms_fd, false, slots, &rooms);
	int k = clients_fd < 0 ? clients_fd : clients_open(clients_fd, false, &cs);
	if (size == 0)
		REQUIRE(r == 0 && k == 0);
	if (r == 0 && k == 0)
		look(cs, rooms);
	clients_close(cs);
	rooms_close(rooms);
	slots_free(slots);
	if (rooms_fd >= 0)
		close(rooms_fd);
	if (clients_fd >= 0)
		close(clients_fd);
	old_state_free(&s);
	return 0;
}
