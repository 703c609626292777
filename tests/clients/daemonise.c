/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Creates its handle while it can still print errors on the terminal, then becomes a daemon, then sets the mode.
 */
#include <libipq.h>
#include <linux/netfilter.h>
#include <stdio.h>
#include <stdlib.h>

int main(void)
{
	static unsigned char buf[4096];
	struct ipq_handle *h = ipq_create_handle(0, PF_INET);

	if (!h) {
		ipq_perror("daemonise");
		return 1;
	}
#ifdef MODE_FIRST
	if (ipq_set_mode(h, IPQ_COPY_PACKET, 256) < 0)
		return 1;
#endif
	if (daemon(1, 1) < 0)
		return 1;
#ifndef MODE_FIRST
	if (ipq_set_mode(h, IPQ_COPY_PACKET, 256) < 0) {
		ipq_perror("daemonise");
		return 1;
	}
#endif
	for (;;) {
		if (ipq_read(h, buf, sizeof(buf), 0) <= 0)
			return 1;
		if (ipq_message_type(buf) == IPQM_PACKET)
			ipq_set_verdict(h, ipq_get_packet(buf)->packet_id, NF_ACCEPT, 0, NULL);
	}
}
