/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Holds packets back, for consumers that decide packets by id, one at a time. */
#include <stdlib.h>
#include <sys/socket.h>
#include "bench.h"

uint32_t *order_make(enum bench_order order, unsigned n)
{
	uint32_t *place = calloc(n, sizeof(*place));
	uint64_t state = 88172645463325252u; /* a fixed seed: the same shuffle in every run */

	if (place == NULL)
		return NULL;
	for (unsigned i = 0; i < n; i++)
		place[i] = order == NEWEST_FIRST ? n - 1 - i : i;
	for (unsigned i = n; order == SHUFFLED && i > 1; i--) {
		state ^= state << 13;
		state ^= state >> 7;
		state ^= state << 17;
		unsigned j = (unsigned)(state % i);
		uint32_t swap = place[i - 1];

		place[i - 1] = place[j];
		place[j] = swap;
	}
	return place;
}

int hold_init(struct hold *hold, const struct job *job, struct tally *tally, decide_one *decide,
	      void *context)
{
	*hold = (struct hold){ .job = job, .tally = tally, .decide = decide, .context = context };
	if (job->hold <= 1)
		return 0;
	hold->id = calloc(job->hold, sizeof(*hold->id));
	hold->order = order_make(job->order, job->hold);
	return hold->id != NULL && hold->order != NULL ? 0 : -1;
}

static int decide(struct hold *hold, uint32_t id, unsigned verdict)
{
	int err = hold->decide(hold->context, id, verdict);

	tally_verdict(hold->tally, verdict);
	return err;
}

int hold_packet(struct hold *hold, uint32_t id, uint32_t mark)
{
	int err = 0;

	tally_add(&hold->tally->received, 1);
	if (hold->job->hold <= 1)
		return decide(hold, id, job_verdict(hold->job, id, mark));
	hold->id[hold->n++] = id;
	if (hold->n < hold->job->hold)
		return 0;
	for (unsigned i = 0; i < hold->n && err >= 0; i++) {
		id = hold->id[hold->order[i]];
		err = decide(hold, id, job_verdict(hold->job, id, 0));
	}
	hold->n = 0;
	return err;
}

int socket_enlarge(int fd)
{
	int want = RECEIVE_BUFFER, granted = 0;
	socklen_t len = sizeof(granted);

	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &want, sizeof(want)) < 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &want, sizeof(want)); /* limited by net.core.rmem_max */
	getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &granted, &len);
	return granted;
}
