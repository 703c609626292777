/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One thread reads and passes ids to workers, which give the verdicts while the reader is blocked in ipq_read.
 */
#include <libipq.h>
#include <linux/netfilter.h>
#include <pthread.h>
#include <stdio.h>

#define WORKERS 3

static struct ipq_handle *h;
static int jobs[2];

static void *worker(void *arg)
{
	ipq_id_t id;

	(void)arg;
	/* Writing one id to a pipe is atomic, and so is reading it. */
	while (read(jobs[0], &id, sizeof(id)) == sizeof(id)) {
		usleep(id % 5 * 100);
		if (ipq_set_verdict(h, id, NF_ACCEPT, 0, NULL) <= 0)
			ipq_perror("worker");
	}
	return NULL;
}

int main(void)
{
	static unsigned char buf[66000];
	pthread_t t[WORKERS];
	int i;

	h = ipq_create_handle(0, PF_INET);
	if (!h || pipe(jobs) < 0 || ipq_set_mode(h, IPQ_COPY_PACKET, 65535) < 0) {
		ipq_perror("threads");
		return 1;
	}
	for (i = 0; i < WORKERS; i++)
		pthread_create(&t[i], NULL, worker, NULL);
	while (ipq_read(h, buf, sizeof(buf), 0) > 0)
		if (ipq_message_type(buf) == IPQM_PACKET &&
		    write(jobs[1], &ipq_get_packet(buf)->packet_id, sizeof(ipq_id_t)) < 0)
			return 1;
	ipq_perror("threads");
	return 1;
}
