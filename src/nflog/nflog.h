/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The room of the kernel's nfnetlink_log: a source of copies. The kernel sends a copy of each packet that a rule
 * logs (-j NFLOG, "log group") and does not wait for an answer: verdicts have no effect. May use source, util.
 */
#ifndef NFLOG_NFLOG_H
#define NFLOG_NFLOG_H

#include "source/source.h"

extern const struct source_ops source_nflog;

#endif
