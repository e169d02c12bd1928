/* SPDX-License-Identifier: MIT */
/* chatd's command line: see chatd(8). */
#include "daemon/config/config.h"
#include "daemon/modes/table.h"
#include "daemon/server/server.h"
#include "daemon/server/supervise.h"
#include "daemon/state/clients.h"

#include <getopt.h>
#include <microhttpd.h>
#include <openssl/crypto.h>
#include <pwd.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <zmq.h>

static const char help[] =
    "Usage: chatd [--supervise] [-c FILE]\n"
    "       chatd --check [--user NAME] [FILE]\n"
    "\n"
    "Serves chat and relays messages in the foreground, as the configuration says.\n"
    "\n"
    "  -c, --config FILE  the configuration (" SYSCONFDIR "/chatd.conf)\n"
    "      --supervise    where there is no systemd: start it again when it dies, with all connections\n"
    "      --check [FILE] check the configuration and exit: 0 good, 1 bad\n"
    "      --user NAME    whom chatd runs as: root checks with that user's eyes (chatd)\n"
    "  -h, --help         show this help\n"
    "  -V, --version      show the version and what it was built with\n"
    "\n"
    "Signals: TERM ends, HUP reloads, USR2 restarts without dropping anyone.\n"
    "See chatd(8), chatd.conf(5), chatctl(1).\n";

#ifdef ENABLE_FAULTS
#define FAULTS ", fault points"
#else
#define FAULTS ""
#endif

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZER ", AddressSanitizer"
#elif defined(__SANITIZE_THREAD__)
#define SANITIZER ", ThreadSanitizer"
#else
#define SANITIZER ""
#endif

enum { OPTION_CHECK = 256, OPTION_PROBE, OPTION_SUPERVISE, OPTION_USER };

static void main_print_version(void)
{
	int major, minor, patch;

	zmq_version(&major, &minor, &patch);
	printf("chatd %s (state layout %u%s%s)\n", PACKAGE_VERSION, clients_layout(), FAULTS, SANITIZER);
	printf("configuration " SYSCONFDIR
	       "/chatd.conf; io_uring, ZeroMQ %d.%d.%d, OpenSSL %s, libsodium %s, "
	       "libmicrohttpd %s\n",
	       major, minor, patch, OpenSSL_version(OPENSSL_VERSION_STRING), sodium_version_string(),
	       MHD_get_version());
}

/* Root may read files that chatd's user may not. Without such a user, root is who will run it. */
static int main_check(const char *path, const char *user)
{
	const struct passwd *as = geteuid() == 0 ? getpwnam(user ? user : "chatd") : NULL;

	if (user && !as) {
		fprintf(stderr,
			geteuid() == 0 ? "chatd: there is no user \"%s\"\n"
				       : "chatd: only root can check as user \"%s\"\n",
			user);
		return 2;
	}
	if (geteuid() == 0 && !as)
		fputs("chatd: warning: there is no user chatd; checked as root\n", stderr);
	return config_check(path, handlers, as, stderr) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int main_probe(const char *path)
{
	struct config *c;
	int r = config_load(path, handlers, stderr, NULL, &c);

	if (r < 0)
		return EXIT_FAILURE;
	config_free(c);
	printf("chatd %s layout %u\n", PACKAGE_VERSION, clients_layout());
	return EXIT_SUCCESS;
}

#ifdef __SANITIZE_THREAD__
void __sanitizer_symbolize_pc(void *pc, const char *format, char *text, size_t size);

/* Its reports need names, which tests/tsan.supp knows them by, and it opens the program for those: now, as a test may have
 * used up all descriptors later. */
static __attribute__((constructor)) void main_read_names(void)
{
	char text[64];

	__sanitizer_symbolize_pc((void *)main_read_names, "%f", text, sizeof(text));
}
#endif

int main(int argc, char **argv)
{
	static const struct option options[] = {
	    {"config", required_argument, NULL, 'c'},
	    {"check", no_argument, NULL, OPTION_CHECK},
	    {"probe", no_argument, NULL, OPTION_PROBE},
	    {"supervise", no_argument, NULL, OPTION_SUPERVISE},
	    {"help", no_argument, NULL, 'h'},
	    {"version", no_argument, NULL, 'V'},
	    {"user", required_argument, NULL, OPTION_USER},
	    {NULL, 0, NULL, 0},
	};
	const char *path = SYSCONFDIR "/chatd.conf", *user = NULL;
	enum { RUN, SUPERVISE, CHECK, PROBE } action = RUN;
	int o;

	while ((o = getopt_long(argc, argv, "c:hV", options, NULL)) >= 0)
		switch (o) {
		case 'c':
			path = optarg;
			break;
		case OPTION_CHECK:
			action = CHECK;
			break;
		case OPTION_PROBE: /* what a running chatd asks a new one before it hands over */
			action = PROBE;
			break;
		case OPTION_SUPERVISE:
			action = SUPERVISE;
			break;
		case OPTION_USER:
			user = optarg;
			break;
		case 'h':
			fputs(help, stdout);
			return EXIT_SUCCESS;
		case 'V':
			main_print_version();
			return EXIT_SUCCESS;
		default:
			fputs("Try chatd --help.\n", stderr);
			return 2;
		}
	if (action == CHECK && optind < argc)
		path = argv[optind++];
	if (optind < argc) {
		fprintf(stderr, "chatd: what is \"%s\"? Try chatd --help.\n", argv[optind]);
		return 2;
	}
	if (action == CHECK)
		return main_check(path, user);
	if (action == PROBE)
		return main_probe(path);
	if (action == SUPERVISE)
		return supervise_run(path);
	return server_run(path, argv);
}
