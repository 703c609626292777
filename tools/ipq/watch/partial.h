/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef IPQ_WATCH_PARTIAL_H
#define IPQ_WATCH_PARTIAL_H

#include <stdbool.h>
#include <ipq.h>

/*
 * Whether a device must complete the transport checksum. nfnetlink_log does not report that
 * (IPQ_PACKET_CHECKSUM_NOT_READY), but then the field holds the sum of the pseudo-header. If a complete checksum
 * has the same value by chance, completing it again does not change it.
 */
bool is_checksum_partial(const struct ipq_packet *packet);

#endif
