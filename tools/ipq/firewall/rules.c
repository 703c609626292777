/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Theory of operation. Nothing of ours may outlive us, however we end. Two ways lead there.
 *
 * nftables: a table with the flag "owner" lives as long as the netlink socket that made it. That socket
 * belongs to a child, "nft -i", which reads commands from a pipe of ours: when we end, it reads the end of
 * the pipe, ends too, and the kernel removes the table.
 *
 * iptables has no owner. All rules stand in one chain of our own, in the table mangle, whose name says
 * who made it: ipq-PID-STARTTIME. The hooks only jump there. A guardian, forked before there is such a
 * chain, waits for the end of a pipe from us and then removes jumps and chain, unless we said that we
 * did. The tools that we run hold our end of the pipe, too: one that is still at work when we are killed
 * ends first. Should the guardian be killed as well, the next rules_open finds a chain whose process is gone
 * (or is another one, with another start time) and whose queue nobody has bound, and removes it.
 * Guardians never see a packet, and keep the rights that the tools need and no others.
 *
 * The table is mangle because a packet that user space accepts skips the rest of the table it was queued
 * from: the firewall's own rules, in filter, still decide after us.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include "common/privileges.h"
#include "firewall/rules.h"
#include "firewall/rules_exec.h"

#define FIRST_QUEUE 61000 /* far from the numbers that people type */
#define BPF_MATCH_MAX 64  /* instructions that xt_bpf takes */
#define QUEUES_FILE "/proc/net/netfilter/nfnetlink_queue"
#define REMEDY "run as root, or in a namespace of your own: unshare -Urn"

static const char *const hook_names[] = { "PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING" };
#define HOOKS (sizeof(hook_names) / sizeof(hook_names[0]))
#define FAMILIES 2

struct rules {
	unsigned hooks; /* bit i: hook_names[i] */
	uint16_t queue_first, queue_last;
	bool bypass, dry;
	bool no_match;	 /* there is no bpf match here */
	bool unfiltered; /* so, or a filter is too long for it: all packets cross */
	enum rules_via via;
	char name[48]; /* of our chain or table */
	const struct bpf_program *filter;
	size_t filters;

	char tool[FAMILIES][24]; /* iptables; "" when it cannot be used */
	bool chain[FAMILIES];	 /* our chain exists */
	pid_t guardian;
	int guardian_fd;

	pid_t nft;
	int nft_fd;
};

/* ---- who is alive -------------------------------------------------------------------------------- */

/* Field 22 of /proc/PID/stat, counted behind the command's name, which may hold anything. 0: no such one. */
static unsigned long long start_time(long pid)
{
	unsigned long long value = 0;
	char path[64], line[1024], *at;
	size_t n = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%ld/stat", pid);
	f = fopen(path, "re");
	if (f == NULL)
		return 0;
	n = fread(line, 1, sizeof(line) - 1, f);
	fclose(f);
	line[n] = '\0';
	at = strrchr(line, ')');
	for (int field = 2; at != NULL && field < 22; field++)
		at = strchr(at + 1, ' ');
	if (at != NULL)
		sscanf(at + 1, "%llu", &value);
	return value;
}

static bool queue_bound(unsigned number)
{
	char line[256];
	bool found = false;
	unsigned n;
	FILE *f = fopen(QUEUES_FILE, "re");

	if (f == NULL)
		return false;
	while (!found && fgets(line, sizeof(line), f) != NULL)
		found = sscanf(line, "%u", &n) == 1 && n == number;
	fclose(f);
	return found;
}

int rules_pick_queue(unsigned count, uint16_t *first, struct ipq_error *e)
{
	unsigned free_run = 0;

	for (unsigned n = FIRST_QUEUE; n <= 65535; n++) {
		free_run = queue_bound(n) ? 0 : free_run + 1;
		if (free_run == count) {
			*first = (uint16_t)(n + 1 - count);
			return 0;
		}
	}
	return ipq_fail(e, EBUSY, "no %u free queue numbers from %d on: name some with --queue", count,
			FIRST_QUEUE);
}

/* ---- iptables ------------------------------------------------------------------------------------ */

static void begin(struct argv_builder *w, const struct rules *r, int family)
{
	w->lifeline = r->guardian_fd;
	argv_add(w, "%s", r->tool[family]);
	argv_add_list(w, "-w 5 -t mangle");
}

/* Are we not allowed to, or is something missing? */
static const char *remedy(const char *said)
{
	return strcasestr(said, "permi") != NULL ? REMEDY : "\"ipq doctor\" looks for what is missing";
}

/* Runs and frees. An error's first line goes to *e. */
static int finish(struct argv_builder *w, struct ipq_error *e)
{
	char said[512] = "";
	int err = w->failed;

	if (err == 0)
		err = exec_run(w->word, w->lifeline, NULL, NULL, 0, said, sizeof(said));
	if (err != 0) {
		said[strcspn(said, "\n")] = '\0';
		if (said[0] == '\0')
			snprintf(said, sizeof(said), "iptables: %s", err < 0 ? strerror(-err) : "failed");
		ipq_fail(e, EIO, "%s; %s", said, remedy(said));
		err = err < 0 ? err : -EIO;
	}
	argv_free(w);
	return err;
}

static void chain_command(struct argv_builder *w, const struct rules *r, int family, const char *option,
			  const char *name)
{
	begin(w, r, family);
	argv_add(w, "%s", option);
	argv_add(w, "%s", name);
}

static void jump_command(struct argv_builder *w, const struct rules *r, int family, unsigned hook, bool add,
			 const char *name)
{
	begin(w, r, family);
	argv_add_list(w, add ? "-I" : "-D");
	argv_add(w, "%s", hook_names[hook]);
	argv_add_list(w, "-j");
	argv_add(w, "%s", name);
}

static void bytecode_word(struct argv_builder *w, const struct bpf_program *p)
{
	char text[BPF_MATCH_MAX * 40 + 16];
	int n = snprintf(text, sizeof(text), "%u", p->bf_len);

	for (unsigned i = 0; i < p->bf_len; i++)
		n += snprintf(text + n, sizeof(text) - (size_t)n, ",%u %u %u %u", p->bf_insns[i].code,
			      p->bf_insns[i].jt, p->bf_insns[i].jf, p->bf_insns[i].k);
	argv_add(w, "%s", text);
}

static void queue_command(struct argv_builder *w, const struct rules *r, int family, size_t filter)
{
	chain_command(w, r, family, "-A", r->name);
	if (!r->unfiltered && r->filters > 0) {
		argv_add_list(w, "-m bpf --bytecode");
		bytecode_word(w, &r->filter[filter]);
	}
	argv_add_list(w, "-j NFQUEUE");
	if (r->queue_first == r->queue_last) {
		argv_add_list(w, "--queue-num");
		argv_add(w, "%u", r->queue_first);
	} else {
		argv_add_list(w, "--queue-balance");
		argv_add(w, "%u:%u", r->queue_first, r->queue_last);
	}
	if (r->bypass)
		argv_add_list(w, "--queue-bypass");
}

static size_t queue_commands(const struct rules *r)
{
	return r->unfiltered || r->filters == 0 ? 1 : r->filters;
}

static void set_filters(struct rules *r, const struct bpf_program *filter, size_t filters)
{
	r->filter = filter;
	r->filters = filters;
	r->unfiltered = r->no_match && filters > 0;
	for (size_t i = 0; i < filters; i++)
		r->unfiltered |= filter[i].bf_len > BPF_MATCH_MAX;
}

static int fill_chain(struct rules *r, int family, struct ipq_error *e)
{
	for (size_t i = 0; i < queue_commands(r); i++) {
		struct argv_builder w = { .word = NULL };
		int err;

		queue_command(&w, r, family, i);
		err = finish(&w, e);
		if (err < 0)
			return err;
	}
	return 0;
}

/* Takes down a chain and the jumps to it. Every step is tried: what isn't there can't be removed. The last
 * one tells: a chain that is still jumped to stays. */
static bool remove_chain(const struct rules *r, int family, const char *name, unsigned hooks)
{
	struct argv_builder w = { .word = NULL };

	for (unsigned h = 0; h < HOOKS; h++) {
		if ((hooks & 1U << h) == 0)
			continue;
		jump_command(&w, r, family, h, false, name);
		finish(&w, NULL);
	}
	chain_command(&w, r, family, "-F", name);
	finish(&w, NULL);
	chain_command(&w, r, family, "-X", name);
	return finish(&w, NULL) == 0;
}

/* Is the maker of this chain gone? `listing` is all that "iptables -S" prints. */
static bool is_stale(const char *listing, const char *name)
{
	char prefix[64];
	unsigned long long start;
	const char *at;
	unsigned queue;
	long pid;

	if (sscanf(name, "ipq-%ld-%llu", &pid, &start) != 2 || start_time(pid) == start)
		return false;
	/* Alive in another PID namespace? Then it has its queue bound. */
	snprintf(prefix, sizeof(prefix), "-A %s ", name);
	for (at = strstr(listing, prefix); at != NULL; at = strstr(at + 1, prefix)) {
		const char *num = strstr(at, "--queue-num "), *balance = strstr(at, "--queue-balance "),
			   *end = strchr(at, '\n');

		if (num != NULL && (end == NULL || num < end) && sscanf(num, "--queue-num %u", &queue) == 1 &&
		    queue_bound(queue))
			return false;
		if (balance != NULL && (end == NULL || balance < end) &&
		    sscanf(balance, "--queue-balance %u", &queue) == 1 && queue_bound(queue))
			return false;
	}
	return true;
}

static unsigned hooks_that_jump(const char *listing, const char *name)
{
	unsigned hooks = 0;
	char line[96];

	for (unsigned h = 0; h < HOOKS; h++) {
		snprintf(line, sizeof(line), "-A %s -j %s\n", hook_names[h], name);
		if (strstr(listing, line) != NULL)
			hooks |= 1U << h;
	}
	return hooks;
}

/* Removes what killed processes left. */
static void sweep(const struct rules *r, int family)
{
	const size_t room = 1 << 20;
	struct argv_builder w = { .word = NULL };
	char *listing = malloc(room);
	const char *at;

	begin(&w, r, family);
	argv_add_list(&w, "-S");
	if (listing == NULL || w.failed != 0 || exec_run(w.word, -1, NULL, listing, room, NULL, 0) != 0)
		goto out;
	for (at = strstr(listing, "-N ipq-"); at != NULL; at = strstr(at + 1, "-N ipq-")) {
		char name[48];

		snprintf(name, sizeof(name), "%.*s", (int)strcspn(at + 3, " \n"), at + 3);
		if (is_stale(listing, name))
			remove_chain(r, family, name, hooks_that_jump(listing, name));
	}
out:
	argv_free(&w);
	free(listing);
}

/* Makes and fills our chain with one of the system's tools. The kernel says whether it can. */
static int prepare_family(struct rules *r, int family, struct ipq_error *e)
{
	struct argv_builder w = { .word = NULL };
	int err;

	sweep(r, family);
	chain_command(&w, r, family, "-N", r->name);
	err = finish(&w, e);
	if (err < 0)
		return err;
	r->chain[family] = true;
	err = fill_chain(r, family, e);
	if (err < 0 && !r->unfiltered && r->filters > 0) {
		/* No bpf match here: all packets cross, and user space filters. */
		chain_command(&w, r, family, "-F", r->name);
		finish(&w, NULL);
		r->no_match = r->unfiltered = true;
		err = fill_chain(r, family, e);
	}
	if (err < 0) {
		remove_chain(r, family, r->name, 0);
		r->chain[family] = false;
	}
	return err;
}

static const char *const variants[] = { "", "-legacy", "-nft" };
#define VARIANTS (sizeof(variants) / sizeof(variants[0]))

static void name_tools(struct rules *r, size_t variant)
{
	snprintf(r->tool[0], sizeof(r->tool[0]), "iptables%s", variants[variant]);
	snprintf(r->tool[1], sizeof(r->tool[1]), "ip6tables%s", variants[variant]);
}

static int prepare_iptables(struct rules *r, struct ipq_error *e)
{
	struct ipq_error first = { .text = "" }, *where = e;
	int err = -ENOENT;

	for (size_t i = 0; i < VARIANTS && err < 0; i++) {
		name_tools(r, i);
		if (r->dry)
			return 0;
		err = prepare_family(r, 0, where);
		where = &first; /* the error of the tool that people have is the one to show */
	}
	if (err < 0)
		return err;
	/* A kernel without IPv6 has no IPv6 packets to queue. */
	if (prepare_family(r, 1, NULL) < 0)
		r->tool[1][0] = '\0';
	return 0;
}

/* ---- the guardian -------------------------------------------------------------------------------- */

static bool remove_all(const struct rules *r)
{
	bool removed = true;

	for (int family = 0; family < FAMILIES; family++)
		if (r->chain[family])
			removed &= remove_chain(r, family, r->name, r->hooks);
	return removed;
}

/* With whatever tool it was made: the guardian is older than the choice. */
static void remove_everywhere(struct rules *r)
{
	for (size_t i = 0; i < VARIANTS; i++) {
		name_tools(r, i);
		for (int family = 0; family < FAMILIES; family++)
			remove_chain(r, family, r->name, r->hooks);
	}
}

static void guard(struct rules *r, int fd)
{
	int null = open("/dev/null", O_RDWR);
	sigset_t all;
	char done;

	/* Holds nothing of the parent's: neither its terminal nor a pipe that somebody waits on. */
	setsid();
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	for (int i = 0; null >= 0 && i < 3; i++)
		dup2(null, i);
	if (fd != 3)
		dup2(fd, 3);
	close_range(4, ~0U, 0);
	privileges_keep(PRIVILEGE(CAP_NET_ADMIN) | PRIVILEGE(CAP_NET_RAW));
	if (read(3, &done, 1) == 0)
		remove_everywhere(r);
	_exit(0);
}

static int start_guardian(struct rules *r)
{
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
		return -errno;
	r->guardian = fork();
	if (r->guardian == 0) {
		close(fds[1]);
		guard(r, fds[0]);
	}
	close(fds[0]);
	if (r->guardian < 0) {
		close(fds[1]);
		return -errno;
	}
	r->guardian_fd = fds[1];
	return 0;
}

/* ---- nftables ------------------------------------------------------------------------------------ */

/* One line, so that it is one transaction. */
static void nft_script(const struct rules *r, char *text, size_t room)
{
	int n = snprintf(text, room, "table inet %s { flags owner; ", r->name);
	char range[16];

	if (r->queue_first == r->queue_last)
		snprintf(range, sizeof(range), "%u", r->queue_first);
	else
		snprintf(range, sizeof(range), "%u-%u", r->queue_first, r->queue_last);
	for (unsigned h = 0; h < HOOKS; h++) {
		char hook[16] = "";

		if ((r->hooks & 1U << h) == 0)
			continue;
		for (size_t i = 0; hook_names[h][i] != '\0'; i++)
			hook[i] = (char)tolower((unsigned char)hook_names[h][i]);
		n += snprintf(text + n, room - (size_t)n,
			      "chain %s { type filter hook %s priority -150; queue num %s%s; }; ", hook, hook,
			      range, r->bypass ? " bypass" : "");
	}
	snprintf(text + n, room - (size_t)n, "}\n");
}

/* Would the kernel take our table? The whole transaction is sent, for a check only. */
static int prepare_nftables(struct rules *r, struct ipq_error *e)
{
	static const char *const check[] = { "nft", "-c", "-f", "-", NULL };
	char script[1024], said[512] = "";
	int err;

	nft_script(r, script, sizeof(script));
	err = exec_run((char *const *)check, -1, script, NULL, 0, said, sizeof(said));
	said[strcspn(said, "\n")] = '\0';
	if (err < 0)
		return ipq_fail(e, -err, "nft does not start: %s", strerror(-err));
	if (err > 0)
		return ipq_fail(e, EOPNOTSUPP, "this kernel does not queue from nftables (%s); %s",
				said[0] != '\0' ? said : "nft failed", remedy(said));
	r->unfiltered = r->filters > 0;
	return 0;
}

static int install_nftables(struct rules *r, struct ipq_error *e)
{
	static const char *const shell[] = { "nft", "-i", NULL };
	const char *const list[] = { "nft", "list", "table", "inet", r->name, NULL };
	const struct timespec pause = { .tv_nsec = 20000000 };
	char script[1024];
	int err = exec_start((char *const *)shell, &r->nft, &r->nft_fd);

	if (err < 0)
		return ipq_fail(e, -err, "nft does not start: %s", strerror(-err));
	nft_script(r, script, sizeof(script));
	if (send(r->nft_fd, script, strlen(script), MSG_NOSIGNAL) < 0)
		return ipq_fail(e, errno, "nft ended early: %s", strerror(errno));
	for (int i = 0; i < 150; i++) {
		if (exec_run((char *const *)list, -1, NULL, NULL, 0, NULL, 0) == 0)
			return 0;
		nanosleep(&pause, NULL);
	}
	return ipq_fail(e, EIO, "nft did not set the table inet %s; try --via iptables", r->name);
}

/* ---- the calls ----------------------------------------------------------------------------------- */

static int parse_hooks(const char *on, unsigned *hooks, struct ipq_error *e)
{
	*hooks = 0;
	for (const char *at = on; *at != '\0';) {
		size_t len = strcspn(at, ",|"), h;

		for (h = 0; h < HOOKS; h++)
			if (strlen(hook_names[h]) == len && strncasecmp(hook_names[h], at, len) == 0)
				break;
		if (h == HOOKS)
			return ipq_fail(e, EINVAL,
					"\"%.*s\" is no hook: PREROUTING, INPUT, FORWARD, OUTPUT and "
					"POSTROUTING are, with commas between",
					(int)len, at);
		*hooks |= 1U << h;
		at += len;
		at += *at != '\0';
	}
	return *hooks != 0 ? 0 : ipq_fail(e, EINVAL, "name a hook, as in: --on INPUT");
}

static void name_table(struct rules *r, char separator)
{
	snprintf(r->name, sizeof(r->name), "ipq%c%ld%c%llu", separator, (long)getpid(), separator,
		 start_time(getpid()));
}

static int prepare(struct rules *r, enum rules_via via, struct ipq_error *e)
{
	int err = -EOPNOTSUPP;

	if (via != RULES_IPTABLES) {
		name_table(r, '_');
		r->via = RULES_NFTABLES;
		err = prepare_nftables(r, e);
		if (err == 0 || via == RULES_NFTABLES)
			return err;
	}
	name_table(r, '-');
	r->via = RULES_IPTABLES;
	set_filters(r, r->filter, r->filters);
	err = r->dry ? 0 : start_guardian(r);
	return err < 0 ? err : prepare_iptables(r, e);
}

int rules_open(struct rules **rules, const struct rules_options *options, struct ipq_error *e)
{
	struct rules *r = calloc(1, sizeof(*r));
	int err;

	*rules = NULL;
	if (r == NULL)
		return ipq_fail(e, ENOMEM, "out of memory");
	r->queue_first = options->queue_first;
	r->queue_last = options->queue_last;
	r->bypass = options->bypass;
	r->dry = options->dry;
	r->filter = options->filter;
	r->filters = options->filters;
	r->nft_fd = r->guardian_fd = -1;
	err = parse_hooks(options->on, &r->hooks, e);
	if (err == 0)
		err = prepare(r, options->via, e);
	if (err < 0)
		rules_close(r);
	else
		*rules = r;
	return err;
}

int rules_install(struct rules *r, struct ipq_error *e)
{
	if (r->via == RULES_NFTABLES)
		return install_nftables(r, e);
	for (int family = 0; family < FAMILIES; family++) {
		for (unsigned h = 0; r->chain[family] && h < HOOKS; h++) {
			struct argv_builder w = { .word = NULL };
			int err;

			if ((r->hooks & 1U << h) == 0)
				continue;
			jump_command(&w, r, family, h, true, r->name);
			err = finish(&w, e);
			if (err < 0)
				return err;
		}
	}
	return 0;
}

int rules_change(struct rules *r, const struct bpf_program *filter, size_t filters, struct ipq_error *e)
{
	size_t old = queue_commands(r);
	int err = 0;

	if (r->via == RULES_NFTABLES)
		return 0;
	set_filters(r, filter, filters);
	for (int family = 0; family < FAMILIES && err == 0; family++)
		if (r->chain[family])
			err = fill_chain(r, family, e);
	for (int family = 0; family < FAMILIES && err == 0; family++) {
		for (size_t i = 0; r->chain[family] && i < old && err == 0; i++) {
			struct argv_builder w = { .word = NULL };

			chain_command(&w, r, family, "-D", r->name);
			argv_add_list(&w, "1");
			err = finish(&w, e);
		}
	}
	return err;
}

void rules_close(struct rules *r)
{
	bool removed;

	if (r == NULL)
		return;
	if (r->nft_fd >= 0) {
		close(r->nft_fd);
		exec_reap(r->nft, 2000);
	}
	removed = remove_all(r);
	if (r->guardian_fd >= 0) {
		/* One byte: all is removed. Without it the guardian tries, who has more rights than we have
		 * left. */
		if (removed)
			send(r->guardian_fd, "", 1, MSG_NOSIGNAL);
		close(r->guardian_fd);
		exec_reap(r->guardian, 2000);
	}
	free(r);
}

static void print_family(const struct rules *r, int family, FILE *out)
{
	struct argv_builder w = { .word = NULL };

	chain_command(&w, r, family, "-N", r->name);
	argv_print(&w, out);
	argv_free(&w);
	for (size_t i = 0; i < queue_commands(r); i++) {
		queue_command(&w, r, family, i);
		argv_print(&w, out);
		argv_free(&w);
	}
	for (unsigned h = 0; h < HOOKS; h++) {
		if ((r->hooks & 1U << h) == 0)
			continue;
		jump_command(&w, r, family, h, true, r->name);
		argv_print(&w, out);
		argv_free(&w);
	}
}

void rules_print(const struct rules *r, FILE *out)
{
	char script[1024];

	if (r->via == RULES_NFTABLES) {
		nft_script(r, script, sizeof(script));
		script[strcspn(script, "\n")] = '\0';
		fprintf(out, "nft -i <<< '%s'\n", script);
		return;
	}
	for (int family = 0; family < FAMILIES; family++)
		if (r->tool[family][0] != '\0')
			print_family(r, family, out);
}
