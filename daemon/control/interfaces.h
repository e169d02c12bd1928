/* SPDX-License-Identifier: MIT */
/* The descriptions of the interfaces, built in from the *.varlink files in this folder (Makefile.am). */
#ifndef DAEMON_INTERFACES_H
#define DAEMON_INTERFACES_H

extern const char control_interface[], service_interface[];

#endif
