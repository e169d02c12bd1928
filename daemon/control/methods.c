/* SPDX-License-Identifier: MIT */
/* The table of what chatctl and others can ask for, and the methods that take a few lines. */
#include "daemon/control/methods.h"

#include "common/cleanup.h"
#include "common/varlink.h"
#include "daemon/base/logger.h"
#include "daemon/control/host.h"
#include "daemon/control/metrics.h"

static void method_reload(struct control_client *c, const json_t *parameters, bool more)
{
	struct host *h = control_host(c);
	_cleanup_free_ char *text = NULL;

	(void)parameters;
	(void)more;
	log_event(LOG_INFO, &(struct log_fields){.message_id = EVENT_CONTROL},
		  "control: %s asks for a reload", control_peer(c));
	if (h->reload(h, &text) < 0)
		control_error(c, VARLINK_INTERFACE ".ConfigInvalid",
			      json_pack("{s:s}", "reason", text ? text : "unknown"));
	else
		control_reply(c, text && text[0] ? json_pack("{s:s}", "warnings", text) : NULL, false);
}

static void method_restart(struct control_client *c, const json_t *parameters, bool more)
{
	struct host *h = control_host(c);
	_cleanup_free_ char *why = NULL;

	(void)parameters;
	(void)more;
	log_event(LOG_INFO, &(struct log_fields){.message_id = EVENT_CONTROL},
		  "control: %s asks for a restart", control_peer(c));
	if (h->restart(h, &why) < 0)
		control_refuse(c, "%s", why ? why : "out of memory");
	else
		control_reply(c, NULL, false);
}

static void method_metrics(struct control_client *c, const json_t *parameters, bool more)
{
	_cleanup_free_ char *text = metrics_text(control_host(c));

	(void)parameters;
	(void)more;
	if (text)
		control_reply(c, json_pack("{s:s}", "text", text), false);
	else
		control_refuse(c, "out of memory");
}

static void method_config(struct control_client *c, const json_t *parameters, bool more)
{
	struct host *h = control_host(c);
	_cleanup_free_ char *text = h->print(h);
	json_t *json = text ? json_string(text) : NULL;

	(void)parameters;
	(void)more;
	if (json)
		control_reply(c, json_pack("{s:s,s:o}", "file", h->config_path, "text", json), false);
	else if (text)
		control_refuse(c, "the configuration can't be shown, as it is not UTF-8");
	else
		control_refuse(c, "the configuration that is in use could not be kept, so it can't be shown");
}

static void method_log_level(struct control_client *c, const json_t *parameters, bool more)
{
	const json_t *wanted = json_object_get(parameters, "level");
	bool change = wanted && !json_is_null(wanted);
	int level = json_is_string(wanted) ? log_level_parse(json_string_value(wanted)) : -EINVAL;

	(void)more;
	if (change && level < 0) {
		control_invalid(c, "level");
		return;
	}
	if (change) {
		/* Told at the higher of the two, so that it is in the log. */
		if (level > log_get_level())
			log_set_level(level);
		log_event(LOG_NOTICE, &(struct log_fields){.message_id = EVENT_CONTROL},
			  "control: %s sets the log level to %s", control_peer(c), log_level_name(level));
		log_set_level(level);
	}
	control_reply(c,
		      json_pack("{s:s,s:s}", "level", log_level_name(log_get_level()), "configured",
				log_level_name(control_host(c)->ctx.config->log_level)),
		      false);
}

const struct control_method control_methods[] = {
    {"Status", control_status},
    {"List", control_list},
    {"Send", control_send},
    {"Tail", control_tail},
    {"Kick", control_kick},
    {"Reload", method_reload},
    {"Restart", method_restart},
    {"Metrics", method_metrics},
    {"Ban", control_ban},
    {"Watch", control_watch},
    {"Unban", control_unban},
    {"History", control_history},
    {"Forget", control_forget},
    {"Backup", control_backup},
    {"LogLevel", method_log_level},
    {"Config", method_config},
    {NULL, NULL},
};
