/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ipq: finds the subcommand. */
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "command.h"
#include "common/text.h"

static const struct command *const commands[] = { &command_watch,  &command_filter,
						  &command_run,	   &command_clean,
						  &command_status, &command_doctor,
						  &command_bench,  NULL };

static const struct command *find(const char *name)
{
	for (const struct command *const *c = commands; *c != NULL; c++)
		if (strcmp((*c)->name, name) == 0)
			return *c;
	return NULL;
}

int command_usage(const struct command *command, const char *format, ...)
{
	char text[512], who[32];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	snprintf(who, sizeof(who), "ipq %s", command->name);
	text_complain(who, "%s", text);
	fprintf(stderr, "Try \"ipq help %s\".\n", command->name);
	return EXIT_USAGE;
}

static int help(FILE *out)
{
	fputs("Usage: ipq COMMAND [OPTIONS]\n"
	      "       ipq help COMMAND\n"
	      "       ipq --version\n\n"
	      "Packets that a firewall rule queued for a program (-j QUEUE, -j NFQUEUE), from\n"
	      "the shell.\n\n",
	      out);
	for (const struct command *const *c = commands; *c != NULL; c++)
		fprintf(out, "  %-10s %s\n", (*c)->name, (*c)->summary);
	fputs("\n"
	      "  sudo ipq watch --on INPUT icmp or icmp6\n"
	      "  sudo ipq filter --on INPUT 'drop tcp dst port 23'\n"
	      "  sudo ipq doctor\n"
	      "\n"
	      "See ipq(1).\n",
	      out);
	return out == stderr ? EXIT_USAGE : fflush(out) != 0;
}

static int unknown(const char *name)
{
	text_complain("ipq", "there is no command \"%s\". Try \"ipq --help\".", name);
	return EXIT_USAGE;
}

static bool is_help(const char *word)
{
	return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

static int help_of(const char *name)
{
	const struct command *c = find(name);

	if (c == NULL)
		return unknown(name);
	fputs(c->help, stdout);
	return fflush(stdout) != 0;
}

/* A queue's socket must not become descriptor 1, where what is printed would go. What was closed stays closed
 * for writing: the writer learns of it. */
static void occupy_standard_descriptors(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDONLY);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

/* A reader that has gone (ipq watch | head) is no failure. The failing write may be long past, and its errno
 * with it: poll() still knows of the reader. */
static int check_output(const struct command *c, int status)
{
	struct pollfd out = { .fd = STDOUT_FILENO };

	if (status != 0 || (fflush(stdout) == 0 && !ferror(stdout)))
		return status;
	if (poll(&out, 1, 0) == 1 && (out.revents & POLLERR) != 0)
		return status;
	fprintf(stderr,
		"ipq %s: standard output was not written completely: is it closed, or the disk full?\n",
		c->name);
	return 1;
}

int main(int argc, char **argv)
{
	const struct command *c;

	occupy_standard_descriptors();
	if (argc < 2)
		return help(stderr);
	if (is_help(argv[1]))
		return help(stdout);
	if (strcmp(argv[1], "help") == 0)
		return argc > 2 ? help_of(argv[2]) : help(stdout);
	if (strcmp(argv[1], "--version") == 0)
		return puts("ipq " IPQ_VERSION) < 0 || fflush(stdout) != 0;
	c = find(argv[1]);
	if (c == NULL)
		return unknown(argv[1]);
	if (argc > 2 && is_help(argv[2]))
		return help_of(c->name);
	return check_output(c, c->run(argc - 1, argv + 1));
}
