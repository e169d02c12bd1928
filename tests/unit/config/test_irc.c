/* SPDX-License-Identifier: MIT */
/* The settings of IRC: what they mean, and what is said of each mistake. */
#include "tests/unit/unit.h"

#include "daemon/config/config.h"
#include "daemon/config/irc_settings.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HASH                                                                                                 \
	"$argon2id$v=19$m=65536,t=2,p=1$1oNlAVlCag1WLSFWTyK7vQ$xYlMCsKnN7nJ3GGxO0lNcB0pRISzugS+ZCPU/3lAJOc"

static const struct handler irc = {
    .type = "tcp", .mode = "irc", .transport = TRANSPORT_TCP, .settings = &irc_mode_settings};
static const struct handler *const modes[] = {&irc, NULL};

static char errors[4096];

static int parse(const char *text, struct config **ret)
{
	FILE *f = fmemopen(errors, sizeof(errors), "w");

	memset(errors, 0, sizeof(errors));
	int r = config_parse(text, "f", modes, f, ret);
	fclose(f);
	return r;
}

static void refused(const char *text, const char *expected)
{
	struct config *c = NULL;

	if (parse(text, &c) != -EINVAL)
		fail_msg("\"%s\" was taken", text);
	if (!strstr(errors, expected))
		fail_msg("\"%s\" said \"%s\", not \"%s\"", text, errors, expected);
}

static void refused_in_listener(const char *rest, const char *expected)
{
	char text[1024];

	snprintf(
	    text, sizeof(text),
	    "listeners = ( { name = \"a\"; type = \"tcp\"; mode = \"irc\"; listen = \"127.0.0.1:6667\";\n"
	    "%s } );",
	    rest);
	refused(text, expected);
}

/* A file with that text, which is removed by the next call; NULL: there is none any more. */
static const char *file(const char *text)
{
	static char path[] = "/tmp/chatd-irc-XXXXXX";
	static bool made;

	if (made)
		unlink(path);
	made = text;
	if (!text)
		return NULL;
	memcpy(path + sizeof(path) - 7, "XXXXXX", 6);
	FILE *f = fdopen(mkstemp(path), "w");
	fputs(text, f);
	fclose(f);
	return path;
}

static void defaults(void **state)
{
	struct config *c;

	(void)state;
	assert_int_equal(parse("listeners = ( { name = \"a\"; type = \"tcp\"; mode = \"irc\"; listen = "
			       "\"127.0.0.1:6667\"; } );",
			       &c),
			 0);
	const struct irc_listener_config *own = c->listeners[0].own;
	assert_true(own->cloak);
	assert_false(own->register_accounts);
	assert_string_equal(own->password.text, "");
	assert_false(irc_password_is(&own->password, "", 0));
	assert_non_null(strchr(c->irc.server_name, '.'));
	assert_string_equal(c->irc.network, "chatd");
	assert_null(c->irc.motd);
	assert_false(c->irc.has_cloak_key);
	assert_int_equal(c->max_rooms_per_client, 100);
	config_free(c);
}

static void values(void **state)
{
	struct config *c;
	char text[2048];

	(void)state;
	snprintf(text, sizeof(text),
		 "server_name = \"My.Little.Server\"; network = \"Example-Net\"; motd_file = \"%s\";"
		 "admin = ( \"Example Ltd.\", \"irc@example.org\" ); limits: { max_rooms_per_client = 7; };"
		 "operators = ( { account = \"ann\"; }, { name = \"root\"; password = \"%s\"; },"
		 " { name = \"bob\"; password = \"a b\"; } );"
		 "listeners = ( { name = \"a\"; type = \"tcp\"; mode = \"irc\"; listen = \"127.0.0.1:6667\";"
		 " password = \"secret\"; cloak = false; } );",
		 file("hello\nworld\n"), HASH);
	if (parse(text, &c) != 0)
		fail_msg("%s", errors);
	const struct irc_listener_config *own = c->listeners[0].own;
	assert_string_equal(c->irc.server_name, "My.Little.Server");
	assert_string_equal(c->irc.network, "Example-Net");
	assert_string_equal(c->irc.motd, "hello\nworld\n");
	assert_string_equal(c->irc.admin[0], "Example Ltd.");
	assert_string_equal(c->irc.admin[1], "irc@example.org");
	assert_string_equal(c->irc.admin[2], "");
	assert_int_equal(c->max_rooms_per_client, 7);
	assert_false(own->cloak);
	assert_true(irc_password_is(&own->password, "secret", 6));
	assert_false(irc_password_is(&own->password, "secre", 5));
	assert_false(irc_password_is(&own->password, "Secret", 6));
	assert_int_equal(c->irc.n_operators, 3);
	/* An account and a name of its own are two things. */
	assert_non_null(irc_config_operator(&c->irc, "ANN", 3, true));
	assert_null(irc_config_operator(&c->irc, "ann", 3, false));
	const struct irc_operator *o = irc_config_operator(&c->irc, "root", 4, false);
	assert_non_null(o);
	assert_true(irc_password_is_hash(&o->password));
	o = irc_config_operator(&c->irc, "bob", 3, false);
	assert_non_null(o);
	assert_false(irc_password_is_hash(&o->password));
	assert_true(irc_password_is(&o->password, "a b", 3));
	config_free(c);
}

static void cloak_key(void **state)
{
	struct config *c;
	char text[256];
	uint8_t key[IRC_CLOAK_KEY_SIZE];

	(void)state;
	snprintf(text, sizeof(text), "cloak_key_file = \"%s\";", file("0123456789abcdef"));
	assert_int_equal(parse(text, &c), 0);
	assert_true(c->irc.has_cloak_key);
	memcpy(key, c->irc.cloak_key, sizeof(key));
	config_free(c);
	snprintf(text, sizeof(text), "cloak_key_file = \"%s\";", file("0123456789abcdeg"));
	assert_int_equal(parse(text, &c), 0);
	assert_memory_not_equal(key, c->irc.cloak_key, sizeof(key));
	config_free(c);
	snprintf(text, sizeof(text), "\n\ncloak_key_file = \"%s\";", file("0123456789abcde"));
	refused(text, "f:3: /tmp/chatd-irc-");
	refused(text, "must have at least 16 bytes");
	refused("cloak_key_file = \"/nowhere/at/all\";", "f:1: /nowhere/at/all can't be read: No such file");
	refused("cloak_key_file = \"key\";", "cloak_key_file must be an absolute path");
}

static void mistakes(void **state)
{
	char text[512];
	static const char *const names[] = {"\"\"",   "\"nodot\"", "\"-a.b\"",
					    "\".a\"", "\"a b.c\"", "\"a_b.c\""};

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		snprintf(text, sizeof(text), "\nserver_name = %s;", names[i]);
		refused(text, "f:2: server_name must be a name with a dot in it");
	}
	snprintf(text, sizeof(text), "server_name = \"a.%062d\";", 1);
	refused(text, "server_name must be a name");
	refused("server_name = 5;", "server_name must be a string");
	refused("network = \"a b\";", "f:1: network must have 1 to 32");
	refused("network = \"\";", "network must have 1 to 32");
	refused("network = true;", "network must be a string");
	refused("motd_file = \"/nowhere/at/all\";", "f:1: /nowhere/at/all can't be read");
	refused("motd_file = \"/tmp\";", "/tmp can't be read: it is not a file");
	refused("motd_file = \"motd\";", "motd_file must be an absolute path");
	snprintf(text, sizeof(text), "motd_file = \"%s\";", file("\xff\n"));
	refused(text, "is not UTF-8");
	refused("admin = 5;", "f:1: admin must be a string, or a list of up to 3");
	refused("admin = ( \"a\", \"b\", \"c\", \"d\" );", "admin must be");
	refused("admin = ( \"a\", 5 );", "admin must be");
	refused("admin = \"a\\nb\";", "admin must be");
	refused("limits: { max_rooms_per_client = 0; };",
		"f:1: max_rooms_per_client must be a whole number from 1 to 100");
	refused("limits: { max_rooms_per_client = 101; };", "max_rooms_per_client must be");
}

static void operators(void **state)
{
	(void)state;
	refused("operators = 5;", "f:1: operators must be a list of groups");
	refused("operators = ( \"ann\" );", "operators must be a list of groups");
	refused("operators = (\n{ } );", "f:2: an operator has an account, or a name and a password");
	refused("operators = ( { name = \"a\"; account = \"b\"; } );",
		"an operator has an account, or a name and");
	refused("operators = ( { name = \"a\"; } );", "f:1: an operator with a name needs a password");
	refused("operators = ( { account = \"a\"; password = \"b\"; } );",
		"an operator with an account has that account's password");
	refused("operators = ( { account = \"a b\"; } );", "account: \"a b\" is not a valid name");
	refused("operators = ( { account = 5; } );", "account must be a string");
	refused("operators = ( { account = \"ann\"; }, { account = \"Ann\"; } );",
		"there are two operators \"Ann\"");
	refused("operators = ( { account = \"a\"; rank = 5; } );",
		"unknown setting rank; allowed are account, name, password");
	refused("operators = ( { name = \"a\"; password = \"\"; } );", "password must be a password");
	refused("operators = ( { name = \"a\"; password = \"$1$x\"; } );", "password must be a password");
	refused("operators = ( { name = \"a\"; password = \"$argon2id$v=19$x\"; } );",
		"password must be a password");
}

static void listeners(void **state)
{
	(void)state;
	refused_in_listener("cloak = 1;", "f:2: cloak must be true or false");
	refused_in_listener("register_accounts = \"yes\";", "f:2: register_accounts must be true or false");
	refused_in_listener("register_accounts = true;", "f:2: register_accounts needs a password_file");
	refused_in_listener("register_early = true;", "f:2: register_early needs register_accounts = true");
	refused_in_listener("register_email = true;", "f:2: register_email needs register_accounts = true");
	refused_in_listener("register_email = 1;", "f:2: register_email must be true or false");
	refused_in_listener("password = 5;", "f:2: password must be a string");
	refused_in_listener("password = \"\";", "f:2: password must be a password");
	refused_in_listener("tls_client_optional = true;", "f:2: tls_client_optional needs a tls_client_ca");
	refused_in_listener("room = \"lobby\";", "unknown setting room");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(defaults), cmocka_unit_test(values),    cmocka_unit_test(cloak_key),
	    cmocka_unit_test(mistakes), cmocka_unit_test(operators), cmocka_unit_test(listeners),
	};

	if (sodium_init() < 0)
		return 1;
	int r = cmocka_run_group_tests_name("irc", tests, NULL, NULL);
	file(NULL);
	return r;
}
