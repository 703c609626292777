/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A proxy that rewrites UDP text in flight and recomputes lengths and checksums: "cat" becomes "dog" (same length),
 * "horse" becomes "ox" (shorter), "ant" becomes "rhinoceros" (longer). A packet with "none" is dropped, by a verdict
 * with a payload. BUFFER and RANGE come from the compiler's command line, because programs had various sizes.
 */
#define _GNU_SOURCE /* for memmem */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <linux/netfilter.h>
#include <libipq.h>
#include <stdio.h>
#include <string.h>

static unsigned char buf[BUFFER], out[70000];

static unsigned int sum(const unsigned char *p, size_t len, unsigned int s)
{
	for (; len > 1; p += 2, len -= 2)
		s += p[0] << 8 | p[1];
	if (len)
		s += p[0] << 8;
	while (s >> 16)
		s = (s & 0xffff) + (s >> 16);
	return s;
}

static size_t finish(unsigned char *ip, size_t text)
{
	struct iphdr iph;
	struct udphdr uh;
	size_t head, udp = sizeof(uh) + text;

	memcpy(&iph, ip, sizeof(iph));
	head = iph.ihl * 4;
	memcpy(&uh, ip + head, sizeof(uh));
	iph.tot_len = htons(head + udp);
	iph.check = 0;
	memcpy(ip, &iph, sizeof(iph));
	iph.check = htons(~sum(ip, head, 0));
	memcpy(ip, &iph, sizeof(iph));
	uh.len = htons(udp);
	uh.check = 0;
	memcpy(ip + head, &uh, sizeof(uh));
	uh.check = htons(~sum(ip + head, udp, sum((unsigned char *)&iph.saddr, 8, IPPROTO_UDP + udp)));
	memcpy(ip + head, &uh, sizeof(uh));
	return head + udp;
}

static int change(struct ipq_handle *h, ipq_packet_msg_t *m, const char *from, const char *to)
{
	size_t head = (m->payload[0] & 15) * 4 + sizeof(struct udphdr), len;
	unsigned char *at;

	/* Only short packets: large ones contain random bytes, which may include any three letters by chance. */
	if (m->data_len <= head || m->data_len > head + 64)
		return 0;
	at = memmem(m->payload + head, m->data_len - head, from, strlen(from));
	if (!at)
		return 0;
	len = at - m->payload;
	memcpy(out, m->payload, len);
	memcpy(out + len, to, strlen(to));
	memcpy(out + len + strlen(to), at + strlen(from), m->data_len - len - strlen(from));
	len = finish(out, m->data_len - head - strlen(from) + strlen(to));
	return ipq_set_verdict(h, m->packet_id, to[0] ? NF_ACCEPT : NF_DROP, len, out);
}

int main(void)
{
	struct ipq_handle *h = ipq_create_handle(0, PF_INET);

	if (!h || ipq_set_mode(h, IPQ_COPY_PACKET, RANGE) < 0) {
		ipq_perror("rewrite");
		return 1;
	}
	for (;;) {
		ipq_packet_msg_t *m;
		ssize_t n = ipq_read(h, buf, sizeof(buf), 0);

		if (n < 0) {
			ipq_perror("rewrite");
			return 1;
		}
		if (ipq_message_type(buf) == NLMSG_ERROR) {
			fprintf(stderr, "refused: %s\n", strerror(ipq_get_msgerr(buf)));
			return 1;
		}
		m = ipq_get_packet(buf);
		if (m->payload + m->data_len > buf + n) {
			fprintf(stderr, "%zu bytes of payload in a message of %zd\n", m->data_len, n);
			return 1;
		}
		if (change(h, m, "cat", "dog") > 0 || change(h, m, "horse", "ox") > 0 ||
		    change(h, m, "ant", "rhinoceros") > 0 || change(h, m, "none", "") > 0)
			continue;
		/*
		 * Unchanged packets: some programs passed a length without a buffer, others a buffer without a
		 * length.
		 */
		if (ipq_set_verdict(h, m->packet_id, NF_ACCEPT, m->packet_id % 2 ? m->data_len : 0,
				    m->packet_id % 2 ? NULL : m->payload) < 0)
			return 1;
	}
}
