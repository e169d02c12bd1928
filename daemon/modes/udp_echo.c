/* SPDX-License-Identifier: MIT */
/* UDP mode "echo" (RFC 862): each datagram comes back, but not to services that would answer it for ever. */
#include "common/cleanup.h"
#include "daemon/config/config.h"
#include "daemon/config/handler.h"
#include "daemon/config/mode_settings.h"
#include "daemon/net/udp.h"

struct udp_echo_data {
	uint16_t own_port; /* systemd may pass a socket that has another one than the configuration */
};

/*
 * Services that answer whatever they get (echo, systat, daytime, qotd, chargen, time, dns, tftp, ntp, snmp
 * ...: RFC 4732, 2.1.2) have well-known ports; a person's program has a port above. Nothing is sent to our
 * own listeners' ports at any address either, as another chatd may have the same ones.
 */
static bool udp_echo_would_loop(struct udp_listener *u, uint16_t port)
{
	const struct udp_echo_data *e = udp_data(u);
	const struct config *config = udp_base(u)->ctx->config;

	for (size_t i = 0; i < config->n_listeners; i++)
		if (config->listeners[i].handler->transport == TRANSPORT_UDP &&
		    address_port(config_bound(&config->listeners[i])) == port)
			return true;
	return port < 1024 || port == e->own_port;
}

static int udp_echo_opened(struct udp_listener *u, const struct listener_config *config, void **ret_data)
{
	struct udp_echo_data *e = calloc(1, sizeof(*e));

	(void)u;
	(void)config;
	*ret_data = e;
	return e ? 0 : -ENOMEM;
}

static void udp_echo_started(struct udp_listener *u)
{
	struct udp_echo_data *e = udp_data(u);
	union address a = {0};
	socklen_t len = sizeof(a);

	if (getsockname(udp_base(u)->fd, &a.sa, &len) == 0)
		e->own_port = address_port(&a);
}

static size_t udp_echo_received(struct udp_listener *u, struct datagram *d, size_t n)
{
	struct udp_out out[UDP_BATCH];
	size_t k = 0;

	if (n > UDP_BATCH)
		n = UDP_BATCH;
	for (size_t i = 0; i < n; i++) {
		if (udp_echo_would_loop(u, address_port(&d[i].from))) {
			udp_count_ignored(u);
			continue;
		}
		out[k++] = (struct udp_out){
		    .to = &d[i].from, .local = &d[i].local, .data = d[i].data, .len = d[i].len};
	}
	udp_send(u, out, k);
	for (size_t i = 0; i < k; i++)
		if (out[i].error == -EAGAIN)
			udp_count_dropped(u, 1);
	return n;
}

static void udp_echo_closed(void *data)
{
	free(data);
}

const struct udp_behaviour udp_echo = {
    .opened = udp_echo_opened,
    .started = udp_echo_started,
    .received = udp_echo_received,
    .closed = udp_echo_closed,
};

const struct handler handler_udp_echo = {
    .type = "udp",
    .mode = "echo",
    .transport = TRANSPORT_UDP,
    .settings = &mode_udp_only,
    .udp = &udp_echo,
};
