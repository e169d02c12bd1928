/* SPDX-License-Identifier: MIT */
/*
 * The parent of `chatd --supervise`: see supervise.h. A crash of the daemon is recovered from, one of this process is
 * not, so it does as little as it can: one thread, no memory but the struct below, and nothing that could wait.
 */
#include "daemon/server/supervise.h"

#include "daemon/base/clock.h"
#include "daemon/base/logger.h"

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
#include <systemd/sd-daemon.h>
#include <unistd.h>

/* As in chatd.service, or systemd's defaults: FileDescriptorStoreMax=, WatchdogSec=, TimeoutStartSec=, TimeoutStopSec=. */
#define STORE_MAX 512
#define WATCHDOG_US (30 * SECOND_US)
#define TIMEOUT_US (90 * SECOND_US)
#define ABORT_US (10 * SECOND_US) /* for a core dump, after SIGABRT */
#define PAUSE_MIN_US 10000 /* between two starts of what dies before it is ready; twice as long each time */
#define PAUSE_MAX_US SECOND_US
#define FOREVER_US (1000000 * SECOND_US)
#define NAME_SIZE 128
#define MESSAGE_FDS 16
#define HEAR_MAX 4096

struct supervisor {
	char program[4096]; /* what its name is when this starts: an upgrade puts another program there */
	const char *config_path;
	int signals, notify; /* signalfd, socket */
	char notify_name[128];
	int64_t watchdog_us; /* 0: none */
	pid_t child;	     /* 0: none */
	bool ready;	     /* the child was */
	bool handing_over;   /* the child ends for the next one: SIGUSR1 */
	bool ending, over;
	int status;		    /* of exit */
	int64_t start_us, pause_us; /* when the next child is started, and how long after this one */
	int64_t limit_us;	    /* when the child gets limit_signal, as it has taken too long */
	int limit_signal;
	unsigned n;
	struct {
		int fd;
		char name[NAME_SIZE];
	} kept[STORE_MAX];
};

static void supervise_limit(struct supervisor *s, int64_t in_us, int number)
{
	s->limit_us = in_us > 0 && in_us < FOREVER_US ? clock_us(CLOCK_MONOTONIC) + in_us : INT64_MAX;
	s->limit_signal = number;
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
	unsigned left = 0;

	for (unsigned i = 0; i < s->n; i++)
		if (strcmp(s->kept[i].name, name) == 0)
			close(s->kept[i].fd);
		else
			s->kept[left++] = s->kept[i];
	s->n = left;
}

static void supervise_line(struct supervisor *s, const char *line)
{
	bool ready = strcmp(line, "READY=1") == 0, alive = ready || strcmp(line, "WATCHDOG=1") == 0;

	s->ready |= ready;
	s->pause_us = ready ? 0 : s->pause_us;
	if (strcmp(line, "STOPPING=1") == 0)
		supervise_limit(s, TIMEOUT_US, SIGKILL);
	else if (alive && s->ready && s->limit_signal == SIGABRT)
		supervise_limit(s, s->watchdog_us, SIGABRT);
}

/* One message; false if there is none. */
static bool supervise_hear(struct supervisor *s)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(MESSAGE_FDS * sizeof(int)) + CMSG_SPACE(sizeof(struct ucred))];
	} control;
	char buffer[4096], *text = buffer, *line;
	const char *name = "stored";
	struct iovec iov = {buffer, sizeof(buffer) - 1};
	struct msghdr m = {
	    .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
	struct ucred from = {0};
	int fds[MESSAGE_FDS];
	size_t n_fds = 0;
	bool store = false, drop = false;
	ssize_t n = recvmsg(s->notify, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	if (n < 0)
		return errno == EINTR;
	for (struct cmsghdr *h = CMSG_FIRSTHDR(&m); h; h = CMSG_NXTHDR(&m, h))
		if (h->cmsg_level == SOL_SOCKET && h->cmsg_type == SCM_RIGHTS) {
			n_fds = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);
			memcpy(fds, CMSG_DATA(h), n_fds * sizeof(int));
		} else if (h->cmsg_level == SOL_SOCKET && h->cmsg_type == SCM_CREDENTIALS) {
			memcpy(&from, CMSG_DATA(h), sizeof(from));
		}
	/* Anybody may write to the socket, but only the child is believed. */
	buffer[s->child > 0 && from.pid == s->child && !(m.msg_flags & MSG_TRUNC) ? n : 0] = '\0';
	while ((line = strsep(&text, "\n"))) {
		store |= strcmp(line, "FDSTORE=1") == 0;
		drop |= strcmp(line, "FDSTOREREMOVE=1") == 0;
		name = strncmp(line, "FDNAME=", 7) == 0 ? line + 7 : name;
		supervise_line(s, line);
	}
	if (drop)
		supervise_drop(s, name);
	if (store && n_fds == 0)
		log_error("supervisor: \"%s\" can't be kept: too few file descriptors", name);
	for (size_t i = 0; i < n_fds; i++)
		supervise_keep(s, fds[i], store ? name : NULL); /* BARRIER=1 waits for the close() */
	return true;
}

/* What has come; no more than that, since anybody may send. A queue (net.unix.max_dgram_qlen) is shorter. */
static void supervise_hear_all(struct supervisor *s)
{
	for (unsigned i = 0; i < HEAR_MAX && supervise_hear(s); i++)
		;
}

/* In the new process. The signals that are passed on stay blocked until its event loop takes them. */
static void supervise_become(struct supervisor *s, pid_t parent)
{
	int first = SD_LISTEN_FDS_START, n = (int)s->n;
	char names[STORE_MAX * NAME_SIZE] = "", *end = names, env[5][64];

	prctl(PR_SET_PDEATHSIG, SIGTERM);
	for (int i = 0; i < n; i++) {
		for (int k = i; k < n; k++) /* who is in the way goes behind them all */
			if (s->kept[k].fd == first + i)
				s->kept[k].fd = fcntl(first + i, F_DUPFD_CLOEXEC, first + n);
		if (dup2(s->kept[i].fd, first + i) < 0)
			log_error("supervisor: \"%s\" is lost: %s", s->kept[i].name, strerror(errno));
		close(s->kept[i].fd);
		end = stpcpy(stpcpy(end, i > 0 ? ":" : ""), s->kept[i].name);
	}
	setenv("LISTEN_FDNAMES", names, 1);
	setenv("NOTIFY_SOCKET", s->notify_name, 1);
	snprintf(env[0], sizeof(env[0]), "LISTEN_FDS=%d", n);
	snprintf(env[1], sizeof(env[0]), "LISTEN_PID=%d", (int)getpid());
	snprintf(env[2], sizeof(env[0]), "FDSTORE=%d", STORE_MAX);
	snprintf(env[3], sizeof(env[0]), "WATCHDOG_USEC=%lld", (long long)s->watchdog_us);
	snprintf(env[4], sizeof(env[0]), SUPERVISE_VARIABLE "=%d", (int)parent);
	for (int i = 0; i < 5; i++)
		putenv(env[i]);
	unsetenv("WATCHDOG_PID");
	execv(s->program, (char *[]){s->program, "-c", (char *)s->config_path, NULL});
	log_error("supervisor: %s can't be run: %s", s->program, strerror(errno));
	_exit(EXIT_FAILURE);
}

static void supervise_start(struct supervisor *s)
{
	pid_t parent = getpid(), pid = fork();

	if (pid == 0)
		supervise_become(s, parent);
	if (pid < 0)
		log_error("supervisor: no new process: %s", strerror(errno));
	else if (s->ending)
		kill(pid, SIGTERM); /* it ends in order what was handed over to it */
	s->child = pid > 0 ? pid : 0;
	s->ready = s->handing_over = false;
	s->pause_us = MIN(MAX(2 * s->pause_us, PAUSE_MIN_US), PAUSE_MAX_US);
	s->start_us = clock_us(CLOCK_MONOTONIC) + s->pause_us; /* of the next one, if this one fails */
	supervise_limit(s, TIMEOUT_US, SIGABRT);
}

/* As Restart=on-failure, RestartPreventExitStatus=CONFIG and Type=notify, by which no end is in order before READY=1. */
static void supervise_died(struct supervisor *s, int status)
{
	s->status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
	s->over = s->handing_over && s->status == 0
		      ? false
		      : s->ending || s->status == EX_CONFIG || (s->status == 0 && s->ready);
	s->start_us = s->ready ? 0 : s->start_us;
	log_event(s->status || !s->ready ? LOG_ERR : LOG_NOTICE, NULL, "supervisor: chatd (%d) %s %d%s%s",
		  (int)s->child, WIFSIGNALED(status) ? "was ended by signal" : "ended with status",
		  WIFSIGNALED(status) ? WTERMSIG(status) : s->status, s->ready ? "" : " before it was ready",
		  s->over ? "" : "; it is started again");
	s->child = 0;
}

static void supervise_reap(struct supervisor *s)
{
	int status;
	pid_t pid;

	/* The first process of a container has all orphans there as children. */
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		if (pid == s->child) {
			supervise_hear_all(s); /* its last words */
			supervise_died(s, status);
		}
}

static void supervise_pass_on(struct supervisor *s)
{
	struct signalfd_siginfo si;

	while (read(s->signals, &si, sizeof(si)) == sizeof(si)) {
		if (si.ssi_signo == SIGCHLD)
			continue; /* several may be one: supervise_reap() looks */
		if ((si.ssi_signo == SIGTERM || si.ssi_signo == SIGINT) && !s->ending) {
			s->ending = true;
			s->over = s->child == 0;
			supervise_limit(s, TIMEOUT_US, SIGKILL);
		}
		s->handing_over |= si.ssi_signo == SIGUSR1;
		if (s->child > 0)
			kill(s->child, (int)si.ssi_signo);
	}
}

static void supervise_lose_patience(struct supervisor *s)
{
	int64_t late_us = clock_us(CLOCK_MONOTONIC) - s->limit_us;

	if (s->child == 0 || late_us < 0)
		return;
	if (late_us > SECOND_US) { /* this process was stopped, and so may the child have been */
		supervise_limit(s, ABORT_US, s->limit_signal);
		return;
	}
	log_error("supervisor: chatd (%d) hangs, and gets signal %d", (int)s->child, s->limit_signal);
	kill(s->child, s->limit_signal);
	supervise_limit(s, ABORT_US, SIGKILL);
}

/* A descriptor of the daemon's is one here, too; and what this was started with is for the daemon. */
static void supervise_take(struct supervisor *s)
{
	struct rlimit l;
	char **names = NULL;

	if (getrlimit(RLIMIT_NOFILE, &l) == 0) {
		l.rlim_cur = l.rlim_max;
		setrlimit(RLIMIT_NOFILE, &l);
	}
	for (int i = 0, n = sd_listen_fds_with_names(true, &names); i < n; i++) {
		supervise_keep(s, SD_LISTEN_FDS_START + i, names[i]);
		free(names[i]);
	}
	free(names);
}

static bool supervise_open(struct supervisor *s)
{
	static const int numbers[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2, SIGCHLD};
	const char *watchdog = getenv("WATCHDOG_USEC");
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	socklen_t len = sizeof(un.sun_family); /* the kernel finds a name, an abstract one */
	const int one = 1;
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++)
		sigaddset(&set, numbers[i]);
	supervise_take(s);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	s->watchdog_us = watchdog ? atoll(watchdog) : WATCHDOG_US;
	s->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	s->notify = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (s->signals < 0 || readlink("/proc/self/exe", s->program, sizeof(s->program) - 1) < 0 ||
	    setsockopt(s->notify, SOL_SOCKET, SO_PASSCRED, &one, sizeof(one)) < 0 ||
	    bind(s->notify, (struct sockaddr *)&un, len) < 0)
		return false;
	len = sizeof(un);
	getsockname(s->notify, (struct sockaddr *)&un, &len);
	snprintf(s->notify_name, sizeof(s->notify_name), "@%s", un.sun_path + 1);
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
		int64_t now = clock_us(CLOCK_MONOTONIC);
		if (s.child == 0 && now >= s.start_us)
			supervise_start(&s);
		int64_t left = (s.child == 0 ? s.start_us : s.limit_us) - now;
		poll(p, 2, left > 60 * SECOND_US ? 60000 : left > 0 ? (int)(left / 1000) + 1 : 0);
		supervise_hear_all(&s);
		supervise_pass_on(&s);
		supervise_reap(&s);
		supervise_lose_patience(&s);
	}
	return s.status;
}
