/* SPDX-License-Identifier: MIT */
/* `chatctl restart`: tries the program on disk, and becomes it. See handover.h. */
#include "daemon/state/handover.h"

#include "common/cleanup.h"
#include "daemon/base/clock.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>

extern char **environ;

struct handover {
	int *fds;
	size_t n;
	char *names; /* ":FD=NAME" for each */
	bool failed;
};

int handover_new(struct handover **ret)
{
	*ret = calloc(1, sizeof(**ret));
	return *ret ? 0 : -ENOMEM;
}

void handover_free(struct handover *h)
{
	if (!h)
		return;
	free(h->fds);
	free(h->names);
	free(h);
}

void handover_add(const char *name, int fd, void *handover)
{
	struct handover *h = handover;
	int *fds = reallocarray(h->fds, h->n + 1, sizeof(*fds));
	char *names = NULL;

	if (fds)
		h->fds = fds;
	if (!fds || asprintf(&names, "%s:%d=%s", h->names ? h->names : "", fd, name) < 0) {
		h->failed = true;
		return;
	}
	free(h->names);
	h->names = names;
	h->fds[h->n++] = fd;
}

static void handover_say(char **ret_why, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void handover_say(char **ret_why, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	if (vasprintf(ret_why, format, ap) < 0)
		*ret_why = NULL;
	va_end(ap);
}

static int handover_spawn_probe(const char *program, const char *config_path, int output, pid_t *ret)
{
	char *const argv[] = {(char *)program, "--probe", "-c", (char *)config_path, NULL};
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	sigset_t none;

	sigemptyset(&none);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
	posix_spawn_file_actions_adddup2(&actions, output, STDERR_FILENO);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
	int r = posix_spawn(ret, program, &actions, &attr, argv, environ);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&actions);
	return -r;
}

/* Whether the process ends within the time. Other work for this thread may interrupt the call. */
static bool handover_ends(int pidfd, int timeout_ms)
{
	struct pollfd p = {.fd = pidfd, .events = POLLIN};
	int64_t until = clock_us(CLOCK_MONOTONIC) + timeout_ms * INT64_C(1000), left;
	int r;

	while ((left = until - clock_us(CLOCK_MONOTONIC)) > 0) {
		r = poll(&p, 1, (int)((left + 999) / 1000));
		if (r > 0 || (r < 0 && errno != EINTR))
			return r > 0;
	}
	return false;
}

int handover_probe(const char *program, const char *config_path, int timeout_ms, char **ret_why)
{
	_cleanup_close_ int out = -1;
	char text[8192];
	int pipe_fds[2], status = 0;
	pid_t pid;

	*ret_why = NULL;
	if (pipe2(pipe_fds, O_CLOEXEC | O_NONBLOCK) < 0)
		return -errno;
	out = pipe_fds[0];
	int r = handover_spawn_probe(program, config_path, pipe_fds[1], &pid);
	close(pipe_fds[1]);
	if (r < 0) {
		handover_say(ret_why, "%s can't be run: %s", program, strerror(-r));
		return r;
	}
	_cleanup_close_ int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (pidfd >= 0 && !handover_ends(pidfd, timeout_ms)) {
		kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
		handover_say(ret_why, "%s --probe does not end", program);
		return -ETIMEDOUT;
	}
	if (waitpid(pid, &status, 0) < 0)
		return -errno;
	ssize_t n = read(out, text, sizeof(text) - 1);
	while (n > 0 && text[n - 1] == '\n')
		n--;
	text[n > 0 ? n : 0] = '\0';
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
		handover_say(ret_why, "%s can't take over: %s", program, text[0] ? text : "it failed");
		return -EINVAL;
	}
	if (strncmp(text, "chatd ", 6) != 0) {
		handover_say(ret_why, "%s is not chatd", program);
		return -EINVAL;
	}
	return 0;
}

static int handover_set_inherited(const struct handover *h, bool inherited)
{
	for (size_t i = 0; i < h->n; i++)
		if (fcntl(h->fds[i], F_SETFD, inherited ? 0 : FD_CLOEXEC) < 0)
			return -errno;
	return 0;
}

int handover_exec(struct handover *h, const char *program, char **argv)
{
	_cleanup_free_ char *value = NULL;

	if (h->failed || asprintf(&value, "%d%s", (int)getpid(), h->names ? h->names : "") < 0)
		return -ENOMEM;
	if (setenv(HANDOVER_VARIABLE, value, 1) < 0)
		return -errno;
	int r = handover_set_inherited(h, true);
	if (r == 0) {
		execv(program, argv);
		r = -errno;
	}
	handover_set_inherited(h, false);
	unsetenv(HANDOVER_VARIABLE);
	return r;
}
