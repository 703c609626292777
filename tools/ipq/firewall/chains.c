/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "common/interrupt.h"
#include "common/subprocess.h"
#include "common/text.h"
#include "firewall/chains.h"
#include "firewall/probe.h"
#include "util/clock.h"

#define LOCK_NUMBER 65535
#define LOCK_WAIT_MS 30000

const char *const hook_names[HOOKS] = { "PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING" };
const char *const chain_helpers[HELPERS] = { "done", "left", "gone" };

#define NO_HELPER (-1)

const char *hook_lower(unsigned hook, char to[16])
{
	size_t n = 0;

	for (; hook_names[hook][n] != '\0'; n++)
		to[n] = (char)tolower((unsigned char)hook_names[hook][n]);
	to[n] = '\0';
	return to;
}

/* Parses the helper at the end of a name. NO_HELPER: the name ends before. -2: the name ends with other text. */
static int parse_helper(const char *end)
{
	for (int i = 0; i < HELPERS; i++)
		if (end[0] == '-' && strcmp(end + 1, chain_helpers[i]) == 0)
			return i;
	return *end == '\0' ? NO_HELPER : -2;
}

/*
 * Parses a name that ipq uses, with this separator: "ipq-5", "ipq-log-5", or "ipq-5-done", the name of a helper
 * chain.
 */
static bool parse_name(const char *name, char separator, struct ipq_chain *c, int *helper)
{
	char *end;
	unsigned long number;

	if (strncmp(name, "ipq", 3) != 0 || name[3] != separator)
		return false;
	name += 4;
	c->log = strncmp(name, "log", 3) == 0 && name[3] == separator;
	name += c->log ? 4 : 0;
	if (!isdigit((unsigned char)*name))
		return false;
	number = strtoul(name, &end, 10);
	*helper = parse_helper(end);
	if (*helper < NO_HELPER || number > UINT16_MAX)
		return false;
	c->number = c->last = (uint16_t)number;
	snprintf(c->name, sizeof(c->name), "ipq%c%s%s%lu", separator, c->log ? "log" : "",
		 c->log ? (separator == '-' ? "-" : "_") : "", number);
	return true;
}

/* Finds or creates the entry with this name. NULL: the name is not one that ipq uses, or there is no memory. */
static struct ipq_chain *chain_entry(struct chains *c, enum firewall_kind kind, const char *name, int *helper)
{
	struct ipq_chain new = { .kind = kind }, *grown;

	if (!parse_name(name, kind == FIREWALL_NFT ? '_' : '-', &new, helper))
		return NULL;
	for (size_t i = 0; i < c->count; i++)
		if (c->chain[i].kind == kind && strcmp(c->chain[i].name, new.name) == 0)
			return &c->chain[i];
	grown = realloc(c->chain, (c->count + 1) * sizeof(*grown));
	if (grown == NULL)
		return NULL;
	c->chain = grown;
	c->chain[c->count] = new;
	return &c->chain[c->count++];
}

/* ---- iptables-save ------------------------------------------------------------------------------- */

static int hook_of(const char *name)
{
	for (int h = 0; h < HOOKS; h++)
		if (strcmp(hook_names[h], name) == 0)
			return h;
	return -1;
}

/* The counters of a rule, as the option "-c" shows them. */
struct counted {
	unsigned long long packets, bytes;
};

/* Reads a rule in a chain of ipq. */
static void read_own_rule(struct ipq_chain *c, const char *rule, const struct counted *counted)
{
	const char *mark = strstr(rule, "-m mark --mark "), *end = rule + strlen(rule);
	const char *balance = strstr(rule, " --queue-balance ");
	uint16_t first, last;
	struct mark m;

	c->rules++;
	c->targets += strstr(rule, " -j NFQUEUE ") != NULL || strstr(rule, " -j NFLOG ") != NULL;
	c->bypass |= strstr(rule, " --queue-bypass") != NULL;
	if (balance != NULL && sscanf(balance, " --queue-balance %" SCNu16 ":%" SCNu16, &first, &last) == 2)
		c->last = last;
	if (mark == NULL && strstr(rule, "-m connmark --mark ") != NULL && end - rule > 6 &&
	    strcmp(end - 6, "RETURN") == 0) {
		c->packets += counted->packets;
		c->bytes += counted->bytes;
	}
	if (mark == NULL || sscanf(mark, "-m mark --mark %x/%x", &m.mark, &m.mask) != 2)
		return;
	if (strstr(mark, " -g ") != NULL && end - rule > 5 && strcmp(end - 5, "-done") == 0)
		c->mark = m;
	else if (strstr(mark, " -g ") != NULL)
		c->flows = true;
	else if (c->known_count < KNOWN_MAX)
		c->known[c->known_count++] = m;
}

/*
 * Whether this rule may give a packet another mark. "--save-mark" does not: it copies the mark to the connection
 * only.
 */
static bool changes_mark(const char *rule)
{
	return strstr(rule, " -j MARK ") != NULL ||
	       (strstr(rule, " -j CONNMARK ") != NULL && strstr(rule, "--restore-mark") != NULL);
}

/* The state during the reading of one table. */
struct reading {
	struct chains *c;
	enum firewall_kind kind;
	const char *text;
	unsigned place[HOOKS];	 /* number of rules of each hook so far */
	unsigned foreign[HOOKS]; /* for each hook, the first rule that jumps to a chain of another program */
	bool foreign_marks;	 /* a rule in such a chain changes marks */
};

static bool is_chain(const struct reading *r, const char *target)
{
	char declaration[72];

	snprintf(declaration, sizeof(declaration), "\n:%s ", target);
	return strstr(r->text, declaration) != NULL;
}

static void read_hook_rule(struct reading *r, int hook, const char *line)
{
	const char *jump = strstr(line, " -j ") != NULL ? strstr(line, " -j ") : strstr(line, " -g ");
	char target[64] = "", only[80];
	struct ipq_chain *chain;
	int helper;

	r->place[hook]++;
	if (jump == NULL || sscanf(jump + 4, "%63s", target) != 1)
		return;
	chain = chain_entry(r->c, r->kind, target, &helper);
	if (chain != NULL && helper == NO_HELPER) {
		snprintf(only, sizeof(only), "-A %s -j %s", hook_names[hook], target);
		chain->hooks |= 1U << hook;
		chain->jumps[hook] += strcmp(line, only) == 0;
		if (chain->at[hook] == 0)
			chain->at[hook] = r->place[hook];
	} else if (changes_mark(line) && r->c->marks_at[r->kind][hook] == 0) {
		r->c->marks_at[r->kind][hook] = r->place[hook];
	} else if (r->foreign[hook] == 0 && is_chain(r, target)) {
		r->foreign[hook] = r->place[hook];
	}
}

static void read_line(struct reading *r, const char *line)
{
	struct counted counted = { .packets = 0 };
	struct ipq_chain *chain;
	int helper;
	char name[64];
	int hook;

	if (sscanf(line, ":%63s", name) == 1) {
		chain = chain_entry(r->c, r->kind, name, &helper);
		if (chain != NULL && helper == NO_HELPER)
			chain->exists = true;
		else if (chain != NULL)
			chain->helpers |= 1U << helper;
		return;
	}
	if (sscanf(line, "[%llu:%llu]", &counted.packets, &counted.bytes) == 2)
		line += strcspn(line, " ") + 1;
	if (sscanf(line, "-A %63s", name) != 1)
		return;
	hook = hook_of(name);
	chain = hook < 0 ? chain_entry(r->c, r->kind, name, &helper) : NULL;
	if (hook >= 0)
		read_hook_rule(r, hook, line);
	else if (chain == NULL)
		r->foreign_marks |= changes_mark(line);
	else if (helper == NO_HELPER)
		read_own_rule(chain, line, &counted);
}

int chains_parse_save(struct chains *c, enum firewall_kind kind, const char *text)
{
	struct reading r = { .c = c, .kind = kind, .text = text };
	char *copy = strdup(text), *save = NULL;

	if (copy == NULL)
		return -ENOMEM;
	for (char *line = strtok_r(copy, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save))
		read_line(&r, line);
	free(copy);
	for (int h = 0; h < HOOKS && r.foreign_marks; h++)
		if (r.foreign[h] != 0 && (c->marks_at[kind][h] == 0 || r.foreign[h] < c->marks_at[kind][h]))
			c->marks_at[kind][h] = r.foreign[h];
	return 0;
}

/* ---- nftables ------------------------------------------------------------------------------------ */

/* Reads a statement that queues or logs, at the beginning of a line: "queue flags bypass to 5-8". */
static void read_targets(struct ipq_chain *c, const char *text)
{
	for (; *text != '\0'; text += strcspn(text, "\n"), text += *text == '\n') {
		uint16_t last;

		text += strspn(text, " \t");
		if (strncmp(text, "queue ", 6) != 0 && strncmp(text, "log ", 4) != 0)
			continue;
		c->targets++;
		if (sscanf(text + strcspn(text, "0123456789\n"), "%*u-%" SCNu16, &last) == 1)
			c->last = last;
	}
}

/* Reads the hooks of a table of ipq, and whether it has bypass. */
static void read_table(struct ipq_chain *c)
{
	const char *const argv[] = { "nft", "list", "table", "inet", c->name, NULL };
	char *text, name[16], hook[32];

	c->unread = subprocess_run(argv, &text) != 0;
	if (c->unread)
		return;
	for (unsigned h = 0; text != NULL && h < HOOKS; h++) {
		snprintf(hook, sizeof(hook), " hook %s ", hook_lower(h, name));
		if (strstr(text, hook) != NULL)
			c->hooks |= 1U << h;
	}
	c->bypass = text != NULL && strstr(text, "bypass") != NULL;
	if (text != NULL)
		read_targets(c, text);
	for (const char *at = text; at != NULL && (at = strstr(at, "counter packets ")) != NULL; at++) {
		struct counted counted;
		char verdict[16];

		c->flows = true;
		if (sscanf(at, "counter packets %llu bytes %llu %15s", &counted.packets, &counted.bytes,
			   verdict) == 3 &&
		    strcmp(verdict, "accept") == 0) {
			c->packets += counted.packets;
			c->bytes += counted.bytes;
		}
	}
	free(text);
}

static void read_nft(struct chains *c, const char *text)
{
	char name[64];
	int helper;

	for (const char *at = text; (at = strstr(at, "table inet ")) != NULL; at++) {
		struct ipq_chain *chain;

		if (sscanf(at, "table inet %63s", name) != 1)
			continue;
		chain = chain_entry(c, FIREWALL_NFT, name, &helper);
		if (chain == NULL || helper != NO_HELPER)
			continue;
		chain->exists = true;
		read_table(chain);
	}
}

/* ---- reading ------------------------------------------------------------------------------------- */

/*
 * Whether the legacy table mangle is missing in the kernel's list. Then iptables-legacy-save is not run, because it
 * would create the table.
 */
static bool without_legacy_mangle(enum firewall_kind kind)
{
	FILE *f = fopen(kind == FIREWALL_IPTABLES_LEGACY ? "/proc/net/ip_tables_names"
							 : "/proc/net/ip6_tables_names",
			"re");
	char line[64];
	bool found = false;

	if (f == NULL)
		return errno == ENOENT; /* EACCES: the process is in a user namespace */
	while (!found && fgets(line, sizeof(line), f) != NULL)
		found = strcmp(line, "mangle\n") == 0;
	fclose(f);
	return !found;
}

static void read_kind(struct chains *c, enum firewall_kind kind)
{
	const char *const nft[] = { "nft", "list", "tables", "inet", NULL };
	char save[48], *text = NULL;
	const char *const iptables[] = { save, "-c", "-t", "mangle", NULL };
	int status;

	if (kind <= FIREWALL_IP6TABLES_LEGACY && without_legacy_mangle(kind))
		return;
	snprintf(save, sizeof(save), "%s-save", firewall_tool(kind));
	status = subprocess_run(kind == FIREWALL_NFT ? nft : iptables, &text);
	if (status == 0 && text != NULL && kind == FIREWALL_NFT)
		read_nft(c, text);
	else if (status == 0 && text != NULL)
		status = chains_parse_save(c, kind, text);
	if (status != 0 && status != -ENOENT)
		c->unread |= 1U << kind;
	free(text);
}

int chains_read(struct chains *c, unsigned kinds)
{
	*c = (struct chains){ .chain = NULL };
	for (enum firewall_kind kind = 0; kind < FIREWALL_KINDS; kind++)
		if ((kinds & 1U << kind) != 0)
			read_kind(c, kind);
	for (size_t i = 0; i < c->count; i++)
		c->chain[i].alive =
			c->chain[i].unread ? -EIO : probe_number(c->chain[i].log, c->chain[i].number);
	return 0;
}

void chains_free(struct chains *c)
{
	free(c->chain);
	*c = (struct chains){ .chain = NULL };
}

bool chain_blocks(const struct ipq_chain *c)
{
	return !c->log && !c->bypass && c->hooks != 0 && c->targets > 0;
}

const char *chain_describe(const struct ipq_chain *c, char *to, size_t room)
{
	if (c->kind == FIREWALL_NFT)
		snprintf(to, room, "nft table inet %s", c->name);
	else
		snprintf(to, room, "%s -t mangle chain %s", firewall_tool(c->kind), c->name);
	return to;
}

const char *hooks_describe(unsigned hooks, char *to, size_t room)
{
	size_t used = 0;

	to[0] = '\0';
	for (unsigned h = 0; h < HOOKS && used < room; h++)
		if ((hooks & 1U << h) != 0)
			used += (size_t)snprintf(to + used, room - used, "%s%s", used > 0 ? ", " : "",
						 hook_names[h]);
	return to;
}

/* ---- changing ------------------------------------------------------------------------------------ */

static void nft_removal(const struct ipq_chain *c, unsigned hooks, FILE *script)
{
	char chain[16];

	if ((c->hooks & ~hooks) == 0) {
		fprintf(script, "delete table inet %s\n", c->name);
		return;
	}
	for (unsigned h = 0; h < HOOKS; h++)
		if ((c->hooks & hooks & 1U << h) != 0)
			fprintf(script, "flush chain inet %s %s\ndelete chain inet %s %s\n", c->name,
				hook_lower(h, chain), c->name, chain);
}

void chain_removal(const struct ipq_chain *c, unsigned hooks, FILE *script)
{
	if (c->kind == FIREWALL_NFT) {
		nft_removal(c, hooks, script);
		return;
	}
	for (unsigned h = 0; h < HOOKS; h++)
		for (unsigned n = 0; (c->hooks & hooks & 1U << h) != 0 && n < c->jumps[h]; n++)
			fprintf(script, "-D %s -j %s\n", hook_names[h], c->name);
	if ((c->hooks & ~hooks) != 0)
		return;
	/* Empty all chains first, because they refer to one another. */
	for (const char *flag = "FX"; *flag != '\0'; flag++) {
		if (c->exists)
			fprintf(script, "-%c %s\n", *flag, c->name);
		for (unsigned i = 0; i < HELPERS; i++)
			if ((c->helpers & 1U << i) != 0)
				fprintf(script, "-%c %s-%s\n", *flag, c->name, chain_helpers[i]);
	}
}

/* The remedy for this error of a tool: the process needs a privilege, or a package must be installed. */
static const char *remedy(const char *text)
{
	return strcasestr(text, "permi") != NULL ? "run as root, or in a namespace of your own: unshare -Urn"
						 : "\"ipq doctor\" shows what is missing";
}

static bool is_locked(const char *text)
{
	return strstr(text, "xtables lock") != NULL || strstr(text, "temporarily unavailable") != NULL;
}

bool firewall_failed_by_chance(int err)
{
	return err == -EAGAIN || err == -ECANCELED || err == -ETIMEDOUT || err == -EINTR;
}

/*
 * Runs the tool once. 0 or -errno. -EAGAIN: another program held the lock for this number of seconds; -ECANCELED:
 * the tool was killed; -ETIMEDOUT: it took too long; -EINTR: see interrupt.h.
 */
static int apply_once(enum firewall_kind kind, const char *script, int seconds, int hold, struct ipq_error *e)
{
	char tool[48], wait[16], text[512];
	const char *const nft[] = { "nft", "-f", "-", NULL }, *const iptables[] = { tool, "-w", wait,
										    "--noflush", NULL };
	struct subprocess p = { .argv = kind == FIREWALL_NFT ? nft : iptables,
				.input = script,
				.error = text,
				.error_size = sizeof(text),
				.timeout_ms = 30000,
				.hold = hold };
	int status;

	snprintf(tool, sizeof(tool), "%s-restore", firewall_tool(kind));
	snprintf(wait, sizeof(wait), "%d", seconds);
	status = subprocess_exec(&p);
	if (status == 0)
		return 0;
	if (status == -EINTR)
		return ipq_fail(e, EINTR, "interrupted by a signal");
	text[strcspn(text, "\n")] = '\0';
	if (status > 128)
		return ipq_fail(e, ECANCELED, "%s: killed by signal %d", p.argv[0], status - 128);
	if (text[0] == '\0')
		snprintf(text, sizeof(text), "%s: %s", p.argv[0], status < 0 ? strerror(-status) : "failed");
	if (is_locked(text))
		return ipq_fail(e, EAGAIN, "%s", text);
	ipq_fail(e, EIO, "%s; %s", text, remedy(text));
	return status < 0 ? status : -EIO;
}

static int apply_text(enum firewall_kind kind, const char *script, int wait_ms, const char *who, int hold,
		      struct ipq_error *e)
{
	char *whole = NULL;
	int64_t end = now_ms() + wait_ms, left;
	bool noted = false;
	int err;

	if (kind == FIREWALL_NFT)
		return apply_once(kind, script, 0, hold, e);
	if (asprintf(&whole, "*mangle\n%sCOMMIT\n", script) < 0)
		return ipq_fail(e, ENOMEM, "out of memory");
	/*
	 * Other programs need the lock for less than a second. If it takes longer, the reason for the wait is
	 * reported.
	 */
	err = apply_once(kind, whole, 1, hold, e);
	while (err == -EAGAIN && (left = end - now_ms()) > 0) {
		if (!noted && who != NULL)
			text_complain(
				who,
				"another program holds the xtables lock: waiting %d s at most, or until a "
				"signal",
				wait_ms / 1000);
		noted = true;
		err = apply_once(kind, whole, left < 5000 ? (int)(left + 999) / 1000 : 5, hold, e);
	}
	free(whole);
	return err;
}

bool firewall_script_open(struct firewall_script *s)
{
	s->text = NULL;
	s->file = open_memstream(&s->text, &s->size);
	return s->file != NULL;
}

int firewall_apply(enum firewall_kind kind, struct firewall_script *s, int wait_ms, const char *who, int hold,
		   struct ipq_error *e)
{
	int err = -ENOMEM;

	if (s->file != NULL && fclose(s->file) == 0)
		err = apply_text(kind, s->text, wait_ms, who, hold, e);
	free(s->text);
	return err == -ENOMEM ? ipq_fail(e, ENOMEM, "out of memory") : err;
}

int chain_remove(const struct ipq_chain *c, unsigned hooks, int wait_ms, const char *who, int hold,
		 struct ipq_error *e)
{
	struct firewall_script s;

	if (firewall_script_open(&s))
		chain_removal(c, hooks, s.file);
	return firewall_apply(c->kind, &s, wait_ms, who, hold, e);
}

int firewall_lock(const char *who, struct ipq_error *e)
{
	const struct timespec pause = { .tv_nsec = 10000000 };
	int64_t began = now_ms();
	bool noted = false;
	int fd;

	for (;;) {
		fd = probe_bind(false, LOCK_NUMBER);
		if (fd < 0 && fd != -EBUSY) /* this kernel has no queues */
			fd = probe_bind(true, LOCK_NUMBER);
		if (fd != -EBUSY)
			break;
		if (interrupt_pending())
			return ipq_fail(e, EINTR, "interrupted by a signal");
		if (now_ms() - began > LOCK_WAIT_MS)
			return ipq_fail(e, EBUSY,
					"another ipq process has been changing its rules for %d s (it holds "
					"queue %d)",
					LOCK_WAIT_MS / 1000, LOCK_NUMBER);
		if (!noted && now_ms() - began > 1000)
			text_complain(who, "waiting for another ipq process that changes its rules, or for a "
					   "signal");
		noted |= now_ms() - began > 1000;
		nanosleep(&pause, NULL);
	}
	if (fd == -EPERM)
		return ipq_fail(e, EPERM,
				"this needs CAP_NET_ADMIN over this network namespace: run as root, or in a "
				"namespace of "
				"your own: unshare -Urn");
	return fd >= 0 ? fd
		       : ipq_fail(e, -fd, "cannot take the lock for rule changes (queue %d): %s", LOCK_NUMBER,
				  strerror(-fd));
}
