/* SPDX-License-Identifier: MIT */
/* Metadata (IRCv3's draft/metadata-3) for other commands: what else people and channels say of themselves. */
#ifndef DAEMON_IRC_METADATA_H
#define DAEMON_IRC_METADATA_H

#include "daemon/irc/irc.h"
#include "daemon/irc/people.h"

/* METADATA. */
enum verdict irc_metadata(struct irc_call *call);

/* The capability's value. */
#define IRC_METADATA_VALUE "before-connect,max-keys=20,max-subs=20,max-value-bytes=256"

/* It has come to a room, whose log is locked: it is told what it wants to know of it and of who is there, and they of it. */
void irc_metadata_join(struct irc_call *call, struct room *room);
/* The welcome: what it has said of itself before. */
void irc_metadata_welcome(struct irc_call *call);
/* 760 for WHOIS. */
void irc_metadata_whois(struct irc_call *call, const struct irc_person *p);

#endif
