/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <ctype.h>
#include <errno.h>
#include <fnmatch.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include "filter/metadata.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const char *const hooks[] = { "PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING" };

/* A set of states has a bit for each state. The kernel reports no state for untracked and for invalid packets. */
static const char *const states[] = { "established", "related", "new", "invalid", "untracked" };
enum { STATE_INVALID = 3, STATE_UNTRACKED = 4 };
#define CT_UNTRACKED 7 /* IP_CT_UNTRACKED, which the header defines only for the kernel */

const char *const metadata_words[] = { "in",	"out",	  "hook",  "mark",    "ctmark",	  "uid", "gid",
				       "state", "length", "queue", "inbound", "outbound", NULL };

/* ---- values -------------------------------------------------------------------------------------- */

/* Parses names separated by commas. Each is copied with its terminator. */
static int parse_names(struct metadata_test *test, struct cursor *c)
{
	char *to;

	test->names = calloc(1, strlen(c->at) + 3);
	if (test->names == NULL)
		return -ENOMEM;
	for (to = test->names;; c->at++) {
		size_t len = cursor_value_length(c->at);

		if (len == 0)
			return cursor_fail(
				c, c->at,
				"the name of an interface must follow, as in: in eth0, or out ppp*");
		if (len > 15)
			return cursor_fail(c, c->at, "the name of an interface has 15 characters at most");
		memcpy(to, c->at, len);
		to += len + 1;
		c->at += len;
		if (*c->at != ',')
			return 0;
	}
}

static int parse_set(struct metadata_test *test, struct cursor *c, const char *const *names, size_t count,
		     const char *what)
{
	for (;; c->at++) {
		size_t len = cursor_value_length(c->at), i, n = 0;

		while (n < len && c->at[n] != '|')
			n++;
		for (i = 0; i < count; i++)
			if (strlen(names[i]) == n && strncasecmp(names[i], c->at, n) == 0)
				break;
		if (i == count)
			return cursor_fail(c, c->at, "%s", what);
		test->first |= 1U << i;
		c->at += n;
		if (*c->at != ',' && *c->at != '|')
			return 0;
	}
}

/* Parses a number or a range. */
static int parse_range(struct metadata_test *test, struct cursor *c, uint32_t max, const char *what)
{
	const char *begin;
	uint64_t n;
	int err;

	cursor_skip_space(c);
	begin = c->at;
	err = cursor_number(c, max, "-", &n, what);
	if (err < 0)
		return err;
	test->first = test->last = (uint32_t)n;
	if (*c->at != '-')
		return 0;
	c->at++;
	err = cursor_number(c, max, "", &n, "the end of the range must follow, as in: 100-200");
	if (err == 0 && n < test->first)
		return cursor_fail(c, begin, "this range ends before it begins");
	test->last = (uint32_t)n;
	return err;
}

/* Parses a user or a group, by number or name. */
static int parse_owner(struct metadata_test *test, struct cursor *c, bool user)
{
	size_t len = cursor_value_length(c->at);
	struct passwd *passwd;
	struct group *group;
	char name[64];

	if (len == 0 || len >= sizeof(name) || isdigit((unsigned char)*c->at))
		return parse_range(test, c, UINT32_MAX,
				   user ? "a user must follow, as in: uid 1000, or uid nobody"
					: "a group must follow, as in: gid 5, or gid mail");
	snprintf(name, sizeof(name), "%.*s", (int)len, c->at);
	passwd = user ? getpwnam(name) : NULL;
	group = user ? NULL : getgrnam(name);
	if (passwd == NULL && group == NULL)
		return cursor_fail(c, c->at, "there is no %s \"%s\" here", user ? "user" : "group", name);
	test->first = test->last = user ? passwd->pw_uid : group->gr_gid;
	c->at += len;
	return 0;
}

static int parse_mark(struct metadata_test *test, struct cursor *c, const char *what)
{
	int err = cursor_u32(c, UINT32_MAX, &test->first, &test->last, what);

	if (err == 0 && (test->first & ~test->last) != 0)
		return cursor_fail(c, c->at, "this never matches: the value has bits outside of the mask");
	return err;
}

static int parse_value(struct metadata_test *test, struct cursor *c)
{
	switch (test->kind) {
	case METADATA_IN:
	case METADATA_OUT:
		return parse_names(test, c);
	case METADATA_HOOK:
		return parse_set(test, c, hooks, COUNT(hooks),
				 "a hook must follow: PREROUTING, INPUT, FORWARD, OUTPUT or POSTROUTING");
	case METADATA_STATE:
		return parse_set(test, c, states, COUNT(states),
				 "a state must follow: new, established, related, invalid or untracked");
	case METADATA_MARK:
		return parse_mark(test, c, "a mark must follow, as in: mark 7, or mark 0x10/0xff");
	case METADATA_CTMARK:
		return parse_mark(test, c, "a mark must follow, as in: ctmark 7, or ctmark 0x10/0xff");
	case METADATA_UID:
	case METADATA_GID:
		return parse_owner(test, c, test->kind == METADATA_UID);
	case METADATA_LENGTH:
		return parse_range(test, c, UINT32_MAX,
				   "a number of bytes must follow, as in: length 100-200");
	default:
		return parse_range(test, c, 65535, "the number of a queue must follow, as in: queue 5");
	}
}

/* Whether the text is our "length 100-200", not pcap's "length > 100". */
static bool is_range_of_lengths(const struct cursor *c)
{
	const char *at = c->at + cursor_value_length(c->at);

	while (isspace((unsigned char)*at))
		at++;
	return isdigit((unsigned char)*at);
}

int metadata_parse(struct metadata_test *test, struct cursor *c)
{
	static const enum metadata_kind kinds[] = { METADATA_IN,    METADATA_OUT,    METADATA_HOOK,
						    METADATA_MARK,  METADATA_CTMARK, METADATA_UID,
						    METADATA_GID,   METADATA_STATE,  METADATA_LENGTH,
						    METADATA_QUEUE, METADATA_IN,     METADATA_OUT };
	size_t i;
	int err;

	*test = (struct metadata_test){ .names = NULL };
	for (i = 0; i < COUNT(kinds); i++)
		if (cursor_value_length(c->at) == strlen(metadata_words[i]) &&
		    strncmp(c->at, metadata_words[i], strlen(metadata_words[i])) == 0)
			break;
	if (i == COUNT(kinds) || (kinds[i] == METADATA_LENGTH && !is_range_of_lengths(c)))
		return 0;
	test->kind = kinds[i];
	c->at += strlen(metadata_words[i]);
	if (strcmp(metadata_words[i], "inbound") == 0 || strcmp(metadata_words[i], "outbound") == 0)
		return 1;
	cursor_skip_space(c);
	err = parse_value(test, c);
	if (err < 0)
		metadata_free(test);
	return err < 0 ? err : 1;
}

void metadata_free(struct metadata_test *test)
{
	free(test->names);
	test->names = NULL;
}

/* ---- matching ------------------------------------------------------------------------------------ */

static bool match_interface(const struct metadata_test *test, const struct subject *s)
{
	bool in = test->kind == METADATA_IN;
	const char *name;

	if ((s->packet->present & (in ? IPQ_HAS_INDEV : IPQ_HAS_OUTDEV)) == 0)
		return false;
	if (test->names == NULL)
		return true;
	if (s->queue == NULL)
		return false;
	name = ipq_queue_interface(s->queue, in ? s->packet->indev : s->packet->outdev, NULL);
	for (const char *pattern = test->names; *pattern != '\0'; pattern += strlen(pattern) + 1)
		if (fnmatch(pattern, name, 0) == 0)
			return true;
	return false;
}

static unsigned state_of(const struct ipq_packet *packet)
{
	uint32_t info = packet->conntrack_info;

	if ((packet->present & IPQ_HAS_CONNTRACK_INFO) == 0)
		return 1U << STATE_INVALID | 1U << STATE_UNTRACKED;
	if (info == CT_UNTRACKED)
		return 1U << STATE_UNTRACKED;
	if (info >= IP_CT_IS_REPLY)
		info -= IP_CT_IS_REPLY;
	return info <= IP_CT_NEW ? 1U << info : 0;
}

static bool match_ctmark(const struct metadata_test *test, const struct ipq_packet *packet)
{
	struct ipq_conntrack ct = { .size = sizeof(ct) };
	uint32_t mark = 0;

	if (ipq_packet_conntrack(packet, &ct) < 0)
		return false;
	if ((ct.present & IPQ_CT_HAS_MARK) != 0)
		mark = ct.mark;
	return (mark & test->last) == test->first;
}

static bool in_range(const struct metadata_test *test, uint32_t value)
{
	return value >= test->first && value <= test->last;
}

bool metadata_match(const struct metadata_test *test, const struct subject *s)
{
	const struct ipq_packet *packet = s->packet;

	switch (test->kind) {
	case METADATA_IN:
	case METADATA_OUT:
		return match_interface(test, s);
	case METADATA_HOOK:
		return (test->first & 1U << packet->hook) != 0;
	case METADATA_MARK:
		return (s->mark & test->last) == test->first;
	case METADATA_CTMARK:
		return match_ctmark(test, packet);
	case METADATA_UID:
		return (packet->present & IPQ_HAS_UID) != 0 && in_range(test, packet->uid);
	case METADATA_GID:
		return (packet->present & IPQ_HAS_GID) != 0 && in_range(test, packet->gid);
	case METADATA_STATE:
		return (test->first & state_of(packet)) != 0;
	case METADATA_LENGTH:
		return in_range(test, s->view->full_len);
	default:
		return in_range(test, s->queue_number);
	}
}

uint32_t metadata_flags(const struct metadata_test *test)
{
	switch (test->kind) {
	case METADATA_UID:
	case METADATA_GID:
		return IPQ_O_OWNER;
	case METADATA_STATE:
	case METADATA_CTMARK:
		return IPQ_O_CONNTRACK;
	default:
		return 0;
	}
}
