/* SPDX-License-Identifier: MIT */
/* One function for each form; the first that takes all of the text has it. */
#include "cli/when.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The year 9999; what lies behind is a slip of the finger. */
#define WHEN_MAX 253402300800.0

/* A whole text of digits, colons and the like; %n says whether all of it was taken. */
static bool when_is_all(const char *text, int n)
{
	return n > 0 && text[n] == '\0';
}

/* A number without a sign, an exponent or what else strtod() takes. Returns its end, or NULL. */
static const char *when_number(const char *text, double *ret)
{
	size_t n = strspn(text, "0123456789.");
	char *end;

	*ret = strtod(text, &end);
	return n > 0 && end == text + n ? end : NULL;
}

/* Midnight of that day, which need not be as many days of 24 hours away. */
static bool when_day(time_t now, int days, double *ret)
{
	struct tm tm;

	if (!localtime_r(&now, &tm))
		return false;
	tm.tm_mday += days;
	tm.tm_hour = tm.tm_min = tm.tm_sec = 0;
	tm.tm_isdst = -1;
	*ret = (double)mktime(&tm);
	return true;
}

double when_unit(char unit)
{
	switch (unit) {
	case 's':
		return 1;
	case 'm':
		return 60;
	case 'h':
		return 3600;
	case 'd':
		return 86400;
	case 'w':
		return 7 * 86400;
	default:
		return 0;
	}
}

static bool when_ago(const char *text, time_t now, double *ret)
{
	double v;

	text += text[0] == '-';
	const char *end = when_number(text, &v);
	if (!end)
		return false;
	double unit = when_unit(*end);
	if (unit == 0 || (end[1] != '\0' && strcmp(end + 1, " ago") != 0))
		return false;
	*ret = (double)now - v * unit;
	return *ret > 0;
}

static bool when_clock(const char *text, time_t now, double *ret)
{
	struct tm tm;
	unsigned hour, minute, second = 0;
	int short_end = 0, end = 0;

	(void)!sscanf(text, "%2u:%2u%n:%2u%n", &hour, &minute, &short_end, &second, &end);
	if ((!when_is_all(text, short_end) && !when_is_all(text, end)) || hour > 23 || minute > 59 ||
	    second > 59 || !localtime_r(&now, &tm))
		return false;
	tm.tm_hour = (int)hour;
	tm.tm_min = (int)minute;
	tm.tm_sec = (int)second;
	tm.tm_isdst = -1;
	*ret = (double)mktime(&tm);
	return true;
}

/* "Z" or "+01:00", in seconds east of UTC. */
static bool when_zone(const char *text, int *ret)
{
	unsigned hours, minutes;
	int end = 0;

	if (strcmp(text, "Z") == 0 || strcmp(text, "z") == 0) {
		*ret = 0;
		return true;
	}
	if (text[0] != '+' && text[0] != '-')
		return false;
	(void)!sscanf(text + 1, "%2u:%2u%n", &hours, &minutes, &end);
	if (!when_is_all(text + 1, end) || hours > 23 || minutes > 59)
		return false;
	*ret = (int)(hours * 3600 + minutes * 60) * (text[0] == '-' ? -1 : 1);
	return true;
}

/* Whether there is such a day: mktime() would take the 31st of November for the first of December. */
static bool when_is_day(const struct tm *tm)
{
	struct tm copy = {
	    .tm_year = tm->tm_year, .tm_mon = tm->tm_mon, .tm_mday = tm->tm_mday, .tm_hour = 12};

	return timegm(&copy) != -1 && copy.tm_mday == tm->tm_mday && copy.tm_mon == tm->tm_mon;
}

static bool when_date(const char *text, time_t now, double *ret)
{
	struct tm tm = {.tm_isdst = -1};
	const char *rest = strptime(text, "%Y-%m-%d", &tm);
	double fraction = 0;
	char *end;
	int east;

	(void)now;
	if (!rest || !when_is_day(&tm))
		return false;
	if (*rest == '\0') {
		*ret = (double)mktime(&tm);
		return true;
	}
	if (*rest != ' ' && *rest != 'T' && *rest != 't')
		return false;
	const char *clock = rest + 1;
	rest = strptime(clock, "%H:%M:%S", &tm);
	if (!rest)
		rest = strptime(clock, "%H:%M", &tm);
	if (!rest || clock[0] == ' ')
		return false;
	if (*rest == '.' && rest[1] >= '0' && rest[1] <= '9') {
		fraction = strtod(rest, &end);
		rest = end;
	}
	if (*rest == '\0')
		*ret = (double)mktime(&tm) + fraction;
	else if (when_zone(rest, &east))
		*ret = (double)timegm(&tm) - east + fraction;
	else
		return false;
	return true;
}

static bool when_epoch(const char *text, time_t now, double *ret)
{
	(void)now;
	const char *end = text[0] == '@' ? when_number(text + 1, ret) : NULL;
	return end && *end == '\0';
}

static bool when_word(const char *text, time_t now, double *ret)
{
	if (strcmp(text, "now") == 0) {
		*ret = (double)now;
		return true;
	}
	if (strcmp(text, "today") == 0)
		return when_day(now, 0, ret);
	return strcmp(text, "yesterday") == 0 && when_day(now, -1, ret);
}

bool when_parse(const char *text, time_t now, double *ret)
{
	static bool (*const forms[])(const char *text, time_t now,
				     double *ret) = {when_word, when_ago, when_clock, when_date, when_epoch};

	for (size_t i = 0; i < sizeof(forms) / sizeof(*forms); i++)
		if (forms[i](text, now, ret))
			return isfinite(*ret) && *ret >= 0 && *ret < WHEN_MAX;
	return false;
}
