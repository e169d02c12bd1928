/* SPDX-License-Identifier: MIT */
/* What nodes say of their rooms, read, written and compared: see agree.h. */
#include "daemon/cluster/agree.h"

#include "common/text.h"
#include "daemon/cluster/presence_text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AGREE_HEAD_MAX 256
#define AGREE_LETTERS_MAX 32

/* --- reading --- */

static bool agree_rooms_valid(const json_t *rooms)
{
	const char *room;
	const json_t *letters;

	if (!json_is_object(rooms))
		return false;
	json_object_foreach((json_t *)rooms, room, letters)
	{
		const char *s = json_string_value(letters);
		if (!s || strlen(s) > AGREE_LETTERS_MAX || !text_room_valid(room, strlen(room)))
			return false;
	}
	return true;
}

int agree_read(const char *data, size_t len, struct agree_said *ret)
{
	json_t *o = len <= AGREE_TEXT_MAX ? json_loadb(data, len, JSON_REJECT_DUPLICATES, NULL) : NULL;
	const json_t *format = json_object_get(o, "v");
	const char *node = json_string_value(json_object_get(o, "node"));
	json_t *rooms = json_object_get(o, "rooms");
	int r = -EBADMSG;

	*ret = (struct agree_said){.all = json_is_true(json_object_get(o, "all")),
				   .more = json_is_true(json_object_get(o, "more"))};
	if (json_is_integer(format) && json_integer_value(format) > AGREE_FORMAT)
		r = -EPROTONOSUPPORT;
	else if (json_is_integer(format) && json_integer_value(format) == AGREE_FORMAT && node &&
		 strlen(node) < sizeof(ret->node) && presence_node_valid(node, strlen(node)) &&
		 agree_rooms_valid(rooms))
		r = 0;
	if (r == 0) {
		snprintf(ret->node, sizeof(ret->node), "%s", node);
		ret->rooms = json_incref(rooms);
	}
	json_decref(o);
	return r;
}

/* --- writing --- */

static char *agree_dump(const struct agree_said *said, bool more)
{
	json_t *o = json_pack("{s:i,s:s,s:b,s:b}", "v", AGREE_FORMAT, "node", said->node, "all", said->all,
			      "more", more);

	if (more)
		json_object_set_new(o, "rooms", json_object());
	else
		json_object_set(o, "rooms", said->rooms);
	char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;
	json_decref(o);
	return text;
}

char *agree_write(const struct agree_said *said, size_t max)
{
	char *text = agree_dump(said, said->more);

	if (!text || strlen(text) <= (max < AGREE_TEXT_MAX ? max : AGREE_TEXT_MAX))
		return text;
	free(text);
	return agree_dump(said, true);
}

/* --- comparing --- */

/* The sum behind that letter, or "" behind one without; NULL: it isn't there. */
static const char *agree_find(const char *letters, char letter)
{
	const char *p = strchr(letters, letter);

	return p ? p + 1 : NULL;
}

static bool agree_has_same(const char *a, const char *b, char letter, size_t len)
{
	const char *x = agree_find(a, letter), *y = agree_find(b, letter);

	return !x || !y ? x == y : strncmp(x, y, len) == 0;
}

/* False: they are the same. */
static bool agree_differ(const char *a, const char *b, struct cluster_difference *ret)
{
	static const struct {
		char letter;
		size_t len;
		const char *what;
	} rows[] = {{'m', 8, "members"}, {'r', 0, "read_only"}, {'w', 0, "format"}};

	ret->what[0] = '\0';
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		size_t n = strlen(ret->what);
		if (!agree_has_same(a, b, rows[i].letter, rows[i].len))
			snprintf(ret->what + n, sizeof(ret->what) - n, "%s%s", n ? ", " : "", rows[i].what);
	}
	return ret->what[0];
}

unsigned agree_compare(const struct agree_said *own, const struct agree_said *other,
		       bool (*shares)(const char *room, void *arg), void *arg, struct cluster_difference *ret,
		       unsigned max)
{
	json_t *all = json_object();
	const char *room;
	const json_t *letters;
	unsigned n = 0;

	json_object_update(all, other->rooms);
	if (other->all && !other->more)
		json_object_update(all, own->rooms);
	json_object_foreach(all, room, letters)
	{
		const char *a = json_string_value(json_object_get(own->rooms, room));
		const char *b = json_string_value(json_object_get(other->rooms, room));
		if (n == max)
			break;
		if (!shares(room, arg) || own->more || !agree_differ(a ? a : "", b ? b : "", &ret[n]))
			continue;
		snprintf(ret[n].room, sizeof(ret[n].room), "%s", room);
		snprintf(ret[n].node, sizeof(ret[n].node), "%s", other->node);
		n++;
	}
	json_decref(all);
	return n;
}
