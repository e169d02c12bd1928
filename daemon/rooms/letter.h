/* SPDX-License-Identifier: MIT */
/*
 * Letters: private messages to people on other nodes. One waits in a hidden log beside that of the private messages,
 * where it is put in the transaction that consumes what its sender typed, until its receiver's node has it: so it is
 * an outgoing log (outgoing.h) whose lines say where each goes. What can't be delivered there in the end comes back as a
 * letter of another kind.
 *
 *	SENDER NODE BOOT ID INDEX NICK TEXT		(numbers are hexadecimal)
 *
 * SENDER stands where a line has its nick, so that what goes out is an event as others (speech_event_of()). The log
 * is its node's for as long as the node has its memory: its epoch is the node's BOOT, which tells whether the clients'
 * ids there mean what they meant.
 */
#ifndef DAEMON_LETTER_H
#define DAEMON_LETTER_H

#include "daemon/rooms/elsewhere.h"
#include "daemon/rooms/speech.h"

#define LETTER_NODE_MAX 32 /* bytes of a node's name, [A-Za-z0-9_-] */
#define LETTER_NODES 128

/* NODE BOOT ID INDEX NICK, with a space behind each and before the first. */
#define LETTER_HEAD_MAX (LETTER_NODE_MAX + 16 + 16 + 8 + TEXT_NICK_MAX + 6)
/* So that nodes can say all of it to each other as they do what is said in rooms. */
#define LETTER_TEXT_MAX (SPEECH_TEXT_MAX - LETTER_HEAD_MAX)

/* What its sender is told when nobody can know; of its receiver's nick, and a reason. */
#define LETTER_DOUBT "It isn't known whether your message to %.*s arrived: "

/* Where it goes. */
struct letter_address {
	char node[LETTER_NODE_MAX + 1];
	uint64_t boot; /* 0: it isn't known, and any will do */
	uint64_t id;   /* the client's there */
	uint32_t index;
	uint8_t nick_len;
	char nick[TEXT_NICK_MAX];
};

struct letter {
	bool is_return; /* none of a person's: what id sent to from could not be delivered */
	struct letter_address to;
	uint32_t from_index; /* of the sender, whose id is the event's; for a message */
	const char *from, *text;
	size_t from_len, text_len; /* of a return there is no text */
};

/* Where they are put; NULL: there is no cluster. Its lock is taken by whoever puts one. */
struct room *rooms_letters(struct rooms *rs);

/* Of whoever has that nick on another node; of a valid nick. False: nobody has, or there is no cluster. Any thread. */
bool letter_find(struct rooms *rs, struct elsewhere *el, const char *nick, size_t len,
		 struct letter_address *ret);

/* One alone between two commits; its text is sanitised already, and has at most LETTER_TEXT_MAX bytes. */
void letter_put(struct speech *s, struct room *letters, const struct speaker *who,
		const struct letter_address *to, const char *text, size_t len);
/* Tells the sender of a message from another node that it could not be delivered to who. */
void letter_put_return(struct speech *s, struct room *letters, const struct speaker *who,
		       const struct letter_address *to);
/* False: it isn't one. What is in *ret points into the event's. */
bool letter_read(const struct speech_event *e, struct letter *ret);
/* Whether it is one to that node: the same, but without looking at the rest. */
bool letter_is_to(const struct speech_event *e, const char *node, size_t node_len);

/*
 * Of which nodes it is known where their letters are: the epochs of their logs, of LETTER_NODES at most. Any thread.
 * is_unsure: whether there may be people elsewhere whom nobody has heard of yet, as this process has just begun.
 */
struct letter_nodes;
struct letter_nodes *rooms_letter_nodes(struct rooms *rs); /* NULL: there is no cluster */
void letter_nodes_set(struct letter_nodes *ln, const char *node, uint64_t boot);
/* 0: it isn't known. */
uint64_t letter_nodes_boot(struct letter_nodes *ln, const char *node);
/* The node of that tag, as *ret's node and boot. */
bool letter_nodes_find(struct letter_nodes *ln, uint64_t tag, struct letter_address *ret);
void letter_nodes_set_unsure(struct letter_nodes *ln, bool is_unsure);
bool letter_nodes_is_unsure(const struct letter_nodes *ln);

/* A node in one number, for the record of a message that came from there; never 0. */
uint64_t letter_tag(const char *node, size_t node_len, uint64_t boot);

#endif
