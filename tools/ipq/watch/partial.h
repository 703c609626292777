/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef IPQ_WATCH_PARTIAL_H
#define IPQ_WATCH_PARTIAL_H

#include <stdbool.h>
#include <ipq.h>

/*
 * Is the transport checksum left to a device? nfnetlink_log does not report it (IPQ_PACKET_CHECKSUM_NOT_READY), but the
 * field holds the sum of the pseudo-header then. A complete checksum that has this value by chance does not change
 * when it is completed once more.
 */
bool is_checksum_partial(const struct ipq_packet *packet);

#endif
