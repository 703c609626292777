/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Rules from arguments and files. */
#ifndef IPQ_FILTER_RULE_FILE_H
#define IPQ_FILTER_RULE_FILE_H

#include "filter/active_rules.h"

/* Adds all rules of the source. Prints all mistakes on stderr. 0, -EINVAL, -ENOMEM or the errno of a read. */
int rules_read(struct ruleset *set, const struct active_rules_source *from);

#endif
