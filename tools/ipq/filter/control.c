/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The work of the main thread while workers decide packets.
 *
 * A reload is a transaction. The new rules are read and checked first; the firewall then queues the packets that the
 * old or the new rules need; the workers switch to the new rules between two batches; then the firewall stops queueing
 * packets that only the old rules need. So all rules change or none, and each packet is decided by all of the old rules
 * or by all of the new ones.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include "common/service.h"
#include "common/text.h"
#include "filter/control.h"
#include "filter/needs.h"
#include "filter/rule_check.h"
#include "util/clock.h"

/* Returns the struct filter whose member `session` this is. */
static struct filter *filter_of(struct session *s)
{
	return (struct filter *)((char *)s - offsetof(struct filter, session));
}

/* ---- reload -------------------------------------------------------------------------------------- */

/* While a worker uses the old rules, packets that only these rules need are still queued. */
void control_retire(struct filter *f, bool ended)
{
	struct ipq_error e;

	if (f->old == NULL)
		return;
	for (unsigned i = 0; i < f->session.workers && !ended; i++) {
		const struct filter_worker *d = f->session.worker[i].context;

		if (d->active_rules == f->old)
			return;
	}
	if (f->session.rules != NULL && rules_settle(f->session.rules, &e) < 0)
		text_complain("ipq filter", "packets that the new rules do not need are queued, too: %s",
			      e.text);
	active_rules_restore(f->common.active_rules, f->old);
	active_rules_free(f->old);
	f->old = NULL;
}

/*
 * Wakes the workers. Waits at most a second until all of them use the newest rules, which they adopt between two
 * batches.
 */
static void wait_for_workers(struct filter *f)
{
	for (int i = 0; i < 1000 && f->old != NULL; i++) {
		session_wake_all(&f->session);
		usleep(1000);
		control_retire(f, false);
	}
}

/*
 * Makes the firewall queue the packets of the old rules and of the new ones. 0; or -errno, and nothing has changed.
 */
static int extend_firewall(struct filter *f, struct active_rules *new)
{
	struct session *s = &f->session;
	uint32_t more = new->flags & ~s->flags;
	struct ipq_error e = { .text = "" };
	int err;

	if (more != 0) {
		text_complain("ipq filter",
			      "rules that need %s cannot be added on reload; restart ipq filter",
			      (more & IPQ_O_SEGMENT) != 0     ? "packets one by one (edits, rate, duplicate)"
			      : (more & IPQ_O_CONNTRACK) != 0 ? "connection state"
							      : "the owner of packets");
		return -EBUSY;
	}
	if (f->common.injector.ipv4 < 0 && s->source == NULL && ruleset_needs(&new->set, NEEDS_RAW_SOCKET)) {
		text_complain("ipq filter", "without CAP_NET_RAW, reject and duplicate cannot be added on "
					    "reload; restart ipq filter");
		return -EPERM;
	}
	if (s->rules == NULL)
		return 0;
	err = session_extend_rules(s, new->filter, new->filters, &e);
	if (err < 0)
		text_complain("ipq filter", "%s", e.text);
	else
		new->kernel_accepts = new->filters > 0;
	return err;
}

static bool try_reload(struct filter *f)
{
	struct active_rules *new;

	wait_for_workers(f);
	f->rules.again = true;
	if (f->old != NULL || active_rules_load(&new, &f->rules, f->session.workers) < 0)
		return false;
	if (f->common.edits.used)
		active_rules_need_all(new);
	if (!rules_fit(&new->set, &f->session, f->record_path != NULL) || extend_firewall(f, new) < 0) {
		active_rules_free(new);
		return false;
	}
	active_rules_restore_rates(new, f->common.active_rules);
	f->old = f->common.active_rules;
	f->common.active_rules = new;
	wait_for_workers(f);
	return true;
}

static void reload(struct filter *f)
{
	service_notify("RELOADING=1");
	if (!try_reload(f))
		text_note("ipq filter: the rules stay as they were\n");
	else if (!f->session.quiet)
		text_note("ipq filter: %u rule%s in force\n", f->common.active_rules->set.count,
			  TEXT_PLURAL(f->common.active_rules->set.count));
	service_notify("READY=1");
}

/* ---- counters ------------------------------------------------------------------------------------ */

static void sum_flows(const struct filter *f, struct flow_totals *sum)
{
	*sum = (struct flow_totals){ .decided = -f->flows_base.decided,
				     .packets = -f->flows_base.packets,
				     .bytes = -f->flows_base.bytes,
				     .in_kernel = f->session.hooks != 0,
				     .passed = f->session.passed - f->flows_base.passed,
				     .passed_bytes = f->session.passed_bytes - f->flows_base.passed_bytes };
	for (unsigned i = 0; i < f->session.workers; i++) {
		const struct filter_worker *d = f->session.worker[i].context;

		sum->decided += d->flows;
		sum->packets += d->flow_packets;
		sum->bytes += d->flow_bytes;
	}
}

/* Prints the last members of the JSON object. */
static void print_edits_json(const struct edits_shared *edits, FILE *out)
{
	const char *comma = "";

	fputs(",\"not_edited_by_reason\":{", out);
	for (unsigned i = 0; i < IPQ_EDIT_REASON_COUNT; i++) {
		if (edits->not_edited[i] == 0)
			continue;
		fputs(comma, out);
		text_put_json(out, ipq_edit_reason_text(i));
		fprintf(out, ":%llu", (unsigned long long)edits->not_edited[i]);
		comma = ",";
	}
	fprintf(out, "},\"beyond_mtu\":%llu}\n", (unsigned long long)edits->beyond_mtu);
}

void control_print_counters(struct filter *f, bool in_place)
{
	const struct active_rules *active_rules = f->common.active_rules;
	struct flow_totals flows = { .decided = 0 };
	struct winsize size = { .ws_row = 24, .ws_col = 80 };
	bool json = f->common.style.json;
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	if (out == NULL)
		return;
	in_place = in_place && !json && isatty(STDERR_FILENO);
	if (in_place)
		ioctl(STDERR_FILENO, TIOCGWINSZ, &size);
	if (f->session.flows)
		session_count_passed(&f->session);
	in_place = in_place && active_rules->set.count + 3 + active_rules->flows < size.ws_row;
	sum_flows(f, &flows);
	if (in_place && f->lines > 0)
		text_note("\r\033[%uA\033[J", f->lines);
	f->lines = active_rules_print(active_rules, active_rules->flows ? &flows : NULL, out, json,
				      in_place && size.ws_col > 1 ? size.ws_col - 1U : 0);
	if (json)
		print_edits_json(&f->common.edits, out);
	if (!in_place)
		f->lines = 0;
	if (fclose(out) == 0 && json)
		output_text(f->session.output, text, len);
	else if (!json)
		text_note("%s", text);
	free(text);
}

/* ---- handlers of the session ----------------------------------------------------------------------- */

void control_started(struct session *s)
{
	const struct filter *f = filter_of(s);
	char hooks[64] = "";

	if (s->quiet || s->virtual_time)
		return;
	for (unsigned i = 0; i < 5; i++)
		if ((s->hooks & 1U << i) != 0)
			snprintf(hooks + strlen(hooks), sizeof(hooks) - strlen(hooks), "%s%s",
				 hooks[0] == '\0' ? " on " : ",", print_hook(i));
	text_note(s->queue_last > s->queue_first ? "ipq filter: %u rule%s in force%s, queues %u-%u\n"
						 : "ipq filter: %u rule%s in force%s, queue %u\n",
		  f->common.active_rules->set.count, TEXT_PLURAL(f->common.active_rules->set.count), hooks,
		  s->queue_first, s->queue_last);
}

static void reset(struct filter *f)
{
	struct flow_totals shown;

	active_rules_reset(f->common.active_rules);
	for (unsigned i = 0; i < IPQ_EDIT_REASON_COUNT; i++)
		f->common.edits.not_edited[i] = 0;
	f->common.edits.beyond_mtu = 0;
	sum_flows(f, &shown);
	f->flows_base.decided += shown.decided;
	f->flows_base.packets += shown.packets;
	f->flows_base.bytes += shown.bytes;
	f->flows_base.passed += shown.passed;
	f->flows_base.passed_bytes += shown.passed_bytes;
}

void control_signal(struct session *s, int signo)
{
	struct filter *f = filter_of(s);

	if (signo == SIGHUP)
		reload(f);
	else
		control_print_counters(f, false);
	if (signo == SIGUSR2)
		reset(f);
	f->lines = 0;
}

void control_tick(struct session *s)
{
	struct filter *f = filter_of(s);
	int64_t second = now_ns() / 1000000000;

	control_retire(f, false);
	if (!f->counters || second == f->shown || s->virtual_time)
		return;
	f->shown = second;
	control_print_counters(f, true);
}
