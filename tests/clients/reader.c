/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A reader thread copies each message to a ring; the main thread decides, the newest packet first, and returns the
 * bytes with the verdict. Both use one handle without a lock of their own.
 */
#include <libipq.h>
#include <linux/netfilter.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define RING 64

static struct ipq_handle *h;
static unsigned char ring[RING][2048];
static unsigned int filled;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t more = PTHREAD_COND_INITIALIZER, room = PTHREAD_COND_INITIALIZER;

static void *reader(void *arg)
{
	unsigned char buf[2048];
	int n;

	(void)arg;
	while ((n = ipq_read(h, buf, sizeof(buf), 1000000)) >= 0) {
		if (n == 0 || ipq_message_type(buf) != IPQM_PACKET)
			continue;
		pthread_mutex_lock(&lock);
		while (filled == RING)
			pthread_cond_wait(&room, &lock);
		memcpy(ring[filled++], buf, n);
		pthread_cond_signal(&more);
		pthread_mutex_unlock(&lock);
	}
	ipq_perror("reader");
	return NULL;
}

int main(void)
{
	pthread_t thread;
	unsigned char buf[2048];
	ipq_packet_msg_t *m;

	h = ipq_create_handle(0, PF_INET);
	if (!h || ipq_set_mode(h, IPQ_COPY_PACKET, 1500) < 0 ||
	    pthread_create(&thread, NULL, reader, NULL) != 0) {
		ipq_perror("reader");
		return 1;
	}
	for (;;) {
		pthread_mutex_lock(&lock);
		while (filled == 0)
			pthread_cond_wait(&more, &lock);
		memcpy(buf, ring[--filled], sizeof(buf));
		pthread_cond_signal(&room);
		pthread_mutex_unlock(&lock);
		m = ipq_get_packet(buf);
		if (ipq_set_verdict(h, m->packet_id, NF_ACCEPT, m->data_len, m->payload) < 0)
			ipq_perror("reader");
	}
}
