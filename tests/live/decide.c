// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * decide accept|drop|prefix|same|cut [SECONDS]: one classic loop, one policy for every packet, until SIGTERM.
 * prefix makes each UDP payload longer by 3 bytes, same inverts its bytes, cut removes its second half. At its end
 * it prints the numbers of packets read and refused; tests compare them with the packets that arrived.
 */
#include <arpa/inet.h>
#include <libipq.h>
#include <linux/netfilter.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static volatile sig_atomic_t ended;
static unsigned char buf[65536 + 256], out[65536 + 256];

static void on_term(int sig)
{
	(void)sig;
	ended = 1;
}

static size_t changed(const char *how, const ipq_packet_msg_t *m)
{
	size_t head = (size_t)(m->payload[0] & 15) * 4 + 8, text = m->data_len - head;

	memcpy(out, m->payload, head);
	if (strcmp(how, "prefix") == 0) {
		memcpy(out + head, "re:", 3);
		memcpy(out + head + 3, m->payload + head, text);
		text += 3;
	} else if (strcmp(how, "same") == 0) {
		for (size_t i = 0; i < text; i++)
			out[head + i] = m->payload[head + i] ^ 0x20;
	} else {
		text /= 2;
		memcpy(out + head, m->payload + head, text);
	}
	/* Updates the checksum of the IP header (RFC 1624) and sends UDP without a checksum. */
	unsigned int old = (unsigned int)(out[2] << 8 | out[3]), new = (unsigned int)(head + text);
	unsigned int sum = (~(unsigned int)(out[10] << 8 | out[11]) & 0xffff) + (~old & 0xffff) + new;

	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	sum = ~sum;
	out[2] = (unsigned char)(new >> 8);
	out[3] = (unsigned char)new;
	out[10] = (unsigned char)(sum >> 8);
	out[11] = (unsigned char)sum;
	out[head - 4] = (unsigned char)((text + 8) >> 8);
	out[head - 3] = (unsigned char)(text + 8);
	out[head - 2] = out[head - 1] = 0;
	return head + text;
}

static int decide(struct ipq_handle *h, const char *how, const ipq_packet_msg_t *m)
{
	if (strcmp(how, "accept") == 0)
		return ipq_set_verdict(h, m->packet_id, NF_ACCEPT, 0, NULL);
	if (strcmp(how, "drop") == 0)
		return ipq_set_verdict(h, m->packet_id, NF_DROP, 0, NULL);
	return ipq_set_verdict(h, m->packet_id, NF_ACCEPT, changed(how, m), out);
}

int main(int argc, char **argv)
{
	const char *how = argc > 1 ? argv[1] : "accept";
	struct sigaction sa = { .sa_handler = on_term };
	struct ipq_handle *h = ipq_create_handle(0, PF_INET);
	unsigned long packets = 0, refused = 0;

	sigaction(SIGTERM, &sa, NULL);
	if (!h || ipq_set_mode(h, IPQ_COPY_PACKET, 0) < 0) {
		ipq_perror("decide");
		return 1;
	}
	while (!ended) {
		ssize_t n = ipq_read(h, buf, sizeof(buf), 200000);

		if (n < 0) {
			ipq_perror("decide");
			return 1;
		}
		if (n == 0)
			continue;
		if (ipq_message_type(buf) == NLMSG_ERROR) {
			refused++;
		} else {
			packets++;
			if (decide(h, how, ipq_get_packet(buf)) <= 0) {
				ipq_perror("decide");
				return 1;
			}
		}
	}
	ipq_destroy_handle(h);
	printf("read %lu refused %lu\n", packets, refused);
	return 0;
}
