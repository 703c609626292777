/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The environment of a run: private namespaces, firewall rules, the kernel's counters and clocks. */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <inttypes.h>
#include "bench.h"

static int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : write(fd, text, strlen(text));

	if (fd >= 0)
		close(fd);
	return n < 0 ? -1 : 0;
}

int ground_command(const char *format, ...)
{
	char command[512];
	va_list ap;
	int status;

	va_start(ap, format);
	vsnprintf(command, sizeof(command), format, ap);
	va_end(ap);
	status = system(command);
	if (status != 0)
		fprintf(stderr, "bench: failed: %s\n", command);
	return status == 0 ? 0 : -1;
}

/* Root stays in its user namespace: SO_RCVBUFFORCE works in the initial user namespace only. */
static int namespaces(void)
{
	char map[64];
	unsigned uid = geteuid(), gid = getegid();

	if (uid == 0 && unshare(CLONE_NEWNET | CLONE_NEWNS) == 0)
		return 0;
	if (unshare(CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWNS) < 0)
		return -1;
	write_file("/proc/self/setgroups", "deny");
	snprintf(map, sizeof(map), "0 %u 1", gid);
	if (write_file("/proc/self/gid_map", map) < 0)
		return -1;
	snprintf(map, sizeof(map), "0 %u 1", uid);
	return write_file("/proc/self/uid_map", map);
}

int ground_enter(void)
{
	if (namespaces() < 0) {
		fprintf(stderr, "bench: no private namespaces: %s\n", strerror(errno));
		return -1;
	}
	/* iptables needs a lock file in a directory that this process may write to */
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("none", "/run", "tmpfs", 0, NULL) < 0) {
		fprintf(stderr, "bench: mount: %s\n", strerror(errno));
		return -1;
	}
	if (setenv("PATH", "/usr/sbin:/sbin:/usr/bin:/bin", 1) < 0)
		return -1;
	return ground_command("ip link set lo up");
}

int ground_new_net(void)
{
	if (unshare(CLONE_NEWNET) < 0 || ground_command("ip link set lo up") < 0)
		return -1;
	return ground_net();
}

int ground_net(void)
{
	return open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
}

int ground_enter_net(int net)
{
	return setns(net, CLONE_NEWNET);
}

const char *ground_iptables(void)
{
	static const char *const names[] = { "iptables-legacy", "iptables", "iptables-nft" };
	static const char *found;
	char command[128];

	for (unsigned i = 0; found == NULL && i < sizeof(names) / sizeof(*names); i++) {
		snprintf(command, sizeof(command),
			 "%s -A INPUT -j NFQUEUE 2>/dev/null && %s -D INPUT -j NFQUEUE", names[i], names[i]);
		if (system(command) == 0)
			found = names[i];
	}
	return found;
}

int ground_rules(unsigned queues)
{
	const char *tool = ground_iptables();
	char target[64] = "NFQUEUE --queue-num 0";

	if (tool == NULL) {
		fprintf(stderr, "bench: no iptables that can set -j NFQUEUE here\n");
		return -1;
	}
	if (queues > 1)
		snprintf(target, sizeof(target), "NFQUEUE --queue-balance 0:%u", queues - 1);
	return ground_command("%s -F INPUT && "
			      "%s -A INPUT -p udp --dport %d:%d -j %s && "
			      "%s -A INPUT -p tcp --dport %d -j %s",
			      tool, tool, PORT_PACKETS, PORT_MARKERS, target, tool, PORT_TCP, target);
}

struct queue_counts ground_queues(void)
{
	FILE *f = fopen("/proc/self/net/netfilter/nfnetlink_queue", "re");
	struct queue_counts sum = { .known = f != NULL };
	uint64_t waiting, queue_dropped, user_dropped;
	char line[256];

	while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
		/*
		 * columns: queue, port id, waiting, copy mode, copy range, queue dropped, user dropped, last id, 1
		 */
		if (sscanf(line, "%*u %*d %" SCNu64 " %*u %*u %" SCNu64 " %" SCNu64, &waiting, &queue_dropped,
			   &user_dropped) != 3)
			continue;
		sum.waiting += waiting;
		sum.overflow += queue_dropped + user_dropped;
	}
	if (f != NULL)
		fclose(f);
	return sum;
}

uint64_t ground_sink_errors(void)
{
	FILE *f = fopen("/proc/self/net/snmp", "re");
	uint64_t errors = 0;
	char line[512];

	/* "Udp: InDatagrams NoPorts InErrors ...": the line with the names does not parse as numbers */
	while (f != NULL && fgets(line, sizeof(line), f) != NULL)
		if (sscanf(line, "Udp: %*u %*u %" SCNu64, &errors) == 1)
			break;
	if (f != NULL)
		fclose(f);
	return errors;
}

uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t process_ns(pid_t pid)
{
	struct timespec t = { 0 };
	uint64_t sum = 0;
	clockid_t clock;
	char path[64];
	int child;
	FILE *f;

	if (clock_getcpuclockid(pid, &clock) == 0 && clock_gettime(clock, &t) == 0)
		sum = (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)pid, (int)pid);
	f = fopen(path, "re");
	while (f != NULL && fscanf(f, "%d", &child) == 1)
		sum += process_ns(child);
	if (f != NULL)
		fclose(f);
	return sum;
}

/* Kernel threads for memory and disks, whose work does not depend on the consumer. */
static bool is_housekeeper(const char *stat)
{
	static const char *const names[] = { "(kdamond",    "(kcompactd", "(kswapd",
					     "(khugepaged", "(ksmd",	  "(jbd2/" };

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (strstr(stat, names[i]) != NULL)
			return true;
	return false;
}

static bool is_kernel_thread(int dir)
{
	char stat[256] = "";
	int fd = openat(dir, "stat", O_RDONLY | O_CLOEXEC), parent = -1;
	ssize_t n = fd < 0 ? -1 : read(fd, stat, sizeof(stat) - 1);
	const char *paren;

	if (fd >= 0)
		close(fd);
	paren = n > 0 ? strrchr(stat, ')') : NULL;
	return paren != NULL && sscanf(paren, ") %*c %d", &parent) == 1 && parent == 2 &&
	       !is_housekeeper(stat);
}

static uint64_t thread_ns(int dir)
{
	char text[64] = "";
	int fd = openat(dir, "schedstat", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (fd >= 0)
		close(fd);
	return n > 0 ? strtoull(text, NULL, 10) : 0;
}

/* The CPU time of the kernel threads that exist now (ksoftirqd, kworker, rcu ...). */
uint64_t kernel_threads_ns(void)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	uint64_t sum = 0;

	while (proc != NULL && (entry = readdir(proc)) != NULL) {
		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		int dir = openat(dirfd(proc), entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		if (dir < 0)
			continue;
		if (is_kernel_thread(dir))
			sum += thread_ns(dir);
		close(dir);
	}
	if (proc != NULL)
		closedir(proc);
	return sum;
}

void pin_to(int cpu)
{
	int count = (int)sysconf(_SC_NPROCESSORS_ONLN);
	cpu_set_t set;

	CPU_ZERO(&set);
	for (int i = 0; i < count && i < CPU_SETSIZE; i++)
		if (cpu < 0 || i == cpu % count)
			CPU_SET(i, &set);
	sched_setaffinity(0, sizeof(set), &set);
}
