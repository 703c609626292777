// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Code of the readers with both APIs: they follow the coordinator's orders, decide each packet by the class in its
 * header, and record its fate before they give the verdict.
 */
#include <errno.h>
#include <linux/netfilter.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <ipq.h>
#include <ipq_edit.h>
#include "soak.h"

#define HELD_MAX 256
#define HELD_BYTES (2u << 20)
#define QUIET_NS 30000000
#define STUCK_NS 10000000000 /* maximum time without receiving a packet while some wait */
#define REORDER 64	     /* maximum number of packets that may overtake each other before the queue */

static const struct reader_ops *ops;
static uint8_t scratch[65536 + 1024]; /* memory for replacements */
static uint64_t random_state;
static struct held {
	struct look look;
	uint64_t due_ns;
	uint8_t *fate;
} held[HELD_MAX];
static unsigned held_count;
static size_t held_bytes;
static uint64_t handed_here; /* number of packets received since the queue was last opened */
static bool is_open;

static uint64_t random_number(void)
{
	return random_state = scramble(random_state);
}

/* ---- one packet ----------------------------------------------------------------------------------- */

static void hold(const struct look *l, uint8_t *fate)
{
	struct held *h = &held[held_count++];

	*h = (struct held){ ops->keep(l), now_ns() + random_number() % 50000000, fate };
	held_bytes += h->look.len;
}

static void release(unsigned i)
{
	struct held h = held[i];
	struct action a = { .code = NF_ACCEPT };

	held[i] = held[--held_count];
	held_bytes -= h.look.len;
	if (S->tcp)
		decide_tcp(&h.look, &a);
	if (h.fate != NULL)
		*h.fate = RELEASED;
	ops->decide(&h.look, &a);
	ops->free(&h.look);
}

/* Decides held packets that are due, wherever they are in the list, and so out of order. */
static void release_due(bool all)
{
	uint64_t now = held_count > 0 ? now_ns() : 0;

	for (unsigned i = held_count; i-- > 0;)
		if (i < held_count && (all || held[i].due_ns <= now))
			release(i);
}

/* Changes the payload with <ipq_edit.h>: in the packet itself unless it becomes longer, otherwise in a copy. */
static bool replace(struct look *l, const struct header *h, struct action *a)
{
	const uint8_t *bytes;
	struct ipq_edit e;
	size_t cut, add;

	replacement_of(h, &cut, &add, &bytes);
	if (add > cut)
		memcpy(scratch, l->payload, l->len);
	a->payload = add > cut ? scratch : l->payload;
	if (ipq_edit_begin(&e, (void *)(uintptr_t)a->payload, l->len, add > cut ? sizeof(scratch) : l->len,
			   l->flags) < 0 ||
	    ipq_edit_replace(&e, sizeof(*h), cut, bytes, add) < 0) {
		violation("flow %u number %llu: cannot be edited", h->flow, (unsigned long long)h->seq);
		return false;
	}
	a->len = e.len;
	return true;
}

static enum fate decide_udp(struct look *l, const struct header *h, enum fate before, struct action *a)
{
	if (before == REPEATED) {
		if (ops->marks && (!l->has_mark || l->mark != REPEAT_MARK))
			violation("flow %u number %llu: came again with mark %u", h->flow,
				  (unsigned long long)h->seq, l->mark);
		return AGAIN;
	}
	if (before != UNSEEN)
		violation("flow %u number %llu: handed out twice, fate %u", h->flow,
			  (unsigned long long)h->seq, before);
	switch (h->class) {
	case DROP:
		a->code = NF_DROP;
		return DROPPED;
	case MARK:
		a->mark = ops->marks ? MARK_OF(h->seq) : 0;
		return ops->marks ? MARKED : ACCEPTED;
	case REPEAT:
		a->code = NF_REPEAT;
		a->mark = ops->marks ? REPEAT_MARK : 0;
		S->repeats++;
		return REPEATED;
	case REPLACE:
		return l->len < KERNEL_COPIES && replace(l, h, a) ? REPLACED : ACCEPTED;
	case HOLD:
		return HELD;
	default:
		return ACCEPTED;
	}
}

/* Checks a packet. Of the largest packets, the kernel does not copy the last bytes. */
static const char *check(const struct look *l, size_t at, struct header *h)
{
	if (l->len < KERNEL_COPIES)
		return payload_check(l->payload + at, l->len - at, UNSEEN, h);
	memcpy(h, l->payload + at, sizeof(*h));
	if (!header_check(h) || h->size > l->len - at + 5)
		return "the header of a large one is damaged";
	return memcmp(l->payload + at + sizeof(*h), body_of(h), l->len - at - sizeof(*h)) != 0 ? "damaged"
											       : NULL;
}

static void look_udp(struct look *l)
{
	size_t at = l->len == 0 ? 0 : l->payload[0] >> 4 == 6 ? 48 : (l->payload[0] & 15) * 4u + 8;
	struct action a = { .code = NF_ACCEPT };
	const char *what = "too short";
	struct header h;
	uint8_t *fate;

	if (at > 0 && l->len >= at + sizeof(h))
		what = check(l, at, &h);
	if (what != NULL) {
		violation("packet %lu, %zu bytes, as handed out: %s", l->id, l->len, what);
		ops->decide(l, &a);
		return;
	}
	fate = &S->fate[h.flow][h.seq];
	*fate = (uint8_t)decide_udp(l, &h, *fate, &a);
	if (h.seq >= S->flow[h.flow].handed)
		S->flow[h.flow].handed = h.seq + 1;
	if (*fate == HELD)
		hold(l, fate);
	else
		ops->decide(l, &a);
}

void reader_look(struct look *l)
{
	struct action a = { .code = NF_ACCEPT };

	S->handed++;
	handed_here++;
	if (held_count == HELD_MAX || held_bytes > HELD_BYTES)
		release((unsigned)(random_number() % held_count));
	if (!S->tcp) {
		look_udp(l);
	} else if (random_number() % 64 == 0) {
		hold(l, NULL);
	} else {
		decide_tcp(l, &a);
		ops->decide(l, &a);
	}
}

/* ---- orders ---------------------------------------------------------------------------------------- */

static int open_queue(void)
{
	int err;

	S->settings = S->next;
	err = ops->open(&S->settings);
	handed_here = 0;
	is_open = err >= 0;
	health_of(getpid(), &S->opened);
	return err;
}

/*
 * Adds the kernel's counters, which end with the queue. The queue of `ipq run` stays open when our handles are
 * closed.
 */
static void add_overflow(void)
{
	static uint64_t before;
	struct queue_line line;

	if (queue_line(S->settings.queue, &line)) {
		uint64_t sum = line.queue_dropped + line.user_dropped;

		S->overflow += S->kind == RUN && sum >= before ? sum - before : sum;
		before = sum;
	}
	S->overflow += ops->lost();
	if (ops->refused() > 0)
		violation("%llu verdicts were refused or messages not understood",
			  (unsigned long long)ops->refused());
}

/* Closes the queue immediately, while packets wait in the kernel and in this process. */
static void close_queue(void)
{
	add_overflow();
	for (unsigned i = 0; i < held_count; i++) {
		if (held[i].fate != NULL)
			*held[i].fate = ABANDONED;
		ops->free(&held[i].look);
	}
	held_count = 0;
	held_bytes = 0;
	ops->close();
	is_open = false;
}

static int reload(void)
{
	struct window *w = &S->window[S->reloads];
	int err;

	for (unsigned i = 0; i < FLOWS; i++) {
		uint64_t top = S->flow[i].handed;

		w->from[i] = top > REORDER ? top - REORDER : 0;
	}
	close_queue();
	err = open_queue();
	for (unsigned i = 0; i < FLOWS; i++)
		w->to[i] = S->flow[i].claimed;
	S->reloads++;
	return err;
}

/*
 * Whether packets wait, according to the kernel. Silence does not prove that none wait: on a busy machine, the thread
 * of an engine may pause for very long.
 */
static bool kernel_waits(void)
{
	struct queue_line line;

	return queue_line(S->settings.queue, &line) && line.waiting != 0;
}

/* Called when the traffic has stopped: receives all packets that are still in flight. */
static int drain(void)
{
	struct queue_line line = { 0 };
	uint64_t quiet_since = now_ns(), quiet_ns = 0;

	while (quiet_ns < QUIET_NS || (kernel_waits() && quiet_ns < STUCK_NS)) {
		int n = ops->receive(5);

		if (n < 0)
			return n;
		if (n > 0 || held_count > 0)
			quiet_since = now_ns();
		release_due(true);
		quiet_ns = now_ns() - quiet_since;
	}
	ops->flush();
	if (queue_line(S->settings.queue, &line) && line.waiting != 0)
		violation("%llu packets wait in the kernel, and nobody is told",
			  (unsigned long long)line.waiting);
	/* If the engine was open before, its ids began earlier. */
	if (S->kind != RUN && queue_line(S->settings.queue, &line) &&
	    handed_here + line.user_dropped + ops->lost() != line.ids)
		violation("the kernel sent %llu packets, %llu were handed out, %llu + %llu lost",
			  (unsigned long long)line.ids, (unsigned long long)handed_here,
			  (unsigned long long)line.user_dropped, (unsigned long long)ops->lost());
	health_of(getpid(), &S->drained);
	return 0;
}

/* SOAK_LEAK=memory or =descriptors: each close leaks some of these, so that a test shows that both checks work. */
static void leak(const char *what)
{
	static void *kept; /* the memory that all closes have leaked */
	void **more;

	if (what != NULL && strcmp(what, "descriptors") == 0 && dup(STDOUT_FILENO) < 0)
		violation("no descriptor to leak");
	if (what == NULL || strcmp(what, "memory") != 0)
		return;
	more = malloc(16384);
	if (more == NULL)
		return;
	*more = kept;
	kept = more;
}

static int obey(enum order order)
{
	switch (order) {
	case OPEN:
		return open_queue();
	case RELOAD:
		return reload();
	case DRAIN:
		return drain();
	case CLOSE:
		close_queue();
		leak(getenv("SOAK_LEAK"));
		health_of(getpid(), &S->closed);
		return 0;
	default:
		return 0;
	}
}

enum role role_of(enum kind kind)
{
	return kind == NEW ? READS_NEW : kind == RUN ? READS_UNDER_RUN : READS_CLASSIC;
}

int reader_main(const struct reader_ops *given, enum role role)
{
	uint32_t done = S->order_done;

	ops = given;
	random_state = scramble(S->seed ^ (uint64_t)getpid());
	for (;;) {
		uint32_t number = S->order_number;
		int n;

		if (number != done && S->order_for != role)
			done = number;
		if (number != done) {
			enum order order = S->order;

			S->order_result = obey(order);
			done = number;
			S->order_done = number;
			if (order == QUIT)
				return 0;
		}
		if (!is_open) {
			usleep(500);
			continue;
		}
		n = ops->receive(2);
		if (n < 0 && n != -EINTR)
			violation("the reader fails: %s", strerror(-n));
		release_due(false);
	}
}
