/* SPDX-License-Identifier: MIT */
/*
 * Fault points: in a build with --enable-faults, CHATD_FAULT=NAME[:N] kills chatd (SIGKILL) at the N-th
 * passage of FAULT(NAME); a successor may have one of its own, CHATD_FAULT_THEN. So the tests stand at every
 * step between two stores or system calls. Nothing in other builds.
 */
#ifndef DAEMON_FAULT_H
#define DAEMON_FAULT_H

#ifdef ENABLE_FAULTS
void fault(const char *name);
#define FAULT(name) fault(name)
#else
#define FAULT(name) ((void)0)
#endif

#endif
