/* SPDX-License-Identifier: MIT */
/* POST /api/v1/rooms/NAME/messages: something is said under the name of a token, in the transaction that answers. */
#include "daemon/web/api.h"

#include "common/cleanup.h"
#include "daemon/base/fault.h"
#include "daemon/channels/others.h"
#include "daemon/web/pace.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct api_words {
	json_t *body;
	const char *text;
	size_t len;
	bool action;
};

/* NULL, or what is wrong. */
static const char *api_read_words(const struct web_call *call, unsigned most, struct api_words *ret)
{
	json_error_t error;
	json_t *text, *kind;

	ret->body = json_loadb(call->body, call->r->body_len, JSON_REJECT_DUPLICATES, &error);
	text = json_object_get(ret->body, "text");
	kind = json_object_get(ret->body, "kind");
	if (!ret->body)
		return "The body must be JSON, in UTF-8 and without \\u0000: {\"text\": \"...\"}.";
	if (!json_is_string(text))
		return "The body needs a string: {\"text\": \"...\"}.";
	if (kind && (!json_is_string(kind) || (strcmp(json_string_value(kind), "message") != 0 &&
					       strcmp(json_string_value(kind), "action") != 0)))
		return "kind must be \"message\" or \"action\".";
	ret->action = kind && strcmp(json_string_value(kind), "action") == 0;
	ret->text = json_string_value(text);
	ret->len = json_string_length(text);
	if (ret->len == 0)
		return "There is no text.";
	if (ret->len > most)
		return "The text is longer than max_message.";
	if (memchr(ret->text, '\n', ret->len) || memchr(ret->text, '\r', ret->len))
		return "The text must be one line.";
	return NULL;
}

static bool api_is_json(const struct http_request *r)
{
	struct http_text type = http_header(r, "content-type");

	if (!type.at)
		return false;
	const char *semicolon = memchr(type.at, ';', type.len);
	if (semicolon)
		type.len = (size_t)(semicolon - type.at);
	while (type.len > 0 && type.at[type.len - 1] == ' ')
		type.len--;
	return http_text_is(type, "application/json");
}

/* The room's log is locked, and what is said is in it: says so, and all of it becomes true. number 0: it isn't known yet. */
static enum verdict api_said(const struct web_call *call, struct room *spoken, const char *room,
			     uint64_t epoch, uint64_t number)
{
	char body[256], headers[256], id[MESSAGE_EPOCH_MAX];
	int n;

	message_epoch(epoch, id);
	if (number)
		n = snprintf(body, sizeof(body), "{\"room\":\"%s\",\"epoch\":\"%s\",\"number\":%" PRIu64 "}",
			     room, id, number);
	else
		n = snprintf(body, sizeof(body), "{\"room\":\"%s\"}", room);
	snprintf(headers, sizeof(headers),
		 "Location: /api/v1/rooms/%s/messages?after=%" PRIu64
		 "&limit=1\r\nCache-Control: no-store\r\n",
		 room, number - 1);
	const struct http_answer a = {.status = number ? 201 : 202,
				      .type = "application/json",
				      .headers = number ? headers : "Cache-Control: no-store\r\n",
				      .body = body,
				      .len = (size_t)n};
	return web_answer_said(call, &a, spoken);
}

static enum verdict api_refuse_haste(const struct web_call *call, int64_t wait)
{
	char headers[48];

	snprintf(headers, sizeof(headers), "Retry-After: %" PRId64 "\r\n", (wait + 999999) / 1000000);
	count(connection_context(call->c)->counters, COUNT_RATE_PAUSES, 1);
	return web_refuse_with(call, 429, "That is too many messages a second.", headers);
}

static enum verdict api_refuse_silent(const struct web_call *call, const struct room *room,
				      enum irc_channel_why why)
{
	char detail[TEXT_ROOM_MAX + 128];

	snprintf(detail, sizeof(detail), "You can't speak in %s: %s.", room->name,
		 irc_others_why_silent(why));
	count(connection_context(call->c)->counters, COUNT_ROOM_REFUSED, 1);
	return web_refuse(call, 403, detail);
}

static enum verdict api_say_in(const struct web_call *call, struct room *room, const struct token *t,
			       const struct api_words *w)
{
	struct context *ctx = connection_context(call->c);
	const char *name = web_token_name(t);
	const struct speaker who = {.id = connection_id(call->c),
				    .index = connection_index(call->c),
				    .nick = name,
				    .nick_len = strlen(name)};
	struct speech s = {0};

	struct irc_channels *channels = atomic_load(&ctx->shared->channels);
	if (!irc_others_try(channels, &s, ctx->shared->rooms, room))
		return HANDLER_CROWDED;
	/* What it says is its own: a token is as good as an account. */
	enum irc_channel_why why =
	    irc_others_may_speak(channels, room, &(struct irc_other){.speaker = &who, .is_account = true});
	if (why != IRC_WHY_MAY) {
		speech_drop(&s);
		return api_refuse_silent(call, room, why);
	}
	int64_t wait = web_pace(name, ctx->config->lines_per_second, ctx->now);
	uint64_t number = room->outgoing ? 0 : room->number_base + logring_pending(s.room->log);
	int r = wait > 0    ? 0
		: w->action ? speech_act(&s, room, &who, w->text, w->len)
			    : speech_say(&s, room, &who, w->text, w->len);
	if (wait > 0 || r < 0) {
		speech_drop(&s);
		return wait > 0 ? api_refuse_haste(call, wait) : web_refuse(call, 503, NULL);
	}
	FAULT("http-say");
	return api_said(call, speech_room(&s), room->name, room->epoch, number);
}

static enum verdict api_say_words(const struct web_call *call, const struct token *t,
				  const struct api_words *w)
{
	struct context *ctx = connection_context(call->c);
	/* It may speak there, whoever else may. */
	const struct room_guest guest = {.is_member = true, .address = connection_address(call->c)};
	struct room *room;

	int r = rooms_enter(ctx->shared->rooms, call->room, ctx->slot, &guest, &room);
	if (r < 0) {
		count(ctx->counters, COUNT_ROOMS_FULL, r == -ENOSPC || r == -EDQUOT);
		return web_refuse(call, 503, "The room can't be opened.");
	}
	enum verdict verdict = api_say_in(call, room, t, w);
	rooms_leave(ctx->shared->rooms, room, ctx->slot);
	return verdict;
}

enum verdict web_api_say(const struct web_call *call)
{
	const struct token *t;
	struct api_words w = {.body = NULL};

	if (web_token(call->c, call->r, &t) == WEB_LIAR)
		return web_refuse_token(call);
	if (!t || !web_token_may(t, call->room, true)) {
		count(connection_context(call->c)->counters, COUNT_ROOM_REFUSED, 1);
		return web_refuse_rights(call, t);
	}
	if (!api_is_json(call->r))
		return web_refuse(call, 415, "The body must be of type application/json.");
	if (!call->body)
		return web_continue(call);
	const char *wrong = api_read_words(call, connection_context(call->c)->config->max_message, &w);
	enum verdict verdict =
	    wrong ? web_refuse(call, w.text ? 422 : 400, wrong) : api_say_words(call, t, &w);
	json_decref(w.body);
	return verdict;
}
