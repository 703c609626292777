/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The scenarios and the consumers. Sizes are bytes of UDP payload: 28 less than the packet. */
#include <string.h>
#include "bench.h"

const struct consumer consumers[] = {
	{ "nfq", "libnetfilter_queue, nfq_handle_packet", ANY_ORDER | REPLACES | MANY_QUEUES, consume_nfq },
	{ "mnl", "libnetfilter_queue, libmnl style", ANY_ORDER | REPLACES | MANY_QUEUES, consume_mnl },
	{ "raw-one", "by hand: recv, send", ANY_ORDER | REPLACES | MANY_QUEUES, consume_raw_one },
	{ "raw-spin", "by hand: recv without waiting, send", LATENCY_ONLY, consume_raw_spin },
	{ "raw-packed", "by hand: recvmmsg, packed send", ANY_ORDER | REPLACES | MANY_QUEUES,
	  consume_raw_packed },
	{ "raw-batch", "by hand: recvmmsg, VERDICT_BATCH", MANY_QUEUES, consume_raw_batch },
	{ "classic", "libipq, classic calls", ANY_ORDER | REPLACES, consume_classic },
	{ "classic-batch", "libipq, classic calls, batching", ANY_ORDER | REPLACES, consume_classic_batch },
	{ "ipq", "libipq, new calls", ANY_ORDER | REPLACES | MANY_QUEUES, consume_ipq },
	{ "classic-old", "libipq of another tree, classic calls", ANY_ORDER | REPLACES | OTHER_TREE,
	  consume_classic_old },
	{ "ipq-old", "libipq of another tree, new calls", ANY_ORDER | REPLACES | MANY_QUEUES | OTHER_TREE,
	  consume_ipq_old },
	{ "run-old", "a program of 2001 under ipq run of another tree", REPLACES | SUPERVISED | OTHER_TREE,
	  consume_run_old },
	{ "relay", "by hand: a program of 2001 and a process that relays", REPLACES | SUPERVISED,
	  consume_relay },
	{ "run", "a program of 2001 under ipq run", REPLACES | SUPERVISED, consume_run },
	{ "ipq-spin", "libipq, new calls, spin 50 us", LATENCY_ONLY, consume_ipq_spin },
	{ "ipq-keep", "libipq, new calls, whole packets held", ANY_ORDER | HOLDING_ONLY, consume_ipq_keep },
};
const unsigned consumer_count = sizeof(consumers) / sizeof(*consumers);

#define BURST .segments = 32, .pattern = WINDOW, .group = 1024, .window = 1024, .packets = 20480
#define GROUPS .segments = 32, .pattern = WINDOW, .group = 32, .window = 512, .packets = 20480
#define SINGLE .pattern = LATENCY, .packets = 3000, .group = 1

const struct scenario scenarios[] = {
	{ "burst-32", "bursts of 1,024", BURST, .size = 32 },
	{ "burst-64", "bursts of 1,024", BURST, .size = 64 },
	{ "burst-1400", "bursts of 1,024", BURST, .size = 1400 },
	{ "burst-64-meta", "bursts of 1,024, no payload copied", BURST, .size = 64, .meta = true },
	{ "burst-1400-meta", "bursts of 1,024, no payload copied", BURST, .size = 1400, .meta = true },
	{ "burst-64-drop", "bursts of 1,024, dropped", BURST, .size = 64, .verdict = ALWAYS_DROP },
	{ "burst-1400-drop", "bursts of 1,024, dropped", BURST, .size = 1400, .verdict = ALWAYS_DROP },
	{ "burst-64-mixed", "bursts of 1,024, every other one dropped", BURST, .size = 64,
	  .verdict = ACCEPT_AND_DROP },
	{ "burst-64-back", "bursts of 1,024, payload sent back", BURST, .size = 64, .verdict = SEND_BACK },
	{ "burst-1400-back", "bursts of 1,024, payload sent back", BURST, .size = 1400,
	  .verdict = SEND_BACK },
	{ "group-64", "512 in flight, in groups of 32", GROUPS, .size = 64 },
	{ "group-1400", "512 in flight, in groups of 32", GROUPS, .size = 1400 },
	{ "group-64-drop", "512 in flight, in groups of 32, dropped", GROUPS, .size = 64,
	  .verdict = ALWAYS_DROP },
	{ "group-2", "2 in flight, in groups of 2", .pattern = WINDOW, .group = 2, .window = 2,
	  .packets = 5000, .size = 64 },
	{ "group-8", "8 in flight, in groups of 8", .pattern = WINDOW, .group = 8, .window = 8,
	  .packets = 10000, .size = 64 },
	{ "single-64", "bursts of 1,024, sent singly", .pattern = WINDOW, .group = 1024, .window = 1024,
	  .packets = 20480, .size = 64 },
	{ "stream-64", "256 in flight, a system call each on the sending side", .pattern = WINDOW,
	  .group = 32, .window = 256, .packets = 20480, .size = 64, .one_by_one = true },
	{ "flood-64", "sent without waiting", .pattern = FLOOD, .segments = 32, .packets = 40960,
	  .size = 64 },
	{ "flood-1400", "sent without waiting", .pattern = FLOOD, .segments = 32, .packets = 40960,
	  .size = 1400 },
	{ "flood-64-drop", "sent without waiting, dropped", .pattern = FLOOD, .segments = 32,
	  .packets = 40960, .size = 64, .verdict = ALWAYS_DROP },
	{ "overflow-64", "sent singly, without waiting, into a queue of 32", .pattern = FLOOD,
	  .packets = 40960, .size = 64, .queue_length = 32 },
	{ "latency-64", "one in flight", SINGLE, .place = PLACED_APART, .size = 64 },
	{ "latency-64-awake", "one in flight, the driver does not sleep", SINGLE, .place = PLACED_APART,
	  .size = 64, .awake = true },
	{ "latency-64-together", "one in flight, driver and consumer on one processor", SINGLE,
	  .place = PLACED_TOGETHER, .size = 64 },
	{ "latency-1400", "one in flight", SINGLE, .place = PLACED_APART, .size = 1400 },
#define PACE(n) .pattern = PACED, .rate = n, .packets = n / 4, .place = PLACED_APART
	{ "paced-20k", "20,000 packets/s", PACE(20000), .size = 64 },
	{ "paced-50k", "50,000 packets/s", PACE(50000), .size = 64 },
	{ "paced-100k", "100,000 packets/s", PACE(100000), .size = 64 },
	{ "paced-150k", "150,000 packets/s", PACE(150000), .size = 64 },
	{ "paced-200k", "200,000 packets/s", PACE(200000), .size = 64 },
	{ "paced-250k", "250,000 packets/s", PACE(250000), .size = 64 },
	{ "paced-300k", "300,000 packets/s", PACE(300000), .size = 64 },
	{ "paced-1400-50k", "50,000 packets/s", PACE(50000), .size = 1400 },
	{ "paced-1400-150k", "150,000 packets/s", PACE(150000), .size = 1400 },
	{ "paced-100k-2q", "100,000 packets/s, two queues", PACE(100000), .size = 64, .queues = 2 },
	{ "burst-64-2q", "bursts of 1,024, two queues", BURST, .size = 64, .queues = 2 },
	{ "burst-64-drop-2q", "bursts of 1,024, dropped, two queues", BURST, .size = 64, .queues = 2,
	  .verdict = ALWAYS_DROP },
	{ "flood-64-2q", "sent without waiting, two queues", .pattern = FLOOD, .segments = 32,
	  .packets = 40960, .size = 64, .queues = 2 },
#define HOLD(n, o)                                                                               \
	.pattern = HOLDING, .segments = 32, .packets = 20000, .size = 64, .hold = n, .order = o, \
	.queue_length = 65536
	{ "hold-1", "decided at once", HOLD(1, OLDEST_FIRST) },
	{ "hold-100", "100 wait, oldest first", HOLD(100, OLDEST_FIRST) },
	{ "hold-1000", "1,000 wait, oldest first", HOLD(1000, OLDEST_FIRST) },
	{ "hold-10000", "10,000 wait, oldest first", HOLD(10000, OLDEST_FIRST) },
	{ "hold-60000", "60,000 wait, oldest first", HOLD(60000, OLDEST_FIRST) },
	{ "hold-1000-newest", "1,000 wait, newest first", HOLD(1000, NEWEST_FIRST) },
	{ "hold-10000-newest", "10,000 wait, newest first", HOLD(10000, NEWEST_FIRST) },
	{ "hold-1000-shuffled", "1,000 wait, in any order", HOLD(1000, SHUFFLED) },
	{ "hold-10000-shuffled", "10,000 wait, in any order", HOLD(10000, SHUFFLED) },
	{ "hold-60000-shuffled", "60,000 wait, in any order", HOLD(60000, SHUFFLED) },
	{ "tcp-split", "TCP, packets split before they are queued", .pattern = TCP, .packets = 64,
	  .split = true },
	{ "tcp", "TCP, whole GSO packets for who can take them", .pattern = TCP, .packets = 128 },
	{ "tcp-split-back", "TCP, split, payload sent back", .pattern = TCP, .packets = 64, .split = true,
	  .verdict = SEND_BACK },
	{ "tcp-back", "TCP, whole GSO packets, payload sent back", .pattern = TCP, .packets = 128,
	  .verdict = SEND_BACK },
};
const unsigned scenario_count = sizeof(scenarios) / sizeof(*scenarios);

bool scenario_suits(const struct scenario *s, const struct consumer *c)
{
	if (c->traits & LATENCY_ONLY)
		return s->pattern == LATENCY;
	if ((c->traits & HOLDING_ONLY) && s->hold <= 1)
		return false;
	/* The consumer's queue has ip_queue's length, and the kernel does not count packets that overflow there. */
	if ((c->traits & SUPERVISED) && (s->pattern != WINDOW && s->pattern != LATENCY))
		return false;
	if (s->hold > 1 && s->order != OLDEST_FIRST && !(c->traits & ANY_ORDER))
		return false;
	if (s->verdict == SEND_BACK && !(c->traits & REPLACES))
		return false;
	return s->queues <= 1 || (c->traits & MANY_QUEUES);
}

int consumer_index(const char *name)
{
	for (unsigned i = 0; i < consumer_count; i++)
		if (strcmp(consumers[i].name, name) == 0)
			return (int)i;
	return -1;
}

int scenario_index(const char *name)
{
	for (unsigned i = 0; i < scenario_count; i++)
		if (strcmp(scenarios[i].name, name) == 0)
			return (int)i;
	return -1;
}
