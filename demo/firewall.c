/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A firewall in the style of 2001, with the classic calls only. By destination port:
 *
 *	udp 7000  accepted             tcp 8000  accepted
 *	udp 7001  dropped              tcp 8001  dropped
 *	udp 7002  accepted with "dawn" replaced by "midnight"
 *
 * Build it with: cc firewall.c -lipq. On SIGTERM it prints the number of packets decided for each port.
 */
#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <libipq.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUFSIZE 2048

static const struct rule {
	int protocol, port;
	const char *what;
} rules[] = {
	{ IPPROTO_UDP, 7000, "accepted" },  { IPPROTO_UDP, 7001, "dropped" },
	{ IPPROTO_UDP, 7002, "rewritten" }, { IPPROTO_TCP, 8000, "accepted" },
	{ IPPROTO_TCP, 8001, "dropped" },
};
#define RULES (sizeof(rules) / sizeof(rules[0]))

static unsigned long decided[RULES], strangers;
static volatile sig_atomic_t ended;

static void on_term(int sig)
{
	(void)sig;
	ended = 1;
}

static void die(struct ipq_handle *h)
{
	ipq_perror("firewall");
	ipq_destroy_handle(h);
	exit(1);
}

static unsigned int add(unsigned int sum, const unsigned char *p, size_t len)
{
	for (; len > 1; p += 2, len -= 2)
		sum += (unsigned int)(p[0] << 8 | p[1]);
	if (len)
		sum += (unsigned int)(p[0] << 8);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

static void put16(unsigned char *p, unsigned int value)
{
	p[0] = (unsigned char)(value >> 8);
	p[1] = (unsigned char)value;
}

/* Copies the packet to out with one word replaced. Returns its new length, or 0 if the word does not occur. */
static size_t rewrite(const ipq_packet_msg_t *m, const char *from, const char *to, unsigned char *out)
{
	size_t head = (size_t)(m->payload[0] & 15) * 4, data = head + 8, at, len;
	unsigned int sum;

	for (at = data; at + strlen(from) <= m->data_len; at++)
		if (memcmp(m->payload + at, from, strlen(from)) == 0)
			break;
	if (at + strlen(from) > m->data_len)
		return 0;
	len = m->data_len - strlen(from) + strlen(to);
	memcpy(out, m->payload, at);
	memcpy(out + at, to, strlen(to));
	memcpy(out + at + strlen(to), m->payload + at + strlen(from), m->data_len - at - strlen(from));

	put16(out + 2, (unsigned int)len);
	put16(out + 10, 0);
	put16(out + 10, ~add(0, out, head) & 0xffff);
	put16(out + head + 4, (unsigned int)(len - head));
	put16(out + head + 6, 0);
	/* The sum over UDP begins with addresses, protocol and length (RFC 768); a sum of 0 means "none". */
	sum = add(add((unsigned int)(IPPROTO_UDP + len - head), out + 12, 8), out + head, len - head);
	put16(out + head + 6, sum == 0xffff ? sum : ~sum & 0xffff);
	return len;
}

static const struct rule *find_rule(const ipq_packet_msg_t *m)
{
	size_t head, i;
	int port;

	if (m->data_len < 28 || m->payload[0] >> 4 != 4)
		return NULL;
	head = (size_t)(m->payload[0] & 15) * 4;
	if (m->data_len < head + 8)
		return NULL;
	port = m->payload[head + 2] << 8 | m->payload[head + 3];
	for (i = 0; i < RULES; i++)
		if (rules[i].protocol == m->payload[9] && rules[i].port == port)
			return &rules[i];
	return NULL;
}

static int decide(struct ipq_handle *h, ipq_packet_msg_t *m)
{
	static unsigned char out[BUFSIZE + 16];
	const struct rule *rule = find_rule(m);
	size_t len;

	if (!rule) {
		strangers++;
		return ipq_set_verdict(h, m->packet_id, NF_DROP, 0, NULL);
	}
	decided[rule - rules]++;
	switch (rule->what[0]) {
	case 'd':
		return ipq_set_verdict(h, m->packet_id, NF_DROP, 0, NULL);
	case 'r':
		len = rewrite(m, "dawn", "midnight", out);
		return ipq_set_verdict(h, m->packet_id, NF_ACCEPT, len, len ? out : NULL);
	default:
		return ipq_set_verdict(h, m->packet_id, NF_ACCEPT, 0, NULL);
	}
}

int main(void)
{
	static unsigned char buf[BUFSIZE];
	struct ipq_handle *h;
	size_t i;

	signal(SIGTERM, on_term);
	h = ipq_create_handle(0, PF_INET);
	if (!h)
		die(h);
	if (ipq_set_mode(h, IPQ_COPY_PACKET, BUFSIZE) < 0)
		die(h);
	while (!ended) {
		ssize_t n = ipq_read(h, buf, BUFSIZE, 100000);

		if (n < 0)
			die(h);
		if (n == 0)
			continue; /* timeout, or a signal */
		switch (ipq_message_type(buf)) {
		case NLMSG_ERROR:
			fprintf(stderr, "firewall: error message: %s\n", strerror(ipq_get_msgerr(buf)));
			break;
		case IPQM_PACKET:
			if (decide(h, ipq_get_packet(buf)) < 0)
				die(h);
			break;
		}
	}
	ipq_destroy_handle(h);
	for (i = 0; i < RULES; i++)
		printf("%s %d %lu\n", rules[i].protocol == IPPROTO_UDP ? "udp" : "tcp", rules[i].port,
		       decided[i]);
	printf("strangers 0 %lu\n", strangers);
	return 0;
}
