/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Checks whether rules can be used in a session. */
#ifndef IPQ_FILTER_RULE_CHECK_H
#define IPQ_FILTER_RULE_CHECK_H

#include "filter/active_rules.h"
#include "session/session.h"

/*
 * Whether these rules can decide the packets of this session. records: the option -w was given. If they cannot, the
 * reason is printed on stderr.
 */
bool rules_fit(const struct ruleset *set, const struct session *s, bool records);

/* Prints warnings about valid rules that may not do what was intended. */
void rules_warn(const struct active_rules *rules, const struct session *s);

#endif
