/* SPDX-License-Identifier: MIT */
/*
 * REGISTER (IRCv3's draft/account-registration): somebody makes an account of the nick that they have. The thread that checks
 * passwords makes the hash and writes the file, and the client waits for it.
 */
#include "daemon/irc/account.h"

#include "common/nick.h"
#include "daemon/base/fault.h"
#include "daemon/base/logger.h"
#include "daemon/engine/late_accounts.h"
#include "daemon/engine/logins.h"
#include "daemon/engine/worker.h"

#include <errno.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* Of failed_logins_per_minute: so few accounts come from an address in a minute. */
#define REGISTRATION_COST 5
#define EMAIL_MAX 254

/* The client has it, and the thread, and then the job that tells the worker. */
struct registration {
	struct login_errand errand; /* first */
	struct job job;
	atomic_uint refs, done;
	int result; /* once it is done: 0 or -errno */
	struct worker *w;
	struct late_accounts *late;
	uint32_t index;
	uint64_t id;
	size_t len;
	char nick[TEXT_NICK_MAX + 1], password[ACCOUNTS_PASSWORD_MAX];
	char file[];
};

static void registration_drop(void *what)
{
	struct registration *r = what;

	if (atomic_fetch_sub(&r->refs, 1) > 1)
		return;
	sodium_memzero(r->password, sizeof(r->password));
	free(r);
}

/* On its worker; w is NULL if that ends. */
static void registration_tell(struct worker *w, struct job *job)
{
	struct registration *r = (struct registration *)((char *)job - offsetof(struct registration, job));

	if (w)
		connection_await_over(worker_context(w), r->index, r->id, r);
	registration_drop(r);
}

static int registration_make(struct registration *r)
{
	char secret[ACCOUNTS_SECRET_MAX], line[TEXT_NICK_MAX + ACCOUNTS_SECRET_MAX + 2],
	    alike[TEXT_NICK_MAX + 1];
	struct accounts made;

	if (!accounts_secret_make(r->password, r->len, true, secret))
		return -ENOMEM;
	FAULT("irc-register-secret");
	int e = accounts_add(r->file, r->nick, secret, -1, alike);
	if (e < 0)
		return e;
	FAULT("irc-register-written");
	snprintf(line, sizeof(line), "%s:%s\n", r->nick, secret);
	e = accounts_parse(line, "", stderr, NULL, &made);
	if (e < 0)
		return e;
	e = late_accounts_add(r->late, r->file, &made.at[0]);
	accounts_free(&made);
	return e;
}

static void registration_run(struct login_errand *errand)
{
	struct registration *r = (struct registration *)errand;

	r->result = registration_make(r);
	atomic_store(&r->done, 1);
	worker_post(r->w, &r->job);
}

static void registration_undone(struct login_errand *errand)
{
	registration_drop(errand);
}

static enum verdict register_fail(struct irc_call *call, const char *code, const char *name, const char *text)
{
	char context[TEXT_NICK_MAX + 2];

	snprintf(context, sizeof(context), "%s ", name[0] ? name : "*");
	irc_standard(call, "FAIL", "REGISTER", code, context, text);
	return HANDLER_MORE;
}

static enum verdict register_begin(struct irc_call *call, const char *file, const char *nick,
				   struct irc_arg password)
{
	struct connection *c = call->c;
	const union address *a = connection_address(c);
	struct logins *l = irc_shared(call)->logins;
	unsigned rate = irc_config(call)->failed_logins_per_minute;
	struct registration *r = logins_may_try(l, a) ? calloc(1, sizeof(*r) + strlen(file) + 1) : NULL;

	if (!r)
		return register_fail(call, "TEMPORARILY_UNAVAILABLE", nick,
				     "Too many accounts came from your address; try again in a while");
	r->errand.run = registration_run;
	r->errand.drop = registration_undone;
	r->job.run = registration_tell;
	r->w = context_worker(irc_context(call));
	r->late = irc_shared(call)->late_accounts;
	r->index = connection_index(c);
	r->id = connection_id(c);
	r->len = password.len;
	memcpy(r->nick, nick, strlen(nick));
	memcpy(r->password, password.at, password.len);
	memcpy(r->file, file, strlen(file) + 1);
	atomic_init(&r->refs, 2);
	if (!logins_do(l, &r->errand)) {
		atomic_store(&r->refs, 1);
		registration_drop(r);
		return register_fail(call, "TEMPORARILY_UNAVAILABLE", nick, "Try again in a while");
	}
	logins_failed(l, a, REGISTRATION_COST, rate);
	return connection_await(c, r, registration_drop)
		   ? HANDLER_WAITING
		   : register_fail(call, "TEMPORARILY_UNAVAILABLE", nick, "Try again in a while");
}

static enum verdict register_end(struct irc_call *call, const struct registration *r)
{
	struct connection *c = call->c;
	char from[ADDRESS_TEXT_MAX], nick[TEXT_NICK_MAX + 1];
	int e = atomic_load(&r->done) ? r->result : -ETIMEDOUT;

	memcpy(nick, r->nick, sizeof(nick));
	connection_await_end(c);
	if (e == -EEXIST || e == -ENOTUNIQ)
		return register_fail(call, "ACCOUNT_EXISTS", nick,
				     "There is an account of that name, or one like it");
	const struct log_fields fields = {.message_id = EVENT_LOGIN,
					  .client = connection_id(c),
					  .listener = connection_listener(c),
					  .address = connection_address(c)};
	if (e < 0) {
		log_limited(LOG_TOPIC_LOGIN, LOG_WARNING, &fields,
			    "client %" PRIu64 " from %s: an account can't be made: %s", connection_id(c),
			    address_peer(connection_address(c), from), strerror(-e));
		return register_fail(call, "TEMPORARILY_UNAVAILABLE", nick, "Try again in a while");
	}
	log_event(LOG_NOTICE, &fields, "client %" PRIu64 " from %s has made the account %s", connection_id(c),
		  address_peer(connection_address(c), from), nick);
	irc_from_server(call, "REGISTER SUCCESS %s :Your account is there, and you are logged in", nick);
	irc_log_in(call, nick);
	return HANDLER_MORE;
}

static bool register_is_email(struct irc_arg a)
{
	const char *at = memchr(a.at, '@', a.len);

	return a.len <= EMAIL_MAX && at && at > a.at && at + 1 < a.at + a.len && text_is_clean(a.at, a.len);
}

/*
 * A process before made the account, and died before it said so. Then the nick is the account's and was lost by that; who has the
 * password made it.
 */
static enum verdict register_again(struct irc_call *call, const struct account *a, struct irc_arg password)
{
	bool refused;

	switch (irc_check_password(call, a->hash, (struct irc_arg){a->nick, strlen(a->nick)}, password,
				   &refused)) {
	case LOGIN_GOOD:
		irc_from_server(call, "REGISTER SUCCESS %s :Your account is there, and you are logged in",
				a->nick);
		irc_log_in(call, a->nick);
		return HANDLER_MORE;
	case LOGIN_BAD:
		return register_fail(call, "ACCOUNT_EXISTS", a->nick, "There is an account of that name");
	default:
		return refused
			   ? register_fail(call, "TEMPORARILY_UNAVAILABLE", a->nick, "Try again in a while")
			   : HANDLER_WAITING;
	}
}

enum verdict irc_register(struct irc_call *call)
{
	struct irc_arg name = call->line->params[0], email = call->line->params[1],
		       password = call->line->params[2];
	const struct listener_config *l = config_listener(irc_config(call), connection_listener(call->c));
	const struct irc_listener_config *own = irc_listener(call->c);
	const struct registration *r = connection_awaited(call->c);
	const struct irc_user *u = irc_user(call->c);
	const struct roster_entry *entry = *connection_roster(call->c);
	char nick[TEXT_NICK_MAX + 1];

	if (r)
		return register_end(call, r);
	irc_nick(call->c, nick);
	bool has_nick = strcmp(nick, "*") != 0 && entry;
	if (!own || !own->register_accounts || !l->password_file)
		return register_fail(call, "TEMPORARILY_UNAVAILABLE", nick,
				     "Accounts are made by the admin here");
	if (!(u->flags & IRC_REGISTERED) && !own->register_early)
		return register_fail(call, "COMPLETE_CONNECTION_REQUIRED", nick, "Connect first");
	if (u->account[0])
		return register_fail(call, "ALREADY_AUTHENTICATED", u->account, "You have an account");
	struct account found;
	if (!entry && irc_find_account(call->c, nick, strlen(nick), &found) &&
	    nick_equal(found.nick, strlen(found.nick), nick, strlen(nick)))
		return register_again(call, &found, password);
	if (!has_nick && u->flags & IRC_NICK_REFUSED)
		return register_fail(call, "ACCOUNT_EXISTS", "", "Somebody else has that nick");
	if (!has_nick)
		return register_fail(call, "NEED_NICK", "", "Say your nick first");
	if (!irc_arg_equals(name, "*") && !nick_equal(name.at, name.len, nick, strlen(nick))) {
		char wanted[TEXT_NICK_MAX + 1];
		return register_fail(call, "ACCOUNT_NAME_MUST_BE_NICK",
				     irc_arg_copy(name, wanted, sizeof(wanted)) == 0 &&
					     !strchr(wanted, ' ') && wanted[0] != ':'
					 ? wanted
					 : "*",
				     "An account has the name of your nick");
	}
	if (nick_is_chatds(nick, strlen(nick)))
		return register_fail(call, "BAD_ACCOUNT_NAME", nick, "That is one of the server's own names");
	/* Whoever came first would be one, where its account isn't there yet, or not any more. */
	if (irc_config_operator(&irc_config(call)->irc, nick, strlen(nick), true))
		return register_fail(call, "BAD_ACCOUNT_NAME", nick, "That is an operator's name");
	if (roster_is_reserved(irc_shared(call)->roster, entry))
		return register_fail(call, "ACCOUNT_EXISTS", nick, "That name is reserved");
	if (own->register_email ? !register_is_email(email)
				: !irc_arg_equals(email, "*") && !register_is_email(email))
		return register_fail(call, "INVALID_EMAIL", nick, "That is no address of e-mail");
	if (password.len == 0 || password.len > ACCOUNTS_PASSWORD_MAX)
		return register_fail(call, "UNACCEPTABLE_PASSWORD", nick, "A password has 1 to 1024 bytes");
	return register_begin(call, l->password_file, nick, password);
}

const char *irc_register_value(struct connection *c, char ret[static IRC_REGISTER_VALUE_MAX])
{
	const struct irc_listener_config *own = irc_listener(c);

	if (!own || !own->register_accounts)
		return NULL;
	snprintf(ret, IRC_REGISTER_VALUE_MAX, "%s%s%s", own->register_early ? "before-connect" : "",
		 own->register_early && own->register_email ? "," : "",
		 own->register_email ? "email-required" : "");
	return ret;
}
