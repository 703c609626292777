/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Checks of the kernel, rights, namespace, tools and limits. */
#include <errno.h>
#include <inttypes.h>
#include <linux/netlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <unistd.h>
#include "common/test_netns.h"
#include "doctor/doctor.h"
#include "nfqueue/diagnose.h"
#include "firewall/probe.h"

/* Inodes of the initial namespaces: include/linux/proc_ns.h. */
#define FIRST_USER_NS "user:[4026531837]"
#define FIRST_PID_NS "pid:[4026531836]"

/* Whether a line of the file contains the word. */
static bool file_names(const char *path, const char *word)
{
	FILE *f = fopen(path, "re");
	bool found = false;
	char line[512];

	while (f != NULL && !found && fgets(line, sizeof(line), f) != NULL)
		found = strstr(line, word) != NULL;
	if (f != NULL)
		fclose(f);
	return found;
}

/* A text that states whether nfnetlink_queue is built in or a module. NULL: unknown. */
static const char *module_state(const char *release)
{
	char path[256];

	if (file_names("/proc/modules", "nfnetlink_queue "))
		return "its module is loaded";
	snprintf(path, sizeof(path), "/lib/modules/%.100s/modules.builtin", release);
	if (file_names(path, "/nfnetlink_queue.ko"))
		return "built in";
	snprintf(path, sizeof(path), "/lib/modules/%.100s/modules.dep", release);
	if (file_names(path, "/nfnetlink_queue.ko"))
		return "a module that is not loaded";
	return NULL;
}

void doctor_kernel(struct doctor *d)
{
	enum probe_kernel kernel = probe_kernel();
	const char *state, *load = "sudo modprobe nfnetlink_queue";
	struct utsname u;
	bool table;

	if (uname(&u) < 0)
		strcpy(u.release, "?");
	state = module_state(u.release);
	table = access("/proc/net/netfilter/nfnetlink_queue", F_OK) == 0;
	if (kernel == PROBE_PRESENT || (kernel == PROBE_FORBIDDEN && table))
		doctor_say(d, CHECK_OK, "kernel", NULL, "Linux %s has nfnetlink_queue, %s", u.release,
			   state != NULL ? state : "built in or loaded");
	else if (kernel == PROBE_NO_NFNETLINK)
		doctor_say(d, CHECK_FAIL, "kernel", "sudo modprobe nfnetlink",
			   "Linux %s has no netfilter netlink (CONFIG_NETFILTER_NETLINK)", u.release);
	else
		doctor_say(d, CHECK_FAIL, "kernel", load, "Linux %s has no nfnetlink_queue: %s", u.release,
			   state != NULL ? state
					 : "a module that is not loaded, or CONFIG_NETFILTER_NETLINK_QUEUE "
					   "is not set");
	if (access("/proc/net/ip_queue", F_OK) == 0)
		doctor_say(d, CHECK_OK, "ip_queue", NULL, "this kernel still has ip_queue itself");
}

static bool link_is(const char *path, const char *target)
{
	char link[64] = "";

	return readlink(path, link, sizeof(link) - 1) > 0 && strcmp(link, target) == 0;
}

static void check_namespace(struct doctor *d)
{
	char own[64] = "", first[64] = "";
	bool init_visible = link_is("/proc/self/ns/pid", FIRST_PID_NS);

	if (readlink("/proc/self/ns/net", own, sizeof(own) - 1) < 0)
		doctor_say(d, CHECK_WARNING, "namespace", NULL,
			   "this kernel does not report the network namespace");
	else if (init_visible && readlink("/proc/1/ns/net", first, sizeof(first) - 1) > 0 &&
		 strcmp(own, first) != 0)
		doctor_say(d, CHECK_WARNING, "namespace", "sudo nsenter -t 1 -n ipq doctor",
			   "this is not the machine's network namespace (%s): the machine's rules and queues "
			   "are not visible",
			   own);
	else if (!link_is("/proc/self/ns/user", FIRST_USER_NS))
		doctor_say(d, CHECK_WARNING, "namespace", NULL,
			   "in a user namespace (a container, or unshare): only its network %s is visible",
			   own);
	else if (!init_visible)
		doctor_say(d, CHECK_WARNING, "namespace", NULL,
			   "in a process namespace (a container): only its network %s is visible", own);
	else if (first[0] != '\0')
		doctor_say(d, CHECK_OK, "namespace", NULL, "the machine's own network namespace, %s", own);
	else
		doctor_say(d, CHECK_OK, "namespace", NULL,
			   "network namespace %s; that of process 1 is not readable", own);
}

void doctor_rights(struct doctor *d)
{
	if (have_net_admin())
		doctor_say(d, CHECK_OK, "capability", NULL,
			   "CAP_NET_ADMIN: this process may own queues and change rules");
	else
		doctor_say(d, CHECK_FAIL, "capability",
			   "sudo ipq doctor   (for one program: sudo setcap cap_net_admin+ep PROGRAM; to "
			   "try: unshare -Urn)",
			   "no CAP_NET_ADMIN: this process cannot own a queue and does not see all rules");
	check_namespace(d);
}

/* ---- tools --------------------------------------------------------------------------------------- */

static void say_iptables(struct doctor *d, const char *tool, int queue, int nfqueue)
{
	bool nft = strcmp(tool, "iptables-nft") == 0;
	char remedy[160];

	snprintf(remedy, sizeof(remedy),
		 "sudo %s -A INPUT -p icmp -j NFQUEUE --queue-num 0   (the same as -j QUEUE)%s", tool,
		 nft ? ", or use iptables-legacy" : "");
	if (queue == 0 && nfqueue == 0)
		doctor_say(d, CHECK_OK, "tools", NULL, "%s supports -j QUEUE and -j NFQUEUE", tool);
	else if (nfqueue == 0)
		doctor_say(d, CHECK_WARNING, "tools", remedy, "%s supports -j NFQUEUE, but not -j QUEUE",
			   tool);
	else if (queue == 0)
		doctor_say(d, CHECK_OK, "tools", NULL, "%s supports -j QUEUE", tool);
	else if (queue == -ENOENT)
		doctor_say(d, CHECK_OK, "tools", NULL, "%s is not installed", tool);
	else
		doctor_say(d, CHECK_WARNING, "tools",
			   nft ? "sudo modprobe -a nft_compat xt_NFQUEUE"
			       : "sudo modprobe -a ip_tables iptable_filter xt_NFQUEUE",
			   "%s cannot add queue rules on this kernel", tool);
}

static void say_nft(struct doctor *d, int result)
{
	if (result == 0)
		doctor_say(d, CHECK_OK, "tools", NULL, "nft supports queue rules");
	else if (result == -ENOENT)
		doctor_say(d, CHECK_OK, "tools", NULL, "nft is not installed");
	else
		doctor_say(d, CHECK_WARNING, "tools", "sudo modprobe nft_queue   (or iptables -j NFQUEUE)",
			   "nft cannot add queue rules on this kernel (CONFIG_NFT_QUEUE)");
}

void doctor_tools(struct doctor *d)
{
	int result[METHODS], err = test_netns_try_all(result);

	if (err < 0) {
		doctor_say(d, CHECK_WARNING, "tools", "sudo ipq doctor",
			   "unknown which rules this kernel accepts: cannot create a network namespace "
			   "(%s)",
			   strerror(-err));
		return;
	}
	say_iptables(d, method_tool(METHOD_LEGACY_QUEUE), result[METHOD_LEGACY_QUEUE],
		     result[METHOD_LEGACY_NFQUEUE]);
	say_iptables(d, method_tool(METHOD_NFT_QUEUE), result[METHOD_NFT_QUEUE], result[METHOD_NFT_NFQUEUE]);
	say_nft(d, result[METHOD_NFTABLES]);
	for (enum method method = 0; method < METHODS && d->method == NULL; method++)
		if (result[method] == 0)
			d->method = method_tool(method);
	if (d->method == NULL)
		doctor_say(d, CHECK_FAIL, "tools", "sudo apt-get install iptables",
			   "no firewall tool here can add a queue rule");
}

/* ---- limits -------------------------------------------------------------------------------------- */

static bool read_number(const char *path, unsigned long *value)
{
	FILE *f = fopen(path, "re");
	bool found = f != NULL && fscanf(f, "%lu", value) == 1;

	if (f != NULL)
		fclose(f);
	return found;
}

/* Whether this process may exceed rmem_max. Tries it on a new socket. */
static bool may_force_buffer(void)
{
	int bytes = 1 << 20, fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
	bool may = fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) == 0;

	if (fd >= 0)
		close(fd);
	return may;
}

static void check_buffer(struct doctor *d)
{
	/* The kernel charges `charge` bytes for a waiting packet of 1,400 bytes; ip_queue's limit was 1024 packets. */
	const unsigned long charge = 2304, wanted = 1024 * charge;
	unsigned long max = 0;

	if (!read_number("/proc/sys/net/core/rmem_max", &max))
		doctor_say(d, CHECK_OK, "buffer", NULL,
			   "net.core.rmem_max is not readable in this namespace");
	else if (max >= wanted)
		doctor_say(d, CHECK_OK, "buffer", NULL,
			   "a receive buffer may have %lu bytes: about %lu packets of 1400 bytes", max,
			   max / charge);
	else if (may_force_buffer())
		doctor_say(d, CHECK_OK, "buffer", NULL,
			   "net.core.rmem_max is %lu, but this process may exceed it (SO_RCVBUFFORCE)", max);
	else
		doctor_say(d, CHECK_WARNING, "buffer", "sudo sysctl -w net.core.rmem_max=8388608",
			   "net.core.rmem_max is %lu: at most %lu packets of 1400 bytes can wait, others are "
			   "lost",
			   max, max / charge);
}

static void check_conntrack(struct doctor *d)
{
	unsigned long count = 0, max = 0;
	char remedy[96];

	if (!read_number("/proc/sys/net/netfilter/nf_conntrack_count", &count) ||
	    !read_number("/proc/sys/net/netfilter/nf_conntrack_max", &max)) {
		doctor_say(d, CHECK_OK, "conntrack", NULL,
			   "connection tracking is not in use: packets have no conntrack entry");
		return;
	}
	snprintf(remedy, sizeof(remedy), "sudo sysctl -w net.netfilter.nf_conntrack_max=%lu", 2 * max);
	if (max > 0 && count >= max)
		doctor_say(d, CHECK_FAIL, "conntrack", remedy,
			   "the conntrack table is full (%lu): packets are dropped before any rule", max);
	else if (max > 0 && count > max / 10 * 9)
		doctor_say(d, CHECK_WARNING, "conntrack", remedy,
			   "the conntrack table is nearly full: %lu of %lu", count, max);
	else
		doctor_say(d, CHECK_OK, "conntrack", NULL, "the conntrack table has %lu of %lu connections",
			   count, max);
}

void doctor_limits(struct doctor *d)
{
	check_buffer(d);
	check_conntrack(d);
}
