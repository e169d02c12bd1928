/* SPDX-License-Identifier: MIT */
/* A listener's group is read by the tables of its mode, whichever modes there are: here ones made up. */
#include "tests/unit/unit.h"

#include "daemon/config/config.h"
#include "daemon/config/mode_settings.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- the mode "quiz", and one that has nothing --- */

struct quiz {
	unsigned rounds;
	int64_t pause_us;
	char *questions;
};

static unsigned n_inits, n_releases;

static bool quiz_init(void *own)
{
	struct quiz *q = own;

	n_inits++;
	q->rounds = 3;
	return true;
}

static void quiz_release(void *own)
{
	n_releases++;
	free(((struct quiz *)own)->questions);
}

static void quiz_complete(struct settings *ss, const config_setting_t *group, struct listener_config *l)
{
	const struct quiz *q = l->own;

	mode_default_room(ss, group, l);
	if (q->rounds > 1 && q->pause_us == 0)
		settings_complain(ss, group, "rounds need a pause");
}

static const struct setting_key quiz_keys[] = {
    SETTING("rounds", setting_unsigned, offsetof(struct quiz, rounds), .min = 1, .max = 9),
    SETTING("pause", setting_seconds, offsetof(struct quiz, pause_us), .max = 60),
    SETTING("questions", setting_path, offsetof(struct quiz, questions), .missing = "a quiz needs questions"),
    SETTINGS_END,
};

static const struct mode_settings quiz_settings = {
    .common = {mode_socket_keys, mode_room_keys},
    .own = quiz_keys,
    .own_size = sizeof(struct quiz),
    .init = quiz_init,
    .release = quiz_release,
    .complete = quiz_complete,
};

static const struct handler quiz = {
    .type = "tcp", .mode = "quiz", .transport = TRANSPORT_TCP, .settings = &quiz_settings};
static const struct handler plain = {
    .type = "tcp", .mode = "plain", .transport = TRANSPORT_TCP, .settings = &mode_tcp_only};
static const struct handler *const modes[] = {&plain, &quiz, NULL};

/* --- the tests --- */

static char errors[4096];

static int parse(const char *mode, const char *rest, struct config **ret)
{
	FILE *f = fmemopen(errors, sizeof(errors), "w");
	char text[1024];

	snprintf(text, sizeof(text),
		 "listeners = (\n{ name = \"a\"; type = \"tcp\"; mode = \"%s\"; listen = "
		 "\"127.0.0.1:5\";\n%s } );",
		 mode, rest);
	memset(errors, 0, sizeof(errors));
	int r = config_parse(text, "f", modes, f, ret);
	fclose(f);
	return r;
}

static void assert_errors(const char *mode, const char *rest, const char *expected)
{
	struct config *c = NULL;

	n_inits = n_releases = 0;
	assert_int_equal(parse(mode, rest, &c), -EINVAL);
	assert_string_equal(errors, expected);
	assert_int_equal(n_inits, n_releases);
}

static void a_mode_has_a_struct_of_its_own(void **state)
{
	struct config *c;

	(void)state;
	n_inits = n_releases = 0;
	assert_int_equal(
	    parse("quiz", "pause = 1.5; questions = \"/q\"; room = \"pub\"; max_clients = 4;", &c), 0);
	assert_string_equal(errors, "");
	const struct listener_config *l = &c->listeners[0];
	const struct quiz *q = l->own;
	assert_ptr_equal(l->handler, &quiz);
	assert_string_equal(l->room, "pub");
	assert_int_equal(l->max_clients, 4);
	assert_int_equal(q->rounds, 3);
	assert_int_equal(q->pause_us, 1500000);
	assert_string_equal(q->questions, "/q");
	assert_int_equal(n_inits, 1);
	config_free(c);
	assert_int_equal(n_releases, 1);
}

static void a_mode_without_settings_has_none(void **state)
{
	struct config *c;

	(void)state;
	n_inits = 0;
	assert_int_equal(parse("plain", "backlog = 7;", &c), 0);
	assert_null(c->listeners[0].own);
	assert_string_equal(c->listeners[0].room, "");
	assert_int_equal(c->listeners[0].backlog, 7);
	assert_int_equal(n_inits, 0);
	config_free(c);
}

static void the_mode_judges_and_completes(void **state)
{
	struct config *c;

	(void)state;
	assert_errors("quiz", "questions = \"/q\";", "f:2: rounds need a pause\n");
	assert_errors("quiz", "pause = 1;", "f:2: a quiz needs questions\n");
	assert_errors("quiz", "pause = 1; questions = \"/q\";\nrounds = 10;",
		      "f:4: rounds must be a whole number from 1 to 9\n");
	assert_int_equal(parse("quiz", "rounds = 1; questions = \"/q\";", &c), 0);
	assert_string_equal(c->listeners[0].room, "lobby");
	config_free(c);
}

/* Its value is judged nevertheless, so that who has the wrong mode there learns everything at once. */
static void what_another_mode_has_is_refused_with_its_line(void **state)
{
	(void)state;
	assert_errors("plain", "\nrounds = 2;", "f:4: mode \"plain\" of type \"tcp\" has no rounds\n");
	assert_errors("plain", "rounds = 0;",
		      "f:3: rounds must be a whole number from 1 to 9\n"
		      "f:3: mode \"plain\" of type \"tcp\" has no rounds\n");
	assert_errors("quiz", "rounds = 1; questions = \"/q\"; backlog = 1;",
		      "f:3: mode \"quiz\" of type \"tcp\" has no backlog\n");
}

static void what_no_mode_has_is_refused_with_all_that_there_are(void **state)
{
	(void)state;
	assert_errors(
	    "plain", "\ncolour = 2;",
	    "f:4: unknown setting colour; allowed are name, type, mode, listen, max_clients, allow, deny, "
	    "backlog, proxies, tls_certificate, tls_key, tls_client_ca, tls_client_optional, tls_survives, "
	    "room, rounds, pause, "
	    "questions\n");
}

static void modes_are_those_that_were_handed_in(void **state)
{
	(void)state;
	assert_errors("chat", "",
		      "f:2: there is no mode \"chat\" of type \"tcp\"; allowed are tcp plain, tcp quiz\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_mode_has_a_struct_of_its_own),
	    cmocka_unit_test(a_mode_without_settings_has_none),
	    cmocka_unit_test(the_mode_judges_and_completes),
	    cmocka_unit_test(what_another_mode_has_is_refused_with_its_line),
	    cmocka_unit_test(what_no_mode_has_is_refused_with_all_that_there_are),
	    cmocka_unit_test(modes_are_those_that_were_handed_in),
	};

	return cmocka_run_group_tests_name("mode_settings", tests, NULL, NULL);
}
