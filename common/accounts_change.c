/* SPDX-License-Identifier: MIT */
/* One account of a password file is changed, and the rest of the file kept as it is: for `chatctl passwd`. */
#include "common/accounts.h"
#include "common/cleanup.h"

#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

#define LOCK_TRIES 200 /* 20 ms apart */

/* Which account this line is, by its name; 0: none. */
static size_t accounts_line_name(const char *line, size_t n)
{
	const char *colon = line[0] == '#' ? NULL : memchr(line, ':', n);

	return colon ? (size_t)(colon - line) : 0;
}

/* How near a line's name comes to nick: it looks like it, is the same, or is written like it. */
enum nearness { FAR, SIMILAR, SAME, IDENTICAL };

static enum nearness accounts_nearness(const char *line, size_t n, const char *nick,
				       const struct nick_keys *keys)
{
	size_t len = accounts_line_name(line, n), nick_len = strlen(nick);

	if (len == 0)
		return FAR;
	if (len == nick_len && memcmp(line, nick, len) == 0)
		return IDENTICAL;
	if (nick_equal(line, len, nick, nick_len))
		return SAME;
	struct nick_keys its = nick_keys(line, len);
	return nick_keys_meet(&its, keys) ? SIMILAR : FAR;
}

/* The nearest one's accounts_nearness, and name. */
static enum nearness accounts_find_nearest(const char *text, const char *nick, const struct nick_keys *keys,
					   char ret_name[TEXT_NICK_MAX + 1])
{
	enum nearness best = FAR;

	for (const char *line = text; *line && best < IDENTICAL;) {
		size_t n = strcspn(line, "\n");
		enum nearness it = accounts_nearness(line, n, nick, keys);
		if (it > best) {
			best = it;
			snprintf(ret_name, TEXT_NICK_MAX + 1, "%.*s", (int)accounts_line_name(line, n), line);
		}
		line += n + (line[n] == '\n');
	}
	return best;
}

static int accounts_write_changed(FILE *f, const char *text, const char *nick, const char *hash,
				  char ret_alike[TEXT_NICK_MAX + 1])
{
	struct nick_keys keys = nick_keys(nick, strlen(nick));
	enum nearness best = accounts_find_nearest(text, nick, &keys, ret_alike);
	bool found = false;

	if (best == SIMILAR)
		return -ENOTUNIQ;
	while (*text) {
		size_t n = strcspn(text, "\n");
		bool mine = best != FAR && accounts_nearness(text, n, nick, &keys) == best;
		if (!mine)
			fprintf(f, "%.*s\n", (int)n, text);
		else if (hash && !found)
			fprintf(f, "%s:%s\n", nick, hash);
		found |= mine;
		text += n + (text[n] == '\n');
	}
	if (!found && hash)
		fprintf(f, "%s:%s\n", nick, hash);
	return found || hash ? 0 : -ENOENT;
}

/* Two that change the file at once would lose one another's work: the directory is the lock, so that none
 * is left behind. Whoever may read it can lock it, too, so nobody waits for ever. */
static int accounts_lock_directory(const char *path)
{
	const char *slash = strrchr(path, '/');
	_cleanup_free_ char *directory = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");

	if (!directory)
		return -ENOMEM;
	int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	for (unsigned tries = 0; flock(fd, LOCK_EX | LOCK_NB) < 0; tries++)
		if (tries == LOCK_TRIES || (errno != EWOULDBLOCK && errno != EINTR)) {
			int r = -errno;
			close(fd);
			return r;
		} else {
			nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
		}
	return fd;
}

/* All of the new file, ready to be renamed. Takes fd over. */
static int accounts_write_file(int fd, const struct stat *st, const char *text, const char *nick,
			       const char *hash, char ret_alike[TEXT_NICK_MAX + 1])
{
	FILE *f = fdopen(fd, "w");

	if (!f) {
		int r = -errno;
		close(fd);
		return r;
	}
	int r = accounts_write_changed(f, text, nick, hash, ret_alike);
	/* Who may read the file is the admin's affair; it isn't an error where that can't be kept. */
	if (fchown(fd, st->st_uid, st->st_gid) < 0 && errno != EPERM && r == 0)
		r = -errno;
	if ((fchmod(fd, st->st_mode & 07777) < 0 || fflush(f) != 0 || fsync(fd) < 0) && r == 0)
		r = -errno;
	if (ferror(f) && r == 0)
		r = -EIO;
	if (fclose(f) != 0 && r == 0)
		r = -errno;
	return r;
}

int accounts_change(const char *path, const char *nick, const char *hash, int group,
		    char ret_alike[TEXT_NICK_MAX + 1])
{
	/* Of a link it is the file behind it that is replaced. */
	_cleanup_free_ char *text = NULL, *temporary = NULL, *real = realpath(path, NULL);
	struct stat st = {.st_mode = 0640, .st_uid = (uid_t)-1, .st_gid = (gid_t)group};

	if (!real && errno != ENOENT)
		return -errno;
	if (!real && lstat(path, &st) == 0 && S_ISLNK(st.st_mode))
		return -ENOLINK;
	path = real ? real : path;
	_cleanup_close_ int directory = accounts_lock_directory(path);
	if (directory < 0)
		return directory;
	int r = accounts_read_text(path, &text);
	if (r == 0 && stat(path, &st) < 0)
		return -errno;
	if (r < 0 && (r != -ENOENT || !hash))
		return r;
	/* A name of its own: what an earlier one left when it was interrupted is in nobody's way. */
	if (asprintf(&temporary, "%s.XXXXXX", path) < 0)
		return -ENOMEM;
	int fd = mkostemp(temporary, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	r = accounts_write_file(fd, &st, text ? text : "", nick, hash, ret_alike);
	if (r == 0 && rename(temporary, path) < 0)
		r = -errno;
	if (r == 0 && fsync(directory) < 0)
		r = -errno;
	if (r < 0)
		unlink(temporary);
	return r;
}
