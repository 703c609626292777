/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A daemon with other work: select on h->fd and on its standard input, and one ipq_read with timeout 0 each time
 * that h->fd is readable. The program would hang after a wakeup without a packet, and also if a packet caused no
 * wakeup.
 */
#include <libipq/libipq.h>
#include <linux/netfilter.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/select.h>
#include <sys/time.h>

int main(void)
{
	static unsigned char buf[65536 + 128];
	struct ipq_handle *h = ipq_create_handle(0, PF_INET);

	if (!h || ipq_set_mode(h, IPQ_COPY_PACKET, 65535) <= 0) {
		ipq_perror("select");
		return 1;
	}
	for (;;) {
		struct timeval tv = { 1, 0 };
		fd_set fds;
		int n;

		FD_ZERO(&fds);
		FD_SET(h->fd, &fds);
		n = select(h->fd + 1, &fds, NULL, NULL, &tv);
		if (n < 0) {
			perror("select");
			return 1;
		}
		if (n == 0 || !FD_ISSET(h->fd, &fds))
			continue;
		if (ipq_read(h, buf, sizeof(buf), 0) <= 0) {
			ipq_perror("read");
			return 1;
		}
		if (ipq_message_type(buf) == IPQM_PACKET) {
			ipq_packet_msg_t *m = ipq_get_packet(buf);

			if (ipq_set_verdict(h, m->packet_id, NF_ACCEPT, 0, NULL) <= 0)
				return 1;
		}
	}
}
