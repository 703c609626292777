/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <signal.h>
#include "common/subprocess.h"
#include "common/test_netns.h"
#include "common/tool.h"

static int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), err = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		err = -errno;
	close(fd);
	return err;
}

static int become_root(void)
{
	uid_t uid = geteuid();
	gid_t gid = getegid();
	char map[48];
	int err;

	if (unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
		return -errno;
	err = write_file("/proc/self/setgroups", "deny");
	if (err < 0 && err != -ENOENT)
		return err;
	snprintf(map, sizeof(map), "0 %u 1", uid);
	err = write_file("/proc/self/uid_map", map);
	if (err < 0)
		return err;
	snprintf(map, sizeof(map), "0 %u 1", gid);
	return write_file("/proc/self/gid_map", map);
}

static int loopback_up(void)
{
	struct ifreq r = { .ifr_name = "lo" };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), err = 0;

	if (fd < 0)
		return -errno;
	r.ifr_flags = IFF_UP | IFF_RUNNING;
	if (ioctl(fd, SIOCSIFFLAGS, &r) < 0)
		err = -errno;
	close(fd);
	return err;
}

int test_netns_enter(void)
{
	int err = 0;

	if (unshare(CLONE_NEWNET) < 0)
		err = become_root();
	/* no lock is needed: only this process uses the namespace */
	if (err == 0 && setenv("XTABLES_LOCKFILE", "/dev/null", 1) < 0)
		err = -errno;
	return err < 0 ? err : loopback_up();
}

static const struct {
	const char *tool; /* NULL: as tool_iptables() returns it */
	const char *rule, *arguments;
} ways[METHODS] = {
	[METHOD_LEGACY_QUEUE] = { NULL, "iptables-legacy -j QUEUE",
				  "-w -A OUTPUT -p udp --dport 9 -j QUEUE" },
	[METHOD_LEGACY_NFQUEUE] = { NULL, "iptables-legacy -j NFQUEUE",
				    "-w -A OUTPUT -p udp --dport 9 -j NFQUEUE --queue-num 0" },
	[METHOD_NFT_QUEUE] = { "iptables-nft", "iptables-nft -j QUEUE",
			       "-w -A OUTPUT -p udp --dport 9 -j QUEUE" },
	[METHOD_NFT_NFQUEUE] = { "iptables-nft", "iptables-nft -j NFQUEUE",
				 "-w -A OUTPUT -p udp --dport 9 -j NFQUEUE --queue-num 0" },
	[METHOD_NFTABLES] = { "nft", "nft queue num",
			      "add table ip t; add chain ip t c { type filter hook output priority 0 ; }; "
			      "add rule ip t c udp dport 9 queue num 0" },
};

const char *method_tool(enum method method)
{
	return ways[method].tool != NULL ? ways[method].tool : tool_iptables(false);
}

const char *method_rule(enum method method)
{
	return ways[method].rule;
}

int test_netns_try(enum method method)
{
	char command[256];

	snprintf(command, sizeof(command), "%s %s", method_tool(method), ways[method].arguments);
	return subprocess_run_line(command, NULL);
}

static void __attribute__((noreturn)) try_in_child(int to)
{
	int result[METHODS + 1] = { test_netns_enter() };

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (enum method method = 0; method < METHODS && result[0] == 0; method++)
		result[method + 1] = test_netns_try(method);
	_exit(write(to, result, sizeof(result)) != sizeof(result));
}

int test_netns_try_all(int result[METHODS])
{
	int all[METHODS + 1], fd[2], err = 0;
	pid_t child;

	if (pipe2(fd, O_CLOEXEC) < 0)
		return -errno;
	child = fork();
	if (child == 0)
		try_in_child(fd[1]);
	if (child < 0)
		err = -errno;
	close(fd[1]);
	if (err == 0 && read(fd[0], all, sizeof(all)) != sizeof(all))
		err = -ECANCELED;
	close(fd[0]);
	if (child > 0)
		waitpid(child, NULL, 0);
	if (err == 0)
		err = all[0];
	if (err == 0)
		memcpy(result, all + 1, sizeof(all) - sizeof(all[0]));
	return err;
}
