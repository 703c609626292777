/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Options, and the order of the measurements. */
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include "bench.h"

struct options {
	unsigned rounds, scale, capture;
	const char *only, *consumers, *out, *against;
	bool pin;
};

static const char usage[] =
	"bench [--quick] [--rounds N] [--scale N] [--only TEXT] [--consumers A,B,...] [--pin] "
	"[--capture MB] [--out DIR] [--against FILE] [--list]\n"
	"  --quick      3 rounds of short measurements (default: 5 rounds, twice as long)\n"
	"  --only       these scenarios, comma-separated; names or parts of names\n"
	"  --consumers  only these, and " REFERENCE ", which ratios are taken against\n"
	"  --pin        driver on processor 0, consumer on the following ones\n"
	"  --capture    megabytes of the capture that ipq filter is measured with (256)\n"
	"  --against    the consumers with the library of another tree; bench/run builds FILE from a "
	"directory\n"
	"  --out        where measurements.csv and medians.csv go\n";

/*
 * Whether name is in the list. A word of the list that is not the complete name of a scenario selects all names
 * that contain it. Without a list, every name is selected.
 */
static bool listed(const char *list, const char *name, bool whole)
{
	char word[64];

	if (list == NULL)
		return true;
	while (*list != '\0') {
		size_t len = strcspn(list, ",");

		snprintf(word, sizeof(word), "%.*s", (int)len, list);
		if (len > 0 && (whole || scenario_index(word) >= 0 ? strcmp(name, word) == 0
								   : strstr(name, word) != NULL))
			return true;
		list += len + (list[len] == ',');
	}
	return false;
}

static int list_all(void)
{
	for (unsigned i = 0; i < scenario_count; i++)
		printf("%-20s %s, %u bytes\n", scenarios[i].name, scenarios[i].what, scenarios[i].size);
	printf("%-20s ipq filter, a C program and Python, ten rules\n", "filter-live");
	printf("%-20s ipq filter over a capture, ten rules\n", "filter-capture");
	printf("%-20s UDP, TCP, short flows left to the kernel; a million decisions\n", "flows");
	printf("\n");
	for (unsigned i = 0; i < consumer_count; i++)
		printf("%-14s %s\n", consumers[i].name, consumers[i].title);
	return 0;
}

static int parse(int argc, char **argv, struct options *o)
{
	static const struct option known[] = {
		{ "quick", no_argument, NULL, 'q' },
		{ "rounds", required_argument, NULL, 'r' },
		{ "scale", required_argument, NULL, 's' },
		{ "only", required_argument, NULL, 'o' },
		{ "out", required_argument, NULL, 'd' },
		{ "consumers", required_argument, NULL, 'c' },
		{ "capture", required_argument, NULL, 'm' },
		{ "pin", no_argument, NULL, 'p' },
		{ "list", no_argument, NULL, 'l' },
		{ "against", required_argument, NULL, 'a' },
		{ NULL, 0, NULL, 0 },
	};
	int option;

	while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
		switch (option) {
		case 'q':
			o->rounds = 3;
			o->scale = 1;
			break;
		case 'r':
			o->rounds = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 's':
			o->scale = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'o':
			o->only = optarg;
			break;
		case 'd':
			o->out = optarg;
			break;
		case 'c':
			o->consumers = optarg;
			break;
		case 'a':
			o->against = optarg;
			break;
		case 'm':
			o->capture = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'p':
			o->pin = true;
			break;
		case 'l':
			exit(list_all());
		default:
			return -1;
		}
	}
	if (o->capture < 4 || o->capture > 4096)
		return -1;
	return optind == argc && o->rounds > 0 && o->rounds <= 101 && o->scale > 0 && o->scale <= 1000 ? 0
												       : -1;
}

static bool unavailable[MAX_CONSUMERS]; /* true: the message was printed */

static bool takes_part(const struct options *o, const struct scenario *s, unsigned c)
{
	bool wanted =
		listed(o->consumers, consumers[c].name, true) || strcmp(consumers[c].name, REFERENCE) == 0;

	return wanted && !unavailable[c] && (o->against != NULL || !(consumers[c].traits & OTHER_TREE)) &&
	       scenario_suits(s, &consumers[c]);
}

/* Notes a result. Returns the number of failures. */
static unsigned note(const struct scenario *s, unsigned c, unsigned round, int err)
{
	unavailable[c] = err == UNAVAILABLE;
	if (err >= 0)
		return 0;
	fprintf(stderr, "bench: %s, %s, round %u: failed\n", s->name, consumers[c].name, round + 1);
	return 1;
}

/*
 * Whether consumers can be measured side by side. Not for TCP, whose stream is between two namespaces, and not for
 * HOLDING, where the scenarios take turns instead of the consumers.
 */
static bool is_side_by_side(const struct scenario *s)
{
	return s->pattern != TCP && s->pattern != HOLDING;
}

static unsigned run_side_by_side(const struct options *o, struct results *all, unsigned scenario,
				 unsigned round)
{
	struct contest contest[MAX_CONSUMERS];
	unsigned who[MAX_CONSUMERS], n = 0, failed = 0;

	for (unsigned c = 0; c < consumer_count; c++) {
		if (!takes_part(o, &scenarios[scenario], c))
			continue;
		contest[n] = (struct contest){ &consumers[c], result_at(all, scenario, c, round), 0 };
		who[n++] = c;
	}
	measure_in_turn(&scenarios[scenario], contest, n, o->scale, o->pin);
	for (unsigned i = 0; i < n; i++)
		failed += note(&scenarios[scenario], who[i], round, contest[i].err);
	return failed;
}

static unsigned run_one_by_one(const struct options *o, struct results *all, unsigned scenario,
			       unsigned round)
{
	const struct scenario *s = &scenarios[scenario];
	unsigned failed = 0;

	for (unsigned i = 0; i < consumer_count; i++) {
		unsigned c = (i + round) % consumer_count;

		if (takes_part(o, s, c))
			failed += note(s, c, round,
				       measure(s, &consumers[c], o->scale, o->pin,
					       result_at(all, scenario, c, round)));
	}
	return failed;
}

/*
 * Runs all consumers in each of the scenarios first to last, then all of them again. Each round begins with another
 * consumer. Returns the number of failures.
 */
static unsigned run_scenarios(const struct options *o, struct results *all, unsigned first, unsigned last)
{
	unsigned failed = 0, round, s;

	for (round = 0; round < o->rounds; round++)
		for (s = first; s <= last; s++)
			if (listed(o->only, scenarios[s].name, false))
				failed += is_side_by_side(&scenarios[s]) ? run_side_by_side(o, all, s, round)
									 : run_one_by_one(o, all, s, round);
	for (s = first; s <= last; s++)
		if (listed(o->only, scenarios[s].name, false))
			report_scenario(all, s);
	return failed;
}

/* The last of the scenarios that are compared with each other and therefore measured in turn. */
static unsigned last_with(unsigned first)
{
	unsigned last = first;

	while (scenarios[first].pattern == HOLDING && last + 1 < scenario_count &&
	       scenarios[last + 1].pattern == HOLDING && scenarios[last + 1].order == scenarios[first].order)
		last++;
	return last;
}

int main(int argc, char **argv)
{
	struct options o = { .rounds = 5, .scale = 2, .capture = 256 };
	struct results all;
	unsigned failed = 0;

	if (argc >= 5 && strcmp(argv[1], OLD_PROGRAM) == 0)
		return old_program(argv + 2);
	signal(SIGPIPE, SIG_IGN);
	if (parse(argc, argv, &o) < 0) {
		fputs(usage, stderr);
		return 2;
	}
	if (o.against != NULL && other_tree_load(o.against) < 0)
		return 2;
	all.rounds = o.rounds;
	all.cell = calloc((size_t)scenario_count * consumer_count * o.rounds, sizeof(*all.cell));
	if (all.cell == NULL || ground_enter() < 0)
		return 77;
	if (!ground_queues().known)
		printf("the kernel's counters are not to be read here: losses are shown, not compared with "
		       "them\n");
	for (unsigned s = 0; s < scenario_count; s = last_with(s) + 1)
		failed += run_scenarios(&o, &all, s, last_with(s));
	judge(&all);
	failed += filter_measure(o.rounds, o.scale, o.capture, listed(o.only, "filter-live", false),
				 listed(o.only, "filter-capture", false));
	if (listed(o.only, "flows", false))
		failed += flows_measure(o.rounds, o.scale);
	if (o.out != NULL && report_csv(&all, o.out) < 0)
		failed++;
	free(all.cell);
	if (failed > 0)
		printf("\n%u measurements failed\n", failed);
	return failed > 0 ? 1 : 0;
}
