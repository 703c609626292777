// SPDX-License-Identifier: LGPL-2.1-or-later
/* Measurements from outside of the readers: memory, descriptors, the kernel's counters, the clock. */
#include <dirent.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "soak.h"

uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* Returns false in the namespace of an ordinary user, where the table cannot be read. */
bool queue_line(unsigned queue, struct queue_line *line)
{
	FILE *f = fopen("/proc/net/netfilter/nfnetlink_queue", "re");
	bool found = false;
	char text[256];

	*line = (struct queue_line){ 0 };
	while (f != NULL && !found && fgets(text, sizeof(text), f) != NULL) {
		unsigned number;

		found = sscanf(text, "%u %*d %" SCNu64 " %*d %*d %" SCNu64 " %" SCNu64 " %" SCNu64, &number,
			       &line->waiting, &line->queue_dropped, &line->user_dropped, &line->ids) == 5 &&
			number == queue;
	}
	if (f != NULL)
		fclose(f);
	return found;
}

static uint64_t count_entries(const char *path)
{
	DIR *d = opendir(path);
	uint64_t n = 0;

	while (d != NULL && readdir(d) != NULL)
		n++;
	if (d != NULL)
		closedir(d);
	return n;
}

static uint64_t status_field(pid_t pid, const char *name)
{
	char path[64], line[256];
	uint64_t value = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	f = fopen(path, "re");
	while (f != NULL && fgets(line, sizeof(line), f) != NULL)
		if (strncmp(line, name, strlen(name)) == 0)
			value = strtoull(line + strlen(name), NULL, 10);
	if (f != NULL)
		fclose(f);
	return value;
}

void health_of(pid_t pid, struct health *h)
{
	char path[64];

	*h = (struct health){ 0 };
#ifdef __GLIBC__
	if (pid == getpid()) {
		/* give back unused memory: what the allocator keeps for later is not a leak */
		malloc_trim(0);
		h->heap = mallinfo2().uordblks + mallinfo2().hblkhd;
	}
#endif
	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	h->descriptors = count_entries(path);
	h->rss_kib = status_field(pid, "VmRSS:");
	h->threads = status_field(pid, "Threads:");
}

/* Sixteen buckets for each power of two, so that values are exact to 6 %. */
void histogram_add(struct histogram *h, uint64_t ns)
{
	unsigned power = ns < 32 ? 0 : 59 - (unsigned)__builtin_clzll(ns);

	h->bucket[power * 16 + (ns >> power)]++;
	h->count++;
	if (ns > h->max)
		h->max = ns;
}

static double percentile(const struct histogram *h, double part)
{
	uint64_t want = (uint64_t)((double)h->count * part), sum = 0;

	for (unsigned i = 0; i < BUCKETS; i++) {
		sum += h->bucket[i];
		if (sum > want) {
			unsigned power = i < 32 ? 0 : i / 16 - 1;

			return (double)((uint64_t)(i - power * 16) << power) / 1000;
		}
	}
	return (double)h->max / 1000;
}

void histogram_print(const char *what, const struct histogram *h)
{
	if (h->count > 0)
		printf("%s: p50 %.0f p90 %.0f p99 %.0f p99.9 %.0f max %.0f us (%" PRIu64 " packets)\n", what,
		       percentile(h, .5), percentile(h, .9), percentile(h, .99), percentile(h, .999),
		       (double)h->max / 1000, h->count);
}

/*
 * Reads a counter. /proc/net/snmp has a line of names and a line of values; /proc/net/snmp6 has a name and a value
 * per line.
 */
uint64_t snmp(const char *protocol, const char *name)
{
	char names[2048], values[2048], both[64];
	FILE *f = fopen("/proc/net/snmp", "re");
	uint64_t sum = 0;

	while (f != NULL && fgets(names, sizeof(names), f) != NULL &&
	       fgets(values, sizeof(values), f) != NULL) {
		char *n, *v, *save_n, *save_v;

		if (strncmp(names, protocol, strlen(protocol)) != 0 || names[strlen(protocol)] != ':')
			continue;
		n = strtok_r(names, " \n", &save_n);
		v = strtok_r(values, " \n", &save_v);
		for (; n != NULL && v != NULL;
		     n = strtok_r(NULL, " \n", &save_n), v = strtok_r(NULL, " \n", &save_v))
			if (strcmp(n, name) == 0)
				sum += strtoull(v, NULL, 10);
	}
	if (f != NULL)
		fclose(f);
	snprintf(both, sizeof(both), "%s6%s ", protocol, name);
	f = fopen("/proc/net/snmp6", "re");
	while (f != NULL && fgets(names, sizeof(names), f) != NULL)
		if (strncmp(names, both, strlen(both)) == 0)
			sum += strtoull(names + strlen(both), NULL, 10);
	if (f != NULL)
		fclose(f);
	return sum;
}
