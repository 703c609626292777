/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The parent reads, a child forked after set_mode gives the verdicts on the inherited handle. */
#include <libipq.h>
#include <linux/netfilter.h>
#include <stdio.h>
#include <sys/types.h>
#include <sys/wait.h>

int main(void)
{
	static unsigned char buf[66000];
	struct ipq_handle *h = ipq_create_handle(0, PF_INET);
	ipq_id_t id;
	int ids[2];

	if (!h || pipe(ids) < 0 || ipq_set_mode(h, IPQ_COPY_PACKET, 65535) < 0) {
		ipq_perror("forked");
		return 1;
	}
	if (fork() == 0) {
		close(ids[1]);
		while (read(ids[0], &id, sizeof(id)) == sizeof(id))
			if (ipq_set_verdict(h, id, NF_ACCEPT, 0, NULL) <= 0)
				ipq_perror("child");
		_exit(0);
	}
	close(ids[0]);
	while (ipq_read(h, buf, sizeof(buf), 0) > 0) {
		if (ipq_message_type(buf) != IPQM_PACKET) {
			fprintf(stderr, "error %d\n", ipq_get_msgerr(buf));
			continue;
		}
		id = ipq_get_packet(buf)->packet_id;
		if (write(ids[1], &id, sizeof(id)) < 0)
			return 1;
	}
	ipq_perror("forked");
	return 1;
}
