/* SPDX-License-Identifier: MIT */
/* Read byte by byte: what is not exactly so is no reference. */
#include "daemon/irc/msgref.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define MSGREF_EPOCH_DIGITS 16

static int msgref_hex(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int irc_msgid_parse(const char *s, size_t len, uint64_t *ret_epoch, uint64_t *ret_number)
{
	uint64_t epoch = 0, number = 0;

	if (len < MSGREF_EPOCH_DIGITS + 2 || len > MSGREF_EPOCH_DIGITS + 1 + 19 ||
	    s[MSGREF_EPOCH_DIGITS] != '-')
		return -EINVAL;
	for (size_t i = 0; i < MSGREF_EPOCH_DIGITS; i++) {
		if (msgref_hex(s[i]) < 0)
			return -EINVAL;
		epoch = epoch << 4 | (unsigned)msgref_hex(s[i]);
	}
	for (size_t i = MSGREF_EPOCH_DIGITS + 1; i < len; i++) {
		if (s[i] < '0' || s[i] > '9')
			return -EINVAL;
		number = number * 10 + (uint64_t)(s[i] - '0');
	}
	*ret_epoch = epoch;
	*ret_number = number;
	return 0;
}

/* So many digits; false if they aren't. */
static bool msgref_digits(const char **s, const char *end, unsigned n, char behind, int *ret)
{
	*ret = 0;
	for (; n > 0; n--, ++*s) {
		if (*s == end || **s < '0' || **s > '9')
			return false;
		*ret = *ret * 10 + (**s - '0');
	}
	return !behind || (*s < end && *(*s)++ == behind);
}

static bool msgref_fraction(const char **s, const char *end, uint64_t *ret_us)
{
	uint64_t unit = 100000;

	if (*s == end || **s != '.')
		return true;
	const char *begin = ++*s;
	for (; *s < end && **s >= '0' && **s <= '9'; ++*s) {
		*ret_us += unit * (uint64_t)(**s - '0');
		unit /= 10;
	}
	return *s > begin;
}

int irc_time_parse(const char *s, size_t len, uint64_t *ret_us)
{
	const char *end = s + len;
	struct tm tm = {0};
	uint64_t us = 0;

	if (!msgref_digits(&s, end, 4, '-', &tm.tm_year) || !msgref_digits(&s, end, 2, '-', &tm.tm_mon) ||
	    !msgref_digits(&s, end, 2, 'T', &tm.tm_mday) || !msgref_digits(&s, end, 2, ':', &tm.tm_hour) ||
	    !msgref_digits(&s, end, 2, ':', &tm.tm_min) || !msgref_digits(&s, end, 2, 0, &tm.tm_sec) ||
	    !msgref_fraction(&s, end, &us) || s + 1 != end || *s != 'Z')
		return -EINVAL;
	if (tm.tm_year < 1970 || tm.tm_mon < 1 || tm.tm_mon > 12 || tm.tm_mday < 1 || tm.tm_mday > 31 ||
	    tm.tm_hour > 23 || tm.tm_min > 59 || tm.tm_sec > 60)
		return -EINVAL;
	tm.tm_year -= 1900;
	tm.tm_mon--;
	*ret_us = (uint64_t)timegm(&tm) * 1000000 + us;
	return 0;
}

const char *irc_time_format(uint64_t us, char ret[static IRC_TIME_MAX])
{
	time_t seconds = (time_t)(us / 1000000);
	struct tm tm;
	size_t n = gmtime_r(&seconds, &tm) ? strftime(ret, IRC_TIME_MAX, "%Y-%m-%dT%H:%M:%S", &tm) : 0;

	if (n == 0)
		return strcpy(ret, "1970-01-01T00:00:00.000Z");
	snprintf(ret + n, IRC_TIME_MAX - n, ".%03uZ", (unsigned)(us / 1000 % 1000));
	return ret;
}

int irc_ref_parse(struct irc_arg a, struct irc_ref *ret)
{
	static const char id[] = "msgid=", stamp[] = "timestamp=";

	*ret = (struct irc_ref){.kind = IRC_REF_NONE};
	if (a.len == 1 && *a.at == '*')
		return 0;
	if (a.len >= sizeof(id) - 1 && memcmp(a.at, id, sizeof(id) - 1) == 0) {
		ret->kind = IRC_REF_ID;
		return irc_msgid_parse(a.at + sizeof(id) - 1, a.len - (sizeof(id) - 1), &ret->epoch,
				       &ret->number);
	}
	if (a.len < sizeof(stamp) - 1 || memcmp(a.at, stamp, sizeof(stamp) - 1) != 0)
		return a.len > 0 && memchr(a.at, '=', a.len) ? -ENOTSUP : -EINVAL;
	ret->kind = IRC_REF_TIME;
	return irc_time_parse(a.at + sizeof(stamp) - 1, a.len - (sizeof(stamp) - 1), &ret->time_us);
}

const char *irc_msgid(uint64_t epoch, uint64_t number, char ret[static IRC_MSGID_MAX])
{
	snprintf(ret, IRC_MSGID_MAX, "%016" PRIx64 "-%" PRIu64, epoch, number);
	return ret;
}

const char *irc_msgid_next(const struct room *room, char ret[static IRC_MSGID_MAX])
{
	return irc_msgid(room->epoch, room->number_base + logring_pending(room->log), ret);
}
