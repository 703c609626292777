/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef IPQ_WATCH_PARTIAL_H
#define IPQ_WATCH_PARTIAL_H

#include <stdbool.h>
#include <ipq.h>

/*
 * Is the transport checksum left to a device? nfnetlink_log does not report it (IPQ_PACKET_CHECKSUM_NOT_READY), but the
 * field holds the sum of the pseudo-header then. If a complete checksum has this value by chance, completing it again
 * does not change it.
 */
bool is_checksum_partial(const struct ipq_packet *packet);

#endif
