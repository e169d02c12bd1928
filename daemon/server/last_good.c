/* SPDX-License-Identifier: MIT */
/*
 * The configuration in use is kept beside the state, with the files that it names (config/copies.h). A process that takes
 * over, and finds mistakes in what is on disk, goes on with it: clients don't wait until somebody mends a file.
 */
#include "daemon/server/server.h"

#include "common/cleanup.h"
#include "daemon/base/fault.h"
#include "daemon/base/logger.h"
#include "daemon/config/copies.h"
#include "daemon/config/print.h"
#include "daemon/modes/table.h"
#include "daemon/state/layouts.h"
#include "daemon/state/sockets.h"

#include <stdio.h>
#include <string.h>

/* Of one that reads well, but could not be put to use when a process took over: it is not tried again. */
#define REFUSED "chatd-refused"
/* With a number that grows: the new one is there before the old one goes. */
#define PREFIX "chatd-config-"

static void last_good_name(unsigned number, char dst[static LAST_GOOD_NAME_MAX])
{
	snprintf(dst, LAST_GOOD_NAME_MAX, PREFIX "%u", number);
}

static void last_good_forget(struct server *s)
{
	char name[LAST_GOOD_NAME_MAX];

	if (s->copies_fd < 0)
		return;
	last_good_name(s->copies_number, name);
	sockets_unstore(name);
	close(take_fd(&s->copies_fd));
}

/* The newest of those that were passed, whose content is returned, and whose fd is s->copies_fd then. */
static struct copies *last_good_claim(struct server *s)
{
	struct copies *newest = NULL;
	char name[LAST_GOOD_NAME_MAX];
	int fd;

	while ((fd = sockets_claim_prefix(s->sockets, PREFIX, name, sizeof(name))) >= 0) {
		struct copies *c = NULL;
		unsigned number = 0;
		int r = sscanf(name, PREFIX "%u", &number) == 1 ? copies_load(fd, &c) : -EBADMSG;
		if (r < 0)
			layouts_tell_refused(name, r);
		if (r < 0 || (newest && number < s->copies_number)) {
			sockets_unstore(name);
			close(fd);
			copies_free(c);
			continue;
		}
		last_good_forget(s);
		copies_free(newest);
		newest = c;
		s->copies_fd = fd;
		s->copies_number = number;
	}
	return newest;
}

/* Whether the configuration that was read is the one that a start before could not put to use. */
static bool last_good_is_refused(struct server *s)
{
	s->refused_fd = sockets_claim(s->sockets, REFUSED);
	if (s->refused_fd < 0 || !s->config || !s->config->copies)
		return false;
	_cleanup_close_ int fd = copies_save(s->config->copies);
	return fd >= 0 && copies_are_same(fd, s->refused_fd);
}

static void last_good_accept(struct server *s)
{
	sockets_unstore(REFUSED);
	if (s->refused_fd >= 0)
		close(take_fd(&s->refused_fd));
}

bool last_good_refuse(struct server *s)
{
	_cleanup_close_ int fd =
	    s->config && s->config->copies && s->copies_fd >= 0 ? copies_save(s->config->copies) : -1;

	last_good_accept(s);
	if (fd < 0 || copies_are_same(fd, s->copies_fd))
		return false;
	sockets_store(fd, REFUSED);
	return true;
}

int last_good_load(struct server *s, const char *mistakes)
{
	_cleanup_free_ char *text = NULL;
	size_t size;
	struct copies *c = last_good_claim(s);

	if (last_good_is_refused(s) && c) {
		mistakes = "it could not be put to use when chatd was started; the log says why";
		config_free(s->config);
		s->config = NULL;
	}
	FILE *errors = c && mistakes ? open_memstream(&text, &size) : NULL;

	if (!errors) {
		copies_free(c);
		return -ENOENT;
	}
	int r = config_load_copies(c, handlers, errors, &s->config);
	fclose(errors);
	if (r < 0) {
		reload_report(LOG_ERR, text);
		return r;
	}
	log_event(LOG_ERR, &(struct log_fields){.message_id = EVENT_CONFIG_ERROR},
		  "%s is not used; what was in use before goes on, until it is mended and reloaded",
		  s->host.config_path);
	reload_note_mistakes(s, mistakes);
	return 0;
}

void last_good_keep(struct server *s)
{
	char name[LAST_GOOD_NAME_MAX];

	if (!s->config->copies)
		return;
	_cleanup_close_ int fd = copies_save(s->config->copies);
	copies_free(s->config->copies);
	s->config->copies = NULL;
	last_good_accept(s);
	if (fd < 0) {
		log_warning("the configuration can't be kept for a successor: %s", strerror(-fd));
		return;
	}
	if (s->copies_fd >= 0 && copies_are_same(fd, s->copies_fd))
		return;
	last_good_name(s->copies_number + 1, name);
	sockets_store(fd, name);
	FAULT("config-kept");
	last_good_forget(s);
	s->copies_number++;
	s->copies_fd = take_fd(&fd);
}

char *last_good_print(struct host *h)
{
	struct server *s = (struct server *)h;
	struct copies *copies = NULL;
	char *text = NULL;

	if (s->copies_fd < 0 || copies_load(s->copies_fd, &copies) < 0)
		return NULL;
	if (copies_first(copies))
		text = config_print(copies_text(copies, copies_first(copies)), s->config);
	copies_free(copies);
	return text;
}

void last_good_end(struct server *s)
{
	last_good_accept(s);
	last_good_forget(s);
}

void last_good_each(struct server *s, void (*fn)(const char *name, int fd, void *arg), void *arg)
{
	char name[LAST_GOOD_NAME_MAX];

	last_good_name(s->copies_number, name);
	if (s->copies_fd >= 0)
		fn(name, s->copies_fd, arg);
}
