/* SPDX-License-Identifier: MIT */
/* The table of them is in the header: numbers and texts can't come apart. */
#include "daemon/irc/numerics.h"

#include <stddef.h>

const char *irc_numeric_text(enum irc_numeric n)
{
	switch (n) {
#define IRC_NUMERIC_TEXT(name, number, text)                                                                 \
	case name:                                                                                           \
		return text;
		IRC_NUMERICS(IRC_NUMERIC_TEXT)
#undef IRC_NUMERIC_TEXT
	}
	return NULL;
}
