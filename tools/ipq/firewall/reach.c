/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A rule is reached if a hook calls its chain, or a reached rule jumps to it, and no earlier rule of the chain
 * decides all of its packets. An earlier rule decides all of them if each of its conditions is also a condition of
 * the rule.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "firewall/reach.h"

#define DEPTH_MAX 16 /* maximum depth of jumps */

int reach_add_base(struct reach *r, const char *chain)
{
	char(*grown)[64] = realloc(r->base, (r->bases + 1) * sizeof(*grown));

	if (grown == NULL)
		return -ENOMEM;
	r->base = grown;
	snprintf(r->base[r->bases++], sizeof(*grown), "%s", chain);
	return 0;
}

int reach_add(struct reach *r, const struct reach_rule *rule)
{
	struct reach_rule *grown = r->rule;

	if ((r->count & (r->count - 1)) == 0) /* the count is a power of two, or 0: the array is full */
		grown = realloc(r->rule, (r->count == 0 ? 1 : 2 * r->count) * sizeof(*grown));
	if (grown == NULL)
		return -ENOMEM;
	r->rule = grown;
	r->rule[r->count++] = *rule;
	return 0;
}

/* Whether every packet that matches `special` also matches `general`. Compares only the words. */
static bool covers(const char *general, const char *special)
{
	char all[256], *save = NULL;

	if (strchr(general, '!') != NULL || strchr(special, '!') != NULL)
		return strcmp(general, special) == 0;
	snprintf(all, sizeof(all), "%s", general);
	for (char *word = strtok_r(all, " ", &save); word != NULL; word = strtok_r(NULL, " ", &save)) {
		size_t len = strlen(word);
		const char *at = strstr(special, word);

		while (at != NULL &&
		       ((at != special && at[-1] != ' ') || (at[len] != ' ' && at[len] != '\0')))
			at = strstr(at + 1, word);
		if (at == NULL)
			return false;
		special = at + len;
	}
	return true;
}

/*
 * The rule that decides every packet that enters this chain and matches `match`. NULL: some packets return from the
 * chain.
 */
static const struct reach_rule *decider(const struct reach *r, const char *chain, const char *match,
					size_t before, int depth)
{
	for (size_t i = 0; i < before && depth < DEPTH_MAX; i++) {
		const struct reach_rule *rule = &r->rule[i], *inner;

		if (strcmp(rule->chain, chain) != 0)
			continue;
		if (rule->end == REACH_RETURNS && depth > 0)
			return NULL; /* even if it matches only some of the packets, those return */
		if (!covers(rule->match, match))
			continue;
		if (rule->end == REACH_DECIDES || rule->end == REACH_RETURNS)
			return rule;
		inner = rule->end == REACH_JUMPS ? decider(r, rule->target, match, r->count, depth + 1)
						 : NULL;
		if (inner != NULL)
			return inner;
	}
	return NULL;
}

/*
 * Whether rule i is reached. If not, *blocker is the rule that decides its packets before; NULL: nothing calls the
 * chain.
 */
static bool reached(const struct reach *r, size_t i, const struct reach_rule **blocker, int depth)
{
	const struct reach_rule *rule = &r->rule[i], *why = decider(r, rule->chain, rule->match, i, 0);

	if (why != NULL) {
		*blocker = why;
		return false;
	}
	for (size_t b = 0; b < r->bases; b++)
		if (strcmp(r->base[b], rule->chain) == 0)
			return true;
	for (size_t k = 0; k < r->count && depth < DEPTH_MAX; k++)
		if (r->rule[k].end == REACH_JUMPS && strcmp(r->rule[k].target, rule->chain) == 0 &&
		    reached(r, k, blocker, depth + 1))
			return true;
	return false;
}

/*
 * Finds an earlier rule, in this chain or in one that it calls, which lets packets skip the rest of the table.
 * NULL: none.
 */
static const struct reach_rule *passing(const struct reach *r, const char *chain, size_t before, int depth)
{
	for (size_t i = 0; i < before && depth < DEPTH_MAX; i++) {
		const struct reach_rule *rule = &r->rule[i], *inner = NULL;

		if (strcmp(rule->chain, chain) != 0)
			continue;
		if (rule->end == REACH_DECIDES && strcmp(rule->target, "ACCEPT") == 0)
			return rule;
		if (rule->end == REACH_JUMPS && strncmp(rule->target, "ipq-", 4) != 0)
			inner = passing(r, rule->target, r->count, depth + 1);
		if (inner != NULL)
			return inner;
	}
	return NULL;
}

/*
 * Finds a rule of another program that accepts packets before they reach the rule of ipq. The rules of ipq should be
 * the first ones of their hook, because packets that were accepted earlier bypass a filter. The condition of ipq's rule
 * is bytecode, so it is unknown whether both rules match the same packets.
 */
static void find_passing(const struct reach *r, struct queue_rule *rule)
{
	const struct reach_rule *found = NULL;

	for (size_t k = 0; k < r->count && found == NULL && strncmp(rule->chain, "ipq-", 4) == 0; k++)
		if (r->rule[k].end == REACH_JUMPS && strcmp(r->rule[k].target, rule->chain) == 0)
			found = passing(r, r->rule[k].chain, k, 0);
	snprintf(rule->passing, sizeof(rule->passing), "%s", found != NULL ? found->text : "");
}

void reach_finish(struct reach *r, struct firewall *f)
{
	for (size_t i = 0; i < r->count; i++) {
		const struct reach_rule *blocker = NULL;
		struct queue_rule *rule;

		if (r->rule[i].queue_rule == 0)
			continue;
		rule = &f->rule[r->rule[i].queue_rule - 1];
		rule->unreached = !reached(r, i, &blocker, 0);
		find_passing(r, rule);
		if (blocker != NULL && blocker->queue_rule != 0)
			rule->queued = f->rule[blocker->queue_rule - 1].first == rule->first &&
				       f->rule[blocker->queue_rule - 1].last == rule->last;
		if (blocker != NULL)
			snprintf(rule->blocker, sizeof(rule->blocker), "%s", blocker->text);
	}
	free(r->rule);
	free(r->base);
	*r = (struct reach){ .rule = NULL };
}
