/* SPDX-License-Identifier: MIT */
/* What the files of the API have in common, and the list of rooms. */
#include "daemon/web/api.h"

#include "common/cleanup.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum verdict api_answer(const struct web_call *call, json_t *o, const char *headers)
{
	_cleanup_free_ char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;

	json_decref(o);
	if (!text)
		return web_refuse(call, 503, NULL);
	return web_answer(call,
			  &(struct http_answer){.status = 200,
						.type = "application/json",
						.headers = headers ? headers : "Cache-Control: no-store\r\n",
						.body = text,
						.len = strlen(text)});
}

enum verdict api_enter(const struct web_call *call, const struct token *t, struct room **ret)
{
	struct context *ctx = connection_context(call->c);
	struct room *room = NULL;
	int r = rooms_enter_existing(ctx->shared->rooms, call->room, ctx->slot, &room);

	*ret = NULL;
	/* Without a right nobody is told whether there is such a room. */
	if (!web_may_read(call->c, t, call->room, r < 0 || room_is_open(room))) {
		if (r == 0)
			rooms_leave(ctx->shared->rooms, room, ctx->slot);
		count(ctx->counters, COUNT_ROOM_REFUSED, 1);
		return web_refuse_rights(call, t);
	}
	if (r < 0)
		return web_refuse(call, r == -ENOENT ? 404 : 503,
				  r == -ENOENT ? "There is no such room." : NULL);
	*ret = room;
	return HANDLER_MORE;
}

json_t *api_room_json(const struct room_info *i)
{
	char epoch[MESSAGE_EPOCH_MAX];

	message_epoch(i->epoch, epoch);
	return json_pack("{s:s, s:I, s:I, s:s, s:b, s:b}", "name", i->name, "members", (json_int_t)i->members,
			 "last", (json_int_t)i->last, "epoch", epoch, "raw", (int)i->raw, "read_only",
			 (int)i->read_only);
}

/* --- the list of rooms --- */

#define API_ROOMS 200
#define API_ROOMS_MAX 1000

struct api_page {
	uint64_t limit;
	char after[TEXT_ROOM_MAX + 1]; /* ""; or those whose names come behind it, by their bytes */
};

/* NULL, or what can't be. */
static const char *api_read_page(const struct http_request *r, struct api_page *ret)
{
	int n = http_query(r, "after", ret->after, sizeof(ret->after));

	if (n < 0)
		ret->after[0] = '\0';
	if (n == -EINVAL || (n > 0 && !text_room_valid(ret->after, (size_t)n)))
		return "after must be the name of a room.";
	ret->limit = API_ROOMS;
	if (http_query_number(r, "limit", &ret->limit) < 0 || ret->limit == 0)
		return "limit must be a number from 1.";
	if (ret->limit > API_ROOMS_MAX)
		ret->limit = API_ROOMS_MAX;
	return NULL;
}

static int api_compare_rooms(const void *a, const void *b)
{
	const struct room_info *x = a, *y = b;

	return strcmp(x->name, y->name);
}

/* Of those that may be read. */
static json_t *api_list_rooms(const struct web_call *call, const struct token *t, const struct api_page *page,
			      bool *ret_more)
{
	size_t n, bytes = 0;
	_cleanup_free_ struct room_info *rooms = rooms_copy(connection_context(call->c)->shared->rooms, &n);
	json_t *list = json_array();

	*ret_more = false;
	if (rooms)
		qsort(rooms, n, sizeof(*rooms), api_compare_rooms);
	for (size_t i = 0; rooms && list && i < n; i++) {
		if (strcmp(rooms[i].name, page->after) <= 0 ||
		    !web_may_read(call->c, t, rooms[i].name, rooms[i].open && !rooms[i].secret))
			continue;
		json_t *o = api_room_json(&rooms[i]);
		bytes += o ? json_dumpb(o, NULL, 0, JSON_COMPACT) + 1 : 0;
		*ret_more = json_array_size(list) == page->limit || bytes > API_LIST_MAX;
		if (*ret_more) {
			json_decref(o);
			break;
		}
		json_array_append_new(list, o);
	}
	return list;
}

enum verdict web_api_rooms(const struct web_call *call)
{
	const struct token *t;
	struct api_page page;
	bool more;

	if (web_token(call->c, call->r, &t) == WEB_LIAR)
		return web_refuse_token(call);
	if (!t && !(connection_state(call->c)->rights & CLIENT_OPEN))
		return web_refuse_rights(call, t);
	const char *wrong = api_read_page(call->r, &page);
	if (wrong)
		return web_refuse(call, 400, wrong);
	json_t *list = api_list_rooms(call, t, &page, &more);
	return api_answer(call, json_pack("{s:o, s:b}", "rooms", list, "more", (int)more), NULL);
}
