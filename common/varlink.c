/* SPDX-License-Identifier: MIT */
/* Takes Varlink messages out of bytes, and turns them into bytes. */
#include "common/varlink.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int varlink_feed(struct varlink_input *in, const char *data, size_t len)
{
	if (len == 0)
		return 0;
	if (in->len + len > in->capacity) {
		size_t capacity = in->capacity ? in->capacity : 4096;
		while (capacity < in->len + len)
			capacity *= 2;
		char *p = realloc(in->data, capacity);
		if (!p)
			return -ENOMEM;
		in->data = p;
		in->capacity = capacity;
	}
	memcpy(in->data + in->len, data, len);
	in->len += len;
	return 0;
}

int varlink_next(struct varlink_input *in, json_t **ret)
{
	char *nul = in->len > 0 ? memchr(in->data, '\0', in->len) : NULL;
	size_t n = nul ? (size_t)(nul - in->data) : in->len;

	if (n > in->max)
		return -EMSGSIZE;
	if (!nul)
		return 0;
	json_t *message = json_loadb(in->data, n, JSON_REJECT_DUPLICATES, NULL);
	in->len -= n + 1;
	memmove(in->data, nul + 1, in->len);
	if (!json_is_object(message)) {
		json_decref(message);
		return -EBADMSG;
	}
	*ret = message;
	return 1;
}

void varlink_input_clear(struct varlink_input *in)
{
	free(in->data);
	in->data = NULL;
	in->len = in->capacity = 0;
}

char *varlink_frame(const json_t *message, size_t *ret_len)
{
	char *text = json_dumps(message, JSON_COMPACT | JSON_REAL_PRECISION(15));

	if (text)
		*ret_len = strlen(text) + 1;
	return text;
}
