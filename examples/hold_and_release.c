/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * hold_and_release MILLISECONDS [SOURCE]: delays every packet by that time and keeps their order. At the end the
 * kernel drops the packets that still wait.
 *
 *	iptables -A OUTPUT -p udp -j NFQUEUE --queue-num 0
 */
#include <errno.h>
#include <ipq.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define MAX 8192 /* the default length of a queue */
static struct ipq_queue *queue;
static struct held {
	struct ipq_packet *packet;
	long long due;
} held[MAX];
static unsigned first, count;

static void end(int signal)
{
	(void)signal;
	ipq_queue_wake(queue);
}

static long long now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

static void hold(const struct ipq_packet *packet, long long due)
{
	struct ipq_packet *kept = count < MAX ? ipq_packet_keep(packet) : NULL;

	if (kept == NULL)
		ipq_drop(queue, packet);
	else
		held[(first + count++) % MAX] = (struct held){ kept, due };
}

/* Accepts packets that are due. Returns the milliseconds until the next one, or IPQ_FOREVER if there is none. */
static int release(void)
{
	long long now = now_ms();

	for (; count > 0 && held[first].due <= now; first = (first + 1) % MAX, count--) {
		ipq_accept(queue, held[first].packet);
		ipq_packet_free(held[first].packet);
	}
	return count > 0 ? (int)(held[first].due - now) : IPQ_FOREVER;
}

int main(int argc, char **argv)
{
	int n, delay = argc > 1 ? atoi(argv[1]) : 0;
	struct ipq_options options = { .size = sizeof(options), .flags = IPQ_O_META_ONLY };
	struct ipq_packet packet[64];

	if (delay <= 0 || ipq_queue_open(&queue, argc > 2 ? argv[2] : NULL, &options) < 0) {
		fputs("hold_and_release MILLISECONDS [SOURCE]: no time, or no such source\n", stderr);
		return 1;
	}
	signal(SIGINT, end);
	signal(SIGTERM, end);
	while ((n = ipq_queue_recv(queue, packet, 64, release())) >= 0 || n == -EINTR)
		for (int i = 0; i < n; i++)
			hold(&packet[i], now_ms() + delay);
	for (; count > 0; count--)
		ipq_packet_free(held[first++ % MAX].packet);
	ipq_queue_close(queue);
	return n != -ECANCELED && n != -ENODATA;
}
