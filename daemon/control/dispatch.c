/* SPDX-License-Identifier: MIT */
/* Finds the method that is called, and answers org.varlink.service, which every Varlink service has. */
#include "daemon/control/dispatch.h"

#include "common/varlink.h"
#include "daemon/control/interfaces.h"
#include "daemon/control/methods.h"

#include <string.h>

static void dispatch_get_info(struct control_client *c)
{
	control_reply(c,
		      json_pack("{s:s,s:s,s:s,s:s,s:[s,s]}", "vendor", "chatd", "product", "chatd", "version",
				PACKAGE_VERSION, "url", "https://chatd.io", "interfaces",
				"org.varlink.service", VARLINK_INTERFACE),
		      false);
}

static void dispatch_get_description(struct control_client *c, const json_t *parameters)
{
	const char *name = json_string_value(json_object_get(parameters, "interface"));

	if (!name)
		control_invalid(c, "interface");
	else if (strcmp(name, VARLINK_INTERFACE) == 0)
		control_reply(c, json_pack("{s:s}", "description", control_interface), false);
	else if (strcmp(name, "org.varlink.service") == 0)
		control_reply(c, json_pack("{s:s}", "description", service_interface), false);
	else
		control_error(c, "org.varlink.service.InterfaceNotFound",
			      json_pack("{s:s}", "interface", name));
}

void control_dispatch(struct control_client *c, const char *method, const json_t *parameters, bool more)
{
	const size_t prefix = strlen(VARLINK_INTERFACE ".");

	if (strcmp(method, "org.varlink.service.GetInfo") == 0) {
		dispatch_get_info(c);
		return;
	}
	if (strcmp(method, "org.varlink.service.GetInterfaceDescription") == 0) {
		dispatch_get_description(c, parameters);
		return;
	}
	if (strncmp(method, VARLINK_INTERFACE ".", prefix) == 0)
		for (const struct control_method *m = control_methods; m->name; m++)
			if (strcmp(m->name, method + prefix) == 0) {
				m->call(c, parameters, more);
				return;
			}
	control_error(c, "org.varlink.service.MethodNotFound", json_pack("{s:s}", "method", method));
}
