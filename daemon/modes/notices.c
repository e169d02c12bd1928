/* SPDX-License-Identifier: MIT */
/* The words for each kind of notice. */
#include "daemon/modes/notices.h"

#include <inttypes.h>
#include <stdio.h>

static const char *const notices_words[] = {
    [NOTICE_SILENT] = "You have been silent for too long.",
    [NOTICE_MUTE] = "You have said nothing yet; goodbye.",
    [NOTICE_NOT_LOGGED_IN] = "You have not logged in in time.",
    [NOTICE_LATE] = "What was waited for has not come in time; goodbye.",
    [NOTICE_ACCOUNT_GONE] = "Your account has been removed; goodbye.",
    [NOTICE_BANNED] = "You have been banned.",
    [NOTICE_GOING_DOWN] = "chatd is going down",
    [NOTICE_RESTARTING] = "chatd restarts; please connect again.",
    [NOTICE_LOST] = "chatd can't go on with this connection; please connect again.",
};

size_t notices_line(const struct connection *c, const struct notice *n, char *text, size_t size)
{
	int len;

	(void)c;
	switch (n->kind) {
	case NOTICE_SKIPPED:
		len = snprintf(text, size, "* %" PRIu64 " message%s skipped\n", n->number,
			       n->number == 1 ? "" : "s");
		break;
	case NOTICE_SLOWED:
		len = snprintf(text, size,
			       "* Not so fast: that is too many %s a second. Nothing is lost, but it takes a "
			       "while.\n",
			       n->text);
		break;
	case NOTICE_REFUSED:
		len = snprintf(text, size, "* Sorry: %s.\n", n->text);
		break;
	case NOTICE_REMOVED:
		len = snprintf(text, size, "* You have been removed%s%s\n", n->text ? ": " : ".",
			       n->text ? n->text : "");
		break;
	default:
		len = snprintf(text, size, "* %s\n", notices_words[n->kind]);
	}
	return len < 0 ? 0 : (size_t)len < size ? (size_t)len : size - 1;
}
