/* SPDX-License-Identifier: MIT */
/* What libconfig can't read, told so that a person finds it. */
#ifndef DAEMON_CONFIG_SYNTAX_H
#define DAEMON_CONFIG_SYNTAX_H

#include <libconfig.h>
#include <stdio.h>

/* Writes "FILE:LINE: what" about the error in lib; text is what was read, name stands for a file without one.
 */
void config_report_syntax(const config_t *lib, const char *name, const char *text, FILE *errors);
/* The same; the file with the error is read again. */
void config_report_file(const config_t *lib, const char *path, FILE *errors);

#endif
