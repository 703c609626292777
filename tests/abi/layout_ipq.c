// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * This is a test at compile time: the sizes and offsets that binaries for <ipq.h> and <ipq_edit.h> contain, for both
 * word sizes of x86. struct ipq_packet and struct ipq_edit have no size member, and are written by one side and read by
 * the other: new fields replace reserved ones. The structs that begin with their size may grow, but only at the end;
 * then change only their SIZE here.
 */
#include <stddef.h>
#include <ipq.h>
#include <ipq_edit.h>

#if __SIZEOF_LONG__ == 8
#define OFFSET(type, member, lp64, ilp32) _Static_assert(offsetof(type, member) == lp64, #type "." #member)
#define SIZE(type, lp64, ilp32) _Static_assert(sizeof(type) == lp64, #type)
#else
#define OFFSET(type, member, lp64, ilp32) _Static_assert(offsetof(type, member) == ilp32, #type "." #member)
#define SIZE(type, lp64, ilp32) _Static_assert(sizeof(type) == ilp32, #type)
#endif
#define VALUE(name, value) _Static_assert((name) == (value), #name)

OFFSET(struct ipq_options, size, 0, 0);
OFFSET(struct ipq_options, flags, 8, 4);
OFFSET(struct ipq_options, copy_range, 12, 8);
OFFSET(struct ipq_options, queue_length, 16, 12);
OFFSET(struct ipq_options, receive_buffer, 20, 16);
OFFSET(struct ipq_options, spin_usec, 24, 20);
OFFSET(struct ipq_options, error, 32, 28);
OFFSET(struct ipq_options, error_size, 40, 32);
OFFSET(struct ipq_options, flow_mask, 48, 36);
OFFSET(struct ipq_options, flow_mark, 52, 40);
OFFSET(struct ipq_options, flow_max, 56, 44);
SIZE(struct ipq_options, 64, 52);

OFFSET(struct ipq_packet, present, 0, 0);
OFFSET(struct ipq_packet, flags, 4, 4);
OFFSET(struct ipq_packet, id, 8, 8);
OFFSET(struct ipq_packet, family, 12, 12);
OFFSET(struct ipq_packet, hook, 13, 13);
OFFSET(struct ipq_packet, hw_protocol, 14, 14);
OFFSET(struct ipq_packet, payload, 16, 16);
OFFSET(struct ipq_packet, payload_len, 24, 20);
OFFSET(struct ipq_packet, full_len, 28, 24);
OFFSET(struct ipq_packet, timestamp, 32, 28);
OFFSET(struct ipq_packet, mark, 40, 36);
OFFSET(struct ipq_packet, indev, 44, 40);
OFFSET(struct ipq_packet, outdev, 48, 44);
OFFSET(struct ipq_packet, physindev, 52, 48);
OFFSET(struct ipq_packet, physoutdev, 56, 52);
OFFSET(struct ipq_packet, uid, 60, 56);
OFFSET(struct ipq_packet, gid, 64, 60);
OFFSET(struct ipq_packet, priority, 68, 64);
OFFSET(struct ipq_packet, cgroup, 72, 68);
OFFSET(struct ipq_packet, vlan_proto, 76, 72);
OFFSET(struct ipq_packet, vlan_tci, 78, 74);
OFFSET(struct ipq_packet, hw_addr, 80, 76);
OFFSET(struct ipq_packet, hw_addr_len, 88, 84);
OFFSET(struct ipq_packet, link_header_len, 90, 86);
OFFSET(struct ipq_packet, link_header, 96, 88);
OFFSET(struct ipq_packet, security_context, 104, 92);
OFFSET(struct ipq_packet, security_context_len, 112, 96);
OFFSET(struct ipq_packet, conntrack_len, 114, 98);
OFFSET(struct ipq_packet, conntrack_info, 116, 100);
OFFSET(struct ipq_packet, conntrack, 120, 104);
OFFSET(struct ipq_packet, expectation, 128, 108);
OFFSET(struct ipq_packet, expectation_len, 136, 112);
SIZE(struct ipq_packet, 192, 168);

OFFSET(struct ipq_tuple, family, 0, 0);
OFFSET(struct ipq_tuple, protocol, 1, 1);
OFFSET(struct ipq_tuple, source_port, 2, 2);
OFFSET(struct ipq_tuple, destination_port, 4, 4);
OFFSET(struct ipq_tuple, icmp_type, 6, 6);
OFFSET(struct ipq_tuple, icmp_code, 7, 7);
OFFSET(struct ipq_tuple, source, 8, 8);
OFFSET(struct ipq_tuple, destination, 24, 24);
SIZE(struct ipq_tuple, 40, 40);

OFFSET(struct ipq_conntrack, size, 0, 0);
OFFSET(struct ipq_conntrack, present, 8, 4);
OFFSET(struct ipq_conntrack, id, 12, 8);
OFFSET(struct ipq_conntrack, status, 16, 12);
OFFSET(struct ipq_conntrack, mark, 20, 16);
OFFSET(struct ipq_conntrack, timeout, 24, 20);
OFFSET(struct ipq_conntrack, zone, 28, 24);
OFFSET(struct ipq_conntrack, tcp_state, 30, 26);
OFFSET(struct ipq_conntrack, original, 32, 28);
OFFSET(struct ipq_conntrack, reply, 72, 68);
OFFSET(struct ipq_conntrack, labels, 112, 108);
SIZE(struct ipq_conntrack, 128, 124);

OFFSET(struct ipq_verdict, size, 0, 0);
OFFSET(struct ipq_verdict, present, 8, 4);
OFFSET(struct ipq_verdict, code, 12, 8);
OFFSET(struct ipq_verdict, queue, 16, 12);
OFFSET(struct ipq_verdict, vlan_proto, 18, 14);
OFFSET(struct ipq_verdict, vlan_tci, 20, 16);
OFFSET(struct ipq_verdict, mark, 24, 20);
OFFSET(struct ipq_verdict, priority, 28, 24);
OFFSET(struct ipq_verdict, conntrack_mark, 32, 28);
OFFSET(struct ipq_verdict, conntrack_mark_mask, 36, 32);
OFFSET(struct ipq_verdict, conntrack_labels, 40, 36);
OFFSET(struct ipq_verdict, payload, 56, 52);
OFFSET(struct ipq_verdict, payload_len, 64, 56);
SIZE(struct ipq_verdict, 72, 60);

OFFSET(struct ipq_stats, size, 0, 0);
OFFSET(struct ipq_stats, received, 8, 4);
OFFSET(struct ipq_stats, accepted, 16, 12);
OFFSET(struct ipq_stats, dropped, 24, 20);
OFFSET(struct ipq_stats, other, 32, 28);
OFFSET(struct ipq_stats, replaced, 40, 36);
OFFSET(struct ipq_stats, refused, 48, 44);
OFFSET(struct ipq_stats, lost, 56, 52);
OFFSET(struct ipq_stats, queue_dropped, 64, 60);
OFFSET(struct ipq_stats, malformed, 72, 68);
OFFSET(struct ipq_stats, waiting, 80, 76);
OFFSET(struct ipq_stats, receives, 88, 84);
OFFSET(struct ipq_stats, sends, 96, 92);
SIZE(struct ipq_stats, 104, 100);

OFFSET(struct ipq_group_options, size, 0, 0);
OFFSET(struct ipq_group_options, first, 8, 4);
OFFSET(struct ipq_group_options, count, 12, 8);
OFFSET(struct ipq_group_options, pin, 16, 12);
OFFSET(struct ipq_group_options, batch, 20, 16);
OFFSET(struct ipq_group_options, queue, 24, 20);
OFFSET(struct ipq_group_options, error, 32, 24);
OFFSET(struct ipq_group_options, error_size, 40, 28);
OFFSET(struct ipq_group_options, restarts, 48, 32);
OFFSET(struct ipq_group_options, reserved, 52, 36);
SIZE(struct ipq_group_options, 56, 40);

OFFSET(struct ipq_edit, data, 0, 0);
OFFSET(struct ipq_edit, len, 8, 4);
OFFSET(struct ipq_edit, room, 12, 8);
OFFSET(struct ipq_edit, flags, 16, 12);
OFFSET(struct ipq_edit, transport_error, 20, 16);
OFFSET(struct ipq_edit, version, 24, 20);
OFFSET(struct ipq_edit, protocol, 25, 21);
OFFSET(struct ipq_edit, reason, 26, 22);
OFFSET(struct ipq_edit, transport, 28, 24);
OFFSET(struct ipq_edit, transport_len, 32, 28);
OFFSET(struct ipq_edit, payload, 36, 32);
OFFSET(struct ipq_edit, payload_len, 40, 36);
OFFSET(struct ipq_edit, checksum, 44, 40);
OFFSET(struct ipq_edit, covered, 48, 44);
OFFSET(struct ipq_edit, final_source, 52, 48);
OFFSET(struct ipq_edit, final_destination, 56, 52);
SIZE(struct ipq_edit, 88, 80);

VALUE(IPQ_O_META_ONLY, 0x1);
VALUE(IPQ_O_FAIL_OPEN, 0x2);
VALUE(IPQ_O_SEGMENT, 0x4);
VALUE(IPQ_O_CONNTRACK, 0x8);
VALUE(IPQ_O_OWNER, 0x10);
VALUE(IPQ_O_SECURITY_CONTEXT, 0x20);
VALUE(IPQ_O_TIMESTAMP, 0x40);
VALUE(IPQ_O_BEST_EFFORT, 0x80);

VALUE(IPQ_HAS_MARK, 0x1);
VALUE(IPQ_HAS_TIMESTAMP, 0x2);
VALUE(IPQ_HAS_INDEV, 0x4);
VALUE(IPQ_HAS_OUTDEV, 0x8);
VALUE(IPQ_HAS_PHYSINDEV, 0x10);
VALUE(IPQ_HAS_PHYSOUTDEV, 0x20);
VALUE(IPQ_HAS_HWADDR, 0x40);
VALUE(IPQ_HAS_PAYLOAD, 0x80);
VALUE(IPQ_HAS_UID, 0x100);
VALUE(IPQ_HAS_GID, 0x200);
VALUE(IPQ_HAS_SECURITY_CONTEXT, 0x400);
VALUE(IPQ_HAS_VLAN, 0x800);
VALUE(IPQ_HAS_LINK_HEADER, 0x1000);
VALUE(IPQ_HAS_PRIORITY, 0x2000);
VALUE(IPQ_HAS_CGROUP, 0x4000);
VALUE(IPQ_HAS_CONNTRACK, 0x8000);
VALUE(IPQ_HAS_CONNTRACK_INFO, 0x10000);
VALUE(IPQ_HAS_EXPECTATION, 0x20000);

VALUE(IPQ_PACKET_CHECKSUM_NOT_READY, 0x1);
VALUE(IPQ_PACKET_GSO, 0x2);
VALUE(IPQ_PACKET_CHECKSUM_NOT_VERIFIED, 0x4);
VALUE(IPQ_PACKET_TRUNCATED, 0x8);

VALUE(IPQ_CT_HAS_ID, 0x1);
VALUE(IPQ_CT_HAS_STATUS, 0x2);
VALUE(IPQ_CT_HAS_MARK, 0x4);
VALUE(IPQ_CT_HAS_TIMEOUT, 0x8);
VALUE(IPQ_CT_HAS_ZONE, 0x10);
VALUE(IPQ_CT_HAS_TCP_STATE, 0x20);
VALUE(IPQ_CT_HAS_ORIGINAL, 0x40);
VALUE(IPQ_CT_HAS_REPLY, 0x80);
VALUE(IPQ_CT_HAS_LABELS, 0x100);

VALUE(IPQ_SET_MARK, 0x1);
VALUE(IPQ_SET_PRIORITY, 0x2);
VALUE(IPQ_SET_CONNTRACK_MARK, 0x4);
VALUE(IPQ_SET_CONNTRACK_LABELS, 0x8);
VALUE(IPQ_SET_VLAN, 0x10);
VALUE(IPQ_SET_PAYLOAD, 0x20);

VALUE(IPQ_DROP, 0);
VALUE(IPQ_ACCEPT, 0x1);
VALUE(IPQ_QUEUE, 0x3);
VALUE(IPQ_REPEAT, 0x4);
VALUE(IPQ_STOP, 0x5);

VALUE(IPQ_EDIT_CHECKSUM_NOT_READY, 0x1);
VALUE(IPQ_EDIT_FRAGMENT, 0x100);
VALUE(IPQ_EDIT_LATER_FRAGMENT, 0x200);
VALUE(IPQ_EDIT_AUTHENTICATED, 0x400);

VALUE(IPQ_TCP_FIN, 0x1);
VALUE(IPQ_TCP_SYN, 0x2);
VALUE(IPQ_TCP_RST, 0x4);
VALUE(IPQ_TCP_PSH, 0x8);
VALUE(IPQ_TCP_ACK, 0x10);
VALUE(IPQ_TCP_URG, 0x20);
VALUE(IPQ_TCP_ECE, 0x40);
VALUE(IPQ_TCP_CWR, 0x80);
VALUE(IPQ_TCP_AE, 0x100);

VALUE(IPQ_CHECKSUM_NETWORK_WRONG, 0x1);
VALUE(IPQ_CHECKSUM_TRANSPORT_WRONG, 0x2);

_Static_assert(IPQ_FOREVER == -1, "IPQ_FOREVER");
