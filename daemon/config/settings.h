/* SPDX-License-Identifier: MIT */
/*
 * Settings of a libconfig file, read by tables: a key has a name, a function that checks the value and takes
 * it over, and where it goes. Every mistake becomes a line "FILE:LINE: what, and what is allowed"; a value
 * that has one is left as it was.
 */
#ifndef DAEMON_SETTINGS_H
#define DAEMON_SETTINGS_H

#include "common/address.h"

#include <libconfig.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct copies;
struct handler;

struct settings {
	const char *file;
	FILE *errors; /* mistakes are written there */
	unsigned n_errors;
	FILE *warnings; /* what is odd but allowed is written there at the end; NULL: it isn't looked for */
	struct settings_warning *warned;
	unsigned n_warnings;
	bool checking; /* the file is only checked: what can only be looked up in the service is left alone */
	const char *as;			    /* "", or " as user NAME" if that is who looks at files */
	struct copies *copies;		    /* of the files that are read; NULL: none are made */
	bool from_copies;		    /* they are there already, and are read instead of the files */
	const struct handler *const *modes; /* which a listener can have; NULL-terminated */
};

/* How a setting is read into at: &its group's struct + key.offset. */
struct setting_key;
typedef void setting_reader(struct settings *ss, const config_setting_t *s, const struct setting_key *key,
			    void *at);

struct setting_key {
	const char *name;
	setting_reader *read;
	size_t offset;
	int64_t min, max;		 /* of numbers, seconds and bytes */
	const struct setting_key *group; /* for setting_group() */
	const char *missing;		 /* what is said of a group without it; NULL: it may be left out */
	/* For a reader of its own whose default is to be printed: as what this one reads, or as a word. */
	setting_reader *like;
	const char *(*word)(const void *at);
};

/* Those of the file as a whole, into a struct config (load.c). */
extern const struct setting_key config_keys[];

#define DAY_S INT64_C(86400)

/* A row of a table of keys, and its last one; what follows the offset are other fields: .max = 100 */
#define SETTING(name_, read_, offset_, ...)                                                                  \
	{                                                                                                    \
		.name = name_, .read = read_, .offset = offset_, __VA_ARGS__                                 \
	}
#define SETTINGS_END                                                                                         \
	{                                                                                                    \
		.name = NULL                                                                                 \
	}

/* A mistake; at may be NULL. */
void settings_complain(struct settings *ss, const config_setting_t *at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* What is odd, if that is wanted. */
void settings_warn(struct settings *ss, const config_setting_t *at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* "FILE:LINE" of a setting, which the caller free()s; NULL without memory. */
char *settings_where(const struct settings *ss, const config_setting_t *at);
/* At the end: writes the warnings, and says how many mistakes there were beyond those that were written. */
void settings_finish(struct settings *ss);

/* Reads a group's settings into *to; keys end with SETTINGS_END, and whatever has no key is a mistake. */
void settings_read(struct settings *ss, const config_setting_t *group, const struct setting_key *keys,
		   void *to);
/*
 * The same in parts, for a group that is read by several tables: whether keys has the setting s, which is
 * then read; a complaint that s is in none, with the names that there are; and complaints of what is missing.
 */
bool settings_read_one(struct settings *ss, const config_setting_t *s, const struct setting_key *keys,
		       void *to);
void settings_complain_unknown(struct settings *ss, const config_setting_t *s, const char *allowed);
void settings_complain_missing(struct settings *ss, const config_setting_t *group,
			       const struct setting_key *keys);
/* Adds the names of keys to a list of them, but those that it has. */
#define SETTINGS_NAMES_MAX 1024
void settings_add_names(const struct setting_key *keys, char *list, size_t size);
/* The row of that name, or NULL. */
const struct setting_key *settings_find(const struct setting_key *keys, const char *name);
/* Whether s is a list of at most max groups, as `rooms` is; its length. */
bool settings_is_list_of_groups(struct settings *ss, const config_setting_t *s, size_t max, size_t *ret_n);

/* A struct of that size for a group that has one of its own; NULL after a complaint: it is no group, or there is one already
 * (current), or no memory. */
void *settings_new_group(struct settings *ss, const config_setting_t *s, const struct setting_key *key,
			 const void *current, size_t size);

/* Readers, with what at points to. */
setting_reader setting_unsigned; /* unsigned, or int whose min is not below 0 */
setting_reader setting_seconds;	 /* int64_t, in us */
setting_reader setting_size;	 /* uint64_t or int64_t: bytes, or a string such as "4M" */
setting_reader setting_bool;	 /* bool */
setting_reader setting_room;	 /* char[TEXT_ROOM_MAX + 1] */
setting_reader setting_path;	 /* char *, which was malloc()ed or NULL; "credential:NAME": see there */
setting_reader setting_prefixes; /* struct prefix_list, likewise */
setting_reader setting_group;	 /* the group's struct: key.group says the rest */

/* Whether it is a number of seconds, or a time such as "90m", "12h", "7d" or "4w". */
bool setting_is_age(const config_setting_t *s, double *ret_seconds);
/* For readers of one's own: the string, or NULL after a complaint that says what is allowed. */
const char *setting_string(struct settings *ss, const config_setting_t *s, const char *allowed);
/* Which of two words it is, 0 or 1; -1 after a complaint. */
int setting_word(struct settings *ss, const config_setting_t *s, const char *zero, const char *one);
/* Whether s is a list or an array, of what allowed says. */
bool setting_is_list(struct settings *ss, const config_setting_t *s, const char *allowed);

#endif
