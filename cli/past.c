/* SPDX-License-Identifier: MIT */
/* The method History, page by page. */
#include "cli/past.h"

#include "cli/client.h"
#include "cli/when.h"
#include "common/cleanup.h"
#include "common/text.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

/* Nobody said anything before that, and it isn't 0, which would mean any time. */
#define PAST_BEGINNING 0.001

const char *past_string(const json_t *m, const char *key)
{
	const char *s = json_string_value(json_object_get(m, key));

	return s ? s : "";
}

int past_parse_time(const char *option, const char *text, double *ret)
{
	if (!when_parse(text, time(NULL), ret))
		return fail(EXIT_USAGE, "--%s takes a time such as " WHEN_FORMS ", not \"%s\"", option, text);
	if (*ret < PAST_BEGINNING)
		*ret = PAST_BEGINNING;
	return EXIT_DONE;
}

int past_check_times(double since, const char *option, double until)
{
	if (since > 0 && until > 0 && since >= until)
		return fail(EXIT_USAGE, "--since has to be a time before that of --%s", option);
	return EXIT_DONE;
}

int past_check_nick(const char *option, const char *nick)
{
	if (!nick || (*nick && strlen(nick) <= TEXT_NICK_MAX))
		return EXIT_DONE;
	return fail(EXIT_USAGE, "--%s takes a nick, not \"%s\"", option, nick);
}

int past_check_text(const char *option, const char *text)
{
	if (!text || text[strspn(text, " \t")])
		return EXIT_DONE;
	return fail(EXIT_USAGE, "%s takes a word to look for, not \"%s\"", option, text);
}

char *past_time(const json_t *m, char dst[static 32])
{
	time_t at = (time_t)json_number_value(json_object_get(m, "time"));
	struct tm tm;

	strftime(dst, 32, "%F %T", localtime_r(&at, &tm));
	return dst;
}

char *past_line(const json_t *m)
{
	static const struct {
		const char *kind, *format; /* of the nick and the text */
	} kinds[] = {{"message", "%s: %s"},
		     {"action", "%s * %s"},
		     {"join", "* %s joined %s"},
		     {"leave", "* %s left %s"},
		     {"quit", "* %s left %s"},
		     {"rename", "* %s is now %s"},
		     {"topic", "* %s set the topic: %s"},
		     {"mode", "* %s set mode %s"},
		     {"kick", "* %s removed %s"}};
	const char *kind = past_string(m, "kind"), *nick = past_string(m, "nick"),
		   *text = past_string(m, "text");
	bool notice = strcmp(kind, "message") != 0 && strcmp(kind, "action") != 0;
	char *line = NULL;
	int n = -1;

	for (size_t i = 0; *nick && i < sizeof(kinds) / sizeof(*kinds); i++)
		if (strcmp(kinds[i].kind, kind) == 0) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
			n = asprintf(&line, kinds[i].format, nick, text);
#pragma GCC diagnostic pop
		}
	if (n < 0)
		n = asprintf(&line, "%s%s", notice ? "* " : "", text);
	return n < 0 ? NULL : line;
}

struct past {
	const struct past_query *q;
	bool (*fn)(json_t *m, void *arg);
	void *arg;
	json_int_t left; /* -1: all */
	json_int_t last; /* id of the last message; 0: none came yet */
	bool enough;	 /* fn said so */
};

static json_t *past_parameters(const struct past *p)
{
	const struct past_query *q = p->q;
	json_t *o = json_pack("{s:b,s:b}", "oldest_first", q->oldest_first, "notices", q->notices);

	if (q->room)
		json_object_set_new(o, "room", json_string(q->room));
	if (q->nick)
		json_object_set_new(o, "nick", json_string(q->nick));
	if (q->text)
		json_object_set_new(o, "text", json_string(q->text));
	if (q->since > 0)
		json_object_set_new(o, "since", json_real(q->since));
	if (q->until > 0)
		json_object_set_new(o, "until", json_real(q->until));
	if (p->left >= 0)
		json_object_set_new(o, "limit", json_integer(p->left));
	if (p->last > 0)
		json_object_set_new(o, q->oldest_first ? "after" : "before", json_integer(p->last));
	return o;
}

/* Until the end, or an error of client_receive(). */
static int past_follow(struct client *c, struct past *p, char **ret_error)
{
	json_t *reply, *m;
	size_t i;
	int r = client_send(c, "History", past_parameters(p), true);

	if (r < 0)
		return r;
	do {
		r = client_receive(c, &reply, ret_error);
		if (r < 0)
			return r;
		json_array_foreach(json_object_get(reply, "messages"), i, m)
		{
			if (p->enough)
				break;
			p->last = json_integer_value(json_object_get(m, "id"));
			if (p->left > 0)
				p->left--;
			p->enough = !p->fn(m, p->arg);
		}
		json_decref(reply);
	} while (r > 0 && !p->enough);
	return 0;
}

/* What isn't UTF-8 is no JSON. */
static bool past_is_sayable(const char *s)
{
	json_t *j = s ? json_string(s) : NULL;
	bool r = !s || j;

	json_decref(j);
	return r;
}

int past_read(const struct options *o, const struct past_query *q, bool (*fn)(json_t *m, void *arg),
	      void *arg)
{
	struct past p = {.q = q, .fn = fn, .arg = arg, .left = q->limit};
	_cleanup_free_ char *error = NULL;
	struct client *c;

	if (!past_is_sayable(q->room) || !past_is_sayable(q->nick) || !past_is_sayable(q->text))
		return fail(EXIT_USAGE, "that is not UTF-8");
	int status = reach(o, &c);
	if (status != EXIT_DONE)
		return status;
	int r = past_follow(c, &p, &error);
	client_close(c);
	while (r == -ECONNRESET && reach_again(o, &c) == 0) {
		r = past_follow(c, &p, &error);
		client_close(c);
	}
	return r < 0 ? explain(r, error) : EXIT_DONE;
}
