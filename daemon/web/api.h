/* SPDX-License-Identifier: MIT */
/* What the files of the API share. */
#ifndef DAEMON_API_H
#define DAEMON_API_H

#include "daemon/web/message.h"
#include "daemon/web/web.h"

/* The most that the elements of a list may take as text, with their commas, so that an answer has space for them. */
#define API_LIST_MAX (WEB_BODY_MAX - 1024)

/* Answers with that object, which is consumed; NULL: for want of memory it can't be told. headers: NULL: nobody keeps it. */
enum verdict api_answer(const struct web_call *call, json_t *o, const char *headers);
/*
 * Enters the room of the path, if it is there and may be read; rooms_leave() must follow. *ret is NULL if not: then it was
 * refused, with that verdict.
 */
enum verdict api_enter(const struct web_call *call, const struct token *t, struct room **ret);
/* {"name","members","last","epoch","raw","read_only"} */
json_t *api_room_json(const struct room_info *i);

#endif
