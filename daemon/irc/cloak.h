/* SPDX-License-Identifier: MIT */
/*
 * What others see instead of an address: "HOST.NET.WIDE.ip", each a keyed hash: of the address, of its network (an IPv4 /24
 * or IPv6 /64) and of a wider one (/16, /48). The same address is always the same cloak, so that masks can ban it
 * ("*!*@HOST.*") and its networks ("*!*@*.NET.WIDE.ip").
 */
#ifndef DAEMON_IRC_CLOAK_H
#define DAEMON_IRC_CLOAK_H

#include "common/address.h"
#include "daemon/config/config.h"

#define IRC_CLOAK_MAX 64 /* bytes of a host as others see it, also of one that is no cloak */

/*
 * Sees to it that a configuration with a listener of mode "irc" has a key, before anybody else sees it: that of
 * cloak_key_file, that of the configuration before (or NULL), or the one in the state directory, which is made if need be. If
 * it can't be kept there, that is logged, and the next process will have another. Main thread.
 */
void irc_cloak_complete(struct config *c, const struct config *before);

/* What others see of who came to that listener (NULL: it is there no more) from there. */
void irc_cloak_host(const struct config *c, const struct listener_config *l, const union address *a,
		    char ret[static IRC_CLOAK_MAX + 1]);

#endif
