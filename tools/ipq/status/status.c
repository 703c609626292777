/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ipq status: handles options, and writes output to a file that is replaced in one step. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "command.h"
#include "common/text.h"
#include "status/status.h"

enum format { TABLE, JSON, OPENMETRICS };

struct options {
	enum format format;
	const char *output;
	bool watch;
	unsigned interval_ms;
};

static int run(int argc, char **argv);

const struct command command_status = {
	.name = "status",
	.summary = "show all queues, their owners and the rules that feed them",
	.help = "Usage: ipq status [OPTIONS]\n"
		"\n"
		"Shows the queues of this network namespace: their owners, waiting and lost\n"
		"packets, and the firewall rules that feed them. Reports rules whose queue has\n"
		"no owner, and queues that no rule feeds. Only root sees everything.\n"
		"\n"
		"  -w, --watch[=SECONDS]  full-screen table with rates, updated every second;\n"
		"                         q or Ctrl-C ends it\n"
		"  --json                 print one JSON object\n"
		"  --openmetrics          print metrics in the text format of Prometheus\n"
		"  -o, --output FILE      replace FILE in one step (for the textfile directory\n"
		"                         of a node exporter)\n"
		"\n"
		"  ipq status\n"
		"  ipq status --watch=0.5\n"
		"  ipq status --openmetrics -o /var/lib/prometheus/node-exporter/ipq.prom\n"
		"\n"
		"Exit status: 0 success, 1 failed, 2 usage. See ipq-status(1).\n",
	.run = run,
};

static int read_interval(const char *text, unsigned *ms)
{
	char *end;
	double seconds = text == NULL ? 1 : strtod(text, &end);

	if (text != NULL && (end == text || *end != '\0' || !(seconds >= 0.1 && seconds <= 3600)))
		return command_usage(&command_status, "--watch needs seconds from 0.1 to 3600, not \"%s\"",
				     text);
	*ms = (unsigned)(seconds * 1000);
	return 0;
}

static int parse(int argc, char **argv, struct options *o)
{
	static const struct option options[] = {
		{ "watch", optional_argument, NULL, 'w' },
		{ "json", no_argument, NULL, 1 },
		{ "openmetrics", no_argument, NULL, 2 },
		{ "output", required_argument, NULL, 'o' },
		{ NULL, 0, NULL, 0 },
	};
	bool json = false, metrics = false;
	int c, err = 0;

	*o = (struct options){ .format = TABLE };
	opterr = 0;
	while (err == 0 && (c = getopt_long(argc, argv, "w::o:", options, NULL)) >= 0) {
		if (c == 'w') {
			o->watch = true;
			err = read_interval(optarg, &o->interval_ms);
		} else if (c == 1) {
			json = true;
		} else if (c == 2) {
			metrics = true;
		} else if (c == 'o') {
			o->output = optarg;
		} else {
			return command_usage(&command_status,
					     "there is no option \"%s\", or its value is missing",
					     argv[optind - 1]);
		}
	}
	if (err != 0)
		return err;
	if (optind < argc)
		return command_usage(&command_status, "unexpected argument \"%s\"", argv[optind]);
	if (json && metrics)
		return command_usage(&command_status, "--json and --openmetrics exclude each other");
	if (o->watch && (json || metrics || o->output != NULL))
		return command_usage(
			&command_status,
			"--watch needs the terminal: leave out --json, --openmetrics and --output");
	o->format = json ? JSON : metrics ? OPENMETRICS : TABLE;
	return 0;
}

static void print(const struct snapshot *s, enum format format, FILE *out)
{
	const struct status_view view = { .now = s };

	if (format == JSON)
		status_print_json(s, out);
	else if (format == OPENMETRICS)
		status_print_openmetrics(s, out);
	else
		status_print(&view, out);
}

/*
 * Writes a new file in the same directory and renames it, so that a reader finds either the old or the new content.
 */
static int print_to_file(const struct snapshot *s, const struct options *o)
{
	size_t room = strlen(o->output) + sizeof(".XXXXXX");
	char *name = malloc(room);
	mode_t mask = umask(0);
	FILE *out = NULL;
	int fd, err;

	umask(mask);
	if (name == NULL)
		return -ENOMEM;
	snprintf(name, room, "%s.XXXXXX", o->output);
	fd = mkostemp(name, O_CLOEXEC);
	if (fd < 0) {
		err = -errno;
		free(name);
		return err;
	}
	err = fchmod(fd, 0644 & ~mask) < 0 ? -errno : 0;
	out = fdopen(fd, "w");
	if (out == NULL) {
		err = -errno;
		close(fd);
	} else {
		print(s, o->format, out);
		if ((fflush(out) != 0 || fsync(fd) < 0) && err == 0)
			err = -errno;
		if (fclose(out) != 0 && err == 0)
			err = -errno;
	}
	if (err == 0 && rename(name, o->output) < 0)
		err = -errno;
	if (err < 0)
		unlink(name);
	free(name);
	return err;
}

static int run(int argc, char **argv)
{
	struct options o;
	struct snapshot s;
	int err = parse(argc, argv, &o);

	if (err != 0)
		return err;
	if (o.watch)
		return status_watch(o.interval_ms);
	err = snapshot_take(&s, false);
	if (err < 0) {
		fprintf(stderr, "ipq status: cannot read queues and rules: %s\n", strerror(-err));
		return 1;
	}
	if (o.output == NULL) {
		print(&s, o.format, stdout);
		err = fflush(stdout) != 0 ? -errno : 0;
	} else {
		err = print_to_file(&s, &o);
	}
	if (err < 0)
		text_complain("ipq status", "cannot write%s%s: %s", o.output != NULL ? " " : "",
			      o.output != NULL ? o.output : "", strerror(-err));
	snapshot_free(&s);
	return err < 0;
}
