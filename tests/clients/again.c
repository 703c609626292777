/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Queues each packet again with NF_QUEUE before it accepts it. It also accepts the old id, as one old program did: no
 * packet has that id any more, so an error message arrives, which does no harm. It recognises a packet by the
 * identification in its IP header.
 */
#include <libipq.h>
#include <linux/netfilter.h>
#include <stdio.h>

static unsigned char seen[65536];

int main(void)
{
	static unsigned char buf[2048];
	struct ipq_handle *h = ipq_create_handle(0, PF_INET);
	ipq_id_t first = 0;

	if (!h || ipq_set_mode(h, IPQ_COPY_PACKET, 64) < 0) {
		ipq_perror("again");
		return 1;
	}
	while (ipq_read(h, buf, sizeof(buf), 0) > 0) {
		ipq_packet_msg_t *m = ipq_get_packet(buf);
		unsigned id;

		if (ipq_message_type(buf) == NLMSG_ERROR) {
			if (ipq_get_msgerr(buf) != ENOENT) {
				fprintf(stderr, "error %d\n", ipq_get_msgerr(buf));
				return 1;
			}
			continue;
		}
		id = m->payload[4] << 8 | m->payload[5];
		if (!seen[id]) {
			seen[id] = 1;
			first = m->packet_id;
			ipq_set_verdict(h, m->packet_id, NF_QUEUE, 0, NULL);
			ipq_set_verdict(h, first, NF_ACCEPT, 0, NULL);
			continue;
		}
		seen[id] = 0;
		if (m->packet_id == first) {
			fprintf(stderr, "requeued under its old id\n");
			return 1;
		}
		if (ipq_set_verdict(h, m->packet_id, NF_ACCEPT, 0, NULL) < 0)
			return 1;
	}
	ipq_perror("again");
	return 1;
}
