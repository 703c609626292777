/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A program in K&R C, with two habits of real programs: it calls ipq_get_packet once, before the loop, and reads errno
 * after a successful ipq_read. If a successful call left EINTR in errno, the packet would get no verdict.
 */
#include <stdio.h>
#include <libipq.h>
#include <linux/netfilter.h>

static unsigned char buf[256];
static ipq_packet_msg_t *pkt;

static int decide(h, id)
struct ipq_handle *h;
unsigned long id;
{
	errno = 0;
	if (ipq_set_verdict(h, id, NF_ACCEPT, 0, NULL) == 0)
		return -1;
	return errno;
}

int main(argc, argv)
int argc;
char **argv;
{
	struct ipq_handle *h;
	int e;

	h = ipq_create_handle(0, PF_INET);
	if (!h || !ipq_set_mode(h, IPQ_COPY_PACKET, 96)) {
		ipq_perror(NULL);
		return argc;
	}
	pkt = ipq_get_packet(buf);
	for (;;) {
		errno = 0;
		ipq_read(h, buf, sizeof buf, 0);
		if (errno == EINTR)
			continue;
		if (errno) {
			perror(argv[0]);
			return 1;
		}
		if ((e = decide(h, pkt->packet_id)) != 0) {
			fprintf(stderr, "verdict: errno %d\n", e);
			return 1;
		}
	}
}
