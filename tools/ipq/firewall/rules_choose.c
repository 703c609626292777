/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Choices that rules.c makes before it changes anything: hooks, the kind of tables, the mark. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>
#include "common/subprocess.h"
#include "common/tool.h"
#include "firewall/rules_script.h"

int rules_parse_hooks(const char *on, unsigned *hooks, struct ipq_error *e)
{
	if (*on == '\0')
		return ipq_fail(e, EINVAL, "name a hook, as in: --on INPUT");
	while (*on != '\0') {
		size_t len = strcspn(on, ",|"), h;

		for (h = 0; h < HOOKS; h++)
			if (strlen(hook_names[h]) == len && strncasecmp(hook_names[h], on, len) == 0)
				break;
		if (h == HOOKS)
			return ipq_fail(e, EINVAL,
					"\"%.*s\" is not a hook: use PREROUTING, INPUT, FORWARD, OUTPUT or "
					"POSTROUTING, separated by commas",
					(int)len, on);
		*hooks |= 1U << h;
		on += len;
		on += *on != '\0';
	}
	return 0;
}

int rules_parse_mark_bits(const char *text, uint32_t *mask, struct ipq_error *e)
{
	char *end;
	unsigned long long value = strtoull(text, &end, 0), low;

	low = value & -value;
	if (!isdigit((unsigned char)*text) || *end != '\0' || value > UINT32_MAX || value == UINT32_MAX ||
	    value < 15 * low || value == 0 || ((value + low) & value) != 0)
		return ipq_fail(e, EINVAL, "--mark-bits takes 4 to 31 adjacent bits, as in --mark-bits 0x%x",
				RULES_MARK_BITS);
	*mask = (uint32_t)value;
	return 0;
}

static bool tool_exists(enum firewall_kind kind)
{
	char path[512];

	return tool_find(firewall_tool(kind), path, sizeof(path));
}

/* Whether plain "iptables" means the nft flavour. */
static bool prefers_nft_flavour(void)
{
	char *text = NULL;
	bool nft = subprocess_run_line("iptables -V", &text) == 0 && text != NULL &&
		   strstr(text, "nf_tables") != NULL;

	free(text);
	return nft;
}

/* Whether the kernel would accept our table: nft checks the complete transaction. */
static int check_nftables(struct rules *r, struct ipq_error *e)
{
	const char *const argv[] = { "nft", "-c", "-f", "-", NULL };
	char text[512], *script = NULL;
	size_t size;
	FILE *f = open_memstream(&script, &size);
	struct subprocess p = { .argv = argv, .error = text, .error_size = sizeof(text), .timeout_ms = 5000 };
	int status = -ENOMEM;

	if (f != NULL) {
		snprintf(r->name, sizeof(r->name), "ipq_check_%ld", (long)getpid());
		/* if only connection marks are missing, rules_install() will find that out */
		r->no_flows = r->no_hooks = true;
		script_chain(r, FIREWALL_NFT, f);
		r->no_flows = r->no_hooks = false;
		p.input = fclose(f) == 0 ? script : "";
		status = subprocess_exec(&p);
	}
	free(script);
	if (status == 0)
		return 0;
	text[strcspn(text, "\n")] = '\0';
	return ipq_fail(e, EOPNOTSUPP, "this kernel does not %s from nftables (%s); try --via iptables",
			r->options.kind == RULES_LOG ? "log" : "queue",
			status < 0	  ? strerror(-status)
			: text[0] != '\0' ? text
					  : "nft failed");
}

/* Adds the flavours of iptables, first the one that plain "iptables" means. */
static void add_iptables(struct rules *r)
{
	bool nft = prefers_nft_flavour();
	enum firewall_kind order[2] = { nft ? FIREWALL_IPTABLES_NFT : FIREWALL_IPTABLES_LEGACY,
					nft ? FIREWALL_IPTABLES_LEGACY : FIREWALL_IPTABLES_NFT };

	for (unsigned i = 0; i < 2; i++) {
		bool wanted = r->options.via == RULES_IPTABLES_LEGACY ? order[i] == FIREWALL_IPTABLES_LEGACY
			      : r->options.via == RULES_IPTABLES_NFT  ? order[i] == FIREWALL_IPTABLES_NFT
								      : i == 0 || tool_exists(order[i]);

		if (wanted)
			r->candidate[r->candidates++] = order[i];
	}
}

int rules_choose_kinds(struct rules *r, struct ipq_error *e)
{
	enum rules_via via = r->options.via;
	bool log = r->options.kind == RULES_LOG;
	bool nft = via == RULES_AUTO || via == RULES_NFTABLES;
	int err = nft ? check_nftables(r, e) : -EOPNOTSUPP;

	if (via == RULES_NFTABLES && err < 0)
		return err;
	nft = err == 0;
	/*
	 * nftables cannot select packets by a filter. Besides, removing its rules drops packets that wait in other
	 * queues.
	 */
	if (nft && !(via == RULES_AUTO && log))
		r->candidate[r->candidates++] = FIREWALL_NFT;
	if (via != RULES_NFTABLES && (!nft || log))
		add_iptables(r);
	if (nft && r->candidate[0] != FIREWALL_NFT)
		r->candidate[r->candidates++] = FIREWALL_NFT;
	return 0;
}

static bool marks_collide(struct mark a, struct mark b)
{
	return (a.mask & b.mask) != 0 && ((a.mark ^ b.mark) & a.mask & b.mask) == 0;
}

/*
 * Chooses a mark that no ipq chain uses, neither of a live nor of a dead process. Its lowest two bits are 0,
 * because the other values of these bits are ours, too. The search begins at a random mark, so that a mark which an
 * earlier run left in a connection is most likely not ours.
 */
int rules_choose_mark(struct rules *r, struct ipq_error *e)
{
	uint32_t mask = r->options.mark_bits, low = mask & -mask, count = mask / low / 4, start = 0;

	if (!r->options.dry && getrandom(&start, sizeof(start), 0) < 0)
		start = (uint32_t)getpid();
	for (uint32_t i = 0; i < count && i < 4 * KNOWN_MAX; i++) {
		struct mark m = { .mark = ((start + i) % count + 1) * 4 * low & mask, .mask = mask };
		struct mark all = { .mark = m.mark, .mask = mask & ~(3 * low) };
		bool taken = m.mark == 0;

		for (size_t c = 0; c < r->chains.count && !taken; c++)
			taken = marks_collide(all, r->chains.chain[c].mark);
		if (!taken) {
			r->mark = m;
			return 0;
		}
	}
	return ipq_fail(
		e, EBUSY,
		"all marks in the bits 0x%x are used by ipq processes: choose more bits with --mark-bits",
		mask);
}
