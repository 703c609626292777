// SPDX-License-Identifier: LGPL-2.1-or-later
/* A program that reads the handle's descriptor itself. Accepts three packets. */
#include <linux/netfilter.h>
#include <libipq.h>

int main(void)
{
	static unsigned char buf[70000];
	struct ipq_handle *h = ipq_create_handle(0, PF_INET);
	int i;

	if (h == NULL || ipq_set_mode(h, IPQ_COPY_PACKET, 0) < 0) {
		ipq_perror("own_reader");
		return 1;
	}
	for (i = 0; i < 3; i++)
		if (recv(h->fd, buf, sizeof(buf), 0) <= 0 || ipq_message_type(buf) != IPQM_PACKET ||
		    ipq_set_verdict(h, ipq_get_packet(buf)->packet_id, NF_ACCEPT, 0, NULL) < 0)
			return 1;
	return ipq_destroy_handle(h);
}
