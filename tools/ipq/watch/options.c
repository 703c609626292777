/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The command line of `ipq watch`. If tcpdump has an option, the same letter is used. */
#include <errno.h>
#include <limits.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include "common/text.h"
#include "output/own_link.h"
#include "watch/watch.h"

enum { OPTION_JSON = 1, OPTION_INCLUDE_OWN };

static const struct option long_options[] = { SESSION_LONG_OPTIONS,
					      { "write", required_argument, NULL, 'w' },
					      { "read", required_argument, NULL, 'r' },
					      { "group", required_argument, NULL, 'g' },
					      { "interface", required_argument, NULL, 'i' },
					      { "count", required_argument, NULL, 'c' },
					      { "bytes", no_argument, NULL, 'x' },
					      { "text", no_argument, NULL, 'A' },
					      { "verbose", no_argument, NULL, 'v' },
					      { "json", no_argument, NULL, OPTION_JSON },
					      { "include-own", no_argument, NULL, OPTION_INCLUDE_OWN },
					      { NULL, 0, NULL, 0 } };

/* Reads a number. 0 or EXIT_USAGE. */
static int read_number(const struct watch *watch, const char *option, uint64_t max, uint64_t *number)
{
	char *end;

	errno = 0;
	*number = strtoull(optarg, &end, 10);
	if (errno != 0 || *end != '\0' || optarg[0] < '0' || optarg[0] > '9' || *number == 0 || *number > max)
		return command_usage(watch->session.command, "%s needs a number, 1 or more, as in %s 10",
				     option, option);
	return 0;
}

static int read_unsigned(const struct watch *watch, const char *option, unsigned max, unsigned *number)
{
	uint64_t n;
	int status = read_number(watch, option, max, &n);

	*number = (unsigned)n;
	return status;
}

static int read_group(struct watch *watch)
{
	char *end;
	unsigned long n = strtoul(optarg, &end, 10);

	if (*end != '\0' || optarg[0] < '0' || optarg[0] > '9' || n > 65535)
		return command_usage(watch->session.command,
				     "-g needs an NFLOG group from 0 to 65535, as in -g 5");
	watch->group = (unsigned)n;
	watch->group_given = true;
	return 0;
}

static int read_size(struct watch *watch)
{
	uint64_t millions;
	int status = read_number(watch, "-C", UINT64_MAX / 1000000, &millions);

	watch->record.bytes = millions * 1000000;
	return status;
}

static int read_recording_option(struct watch *watch, int c)
{
	switch (c) {
	case 'w':
		watch->record.path = optarg;
		return 0;
	case 'C':
		return read_size(watch);
	case 'G':
		return read_unsigned(watch, "-G", INT_MAX, &watch->record.seconds);
	default:
		return read_unsigned(watch, "-W", 1000000, &watch->record.files);
	}
}

static int read_option(struct watch *watch, int c)
{
	switch (c) {
	case 'w':
	case 'C':
	case 'G':
	case 'W':
		return read_recording_option(watch, c);
	case 'r':
		watch->file = optarg;
		return 0;
	case 'g':
		return read_group(watch);
	case 'i':
		watch->interface = strcmp(optarg, "any") != 0 ? optarg : NULL;
		return 0;
	case 'c':
		return read_number(watch, "-c", UINT64_MAX, &watch->limit);
	case 'x':
	case 'X':
		watch->style.bytes = true;
		return 0;
	case 'A':
		watch->style.text = true;
		return 0;
	case 'v':
		watch->style.verbose = true;
		return 0;
	case 'n': /* addresses are never resolved */
	case 'l': /* lines are never buffered */
	case 'U':
		return 0;
	case OPTION_JSON:
		watch->style.json = true;
		return 0;
	case OPTION_INCLUDE_OWN:
		watch->include_own = true;
		return 0;
	default:
		return session_option(&watch->session, c, optarg);
	}
}

/* ---- the source of the packets ------------------------------------------------------------------- */

static int set_source(struct watch *watch)
{
	struct session *s = &watch->session;
	int n = 0;

	if ((s->source != NULL) + (watch->file != NULL) + (watch->group_given && s->hooks == 0) > 1)
		return command_usage(watch->session.command, "only one of -s, -r and -g can be used");
	if (watch->file != NULL && strchr(watch->file, ',') != NULL)
		return command_usage(watch->session.command,
				     "-r: the name of the file must not have a comma");
	if (s->hooks != 0 && s->queue_given && s->queue_first != s->queue_last)
		return command_usage(watch->session.command,
				     "--on sends copies to one group: name it with -g N");
	if (watch->file != NULL)
		n = asprintf(&watch->source, "pcap:%s", watch->file);
	else if (watch->group_given && s->hooks == 0)
		n = asprintf(&watch->source, "nflog:%u", watch->group);
	if (n < 0) {
		watch->source = NULL;
		text_complain("ipq watch", "out of memory");
		return 1;
	}
	if (watch->source != NULL)
		s->source = watch->source;
	if (s->hooks != 0)
		s->rules_kind = RULES_LOG;
	if (s->hooks != 0 && watch->group_given) {
		s->queue_first = s->queue_last = watch->group;
		s->queue_given = true;
	}
	return session_check(s);
}

/* ---- recording ----------------------------------------------------------------------------------- */

static int set_recording(struct watch *watch)
{
	const struct recorder_options *r = &watch->record;
	const char *slash;

	if (r->bytes == 0 && r->seconds == 0 && r->files == 0)
		return 0;
	if (r->path == NULL || strcmp(r->path, "-") == 0)
		return command_usage(watch->session.command, "-C, -G and -W need -w FILE");
	if (r->files > 0 && r->bytes == 0)
		return command_usage(watch->session.command, "-W needs -C, the size of each file");
	slash = strrchr(r->path, '/');
	if (r->seconds > 0 && slash != NULL && memchr(r->path, '%', (size_t)(slash - r->path)) != NULL)
		return command_usage(watch->session.command,
				     "-G: only the last part of the file name may have %%");
	watch->directory = slash == NULL ? strdup(".") : strndup(r->path, (size_t)(slash - r->path + 1));
	watch->session.writes_in = watch->directory;
	return 0;
}

/* ---- the packets to show ------------------------------------------------------------------------- */

/* Parses a filter. 0; -ENOMEM, or -EINVAL with a message. */
static int parse_expression(struct expression **x, const char *text)
{
	struct rule_error e = { .offset = 0 };
	struct cursor c = { .text = text, .at = text, .e = &e };
	int err = expression_parse(x, &c);

	if (err < 0) {
		text_complain("ipq watch", "%s", err == -ENOMEM ? "out of memory" : e.text);
		text_point(text, e.offset);
	}
	return err;
}

/* The words of the filter may be one argument or several. */
static char *join(int words, char **word)
{
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	if (f == NULL)
		return NULL;
	for (int i = 0; i < words; i++)
		fprintf(f, "%s%s", i > 0 ? " " : "", word[i]);
	fclose(f);
	return text;
}

/*
 * Makes a filter for the connections that carry the output, as far as the user's filter may match them. NULL: none.
 */
static char *find_own_link(const struct watch *watch)
{
	const struct session *s = &watch->session;
	char *link = NULL;

	if (!s->virtual_time && !s->dry_run && !watch->include_own)
		link = own_link_filter();
	if (link != NULL && watch->expression != NULL && !expression_may_match_tcp(watch->expression) &&
	    strstr(link, "(udp ") == NULL) {
		free(link);
		link = NULL;
	}
	if (link != NULL && !s->quiet)
		text_note(
			"ipq watch: not shown, because it carries this output (--include-own shows it): %s\n",
			link);
	return link;
}

/*
 * Adds -i to the user's filter, and excludes the connections that carry the output. The filter was parsed before
 * without these, so that errors are reported in the user's words.
 */
static int narrow(struct watch *watch, const char *user)
{
	char *link = find_own_link(watch), *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);
	int err = f != NULL ? 0 : -ENOMEM;

	if (f != NULL) {
		if (watch->interface != NULL)
			fprintf(f, "(in %s or out %s)", watch->interface, watch->interface);
		if (*user != '\0')
			fprintf(f, "%s(%s)", ftell(f) > 0 ? " and " : "", user);
		if (link != NULL)
			fprintf(f, "%snot (%s)", ftell(f) > 0 ? " and " : "", link);
		fclose(f);
	}
	if (err == 0 && len > 0) {
		expression_free(watch->expression);
		watch->expression = NULL;
		err = parse_expression(&watch->expression, text);
	}
	free(link);
	free(text);
	return err;
}

static bool is_interface(const struct watch *watch)
{
	const char *name = watch->interface;

	return name == NULL || watch->session.virtual_time || strpbrk(name, "*?[") != NULL ||
	       if_nametoindex(name) != 0;
}

static int set_expression(struct watch *watch, int words, char **word)
{
	char *user;
	int err;

	if (!is_interface(watch)) {
		text_complain("ipq watch",
			      "there is no interface \"%s\" here: \"ip link\" lists the interfaces",
			      watch->interface);
		return 1;
	}
	user = join(words, word);
	err = user != NULL ? 0 : -ENOMEM;
	if (err == 0 && *user != '\0')
		err = parse_expression(&watch->expression, user);
	if (err == 0)
		err = narrow(watch, user);
	free(user);
	return err == -ENOMEM ? 1 : err < 0 ? EXIT_USAGE : 0;
}

int watch_parse(struct watch *watch, int argc, char **argv)
{
	int c, status = 0;

	opterr = 0;
	while (status == 0 && (c = getopt_long(argc, argv, "+:w:r:g:i:c:C:G:W:xXAvnlU" SESSION_SHORT_OPTIONS,
					       long_options, NULL)) != -1)
		status = c == '?' || c == ':'
				 ? command_bad_option(watch->session.command, long_options, argv, c)
				 : read_option(watch, c);
	if (status == 0)
		status = set_source(watch);
	if (status == 0)
		status = set_recording(watch);
	return status != 0 ? status : set_expression(watch, argc - optind, argv + optind);
}

void watch_free_options(struct watch *watch)
{
	expression_free(watch->expression);
	free(watch->source);
	free(watch->directory);
}
