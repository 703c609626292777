/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Does a program that libpcap has optimized still match what it should? */
#ifndef IPQ_FILTER_PCAP_VERIFY_H
#define IPQ_FILTER_PCAP_VERIFY_H

#include <stdbool.h>
#include <pcap/pcap.h>

/* Compares the two over packets that are made from the offsets and constants of the first. */
bool pcap_programs_agree(const struct bpf_program *plain, const struct bpf_program *optimized);

#endif
