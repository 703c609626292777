// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * This is a test at compile time: every offset that binaries of 2001 contain, for both word sizes.
 */
#include <stddef.h>
#include <libipq.h>

#if __SIZEOF_LONG__ == 8
#define OFFSET(type, member, lp64, ilp32) _Static_assert(offsetof(type, member) == lp64, #type "." #member)
#define SIZE(type, lp64, ilp32) _Static_assert(sizeof(type) == lp64, #type)
#else
#define OFFSET(type, member, lp64, ilp32) _Static_assert(offsetof(type, member) == ilp32, #type "." #member)
#define SIZE(type, lp64, ilp32) _Static_assert(sizeof(type) == ilp32, #type)
#endif

OFFSET(ipq_packet_msg_t, packet_id, 0, 0);
OFFSET(ipq_packet_msg_t, mark, 8, 4);
OFFSET(ipq_packet_msg_t, timestamp_sec, 16, 8);
OFFSET(ipq_packet_msg_t, timestamp_usec, 24, 12);
OFFSET(ipq_packet_msg_t, hook, 32, 16);
OFFSET(ipq_packet_msg_t, indev_name, 36, 20);
OFFSET(ipq_packet_msg_t, outdev_name, 52, 36);
OFFSET(ipq_packet_msg_t, hw_protocol, 68, 52);
OFFSET(ipq_packet_msg_t, hw_type, 70, 54);
OFFSET(ipq_packet_msg_t, hw_addrlen, 72, 56);
OFFSET(ipq_packet_msg_t, hw_addr, 73, 57);
OFFSET(ipq_packet_msg_t, data_len, 88, 68);
OFFSET(ipq_packet_msg_t, payload, 96, 72);
SIZE(ipq_packet_msg_t, 96, 72);

OFFSET(ipq_mode_msg_t, value, 0, 0);
OFFSET(ipq_mode_msg_t, range, 8, 4);
SIZE(ipq_mode_msg_t, 16, 8);

OFFSET(ipq_verdict_msg_t, value, 0, 0);
OFFSET(ipq_verdict_msg_t, id, 8, 4);
OFFSET(ipq_verdict_msg_t, data_len, 16, 8);
OFFSET(ipq_verdict_msg_t, payload, 24, 12);
SIZE(ipq_verdict_msg_t, 24, 12);

SIZE(ipq_peer_msg_t, 24, 12);
SIZE(ipq_id_t, 8, 4);

OFFSET(struct ipq_handle, fd, 0, 0);
OFFSET(struct ipq_handle, blocking, 4, 4);
OFFSET(struct ipq_handle, local, 8, 8);
OFFSET(struct ipq_handle, peer, 20, 20);
SIZE(struct ipq_handle, 32, 32);

_Static_assert(IPQ_COPY_NONE == 0 && IPQ_COPY_META == 1 && IPQ_COPY_PACKET == 2 && IPQ_COPY_MAX == 2,
	       "modes");
_Static_assert(IPQM_BASE == 0x10 && IPQM_MODE == 0x11 && IPQM_VERDICT == 0x12 && IPQM_PACKET == 0x13 &&
		       IPQM_MAX == 0x14,
	       "message types");
_Static_assert(NETLINK_FIREWALL == 3 && NETLINK_IP6_FW == 13, "netlink families");

/* 32 bits as on x86, where a 64-bit number is aligned to four bytes. */
#if __SIZEOF_LONG__ == 8 || defined(__i386__)
OFFSET(struct ipq_ctl_stats, size, 0, 0);
OFFSET(struct ipq_ctl_stats, packets, 8, 4);
OFFSET(struct ipq_ctl_stats, verdicts, 16, 12);
OFFSET(struct ipq_ctl_stats, refused, 24, 20);
OFFSET(struct ipq_ctl_stats, foreign, 32, 28);
OFFSET(struct ipq_ctl_stats, lost, 40, 36);
OFFSET(struct ipq_ctl_stats, queue_dropped, 48, 44);
OFFSET(struct ipq_ctl_stats, waiting, 56, 52);
SIZE(struct ipq_ctl_stats, 64, 60);
#endif

_Static_assert(IPQ_CTL_QUEUE_LENGTH == 0x1001 && IPQ_CTL_RECEIVE_BUFFER == 0x1002 &&
		       IPQ_CTL_FAIL_OPEN == 0x1003 && IPQ_CTL_BATCH == 0x1004 && IPQ_CTL_STATS == 0x1005 &&
		       IPQ_CTL_EXPLAIN == 0x1006,
	       "requests of ipq_ctl");
