// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A program changes the copy mode while many packets arrive: each packet that the program reads must have its
 * bytes. The kernel sends some packets without bytes (doc/assumptions/mode-before-range.c); the library queues
 * these packets again. modes.c CHANGES
 */
#include <arpa/inet.h>
#include <libipq.h>
#include <linux/netfilter.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static void flood(void)
{
	const struct sockaddr_in to = { .sin_family = AF_INET,
					.sin_port = htons(9),
					.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;) {
		int i, fd = socket(AF_INET, SOCK_DGRAM, 0);

		for (i = 0; i < 50; i++)
			sendto(fd, "0123456789", 10, MSG_DONTWAIT, (const struct sockaddr *)&to, sizeof(to));
		close(fd);
	}
}

int main(int argc, char **argv)
{
	unsigned char buf[2048];
	unsigned long changes = argc > 1 ? strtoul(argv[1], NULL, 10) : 0, i, whole = 0, bare = 0;
	struct ipq_handle *h = ipq_create_handle(0, PF_INET);
	pid_t sender;
	int n;

	if (h == NULL || ipq_set_mode(h, IPQ_COPY_NONE, 0) < 0)
		return ipq_perror("modes"), 1;
	sender = fork();
	if (sender == 0)
		flood();
	for (i = 0; i < changes; i++) {
		if (ipq_set_mode(h, IPQ_COPY_PACKET, sizeof(buf)) < 0)
			return ipq_perror("modes"), 1;
		for (n = 0; n < 100 && ipq_read(h, buf, sizeof(buf), n == 0 ? 100000 : -1) > 0; n++) {
			const ipq_packet_msg_t *m = ipq_get_packet(buf);

			if (ipq_message_type(buf) != IPQM_PACKET)
				continue;
			*(m->data_len == 38 ? &whole : &bare) += 1;
			ipq_set_verdict(h, m->packet_id, NF_DROP, 0, NULL);
		}
		if (ipq_set_mode(h, IPQ_COPY_NONE, 0) < 0)
			return ipq_perror("modes"), 1;
	}
	kill(sender, SIGKILL);
	waitpid(sender, NULL, 0); /* the sender has a copy of the queue's descriptor, too */
	ipq_destroy_handle(h);
	printf("%lu changes of mode: %lu packets with their bytes, %lu without\n", changes, whole, bare);
	return bare > 0 || whole == 0;
}
