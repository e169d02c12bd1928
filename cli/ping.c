/* SPDX-License-Identifier: MIT */
/* chatctl ping and version: whether chatd answers, and which one it is. Every chatd can tell. */
#include "cli/command.h"
#include "cli/show.h"
#include "cli/subcommands.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define PING_INFO "org.varlink.service.GetInfo"

int command_ping(const struct options *o, int argc, char **argv)
{
	struct timespec before, now;
	json_t *reply;

	if (argc > 1)
		return usage(argv[0]);
	clock_gettime(CLOCK_MONOTONIC, &before);
	int status = call(o, PING_INFO, NULL, &reply);
	if (status != EXIT_DONE)
		return status;
	clock_gettime(CLOCK_MONOTONIC, &now);
	double seconds = (double)(now.tv_sec - before.tv_sec) + (double)(now.tv_nsec - before.tv_nsec) / 1e9;
	if (o->json)
		printf("{\"seconds\":%.6f}\n", seconds);
	else
		printf("chatd answers after %.1f ms\n", seconds * 1e3);
	json_decref(reply);
	return EXIT_DONE;
}

int command_version(const struct options *o, int argc, char **argv)
{
	json_t *reply;

	if (argc > 1)
		return usage(argv[0]);
	if (!o->json)
		puts("chatctl " PACKAGE_VERSION);
	int status = call(o, PING_INFO, NULL, &reply);
	if (status != EXIT_DONE)
		return status;
	const char *version = show_string(reply, "version");
	if (o->json) {
		json_t *j = json_pack("{s:s,s:s}", "chatctl", PACKAGE_VERSION, "chatd", version);
		print_json(j);
		json_decref(j);
	} else {
		printf("chatd   %s%s\n", version,
		       strcmp(version, PACKAGE_VERSION) == 0
			   ? ""
			   : " (`chatctl restart` runs the program on disk)");
	}
	json_decref(reply);
	return EXIT_DONE;
}
