/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Computes medians and ratios, and writes tables and CSV. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <inttypes.h>
#include "bench.h"

#define MAX_ROUNDS 101

struct result *result_at(const struct results *all, unsigned scenario, unsigned consumer, unsigned round)
{
	return &all->cell[(scenario * consumer_count + consumer) * all->rounds + round];
}

static double value_of(const struct result *r, enum metric metric)
{
	switch (metric) {
	case RATE:
		return r->rate;
	case CPU:
		return r->cpu;
	case CPU_AND_KERNEL:
		return r->cpu + r->kernel;
	case P50:
		return r->p50;
	case P99:
		return r->p99;
	case P99_WINDOW:
		return r->p99_window;
	case P999:
		return r->p999;
	}
	return NAN;
}

double median_of(const struct results *all, unsigned scenario, unsigned consumer, enum metric metric)
{
	double value[MAX_ROUNDS];
	unsigned n = 0;

	for (unsigned i = 0; i < all->rounds && n < MAX_ROUNDS; i++) {
		const struct result *r = result_at(all, scenario, consumer, i);

		if (r->done)
			value[n++] = value_of(r, metric);
	}
	return median(value, n);
}

double ratio_of(const struct results *all, struct place a, struct place b, enum metric metric, double *low,
		double *high)
{
	double value[MAX_ROUNDS], middle;
	unsigned n = 0;

	for (unsigned i = 0; i < all->rounds && n < MAX_ROUNDS; i++) {
		const struct result *x = result_at(all, a.scenario, a.consumer, i);
		const struct result *y = result_at(all, b.scenario, b.consumer, i);

		if (x->done && y->done && value_of(y, metric) > 0)
			value[n++] = value_of(x, metric) / value_of(y, metric);
	}
	middle = median(value, n); /* this call sorts the values */
	*low = n > 0 ? value[n / 4] : NAN;
	*high = n > 0 ? value[3 * n / 4] : NAN;
	return middle;
}

static double against_reference(const struct results *all, unsigned scenario, unsigned a, enum metric metric)
{
	double low, high;

	return ratio_of(all, (struct place){ scenario, a },
			(struct place){ scenario, (unsigned)consumer_index(REFERENCE) }, metric, &low, &high);
}

static double lost_share(const struct results *all, unsigned scenario, unsigned consumer)
{
	uint64_t sent = 0, lost = 0;

	for (unsigned i = 0; i < all->rounds; i++) {
		const struct result *r = result_at(all, scenario, consumer, i);

		sent += r->total_sent;
		lost += r->lost;
	}
	return sent ? 100.0 * (double)lost / (double)sent : 0;
}

void report_scenario(const struct results *all, unsigned scenario)
{
	const struct scenario *s = &scenarios[scenario];
	bool tcp = s->pattern == TCP, latency = s->pattern == LATENCY || s->pattern == PACED;

	printf("\n%s: %s", s->name, s->what);
	if (!tcp)
		printf(", %u bytes", s->size);
	printf("\n  %-14s %10s %6s %9s %6s %9s %6s %7s", "", tcp ? "Gbit/s" : "packets/s", "x",
	       tcp ? "CPU ns/kB" : "CPU ns", "x", "+ kernel", "x", "lost %");
	printf(latency ? " %8s %6s %8s %6s %8s %6s %8s\n" : "\n", "p50 us", "x", "p99 us", "x", "of 200", "x",
	       "p99.9 us");
	for (unsigned c = 0; c < consumer_count; c++) {
		double rate = median_of(all, scenario, c, RATE);

		if (isnan(rate))
			continue;
		printf("  %-14s ", consumers[c].name);
		printf(tcp ? "%10.2f" : "%10.0f", tcp ? rate * 8 / 1000 : rate);
		printf(" %6.2f %9.0f %6.2f %9.0f %6.2f %7.2f", against_reference(all, scenario, c, RATE),
		       median_of(all, scenario, c, CPU), against_reference(all, scenario, c, CPU),
		       median_of(all, scenario, c, CPU_AND_KERNEL),
		       against_reference(all, scenario, c, CPU_AND_KERNEL), lost_share(all, scenario, c));
		if (latency)
			printf(" %8.1f %6.2f %8.1f %6.2f %8.1f %6.2f %8.1f", median_of(all, scenario, c, P50),
			       against_reference(all, scenario, c, P50), median_of(all, scenario, c, P99),
			       against_reference(all, scenario, c, P99),
			       median_of(all, scenario, c, P99_WINDOW),
			       against_reference(all, scenario, c, P99_WINDOW),
			       median_of(all, scenario, c, P999));
		printf("\n");
	}
	fflush(stdout);
}

static FILE *create(const char *directory, const char *name)
{
	char path[4096];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	f = fopen(path, "we");
	if (f == NULL)
		fprintf(stderr, "bench: %s: %s\n", path, strerror(errno));
	return f;
}

static void write_rows(FILE *f, const struct results *all, unsigned s, unsigned c)
{
	for (unsigned i = 0; i < all->rounds; i++) {
		const struct result *r = result_at(all, s, c, i);

		if (r->done)
			fprintf(f,
				"%s,%s,%u,%" PRIu64 ",%" PRIu64
				",%.6f,%.1f,%.1f,%.1f,%.2f,%.2f,%.2f,%.2f,%" PRIu64 ",%" PRIu64 ",%" PRIu64
				",%" PRIu64 ",%" PRIu64 ",%" PRIu64 "\n",
				scenarios[s].name, consumers[c].name, i + 1, r->sent, r->handled, r->seconds,
				r->rate, r->cpu, r->kernel, r->p50, r->p99, r->p99_window, r->p999,
				r->total_sent, r->accepted, r->dropped, r->arrived, r->lost, r->overflow);
	}
}

static void write_medians(FILE *f, const struct results *all, unsigned s, unsigned c)
{

	if (isnan(median_of(all, s, c, RATE)))
		return;
	fprintf(f, "%s,%s,%.1f,%.3f,%.1f,%.3f,%.1f,%.3f,%.2f,%.2f,%.2f,%.2f,%.3f\n", scenarios[s].name,
		consumers[c].name, median_of(all, s, c, RATE), against_reference(all, s, c, RATE),
		median_of(all, s, c, CPU), against_reference(all, s, c, CPU),
		median_of(all, s, c, CPU_AND_KERNEL), against_reference(all, s, c, CPU_AND_KERNEL),
		median_of(all, s, c, P50), median_of(all, s, c, P99), median_of(all, s, c, P99_WINDOW),
		median_of(all, s, c, P999), lost_share(all, s, c));
}

int report_csv(const struct results *all, const char *directory)
{
	FILE *rows = create(directory, "measurements.csv"), *medians = create(directory, "medians.csv");
	int err = rows != NULL && medians != NULL ? 0 : -1;

	if (err == 0) {
		fprintf(rows,
			"scenario,consumer,round,sent,handled,seconds,rate,cpu_ns,kernel_ns,p50_us,p99_us,"
			"p99_window_us,p999_us,"
			"total_sent,accepted,dropped,arrived,lost,lost_counted\n");
		fprintf(medians,
			"scenario,consumer,rate,rate_x,cpu_ns,cpu_x,cpu_kernel_ns,cpu_kernel_x,p50_us,"
			"p99_us,p99_window_us,p999_us,lost_percent\n");
		for (unsigned s = 0; s < scenario_count; s++)
			for (unsigned c = 0; c < consumer_count; c++) {
				write_rows(rows, all, s, c);
				write_medians(medians, all, s, c);
			}
	}
	if (rows != NULL && fclose(rows) != 0)
		err = -1;
	if (medians != NULL && fclose(medians) != 0)
		err = -1;
	return err;
}
