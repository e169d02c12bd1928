/* SPDX-License-Identifier: MIT */
/*
 * The parent of `chatd --supervise`: see supervise.h. A crash of the daemon is recovered from, one of this process is
 * not, so it does as little as it can: one thread, no memory but the struct below, and nothing that could wait.
 */
#include "daemon/server/supervise.h"

#include "daemon/base/clock.h"
#include "daemon/base/logger.h"
#include "daemon/state/handover.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

/* As in chatd.service, or systemd's defaults: FileDescriptorStoreMax=, WatchdogSec=, TimeoutStartSec=, TimeoutStopSec=. */
#define STORE_MAX 512
#define TIMEOUT_US (90 * SECOND_US)
#define ABORT_US (10 * SECOND_US) /* for a core dump, after SIGABRT */
#define PAUSE_MIN_US 10000	  /* after what ended before it was ready; twice as long each time */
#define PAUSE_MAX_US SECOND_US
#define NEVER_US (INT64_MAX / 2)
#define NAME_SIZE 128
#define CONTROL_SIZE 256 /* credentials, and more descriptors than come at once */
#define HEAR_MAX 4096

struct supervisor {
	char program[4096]; /* what its name is when this starts: an upgrade puts another program there */
	const char *config_path;
	int signals, notify; /* signalfd, socket */
	int64_t watchdog_us; /* 0: none */
	pid_t child;	     /* 0: none */
	bool ready;	     /* the child was */
	bool handing_over;   /* the child ends for the next one: SIGUSR1 */
	bool ending, over;
	int status; /* of exit */
	int64_t pause_us;
	int64_t due_us; /* when the next child is started, or this one has taken too long */
	int due_signal; /* which it gets then */
	unsigned n;
	struct {
		int fd;
		char name[NAME_SIZE];
	} kept[STORE_MAX];
};

static void supervise_due(struct supervisor *s, int64_t in_us, int number)
{
	s->due_us = clock_us(CLOCK_MONOTONIC) + in_us;
	s->due_signal = number;
}

/* Owns fd, which is only closed without a name. What is there already is not kept twice, as systemd has it. */
static void supervise_keep(struct supervisor *s, int fd, const char *name)
{
	struct stat st, kept;
	bool known = !name || fstat(fd, &st) < 0;

	for (unsigned i = 0; i < s->n && !known && fstat(s->kept[i].fd, &kept) == 0; i++)
		known = st.st_ino == kept.st_ino && st.st_dev == kept.st_dev;
	if (!known && s->n < STORE_MAX && strlen(name) < NAME_SIZE && !strchr(name, ':')) {
		s->kept[s->n].fd = fd;
		strcpy(s->kept[s->n++].name, name);
		return;
	}
	if (!known)
		log_error("supervisor: \"%s\" can't be kept", name);
	close(fd);
}

static void supervise_drop(struct supervisor *s, const char *name)
{
	for (unsigned i = s->n; i-- > 0;)
		if (strcmp(s->kept[i].name, name) == 0) {
			close(s->kept[i].fd);
			s->kept[i] = s->kept[--s->n];
		}
}

/* One message; false if there is none. */
static bool supervise_hear(struct supervisor *s)
{
	_Alignas(struct cmsghdr) char control[CONTROL_SIZE];
	char buffer[4096], *text = buffer, *line;
	const char *name = "stored";
	struct msghdr m = {.msg_iov = &(struct iovec){buffer, sizeof(buffer) - 1},
			   .msg_iovlen = 1,
			   .msg_control = control,
			   .msg_controllen = sizeof(control)};
	const int *fds = NULL;
	size_t n_fds = 0;
	pid_t from = 0;
	bool store = false, drop = false;
	ssize_t n = recvmsg(s->notify, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	if (n < 0)
		return errno == EINTR;
	for (struct cmsghdr *h = CMSG_FIRSTHDR(&m); h; h = CMSG_NXTHDR(&m, h))
		if (h->cmsg_type == SCM_RIGHTS) {
			fds = (const int *)CMSG_DATA(h);
			n_fds = (h->cmsg_len - CMSG_LEN(0)) / sizeof(*fds);
		} else if (h->cmsg_type == SCM_CREDENTIALS) {
			from = ((const struct ucred *)CMSG_DATA(h))->pid;
		}
	/* Anybody may write to the socket, but only the child is believed. */
	buffer[s->child > 0 && from == s->child && !(m.msg_flags & MSG_TRUNC) ? n : 0] = '\0';
	while ((line = strsep(&text, "\n"))) {
		store |= strcmp(line, "FDSTORE=1") == 0;
		drop |= strcmp(line, "FDSTOREREMOVE=1") == 0;
		name = strncmp(line, "FDNAME=", 7) == 0 ? line + 7 : name;
		bool ready = strcmp(line, "READY=1") == 0, alive = ready || strcmp(line, "WATCHDOG=1") == 0;
		s->ready |= ready;
		if (strcmp(line, "STOPPING=1") == 0)
			supervise_due(s, TIMEOUT_US, SIGKILL);
		else if (alive && s->ready && s->due_signal == SIGABRT)
			supervise_due(s, s->watchdog_us > 0 ? s->watchdog_us : NEVER_US, SIGABRT);
	}
	if (drop)
		supervise_drop(s, name);
	if (store && n_fds == 0)
		log_error("supervisor: \"%s\" can't be kept: too few file descriptors", name);
	for (size_t i = 0; i < n_fds; i++)
		supervise_keep(s, fds[i], store ? name : NULL); /* BARRIER=1 waits for the close() */
	return true;
}

/* In the new process. The signals that are passed on stay blocked until its event loop takes them. */
static void supervise_become(struct supervisor *s)
{
	char fds[STORE_MAX * (NAME_SIZE + 16)], *end = fds + sprintf(fds, "%d", (int)getpid());
	const char *meant_for = getenv("LISTEN_PID"), *parent = getenv(SUPERVISE_VARIABLE);

	prctl(PR_SET_PDEATHSIG, SIGTERM);
	/* Sockets that the parent was started with are meant for this one, and stay where they are. */
	if (meant_for && parent && strcmp(meant_for, parent) == 0)
		setenv("LISTEN_PID", fds, true);
	for (unsigned i = 0; i < s->n; i++) {
		fcntl(s->kept[i].fd, F_SETFD, 0);
		end += sprintf(end, ":%d=%s", s->kept[i].fd, s->kept[i].name);
	}
	setenv(HANDOVER_VARIABLE, fds, true);
	execv(s->program, (char *[]){s->program, "-c", (char *)s->config_path, NULL});
	log_error("supervisor: %s can't be run: %s", s->program, strerror(errno));
	_exit(EXIT_FAILURE);
}

static void supervise_start(struct supervisor *s)
{
	pid_t pid = fork();

	if (pid == 0)
		supervise_become(s);
	s->child = MAX(pid, 0);
	s->ready = s->handing_over = false;
	supervise_due(s, pid > 0 ? TIMEOUT_US : PAUSE_MAX_US, SIGABRT);
	if (pid < 0)
		log_error("supervisor: no new process: %s", strerror(errno));
	else if (s->ending)
		kill(pid, SIGTERM); /* it ends in order what was handed over to it */
}

/* As Restart=on-failure, RestartPreventExitStatus=CONFIG and Type=notify, by which no end is in order before READY=1. */
static void supervise_died(struct supervisor *s, int status)
{
	s->status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
	s->over = s->handing_over && s->status == 0
		      ? false
		      : s->ending || s->status == EX_CONFIG || (s->status == 0 && s->ready);
	s->pause_us = s->ready ? 0 : MIN(MAX(2 * s->pause_us, PAUSE_MIN_US), PAUSE_MAX_US);
	supervise_due(s, s->pause_us, 0);
	log_event(s->status || !s->ready ? LOG_ERR : LOG_NOTICE, NULL, "supervisor: chatd (%d) %s %d%s%s",
		  (int)s->child, WIFSIGNALED(status) ? "was ended by signal" : "ended with status",
		  WIFSIGNALED(status) ? WTERMSIG(status) : s->status, s->ready ? "" : " before it was ready",
		  s->over ? "" : "; it is started again");
	s->child = 0;
}

static void supervise_pass_on(struct supervisor *s)
{
	struct signalfd_siginfo si;

	while (read(s->signals, &si, sizeof(si)) == sizeof(si)) {
		int number = (int)si.ssi_signo;
		if (number == SIGTERM || number == SIGINT) {
			s->ending = true;
			supervise_due(s, TIMEOUT_US, SIGKILL);
		}
		s->handing_over |= number == SIGUSR1;
		if (s->child > 0 && number != SIGCHLD)
			kill(s->child, number);
	}
	s->over = s->ending && s->child == 0;
}

/* Who has ended, and what has come. */
static void supervise_look(struct supervisor *s)
{
	int status, end = -1;

	/* The first process of a container has all orphans there as children. */
	for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;)
		end = pid == s->child ? status : end;
	/* Anybody may send, so there is a limit; a queue (net.unix.max_dgram_qlen) is shorter. */
	for (unsigned i = 0; i < HEAR_MAX && supervise_hear(s); i++)
		;
	if (end >= 0)
		supervise_died(s, end); /* after its last words */
}

static void supervise_do(struct supervisor *s)
{
	int64_t late_us = clock_us(CLOCK_MONOTONIC) - s->due_us;

	if (late_us >= 0 && s->child == 0) {
		supervise_start(s);
	} else if (late_us > SECOND_US) { /* this process was stopped, and so may the child have been */
		supervise_due(s, ABORT_US, s->due_signal);
	} else if (late_us >= 0) {
		log_error("supervisor: chatd (%d) hangs, and gets signal %d", (int)s->child, s->due_signal);
		kill(s->child, s->due_signal);
		supervise_due(s, ABORT_US, SIGKILL);
	}
}

/* The environment of all that it starts. */
static void supervise_set_environment(const struct sockaddr_un *un)
{
	char text[sizeof(*un)];

	snprintf(text, sizeof(text), "@%s", un->sun_path + 1);
	setenv("NOTIFY_SOCKET", text, true);
	snprintf(text, sizeof(text), "%d", (int)getpid());
	setenv(SUPERVISE_VARIABLE, text, true);
	setenv("FDSTORE", "512", true);
	setenv("WATCHDOG_USEC", "30000000", false);
	unsetenv("WATCHDOG_PID");
}

static bool supervise_open(struct supervisor *s)
{
	static const int numbers[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2, SIGCHLD}, one = 1;
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	socklen_t len = sizeof(un.sun_family); /* the kernel finds a name, an abstract one */
	struct rlimit l;
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++)
		sigaddset(&set, numbers[i]);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	if (getrlimit(RLIMIT_NOFILE, &l) == 0) /* a descriptor of the daemon's is one here, too */
		setrlimit(RLIMIT_NOFILE, &(struct rlimit){l.rlim_max, l.rlim_max});
	s->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	s->notify = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (s->signals < 0 || readlink("/proc/self/exe", s->program, sizeof(s->program) - 1) < 0 ||
	    setsockopt(s->notify, SOL_SOCKET, SO_PASSCRED, &one, sizeof(one)) < 0 ||
	    bind(s->notify, (struct sockaddr *)&un, len) < 0)
		return false;
	len = sizeof(un);
	getsockname(s->notify, (struct sockaddr *)&un, &len);
	supervise_set_environment(&un);
	s->watchdog_us = MIN(atoll(getenv("WATCHDOG_USEC")), NEVER_US);
	return true;
}

int supervise_run(const char *config_path)
{
	struct supervisor s = {.config_path = config_path};

	log_open(LOG_INFO);
	if (!supervise_open(&s)) {
		log_error("supervisor: %s", strerror(errno));
		return EXIT_FAILURE;
	}
	while (!s.over) {
		struct pollfd p[] = {{.fd = s.signals, .events = POLLIN}, {.fd = s.notify, .events = POLLIN}};
		supervise_do(&s);
		int64_t left_ms = (s.due_us - clock_us(CLOCK_MONOTONIC)) / 1000 + 1;
		poll(p, 2, (int)MIN(MAX(left_ms, 0), 60000));
		supervise_pass_on(&s);
		supervise_look(&s);
	}
	return s.status;
}
