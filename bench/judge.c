/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Compares the measurements of this run with the project's limits. */
#include <math.h>
#include <string.h>
#include "bench.h"

enum bound { AT_LEAST, AT_MOST };

struct limit {
	const char *scenario, *consumer, *against; /* against NULL: the faster of raw-packed and raw-batch */
	enum metric metric;
	enum bound bound;
	double value;
};

static const struct limit limits[] = {
	{ "burst-32", "ipq", "nfq", RATE, AT_LEAST, 2.0 },
	{ "burst-32", "ipq", "nfq", CPU_AND_KERNEL, AT_MOST, 0.52 },
	{ "burst-32", "ipq", "nfq", CPU, AT_MOST, 0.42 },
	{ "burst-64", "ipq", "nfq", RATE, AT_LEAST, 2.0 },
	{ "burst-64", "ipq", "nfq", CPU_AND_KERNEL, AT_MOST, 0.52 },
	{ "burst-64", "ipq", "nfq", CPU, AT_MOST, 0.42 },
	{ "burst-1400", "ipq", "nfq", RATE, AT_LEAST, 2.0 },
	{ "burst-1400", "ipq", "nfq", CPU_AND_KERNEL, AT_MOST, 0.52 },
	{ "burst-1400", "ipq", "nfq", CPU, AT_MOST, 0.42 },
	{ "flood-64", "ipq", "nfq", RATE, AT_LEAST, 2.0 },
	{ "flood-64", "ipq", "nfq", CPU_AND_KERNEL, AT_MOST, 0.52 },
	{ "flood-64", "ipq", "nfq", CPU, AT_MOST, 0.42 },
	{ "group-64", "ipq", "nfq", RATE, AT_LEAST, 1.9 },
	{ "group-64", "ipq", "nfq", CPU_AND_KERNEL, AT_MOST, 0.52 },
	{ "group-64", "ipq", "nfq", CPU, AT_MOST, 0.42 },
	{ "latency-64", "ipq", "nfq", P50, AT_MOST, 1.0 },
	{ "latency-64-awake", "ipq", "nfq", P50, AT_MOST, 1.0 },
	{ "latency-64-together", "ipq", "nfq", P50, AT_MOST, 1.0 },
	{ "latency-1400", "ipq", "nfq", P50, AT_MOST, 1.0 },
	{ "latency-64", "ipq-spin", "nfq", P50, AT_MOST, 0.45 },
	{ "latency-64-awake", "ipq-spin", "nfq", P50, AT_MOST, 0.45 },
	{ "tcp", "ipq", "nfq", RATE, AT_LEAST, 5.0 },
	{ "tcp", "ipq", NULL, RATE, AT_LEAST, 0.95 },
	{ "tcp-back", "ipq", "nfq", RATE, AT_LEAST, 4.0 },
	{ "burst-64", "run", "classic", RATE, AT_LEAST, 0.7 },
	{ "burst-1400", "run", "classic", RATE, AT_LEAST, 0.7 },
	{ "burst-64-back", "run", "classic", RATE, AT_LEAST, 0.7 },
	{ "group-64", "run", "classic", RATE, AT_LEAST, 0.7 },
};

static const char *const metric_names[] = { "packets/s",  "CPU",  "CPU with kernel threads", "p50", "p99",
					    "p99 of 200", "p99.9" };

static unsigned best_floor(const struct results *all, unsigned scenario, enum metric metric)
{
	unsigned packed = (unsigned)consumer_index("raw-packed"),
		 batch = (unsigned)consumer_index("raw-batch");
	double a = median_of(all, scenario, packed, metric), b = median_of(all, scenario, batch, metric);

	if (isnan(b) || (metric == RATE ? a > b : a < b))
		return packed;
	return batch;
}

static void say(const struct results *all, struct place a, struct place b, enum metric metric,
		enum bound bound, double limit)
{
	double low, high, ratio = ratio_of(all, a, b, metric, &low, &high);
	double printed = round(ratio * 100) / 100; /* rounded, because a run is not more precise */
	bool met = bound == AT_LEAST ? printed >= limit : printed <= limit;

	if (!isnan(ratio))
		printf("  %-6s %-20s %-13s %s: %.2f (%.2f to %.2f) of %s, %s %.2f\n", met ? "met" : "MISSED",
		       scenarios[a.scenario].name, consumers[a.consumer].name, metric_names[metric], ratio,
		       low, high,
		       a.scenario == b.scenario ? consumers[b.consumer].name : scenarios[b.scenario].name,
		       bound == AT_LEAST ? "at least" : "at most", limit);
}

static void judge_limit(const struct results *all, const struct limit *l)
{
	unsigned s = (unsigned)scenario_index(l->scenario);
	unsigned against = l->against ? (unsigned)consumer_index(l->against) : best_floor(all, s, l->metric);

	say(all, (struct place){ s, (unsigned)consumer_index(l->consumer) }, (struct place){ s, against },
	    l->metric, l->bound, l->value);
}

/*
 * Limit at a fixed rate: the slowest packets wait no longer than with the better of the reference and the lower
 * bounds.
 */
static void judge_latency(const struct results *all, unsigned s)
{
	unsigned reference = (unsigned)consumer_index(REFERENCE), floor = best_floor(all, s, P99_WINDOW);
	bool is_better = median_of(all, s, floor, P99_WINDOW) < median_of(all, s, reference, P99_WINDOW);

	say(all, (struct place){ s, (unsigned)consumer_index("ipq") },
	    (struct place){ s, is_better ? floor : reference }, P99_WINDOW, AT_MOST, 1.1);
}

/* Limit with bench/run --against: neither slower nor more costly than before. */
static void judge_change(const struct results *all, unsigned s, const char *consumer, const char *before)
{
	struct place a = { s, (unsigned)consumer_index(consumer) },
		     b = { s, (unsigned)consumer_index(before) };

	say(all, a, b, RATE, AT_LEAST, 0.98);
	say(all, a, b, CPU, AT_MOST, 1.02);
	say(all, a, b, CPU_AND_KERNEL, AT_MOST, 1.02);
	if (scenarios[s].pattern == LATENCY || scenarios[s].pattern == PACED)
		say(all, a, b, P50, AT_MOST, 1.02);
}

/*
 * Limits for every scenario: at most the CPU time of the lower bound of the same kind; at least as fast as the
 * reference, with no more CPU time.
 */
static void judge_everywhere(const struct results *all, unsigned s)
{
	struct place ipq = { s, (unsigned)consumer_index("ipq") },
		     reference = { s, (unsigned)consumer_index(REFERENCE) };
	struct place classic = { s, (unsigned)consumer_index("classic") };
	struct place batch = { s, (unsigned)consumer_index("classic-batch") };
	struct place one = { s, (unsigned)consumer_index("raw-one") };
	struct place floor = { s, best_floor(all, s, CPU_AND_KERNEL) };

	judge_change(all, s, "classic", "classic-old");
	judge_change(all, s, "ipq", "ipq-old");
	judge_change(all, s, "run", "run-old");
	if (scenarios[s].pattern == PACED) {
		judge_latency(all, s);
		return;
	}
	say(all, ipq, floor, CPU_AND_KERNEL, AT_MOST, 1.05);
	say(all, ipq, reference, RATE, AT_LEAST, 1.0);
	say(all, ipq, reference, CPU_AND_KERNEL, AT_MOST, 1.0);
	say(all, classic, one, CPU_AND_KERNEL, AT_MOST, 1.05);
	say(all, batch, classic, CPU_AND_KERNEL, AT_MOST, 1.0);
}

/* Compares the scenarios that are measured in turn with hold-1: see run_scenarios. */
static void judge_growth(const struct results *all, const char *name)
{
	unsigned ipq = (unsigned)consumer_index("ipq");

	say(all, (struct place){ (unsigned)scenario_index(name), ipq },
	    (struct place){ (unsigned)scenario_index("hold-1"), ipq }, CPU_AND_KERNEL, AT_MOST, 1.2);
}

void judge(const struct results *all)
{
	printf("\nlimits: the median of the ratios within a round (their middle half), rates and CPU a "
	       "packet\n");
	for (unsigned i = 0; i < sizeof(limits) / sizeof(*limits); i++)
		judge_limit(all, &limits[i]);
	judge_growth(all, "hold-100");
	judge_growth(all, "hold-1000");
	judge_growth(all, "hold-10000");
	for (unsigned s = 0; s < scenario_count; s++)
		judge_everywhere(all, s);
}
