/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Gives NF_STOLEN to every packet whose text begins with "secret", and NF_STOP to the others. */
#include <libipq.h>
#include <linux/netfilter.h>
#include <stdio.h>
#include <string.h>

#ifndef NF_STOP
#define NF_STOP 5
#endif

int main(void)
{
	static unsigned char buf[1500];
	struct ipq_handle *h = ipq_create_handle(0, PF_INET);

	if (!h || ipq_set_mode(h, IPQ_COPY_PACKET, 1000) < 0) {
		ipq_perror("steal");
		return 1;
	}
	while (ipq_read(h, buf, sizeof(buf), 0) > 0) {
		ipq_packet_msg_t *m = ipq_get_packet(buf);

		if (ipq_message_type(buf) != IPQM_PACKET) {
			fprintf(stderr, "error %d\n", ipq_get_msgerr(buf));
			return 1;
		}
		if (m->data_len >= 34 && memcmp(m->payload + 28, "secret", 6) == 0)
			ipq_set_verdict(h, m->packet_id, NF_STOLEN, 0, NULL);
		else
			ipq_set_verdict(h, m->packet_id, NF_STOP, 0, NULL);
	}
	ipq_perror("steal");
	return 1;
}
