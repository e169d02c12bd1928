/* SPDX-License-Identifier: MIT */
/*
 * What WebSockets that speak chatd.v1.json ask for: a message is an object, whose member "do" says what, by a table. Most of
 * it are commands of chat, which come with their arguments taken apart already.
 */
#include "daemon/web/socket.h"

#include "common/cleanup.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ASK_TEXT_MAX (CONFIG_MAX_MESSAGE + 64)
#define ASK_MOST 200

struct ask {
	struct chat_input *in;
	const json_t *object;
	size_t consumed;
	char problem[160]; /* what is wrong with it; "": nothing */
};

struct ask_verb {
	const char *name;
	enum verdict (*run)(struct ask *a, const struct ask_verb *verb);
	const char *command;		    /* of chat's, for ask_command(), */
	const char *members[CHAT_ARGS_MAX]; /* and which members are its arguments */
};

/* --- answers --- */

static enum verdict ask_refuse(struct ask *a)
{
	struct connection *c = a->in->c;
	char space[1024 + SOCKET_ID_MAX];

	if (socket_is_moot(a->in, a->consumed))
		return HANDLER_MORE;
	enum verdict verdict = chat_may_answer(a->in, 0, false);
	if (verdict != HANDLER_MORE)
		return verdict;
	count(chat_counters(c), COUNT_LINES_REFUSED, 1);
	chat_begin_reply(c, a->consumed);
	struct json_text t = socket_begin(space, sizeof(space), "error");
	json_put_member(&t, "problem", a->problem, strlen(a->problem));
	socket_send(c, &t);
	connection_commit(c, NULL);
	connection_line_done(c);
	return HANDLER_MORE;
}

static enum verdict ask_complain(struct ask *a, const char *what, const char *member)
{
	snprintf(a->problem, sizeof(a->problem), what, member);
	return ask_refuse(a);
}

/* --- members --- */

/* A text of one line; false: there is a problem. */
static bool ask_text(struct ask *a, const char *name, struct chat_arg *ret)
{
	const json_t *v = json_object_get(a->object, name);

	if (!json_is_string(v)) {
		snprintf(a->problem, sizeof(a->problem), "\"%s\" has to be there, and a string", name);
		return false;
	}
	*ret = (struct chat_arg){json_string_value(v), json_string_length(v)};
	if (ret->len > a->in->max)
		snprintf(a->problem, sizeof(a->problem), "\"%s\" has more than %u bytes", name, a->in->max);
	else if (memchr(ret->at, '\n', ret->len))
		snprintf(a->problem, sizeof(a->problem), "\"%s\" has more than one line", name);
	return a->problem[0] == '\0';
}

/* ret stays as it was if it isn't there. */
static bool ask_number(struct ask *a, const json_t *object, const char *name, uint64_t *ret)
{
	const json_t *v = json_object_get(object, name);

	if (!v)
		return true;
	if (!json_is_integer(v) || json_integer_value(v) < 0) {
		snprintf(a->problem, sizeof(a->problem), "\"%s\" has to be a number, not below 0", name);
		return false;
	}
	*ret = (uint64_t)json_integer_value(v);
	return true;
}

/* --- what can be asked for --- */

static enum verdict ask_run_command(struct ask *a, const char *name, const struct chat_arg *args)
{
	char word[16];
	struct chat_call call = {.consumed = a->consumed};

	int n = snprintf(word, sizeof(word), "/%s", name);
	call.command = chat_find_command(word, (size_t)n);
	for (unsigned i = 0; args && i < CHAT_ARGS_MAX; i++)
		call.args[i] = args[i];
	return chat_do(a->in, &call);
}

static enum verdict ask_command(struct ask *a, const struct ask_verb *verb)
{
	struct chat_arg args[CHAT_ARGS_MAX] = {{"", 0}, {"", 0}};

	for (unsigned i = 0; i < CHAT_ARGS_MAX && verb->members[i]; i++)
		if (!ask_text(a, verb->members[i], &args[i]))
			return ask_refuse(a);
	return ask_run_command(a, verb->command, args);
}

static enum verdict ask_say(struct ask *a, const struct ask_verb *verb)
{
	struct chat_arg text;

	if (!ask_text(a, verb->members[0], &text))
		return ask_refuse(a);
	return chat_line(a->in, &(struct chat_line){.text = text.at,
						    .len = text.len,
						    .consumed = a->consumed,
						    .plain = verb->command == NULL});
}

static enum verdict ask_join(struct ask *a, const struct ask_verb *verb)
{
	const json_t *since = json_object_get(a->object, "since");
	const json_t *epoch = json_object_get(since, "epoch");
	struct socket_asked *asked = &socket_asked;

	if (since) {
		asked->has_since = true;
		asked->number = UINT64_MAX;
		if (!json_is_string(epoch) || !socket_epoch(json_string_value(epoch), &asked->epoch) ||
		    !ask_number(a, since, "number", &asked->number) || asked->number == UINT64_MAX)
			return ask_complain(a, "\"%s\" has to have an \"epoch\" and a \"number\"", "since");
	}
	struct chat_arg args[CHAT_ARGS_MAX] = {{"", 0}, {"", 0}};
	if (!ask_text(a, "room", &args[0]) ||
	    (json_object_get(a->object, "key") && !ask_text(a, "key", &args[1])))
		return ask_refuse(a);
	return ask_run_command(a, verb->command, args);
}

static enum verdict ask_history(struct ask *a, const struct ask_verb *verb)
{
	uint64_t before = 0, limit = ASK_MOST / 4;
	char text[64];

	if (!ask_number(a, a->object, "before", &before) || !ask_number(a, a->object, "limit", &limit))
		return ask_refuse(a);
	if (limit == 0 || limit > ASK_MOST)
		return ask_complain(a, "\"%s\" has to be 1 to 200", "limit");
	int n = snprintf(text, sizeof(text), "%" PRIu64 " before:%" PRIu64, limit, before);
	const struct chat_arg args[CHAT_ARGS_MAX] = {{text, (size_t)n}, {"", 0}};
	return ask_run_command(a, verb->command, args);
}

static enum verdict ask_search(struct ask *a, const struct ask_verb *verb)
{
	char text[ASK_TEXT_MAX];
	uint64_t before = 0;
	struct chat_arg what;

	if (!ask_text(a, "text", &what) || !ask_number(a, a->object, "before", &before))
		return ask_refuse(a);
	int n = snprintf(text, sizeof(text), "%.*s before:%" PRIu64, (int)what.len, what.at, before);
	const struct chat_arg args[CHAT_ARGS_MAX] = {{text, (size_t)n}, {"", 0}};
	return ask_run_command(a, verb->command, args);
}

static enum verdict ask_ping(struct ask *a, const struct ask_verb *verb)
{
	struct connection *c = a->in->c;
	char space[64 + SOCKET_ID_MAX];

	(void)verb;
	if (socket_is_moot(a->in, a->consumed))
		return HANDLER_MORE;
	enum verdict verdict = chat_may_answer(a->in, 0, false);
	if (verdict != HANDLER_MORE)
		return verdict;
	chat_begin_reply(c, a->consumed);
	struct json_text t = socket_begin(space, sizeof(space), "pong");
	socket_send(c, &t);
	connection_commit(c, NULL);
	connection_line_done(c);
	return HANDLER_MORE;
}

static const struct ask_verb ask_verbs[] = {
    {"say", ask_say, NULL, {"text"}},
    {"act", ask_command, "me", {"text"}},
    {"to", ask_command, "msg", {"nick", "text"}},
    {"nick", ask_command, "nick", {"nick"}},
    {"join", ask_join, "join", {"room"}},
    {"login", ask_command, "login", {"name", "password"}},
    {"who", ask_command, "who", {NULL}},
    {"rooms", ask_command, "rooms", {NULL}},
    {"history", ask_history, "history", {NULL}},
    {"search", ask_search, "search", {NULL}},
    {"run", ask_say, "", {"line"}},
    {"ping", ask_ping, NULL, {NULL}},
};

/* --- the message --- */

/* Notes what it is called, so that its answers say it. */
static bool ask_take_id(struct ask *a)
{
	const json_t *id = json_object_get(a->object, "id");
	struct json_text t = {.at = socket_asked.id, .size = SOCKET_ID_MAX - 1};

	if (!id)
		return true;
	if (json_is_integer(id))
		json_putf(&t, "%" JSON_INTEGER_FORMAT, json_integer_value(id));
	else if (json_is_string(id) && json_string_length(id) <= SOCKET_ID_BYTES)
		json_put_string(&t, json_string_value(id), json_string_length(id));
	else
		t.cut = true;
	if (t.cut)
		t.len = 0;
	t.at[t.len] = '\0';
	return !t.cut;
}

static enum verdict ask_work(struct ask *a)
{
	if (!json_is_object(a->object))
		return ask_complain(a, "that is not JSON's %s", "object");
	if (!ask_take_id(a))
		return ask_complain(a, "\"%s\" has to be a short string or an integer", "id");
	const char *verb = json_string_value(json_object_get(a->object, "do"));
	for (size_t i = 0; verb && i < sizeof(ask_verbs) / sizeof(*ask_verbs); i++)
		if (strcmp(ask_verbs[i].name, verb) == 0)
			return ask_verbs[i].run(a, &ask_verbs[i]);
	return ask_complain(a, "\"%s\" has to be something that can be done", "do");
}

enum verdict socket_ask(struct chat_input *in, const char *text, size_t len, size_t consumed)
{
	json_error_t error;
	json_t *object = json_loadb(text, len, JSON_REJECT_DUPLICATES, &error);
	struct ask a = {.in = in, .object = object, .consumed = consumed};

	enum verdict verdict = ask_work(&a);
	socket_asked = (struct socket_asked){.id = ""};
	json_decref(object);
	return verdict;
}
