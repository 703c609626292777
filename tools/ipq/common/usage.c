/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Mistakes in the command line of a subcommand. */
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "command.h"
#include "common/suggest.h"
#include "common/text.h"

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

int command_bad_option(const struct command *command, const struct option *options, char *const argv[], int c)
{
	const char *word = argv[optind - 1], *known[64], *meant;
	size_t n = 0;

	if (c == ':')
		return command_usage(command, "\"%s\" needs a value", word);
	if (optopt != 0 && strncmp(word, "--", 2) != 0)
		return command_usage(command, "unknown option \"-%c\"", optopt);
	if (optopt != 0)
		return command_usage(command, "\"%s\" takes no value", word);
	while (n < 63 && options[n].name != NULL) {
		known[n] = options[n].name;
		n++;
	}
	known[n] = NULL;
	meant = suggest(word + 2, strlen(word + 2), known);
	if (meant != NULL)
		return command_usage(command, "unknown option \"%s\": did you mean \"--%s\"?", word, meant);
	return command_usage(command, "unknown option \"%s\"", word);
}
