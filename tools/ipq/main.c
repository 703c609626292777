/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ipq: finds the subcommand and runs it. */
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "command.h"
#include "common/suggest.h"
#include "common/text.h"

static const struct command *const commands[] = {
	&command_watch, &command_filter, &command_run,	  &command_keep,  &command_clean,
	&command_rules, &command_status, &command_doctor, &command_bench, NULL
};

static const struct command *find(const char *name)
{
	for (const struct command *const *c = commands; *c != NULL; c++)
		if (strcmp((*c)->name, name) == 0)
			return *c;
	return NULL;
}

/*
 * Reports errors on standard output. If the reader has closed the pipe (ipq watch | head), this is not a failure.
 * The errno of the failed write may be lost by now, but poll() still shows the closed pipe.
 */
static int check_output(const char *who, int status)
{
	struct pollfd out = { .fd = STDOUT_FILENO };

	if (status != 0 || (fflush(stdout) == 0 && !ferror(stdout)))
		return status;
	if (poll(&out, 1, 0) == 1 && (out.revents & POLLERR) != 0)
		return status;
	fprintf(stderr, "%s: standard output was not written completely: is it closed, or the disk full?\n",
		who);
	return 1;
}

static int help(FILE *out)
{
	fputs("Usage: ipq COMMAND [OPTIONS]\n"
	      "       ipq help COMMAND\n"
	      "       ipq --version\n\n"
	      "Shows, filters and diagnoses packets that a firewall rule queues for a program\n"
	      "(-j QUEUE, -j NFQUEUE).\n\n",
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
	return out == stderr ? EXIT_USAGE : check_output("ipq", 0);
}

static int unknown(const char *name)
{
	const char *known[sizeof(commands) / sizeof(commands[0])] = { NULL }, *meant;

	for (size_t i = 0; commands[i] != NULL; i++)
		known[i] = commands[i]->name;
	meant = suggest(name, strlen(name), known);
	if (meant != NULL)
		text_complain("ipq", "there is no command \"%s\": did you mean \"%s\"?", name, meant);
	else
		text_complain("ipq", "there is no command \"%s\". Try \"ipq --help\".", name);
	return EXIT_USAGE;
}

static bool is_help(const char *word)
{
	return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

static bool is_version(const char *word)
{
	return strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0;
}

/*
 * Opens /dev/null, read-only, as those of the descriptors 0 to 2 that are closed. The queue's socket must not
 * become the standard output, and writing to the standard output must fail as before.
 */
static void occupy_standard_descriptors(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDONLY);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

static int help_of(const char *name)
{
	const struct command *c = find(name);

	if (c == NULL)
		return unknown(name);
	fputs(c->help, stdout);
	return check_output("ipq", 0);
}

/* `ipq help COMMAND words` prints the words that shells complete, from the tables of the parser. */
static int words_of(const char *name)
{
	const struct command *c = find(name);

	if (c == NULL)
		return unknown(name);
	if (c->words != NULL)
		c->words(stdout);
	return check_output("ipq", 0);
}

static int version(void)
{
	puts("ipq " IPQ_VERSION);
	return check_output("ipq", 0);
}

static int help_command(int argc, char **argv)
{
	if (argc > 3 && strcmp(argv[3], "words") == 0)
		return words_of(argv[2]);
	return argc > 2 ? help_of(argv[2]) : help(stdout);
}

/*
 * Whether this option is among the words. Words after "--", and words of a program that the command runs, do not
 * count.
 */
static bool has_option(const struct command *c, char **argv, bool (*is)(const char *word))
{
	for (; *argv != NULL && strcmp(*argv, "--") != 0; argv++) {
		if (is(*argv))
			return true;
		if (c->runs_program && **argv != '-')
			break;
	}
	return false;
}

int main(int argc, char **argv)
{
	const struct command *c;
	char who[32];

	occupy_standard_descriptors();
	if (argc < 2)
		return help(stderr);
	if (is_help(argv[1]))
		return help(stdout);
	if (strcmp(argv[1], "help") == 0)
		return help_command(argc, argv);
	if (is_version(argv[1]))
		return version();
	c = find(argv[1]);
	if (c == NULL)
		return unknown(argv[1]);
	if (has_option(c, argv + 2, is_help))
		return help_of(c->name);
	if (has_option(c, argv + 2, is_version))
		return version();
	snprintf(who, sizeof(who), "ipq %s", c->name);
	return check_output(who, c->run(argc - 1, argv + 1));
}
