/* SPDX-License-Identifier: MIT */
/* JSON of nodes' clients, read field by field, and written. */
#include "daemon/cluster/presence_text.h"

#include "common/cleanup.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>

bool presence_node_valid(const char *s, size_t len)
{
	static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";

	for (size_t i = 0; i < len; i++)
		if (s[i] == '\0' || !strchr(allowed, s[i]))
			return false;
	return len >= 1 && len <= ELSEWHERE_NODE_MAX;
}

/* --- reading --- */

/* A number from 0 on; absent is 0. */
static bool presence_read_number(const json_t *o, const char *name, uint64_t max, uint64_t *ret)
{
	const json_t *v = json_object_get(o, name);

	*ret = v ? (uint64_t)json_integer_value(v) : 0;
	return !v || (json_is_integer(v) && json_integer_value(v) >= 0 && *ret <= max);
}

static bool presence_read_flag(const json_t *o, const char *name, bool *ret)
{
	const json_t *v = json_object_get(o, name);

	*ret = json_is_true(v);
	return !v || json_is_boolean(v);
}

/* Text of at most max bytes with its NUL behind; absent is "". */
static bool presence_read_string(const json_t *o, const char *name, size_t max, char *ret)
{
	const json_t *v = json_object_get(o, name);
	size_t len = json_string_length(v);

	ret[0] = '\0';
	if (!v)
		return true;
	if (!json_is_string(v) || len > max || strlen(json_string_value(v)) != len)
		return false;
	memcpy(ret, json_string_value(v), len + 1);
	return true;
}

/* A kind that this release doesn't know is shown as it is. */
static bool presence_kind_valid(const char *s)
{
	return strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789") == strlen(s);
}

static bool presence_read_client(const json_t *o, struct elsewhere_client *ret)
{
	char normal[TEXT_NICK_MAX + 1];
	uint64_t since;

	*ret = (struct elsewhere_client){0};
	if (!json_is_object(o) || !presence_read_number(o, "id", INT64_MAX, &ret->id) || ret->id == 0 ||
	    !presence_read_number(o, "since", INT64_MAX, &since) ||
	    !presence_read_flag(o, "account", &ret->account) ||
	    !presence_read_flag(o, "reserved", &ret->reserved) ||
	    !presence_read_string(o, "nick", TEXT_NICK_MAX, ret->nick) ||
	    !presence_read_string(o, "room", TEXT_ROOM_MAX, ret->room) ||
	    !presence_read_string(o, "kind", ELSEWHERE_KIND_MAX, ret->kind) ||
	    !presence_kind_valid(ret->kind))
		return false;
	size_t len = strlen(ret->nick), room_len = strlen(ret->room);
	ret->since_us = (int64_t)since;
	ret->nick_len = (uint8_t)len;
	if (room_len > 0 && !text_room_valid(ret->room, room_len))
		return false;
	return len == 0 ||
	       (nick_normalise(ret->nick, len, normal) == (int)len && memcmp(normal, ret->nick, len) == 0);
}

static int presence_read_clients(const json_t *array, struct presence_message *ret)
{
	size_t n = json_array_size(array);

	if (!array)
		return 0;
	if (!json_is_array(array))
		return -EBADMSG;
	ret->clients = calloc(n + 1, sizeof(*ret->clients));
	if (!ret->clients)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		if (presence_read_client(json_array_get(array, i), &ret->clients[ret->n]))
			ret->n++;
		else
			ret->n_refused++;
	return 0;
}

static int presence_read_object(const json_t *o, struct presence_message *ret)
{
	const json_t *format = json_object_get(o, "v");
	uint64_t part;

	if (!json_is_integer(format) || json_integer_value(format) < 1)
		return -EBADMSG;
	if (json_integer_value(format) > PRESENCE_FORMAT)
		return -EPROTONOSUPPORT;
	if (!presence_read_string(o, "node", ELSEWHERE_NODE_MAX, ret->node) ||
	    !presence_node_valid(ret->node, strlen(ret->node)) ||
	    !presence_read_number(o, "boot", INT64_MAX, &ret->boot) ||
	    !presence_read_number(o, "from", INT64_MAX, &ret->from) ||
	    !presence_read_number(o, "to", INT64_MAX, &ret->to) || ret->from > ret->to ||
	    !presence_read_number(o, "part", UINT32_MAX, &part) ||
	    !presence_read_flag(o, "last", &ret->last) || !presence_read_flag(o, "bye", &ret->bye))
		return -EBADMSG;
	ret->part = (unsigned)part;
	return presence_read_clients(json_object_get(o, "changes"), ret);
}

int presence_read(const char *data, size_t len, struct presence_message *ret)
{
	json_t *o = len <= PRESENCE_TEXT_MAX ? json_loadb(data, len, JSON_REJECT_DUPLICATES, NULL) : NULL;

	*ret = (struct presence_message){.n = 0};
	int r = json_is_object(o) ? presence_read_object(o, ret) : -EBADMSG;
	json_decref(o);
	if (r < 0)
		presence_message_free(ret);
	return r;
}

void presence_message_free(struct presence_message *m)
{
	free(m->clients);
	m->clients = NULL;
	m->n = 0;
}

/* --- writing --- */

static json_t *presence_client_json(const struct elsewhere_client *c)
{
	json_t *o = json_pack("{s:I}", "id", (json_int_t)c->id);

	if (c->nick_len == 0)
		return o;
	json_object_set_new(o, "nick", json_stringn(c->nick, c->nick_len));
	json_object_set_new(o, "since", json_integer(c->since_us));
	if (c->room[0])
		json_object_set_new(o, "room", json_string(c->room));
	if (c->kind[0])
		json_object_set_new(o, "kind", json_string(c->kind));
	if (c->account)
		json_object_set_new(o, "account", json_true());
	if (c->reserved)
		json_object_set_new(o, "reserved", json_true());
	return o;
}

char *presence_write(const struct presence_message *m)
{
	json_t *o = json_pack("{s:i,s:s}", "v", PRESENCE_FORMAT, "node", m->node);
	json_t *changes = m->n > 0 ? json_array() : NULL;

	for (size_t i = 0; i < m->n; i++)
		json_array_append_new(changes, presence_client_json(&m->clients[i]));
	if (m->boot)
		json_object_set_new(o, "boot", json_integer((json_int_t)m->boot));
	if (m->from)
		json_object_set_new(o, "from", json_integer((json_int_t)m->from));
	if (m->to)
		json_object_set_new(o, "to", json_integer((json_int_t)m->to));
	if (m->part)
		json_object_set_new(o, "part", json_integer(m->part));
	if (m->last)
		json_object_set_new(o, "last", json_true());
	if (m->bye)
		json_object_set_new(o, "bye", json_true());
	if (changes)
		json_object_set_new(o, "changes", changes);
	char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;
	json_decref(o);
	return text;
}
