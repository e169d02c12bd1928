/* SPDX-License-Identifier: MIT */
/*
 * The names of people and devices: which ones there may be, and which ones are taken for each other.
 *
 * A nick follows PRECIS' UsernameCaseMapped (RFC 8265), but keeps the case in which it was typed. Two nicks
 * are the same if they differ in case only or look alike (the skeletons of UTS 39), so that nobody passes for
 * somebody else.
 */
#ifndef COMMON_NICK_H
#define COMMON_NICK_H

#include "common/text.h"

/*
 * The nick as it is kept and shown, of what was typed: full-width and half-width forms are the common ones,
 * and it is composed (NFC). Returns its length, or -EINVAL if that can't be one.
 */
int nick_normalise(const char *s, size_t len, char ret[TEXT_NICK_MAX + 1]);
bool nick_valid(const char *s, size_t len);

/* Whether it can be shown safely. Older builds allowed more nicks, and all of theirs are at least this. */
bool nick_well_formed(const char *s, size_t len);

/*
 * What a nick is found by: two nicks are the same if any key of the one is any key of the other. The keys
 * mean nothing outside of this process. A nick that is looked for need not be normalised.
 */
#define NICK_KEYS 2

struct nick_keys {
	uint64_t at[NICK_KEYS]; /* those of a nick in ASCII are equal */
};

struct nick_keys nick_keys(const char *s, size_t len);
bool nick_keys_meet(const struct nick_keys *a, const struct nick_keys *b);
bool nick_same(const char *a, size_t a_len, const char *b, size_t b_len);

/* Whether it is the very same name, in whatever case and form: looking alike is not enough. */
bool nick_equal(const char *a, size_t a_len, const char *b, size_t b_len);

/* Whether it is, or looks like, "guest" and a number, which is what people are called who have not said a
 * name. */
bool nick_is_guest(const char *s, size_t len);
/* The same, or that and '-' and whatever: with a cluster, guests have the name of their node in theirs. */
bool nick_is_guest_of_node(const char *s, size_t len);
/* What the client of that id is called then; returns its length. node: NULL without a cluster. */
size_t nick_of_guest(uint64_t id, const char *node, char ret[static TEXT_NICK_MAX + 1]);
/* Whether it is, or looks like, one of chatd's own: "admin", "chatd" or a guest's. Nobody can be called that.
 */
bool nick_is_chatds(const char *s, size_t len);

#endif
