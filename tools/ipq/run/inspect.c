/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reads the program's memory, descriptors and credentials from /proc. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <linux/capability.h>
#include "run/run.h"

/* Older headers lack it. The number is the same on every supported architecture. */
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef SYS_pidfd_getfd
#define SYS_pidfd_getfd 438
#endif
#ifndef PIDFD_THREAD
#define PIDFD_THREAD O_EXCL
#endif

/* Another process may reuse the thread's id; an open descriptor of its memory stays valid. */
bool run_open_memory(struct call *call)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/mem", (int)call->tid);
	if (call->memory < 0)
		call->memory = open(path, O_RDWR | O_CLOEXEC);
	return call->memory >= 0;
}

bool run_peek(const struct call *call, uint64_t at, void *to, size_t len)
{
	return pread(call->memory, to, len, (off_t)at) == (ssize_t)len;
}

bool run_poke(const struct call *call, uint64_t at, const void *from, size_t len)
{
	return len == 0 || pwrite(call->memory, from, len, (off_t)at) == (ssize_t)len;
}

int run_poke_value(const struct call *call, uint64_t at, uint64_t len_at, const void *value, uint32_t len)
{
	int32_t room;

	if (!run_peek(call, len_at, &room, sizeof(room)))
		return -EFAULT;
	if (room < 0)
		return -EINVAL;
	if (!run_poke(call, at, value, (uint32_t)room < len ? (uint32_t)room : len) ||
	    !run_poke(call, len_at, &len, sizeof(len)))
		return -EFAULT;
	return 0;
}

/* The inode of a socket among the program's descriptors; 0: not a socket, or not readable. */
ino_t run_socket_inode(pid_t tid, int fd)
{
	char path[64], link[64];
	unsigned long inode;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)tid, fd);
	n = readlink(path, link, sizeof(link) - 1);
	if (n <= 0)
		return 0;
	link[n] = '\0';
	return sscanf(link, "socket:[%lu]", &inode) == 1 ? (ino_t)inode : 0;
}

ino_t run_user_namespace(pid_t tid)
{
	char path[64];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%d/ns/user", (int)tid);
	return stat(path, &st) == 0 ? st.st_ino : 0;
}

bool run_identify(pid_t tid, bool everybody_capable, ino_t own_namespace, struct identity *id)
{
	char path[64], line[256], *last;
	unsigned long long effective = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)tid);
	f = fopen(path, "re");
	if (f == NULL)
		return false;
	id->pid = 0;
	while (fgets(line, sizeof(line), f) != NULL) {
		/* The line has one number for each namespace; the last one is that of the innermost namespace. */
		if (strncmp(line, "NStgid:", 7) == 0 && (last = strrchr(line, '\t')) != NULL)
			id->pid = (uint32_t)strtoul(last, NULL, 10);
		else if (sscanf(line, "CapEff: %llx", &effective) == 1)
			break;
	}
	fclose(f);
	id->capable = everybody_capable ||
		      ((effective >> CAP_NET_ADMIN & 1) != 0 && run_user_namespace(tid) == own_namespace);
	return id->pid != 0;
}

/*
 * Opens a pidfd. From Linux 6.9 on it refers to the thread. Before, it refers to the thread's process, whose id is
 * in /proc.
 */
static int open_pidfd(pid_t tid)
{
	char path[64], line[256];
	int pid = 0, fd = (int)syscall(SYS_pidfd_open, tid, PIDFD_THREAD);
	FILE *f;

	if (fd >= 0)
		return fd;
	snprintf(path, sizeof(path), "/proc/%d/status", (int)tid);
	f = fopen(path, "re");
	while (f != NULL && pid == 0 && fgets(line, sizeof(line), f) != NULL)
		sscanf(line, "Tgid: %d", &pid);
	if (f != NULL)
		fclose(f);
	return (int)syscall(SYS_pidfd_open, pid, 0);
}

/* Returns a copy of the program's descriptor; -1: the descriptor has another inode. */
int run_copy_descriptor(const struct call *call, ino_t inode)
{
	int pidfd = open_pidfd(call->tid), fd;
	struct stat st;

	fd = pidfd >= 0 ? (int)syscall(SYS_pidfd_getfd, pidfd, (int)call->arg[0], 0) : -1;
	if (pidfd >= 0)
		close(pidfd);
	if (fd >= 0 && (fstat(fd, &st) < 0 || st.st_ino != inode)) {
		close(fd);
		fd = -1;
	}
	return fd;
}
