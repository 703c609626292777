/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "common/suggest.h"
#include "filter/pcap_text.h"
#include "filter/pcap_verify.h"

#define SNAPLEN 262144

/* Words that may precede an id. */
static const char *const qualifiers[] = { "src",   "dst",	 "host",      "net",  "port",	 "portrange",
					  "proto", "ip",	 "ip6",	      "tcp",  "udp",	 "sctp",
					  "icmp",  "icmp6",	 "igmp",      "igrp", "pim",	 "vrrp",
					  "carp",  "ah",	 "esp",	      "less", "greater", "or",
					  "and",   "protochain", "multicast", NULL };

static const char *const others[] = {
	"not",	    "broadcast", "gateway", "len",     "length", "mask",    "inbound", "outbound",
	"ifindex",  "ifname",	 "on",	    "vlan",    "mpls",	 "pppoed",  "pppoes",  "geneve",
	"vxlan",    "ether",	 "link",    "fddi",    "tr",	 "wlan",    "arp",     "rarp",
	"atalk",    "aarp",	 "decnet",  "iso",     "stp",	 "ipx",	    "netbeui", "lat",
	"moprc",    "mopdl",	 "radio",   "llc",     "lane",	 "type",    "subtype", "dir",
	"action",   "reason",	 "rset",    "ruleset", "rnr",	 "rulenum", "srnr",    "subrulenum",
	"address1", "addr1",	 "byte",    "esis",    "isis",	 "clnp",    NULL
};

/* Words that can never match, because packets begin with their IP header. */
static const struct {
	const char *word, *remedy;
} refused[] = {
	{ "ifname", "use: in NAME, or out NAME" },
	{ "on", "use: in NAME, or out NAME" },
	{ "ifindex", "use: in NAME, or out NAME" },
	{ "vlan", "match the VLAN's interface: in eth0.5" },
	{ "ether", "match the interface: in eth0" },
	{ "link", "match the interface: in eth0" },
	{ "fddi", "match the interface: in eth0" },
	{ "tr", "match the interface: in eth0" },
	{ "wlan", "match the interface: in wlan0" },
	{ "arp", "ARP is not queued; use arptables" },
	{ "rarp", "RARP is not queued" },
	{ "mpls", "match the interface: in eth0" },
	{ "pppoed", "match the interface: in ppp0" },
	{ "pppoes", "match the interface: in ppp*" },
	{ "geneve", "match the outer packet: udp port 6081" },
	{ "vxlan", "match the outer packet: udp port 4789" },
	{ "gateway", "it needs link-layer addresses; match the interface: in eth0" },
	{ "broadcast", "name the address: dst host 255.255.255.255" },
	{ "multicast", "use: ip multicast or ip6 multicast" },
	{ "stp", "only IP packets are queued" },
	{ "aarp", "only IP packets are queued" },
	{ "atalk", "only IP packets are queued" },
	{ "decnet", "only IP packets are queued" },
	{ "ipx", "only IP packets are queued" },
	{ "iso", "only IP packets are queued" },
	{ "rset", "use the predicates of ipq-filter(1)" },
	{ "ruleset", "use the predicates of ipq-filter(1)" },
	{ "rnr", "use the predicates of ipq-filter(1)" },
	{ "reason", "use the predicates of ipq-filter(1)" },
	{ "action", "use the predicates of ipq-filter(1)" },
	{ "llc", "only IP packets are queued" },
};

static bool same(const char *word, size_t len, const char *known)
{
	return strlen(known) == len && strncmp(word, known, len) == 0;
}

static bool is_one_of(const char *word, size_t len, const char *const list[])
{
	for (; *list != NULL; list++)
		if (same(word, len, *list))
			return true;
	return false;
}

bool pcap_is_keyword(const char *word, size_t len)
{
	return is_one_of(word, len, qualifiers) || is_one_of(word, len, others);
}

void pcap_print_words(FILE *out)
{
	for (const char *const *w = qualifiers; *w != NULL; w++)
		fprintf(out, "%s\n", *w);
	fputs("not\nlen\n", out);
}

size_t pcap_token(const char *at)
{
	static const char single[] = "()[]!&|<>=";
	size_t n = 0;

	if (*at == '\0')
		return 0;
	if (strncmp(at, "&&", 2) == 0 || strncmp(at, "||", 2) == 0 || strncmp(at, "!=", 2) == 0)
		return 2;
	if (strchr(single, *at) != NULL)
		return 1;
	while (at[n] != '\0' && !isspace((unsigned char)at[n]) && strchr(single, at[n]) == NULL)
		n++;
	return n;
}

size_t pcap_qualifiers(const char *text, size_t len)
{
	size_t at = 0;

	while (at < len) {
		size_t n = pcap_token(text + at);

		if (!is_one_of(text + at, n, qualifiers))
			break;
		at += n;
		while (at < len && isspace((unsigned char)text[at]))
			at++;
	}
	return at < len ? at : 0;
}

static int compile_with(struct bpf_program *program, const char *text, int optimize, char *error, size_t room)
{
	pcap_t *p = pcap_open_dead(DLT_RAW, SNAPLEN);
	int err = 0;

	if (p == NULL)
		return -ENOMEM;
	if (pcap_compile(p, program, text, optimize, PCAP_NETMASK_UNKNOWN) != 0) {
		if (error != NULL)
			snprintf(error, room, "%s", pcap_geterr(p));
		err = -EINVAL;
	}
	pcap_close(p);
	return err;
}

static int compile(struct bpf_program *program, const char *text, char *error, size_t room)
{
	return compile_with(program, text, 1, error, room);
}

int pcap_text_compile(const char *text, struct bpf_program *program)
{
	struct bpf_program plain;
	int err = compile(program, text, NULL, 0);

	if (err == 0)
		err = compile_with(&plain, text, 0, NULL, 0);
	if (err < 0)
		return err;
	if (pcap_programs_agree(&plain, program)) {
		pcap_freecode(&plain);
	} else {
		pcap_freecode(program);
		*program = plain;
	}
	return 0;
}

bool pcap_text_possible(const char *text)
{
	struct bpf_program program;
	int err = compile(&program, text, NULL, 0);

	if (err == 0)
		pcap_freecode(&program);
	return err != -EINVAL;
}

int pcap_program_constant(struct bpf_program *program, uint32_t value)
{
	program->bf_insns = malloc(sizeof(*program->bf_insns));
	if (program->bf_insns == NULL)
		return -ENOMEM;
	program->bf_len = 1;
	program->bf_insns[0] = (struct bpf_insn)BPF_STMT(BPF_RET | BPF_K, value);
	return 0;
}

/* ---- mistakes ------------------------------------------------------------------------------------ */

/* Whether the beginning of a primitive compiles. */
static bool prefix_compiles(const char *text, size_t len)
{
	struct bpf_program program;
	char *copy = strndup(text, len);
	bool good = copy != NULL && compile(&program, copy, NULL, 0) == 0;

	if (good)
		pcap_freecode(&program);
	free(copy);
	return good;
}

static size_t skip_space(const char *text, size_t at)
{
	while (isspace((unsigned char)text[at]))
		at++;
	return at;
}

/*
 * Finds the position of a mistake, which libpcap does not report. An unknown name is quoted in libpcap's message.
 * Otherwise the mistake is the token after the longest beginning that compiles, or the first token that should be a
 * qualifier and is not.
 */
static size_t locate(const char *text, const char *message)
{
	const char *open = strchr(message, '\''), *close = open != NULL ? strchr(open + 1, '\'') : NULL,
		   *found;
	size_t at = 0, mistake = 0, end = 0, len = strlen(text);
	char name[64];

	if (close != NULL && close > open + 1 && (size_t)(close - open) < sizeof(name)) {
		snprintf(name, sizeof(name), "%.*s", (int)(close - open - 1), open + 1);
		found = strstr(text, name);
		if (found != NULL)
			return (size_t)(found - text);
	}
	while (at < len) {
		end = at + pcap_token(text + at);
		if (prefix_compiles(text, end))
			mistake = skip_space(text, end);
		at = skip_space(text, end);
	}
	/*
	 * in "dst port" and "port x" no beginning compiles, but the qualifiers are correct: the mistake follows them
	 */
	if (mistake == 0 && pcap_qualifiers(text, len) > 0)
		mistake = pcap_qualifiers(text, len);
	else if (mistake == 0 && is_one_of(text, pcap_token(text), qualifiers))
		mistake = len; /* there are only qualifiers: the id is missing */
	return mistake;
}

static int fail_at(const struct cursor *c, const char *at, const char *message)
{
	size_t len = pcap_token(at);
	const char *meant = NULL;

	if (strstr(message, "syntax error") != NULL && isalpha((unsigned char)*at) &&
	    !pcap_is_keyword(at, len)) {
		meant = suggest(at, len, qualifiers);
		if (meant == NULL)
			meant = suggest(at, len, others);
	}
	if (meant != NULL)
		return cursor_fail(c, at, "\"%.*s\" is not known here: did you mean \"%s\"?", (int)len, at,
				   meant);
	if (strstr(message, "syntax error") != NULL)
		message = *at == '\0' ? "the filter is not complete, see pcap-filter(7)"
				      : "from here on, this is not a valid filter; see pcap-filter(7)";
	return cursor_fail(c, at, "%s", message);
}

/* Refuses words of refused[] where libpcap would take them for keywords: at the beginning, or after other keywords. */
static int check_words(const struct cursor *c, size_t len)
{
	size_t at = 0;

	while (at < len) {
		const char *word = c->at + at;
		size_t n = pcap_token(word);
		bool whole = at == 0 && skip_space(c->at, n) >= len;

		for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
			if (same(word, n, refused[i].word) &&
			    (whole || strcmp(refused[i].word, "multicast") != 0))
				return cursor_fail(
					c, word,
					"packets begin with the IP header here, \"%s\" never matches; %s",
					refused[i].word, refused[i].remedy);
		if (!is_one_of(word, n, qualifiers))
			break;
		at = skip_space(c->at, at + n);
	}
	return 0;
}

/* ---- primitives ---------------------------------------------------------------------------------- */

static bool has_word(const char *text, const char *word)
{
	for (size_t at = 0, n; (n = pcap_token(text + at)) > 0; at = skip_space(text, at + n))
		if (same(text + at, n, word))
			return true;
	return false;
}

/* Whether the primitive contains tcp[...] or similar. */
static bool has_accessor(const char *text, const char *protocol)
{
	for (size_t at = 0, n; (n = pcap_token(text + at)) > 0; at = skip_space(text, at + n))
		if (same(text + at, n, protocol) && text[skip_space(text, at + n)] == '[')
			return true;
	return false;
}

static void classify(const char *text, struct pcap_primitive *p)
{
	static const char *const protocols[] = { "tcp", "udp",	"sctp", "icmp", "icmp6", "igmp",  "igrp",
						 "pim", "vrrp", "carp", "ah",	"esp",	 "proto", NULL };
	static const char *const ipv4_only[] = { "tcp", "udp", "sctp", NULL };
	bool bytes = strchr(text, '[') != NULL;

	*p = (struct pcap_primitive){ .part = PCAP_NETWORK };
	p->length = bytes || has_word(text, "len") || has_word(text, "length") || has_word(text, "less") ||
		    has_word(text, "greater");
	if (has_accessor(text, "ip") || has_accessor(text, "ip6"))
		return;
	for (const char *const *word = protocols; *word != NULL; word++)
		if (has_word(text, *word))
			p->part = PCAP_PROTOCOL;
	if (bytes || has_word(text, "port") || has_word(text, "portrange"))
		p->part = PCAP_TRANSPORT;
	for (const char *const *word = ipv4_only; *word != NULL; word++)
		p->ipv4_only |= has_accessor(text, *word);
}

int pcap_primitive_compile(const struct cursor *c, size_t len, const char *text, struct bpf_program *program,
			   struct pcap_primitive *primitive)
{
	size_t inherited = strlen(text) - len, at;
	char message[PCAP_ERRBUF_SIZE];
	int err = check_words(c, len);

	if (err < 0)
		return err;
	err = compile(program, text, message, sizeof(message));
	classify(text, primitive);
	if (err != -EINVAL)
		return err;
	at = locate(text, message);
	return fail_at(c, c->at + (at > inherited ? at - inherited : 0), message);
}
