/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A server with many connections: h->fd is above 1024, where FD_SET would write past its array. */
#include <libipq.h>
#include <linux/netfilter.h>
#include <stdio.h>
#include <sys/resource.h>

int main(void)
{
	static unsigned char buf[66000];
	struct rlimit r = { 1200, 1200 };
	struct ipq_handle *h;
	int fd;

	if (setrlimit(RLIMIT_NOFILE, &r) < 0)
		return 77;
	do
		fd = dup(0);
	while (fd >= 0 && fd < 1100);
	h = ipq_create_handle(0, PF_INET);
	if (!h || h->fd <= 1024 || ipq_set_mode(h, IPQ_COPY_PACKET, 0) < 0) {
		ipq_perror("highfd");
		return 1;
	}
	for (;;) {
		ssize_t n = ipq_read(h, buf, sizeof(buf), 300000);

		if (n < 0) {
			ipq_perror("highfd");
			return 1;
		}
		if (n > 0 && ipq_message_type(buf) == IPQM_PACKET)
			ipq_set_verdict(h, ipq_get_packet(buf)->packet_id, NF_ACCEPT, 0, NULL);
	}
}
