// SPDX-License-Identifier: LGPL-2.1-or-later
/* The accounts at the end of an era, when no packet is in flight: see soak.h. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "soak.h"

#ifdef __SANITIZE_ADDRESS__
#define RSS_SLACK (400 * 1024) /* the limit is high, because the sanitizer keeps freed memory in quarantine */
#else
#define RSS_SLACK 0
#endif

struct sums {
	uint64_t sent, sent_again; /* number of packets; number of packets of the class REPEAT */
	/* packets that the reader never received; those of them that were not lost at a reload */
	uint64_t unseen, unseen_outside;
	uint64_t lost_again; /* packets that were repeated and not received again */
	/* packets that had to arrive; packets that arrived once, and again */
	uint64_t due, arrived, arrived_again;
	uint64_t windows;
};

/* The summaries of `ipq run` and `ipq filter`. */
struct said {
	uint64_t handed, dropped, lost;
};

static bool in_window(unsigned flow, uint64_t seq)
{
	for (unsigned i = 0; i < S->reloads; i++)
		if (seq >= S->window[i].from[flow] && seq < S->window[i].to[flow])
			return true;
	return false;
}

static bool is_due(enum fate fate, enum class class)
{
	if (S->kind == FILTER)
		return class != DROP;
	return fate == ACCEPTED || fate == MARKED || fate == AGAIN || fate == REPLACED || fate == RELEASED;
}

static void add_flow(unsigned flow, struct sums *s)
{
	uint64_t sent = S->flow[flow].sent;

	s->sent += sent;
	for (uint64_t seq = 0; seq < sent; seq++) {
		enum fate fate = S->fate[flow][seq];
		enum class class = class_of(flow, seq);
		bool arrived = S->arrived[flow][seq] != 0;

		s->unseen += fate == UNSEEN;
		s->unseen_outside += fate == UNSEEN && !in_window(flow, seq);
		s->lost_again += fate == REPEATED;
		s->due += is_due(fate, class);
		s->arrived += arrived;
		s->sent_again += class == REPEAT;
		s->arrived_again += class == REPEAT && arrived;
		if (fate == HELD)
			violation("flow %u number %" PRIu64 ": is held after the end", flow, seq);
	}
	for (unsigned i = 0; i < S->reloads; i++)
		s->windows += S->window[i].to[flow] - S->window[i].from[flow];
}

static uint64_t number_before(const char *text, const char *what)
{
	const char *at = strstr(text, what);

	while (at != NULL && at > text && at[-1] >= '0' && at[-1] <= '9')
		at--;
	return at != NULL ? strtoull(at, NULL, 10) : 0;
}

static struct said read_log(const char *path)
{
	FILE *f = path != NULL ? fopen(path, "re") : NULL;
	struct said said = { 0 };
	char line[512];

	while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
		if (strstr(line, "summary:") != NULL || strstr(line, " packets: ") != NULL) {
			said.handed += number_before(line, " packets");
			said.dropped += number_before(line, " dropped");
		}
		said.lost += number_before(line, " lost to a full queue") +
			     number_before(line, " to a full socket");
	}
	if (f != NULL)
		fclose(f);
	return said;
}

/*
 * Accounts for a reader `ipq filter`, which records no fates. Without the kernel's table, the number of lost
 * packets is unknown.
 */
static void account_filter(const struct sums *s, const struct said *said, uint64_t drops)
{
	uint64_t missing = s->due - s->arrived;

	if (!S->sees_table)
		return;
	if (said->handed + S->overflow < s->sent + s->arrived_again ||
	    said->handed + S->overflow > s->sent + s->sent_again)
		violation("%" PRIu64 " sent, %" PRIu64 " to be repeated, but %" PRIu64 " decided, %" PRIu64
			  " lost",
			  s->sent, s->sent_again, said->handed, S->overflow);
	if (missing < drops || missing > drops + S->overflow)
		violation("%" PRIu64 " of %" PRIu64 " did not arrive, sockets dropped %" PRIu64
			  ", the queue %" PRIu64,
			  missing, s->due, drops, S->overflow);
	if (s->sent != s->arrived + drops + said->dropped + S->overflow)
		violation("%" PRIu64 " sent, but %" PRIu64 " arrived, sockets dropped %" PRIu64
			  ", ipq filter %" PRIu64 ", the queue %" PRIu64,
			  s->sent, s->arrived, drops, said->dropped, S->overflow);
}

static void account_library(const struct sums *s, uint64_t drops)
{
	uint64_t offered = s->sent + S->repeats, gone = offered - S->handed;

	if (s->due - s->arrived != drops)
		violation("%" PRIu64 " of %" PRIu64 " did not arrive, the sockets dropped %" PRIu64,
			  s->due - s->arrived, s->due, drops);
	if (gone != s->unseen + s->lost_again)
		violation("%" PRIu64 " are gone by the sums, %" PRIu64 " by the list", gone,
			  s->unseen + s->lost_again);
	if (!S->sees_table)
		return; /* the number of packets that a full queue dropped is unknown */
	if (S->reloads == 0 && gone != S->overflow)
		violation("%" PRIu64 " offered, %" PRIu64 " handed out, %" PRIu64 " lost to overflow",
			  offered, (uint64_t)S->handed, (uint64_t)S->overflow);
	if (gone < S->overflow || gone - S->overflow > s->windows + s->lost_again)
		violation("%" PRIu64 " of %" PRIu64 " are gone, overflow %" PRIu64 ", %" PRIu64
			  " at most by %u reloads",
			  gone, offered, (uint64_t)S->overflow, s->windows, S->reloads);
	if (s->unseen_outside > S->overflow)
		violation("%" PRIu64 " were lost while no reload went on, overflow is %" PRIu64,
			  s->unseen_outside, (uint64_t)S->overflow);
}

void account_udp(const char *log)
{
	struct said said = read_log(log);
	struct sums s = { 0 };
	uint64_t drops = 0;

	for (unsigned i = 0; i < FLOWS; i++) {
		add_flow(i, &s);
		drops += S->flow[i].socket_drops - S->flow[i].socket_drops_before;
	}
	S->overflow += said.lost;
	if (S->kind == FILTER)
		account_filter(&s, &said, drops);
	else
		account_library(&s, drops);
	/* Packets in the program's socket are lost when a reload closes it. */
	if (S->kind == RUN && (said.handed < S->handed || (S->reloads == 0 && said.handed != S->handed)))
		violation("ipq run handed out %" PRIu64 " packets, the program got %" PRIu64, said.handed,
			  (uint64_t)S->handed);
	S->total.sent += s.sent;
	S->total.arrived += s.arrived;
	S->total.overflow += S->overflow;
	S->total.socket_drops += drops;
	S->total.repeats += S->repeats;
	if (S->kind != FILTER) {
		S->total.dropped += S->handed - S->repeats - s.due;
		S->total.reload_losses += s.unseen + s.lost_again - S->overflow;
	} else {
		S->total.dropped += said.dropped;
	}
	S->total.reloads += S->reloads;
}

void account_tcp(void)
{
	for (unsigned i = 0; i < 2; i++) {
		if (S->flow[i].sent != S->flow[i].arrived)
			violation("flow %u: %" PRIu64 " bytes sent, %" PRIu64 " arrived", i,
				  (uint64_t)S->flow[i].sent, (uint64_t)S->flow[i].arrived);
		if (S->next.flows & (1u << i) && S->flow[i].arrived == 0)
			violation("flow %u: no byte arrived", i);
	}
	S->total.handed += S->handed;
	S->total.overflow += S->overflow;
	S->total.repeats += S->repeats;
	S->total.reloads += S->reloads;
}

void account_health(const char *of, const char *when, const struct health *before, const struct health *now,
		    const struct health *more)
{
	if (now->heap > before->heap + more->heap)
		violation("%s, %s: %" PRIu64 " bytes in use, %" PRIu64 " before", of, when, now->heap,
			  before->heap);
	if (now->rss_kib > before->rss_kib + more->rss_kib + RSS_SLACK)
		violation("%s, %s: %" PRIu64 " KiB resident, %" PRIu64 " before", of, when, now->rss_kib,
			  before->rss_kib);
	if (now->descriptors != before->descriptors)
		violation("%s, %s: %" PRIu64 " descriptors, %" PRIu64 " before", of, when, now->descriptors,
			  before->descriptors);
	if (now->threads != before->threads)
		violation("%s, %s: %" PRIu64 " threads, %" PRIu64 " before", of, when, now->threads,
			  before->threads);
}
