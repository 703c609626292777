/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* IPv6: a PF_INET6 handle; every packet must be one of version 6. */
#include <libipq.h>
#include <linux/netfilter.h>

int main(void)
{
	static unsigned char buf[66000];
	struct ipq_handle *h = ipq_create_handle(0, PF_INET6);

	if (!h || ipq_set_mode(h, IPQ_COPY_PACKET, 65535) < 0) {
		ipq_perror("six");
		return 1;
	}
	while (ipq_read(h, buf, sizeof(buf), 0) > 0) {
		ipq_packet_msg_t *m = ipq_get_packet(buf);

		if (ipq_message_type(buf) == IPQM_PACKET)
			ipq_set_verdict(h, m->packet_id, m->payload[0] >> 4 == 6 ? NF_ACCEPT : NF_DROP, 0,
					NULL);
	}
	ipq_perror("six");
	return 1;
}
