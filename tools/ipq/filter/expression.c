/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Theory of operation. expression_match() defines the meaning of an expression: each primitive is applied to the
 * packet by itself, on the part of the packet to which it refers.
 *
 * Two programs for BPF are derived from it, because they are fast and one of them can run in the kernel.
 * expression_candidates() is the whole expression as libpcap compiles it, with metadata predicates taken as true
 * whether they are negated or not: a superset. It is exact for plain packets: those without extension headers that are
 * long enough for all bytes that it reads. expression_doubtful() matches the other packets. So the kernel need not
 * queue a packet that matches neither.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "filter/expression_tree.h"

/* ---- matching ------------------------------------------------------------------------------------ */

static bool match_protocol(const struct node *n, struct view *v)
{
	const struct decoded *d;

	if (view_match_packet(v, &n->program) || view_match(v, &n->program, VIEW_PLAIN))
		return true;
	d = view_decode(v);
	return (d->fragmented && view_match_protocol(v, &n->program, IPPROTO_FRAGMENT)) ||
	       (d->authenticated && view_match_protocol(v, &n->program, IPPROTO_AH));
}

static bool match_primitive(const struct node *n, struct view *v)
{
	if (n->primitive.ipv4_only && v->len > 0 && v->data[0] >> 4 == 6)
		return view_match(v, &n->program, VIEW_IPV4);
	if (n->primitive.part == PCAP_NETWORK || !v->extensions)
		return view_match_packet(v, &n->program);
	return n->primitive.part == PCAP_TRANSPORT ? view_match(v, &n->program, VIEW_PLAIN)
						   : match_protocol(n, v);
}

static bool match(const struct node *n, struct subject *s)
{
	switch (n->type) {
	case NODE_AND:
		return match(n->left, s) && match(n->right, s);
	case NODE_OR:
		return match(n->left, s) || match(n->right, s);
	case NODE_NOT:
		return !match(n->left, s);
	case NODE_METADATA:
		return metadata_match(&n->test, s);
	default:
		return match_primitive(n, s->view);
	}
}

bool expression_match(const struct expression *x, struct subject *s)
{
	return x->root == NULL || match(x->root, s);
}

/* ---- the bytes that programs read ------------------------------------------------------------------- */

static uint32_t max32(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

/*
 * Adds the bytes that an instruction reads. short_matters: the whole expression may match even if the instruction
 * reads past the end of the packet.
 */
static void reach_instruction(const struct bpf_insn *in, bool short_matters, struct expression_reach *reach)
{
	unsigned mode = BPF_MODE(in->code);
	bool load = BPF_CLASS(in->code) == BPF_LD || BPF_CLASS(in->code) == BPF_LDX;
	bool computed = in->code == (BPF_MISC | BPF_TAX);
	uint32_t end;

	load = load && (mode == BPF_ABS || mode == BPF_IND || mode == BPF_MSH);
	computed |= load && in->k > 65535;
	if (computed) {
		reach->everywhere = true;
		reach->unbounded |= short_matters;
	}
	if (computed || !load)
		return;
	end = in->k + (BPF_SIZE(in->code) == BPF_B ? 1 : BPF_SIZE(in->code) == BPF_H ? 2 : 4);
	if (short_matters && mode == BPF_IND)
		reach->ipv4_transport = max32(reach->ipv4_transport, end);
	if (short_matters && mode == BPF_ABS)
		reach->ipv6 = max32(reach->ipv6, end);
	/* X is the length of an IPv4 header, at most 60. */
	reach->bytes = max32(reach->bytes, end + (mode == BPF_IND ? 60 : 0));
}

static bool has_branches(const struct node *n)
{
	return n != NULL &&
	       (n->type == NODE_OR || n->type == NODE_NOT || has_branches(n->left) || has_branches(n->right));
}

static void add_reach(const struct node *n, bool short_matters, struct expression_reach *reach)
{
	if (n == NULL)
		return;
	for (unsigned i = 0; i < n->program.bf_len; i++)
		reach_instruction(&n->program.bf_insns[i], short_matters, reach);
	if (n->type == NODE_PCAP && n->primitive.part != PCAP_NETWORK)
		reach->transport = true;
	/* for example, ip[30] reads past the end of a short packet */
	if (n->type == NODE_PCAP && n->primitive.part == PCAP_NETWORK && strchr(n->text, '[') != NULL)
		reach->unbounded |= short_matters;
	reach->ipv4_only |= n->primitive.ipv4_only;
	add_reach(n->left, short_matters, reach);
	add_reach(n->right, short_matters, reach);
}

void expression_add_reach(const struct expression *x, struct expression_reach *reach)
{
	add_reach(x->root, has_branches(x->root), reach);
}

/* ---- programs ------------------------------------------------------------------------------------ */

static bool is_word(const char *at, size_t len, const char *word)
{
	return strlen(word) == len && strncmp(at, word, len) == 0;
}

/*
 * Derives a primitive for a whole flow: it is true for all packets of a flow, in both directions, if the given
 * primitive is true for one of them. 1; 0: the derived primitive is always true; -ENOMEM.
 */
static int render_for_flow(const struct node *n, bool negate, char **text)
{
	const char *first = NULL, *end = NULL, *at = n->text;
	size_t len;

	*text = NULL;
	for (; (len = pcap_token(at += strspn(at, " "))) > 0; at += len) {
		if (is_word(at, len, "multicast") || is_word(at, len, "broadcast"))
			return 0;
		if (!is_word(at, len, "src") && !is_word(at, len, "dst"))
			continue;
		first = first != NULL ? first : at;
		end = at + len;
	}
	if (n->primitive.length || (first != NULL && negate))
		return 0;
	if (first == NULL)
		return asprintf(text, negate ? "not (%s)" : "(%s)", n->text) < 0 ? -ENOMEM : 1;
	return asprintf(text, "(%.*ssrc or dst%s)", (int)(first - n->text), n->text, end) < 0 ? -ENOMEM : 1;
}

/* Writes a part of the expression as text. 1: the text is in *text. 0: this part is always true. -ENOMEM. */
static int render(const struct node *n, bool negate, enum text_scope scope, char **text)
{
	bool conjunction = (n->type == NODE_AND) != negate;
	char *left = NULL, *right = NULL;
	int l, r;

	*text = NULL;
	if (n->type == NODE_METADATA ||
	    (n->type == NODE_PCAP && scope == TEXT_SEGMENTED && n->primitive.length))
		return 0;
	if (n->type == NODE_PCAP && scope == TEXT_FLOW)
		return render_for_flow(n, negate, text);
	if (n->type == NODE_PCAP)
		return asprintf(text, negate ? "not (%s)" : "(%s)", n->text) < 0 ? -ENOMEM : 1;
	if (n->type == NODE_NOT)
		return render(n->left, !negate, scope, text);
	l = render(n->left, negate, scope, &left);
	r = l < 0 ? l : render(n->right, negate, scope, &right);
	if (r < 0) {
		free(left);
		return r;
	}
	if (l == 1 && r == 1) {
		r = asprintf(text, "(%s %s %s)", left, conjunction ? "and" : "or", right) < 0 ? -ENOMEM : 1;
	} else if (conjunction && (l == 1 || r == 1)) {
		*text = l == 1 ? left : right;
		return 1;
	} else {
		r = 0;
	}
	free(left);
	free(right);
	return r;
}

int expression_text(const struct expression *x, enum text_scope scope, char **text)
{
	*text = NULL;
	return x->root == NULL ? 0 : render(x->root, false, scope, text);
}

int expression_candidates(const struct expression *x, bool segmented, struct bpf_program *program)
{
	char *text;
	int err = expression_text(x, segmented ? TEXT_SEGMENTED : TEXT_PACKET, &text);

	if (err == 0)
		return pcap_program_constant(program, 2);
	if (err < 0)
		return err;
	err = pcap_text_compile(text, program);
	free(text);
	if (err == -EINVAL)
		return pcap_program_constant(program, 1);
	for (unsigned i = 0; err == 0 && i < program->bf_len; i++) {
		struct bpf_insn *in = &program->bf_insns[i];

		if (BPF_CLASS(in->code) == BPF_RET)
			in->k = in->k != 0 ? 2 : 1;
	}
	return err;
}

/*
 * A program that matches an IPv6 packet that has an extension header or is too short for the bytes that are read,
 * and an IPv4 packet that has an Authentication Header or is too short after the IP header. Jumps count from the
 * next instruction.
 */
int expression_doubtful(const struct expression_reach *reach, struct bpf_program *program)
{
	struct bpf_insn code[] = {
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0),
		BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0xf0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x60, 0, 8),
		/* instruction 3: IPv6 */
		BPF_STMT(BPF_LD | BPF_W | BPF_LEN, 0),
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, max32(reach->ipv6, 40), 0, 12),
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 6),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_HOPOPTS, 10, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_ROUTING, 9, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_FRAGMENT, 8, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_DSTOPTS, 7, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_AH, 6, 7),
		/* instruction 11: IPv4 */
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 9),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_AH, 4, 0),
		BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 0),
		BPF_STMT(BPF_LD | BPF_W | BPF_LEN, 0),
		BPF_STMT(BPF_ALU | BPF_SUB | BPF_X, 0),
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, reach->ipv4_transport, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, 2),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};

	if (reach->ipv4_only) /* match every IPv6 packet */
		code[3] = (struct bpf_insn)BPF_STMT(BPF_RET | BPF_K, 2);
	program->bf_insns = malloc(sizeof(code));
	if (program->bf_insns == NULL)
		return -ENOMEM;
	memcpy(program->bf_insns, code, sizeof(code));
	program->bf_len = sizeof(code) / sizeof(code[0]);
	return 0;
}
