/* SPDX-License-Identifier: MIT */
/* The configuration: whatever is written there is taken or refused, and what is refused has a reason. */
#include "tests/fuzz/fuzz.h"

#include "common/cleanup.h"
#include "daemon/config/cluster.h"
#include "daemon/config/config.h"
#include "daemon/modes/table.h"

#include <string.h>

/* libconfig's scanner forgets the string that it was reading when a syntax error ends it. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:libconfig.so";
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *text = malloc(size + 1);
	char *errors = NULL;
	size_t errors_size;
	struct config *c = NULL;

	memcpy(text, data, size);
	text[size] = '\0';
	if (strstr(text, "include"))
		return -1; /* it would read files of this machine */
	FILE *f = open_memstream(&errors, &errors_size);
	int r = config_parse(text, "fuzz", handlers, f, &c);
	fclose(f);
	REQUIRE((r == 0) == (c != NULL));
	REQUIRE((r == 0) == (errors_size == 0));
	if (c) {
		REQUIRE(c->max_message >= 16 && c->control_socket[0] == '/');
		for (size_t i = 0; i < c->n_listeners; i++)
			REQUIRE(c->listeners[i].handler && c->listeners[i].name[0]);
		if (c->cluster) {
			REQUIRE(c->cluster->node[0] && c->cluster->stream[0] && c->cluster->n_servers > 0);
			REQUIRE(!c->cluster->rooms || c->cluster->n_rooms > 0);
		}
	}
	config_free(c);
	free(errors);
	return 0;
}
