/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_log.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>
#include "nfqueue/diagnose.h"
#include "firewall/probe.h"

#define IPT_SO_GET_INFO 64 /* the same value as IP6T_SO_GET_INFO */
#define BATCH 64u	   /* questions per send: the answers must fit into the smallest receive buffer */

/*
 * A verdict on packet 0, which does not exist: ids begin with 1, and reach 0 only after 2^32 packets. Before it
 * checks the id, the kernel answers ENODEV for a queue without an owner, and EPERM for a queue of another process.
 */
struct question {
	struct nlmsghdr header;
	struct nfgenmsg generic;
	struct nlattr attribute;
	struct nfqnl_msg_verdict_hdr verdict;
};

static void ask(struct question *q, uint32_t queue, uint32_t seq)
{
	*q = (struct question){
		.header = { .nlmsg_len = sizeof(*q),
			    .nlmsg_type = NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_VERDICT,
			    .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK,
			    .nlmsg_seq = seq },
		.generic = { .nfgen_family = AF_UNSPEC,
			     .version = NFNETLINK_V0,
			     .res_id = htons((uint16_t)queue) },
		.attribute = { .nla_len = sizeof(struct nlattr) + sizeof(struct nfqnl_msg_verdict_hdr),
			       .nla_type = NFQA_VERDICT_HDR },
		/* cppcheck-suppress unknownEvaluationOrder; htonl has no side effect, as above */
		.verdict = { .verdict = htonl(NF_DROP) },
	};
}

static int open_socket(void)
{
	struct timeval second = { .tv_sec = 1 };
	int one = 1, fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &second, sizeof(second));
	/* answers then quote only the header */
	setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &one, sizeof(one));
	return fd;
}

/* Reads one answer. Returns its errno, and stores the number of its question in *seq. */
static int answer(int fd, uint32_t *seq)
{
	struct {
		struct nlmsghdr header;
		struct nlmsgerr error;
		char quoted[256];
	} a = { .header.nlmsg_len = 0 };
	ssize_t n = recv(fd, &a, sizeof(a), 0);

	if (n < 0)
		return errno == EAGAIN ? -ETIMEDOUT : -errno;
	if (n < (ssize_t)NLMSG_LENGTH(sizeof(a.error)) || a.header.nlmsg_type != NLMSG_ERROR)
		return -EBADMSG;
	*seq = a.header.nlmsg_seq;
	return a.error.error;
}

/*
 * Sends a configuration command of nfnetlink_queue or nfnetlink_log for one number. Both commands have the same
 * layout.
 */
static int configure(int fd, bool log, uint16_t number, uint8_t command)
{
	struct {
		struct nlmsghdr header;
		struct nfgenmsg generic;
		struct nlattr attribute;
		struct nfqnl_msg_config_cmd command;
	} q = {
		.header = { .nlmsg_len = sizeof(q),
			    .nlmsg_type = log ? NFNL_SUBSYS_ULOG << 8 | NFULNL_MSG_CONFIG
					      : NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_CONFIG,
			    .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK },
		.generic = { .nfgen_family = AF_UNSPEC, .version = NFNETLINK_V0, .res_id = htons(number) },
		.attribute = { .nla_len = sizeof(struct nlattr) + sizeof(struct nfqnl_msg_config_cmd),
			       .nla_type = log ? NFULA_CFG_CMD : NFQA_CFG_CMD },
		.command = { .command = command, .pf = htons(AF_INET) },
	};
	uint32_t seq;

	/* struct nfulnl_msg_config_cmd is one byte, but the kernel accepts longer attributes. */
	if (send(fd, &q, sizeof(q), 0) < 0)
		return -errno;
	return answer(fd, &seq);
}

/*
 * Returns -EPERM if this process lacks the capability over this network namespace. Without it, every request fails with
 * EPERM. So this sends an obsolete command, which current kernels accept and ignore.
 */
static int allowed(int fd)
{
	return configure(fd, false, 0, NFQNL_CFG_CMD_PF_BIND);
}

static int probe_some(int fd, uint8_t *owned, uint32_t first, uint32_t n)
{
	struct question q[BATCH] = { 0 };
	int sent, err;

	for (uint32_t i = 0; i < n; i++)
		ask(&q[i], first + i, i);
	sent = send(fd, q, n * sizeof(q[0]), 0) < 0 ? -errno : 0;
	for (uint32_t i = 0; sent == 0 && i < n; i++) {
		uint32_t seq = UINT32_MAX;

		err = answer(fd, &seq);
		if (seq >= n)
			return err < 0 ? err : -EBADMSG;
		if (err != -EPERM && err != -ENODEV)
			return err < 0 ? err : -EBADMSG;
		owned[seq] = err == -EPERM;
	}
	return sent;
}

int probe_queues(uint8_t *owned, uint32_t first, uint32_t last)
{
	int fd = open_socket(), err;

	if (fd < 0)
		return fd;
	err = have_net_admin() ? allowed(fd) : -EPERM;
	for (uint32_t q = first; err == 0 && q <= last; q += BATCH)
		err = probe_some(fd, owned + (q - first), q, last - q + 1 < BATCH ? last - q + 1 : BATCH);
	close(fd);
	return err;
}

/*
 * Whether an NFLOG group is bound. A request to give up a group fails with EPERM if another process has it, and
 * with ENODEV if no process has it.
 */
static int probe_group(uint16_t number)
{
	int fd = open_socket(), err;

	if (fd < 0)
		return fd;
	err = allowed(fd) != -EPERM ? configure(fd, true, number, NFULNL_CFG_CMD_UNBIND) : -EACCES;
	close(fd);
	return err == -EPERM ? 1 : err == -ENODEV ? 0 : err < 0 ? err : -EBADMSG;
}

int probe_number(bool log, uint16_t number)
{
	uint8_t owned = 0;
	int err;

	if (log)
		return probe_group(number);
	err = probe_queues(&owned, number, number);
	return err < 0 ? err : owned;
}

int probe_bind(bool log, uint16_t number)
{
	int fd = open_socket(), err;

	if (fd < 0)
		return fd;
	err = configure(fd, log, number, log ? NFULNL_CFG_CMD_BIND : NFQNL_CFG_CMD_BIND);
	if (err == 0)
		return fd;
	if (err == -EPERM && allowed(fd) != -EPERM)
		err = -EBUSY;
	close(fd);
	return err;
}

enum probe_kernel probe_kernel(void)
{
	int fd = open_socket(), err;

	if (fd < 0)
		return PROBE_NO_NFNETLINK;
	err = allowed(fd);
	close(fd);
	if (err == -EPERM)
		return PROBE_FORBIDDEN;
	/* EINVAL: the subsystem is missing, and its module could not be loaded */
	return err == 0 ? PROBE_PRESENT : PROBE_NO_QUEUE;
}

/* The number of transactions so far that have changed nftables' rules. */
static uint64_t nft_generation(void)
{
	struct {
		struct nlmsghdr header;
		struct nfgenmsg generic;
	} q = {
		.header = { .nlmsg_len = sizeof(q),
			    .nlmsg_type = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETGEN,
			    .nlmsg_flags = NLM_F_REQUEST },
		.generic = { .nfgen_family = AF_UNSPEC, .version = NFNETLINK_V0 },
	};
	struct {
		struct nlmsghdr header;
		struct nfgenmsg generic;
		struct nlattr attribute;
		uint32_t id;
		char rest[512];
	} a = { .id = 0 };
	int fd = open_socket();
	ssize_t n = -1;

	if (fd < 0)
		return 0;
	if (send(fd, &q, sizeof(q), 0) >= 0)
		n = recv(fd, &a, sizeof(a), 0);
	close(fd);
	return n >= (ssize_t)offsetof(typeof(a), rest) &&
			       a.header.nlmsg_type == (NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWGEN) &&
			       a.attribute.nla_type == NFTA_GEN_ID
		       ? (uint64_t)ntohl(a.id) + 1
		       : 0;
}

/* struct ipt_getinfo of <linux/netfilter_ipv4/ip_tables.h>; ip6t_getinfo is the same. */
struct table_info {
	char name[32];
	unsigned valid_hooks, hook_entry[5], underflow[5], entries, size;
};

static uint64_t legacy_generation(bool ipv6)
{
	struct table_info info = { .name = "mangle" };
	socklen_t len = sizeof(info);
	uint64_t hash = 1469598103934665603u;
	int fd = socket(ipv6 ? AF_INET6 : AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW), err;

	if (fd < 0)
		return 0;
	err = getsockopt(fd, ipv6 ? IPPROTO_IPV6 : IPPROTO_IP, IPT_SO_GET_INFO, &info, &len);
	close(fd);
	for (size_t i = 0; err == 0 && i < sizeof(info); i++)
		hash = (hash ^ ((const uint8_t *)&info)[i]) * 1099511628211u;
	return err == 0 ? hash | 1 : 0;
}

uint64_t probe_generation(bool legacy, bool ipv6)
{
	return legacy ? legacy_generation(ipv6) : nft_generation();
}

int netfilter_sockets(uint32_t *port, unsigned max)
{
	FILE *f = fopen("/proc/self/net/netlink", "re");
	unsigned n = 0;
	char text[256];

	if (f == NULL)
		return -errno;
	while (n < max && fgets(text, sizeof(text), f) != NULL) {
		uint32_t id;
		int protocol;

		if (sscanf(text, "%*s %d %" SCNu32, &protocol, &id) == 2 && protocol == NETLINK_NETFILTER &&
		    id != 0)
			port[n++] = id;
	}
	fclose(f);
	return (int)n;
}
