/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Declarations first, no inline, no //: compiled with -std=c89. It allocates exactly what a packet needs. */
#include <libipq.h>
#include <linux/netfilter.h>
#include <stdio.h>
#include <stdlib.h>

#define RANGE 1600

int main(int argc, char *argv[])
{
	size_t len = sizeof(struct nlmsghdr) + sizeof(ipq_packet_msg_t) + RANGE;
	unsigned char *buf;
	struct ipq_handle *h;
	ipq_packet_msg_t *m;

	buf = (unsigned char *)malloc(len);
	h = ipq_create_handle(0, PF_INET);
	if (h == NULL || buf == NULL) {
		ipq_perror(argv[0]);
		exit(1);
	}
	if (ipq_set_mode(h, IPQ_COPY_PACKET, RANGE) == -1) {
		ipq_perror(argv[0]);
		exit(1);
	}
	while (argc) {
		if (ipq_read(h, buf, len, 0) < 0) {
			ipq_perror(argv[0]);
			exit(1);
		}
		if (ipq_message_type(buf) != IPQM_PACKET)
			continue;
		m = ipq_get_packet(buf);
		if (ipq_set_verdict(h, m->packet_id, NF_ACCEPT, 0, NULL) < 0) {
			ipq_perror(argv[0]);
			exit(1);
		}
	}
	return 0;
}
