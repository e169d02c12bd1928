/* SPDX-License-Identifier: MIT */
/* chatctl --host: ssh runs chatctl on that machine, as whoever logs in there, with the same arguments. */
#include "cli/remote.h"

#include "cli/command.h"
#include "common/cleanup.h"

#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* What ssh ends with when it fails itself, and a shell that does not find the program. */
#define SSH_FAILED 255
#define SHELL_FOUND_NOTHING 127

extern char **environ;

/* As the shell over there reads it: a word in quotes. */
static void remote_quote(FILE *f, const char *word)
{
	fputs(" '", f);
	for (; *word; word++)
		if (*word == '\'')
			fputs("'\\''", f);
		else
			fputc(*word, f);
	fputc('\'', f);
}

/* The command line for the other machine's shell, free()d by the caller; NULL without memory. */
static char *remote_command(const struct remote *r)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return NULL;
	fputs("chatctl", f);
	if (r->json)
		fputs(" --json", f);
	if (r->socket) {
		fputs(" --socket", f);
		remote_quote(f, r->socket);
	}
	if (r->config) {
		fputs(" --config", f);
		remote_quote(f, r->config);
	}
	for (int i = 0; i < r->argc; i++)
		remote_quote(f, r->argv[i]);
	fclose(f);
	return text;
}

int remote_run(const struct remote *r)
{
	/* With a terminal there, tables know their width and passwords can be asked for; else bytes stay as they are. */
	bool terminal = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
	_cleanup_free_ char *command = remote_command(r);
	int status, error;
	pid_t pid;

	if (r->host[0] == '-' || r->host[0] == '\0')
		return fail(EXIT_USAGE, "--host takes a machine or USER@MACHINE, not \"%s\"", r->host);
	if (!command)
		return fail(EXIT_REFUSED, "%s", strerror(ENOMEM));
	/* Without ssh's word that the connection ended. */
	const char *const argv[] = {
	    "ssh", "-x", terminal ? "-t" : "-T", "-o", "LogLevel=ERROR", "--", r->host, command, NULL};
	error = posix_spawnp(&pid, "ssh", NULL, NULL, (char *const *)argv, environ);
	if (error)
		return fail(EXIT_UNREACHABLE, "ssh can't be run: %s", strerror(error));
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return fail(EXIT_REFUSED, "%s", strerror(errno));
	if (WIFSIGNALED(status))
		return fail(EXIT_UNREACHABLE, "ssh was ended by signal %d", WTERMSIG(status));
	switch (WEXITSTATUS(status)) {
	case SSH_FAILED:
		return fail(EXIT_UNREACHABLE, "%s can't be reached by ssh", r->host);
	case SHELL_FOUND_NOTHING:
		return fail(EXIT_UNREACHABLE, "there is no chatctl at %s", r->host);
	default:
		return WEXITSTATUS(status);
	}
}
