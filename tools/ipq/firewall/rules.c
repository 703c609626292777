/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "common/interrupt.h"
#include "common/subprocess.h"
#include "common/text.h"
#include "firewall/probe.h"
#include "firewall/rules_script.h"
#include "nfqueue/held.h"

#define CHANGE_WAIT_MS 5000

/* ---- opening ------------------------------------------------------------------------------------- */

/* Creates the lock file of iptables, because iptables cannot create it after privileges_write_only(). */
static void make_lock_file(void)
{
	const char *path = secure_getenv("XTABLES_LOCKFILE");
	int fd = open(path != NULL ? path : "/run/xtables.lock", O_RDONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW,
		      0600);

	if (fd >= 0)
		close(fd);
}

/*
 * The rules of an inherited queue belong to a predecessor that has ended. This process uses their mark for the packets
 * that it accepts before it has its own rules. If the rules of either process keep flows, this process uses a new mark
 * instead, so that the predecessor's decisions end.
 */
static void succeed_predecessor(struct rules *r)
{
	for (size_t i = 0; i < r->chains.count; i++) {
		struct ipq_chain *c = &r->chains.chain[i];

		if (c->log || !held_has(c->number))
			continue;
		c->alive = 0;
		if (!c->flows && !rules_have_flows(r) && c->mark.mask == r->options.mark_bits)
			r->mark = c->mark;
	}
}

static int open_rules(struct rules *r, struct ipq_error *e)
{
	int err = rules_choose_kinds(r, e);

	if (secure_getenv("IPQ_KEEP_BESIDE") != NULL)
		return ipq_fail(e, EBUSY,
				"a new version beside the old one cannot have its own rules: start it "
				"without --on, and use a rule of your own");
	if (err < 0 || r->options.dry)
		return err < 0 || r->options.kind == RULES_LOG ? err : rules_choose_mark(r, e);
	make_lock_file();
	if (r->options.kind == RULES_LOG || r->options.bypass)
		err = guardian_start(r, e);
	if (err == 0)
		err = r->lock = firewall_lock(r->options.who, e);
	if (err < 0)
		return err;
	err = chains_read(&r->chains, ALL_KINDS);
	if (err < 0)
		return ipq_fail(e, ENOMEM, "out of memory");
	if (interrupt_pending())
		return ipq_fail(e, EINTR, "interrupted by a signal");
	succeed_predecessor(r);
	return r->options.kind == RULES_LOG || r->mark.mask != 0 ? 0 : rules_choose_mark(r, e);
}

static void release_lock(struct rules *r)
{
	if (r->lock >= 0)
		close(r->lock);
	r->lock = -1;
}

static void free_rules(struct rules *r, bool removed)
{
	guardian_end(r, removed);
	release_lock(r);
	chains_free(&r->chains);
	free(r);
}

int rules_open(struct rules **rules, const struct rules_options *options, struct ipq_error *e)
{
	struct rules *r = calloc(1, sizeof(*r));
	int err;

	*rules = NULL;
	if (r == NULL)
		return ipq_fail(e, ENOMEM, "out of memory");
	r->options = *options;
	r->new = (struct filters){ .program = options->filter, .count = options->filters };
	if (r->options.mark_bits == 0)
		r->options.mark_bits = RULES_MARK_BITS;
	r->lock = r->guardian_fd = -1;
	err = open_rules(r, e);
	if (err < 0)
		free_rules(r, true);
	else
		*rules = r;
	return err;
}

struct mark rules_mark(const struct rules *r)
{
	static const struct mark none = { .mask = 0 };

	return r->candidate[0] == FIREWALL_NFT ? none : r->mark;
}

struct mark rules_flow_mark(const struct rules *r)
{
	static const struct mark none = { .mask = 0 };

	return rules_have_flows(r) ? mark_left(r->mark) : none;
}

bool rules_keep_flows(const struct rules *r)
{
	return rules_have_flows(r) && r->families > 0 && r->mark.mask != 0;
}

int rules_number_free(const struct rules *r, uint16_t number, struct ipq_error *e)
{
	bool log = r->options.kind == RULES_LOG, all;
	char hooks[64], what[80];

	for (size_t i = 0; i < r->chains.count; i++) {
		const struct ipq_chain *c = &r->chains.chain[i];

		if (c->log != log || number < c->number || number > c->last)
			continue;
		rules_takes_over(r, c, &all);
		if (!all)
			return ipq_fail(e, EBUSY,
					"%s (%s) has this number: choose another, or run \"ipq clean\" first",
					chain_describe(c, what, sizeof(what)),
					hooks_describe(c->hooks, hooks, sizeof(hooks)));
	}
	return 0;
}

/* ---- installing ---------------------------------------------------------------------------------- */

static const char *name_rules(struct rules *r, enum firewall_kind kind)
{
	char separator = kind == FIREWALL_NFT ? '_' : '-';

	snprintf(r->name, sizeof(r->name), "%s%c%s%.1s%u", r->options.dry ? "dry" : "ipq", separator,
		 r->options.kind == RULES_LOG ? "log" : "", r->options.kind == RULES_LOG ? &separator : "",
		 r->first);
	return r->name;
}

/* Applies a script as one transaction. `write` writes the script. */
static int apply(struct rules *r, enum firewall_kind kind,
		 void (*write)(const struct rules *r, enum firewall_kind kind, FILE *script), int wait_ms,
		 struct ipq_error *e)
{
	struct firewall_script s;

	if (firewall_script_open(&s))
		write(r, kind, s.file);
	return firewall_apply(kind, &s, wait_ms, r->options.who, r->lock, e);
}

/*
 * Installs the rules. If this kernel has no bpf match, installs them without filters: then all packets are queued,
 * and the program selects.
 */
static int install_selecting(struct rules *r, enum firewall_kind kind, struct ipq_error *e)
{
	struct ipq_error second = { .text = "" };
	int err = apply(r, kind, script_install, CHANGE_WAIT_MS, e);

	if (err < 0 && !firewall_failed_by_chance(err) && !rules_unfiltered(r)) {
		r->no_match = true;
		if (apply(r, kind, script_install, CHANGE_WAIT_MS, &second) == 0)
			return 0;
		r->no_match = false;
	}
	return err;
}

/*
 * Installs the rules. If this kernel has no connection marks, installs them without marks: then all packets of
 * decided flows are queued.
 */
static int install_kind(struct rules *r, enum firewall_kind kind, struct ipq_error *e)
{
	struct ipq_error second = { .text = "" };
	int err = install_selecting(r, kind, e);

	if (err < 0 && !firewall_failed_by_chance(err) && rules_have_flows(r) && r->families == 0) {
		r->no_flows = true;
		if (install_selecting(r, kind, &second) == 0)
			return 0;
		r->no_flows = false;
	}
	return err;
}

static bool kernel_has_ipv6(void)
{
	return access("/proc/net/if_inet6", F_OK) == 0;
}

/* Whether the kernel has this table. If so, a failure to change it is temporary. */
static bool table_works(enum firewall_kind kind)
{
	const char *const argv[] = { firewall_tool(kind), "-t", "mangle", "-S", NULL };
	char *text = NULL;
	int status = subprocess_run(argv, &text);

	free(text);
	return status == 0;
}

/* Removes our rules that were added in spite of an error, unless rules with our name existed before. */
static void remove_added(struct rules *r, enum firewall_kind first, enum firewall_kind last)
{
	struct ipq_error e;
	struct chains now;
	char what[80];

	interrupt_take();
	chains_read(&now, 1U << first | 1U << last);
	for (size_t i = 0; i < now.count; i++) {
		const struct ipq_chain *c = &now.chain[i];

		if (strcmp(c->name, r->name) != 0 || rules_own_chain(r, c->kind) != NULL ||
		    chain_remove(c, ALL_HOOKS, CLOSE_WAIT_MS, r->options.who, r->lock, &e) == 0)
			continue;
		r->failed = -EBUSY;
		text_complain(r->options.who, "rules are left: %s%s; \"ipq clean\" removes them. %s",
			      chain_describe(c, what, sizeof(what)),
			      chain_blocks(c) ? ", which drops packets from now on" : "", e.text);
	}
	chains_free(&now);
}

/* Tries one flavour of iptables, or nftables. */
static int install_candidate(struct rules *r, enum firewall_kind kind, struct ipq_error *e)
{
	struct ipq_error six = { .text = "" };
	int err;

	name_rules(r, kind);
	r->on_top = true;
	r->families = 0;
	err = install_kind(r, kind, e);
	if (err < 0) {
		/* A tool that was killed may nevertheless have added the rules. */
		remove_added(r, kind, kind);
		return err;
	}
	r->kind[r->families++] = kind;
	if (kind == FIREWALL_NFT || !kernel_has_ipv6())
		return 0;
	/* The kinds for IPv6 follow those for IPv4. */
	err = install_kind(r, kind + 1, &six);
	if (err == 0) {
		r->kind[r->families++] = kind + 1;
		return 0;
	}
	if (firewall_failed_by_chance(err) || table_works(kind + 1)) {
		remove_added(r, kind, kind + 1);
		r->families = 0;
		return ipq_fail(e, -err, "%s", six.text);
	}
	text_complain(r->options.who, "IPv6 packets are not queued: %s", six.text);
	return 0;
}

/*
 * Removes the rules of dead processes. This is done only when our rules are in force for both families: until then,
 * packets that the old rules block stay blocked. If one of the old chains had our name, our chain has already
 * replaced it.
 */
static void remove_remains(struct rules *r)
{
	for (size_t i = 0; i < r->chains.count; i++) {
		const struct ipq_chain *c = &r->chains.chain[i];
		struct ipq_error e;
		bool all, own = false;
		unsigned hooks = rules_takes_over(r, c, &all);

		for (unsigned k = 0; k < r->families; k++)
			own |= c == rules_own_chain(r, r->kind[k]);
		if (hooks != 0 && !own &&
		    chain_remove(c, hooks, CHANGE_WAIT_MS, r->options.who, r->lock, &e) < 0)
			text_complain(r->options.who, "%s", e.text);
	}
}

int rules_install(struct rules *r, uint16_t first, uint16_t last, struct ipq_error *e)
{
	struct ipq_error later, *where = e;
	int err = -ENOENT;

	r->first = first;
	r->last = last;
	if (r->guardian_fd >= 0)
		send(r->guardian_fd, &first, sizeof(first), MSG_NOSIGNAL);
	for (unsigned i = 0;
	     i < r->candidates && err < 0 && !firewall_failed_by_chance(err) && r->failed == 0; i++) {
		err = install_candidate(r, r->candidate[i], where);
		where = &later; /* if there are several errors, report the first one */
	}
	if (err == 0)
		remove_remains(r);
	r->on_top = false;
	release_lock(r);
	return err < 0 && r->failed < 0 ? r->failed : err;
}

/* ---- changing ------------------------------------------------------------------------------------ */

/* Reads the chains of the kinds that these rules use. */
static int read_chains(struct rules *r, struct ipq_error *e)
{
	unsigned kinds = 0;

	for (unsigned k = 0; k < r->families; k++)
		kinds |= 1U << r->kind[k];
	chains_free(&r->chains);
	if (chains_read(&r->chains, kinds) == 0 && (r->chains.unread & kinds) == 0)
		return 0;
	return interrupt_pending()
		       ? ipq_fail(e, EINTR, "interrupted by a signal")
		       : ipq_fail(e, EIO, "the rules of %s could not be read", firewall_tool(r->kind[0]));
}

/* Takes the lock and reads the chains. */
static int begin_change(struct rules *r, struct ipq_error *e)
{
	int err = r->lock = firewall_lock(r->options.who, e);

	if (err >= 0)
		err = read_chains(r, e);
	if (err < 0)
		release_lock(r);
	return err;
}

/* Replaces the rules of each kind. Their counters begin at 0 again. */
static int apply_all(struct rules *r, void (*write)(const struct rules *, enum firewall_kind, FILE *),
		     struct ipq_error *e)
{
	int err = 0;

	for (unsigned k = 0; k < r->families && err == 0; k++) {
		const struct ipq_chain *own = rules_own_chain(r, r->kind[k]);

		err = apply(r, r->kind[k], write, CHANGE_WAIT_MS, e);
		r->touched |= err == 0;
		if (err == 0 && own != NULL) {
			r->packets += own->packets;
			r->bytes += own->bytes;
		}
	}
	return err;
}

int rules_passed(struct rules *r, uint64_t *packets, uint64_t *bytes)
{
	struct ipq_error e;
	int err = rules_have_flows(r) ? read_chains(r, &e) : 0;

	*packets = r->packets;
	*bytes = r->bytes;
	for (unsigned k = 0; k < r->families && err == 0; k++) {
		const struct ipq_chain *own = rules_own_chain(r, r->kind[k]);

		*packets += own != NULL ? own->packets : 0;
		*bytes += own != NULL ? own->bytes : 0;
	}
	return err;
}

/*
 * Writes the chain. There are two reasons to try again without filters, so that all packets are queued: this kernel
 * has no bpf match, or the rules are too many for the socket of iptables-nft, whose size is limited in a user
 * namespace. After a lock or a killed tool this is not tried.
 */
static int apply_chain(struct rules *r, struct ipq_error *e)
{
	struct ipq_error second;
	int err;

	r->no_match = false;
	err = apply_all(r, script_chain, e);
	if (err == 0 || firewall_failed_by_chance(err) || rules_unfiltered(r))
		return err;
	r->no_match = true;
	return apply_all(r, script_chain, &second) == 0 ? 0 : err;
}

static void forget_old(struct rules *r)
{
	r->old.count = 0;
	r->old_all = false;
}

/* Whether our chain is complete, with a jump from each hook. */
static int find_missing(const struct rules *r, struct ipq_error *e)
{
	char what[80], hooks[64];

	for (unsigned k = 0; k < r->families; k++) {
		const struct ipq_chain *own = rules_own_chain(r, r->kind[k]);
		struct ipq_chain missing = { .kind = r->kind[k] };
		unsigned gone = r->options.hooks & ~(own != NULL ? own->hooks : 0);

		snprintf(missing.name, sizeof(missing.name), "%s", r->name);
		if (gone != 0)
			return ipq_fail(
				e, ENOENT,
				"another program removed the rules that send packets here from %s (%s)",
				hooks_describe(gone, hooks, sizeof(hooks)),
				chain_describe(&missing, what, sizeof(what)));
		if (own != NULL &&
		    (r->kind[k] == FIREWALL_NFT
			     ? own->targets != (unsigned)__builtin_popcount(r->options.hooks)
			     : r->change == SETTLED && own->rules - own->known_count != rules_count(r)))
			return ipq_fail(e, ENOENT, "another program changed the rules in %s",
					chain_describe(&missing, what, sizeof(what)));
	}
	return 0;
}

/*
 * Returns to the old filters after a failed change. Even a tool that was killed may have changed a family. Such a
 * family queues more packets than the old filters match, until it has its old rules again. That happens here, or
 * when rules_check() tries again.
 */
static void take_back(struct rules *r, const struct rules *was, int err)
{
	struct ipq_error e;

	r->new = was->new;
	r->no_match = was->no_match;
	r->change = was->change;
	forget_old(r);
	if (err == -EAGAIN && !r->touched)
		return;
	if (err == -EAGAIN || err == -EINTR || apply_all(r, script_chain, &e) < 0)
		r->change = UNSETTLED;
}

int rules_extend(struct rules *r, const struct bpf_program *filter, size_t filters, struct ipq_error *e)
{
	const struct rules was = *r;
	int err;

	if (r->kind[0] == FIREWALL_NFT)
		return 0;
	err = begin_change(r, e);
	if (err < 0)
		return err;
	err = find_missing(r, e);
	if (err == 0) {
		r->old = was.new;
		r->old_all = was.new.count == 0;
		r->new = (struct filters){ .program = filter, .count = filters };
		r->touched = false;
		err = apply_chain(r, e);
		r->change = EXTENDED;
		if (err < 0)
			take_back(r, &was, err);
	}
	release_lock(r);
	return err;
}

int rules_settle(struct rules *r, struct ipq_error *e)
{
	int err;

	if (r->change == SETTLED)
		return 0;
	forget_old(r);
	r->change = UNSETTLED;
	err = begin_change(r, e);
	if (err < 0)
		return err;
	err = apply_chain(r, e);
	r->change = err < 0 ? UNSETTLED : SETTLED;
	release_lock(r);
	return err;
}

int rules_restore(struct rules *r, struct ipq_error *e)
{
	int err = begin_change(r, e);

	if (err < 0)
		return err;
	r->on_top = true;
	err = apply_all(r, script_install, e);
	r->on_top = false;
	release_lock(r);
	return err;
}

static bool knows(const struct ipq_chain *own, struct mark m)
{
	for (unsigned k = 0; k < own->known_count; k++)
		if (own->known[k].mark == m.mark && own->known[k].mask == m.mask)
			return true;
	return false;
}

/*
 * Whether our chain has the marks of exactly the live chains after it. If a mark were missing, packets that this
 * chain repeats would circulate for ever. If the mark of a removed chain were left, packets with this mark would
 * bypass our rules.
 */
static bool knows_right_marks(const struct rules *r, enum firewall_kind kind)
{
	const struct ipq_chain *own = rules_own_chain(r, kind);
	unsigned needed = 0;

	for (size_t i = 0; i < r->chains.count; i++) {
		const struct ipq_chain *c = &r->chains.chain[i];

		if (!rules_must_know(r, kind, c))
			continue;
		needed += c->flows ? 3 : 1; /* see put_known() for the number of rules */
		if (!knows(own, c->mark) || (c->flows && !knows(own, mark_left(c->mark))))
			return false;
	}
	return needed >= KNOWN_MAX || own->known_count == needed;
}

static bool mark_is_changed(const struct rules *r, enum firewall_kind kind)
{
	const struct ipq_chain *own = rules_own_chain(r, kind);

	for (unsigned h = 0; h < HOOKS; h++)
		if ((r->options.hooks & 1U << h) != 0 && r->chains.marks_at[kind][h] != 0 &&
		    r->chains.marks_at[kind][h] < own->at[h])
			return true;
	return false;
}

/* Writes our chain again. */
static int rewrite_chain(struct rules *r, struct ipq_error *e)
{
	int err = begin_change(r, e);

	if (err < 0)
		return err;
	err = apply_all(r, script_chain, e);
	release_lock(r);
	return err;
}

/*
 * Whether the rules are unchanged since the last check, which is the usual case. Two system calls per family show
 * that. They do not show a changed order of rules in a legacy table, so the table itself is read from time to time.
 */
static bool unchanged(struct rules *r)
{
	bool same = r->change == SETTLED && (r->kind[0] > FIREWALL_IP6TABLES_LEGACY || ++r->same % 5 != 0);

	for (unsigned k = 0; k < r->families; k++) {
		enum firewall_kind kind = r->kind[k];
		uint64_t now = probe_generation(kind <= FIREWALL_IP6TABLES_LEGACY,
						kind == FIREWALL_IP6TABLES_LEGACY);

		same &= now != 0 && now == r->generation[k];
		r->generation[k] = now;
	}
	return same;
}

static int check_all(struct rules *r, struct ipq_error *e)
{
	int err = read_chains(r, e);

	if (err == 0)
		err = find_missing(r, e);
	if (err < 0 || r->kind[0] == FIREWALL_NFT)
		return err;
	if (r->change == UNSETTLED)
		return rules_settle(r, e);
	for (unsigned k = 0; k < r->families; k++) {
		if (!knows_right_marks(r, r->kind[k]))
			return rewrite_chain(r, e);
		if (r->mark.mask != 0 && mark_is_changed(r, r->kind[k])) {
			r->mark.mask = 0;
			return ipq_fail(
				e, ELOOP,
				"a rule before those of ipq in %s changes packet marks: from now on accepted "
				"packets skip the later rules of the table mangle. Add that rule after those "
				"of ipq, and start ipq again",
				firewall_tool(r->kind[k]));
		}
	}
	return 0;
}

int rules_check(struct rules *r, struct ipq_error *e)
{
	int err = unchanged(r) ? 0 : check_all(r, e);

	if (err < 0)
		memset(r->generation, 0, sizeof(r->generation)); /* makes the next call check again */
	return err;
}

/* ---- the end ------------------------------------------------------------------------------------- */

/* Removes the existing rules of each family. Another program may have changed a family since it was read. */
static int remove_all(struct rules *r, struct ipq_error *e)
{
	int failed = 0;

	for (int tries = 0; tries < 3; tries++) {
		failed = r->lock < 0 ? begin_change(r, e) : tries > 0 ? read_chains(r, e) : 0;
		for (unsigned k = 0; k < r->families && r->lock >= 0; k++) {
			const struct ipq_chain *own = rules_own_chain(r, r->kind[k]);
			int err = own == NULL ? 0
					      : chain_remove(own, ALL_HOOKS, CLOSE_WAIT_MS, r->options.who,
							     r->lock, e);

			failed = err < 0 ? err : failed;
		}
		if (failed >= 0 || firewall_failed_by_chance(failed))
			break;
	}
	return failed;
}

int rules_stop(struct rules *r)
{
	int err;

	if (r == NULL || r->families == 0)
		return 0;
	r->stopping = true;
	err = begin_change(r, &r->why);
	/* Try again: a tool may be too slow on a busy machine. */
	for (int tries = 0; err == -EIO && tries < 3; tries++)
		err = begin_change(r, &r->why);
	if (err >= 0 && r->options.kind == RULES_LOG) { /* packets that were logged need no rule any more */
		err = remove_all(r, &r->why);
		r->families = err < 0 ? r->families : 0;
	}
	for (unsigned k = 0; k < r->families && err >= 0; k++)
		if (rules_own_chain(r, r->kind[k]) != NULL)
			err = apply(r, r->kind[k], script_chain, CLOSE_WAIT_MS, &r->why);
	r->failed = err < 0 ? err : 0;
	return r->failed;
}

/* Reports the rules that still exist after an error. 0: there are none. */
static int report_left(struct rules *r, int err, struct ipq_error *e)
{
	struct ipq_error unread;
	char what[80], hooks[64];
	bool left = false;

	interrupt_take();
	if (read_chains(r, &unread) < 0)
		return ipq_fail(e, -err, "rules may be left: \"ipq clean\" removes them. %s", r->why.text);
	for (unsigned k = 0; k < r->families; k++) {
		const struct ipq_chain *own = rules_own_chain(r, r->kind[k]);

		if (own == NULL)
			continue;
		left = true;
		text_complain(r->options.who, "rules are left: %s (%s)%s; \"ipq clean\" removes them",
			      chain_describe(own, what, sizeof(what)),
			      hooks_describe(own->hooks, hooks, sizeof(hooks)),
			      chain_blocks(own) ? ", which drops packets from now on" : "");
	}
	return left ? ipq_fail(e, -err, "the rules could not be removed: %s", r->why.text) : 0;
}

int rules_close(struct rules *r, struct ipq_error *e)
{
	int err;

	if (r == NULL)
		return 0;
	err = r->failed;
	/* If the reason was a lock or a slow tool, do not wait a second time. */
	if (r->families > 0 && !firewall_failed_by_chance(err))
		err = remove_all(r, &r->why);
	release_lock(r);
	if (err < 0)
		err = report_left(r, err, e);
	free_rules(r, err == 0 && r->failed == 0);
	return err;
}

void rules_abandon(struct rules *r)
{
	free_rules(r, false);
}

void rules_print(const struct rules *rules, uint16_t first, uint16_t last, FILE *out)
{
	struct rules r = *rules;
	enum firewall_kind kind = r.candidate[0];

	r.first = first;
	r.last = last;
	name_rules(&r, kind);
	for (unsigned family = 0; family < (kind == FIREWALL_NFT ? 1 : FAMILIES); family++) {
		if (kind == FIREWALL_NFT)
			fputs("nft -f - <<'END'\n", out);
		else
			fprintf(out, "%s-restore --noflush <<'END'\n*mangle\n", firewall_tool(kind + family));
		script_install(&r, kind + family, out);
		fputs(kind == FIREWALL_NFT ? "END\n" : "COMMIT\nEND\n", out);
	}
}
