/* SPDX-License-Identifier: MIT */
/*
 * What a client names a place in what was said by: "msgid=EPOCH-NUMBER", which is a message's own tag, or
 * "timestamp=2026-11-27T23:59:59.123Z" (https://ircv3.net/specs/extensions/chathistory, and server-time).
 */
#ifndef DAEMON_IRC_MSGREF_H
#define DAEMON_IRC_MSGREF_H

#include "daemon/irc/line.h"
#include "daemon/rooms/room.h"

#include <stdint.h>

enum irc_ref_kind {
	IRC_REF_NONE, /* "*": there is none */
	IRC_REF_ID,
	IRC_REF_TIME,
};

struct irc_ref {
	enum irc_ref_kind kind;
	uint64_t epoch, number; /* of IRC_REF_ID */
	uint64_t time_us;	/* of IRC_REF_TIME: CLOCK_REALTIME */
};

/* 0; -EINVAL: it can't be read; -ENOTSUP: it is of another kind. */
int irc_ref_parse(struct irc_arg a, struct irc_ref *ret);

#define IRC_MSGID_MAX 48
/* "EPOCH-NUMBER"; and that of what is put next into a room whose log is locked. */
const char *irc_msgid(uint64_t epoch, uint64_t number, char ret[static IRC_MSGID_MAX]);
int irc_msgid_parse(const char *s, size_t len, uint64_t *ret_epoch, uint64_t *ret_number); /* 0 or -EINVAL */
const char *irc_msgid_next(const struct room *room, char ret[static IRC_MSGID_MAX]);

/* A time as in the tag `time`, from 1970 to 9999; digits of a second beyond the sixth don't count. 0 or -EINVAL. */
int irc_time_parse(const char *s, size_t len, uint64_t *ret_us);
#define IRC_TIME_MAX 32
/* "2026-11-27T23:59:59.123Z" */
const char *irc_time_format(uint64_t us, char ret[static IRC_TIME_MAX]);

#endif
