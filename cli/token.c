/* SPDX-License-Identifier: MIT */
/* chatctl token: who may read and speak by HTTP, in a file of tokens (common/tokens.h). */
#include "cli/command.h"
#include "cli/subcommands.h"
#include "cli/table.h"
#include "common/cleanup.h"
#include "common/tokens.h"

#include <getopt.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#define TOKEN_ROOMS_MAX 64

struct token_options {
	const char *rooms[TOKEN_ROOMS_MAX];
	size_t n_rooms;
	unsigned rights;
};

static const char *token_rights_name(unsigned rights)
{
	static const char *const names[] = {"", "read", "speak", "read,speak"};

	return names[rights & (TOKEN_READ | TOKEN_SPEAK)];
}

static int token_change(const struct options *o, const char *file, const char *name, const char *line)
{
	char alike[TEXT_NICK_MAX + 1];
	int r = tokens_change(file, name, line, access_find_group(o->config), alike);

	switch (r) {
	case 0:
		return EXIT_DONE;
	case -EEXIST:
		return fail(EXIT_REFUSED, "there is a token %s in %s already; nothing has changed", alike,
			    file);
	case -EWOULDBLOCK:
		return fail(
		    EXIT_REFUSED,
		    "another process has had the directory of %s locked for seconds; nothing has changed",
		    file);
	case -ENOLINK:
		return fail(EXIT_REFUSED, "%s is a link to a file that is not there; nothing has changed",
			    file);
	case -ENOENT:
		if (!line)
			return fail(EXIT_REFUSED, "there is no token %s in %s", name, file);
	}
	return fail(EXIT_REFUSED, "%s can't be written: %s", file, strerror(-r));
}

/* "ops=read,speak lobby=read,speak", or "*=..." */
static char *token_rights(const struct token_options *t)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	for (size_t i = 0; f && i < t->n_rooms; i++)
		fprintf(f, "%s%s=%s", i > 0 ? " " : "", t->rooms[i], token_rights_name(t->rights));
	if (f && t->n_rooms == 0)
		fprintf(f, "*=%s", token_rights_name(t->rights));
	if (f)
		fclose(f);
	return text;
}

static int token_add(const struct options *o, const struct token_options *t, const char *name,
		     const char *file)
{
	char nick[TEXT_NICK_MAX + 1], text[TOKEN_TEXT_SIZE], hash[TOKEN_HASH_SIZE];
	_cleanup_free_ char *rights = token_rights(t), *line = NULL;

	if (t->rights == 0)
		return fail(EXIT_USAGE, "a token is for something: --read, --speak or both");
	if (nick_normalise(name, strlen(name), nick) < 0)
		return fail(EXIT_USAGE, "\"%s\" is not a valid name", name);
	if (nick_is_chatds(nick, strlen(nick)))
		return fail(EXIT_USAGE, "\"%s\" is, or looks like, one of chatd's own names", name);
	if (sodium_init() < 0)
		return fail(EXIT_REFUSED, "libsodium can't be used");
	token_make(text, hash);
	if (!rights || asprintf(&line, "%s:%s:%s", nick, hash, rights) < 0)
		return fail(EXIT_REFUSED, "out of memory");
	int status = token_change(o, file, nick, line);
	if (status == EXIT_DONE && o->json)
		printf("{\"name\":\"%s\",\"token\":\"%s\"}\n", nick, text);
	else if (status == EXIT_DONE)
		puts(text);
	if (status == EXIT_DONE && isatty(STDOUT_FILENO))
		fputs("This is the token, and it is shown only now. chatd knows it after chatctl reload.\n",
		      stderr);
	sodium_memzero(text, sizeof(text));
	return status;
}

static json_t *token_describe(const struct token *t)
{
	json_t *rooms = json_array();

	for (size_t i = 0; i < t->n_rights; i++)
		json_array_append_new(rooms, json_pack("{s:s,s:b,s:b}", "room", t->rights[i].room, "read",
						       (t->rights[i].rights & TOKEN_READ) != 0, "speak",
						       (t->rights[i].rights & TOKEN_SPEAK) != 0));
	return json_pack("{s:s,s:o}", "name", t->name, "rooms", rooms);
}

static int token_list(const struct options *o, const char *file)
{
	static const char *const titles[] = {"NAME", "ROOM", "MAY", NULL};
	struct tokens all;
	int r = tokens_load(file, stderr, &all);

	if (r < 0)
		return EXIT_REFUSED;
	json_t *list = json_array();
	struct table *table = o->json ? NULL : table_new(titles);
	for (size_t i = 0; i < all.n; i++) {
		const struct token *t = &all.at[i];
		json_array_append_new(list, token_describe(t));
		for (size_t k = 0; k < t->n_rights && table; k++) {
			table_add(table, "%s", t->name);
			table_add(table, "%s",
				  strcmp(t->rights[k].room, "*") == 0 ? "(all)" : t->rights[k].room);
			table_add(table, "%s", token_rights_name(t->rights[k].rights));
		}
	}
	if (table)
		table_print(table);
	else
		print_json(list);
	json_decref(list);
	tokens_free(&all);
	return EXIT_DONE;
}

static int token_parse(int argc, char **argv, struct token_options *t)
{
	static const struct option options[] = {
	    {"room", required_argument, NULL, 'r'},
	    {"read", no_argument, NULL, 'R'},
	    {"speak", no_argument, NULL, 'S'},
	    {NULL, 0, NULL, 0},
	};
	const char *room;
	int opt;

	while ((opt = getopt_long(argc, argv, "r:", options, NULL)) >= 0)
		switch (opt) {
		case 'r':
			room = optarg;
			if (name_room(&room) != EXIT_DONE)
				return EXIT_USAGE;
			if (t->n_rooms == TOKEN_ROOMS_MAX)
				return fail(EXIT_USAGE, "that is more than %d rooms", TOKEN_ROOMS_MAX);
			t->rooms[t->n_rooms++] = room;
			break;
		case 'R':
			t->rights |= TOKEN_READ;
			break;
		case 'S':
			t->rights |= TOKEN_SPEAK;
			break;
		default:
			return wrong_option(argv);
		}
	return EXIT_DONE;
}

int command_token(const struct options *o, int argc, char **argv)
{
	struct token_options t = {.rights = 0};
	int status = token_parse(argc, argv, &t), n = argc - optind;
	char **words = argv + optind;

	if (status != EXIT_DONE)
		return status;
	if (n == 3 && strcmp(words[0], "add") == 0)
		return token_add(o, &t, words[1], words[2]);
	if (t.rights != 0 || t.n_rooms > 0)
		return usage(argv[0]);
	if (n == 2 && strcmp(words[0], "list") == 0)
		return token_list(o, words[1]);
	if (n == 3 && strcmp(words[0], "revoke") == 0)
		return token_change(o, words[2], words[1], NULL);
	return usage(argv[0]);
}
