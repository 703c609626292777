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
	const char *summary; /* one line, without a full stop */
	const char *help;    /* usage and options, for `ipq NAME --help`: whole lines */
	/* runs the subcommand; argv[0] is its name. Returns the exit status */
	int (*run)(int argc, char **argv);
	void (*words)(FILE *out); /* prints words for completion, one per line; NULL: none */
	/* options after the first word that is not an option belong to another program */
	bool runs_program;
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
 * Call it when getopt_long() has returned '?' or ':' as c (the short options begin with "+:"). Prints the wrong
 * option, and a similar one that exists. Returns EXIT_USAGE.
 */
int command_bad_option(const struct command *command, const struct option *options, char *const argv[],
		       int c);

#endif
