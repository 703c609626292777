/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Checks that a program optimized by libpcap matches the same packets as before. */
#ifndef IPQ_FILTER_PCAP_VERIFY_H
#define IPQ_FILTER_PCAP_VERIFY_H

#include <stdbool.h>
#include <pcap/pcap.h>

/* Compares the two programs on test packets, which are made from the offsets and constants of the first program. */
bool pcap_programs_agree(const struct bpf_program *plain, const struct bpf_program *optimized);

#endif
