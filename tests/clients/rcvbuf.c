/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sets its own receive buffer, sleeps during a burst that fits into it, and must receive the whole burst. */
#include <libipq.h>
#include <linux/netfilter.h>
#include <stdio.h>
#include <sys/socket.h>

int main(void)
{
	static unsigned char buf[2048];
	struct ipq_handle *h = ipq_create_handle(0, PF_INET);
	int want = 180000, got = 0;
	socklen_t len = sizeof(got);

	if (!h || ipq_set_mode(h, IPQ_COPY_PACKET, 1500) < 0 ||
	    setsockopt(h->fd, SOL_SOCKET, SO_RCVBUF, &want, sizeof(want)) < 0) {
		ipq_perror("rcvbuf");
		return 1;
	}
	getsockopt(h->fd, SOL_SOCKET, SO_RCVBUF, &got, &len);
	if (got != 2 * want) {
		fprintf(stderr, "asked for %d, have %d\n", want, got);
		return 1;
	}
	for (;;) {
		usleep(2000);
		if (ipq_read(h, buf, sizeof(buf), 0) < 0) {
			ipq_perror("rcvbuf");
			return 1;
		}
		if (ipq_message_type(buf) == IPQM_PACKET)
			ipq_set_verdict(h, ipq_get_packet(buf)->packet_id, NF_ACCEPT, 0, NULL);
	}
}
