/* SPDX-License-Identifier: MIT */
/* A change to memory that others see, interrupted after any of its instructions. */
#ifndef TESTS_UNIT_STEPS_H
#define TESTS_UNIT_STEPS_H

#include "tests/unit/unit.h"

#include <signal.h>
#include <stdbool.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#define STEPS_NOT_ALLOWED 77

/*
 * Runs change() in a process of its own, and look() in this one before the change and after each of its instructions,
 * until that says false. Returns how many there were. Where nobody may trace the test is skipped.
 */
static inline unsigned steps_of(void (*change)(void *arg), bool (*look)(void *arg), void *arg)
{
	unsigned n = 0;
	int status;
	pid_t child = fork();

	if (child == 0) {
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
			_exit(STEPS_NOT_ALLOWED);
		raise(SIGSTOP);
		change(arg);
		_exit(0);
	}
	while (waitpid(child, &status, 0) == child && WIFSTOPPED(status)) {
		if (!look(arg)) {
			kill(child, SIGKILL);
			continue;
		}
		n++;
		assert_int_equal(ptrace(PTRACE_SINGLESTEP, child, NULL, NULL), 0);
	}
	if (WIFEXITED(status) && WEXITSTATUS(status) == STEPS_NOT_ALLOWED)
		skip();
	assert_true(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
	return n;
}

#endif
