/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * classic: a program in the style of 2001. It accepts every packet and prints a line for each. It needs only -lipq,
 * and also runs on a capture file:
 *
 *	iptables -A INPUT -p icmp -j QUEUE
 *	IPQ_SOURCE=pcap:in.pcap ./classic
 */
#include <linux/netfilter.h>
#include <stdio.h>
#include <libipq.h>

int main(void)
{
	static unsigned char buf[65536 + 128];
	struct ipq_handle *h = ipq_create_handle(0, PF_INET);
	ipq_packet_msg_t *m;

	if (h == NULL || ipq_set_mode(h, IPQ_COPY_PACKET, 128) < 0)
		goto fail;
	while (ipq_read(h, buf, sizeof(buf), 0) > 0) {
		switch (ipq_message_type(buf)) {
		case NLMSG_ERROR: /* an earlier request failed, mostly because its packet no longer existed */
			fprintf(stderr, "classic: error %d\n", ipq_get_msgerr(buf));
			break;
		case IPQM_PACKET:
			m = ipq_get_packet(buf);
			printf("packet %lu: %zu bytes, in %s, out %s, mark %lu\n", m->packet_id, m->data_len,
			       m->indev_name[0] ? m->indev_name : "-",
			       m->outdev_name[0] ? m->outdev_name : "-", m->mark);
			fflush(stdout);
			if (ipq_set_verdict(h, m->packet_id, NF_ACCEPT, 0, NULL) < 0)
				goto fail;
			break;
		}
	}
fail:
	ipq_perror("classic");
	ipq_destroy_handle(h);
	return 1;
}
