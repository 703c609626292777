/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Checks rules against the session whose packets they are to decide. */
#ifndef IPQ_FILTER_RULE_CHECK_H
#define IPQ_FILTER_RULE_CHECK_H

#include "filter/active_rules.h"
#include "session/session.h"

/* Can these rules decide the packets of this session? records: -w. If not, the reason is on stderr. */
bool rules_fit(const struct ruleset *set, const struct session *s, bool records);

/* Prints warnings about valid rules that may not do what was intended. */
void rules_warn(const struct active_rules *rules, const struct session *s);

#endif
