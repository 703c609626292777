/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/capability.h>
#include <linux/netlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "nfqueue/diagnose.h"

/*
 * Opens a file of the calling thread: threads may be in different namespaces. Kernels before 3.17 have no
 * thread-self.
 */
static FILE *open_net(const char *name)
{
	static const char *const base[] = { "/proc/thread-self/net", "/proc/self/net" };
	char path[96];
	FILE *f = NULL;
	size_t i;

	for (i = 0; f == NULL && i < sizeof(base) / sizeof(base[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", base[i], name);
		f = fopen(path, "re");
	}
	return f;
}

int queue_lines(struct queue_line *line, unsigned max)
{
	FILE *f = open_net("netfilter/nfnetlink_queue");
	unsigned n = 0;
	char text[160];

	if (f == NULL)
		return -errno;
	while (n < max && fgets(text, sizeof(text), f) != NULL) {
		struct queue_line *l = &line[n];

		if (sscanf(text,
			   "%" SCNu32 " %" SCNu32 " %" SCNu32 " %" SCNu32 " %" SCNu32 " %" SCNu32 " %" SCNu32
			   " %" SCNu32,
			   &l->number, &l->port_id, &l->waiting, &l->copy_mode, &l->copy_range,
			   &l->queue_dropped, &l->user_dropped, &l->last_id) == 8)
			n++;
	}
	fclose(f);
	return (int)n;
}

int queue_line(uint32_t number, struct queue_line *line)
{
	struct queue_line *all = calloc(65536, sizeof(*all));
	int i, n;

	if (all == NULL)
		return -ENOMEM;
	n = queue_lines(all, 65536);
	for (i = 0; i < n && all[i].number != number; i++)
		;
	if (n >= 0 && i < n)
		*line = all[i];
	free(all);
	return n < 0 ? n : i < n ? 0 : -ENOENT;
}

/* The inode of the NETLINK_NETFILTER socket with this port id. 0: none. */
static unsigned long socket_inode(uint32_t port_id)
{
	FILE *f = open_net("netlink");
	unsigned long inode = 0;
	char text[256];

	if (f == NULL)
		return 0;
	while (inode == 0 && fgets(text, sizeof(text), f) != NULL) {
		unsigned long found;
		uint32_t port;
		int protocol;

		if (sscanf(text, "%*s %d %" SCNu32 " %*s %*s %*s %*s %*s %*s %lu", &protocol, &port,
			   &found) == 3 &&
		    protocol == NETLINK_NETFILTER && port == port_id)
			inode = found;
	}
	fclose(f);
	return inode;
}

static bool holds(const char *pid, const char *target)
{
	char path[288], link[64];
	struct dirent *fd;
	bool found = false;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%s/fd", pid);
	dir = opendir(path);
	if (dir == NULL)
		return false;
	while (!found && (fd = readdir(dir)) != NULL) {
		ssize_t n = readlinkat(dirfd(dir), fd->d_name, link, sizeof(link) - 1);

		if (n > 0) {
			link[n] = '\0';
			found = strcmp(link, target) == 0;
		}
	}
	closedir(dir);
	return found;
}

static void read_command(const char *pid, char command[64])
{
	char path[288];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%s/comm", pid);
	f = fopen(path, "re");
	if (f == NULL || fgets(command, 64, f) == NULL)
		strcpy(command, "?");
	command[strcspn(command, "\n")] = '\0';
	if (f != NULL)
		fclose(f);
}

int queue_owner(uint32_t port_id, pid_t *pid, char command[64])
{
	unsigned long inode = socket_inode(port_id);
	struct dirent *process;
	char target[64];
	DIR *proc;
	int err = -ENOENT;

	if (inode == 0)
		return -ENOENT;
	snprintf(target, sizeof(target), "socket:[%lu]", inode);
	proc = opendir("/proc");
	if (proc == NULL)
		return -ENOENT;
	while (err < 0 && (process = readdir(proc)) != NULL) {
		if (process->d_name[0] < '1' || process->d_name[0] > '9' || !holds(process->d_name, target))
			continue;
		*pid = (pid_t)strtol(process->d_name, NULL, 10);
		read_command(process->d_name, command);
		err = 0;
	}
	closedir(proc);
	return err;
}

bool have_net_admin(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { 0 };

	return syscall(SYS_capget, &header, data) == 0 && (data[0].effective & (1U << CAP_NET_ADMIN)) != 0;
}
