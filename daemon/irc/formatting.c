/* SPDX-License-Identifier: MIT */
/* What IRC people make their words look like: https://modern.ircdocs.horse/formatting */
#include "daemon/irc/formatting.h"

#include <string.h>

size_t irc_strip_formatting(const char *s, size_t len, char *out)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		switch (s[i]) {
		case 0x02:
		case 0x0f:
		case 0x11:
		case 0x16:
		case 0x1d:
		case 0x1e:
		case 0x1f:
			continue;
		case 0x03:
			for (unsigned part = 0; part < 2; part++) {
				unsigned digits = 0;
				while (digits < 2 && i + 1 < len && s[i + 1] >= '0' && s[i + 1] <= '9') {
					i++;
					digits++;
				}
				if (part == 0 && digits > 0 && i + 2 < len && s[i + 1] == ',' &&
				    s[i + 2] >= '0' && s[i + 2] <= '9')
					i++;
				else
					break;
			}
			continue;
		case 0x04:
			for (unsigned digits = 0;
			     digits < 6 && i + 1 < len && strchr("0123456789abcdefABCDEF", s[i + 1]);
			     digits++)
				i++;
			continue;
		default:
			out[n++] = s[i];
		}
	}
	return n;
}
