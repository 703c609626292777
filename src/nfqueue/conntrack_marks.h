/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The marks and counters of connections, through the kernel's conntrack netlink interface. Needs CAP_NET_ADMIN. */
#ifndef NFQUEUE_CONNTRACK_MARKS_H
#define NFQUEUE_CONNTRACK_MARKS_H

#include <ipq.h>

/* In every connection whose bits `mask` have this value, clears these bits. 0 or -errno. */
int conntrack_clear_marks(uint32_t value, uint32_t mask);
/* Does the same for the connection that has this tuple in one of its directions. -ENOENT: no connection has it. */
int conntrack_clear_mark(const struct ipq_tuple *tuple, uint32_t mask);
/*
 * Packets and bytes that have passed in both directions. -ENOENT: no such connection; -ENODATA: the kernel does not
 * count (nf_conntrack_acct).
 */
int conntrack_counters(const struct ipq_tuple *tuple, uint64_t *packets, uint64_t *bytes);

#endif
