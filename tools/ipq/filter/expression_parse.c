/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The grammar is that of pcap-filter(7): "and" and "or" have the same precedence and associate from left to
 * right, "not" binds tighter. A primitive of pcap-filter(7) is not read in detail: it ends at the next "and" or
 * "or" outside of its parentheses, and libpcap compiles it. Each primitive is compiled on its own, so that it can be
 * applied to the part of a packet to which it refers, and a mistake can be shown at its position.
 *
 *	expression = term { (and | or) term }
 *	term       = not term | "(" expression ")" | metadata | primitive
 *
 * As in "port 23 or 24", a primitive without qualifiers inherits those of the primitive before it.
 */
#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "common/suggest.h"
#include "filter/expression_tree.h"

#define MAX_DEPTH 100

struct parser {
	struct cursor *c;
	const char *head; /* qualifiers that the next primitive may inherit */
	size_t head_len;
	unsigned depth;
};

static int parse_expression(struct parser *p, struct node **out);

static void node_free(struct node *n)
{
	if (n == NULL)
		return;
	node_free(n->left);
	node_free(n->right);
	free(n->text);
	pcap_freecode(&n->program);
	metadata_free(&n->test);
	free(n);
}

/* Creates a node, which then owns left and right. */
static int node_new(struct node **out, enum node_type type, struct node *left, struct node *right)
{
	*out = calloc(1, sizeof(**out));
	if (*out == NULL) {
		node_free(left);
		node_free(right);
		return -ENOMEM;
	}
	(*out)->type = type;
	(*out)->left = left;
	(*out)->right = right;
	return 0;
}

static bool token_is(const char *at, const char *word)
{
	return pcap_token(at) == strlen(word) && strncmp(at, word, strlen(word)) == 0;
}

static const char *next_token(const char *at)
{
	at += pcap_token(at);
	while (isspace((unsigned char)*at))
		at++;
	return at;
}

static bool is_and(const char *at)
{
	return token_is(at, "and") || token_is(at, "&&");
}

static bool is_or(const char *at)
{
	return token_is(at, "or") || token_is(at, "||");
}

static bool is_arithmetic(const char *at)
{
	return *at != '\0' && !is_and(at) && !is_or(at) && strchr("=<>!&|+-*/%^", *at) != NULL;
}

/* The text after the parenthesis that closes the one at `at`; NULL: the parenthesis is not closed. */
static const char *after_parenthesis(const char *at)
{
	unsigned depth = 0;

	for (; *at != '\0'; at = next_token(at)) {
		depth += *at == '(' || *at == '[';
		if (*at == ')' || *at == ']') {
			depth -= depth > 0;
			if (depth == 0)
				return next_token(at);
		}
	}
	return NULL;
}

/* ---- primitives of pcap-filter(7) ------------------------------------------------------------------ */

/* Skips a direction qualifier; "src or dst" is one qualifier. */
static const char *skip_direction(const char *at)
{
	bool src = token_is(at, "src"), dst = token_is(at, "dst");
	const char *word = next_token(at);

	if ((src || dst) && (is_and(word) || is_or(word)) && token_is(next_token(word), src ? "dst" : "src"))
		return next_token(next_token(word));
	return next_token(at);
}

static const char *primitive_end(const char *at)
{
	const char *end = at;

	while (*at != '\0' && *at != ')' && !is_and(at) && !is_or(at)) {
		const char *next = *at == '(' || *at == '[' ? after_parenthesis(at) : skip_direction(at);

		if (next == NULL)
			next = at + strlen(at);
		end = at = next;
	}
	return end;
}

/* Whether the primitive is only an id: it has no qualifiers and is not a comparison. */
static bool is_bare(const char *at, size_t len)
{
	size_t first = pcap_token(at);

	if (pcap_is_keyword(at, first) || !(isalnum((unsigned char)*at) || *at == ':' || *at == '\\'))
		return false;
	for (const char *t = at; t < at + len; t = next_token(t))
		if (strchr("[]<>=!&|", *t) != NULL)
			return false;
	return true;
}

/*
 * Replaces "protochain" by "proto". Protocols are found after extension headers anyway, and the kernel refuses the
 * code for "protochain" because the code jumps backwards.
 */
static void replace_protochain(char *text)
{
	char *at;

	while ((at = strstr(text, "protochain")) != NULL)
		memset(at + strlen("proto"), ' ', strlen("chain"));
}

static bool matches_extension(const struct bpf_program *program)
{
	static const uint8_t numbers[] = { IPPROTO_HOPOPTS, IPPROTO_ROUTING, IPPROTO_FRAGMENT, IPPROTO_AH,
					   IPPROTO_DSTOPTS };
	uint8_t header[41] = { 0x60 };

	header[40] = IPPROTO_NONE;
	for (size_t i = 0; i < sizeof(numbers); i++) {
		header[6] = numbers[i];
		if (bpf_filter(program->bf_insns, header, sizeof(header), sizeof(header)) != 0)
			return true;
	}
	return false;
}

static int compile_primitive(struct parser *p, struct node *n, size_t len, bool bare)
{
	struct cursor *c = p->c;

	if (asprintf(&n->text, "%.*s%s%.*s", bare ? (int)p->head_len : 0, bare ? p->head : "",
		     bare && p->head_len > 0 ? " " : "", (int)len, c->at) < 0) {
		n->text = NULL;
		return -ENOMEM;
	}
	replace_protochain(n->text);
	return pcap_primitive_compile(c, len, n->text, &n->program, &n->primitive);
}

/* Explains a mistake such as "tcp in eth0", where libpcap's message does not help. */
static int explain(const struct cursor *c, size_t len)
{
	const char *at = c->text + c->e->offset;

	for (const char *const *word = metadata_words; *word != NULL; word++)
		if (at > c->at && at < c->at + len && token_is(at, *word))
			return cursor_fail(c, at, "\"and\" or \"or\" is missing before \"%s\"", *word);
	return -EINVAL;
}

static int parse_primitive(struct parser *p, struct node **out)
{
	struct cursor *c = p->c;
	const char *end = primitive_end(c->at);
	size_t len = (size_t)(end - c->at);
	bool bare;
	int err;

	while (len > 0 && isspace((unsigned char)c->at[len - 1]))
		len--;
	if (len == 0)
		return cursor_fail(c, c->at,
				   *c->at == '\0' ? "the condition is not complete: a filter must follow"
						  : "a filter is expected here, see pcap-filter(7)");
	bare = is_bare(c->at, len) && p->head_len > 0;
	if (!bare && isalpha((unsigned char)*c->at) && !pcap_is_keyword(c->at, pcap_token(c->at))) {
		const char *meant = suggest(c->at, pcap_token(c->at), metadata_words);

		if (meant != NULL)
			return cursor_fail(c, c->at, "\"%.*s\" is not known here: did you mean \"%s\"?",
					   (int)pcap_token(c->at), c->at, meant);
	}
	err = node_new(out, NODE_PCAP, NULL, NULL);
	if (err == 0)
		err = compile_primitive(p, *out, len, bare);
	if (err == -EINVAL)
		return explain(c, len);
	if (err < 0)
		return err;
	(*out)->names_extension =
		(*out)->primitive.part == PCAP_PROTOCOL && matches_extension(&(*out)->program);
	if (!bare) {
		p->head = c->at;
		p->head_len = pcap_qualifiers(c->at, len);
	}
	c->at = end;
	return 0;
}

/* ---- the expression ---------------------------------------------------------------------------------- */

static int parse_metadata(struct parser *p, struct node **out)
{
	struct metadata_test test;
	int err = metadata_parse(&test, p->c);

	if (err <= 0)
		return err;
	if (node_new(out, NODE_METADATA, NULL, NULL) < 0) {
		metadata_free(&test);
		return -ENOMEM;
	}
	(*out)->test = test;
	cursor_skip_space(p->c);
	if (*p->c->at != '\0' && *p->c->at != ')' && !is_and(p->c->at) && !is_or(p->c->at))
		return cursor_fail(p->c, p->c->at, "\"and\", \"or\" or the end of the rule is expected here");
	return 1;
}

/*
 * Whether a group begins here. The parenthesis of "(tcp[13] & 2) != 0" does not begin a group: it belongs to
 * libpcap's syntax.
 */
static bool is_group(const char *at)
{
	const char *after = *at == '(' ? after_parenthesis(at) : NULL;

	return *at == '(' && (after == NULL || !is_arithmetic(after));
}

static int parse_group(struct parser *p, struct node **out)
{
	struct cursor *c = p->c;
	const char *open = c->at;
	int err;

	c->at = next_token(c->at);
	p->head_len = 0;
	err = parse_expression(p, out);
	if (err < 0)
		return err;
	if (*c->at != ')')
		return cursor_fail(c, open, "this parenthesis is not closed");
	c->at = next_token(c->at);
	if (*c->at != '\0' && *c->at != ')' && !is_and(c->at) && !is_or(c->at))
		return cursor_fail(c, c->at, "\"and\", \"or\" or the end of the rule is expected here");
	return 0;
}

static int parse_term(struct parser *p, struct node **out)
{
	struct cursor *c = p->c;
	int err;

	*out = NULL;
	if (++p->depth > MAX_DEPTH)
		return cursor_fail(c, c->at, "this is nested too deep");
	if (token_is(c->at, "not") || token_is(c->at, "!")) {
		struct node *operand;

		c->at = next_token(c->at);
		err = parse_term(p, &operand);
		if (err < 0)
			node_free(operand);
		else
			err = node_new(out, NODE_NOT, operand, NULL);
	} else if (is_group(c->at)) {
		err = parse_group(p, out);
	} else {
		err = parse_metadata(p, out);
		if (err == 0 && *out == NULL)
			err = parse_primitive(p, out);
		else if (err > 0)
			err = 0;
	}
	p->depth--;
	return err;
}

static int parse_expression(struct parser *p, struct node **out)
{
	int err = parse_term(p, out);

	while (err == 0 && (is_and(p->c->at) || is_or(p->c->at))) {
		enum node_type type = is_and(p->c->at) ? NODE_AND : NODE_OR;
		struct node *right, *left = *out;

		p->c->at = next_token(p->c->at);
		err = parse_term(p, &right);
		if (err < 0)
			node_free(right);
		else
			err = node_new(out, type, left, right);
	}
	return err;
}

static void summarise(struct expression *x, const struct node *n)
{
	if (n == NULL)
		return;
	if (n->type == NODE_METADATA) {
		x->metadata = true;
		x->flags |= metadata_flags(&n->test);
	}
	summarise(x, n->left);
	summarise(x, n->right);
}

static bool names_extension(const struct node *n)
{
	return n != NULL && (n->names_extension || (n->type == NODE_PCAP && strchr(n->text, '[') != NULL) ||
			     names_extension(n->left) || names_extension(n->right));
}

/*
 * Refuses "tcp and udp", which no packet matches. libpcap finds such simple cases. It does not find a combination of
 * an extension header and "tcp".
 */
static int check_possible(const struct expression *x, const struct cursor *c, const char *begin)
{
	char *text = NULL;
	int err = expression_text(x, TEXT_PACKET, &text);
	bool possible = err != 1 || names_extension(x->root) || pcap_text_possible(text);

	free(text);
	if (err < 0)
		return err;
	return possible ? 0 : cursor_fail(c, begin, "no packet can match this");
}

int expression_parse(struct expression **out, struct cursor *c)
{
	struct expression *x = calloc(1, sizeof(*x));
	struct parser p = { .c = c };
	const char *begin;
	int err = 0;

	*out = NULL;
	if (x == NULL)
		return -ENOMEM;
	cursor_skip_space(c);
	begin = c->at;
	if (*begin != '\0')
		err = parse_expression(&p, &x->root);
	if (err == 0 && *c->at != '\0')
		err = cursor_fail(c, c->at, "this parenthesis was not opened");
	if (err == 0) {
		summarise(x, x->root);
		err = check_possible(x, c, begin);
	}
	if (err < 0)
		expression_free(x);
	else
		*out = x;
	return err;
}

/* Whether a packet may match both texts. libpcap finds out in simple cases that no packet does. */
static bool may_both_match(const char *a, const char *b)
{
	char *both;
	bool may;

	if (asprintf(&both, "(%s) and (%s)", a, b) < 0)
		return true;
	may = pcap_text_possible(both);
	free(both);
	return may;
}

bool expression_may_match_tcp(const struct expression *x)
{
	char *text = NULL;
	bool may = names_extension(x->root) || expression_text(x, TEXT_PACKET, &text) != 1 ||
		   may_both_match("tcp", text);

	free(text);
	return may;
}

static bool may_overlap(const struct expression *a, const struct expression *b, enum text_scope scope)
{
	char *text_a = NULL, *text_b = NULL;
	bool may = names_extension(a->root) || names_extension(b->root) ||
		   expression_text(a, scope, &text_a) != 1 || expression_text(b, scope, &text_b) != 1 ||
		   may_both_match(text_a, text_b);

	free(text_a);
	free(text_b);
	return may;
}

bool expression_may_overlap(const struct expression *a, const struct expression *b)
{
	return may_overlap(a, b, TEXT_PACKET);
}

bool expression_may_share_flow(const struct expression *a, const struct expression *b)
{
	return may_overlap(a, b, TEXT_FLOW);
}

void expression_free(struct expression *x)
{
	if (x == NULL)
		return;
	node_free(x->root);
	free(x);
}

bool expression_is_empty(const struct expression *x)
{
	return x->root == NULL;
}

bool expression_has_metadata(const struct expression *x)
{
	return x->metadata;
}

uint32_t expression_flags(const struct expression *x)
{
	return x->flags;
}
