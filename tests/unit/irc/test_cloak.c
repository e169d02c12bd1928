/* SPDX-License-Identifier: MIT */
/* Cloaks: the same address is the same, networks have something in common, and the key is kept. */
#include "tests/unit/unit.h"

#include "daemon/config/irc_settings.h"
#include "daemon/irc/cloak.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct handler irc = {
    .type = "tcp", .mode = "irc", .transport = TRANSPORT_TCP, .settings = &irc_mode_settings};
static const struct handler *const modes[] = {&irc, NULL};

static char directory[] = "/tmp/chatd-cloak-XXXXXX", path[sizeof(directory) + 16];

static struct config *config(const char *more)
{
	struct config *c;
	char text[512];

	snprintf(text, sizeof(text),
		 "state_directory = \"%s\"; listeners = ( { name = \"a\"; type = \"tcp\"; mode = \"irc\"; "
		 "listen = \"127.0.0.1:6667\"; %s } );",
		 directory, more);
	assert_int_equal(config_parse(text, "f", modes, stderr, &c), 0);
	return c;
}

static const char *host(const struct config *c, const char *address)
{
	static char ret[2][IRC_CLOAK_MAX + 1];
	static unsigned at;
	union address a;

	assert_int_equal(address_parse(address, &a), 0);
	at ^= 1;
	irc_cloak_host(c, &c->listeners[0], &a, ret[at]);
	return ret[at];
}

/* Which parts of two cloaks are the same, one bit each from the left. */
static unsigned same_parts(const char *a, const char *b)
{
	unsigned same = 0;

	assert_int_equal(strlen(a), 29);
	assert_string_equal(a + 26, ".ip");
	for (unsigned i = 0; i < 3; i++)
		same |= (unsigned)(memcmp(a + 9 * (size_t)i, b + 9 * (size_t)i, 8) == 0) << i;
	return same;
}

static void cloaks(void **state)
{
	struct config *c = config("");

	(void)state;
	irc_cloak_complete(c, NULL);
	assert_int_equal(same_parts(host(c, "192.0.2.7:1"), host(c, "192.0.2.7:2")), 7);
	assert_int_equal(same_parts(host(c, "192.0.2.7:1"), host(c, "[::ffff:192.0.2.7]:2")), 7);
	assert_int_equal(same_parts(host(c, "192.0.2.7:1"), host(c, "192.0.2.8:1")), 6);
	assert_int_equal(same_parts(host(c, "192.0.2.7:1"), host(c, "192.0.3.7:1")), 4);
	assert_int_equal(same_parts(host(c, "192.0.2.7:1"), host(c, "192.1.2.7:1")), 0);
	assert_int_equal(same_parts(host(c, "[2001:db8::1]:1"), host(c, "[2001:db8::2]:1")), 6);
	assert_int_equal(same_parts(host(c, "[2001:db8::1]:1"), host(c, "[2001:db8:0:1::1]:1")), 4);
	assert_int_equal(same_parts(host(c, "[2001:db8::1]:1"), host(c, "[2001:db8:1::1]:1")), 0);
	/* A network's first address has nothing in common with the network. */
	assert_int_equal(same_parts(host(c, "192.0.0.0:1"), host(c, "192.0.0.0:1")), 7);
	assert_memory_not_equal(host(c, "192.0.0.0:1"), host(c, "192.0.0.0:1") + 9, 8);
	config_free(c);
}

static void addresses(void **state)
{
	struct config *c = config("cloak = false;");

	(void)state;
	irc_cloak_complete(c, NULL);
	assert_string_equal(host(c, "192.0.2.7:1"), "192.0.2.7");
	assert_string_equal(host(c, "[2001:db8::1]:1"), "2001:db8::1");
	assert_string_equal(host(c, "[::1]:1"), "0::1");
	config_free(c);
}

/* The key outlives the process, and a reload; one of the configuration comes first. */
static void keys(void **state)
{
	struct config *a = config(""), *b = config(""), *own = config("");
	struct stat st;

	(void)state;
	unlink(path);
	irc_cloak_complete(a, NULL);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	irc_cloak_complete(b, NULL);
	assert_string_equal(host(a, "192.0.2.7:1"), host(b, "192.0.2.7:1"));
	own->irc.has_cloak_key = true;
	own->irc.cloak_key_file = strdup("/k");
	irc_cloak_complete(own, a);
	assert_int_equal(same_parts(host(a, "192.0.2.7:1"), host(own, "192.0.2.7:1")), 0);
	/* Without the file a reload keeps what there is; a new process can't, and makes another. */
	unlink(path);
	config_free(b);
	b = config("");
	irc_cloak_complete(b, a);
	assert_string_equal(host(a, "192.0.2.7:1"), host(b, "192.0.2.7:1"));
	/* The key of a file that is configured no more is not gone on with. */
	config_free(b);
	b = config("");
	irc_cloak_complete(b, own);
	assert_int_equal(same_parts(host(a, "192.0.2.7:1"), host(b, "192.0.2.7:1")), 0);
	assert_int_equal(same_parts(host(own, "192.0.2.7:1"), host(b, "192.0.2.7:1")), 0);
	/* Nonsense is replaced. */
	FILE *f = fopen(path, "w");
	fputs("nonsense\n", f);
	fclose(f);
	config_free(b);
	b = config("");
	irc_cloak_complete(b, NULL);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, 2 * IRC_CLOAK_KEY_SIZE + 1);
	config_free(a);
	config_free(b);
	config_free(own);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(cloaks),
	    cmocka_unit_test(addresses),
	    cmocka_unit_test(keys),
	};

	if (sodium_init() < 0 || !mkdtemp(directory))
		return 1;
	snprintf(path, sizeof(path), "%s/cloak-key", directory);
	int r = cmocka_run_group_tests_name("cloak", tests, NULL, NULL);
	unlink(path);
	rmdir(directory);
	return r;
}
