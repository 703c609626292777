/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Delays traffic: holds eight packets, then accepts them in reverse order. After 0.2 s without a new packet, it
 * accepts the packets that it holds.
 */
#include <libipq.h>
#include <linux/netfilter.h>
#include <stdio.h>
#include <string.h>

#define HOLD 8

int main(void)
{
	static unsigned char buf[2000];
	struct ipq_handle *h = ipq_create_handle(0, PF_INET);
	ipq_id_t held[HOLD];
	int n = 0;

	if (!h || ipq_set_mode(h, IPQ_COPY_META, 0) < 0) {
		ipq_perror("hold");
		return 1;
	}
	for (;;) {
		ssize_t got = ipq_read(h, buf, sizeof(buf), 200000);

		if (got < 0) {
			ipq_perror("hold");
			return 1;
		}
		if (got == 0 && strcmp(ipq_errstr(), "Timeout") != 0) {
			fprintf(stderr, "0, but: %s\n", ipq_errstr());
			return 1;
		}
		if (got > 0) {
			if (ipq_message_type(buf) != IPQM_PACKET)
				return 1;
			held[n++] = ipq_get_packet(buf)->packet_id;
		}
		if (n == HOLD || got == 0)
			while (n > 0)
				if (ipq_set_verdict(h, held[--n], NF_ACCEPT, 0, NULL) < 0)
					return 1;
	}
}
