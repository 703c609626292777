/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Each subcommand of ipq has a folder. To add one, add its files to meson.build, a declaration here, and an entry in
 * the table in main.c.
 */
#ifndef IPQ_COMMAND_H
#define IPQ_COMMAND_H

#include <stdbool.h>
#include <stdio.h>

struct command {
	const char *name;
	const char *summary;		   /* one line, no full stop */
	const char *help;		   /* usage and options, for `ipq NAME --help`: whole lines */
	int (*run)(int argc, char **argv); /* argv[0] is the name. Returns the exit status */
	void (*words)(FILE *out);	   /* prints words for completion, one per line; NULL: none */
	bool runs_program;		   /* options after the first other word belong to a program */
};

extern const struct command command_bench;
extern const struct command command_clean;
extern const struct command command_doctor;
extern const struct command command_filter;
extern const struct command command_keep;
extern const struct command command_rules;
extern const struct command command_run;
extern const struct command command_status;
extern const struct command command_watch;

enum { EXIT_USAGE = 2 };

struct option;

/* Prints the error and where to find help, on stderr. Returns EXIT_USAGE. */
int command_usage(const struct command *command, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/*
 * Call it when getopt_long() has returned c, '?' or ':' (the short options begin with "+:"): prints the wrong option,
 * and a similar one. Returns EXIT_USAGE.
 */
int command_bad_option(const struct command *command, const struct option *options, char *const argv[],
		       int c);

#endif
