/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The options that watch and filter share. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "core/core.h"
#include "nflog/nflog.h"
#include "session/session.h"

static int parse_queues(struct session *s, const char *value)
{
	char *end;

	errno = 0;
	s->queue_first = s->queue_last = (unsigned)strtoul(value, &end, 10);
	if (end != value && *end == '-') {
		value = end + 1;
		s->queue_last = (unsigned)strtoul(value, &end, 10);
	}
	if (end == value || *end != '\0' || errno != 0 || s->queue_last > 65535 ||
	    s->queue_first > s->queue_last)
		return command_usage(s->command,
				     "a queue number or a range is needed, as in --queue 5 or --queues 0-3");
	if (s->queue_last - s->queue_first >= SESSION_QUEUES_MAX)
		return command_usage(s->command, "%d queues at most", SESSION_QUEUES_MAX);
	s->queue_given = true;
	return 0;
}

static int parse_via(struct session *s, const char *value)
{
	if (strcmp(value, "nftables") == 0 || strcmp(value, "nft") == 0)
		s->via = RULES_NFTABLES;
	else if (strcmp(value, "iptables") == 0)
		s->via = RULES_IPTABLES;
	else if (strcmp(value, "iptables-legacy") == 0)
		s->via = RULES_IPTABLES_LEGACY;
	else if (strcmp(value, "iptables-nft") == 0)
		s->via = RULES_IPTABLES_NFT;
	else
		return command_usage(s->command,
				     "--via is nftables, iptables, iptables-legacy or iptables-nft");
	return 0;
}

static int parse_hooks(struct session *s, const char *value)
{
	struct ipq_error e;

	return rules_parse_hooks(value, &s->hooks, &e) < 0 ? command_usage(s->command, "%s", e.text) : 0;
}

static int parse_mark_bits(struct session *s, const char *value)
{
	struct ipq_error e;

	return rules_parse_mark_bits(value, &s->mark_bits, &e) < 0 ? command_usage(s->command, "%s", e.text)
								   : 0;
}

int session_option(struct session *s, int option, const char *value)
{
	switch (option) {
	case 's':
		s->source = value;
		return 0;
	case 'q':
		return parse_queues(s, value);
	case 1000:
		return parse_hooks(s, value);
	case 1001:
		return parse_via(s, value);
	case 1002:
		s->bypass = true;
		return 0;
	case 1003:
		s->dry_run = true;
		return 0;
	case 1004:
		s->quiet = true;
		return 0;
	case 1005:
		return parse_mark_bits(s, value);
	case 1006:
		s->keep_rules = true;
		return 0;
	default:
		return 1;
	}
}

int session_check(struct session *s)
{
	if (s->source != NULL && (s->hooks != 0 || s->queue_given))
		return command_usage(s->command, "--on and --queue cannot be used with --source");
	if ((s->bypass || s->dry_run || s->keep_rules || s->mark_bits != 0 || s->via != RULES_AUTO) &&
	    s->hooks == 0)
		return command_usage(s->command,
				     "--bypass, --dry-run, --keep-rules, --mark-bits and --via need "
				     "--on HOOK");
	if (s->hooks != 0 && s->rules_kind == RULES_QUEUE && s->queue_last == 65535)
		return command_usage(
			s->command, "queue 65535 is reserved as a lock for changes of rules: choose another");
	s->virtual_time = s->source != NULL && source_is_file(s->source);
	if (s->source != NULL && source_kind(s->source) == &source_nflog)
		s->rules_kind = RULES_LOG;
	return 0;
}
