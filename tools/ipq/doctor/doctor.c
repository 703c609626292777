/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ipq doctor: finds out why no packets arrive, and what to do. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "command.h"
#include "doctor/doctor.h"

#define SCRIPTS_MAX 64

static int run(int argc, char **argv);

const struct command command_doctor = {
	.name = "doctor",
	.summary = "find out why no packets arrive, and what to do",
	.help = "Usage: ipq doctor [--queue N] [--script PATH]... [--json]\n"
		"       ipq doctor --program PATH [--json]\n"
		"\n"
		"Checks everything that is needed to receive packets: kernel, privileges,\n"
		"namespace, queues and their owners, rules, limits, old libraries and scripts.\n"
		"Prints a line for each check, and a command if one can solve the problem.\n"
		"Changes nothing: a private network namespace serves to test which rules the\n"
		"kernel accepts.\n"
		"\n"
		"  -q, --queue N     check this queue (default 0, the queue of -j QUEUE)\n"
		"  --script PATH     also search this file or directory for ip_queue\n"
		"  --program PATH    check a program: which API it uses, how to run it here\n"
		"  --json            print one JSON object\n"
		"\n"
		"  sudo ipq doctor\n"
		"  sudo ipq doctor --queue 3 --script /usr/local/sbin/firewall\n"
		"  ipq doctor --program ./old-program\n"
		"\n"
		"Exit status: 0 no check failed, 1 a check failed, 2 usage. See ipq-doctor(1).\n",
	.run = run,
};

static int read_queue(const char *text, uint32_t *queue)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	if (text[0] < '0' || text[0] > '9' || *end != '\0' || n > 65535)
		return command_usage(&command_doctor, "a queue number is from 0 to 65535, not \"%s\"", text);
	*queue = (uint32_t)n;
	return 0;
}

static int parse(int argc, char **argv, struct doctor *d, const char **script, const char **program)
{
	static const struct option options[] = {
		{ "queue", required_argument, NULL, 'q' },
		{ "script", required_argument, NULL, 1 },
		{ "program", required_argument, NULL, 2 },
		{ "json", no_argument, NULL, 3 },
		{ NULL, 0, NULL, 0 },
	};
	unsigned scripts = 0;
	int c, err = 0;

	opterr = 0;
	while (err == 0 && (c = getopt_long(argc, argv, "q:", options, NULL)) >= 0) {
		if (c == 'q')
			err = read_queue(optarg, &d->queue);
		else if (c == 1 && scripts == SCRIPTS_MAX)
			return command_usage(&command_doctor, "at most %d scripts: use a directory",
					     SCRIPTS_MAX);
		else if (c == 1)
			script[scripts++] = optarg;
		else if (c == 2)
			*program = optarg;
		else if (c == 3)
			d->json = true;
		else
			return command_usage(&command_doctor,
					     "there is no option \"%s\", or its value is missing",
					     argv[optind - 1]);
	}
	if (err == 0 && optind < argc)
		return command_usage(&command_doctor,
				     "unexpected argument \"%s\"; to check a program: --program %s",
				     argv[optind], argv[optind]);
	script[scripts] = NULL;
	d->script = script;
	return err;
}

static int examine(struct doctor *d)
{
	struct snapshot s;
	int err;

	doctor_kernel(d);
	doctor_rights(d);
	doctor_tools(d);
	err = snapshot_take(&s, false);
	if (err < 0) {
		doctor_say(d, CHECK_FAIL, "queues", NULL, "cannot read queues and rules: %s", strerror(-err));
	} else {
		doctor_rules(d, &s);
		doctor_queues(d, &s);
		snapshot_free(&s);
	}
	doctor_limits(d);
	doctor_library(d);
	doctor_scripts(d);
	return d->failures > 0;
}

static int run(int argc, char **argv)
{
	const char *script[SCRIPTS_MAX + 1], *program = NULL;
	struct doctor d = { .queue = 0 };
	int err = parse(argc, argv, &d, script, &program);

	if (err != 0)
		return err;
	if (d.json)
		fputs("{\"checks\":[", stdout);
	if (program != NULL)
		doctor_program(&d, program);
	else
		examine(&d);
	if (d.json)
		printf("],\"warnings\":%u,\"failures\":%u}\n", d.warnings, d.failures);
	return fflush(stdout) != 0 || d.failures > 0;
}
