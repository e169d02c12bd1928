/* SPDX-License-Identifier: MIT */
/* SQLite copies into a file with a name; it loses that as soon as it is whole, so that nothing is left of it. */
#include "daemon/history/backup.h"

#include "common/cleanup.h"
#include "daemon/history/store.h"
#include "daemon/rooms/slots.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define BACKUP_SUFFIX ".backup"
/* Others want the processor and the disk for what takes less long. */
#define BACKUP_NICENESS 10
/* A file of accounts or bans is no larger. */
#define BACKUP_FILE_MAX (64 << 20)

struct backup {
	pthread_t thread;
	pthread_mutex_t lock;
	struct store *store; /* under the lock; NULL: it isn't open */
	atomic_bool ends;    /* nobody waits for it any more */
	atomic_bool over;
	const struct slots *slots;
	unsigned slot;
	char *database, *copy; /* paths */
	char **files;
	size_t n_files;
	/* When it is over. */
	int fd;
	char why[STORE_WHY_MAX];
};

/* --- on its thread --- */

static void backup_set_store(struct backup *b, struct store *s)
{
	pthread_mutex_lock(&b->lock);
	b->store = s;
	pthread_mutex_unlock(&b->lock);
}

static int backup_fail(struct backup *b, int error, const char *what, const char *why)
{
	snprintf(b->why, sizeof(b->why), "%s: %s", what, why && *why ? why : strerror(-error));
	return error;
}

static int backup_copy_database(struct backup *b)
{
	char why[STORE_WHY_MAX] = "";
	struct store *s;
	int r = store_open(b->database, STORE_READ, 0, &s, why);

	if (r < 0)
		return backup_fail(b, r, b->database, why);
	backup_set_store(b, s);
	r = atomic_load(&b->ends) ? -ECANCELED : store_backup(s, b->copy);
	backup_set_store(b, NULL);
	if (r < 0)
		backup_fail(b, r, b->copy, store_why(s));
	store_close(s);
	return r;
}

/* One that isn't there isn't missed. */
static int backup_add_file(struct backup *b, const char *path)
{
	_cleanup_free_ char *content = NULL;
	char why[STORE_WHY_MAX] = "";
	size_t len = 0;
	struct stat st;
	FILE *f = fopen(path, "re");

	if (!f)
		return errno == ENOENT ? 0 : backup_fail(b, -errno, path, NULL);
	int r = fstat(fileno(f), &st) < 0			       ? -errno
		: !S_ISREG(st.st_mode) || st.st_size > BACKUP_FILE_MAX ? -EFBIG
		: !(content = malloc((size_t)st.st_size + 1))	       ? -ENOMEM
								       : 0;
	if (r == 0)
		len = fread(content, 1, (size_t)st.st_size, f);
	if (r == 0 && ferror(f))
		r = -EIO;
	fclose(f);
	if (r == 0)
		r = store_add_file(b->copy, path, st.st_mode & 07777, content, len, why);
	return r < 0 ? backup_fail(b, r, path, why) : 0;
}

static int backup_make(struct backup *b)
{
	if (store_is_anothers(b->database)) /* its copy would have the same name */
		return backup_fail(b, -EBUSY, b->database,
				   "another chatd writes to it, and is to be asked for the copy");
	backup_tidy(
	    b->database); /* of a process that died: nothing of it may be taken for a part of this one */
	int r = backup_copy_database(b);
	for (size_t i = 0; r == 0 && i < b->n_files; i++)
		r = backup_add_file(b, b->files[i]);
	if (r == 0)
		r = open(b->copy, O_RDONLY | O_CLOEXEC);
	if (r == -1)
		r = backup_fail(b, -errno, b->copy, NULL);
	backup_tidy(b->database);
	return r;
}

static void *backup_run(void *arg)
{
	struct backup *b = arg;

	pthread_setname_np(pthread_self(), "chatd/backup");
	setpriority(PRIO_PROCESS, (id_t)gettid(), BACKUP_NICENESS);
	b->fd = backup_make(b);
	atomic_store(&b->over, true);
	wakeup_kick(slots_wakeup(b->slots, b->slot));
	return NULL;
}

/* --- on the caller's --- */

void backup_tidy(const char *database)
{
	static const char *const ends[] = {BACKUP_SUFFIX, BACKUP_SUFFIX "-journal", BACKUP_SUFFIX "-wal",
					   BACKUP_SUFFIX "-shm"};

	for (size_t i = 0; i < sizeof(ends) / sizeof(*ends); i++) {
		_cleanup_free_ char *path = NULL;
		if (asprintf(&path, "%s%s", database, ends[i]) > 0)
			unlink(path);
	}
}

static void backup_clear(struct backup *b)
{
	for (size_t i = 0; i < b->n_files; i++)
		free(b->files[i]);
	free(b->files);
	free(b->database);
	free(b->copy);
	pthread_mutex_destroy(&b->lock);
	free(b);
}

int backup_begin(const char *database, const char *const *files, size_t n, const struct slots *slots,
		 unsigned slot, struct backup **ret)
{
	struct backup *b = calloc(1, sizeof(*b));

	if (!b)
		return -ENOMEM;
	pthread_mutex_init(&b->lock, NULL);
	b->slots = slots;
	b->slot = slot;
	b->database = strdup(database);
	b->files = calloc(n + 1, sizeof(*b->files));
	bool all = b->database && b->files && asprintf(&b->copy, "%s" BACKUP_SUFFIX, database) > 0;
	for (; all && b->n_files < n; b->n_files++)
		all = (b->files[b->n_files] = strdup(files[b->n_files]));
	int r = all ? -pthread_create(&b->thread, NULL, backup_run, b) : -ENOMEM;
	if (r < 0)
		backup_clear(b);
	else
		*ret = b;
	return r;
}

int backup_fd(struct backup *b, const char **ret_why)
{
	if (!atomic_load(&b->over))
		return -EINPROGRESS;
	*ret_why = b->why;
	return b->fd;
}

void backup_free(struct backup *b)
{
	if (!b)
		return;
	atomic_store(&b->ends, true);
	pthread_mutex_lock(&b->lock);
	if (b->store)
		store_interrupt(b->store);
	pthread_mutex_unlock(&b->lock);
	pthread_join(b->thread, NULL);
	if (b->fd >= 0)
		close(b->fd);
	backup_clear(b);
}
