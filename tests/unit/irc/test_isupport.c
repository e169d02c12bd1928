/* SPDX-License-Identifier: MIT */
/* What clients are told of the server, and the texts of replies. */
#include "daemon/irc/isupport.h"
#include "daemon/irc/numerics.h"
#include "tests/unit/unit.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static char all[4096];

static void collect(void *arg, const char *tokens)
{
	unsigned n = 1;

	(void)arg;
	for (const char *s = tokens; *s; s++)
		n += *s == ' ';
	assert_in_range(n, 1, IRC_ISUPPORT_TOKENS);
	assert_in_range(strlen(tokens), 1, IRC_ISUPPORT_LINE_MAX);
	strcat(strcat(all, " "), tokens);
}

static bool told(const char *token)
{
	char s[200];

	snprintf(s, sizeof(s), " %s ", token);
	return strstr(all, s) != NULL;
}

static size_t collect_all(const struct irc_limits *limits)
{
	all[0] = '\0';
	size_t n = irc_isupport(limits, collect, NULL);
	strcat(all, " ");
	return n;
}

static void tokens(void **state)
{
	struct irc_limits limits = irc_limits_of("Example Net=1");

	(void)state;
	limits.monitor = limits.history = 100;
	assert_int_equal(collect_all(&limits), irc_isupport(&limits, NULL, NULL));
	assert_true(told("NETWORK=Example\\x20Net\\x3D1"));
	assert_true(told("NICKLEN=32") && told("CHANNELLEN=65") && told("TOPICLEN=390") &&
		    told("KICKLEN=255"));
	assert_true(told("AWAYLEN=200") && told("CHANTYPES=#") && told("PREFIX=(ov)@+"));
	assert_true(told("CASEMAPPING=ascii") && told("CHANLIMIT=#:100") && told("UTF8ONLY") && told("WHOX"));
	assert_true(told("TARGMAX=JOIN:,KICK:,LIST:,NAMES:,NOTICE:4,PART:,PRIVMSG:4,TAGMSG:4,WHOIS:1"));
	assert_true(told("MONITOR=100") && told("CHATHISTORY=100") && told("MSGREFTYPES=msgid,timestamp"));
}

static void what_there_is_not(void **state)
{
	struct irc_limits limits = irc_limits_of("n");

	(void)state;
	limits.monitor = limits.history = 0;
	limits.nick = 9;
	collect_all(&limits);
	assert_null(strstr(all, "MONITOR"));
	assert_null(strstr(all, "CHATHISTORY"));
	assert_null(strstr(all, "MSGREFTYPES"));
	assert_true(told("NICKLEN=9"));
}

static void texts(void **state)
{
	(void)state;
	assert_int_equal(RPL_WELCOME, 1);
	assert_int_equal(RPL_ENDOFNAMES, 366);
	assert_string_equal(irc_numeric_text(RPL_ENDOFNAMES), "End of /NAMES list");
	assert_null(irc_numeric_text(RPL_TOPIC));
	assert_null(irc_numeric_text((enum irc_numeric)999));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(tokens),
	    cmocka_unit_test(what_there_is_not),
	    cmocka_unit_test(texts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
