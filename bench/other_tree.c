/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The consumers of this library a second time, with the library of another tree: see bench/run --against. */
#include <dlfcn.h>
#include <stdio.h>
#include "bench.h"

static consumer_run *classic, *ipq, *run;

int other_tree_load(const char *path)
{
	void *other = dlopen(path, RTLD_NOW | RTLD_LOCAL);

	if (other != NULL) {
		classic = (consumer_run *)dlsym(other, "consume_classic");
		ipq = (consumer_run *)dlsym(other, "consume_ipq");
		run = (consumer_run *)dlsym(other, "consume_run");
	}
	if (classic != NULL && ipq != NULL && run != NULL)
		return 0;
	fprintf(stderr, "bench: %s\n", dlerror());
	return -1;
}

int consume_classic_old(const struct job *job, unsigned queue, struct tally *tally)
{
	return classic(job, queue, tally);
}

int consume_ipq_old(const struct job *job, unsigned queue, struct tally *tally)
{
	return ipq(job, queue, tally);
}

int consume_run_old(const struct job *job, unsigned queue, struct tally *tally)
{
	return run(job, queue, tally);
}
