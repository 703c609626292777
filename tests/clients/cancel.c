/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reloads its configuration in a rough way: a thread that is blocked in ipq_read is cancelled, another thread destroys
 * its handle, and a new thread starts with a new handle. Only the third thread sets the mode for packets.
 */
#include <libipq.h>
#include <linux/netfilter.h>
#include <pthread.h>

static void *reader(void *arg)
{
	static unsigned char buf[66000];
	struct ipq_handle *h = arg;

	while (ipq_read(h, buf, sizeof(buf), 0) > 0)
		if (ipq_message_type(buf) == IPQM_PACKET)
			ipq_set_verdict(h, ipq_get_packet(buf)->packet_id, NF_ACCEPT, 0, NULL);
	ipq_perror("cancel");
	return NULL;
}

int main(void)
{
	struct ipq_handle *h;
	pthread_t t;
	int i;

	for (i = 0;; i++) {
		h = ipq_create_handle(0, PF_INET);
		if (!h || ipq_set_mode(h, i < 2 ? IPQ_COPY_NONE : IPQ_COPY_PACKET, 0) < 0) {
			ipq_perror("cancel");
			return 1;
		}
		if (pthread_create(&t, NULL, reader, h) != 0)
			return 1;
		if (i == 2)
			break;
		usleep(50000);
		pthread_cancel(t);
		pthread_join(t, NULL);
		ipq_destroy_handle(h);
	}
	pthread_join(t, NULL);
	return 1;
}
