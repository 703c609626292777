// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * When the copy mode of a queue changes from "nothing" to "packet", does the kernel send some packets without payload?
 *
 * Yes, rarely: the mode "nothing" sets the range to 0, and the mode "packet" is written before its range (Linux 6.18).
 * A packet that is queued between the two has no payload. The library queues it
 * again (src/nfqueue/io.c) and then receives it with its payload.
 *
 * cc mode-before-range.c -lmnl && unshare -Urn sh -c 'ip link set lo up;
 *	iptables-legacy -A OUTPUT -p udp -j NFQUEUE; ./a.out'
 */
#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static struct mnl_socket *netlink;

static void flood(void)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_port = htons(9),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

	for (;;) {
		int fd = socket(AF_INET, SOCK_DGRAM, 0);

		for (int i = 0; i < 50; i++)
			sendto(fd, "0123456789", 10, MSG_DONTWAIT, (struct sockaddr *)&to, sizeof(to));
		close(fd);
	}
}

static struct nlmsghdr *message(char *buf, uint16_t type)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct nfgenmsg *gen = mnl_nlmsg_put_extra_header(nlh, sizeof(*gen));

	nlh->nlmsg_type = (uint16_t)(NFNL_SUBSYS_QUEUE << 8 | type);
	nlh->nlmsg_flags = NLM_F_REQUEST;
	gen->nfgen_family = AF_UNSPEC;
	gen->version = NFNETLINK_V0;
	return nlh;
}

static void set_mode(uint8_t mode)
{
	char buf[MNL_NLMSG_HDRLEN + 128];
	struct nlmsghdr *nlh = message(buf, NFQNL_MSG_CONFIG);
	struct nfqnl_msg_config_params params = { .copy_range = htonl(0xffff), .copy_mode = mode };

	mnl_attr_put(nlh, NFQA_CFG_PARAMS, sizeof(params), &params);
	mnl_socket_sendto(netlink, nlh, nlh->nlmsg_len);
}

static void bind_queue(void)
{
	char buf[MNL_NLMSG_HDRLEN + 128];
	struct nlmsghdr *nlh = message(buf, NFQNL_MSG_CONFIG);
	struct nfqnl_msg_config_cmd cmd = { .command = NFQNL_CFG_CMD_BIND };

	mnl_attr_put(nlh, NFQA_CFG_CMD, sizeof(cmd), &cmd);
	mnl_socket_sendto(netlink, nlh, nlh->nlmsg_len);
}

/* Drops the packet. Returns whether it had its payload. */
static int judge(const void *packet)
{
	char buf[MNL_NLMSG_HDRLEN + 128];
	struct nlmsghdr *nlh = message(buf, NFQNL_MSG_VERDICT);
	struct nfqnl_msg_verdict_hdr verdict = { .verdict = htonl(NF_DROP) };
	const struct nlattr *attr;
	int bytes = 0;

	mnl_attr_for_each(attr, (const struct nlmsghdr *)packet, sizeof(struct nfgenmsg))
	{
		if (mnl_attr_get_type(attr) == NFQA_PACKET_HDR)
			verdict.id = ((struct nfqnl_msg_packet_hdr *)mnl_attr_get_payload(attr))->packet_id;
		bytes |= mnl_attr_get_type(attr) == NFQA_PAYLOAD;
	}
	mnl_attr_put(nlh, NFQA_VERDICT_HDR, sizeof(verdict), &verdict);
	mnl_socket_sendto(netlink, nlh, nlh->nlmsg_len);
	return bytes;
}

int main(void)
{
	static char buf[70000];
	unsigned long changes = 0, packets[2] = { 0, 0 };
	time_t end = time(NULL) + 10;
	pid_t sender;

	netlink = mnl_socket_open(NETLINK_NETFILTER);
	if (netlink == NULL || mnl_socket_bind(netlink, 0, MNL_SOCKET_AUTOPID) < 0)
		return perror("netlink"), 1;
	bind_queue();
	sender = fork();
	if (sender == 0)
		flood();
	for (; time(NULL) < end; changes++) {
		set_mode(NFQNL_COPY_PACKET);
		for (int i = 0; i < 100; i++) {
			ssize_t n = recv(mnl_socket_get_fd(netlink), buf, sizeof(buf), MSG_DONTWAIT);

			if (n > 0 && ((struct nlmsghdr *)buf)->nlmsg_type ==
					     (NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_PACKET))
				packets[judge(buf)]++;
		}
		set_mode(NFQNL_COPY_NONE);
	}
	kill(sender, SIGKILL);
	printf("%lu changes of mode: %lu packets with their bytes, %lu without\n", changes, packets[1],
	       packets[0]);
	return packets[1] == 0;
}
