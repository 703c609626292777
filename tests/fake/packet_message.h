/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reads a packet message as a program does, in either word size. The structs are defined here a second time on
 * purpose, to check the definitions of the library. */
#ifndef PACKET_MESSAGE_H
#define PACKET_MESSAGE_H

#include <endian.h>
#include <stdbool.h>
#include <string.h>
#include <linux/netfilter_ipv4/ip_queue.h>
#include "ipqueue/messages.h"

#define PACKET_MESSAGE(name, word, sword, pad)                                    \
	struct __attribute__((packed)) name {                                     \
		uint32_t nlmsg_len;                                               \
		uint16_t nlmsg_type, nlmsg_flags;                                 \
		uint32_t nlmsg_seq, nlmsg_pid;                                    \
		word packet_id, mark;                                             \
		sword timestamp_sec, timestamp_usec;                              \
		uint32_t hook;                                                    \
		char indev[16], outdev[16];                                       \
		uint16_t hw_protocol, hw_type;                                    \
		uint8_t hw_addrlen, hw_addr[8], unused[pad];                      \
		word data_len;                                                    \
	};                                                                        \
	static inline size_t read_##name(const void *buf, struct wire_packet *p)  \
	{                                                                         \
		struct name m;                                                    \
                                                                                  \
		memcpy(&m, buf, sizeof(m));                                       \
		*p = (struct wire_packet){ .packet_id = m.packet_id,              \
					   .mark = m.mark,                        \
					   .timestamp_sec = m.timestamp_sec,      \
					   .timestamp_usec = m.timestamp_usec,    \
					   .hook = m.hook,                        \
					   .hw_protocol = be16toh(m.hw_protocol), \
					   .hw_type = m.hw_type,                  \
					   .hw_addrlen = m.hw_addrlen };          \
		memcpy(p->indev, m.indev, sizeof(p->indev));                      \
		memcpy(p->outdev, m.outdev, sizeof(p->outdev));                   \
		memcpy(p->hw_addr, m.hw_addr, sizeof(p->hw_addr));                \
		return (size_t)m.data_len;                                        \
	}

PACKET_MESSAGE(packet_message_lp64, uint64_t, int64_t, 7)
PACKET_MESSAGE(packet_message_ilp32, uint32_t, int32_t, 3)

/* Returns false if the n bytes of buf are not exactly one packet message. *payload points into buf. */
static inline bool get_packet(enum wire_layout layout, const void *buf, size_t n, struct wire_packet *p,
			      const void **payload, size_t *payload_len)
{
	size_t head = layout == WIRE_LP64 ? sizeof(struct packet_message_lp64)
					  : sizeof(struct packet_message_ilp32);
	struct nlmsghdr nlh;

	*p = (struct wire_packet){ 0 };
	*payload_len = 0;
	if (n < head)
		return false;
	memcpy(&nlh, buf, sizeof(nlh));
	*payload_len =
		layout == WIRE_LP64 ? read_packet_message_lp64(buf, p) : read_packet_message_ilp32(buf, p);
	*payload = (const unsigned char *)buf + head;
	return nlh.nlmsg_type == IPQM_PACKET && nlh.nlmsg_len >= head && nlh.nlmsg_len <= NLMSG_ALIGN(n) &&
	       *payload_len <= n - head && *payload_len <= nlh.nlmsg_len - head;
}

#endif
