/* SPDX-License-Identifier: MIT */
/* The table of what chatctl and others can ask for, and the interface's description (varlink.org). */
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

const struct control_method control_methods[] = {
    {"Status", control_status},	 {"List", control_list},      {"Send", control_send},
    {"Tail", control_tail},	 {"Kick", control_kick},      {"Reload", method_reload},
    {"Restart", method_restart}, {"Metrics", method_metrics}, {"Ban", control_ban},
    {"Watch", control_watch},	 {"Unban", control_unban},    {NULL, NULL},
};

const char control_interface[] =
    "# Controls chatd.\n"
    "interface io.chatd.Control\n"
    "\n"
    "type Worker (name: string, connections: int, sender: string)\n"
    "# How often the clients were taken over from a process before, and how that went the last time.\n"
    "type Takeover (count: int, time: ?float, clients: ?int, closed: ?int, gap: ?float, covered: int, "
    "uncovered: "
    "int, tls: int, store: bool)\n"
    "type Ban (address: string, until: ?float)\n"
    "type Client (id: int, nick: string, room: string, listener: string, mode: string, address: string, age: "
    "float, idle: float, received: int, sent: int, behind: int, dropped: int, covered: bool, tls: bool, "
    "lease: ?float, "
    "peers: ?int, messages_in: ?int, messages_out: ?int)\n"
    "type Room (name: string, members: int, format: string, messages: int, log_size: int, history: int, "
    "announce_max: int, configured: bool)\n"
    "type Listener (name: string, type: string, mode: string, address: string, room: string, accepted: int, "
    "received: int, dropped: int, ignored: int, socket: string)\n"
    "type Message (time: float, kind: string, client: int, line: string, text: string)\n"
    "\n"
    "method Status() -> (version: string, pid: int, uptime: float, config: string, clients: int, rooms: int, "
    "listeners: int, messages: int, received_bytes: int, sent_bytes: int, workers: []Worker, takeover: "
    "Takeover)\n"
    "# what: clients, rooms, listeners or bans; only that member is in the reply.\n"
    "method List(what: string) -> (clients: ?[]Client, rooms: ?[]Room, listeners: ?[]Listener, bans: "
    "?[]Ban)\n"
    "method Send(room: string, text: string, as: ?string) -> ()\n"
    "# Call it with more; with follow it goes on until the next call or the end of the connection. from: the "
    "number\n"
    "# of the first message wanted, as next was.\n"
    "method Tail(room: string, lines: ?int, from: ?int, follow: ?bool) -> (messages: []Message, skipped: "
    "int, "
    "next: int)\n"
    "# address: a client's, with its port, or what a ban is for; reason: a kick's; until: a ban's end.\n"
    "type Event (time: float, kind: string, text: string, client: ?int, room: ?string, listener: ?string, "
    "address: ?string, reason: ?string, until: ?float)\n"
    "# Call it with more. missed: events that came faster than they were read.\n"
    "method Watch() -> (events: []Event, missed: int)\n"
    "method Kick(id: int, reason: ?string) -> ()\n"
    "# An address or ADDRESS/BITS, for some time or for ever; the reply has it as it is kept. saved: whether "
    "it is kept on disk; if not, "
    "reason.\n"
    "method Ban(address: string, seconds: ?float) -> (address: string, saved: bool, reason: ?string, kicked: "
    "int)\n"
    "method Unban(address: string) -> (saved: bool, reason: ?string)\n"
    "# Warnings: what is odd, but in use; lines.\n"
    "method Reload() -> (warnings: ?string)\n"
    "# Replies before the new program takes over; Status tells when it has.\n"
    "method Restart() -> ()\n"
    "# In the Prometheus text format.\n"
    "method Metrics() -> (text: string)\n"
    "\n"
    "error Refused (reason: string)\n"
    "error ConfigInvalid (reason: string)\n";
