/* SPDX-License-Identifier: MIT */
/*
 * What IRC keeps, damaged in the places that the input names, with and without checks that fit: it is refused, forgotten, or
 * within what its readers count on; and what is changed afterwards holds.
 */
#include "tests/fuzz/fuzz.h"

#include "daemon/base/logger.h"
#include "daemon/channels/channels.h"
#include "daemon/irc/attachments.h"
#include "daemon/irc/blobs.h"
#include "daemon/irc/file.h"
#include "daemon/irc/markers.h"
#include "daemon/irc/personas.h"
#include "daemon/irc/store.h"
#include "daemon/irc/users.h"

#include <string.h>
#include <unistd.h>

#define CLIENTS 2
#define LEN 40

static struct rooms *rooms;
static struct room *lobby;
static struct clients *cs;
static struct client *people[CLIENTS];

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static const struct room_guest anybody;
	struct slots *slots;

	(void)argc;
	(void)argv;
	log_open(LOG_EMERG);
	REQUIRE(slots_new(1, &slots) == 0);
	REQUIRE(rooms_open(memfd_new("rooms", rooms_file_size()), true, slots, &rooms) == 0);
	REQUIRE(rooms_enter(rooms, "lobby", 0, &anybody, &lobby) == 0);
	REQUIRE(clients_open(memfd_new("clients", clients_file_size()), true, &cs) == 0);
	for (unsigned i = 0; i < CLIENTS; i++) {
		people[i] = clients_allocate(cs);
		atomic_store(&people[i]->cookie, i + 1);
	}
	return 0;
}

/* What the input may damage. */
struct target {
	void *at;
	size_t size;
};

struct fill {
	uint32_t persona, attachment, blob;
	struct target targets[16];
	unsigned n;
};

static void add(struct fill *f, void *at, size_t size)
{
	f->targets[f->n++] = (struct target){at, size};
}

static void change_user(struct irc *irc, const struct client *c, uint32_t caps)
{
	irc_users_draft(irc->users, 0, c)->caps = caps;
	irc_users_seal(irc->users, 0, client_live(c));
	irc_users_settle(irc->users, 0);
}

static void change_channel(struct irc *irc, uint32_t limit)
{
	logring_lock(lobby->log);
	struct irc_channel *c = irc_channels_draft(irc->channels, lobby);
	c->limit = limit;
	if (c->n_status < IRC_STATUS_MAX)
		c->status[c->n_status++] = (struct irc_channel_person){.id = limit};
	if (c->n_list < IRC_LIST_MAX)
		c->list[c->n_list++] = (struct irc_channel_mask){.kind = 'b'};
	irc_channels_seal(irc->channels, lobby, logring_count(lobby->log));
	logring_unlock(lobby->log);
}

/* Of the same name each time, and so in the same place, as long as the key is the same. */
static struct irc_marker_place *marker(struct irc_file *file)
{
	static size_t at;
	struct irc_marker_place *all = file->markers[0];

	if (at == 0)
		while (all[at].us != 7)
			at++;
	return &all[at];
}

static void fill_marker(struct irc *irc, struct fill *f)
{
	memset(irc->file->header.marker_key, 0, sizeof(irc->file->header.marker_key));
	irc_marker_raise(irc->markers, "n:alice", "#lobby", 7);
	add(f, marker(irc->file), sizeof(struct irc_marker_place));
}

/* As a process leaves it that dies with a draft of the second client's. */
static void fill(struct irc *irc, struct fill *f)
{
	const struct irc_persona p = {.user = "user", .host = "host"};
	static const char data[LEN];
	uint32_t index = clients_index(cs, people[0]);

	for (unsigned i = 0; i < CLIENTS; i++)
		change_user(irc, people[i], 3);
	irc_users_draft(irc->users, 1, people[1])->caps = 5;
	irc_users_seal(irc->users, 1, client_live(people[1]));
	change_channel(irc, 1);
	change_channel(irc, 2);
	f->persona = irc_persona_put(irc->personas, &p);
	f->attachment = irc_attachment_put(irc->attachments, data, LEN);
	f->blob = irc_blob_put(irc->blobs, people[0], IRC_BLOB_AWAY, 0, data, LEN);
	f->n = 0;
	fill_marker(irc, f);
	add(f, &irc->file->header, sizeof(irc->file->header));
	add(f, &irc->file->drafts[1], sizeof(irc->file->drafts[1]));
	add(f, irc->file->ids, CLIENTS * sizeof(*irc->file->ids));
	add(f, irc->file->users, CLIENTS * sizeof(*irc->file->users));
	add(f, &irc->file->personas[f->persona % IRC_PERSONAS], sizeof(*irc->file->personas));
	add(f, irc->file->attachments + f->attachment * (size_t)IRC_ATTACHMENT_UNIT % IRC_ATTACHMENTS_SIZE,
	    64);
	add(f, &irc->file->away[index][f->blob & 1], 64);
	add(f, &irc->file->made[lobby->index], sizeof(*irc->file->made));
	for (unsigned i = 0; i < 2; i++)
		add(f, &irc->file->channels[lobby->index][i], offsetof(struct irc_channel_half, reserved));
}

static void make_checks_fit(struct irc_file *file, const struct fill *f)
{
	struct irc_attachment_head *a =
	    (void *)(file->attachments + f->attachment * (size_t)IRC_ATTACHMENT_UNIT % IRC_ATTACHMENTS_SIZE);
	struct irc_persona_place *p = &file->personas[f->persona % IRC_PERSONAS];
	struct irc_marker_place *m = marker(file);
	struct irc_blob_head *b = &file->away[clients_index(cs, people[0])][f->blob & 1].head;

	file->header.check =
	    checksum_add(IRC_FILE_MAGIC, &file->header, offsetof(struct irc_file_header, check));
	for (unsigned i = 0; i < CLIENTS; i++)
		file->users[i].check =
		    irc_file_user_check(file->ids[i], file->users[i].generation, &file->users[i].user);
	file->drafts[1].mark = irc_file_draft_mark(&file->drafts[1]);
	p->check = irc_file_persona_check(p);
	m->check = irc_file_marker_check(m);
	if (a->len <= LEN)
		a->check = irc_file_attachment_check(a);
	if (b->len <= LEN)
		b->check = irc_file_blob_check(b, people[0]->id, IRC_BLOB_AWAY);
	for (unsigned i = 0; i < 2; i++) {
		struct irc_channel_half *h = &file->channels[lobby->index][i];
		if (h->channel.n_status <= IRC_STATUS_MAX && h->channel.n_list <= IRC_LIST_MAX)
			h->check = irc_channel_check(h);
	}
}

/* Eight bytes a time: which, where, how much, and the new value. */
static void meddle(struct irc_file *file, const struct fill *f, const uint8_t *data, size_t size)
{
	for (; size >= 8; data += 8, size -= 8) {
		const struct target *t = &f->targets[data[0] % f->n];
		size_t where = (data[1] | (size_t)data[2] << 8) % t->size, width = 1 + (data[3] & 3);
		if (where % 8 + width > 8)
			width = 8 - where % 8;
		memcpy((char *)t->at + where, data + 4, width);
		if (data[3] & 4)
			make_checks_fit(file, f);
	}
}

static void require_user(const struct irc_user *u)
{
	REQUIRE(memchr(u->user, 0, sizeof(u->user)) && memchr(u->host, 0, sizeof(u->host)) &&
		memchr(u->account, 0, sizeof(u->account)) && memchr(u->realname, 0, sizeof(u->realname)) &&
		u->renamed_len <= sizeof(u->renamed_from));
}

static void require_channel(const struct irc_channel *c)
{
	REQUIRE(c->n_status <= IRC_STATUS_MAX && c->n_list <= IRC_LIST_MAX &&
		c->n_invited <= IRC_INVITED_MAX && c->n_expelled <= IRC_INVITED_MAX);
	REQUIRE(memchr(c->key, 0, sizeof(c->key)) && memchr(c->topic, 0, sizeof(c->topic)) &&
		memchr(c->topic_by, 0, sizeof(c->topic_by)));
	for (uint32_t i = 0; i < c->n_status; i++)
		REQUIRE(memchr(c->status[i].account, 0, sizeof(c->status[i].account)));
	for (uint32_t i = 0; i < c->n_list; i++)
		REQUIRE(memchr(c->list[i].mask, 0, sizeof(c->list[i].mask)) &&
			memchr(c->list[i].by, 0, sizeof(c->list[i].by)));
}

/* What there is can be used, whatever it says. */
static void look(struct irc *irc, const struct fill *f)
{
	static char data[IRC_ATTACHMENT_MAX];
	struct irc_persona p;
	const struct irc_user *u;

	for (unsigned i = 0; i < CLIENTS; i++)
		if ((u = irc_users_get(irc->users, 0, people[i])))
			require_user(u);
	logring_lock(lobby->log);
	const struct irc_channel *c = irc_channels_get(irc->channels, lobby);
	if (c)
		require_channel(c);
	logring_unlock(lobby->log);
	if (irc_persona_get(irc->personas, f->persona, &p))
		REQUIRE(memchr(p.user, 0, sizeof(p.user)) && memchr(p.host, 0, sizeof(p.host)) &&
			memchr(p.account, 0, sizeof(p.account)) && memchr(p.realname, 0, sizeof(p.realname)));
	REQUIRE(irc_attachment_get(irc->attachments, f->attachment, data, sizeof(data)) <= LEN);
	REQUIRE(irc_blob_get(irc->blobs, clients_index(cs, people[0]), people[0]->id, IRC_BLOB_AWAY, f->blob,
			     data, sizeof(data)) <= LEN);
}

static void change(struct irc *irc)
{
	const struct irc_persona p = {.user = "new"};
	struct irc_persona got;
	char data[4];

	for (unsigned i = 0; i < CLIENTS; i++) {
		change_user(irc, people[i], 77);
		REQUIRE(irc_users_get(irc->users, 0, people[i])->caps == 77);
	}
	change_channel(irc, 78);
	logring_lock(lobby->log);
	REQUIRE(irc_channels_get(irc->channels, lobby)->limit == 78);
	logring_unlock(lobby->log);
	REQUIRE(irc_persona_get(irc->personas, irc_persona_put(irc->personas, &p), &got));
	uint64_t read_to = irc_marker_raise(irc->markers, "n:alice", "#lobby", 7);
	REQUIRE(read_to >= 7 && irc_marker_get(irc->markers, "n:alice", "#lobby") == read_to);
	REQUIRE(irc_attachment_get(irc->attachments, irc_attachment_put(irc->attachments, "abcd", 4), data,
				   4) == 4);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int fd = memfd_new("irc", irc_store_size());
	struct irc *before, *irc;
	struct fill f;

	REQUIRE(irc_store_open(fd, true, true, cs, rooms, &before) == 0);
	fill(before, &f);
	meddle(before->file, &f, data, size);
	if (irc_store_open(fd, false, false, cs, rooms, &irc) == 0) {
		irc_users_recover(irc->users);
		if (size < 8)
			REQUIRE(irc_users_get(irc->users, 0, people[0])->caps == 3 &&
				irc_users_get(irc->users, 0, people[1])->caps == 5);
		look(irc, &f);
		change(irc);
		irc_store_close(irc);
	} else {
		REQUIRE(size >= 8);
	}
	irc_store_close(before);
	close(fd);
	return 0;
}
