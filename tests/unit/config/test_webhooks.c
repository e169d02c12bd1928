/* SPDX-License-Identifier: MIT */
/* The list `webhooks`: what it means, what it refuses, and when a reload has changed one. */
#include "tests/unit/unit.h"

#include "tests/unit/config/parse.h"

#include "daemon/config/config.h"
#include "daemon/config/webhooks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define HOOK(rest) "webhooks = ( { name = \"ops\"; room = \"lobby\"; url = \"https://h/\"; " rest " } );"
#define SECRET "secret = \"0123456789abcdef\";"

#ifdef HAVE_CURL
static void mistakes(void **state)
{
	(void)state;
	assert_error("webhooks = 5;", "webhooks must be");
	assert_error("webhooks = ( { } );", "a webhook needs a name");
	assert_error(HOOK(""), "a webhook needs a secret or a secret_file of 16 to 1024 bytes");
	assert_error(HOOK("secret = \"short\";"), "of 16 to 1024 bytes");
	assert_error(HOOK("secret = \"whsec_!!!not base64!!!\";"),
		     "what is behind \"whsec_\" must be base64");
	assert_error(HOOK(SECRET "secret_file = \"/x\";"), "not both");
	assert_error(HOOK("secret_file = \"/nowhere/x\";"), "/nowhere/x can't be read");
	assert_error(HOOK(SECRET "ca_file = \"/dev/null\";"), "can't be read");
	assert_error(HOOK(SECRET "keep = \"forever\";"), "keep must be a time");
	assert_error(HOOK(SECRET "batch = 1001;"), "batch must be");
	assert_error(HOOK(SECRET "timeout = 0;"), "timeout must be");
	static const char *const urls[] = {
	    "",		  "h",		 "ftp://h/",	"http://",	 "https:///x",
	    "http:// h/", "http://h/ x", "http://h/\t", "http://h/\\\"", "http://?x"};
	for (size_t i = 0; i < sizeof(urls) / sizeof(*urls); i++) {
		char text[256];
		snprintf(text, sizeof(text),
			 "webhooks = ( { name = \"a\"; room = \"b\"; " SECRET " url = \"%s\"; } );", urls[i]);
		assert_error(text, "url must be an address that begins with");
	}
}

static void what_it_means(void **state)
{
	struct config *c = NULL;

	(void)state;
	assert_int_equal(parse(HOOK(SECRET), &c), 0);
	assert_int_equal(c->webhooks->n, 1);
	const struct webhook_config *w = &c->webhooks->at[0];
	assert_string_equal(w->name, "ops");
	assert_string_equal(w->room, "lobby");
	assert_string_equal(w->url, "https://h/");
	assert_int_equal(w->keep_us, INT64_C(86400000000));
	assert_int_equal(w->timeout_us, 10000000);
	assert_int_equal(w->batch, 100);
	assert_false(w->notices);
	struct webhook_config copy;
	assert_true(webhook_config_copy(w, &copy));
	assert_true(webhook_config_equal(w, &copy));
	copy.secret[0] = 'x';
	assert_false(webhook_config_equal(w, &copy));
	webhook_config_release(&copy);
	config_free(c);
}
#else
static void mistakes(void **state)
{
	struct config *c = NULL;

	(void)state;
	assert_int_equal(parse(HOOK(SECRET), &c), -EINVAL);
	assert_non_null(strstr(errors, "built without libcurl"));
}
#endif

static void without_any_there_is_nothing(void **state)
{
	struct config *c = NULL;

	(void)state;
	assert_int_equal(parse("webhooks = ( );", &c), 0);
	assert_null(c->webhooks);
	config_free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(mistakes),
#ifdef HAVE_CURL
	    cmocka_unit_test(what_it_means),
#endif
	    cmocka_unit_test(without_any_there_is_nothing),
	};

	return cmocka_run_group_tests_name("webhooks", tests, NULL, NULL);
}
