/* SPDX-License-Identifier: MIT */
/* State files as a build of layout 4 leaves them, small ones, for the tests of converting them. */
#ifndef TESTS_OLD_STATE_H
#define TESTS_OLD_STATE_H

#include "daemon/state/layout4.h"

/* In the rooms: 0 the private log; 1 "lobby" with messages "guest1: 0" and so on; 2 a free slot; 3 "den". */
#define OLD_MESSAGES 500
/* In the table: 0 a connection and 2 a datagram client, both in the lobby; 1 is free, 3 is in no room. */
#define OLD_CLIENTS 4

struct old_state_files {
	int rooms_fd, clients_fd;
	/* Both are mapped, the latter without the areas. */
	struct old_directory *rooms;
	struct old_file *clients;
};

void old_state_new(struct old_state_files *ret);
void old_state_free(struct old_state_files *s);
/* After a change: what belongs to an entry's states. */
void old_state_seal(struct old_client *c);
/* Where the message of that number begins. */
uint64_t old_state_start(unsigned seq);

#endif
