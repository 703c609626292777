/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The kernel's table of queues, /proc/net/netfilter/nfnetlink_queue, belongs to root of the machine and has mode
 * 0440: root of a user namespace cannot read it. With CAP_NET_ADMIN in such a namespace, the process can send a
 * message for each queue that changes nothing (see probe.h). The answers show which numbers are owned, but not the
 * counters.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "firewall/probe.h"
#include "status/snapshot.h"
#include "util/clock.h"

#define QUEUES 65536
#define RULE_SPAN 1024 /* maximum number of queue numbers of one rule that get a row */

/* A snapshot under construction. place[number]: the index of the row, plus 1. */
struct taking {
	struct snapshot *s;
	uint32_t place[QUEUES];
};

/* The row of a queue. Adds the row if necessary. NULL: no memory. */
static struct queue_row *row_of(struct taking *t, uint32_t number)
{
	struct snapshot *s = t->s;
	struct queue_row *grown;

	if (t->place[number] != 0)
		return &s->row[t->place[number] - 1];
	if ((s->count & (s->count - 1)) == 0) { /* the count is a power of two, or 0: the array is full */
		grown = realloc(s->row, (s->count == 0 ? 1 : 2 * s->count) * sizeof(*grown));
		if (grown == NULL)
			return NULL;
		s->row = grown;
	}
	s->row[s->count] = (struct queue_row){ .line.number = number, .bypass = true };
	t->place[number] = (uint32_t)++s->count;
	return &s->row[s->count - 1];
}

/* Finds the owner of a queue. One socket may own many queues, so its process is looked up only once. */
static void find_owner(struct snapshot *s, struct queue_row *r)
{
	for (struct queue_row *o = s->row; o < r; o++)
		if (o->line.port_id == r->line.port_id) {
			r->pid = o->pid;
			memcpy(r->command, o->command, sizeof(r->command));
			return;
		}
	if (queue_owner(r->line.port_id, &r->pid, r->command) < 0)
		r->pid = 0;
}

static int add_lines(struct taking *t)
{
	struct queue_line *line = calloc(QUEUES, sizeof(*line));
	int n = line == NULL ? -ENOMEM : queue_lines(line, QUEUES);

	for (int i = 0; i < n; i++) {
		struct queue_row *r = line[i].number < QUEUES ? row_of(t, line[i].number) : NULL;

		if (r == NULL) {
			n = -ENOMEM;
			break;
		}
		r->line = line[i];
		r->owned = r->counted = true;
		find_owner(t->s, r);
	}
	free(line);
	return n < 0 ? n : 0;
}

/* Adds the processes that have a netfilter socket and so may own queues. */
static void add_suspects(struct snapshot *s)
{
	uint32_t port[64];
	int n = netfilter_sockets(port, sizeof(port) / sizeof(port[0]));

	for (int i = 0; i < n && s->suspects < sizeof(s->suspect) / sizeof(s->suspect[0]); i++) {
		struct queue_suspect *suspect = &s->suspect[s->suspects];

		if (queue_owner(port[i], &suspect->pid, suspect->command) == 0 && suspect->pid != getpid())
			s->suspects++;
	}
}

static int add_probed(struct taking *t)
{
	uint8_t *owned = calloc(QUEUES, 1);
	int err = owned == NULL ? -ENOMEM : probe_queues(owned, 0, QUEUES - 1);

	for (uint32_t i = 0; err == 0 && i < QUEUES; i++) {
		struct queue_row *r = owned[i] ? row_of(t, i) : NULL;

		if (r != NULL)
			r->owned = true;
		else if (owned[i])
			err = -ENOMEM;
	}
	free(owned);
	return err;
}

static void add_rule(struct queue_row *r, const struct queue_rule *rule)
{
	bool six = strcmp(rule->family, "ip6") == 0, four = strcmp(rule->family, "ip") == 0;

	r->rules_counted = rule->counted && (r->rules == 0 || r->rules_counted);
	r->rule_packets += rule->packets;
	r->rules++;
	r->reached += !rule->unreached;
	r->bypass &= rule->bypass;
	r->ipv4 |= !six;
	r->ipv6 |= !four;
}

static int add_rules(struct taking *t)
{
	struct snapshot *s = t->s;

	for (size_t i = 0; i < s->firewall.count; i++) {
		const struct queue_rule *rule = &s->firewall.rule[i];

		if (rule->computed) {
			s->computed++;
			continue;
		}
		for (uint32_t q = rule->first; q <= rule->last; q++) {
			struct queue_row *r;

			if (t->place[q] == 0 && q - rule->first >= RULE_SPAN)
				continue;
			r = row_of(t, q);
			if (r == NULL)
				return -ENOMEM;
			add_rule(r, rule);
		}
	}
	return 0;
}

static int by_number(const void *a, const void *b)
{
	const struct queue_row *x = a, *y = b;

	return (x->line.number > y->line.number) - (x->line.number < y->line.number);
}

static int take(struct taking *t)
{
	struct snapshot *s = t->s;

	s->table = add_lines(t);
	s->time = now_ns();
	if (s->table == -ENOMEM)
		return -ENOMEM;
	if (s->table < 0) {
		s->blind = add_probed(t) < 0;
		add_suspects(s);
	}
	return add_rules(t);
}

/* Finds the queues in which packets wait and none is decided. */
static void find_stuck(struct snapshot *s)
{
	const struct timespec pause = { .tv_nsec = 500000000 };
	bool any = false;

	for (size_t i = 0; i < s->count; i++)
		any |= s->row[i].counted && s->row[i].line.waiting > 0;
	if (any)
		nanosleep(&pause, NULL);
	for (size_t i = 0; any && i < s->count; i++) {
		struct queue_row *r = &s->row[i];
		struct queue_line now;
		uint32_t came;

		if (!r->counted || r->line.waiting == 0 || queue_line(r->line.number, &now) < 0)
			continue;
		came = now.last_id - r->line.last_id - (now.user_dropped - r->line.user_dropped);
		r->stuck = now.port_id == r->line.port_id && now.waiting > 0 &&
			   came == now.waiting - r->line.waiting;
	}
}

int snapshot_take(struct snapshot *s, bool quick)
{
	struct taking *t = calloc(1, sizeof(*t));
	int err;

	*s = (struct snapshot){ .row = NULL };
	if (t == NULL)
		return -ENOMEM;
	t->s = s;
	s->ipv6 = access("/proc/net/if_inet6", F_OK) == 0;
	err = firewall_read(&s->firewall);
	if (err == 0)
		err = take(t);
	free(t);
	if (err < 0) {
		snapshot_free(s);
		return err;
	}
	if (s->count > 0)
		qsort(s->row, s->count, sizeof(*s->row), by_number);
	if (!quick)
		find_stuck(s);
	return 0;
}

void snapshot_free(struct snapshot *s)
{
	free(s->row);
	firewall_free(&s->firewall);
	*s = (struct snapshot){ .row = NULL };
}
