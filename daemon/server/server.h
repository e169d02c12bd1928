/* SPDX-License-Identifier: MIT */
/*
 * The main thread, private to this folder except for server_run(): it starts the others, has the event loop
 * for signals, timers, the watchdog and the control socket, reloads, hands over to a successor, and ends. It
 * touches no client's bytes.
 */
#ifndef DAEMON_SERVER_H
#define DAEMON_SERVER_H

#include "daemon/control/control.h"
#include "daemon/control/host.h"
#include "daemon/control/metrics_http.h"

#include <systemd/sd-event.h>

/* How long another process may take to try a configuration. */
#define PROBE_TIMEOUT_MS 5000

/* What comes after the event loop. */
enum ending {
	END_STOP,     /* clients are told, and closed */
	END_HANDOVER, /* everything is left for the successor that the service manager starts */
	END_BROKEN,   /* a restart failed half-way */
};

struct server {
	struct host host; /* first: what the control socket's methods see of it */
	sd_event *event;
	char **argv;
	char *program; /* the binary's path when it was started: an upgrade puts the new one there */
	struct config *config;
	struct sockets *sockets;
	int rooms_fd, clients_fd, secrets_fd;
	int cluster_fd;		   /* -1: there is no cluster */
	int irc_fd;		   /* -1: no listener speaks IRC */
	int copies_fd, refused_fd; /* last_good.c; -1: none */
	unsigned copies_number;
	struct shared shared;
	struct listeners *listeners;
	struct control *control;
	struct metrics_listener *metrics; /* or NULL */
	uint64_t watchdog_us;		  /* 0: no watchdog */
	sd_event_source *merge_timer;
	char status[160];
	unsigned late_version;	/* of late accounts, whose names are reserved */
	unsigned uncovered;	/* as it was logged last */
	unsigned uncovered_now; /* as it was a second ago */
	bool counted;		/* accept_pauses is set */
	uint64_t accept_pauses; /* as it was a second ago */
	bool mistaken;		/* the control socket can't be made */
	enum ending ending;
};

/* start.c: serves until it is told to end. argv: for `chatctl restart`. Returns the exit status. */
int server_run(const char *config_path, char **argv);

/* shared.c: what all threads share, opened or taken over from the process before. Returns 0 or -errno. */
int shared_open(struct server *s);
void shared_free(struct server *s);
/* What IRC keeps, once a listener of that configuration speaks it. Returns 0 or -errno. */
int shared_make_irc(struct server *s, const struct config *config);

/*
 * gap.c: until when the process before would have served somebody (CLOCK_MONOTONIC, us); 0 if there was none.
 */
uint64_t gap_served_until(struct clients *clients);

/* threads.c: all threads that are stopped before the main one: the workers, and the services'. */
int threads_new(struct server *s);
void threads_free(struct server *s);
/* Starts the workers, for the first time or after they were joined. Returns 0 or -errno. */
int threads_start(struct server *s);
/* Asks the workers to end. */
void threads_quit(struct server *s);
/* Waits for the workers. False if one does not end. */
bool threads_join(struct server *s);
/* How many there are, in words: "2 workers and 1 service". Returns ret. */
#define THREADS_TEXT_MAX 64
const char *threads_text(const struct server *s, char ret[static THREADS_TEXT_MAX]);
/* False if one has made no progress for so long that the service manager shall restart the service. */
bool threads_are_alive(const struct server *s);

/* services.c: makes the services of which there is one. Returns 0 or -errno. */
int services_open(struct shared *shared, const struct config *config);

/* events.c: adds all that the event loop waits for, except for the control socket and the metrics. */
int events_add(struct server *s);

/* status.c: what systemctl status shows, and a line in the log when clients would not survive a crash. */
void status_tell(struct server *s);
void status_tell_uncovered(struct server *s);
/* Notes that listeners had no file descriptors since it was called last. */
void status_note_starving(struct server *s);

/* reload.c: host->reload (see there). */
int reload_server(struct host *h, char **ret_text);
/* Opens the listener of the metrics as the configuration has it, in place of the one before. */
int reload_metrics(struct server *s, const struct config *config, FILE *errors);
/* Logs what config_load() said, line by line. */
void reload_report(int level, const char *text);
/* Notes what is wrong with the file on disk, as another configuration is in use; NULL: it is in use. */
void reload_note_mistakes(struct server *s, const char *text);

/*
 * last_good.c: the configuration in use, for a successor. last_good_load() takes what the process before left, and uses it
 * if there are mistakes in what is on disk (else NULL): 0, or -errno without a configuration.
 */
#define LAST_GOOD_NAME_MAX 40
int last_good_load(struct server *s, const char *mistakes);
/* After a configuration from disk was taken into service. */
void last_good_keep(struct server *s);
/* Before a start fails: whether the next one is to go on with what was in use before, as this can't be put to use. */
bool last_good_refuse(struct server *s);
/* host->print (see there). */
char *last_good_print(struct host *h);
/* A real end leaves nothing. */
void last_good_end(struct server *s);
/* For an exec: calls fn with its name and fd. */
void last_good_each(struct server *s, void (*fn)(const char *name, int fd, void *arg), void *arg);

/* reserved.c: nobody may use the nicks that belong to somebody by this configuration, or by what came later (or NULL). */
void reserved_apply(struct roster *roster, const struct config *config, struct late_accounts *late);
/* The same, if more came later since it was called last. Once a second. */
void reserved_follow(struct server *s);

/* ban_follow.c: tells a cluster of this node's bans; and does, now and then, what other nodes say. */
void ban_follow_begin(struct server *s);
void ban_follow(struct server *s);

/* restart.c: host->restart (see there). */
int restart_server(struct host *h, char **ret_why);
/* While everybody is still served: sees to it that the successor can reach everything. */
void restart_prepare(struct server *s);
/* Ends the connections that can't be handed over. The workers have ended. */
void restart_hang_up_mortals(struct server *s);

/* stop.c: ends the other threads, then the rest, as s->ending says. Returns the exit status. */
int stop_server(struct server *s);

#endif
