/* SPDX-License-Identifier: MIT */
/* The group `cluster`: what it means, what it refuses, and what a reload leaves as it was. */
#include "tests/unit/unit.h"

#include "tests/unit/config/parse.h"

#include "common/cleanup.h"
#include "daemon/config/cluster.h"
#include "daemon/config/config.h"
#include "daemon/modes/table.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CLUSTER(rest) "cluster: { node = \"a\"; servers = ( \"nats://one\" ); " rest " };"

static void no_cluster(void **state)
{
	struct config *c;

	(void)state;
	assert_int_equal(parse("", &c), 0);
	assert_null(c->cluster);
	assert_false(cluster_config_has_room(c->cluster, "lobby"));
	config_free(c);
}

static void mistakes(void **state)
{
	(void)state;
	assert_error("cluster = 5;", "f:1: cluster must be a group");
	assert_error("cluster: { servers = ( \"nats://a\" ); };", "needs the name of this node");
	assert_error("cluster: { node = \"a\"; };", "needs servers of NATS");
	assert_error("cluster: { node = \"\"; };", "node must have 1 to 32");
	assert_error("cluster: { node = \"a.b\"; };", "node must have 1 to 32");
	assert_error("cluster: { node = \"012345678901234567890123456789012\"; };", "node must have 1 to 32");
	assert_error(CLUSTER("stream = \"CHATD.>\";"), "stream must have 1 to 32");
	assert_error("cluster: { servers = ( ); };", "servers must be 1 to 32");
	assert_error("cluster: { servers = \"nats://a\"; };", "servers must be a list of servers");
	assert_error("cluster: { servers = (\n1 ); };", "f:2: servers: \"?\" must be as");
	static const char *const places[] = {"a",
					     "http://a",
					     "nats://",
					     "nats://a:",
					     "nats://a:0",
					     "nats://a:65536",
					     "nats://a:1x",
					     "nats://a b",
					     "nats://[::1",
					     "nats://[x]:1",
					     "nats://[]:4222",
					     "nats://::1",
					     "nats://a:1/x",
					     "nats://:4222",
					     "nats://a:9999999999999999999"};
	for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++) {
		char text[256];
		snprintf(text, sizeof(text), "cluster: { servers = ( \"%s\" ); };", places[i]);
		assert_error(text, "\" must be as \"nats://HOST:PORT\" or \"tls://HOST:PORT\"");
	}
	assert_error("cluster: { servers = ( \"nats://a\", \"nats://a:4222\" ); };",
		     "nats://a:4222 is there twice");
	assert_error("cluster: { servers = ( \"nats://a\", \"tls://b\" ); };", "all be tls://, or none");
	assert_error(CLUSTER("rooms = \"lobby\";"), "rooms must be a list of rooms");
	assert_error(CLUSTER("rooms = ( );"), "rooms is empty");
	assert_error(CLUSTER("rooms = ( \"lob*\" );"), "\"lob*\" is neither the name of a room nor");
	assert_error(CLUSTER("rooms = ( \"lobby\", \"*\" );"), "\"*\" is neither");
	assert_error(CLUSTER("rooms = ( 5 );"), "\"?\" is neither");
	assert_error(CLUSTER("when_away = \"panic\";"), "\"local\" or \"wait\", not \"panic\"");
	assert_error(CLUSTER("away_after = -1;"), "away_after must be a number of seconds");
	assert_error(CLUSTER("reserve_for = \"4000d\";"), "reserve_for must be a time from 0 s to 3650 days");
	assert_error(CLUSTER("replicas = 2;"), "replicas must be 1, 3 or 5");
	assert_error(CLUSTER("replicas = \"3\";"), "replicas must be 1, 3 or 5");
	static const char *const ages[] = {"0",	    "59",      "\"1s\"",  "\"7\"",	"\"7days\"",
					   "\"d\"", "\"-7d\"", "\"nan\"", "\"99999w\"", "true"};
	for (size_t i = 0; i < sizeof(ages) / sizeof(*ages); i++) {
		char text[256];
		snprintf(text, sizeof(text), CLUSTER("keep = %s;"), ages[i]);
		assert_error(text, "keep must be a time from 60 s to 3650 days");
	}
	assert_error(CLUSTER("keep_bytes = \"1K\";"), "keep_bytes must be a size");
	assert_error(CLUSTER("pattern = \"x\";"), "unknown setting pattern; allowed are node, servers");
}

/* Secrets are never repeated. */
static void who_we_are(void **state)
{
	(void)state;
	assert_error("cluster: { servers = ( \"nats://me:geheim@a\" ); };", "have settings of their own");
	assert_null(strstr(errors, "geheim"));
	assert_error(CLUSTER("user = \"u\";"), "a user needs a password_file, or a password");
	assert_error(CLUSTER("password = \"geheim\";"), "a password needs a user");
	assert_null(strstr(errors, "geheim"));
	assert_error(CLUSTER("user = \"u\"; password = \"\";"), "password is empty");
	assert_error(CLUSTER("user = \"u\"; password = \"p\"; password_file = \"/etc/hostname\";"),
		     "one of them is enough");
	assert_error(CLUSTER("user = \"u\"; password = \"p\"; token_file = \"/etc/hostname\";"),
		     "only one of user, token_file and credentials");
	assert_error(CLUSTER("token_file = \"here\";"), "absolute path");
	assert_error(CLUSTER("token_file = \"/nonexistent/file\";"),
		     "/nonexistent/file can't be read: No such file or directory");
	assert_error(CLUSTER("token_file = \"/etc\";"), "/etc can't be read: it is not a file");
	assert_error(CLUSTER("token_file = \"/etc/passwd\";"), "/etc/passwd must be one line, the token");
	assert_error(CLUSTER("user = \"u\"; password_file = \"/dev/null\";"), "/dev/null can't be read");
	assert_error(CLUSTER("credentials = \"/etc/passwd\";"), "/etc/passwd is not a file of credentials");
	assert_error(CLUSTER("tls_ca = \"/etc/passwd\";"), "tls_ca needs servers that are \"tls://");
	assert_error(CLUSTER("tls_key = \"/etc/passwd\";"), "tls_certificate and tls_key need each other");
	assert_error("cluster: { node = \"a\"; servers = ( \"tls://a\" );\ntls_ca = \"/etc/passwd\"; };",
		     "f:2: the certificates in /etc/passwd can't be used");
	assert_error("cluster: { node = \"a\"; servers = ( \"tls://a\" ); tls_certificate = \"/etc/passwd\";"
		     "tls_key = \"/etc/passwd\"; };",
		     "the certificate in /etc/passwd can't be used");
}

#ifdef HAVE_NATS
static void defaults(void **state)
{
	struct config *c;

	(void)state;
	assert_int_equal(parse(CLUSTER(""), &c), 0);
	const struct cluster_config *k = c->cluster;
	assert_string_equal(k->node, "a");
	assert_string_equal(k->stream, "CHATD");
	assert_int_equal(k->n_servers, 1);
	assert_string_equal(k->servers[0], "nats://one:4222");
	assert_false(k->tls);
	assert_int_equal(k->when_away, CLUSTER_LOCAL);
	assert_int_equal(k->away_after_us, 1000000);
	assert_int_equal(k->reserve_for_us, INT64_C(30) * 86400 * 1000000);
	assert_int_equal(k->replicas, 1);
	assert_int_equal(k->keep_us, INT64_C(7) * 86400 * 1000000);
	assert_int_equal(k->keep_bytes, 1 << 30);
	assert_null(k->user);
	assert_null(k->token);
	assert_null(k->credentials);
	assert_true(cluster_config_has_room(k, "lobby"));
	config_free(c);
	assert_int_equal(parse(CLUSTER("rooms = \"*\";"), &c), 0);
	assert_true(cluster_config_has_room(c->cluster, "x"));
	config_free(c);
	assert_int_equal(parse(CLUSTER("rooms = ( \"*\" );"), &c), 0);
	assert_true(cluster_config_has_room(c->cluster, "x"));
	config_free(c);
}

static void everything(void **state)
{
	struct config *c;

	(void)state;
	assert_int_equal(
	    parse("rooms = ( { name = \"r\"; format = \"raw\"; }, { name = \"m\"; members = ( \"x\" ); } );"
		  "cluster: { node = \"North_1-a\"; stream = \"TEST\"; rooms = [ \"r\", \"m\" ];"
		  "servers = ( \"nats://[::1]\", \"nats://10.0.0.1:14222\", \"nats://n.example.org\" );"
		  "when_away = \"wait\"; away_after = 0.5; reserve_for = 0; replicas = 3; keep = \"12h\"; "
		  "keep_bytes = \"64G\";"
		  "user = \"u\"; password = \"geheim\"; };",
		  &c),
	    0);
	const struct cluster_config *k = c->cluster;
	assert_string_equal(k->node, "North_1-a");
	assert_string_equal(k->stream, "TEST");
	assert_int_equal(k->n_servers, 3);
	assert_string_equal(k->servers[0], "nats://[::1]:4222");
	assert_string_equal(k->servers[1], "nats://10.0.0.1:14222");
	assert_string_equal(k->servers[2], "nats://n.example.org:4222");
	assert_int_equal(k->when_away, CLUSTER_WAIT);
	assert_int_equal(k->away_after_us, 500000);
	assert_int_equal(k->reserve_for_us, 0);
	assert_int_equal(k->replicas, 3);
	assert_int_equal(k->keep_us, INT64_C(12) * 3600 * 1000000);
	assert_int_equal(k->keep_bytes, UINT64_C(64) << 30);
	assert_string_equal(k->user, "u");
	assert_string_equal(k->password, "geheim");
	assert_true(cluster_config_has_room(k, "m"));
	assert_false(cluster_config_has_room(k, "lobby"));
	config_free(c);
	assert_int_equal(parse(CLUSTER("keep = 3600;"), &c), 0);
	assert_int_equal(c->cluster->keep_us, INT64_C(3600) * 1000000);
	config_free(c);
}

static char *file_of(const char *content)
{
	static char path[64];

	strcpy(path, "/tmp/chatd-test-XXXXXX");
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, content, strlen(content)), strlen(content));
	close(fd);
	return path;
}

/* What was read is what counts, whatever becomes of the file. */
static void files(void **state)
{
	char text[512], got[128] = "";
	struct config *c;
	char *path = file_of("t0ken\n");

	(void)state;
	snprintf(text, sizeof(text), CLUSTER("token_file = \"%s\";"), path);
	assert_int_equal(parse(text, &c), 0);
	assert_string_equal(c->cluster->token, "t0ken");
	config_free(c);
	unlink(path);
	static const char credentials[] = "-----BEGIN NATS USER JWT-----\nx\n------END NATS USER JWT------\n"
					  "-----BEGIN USER NKEY SEED-----\ny\n";
	path = file_of(credentials);
	snprintf(text, sizeof(text), CLUSTER("credentials = \"%s\";"), path);
	assert_int_equal(parse(text, &c), 0);
	unlink(path);
	FILE *f = fopen(c->cluster->credentials, "re");
	assert_non_null(f);
	assert_int_equal(fread(got, 1, sizeof(got), f), strlen(credentials));
	assert_string_equal(got, credentials);
	fclose(f);
	config_free(c);
}

static void a_reload(void **state)
{
	struct config *old, *new;

	(void)state;
	assert_int_equal(parse(CLUSTER("rooms = ( \"x\", \"y\" );"), &old), 0);
	assert_int_equal(parse(CLUSTER("rooms = ( \"y\", \"x\" ); when_away = \"wait\";"), &new), 0);
	assert_int_equal(cluster_config_keep(&new->cluster, old->cluster), 0);
	assert_int_equal(new->cluster->when_away, CLUSTER_WAIT);
	config_free(new);
	assert_int_equal(parse("cluster: { node = \"b\"; servers = ( \"nats://two\" ); };", &new), 0);
	assert_int_equal(cluster_config_keep(&new->cluster, old->cluster), 1);
	assert_string_equal(new->cluster->node, "a");
	assert_string_equal(new->cluster->servers[0], "nats://two:4222");
	assert_true(cluster_config_has_room(new->cluster, "y"));
	assert_false(cluster_config_has_room(new->cluster, "z"));
	config_free(old);
	old = new;
	/* Off, for the next process. */
	assert_int_equal(parse("", &new), 0);
	assert_int_equal(cluster_config_keep(&new->cluster, old->cluster), 1);
	assert_ptr_equal(new->cluster, old->cluster);
	config_free(old);
	assert_string_equal(new->cluster->node, "a");
	/* And on. */
	old = new;
	assert_int_equal(parse("", &new), 0);
	assert_int_equal(cluster_config_keep(&old->cluster, new->cluster), 1);
	assert_null(old->cluster);
	assert_int_equal(cluster_config_keep(&old->cluster, new->cluster), 0);
	config_free(new);
	config_free(old);
}
#else
static void without_nats(void **state)
{
	(void)state;
	assert_error("\n" CLUSTER(""), "f:2: there can be no cluster: this chatd was built without NATS");
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(no_cluster), cmocka_unit_test(mistakes),	cmocka_unit_test(who_we_are),
#ifdef HAVE_NATS
	    cmocka_unit_test(defaults),	  cmocka_unit_test(everything), cmocka_unit_test(files),
	    cmocka_unit_test(a_reload),
#else
	    cmocka_unit_test(without_nats),
#endif
	};

	return cmocka_run_group_tests_name("cluster", tests, NULL, NULL);
}
