/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Repeats every packet (NF_REPEAT): it passes the rules of the hook twice. */
#include <libipq.h>
#include <linux/netfilter.h>

int main(void)
{
	static unsigned char buf[512];
	struct ipq_handle *h = ipq_create_handle(0, PF_INET);

	if (!h || ipq_set_mode(h, IPQ_COPY_META, 0) < 0) {
		ipq_perror("repeat");
		return 1;
	}
	while (ipq_read(h, buf, sizeof(buf), 0) > 0)
		if (ipq_message_type(buf) == IPQM_PACKET)
			ipq_set_verdict(h, ipq_get_packet(buf)->packet_id, NF_REPEAT, 0, NULL);
	ipq_perror("repeat");
	return 1;
}
