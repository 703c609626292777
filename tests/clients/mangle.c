/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A reader waits in select() with a timeout, and three workers share a list of packet copies. They rotate the
 * letters of UDP payload by 13, compute the checksums themselves, and send the result with the verdict.
 */
#include <netinet/in.h>
#include <linux/netfilter.h>
#include <libipq.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>

struct job {
	struct job *next;
	ipq_id_t id;
	size_t len;
	unsigned char data[1];
};

static struct job *first, **last = &first;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t filled = PTHREAD_COND_INITIALIZER;
static struct ipq_handle *h;

static unsigned long add(unsigned long sum, const unsigned char *p, size_t len)
{
	for (; len > 1; p += 2, len -= 2)
		sum += p[0] << 8 | p[1];
	return len ? sum + (p[0] << 8) : sum;
}

static unsigned short fold(unsigned long sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons((unsigned short)~sum);
}

static void turn(unsigned char *packet, size_t len)
{
	struct iphdr *ip = (struct iphdr *)packet;
	struct udphdr *udp = (struct udphdr *)(packet + ip->ihl * 4);
	unsigned char *p;
	unsigned long sum;

	if (len < 28 || ip->protocol != IPPROTO_UDP)
		return;
	for (p = (unsigned char *)(udp + 1); p < packet + len; p++)
		if ((*p | 32) >= 'a' && (*p | 32) <= 'z')
			*p += (*p | 32) < 'n' ? 13 : -13;
	udp->check = 0;
	sum = add(IPPROTO_UDP + len - ip->ihl * 4, packet + 12, 8);
	udp->check = fold(add(sum, (unsigned char *)udp, len - ip->ihl * 4));
	if (udp->check == 0)
		udp->check = 0xffff;
	ip->check = 0;
	ip->check = fold(add(0, packet, ip->ihl * 4));
}

static void *worker(void *arg)
{
	struct job *job;

	for (;;) {
		pthread_mutex_lock(&lock);
		while (!first)
			pthread_cond_wait(&filled, &lock);
		job = first;
		first = job->next;
		if (!first)
			last = &first;
		pthread_mutex_unlock(&lock);
		turn(job->data, job->len);
		if (ipq_set_verdict(h, job->id, NF_ACCEPT, job->len, job->data) < 0)
			ipq_perror("worker");
		free(job);
	}
	return arg;
}

static void put(const ipq_packet_msg_t *m)
{
	struct job *job = malloc(sizeof(*job) + m->data_len);

	job->next = NULL;
	job->id = m->packet_id;
	job->len = m->data_len;
	memcpy(job->data, m->payload, m->data_len);
	pthread_mutex_lock(&lock);
	*last = job;
	last = &job->next;
	pthread_cond_signal(&filled);
	pthread_mutex_unlock(&lock);
}

int main(void)
{
	static unsigned char buf[65536 + 128];
	pthread_t thread;
	int i;

	h = ipq_create_handle(0, PF_INET);
	if (!h || ipq_set_mode(h, IPQ_COPY_PACKET, 0xffff) < 0) {
		ipq_perror("mangle");
		return 1;
	}
	for (i = 0; i < 3; i++)
		pthread_create(&thread, NULL, worker, NULL);
	for (;;) {
		struct timeval limit = { 0, 20000 };
		fd_set set;

		FD_ZERO(&set);
		FD_SET(h->fd, &set);
		if (select(h->fd + 1, &set, NULL, NULL, &limit) <= 0)
			continue;
		if (ipq_read(h, buf, sizeof(buf), 0) <= 0) {
			ipq_perror("mangle");
			return 1;
		}
		if (ipq_message_type(buf) == IPQM_PACKET)
			put(ipq_get_packet(buf));
		else
			fprintf(stderr, "mangle: error %d\n", ipq_get_msgerr(buf));
	}
}
