/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Decides by the metadata of packets, with IPQ_COPY_META and a buffer of 128 bytes. It accepts packets from the
 * loopback device (ARPHRD type 772, an address of six bytes), at the INPUT hook, with mark 7 and a timestamp.
 */
#include <arpa/inet.h>
#include <libipq.h>
#include <linux/netfilter.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

int main(void)
{
	unsigned char buf[128];
	struct ipq_handle *h = ipq_create_handle(0, PF_INET);

	if (!h || ipq_set_mode(h, IPQ_COPY_META, 0) < 0) {
		ipq_perror("meta");
		return 1;
	}
	while (ipq_read(h, buf, sizeof(buf), 0) > 0) {
		ipq_packet_msg_t *m = ipq_get_packet(buf);
		long age = (long)time(NULL) - m->timestamp_sec;
		int ours;

		if (ipq_message_type(buf) != IPQM_PACKET)
			return 1;
		ours = strcmp(m->indev_name, "lo") == 0 && m->outdev_name[0] == 0 && m->hook == 1 &&
		       m->mark == 7 && m->data_len == 0 && m->hw_type == 772 &&
		       ntohs(m->hw_protocol) == 0x0800 && m->hw_addrlen == 6 &&
		       memcmp(m->hw_addr, "\0\0\0\0\0", 6) == 0 && age >= -1 && age <= 10;
		if (!ours)
			fprintf(stderr,
				"in %s out %s hook %u mark %lu len %zu type %u proto %#x addrlen %u time "
				"%ld\n",
				m->indev_name, m->outdev_name, m->hook, m->mark, m->data_len, m->hw_type,
				ntohs(m->hw_protocol), m->hw_addrlen, m->timestamp_sec);
		ipq_set_verdict(h, m->packet_id, ours ? NF_ACCEPT : NF_DROP, 0, NULL);
	}
	ipq_perror("meta");
	return 1;
}
