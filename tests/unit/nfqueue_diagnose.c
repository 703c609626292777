// SPDX-License-Identifier: LGPL-2.1-or-later
/* Reads queues and their owners from files of /proc, whose contents this test provides. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/netlink.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "nfqueue/diagnose.h"

static char queues[256], sockets[512];

FILE *__wrap_fopen(const char *path, const char *mode);
FILE *__wrap_fopen64(const char *path, const char *mode);
FILE *__wrap_fopen(const char *path, const char *mode)
{
	const char *text = strstr(path, "/net/netfilter/nfnetlink_queue") != NULL ? queues
			   : strstr(path, "/net/netlink") != NULL		  ? sockets
										  : NULL;
	int fd;

	if (text != NULL)
		return fmemopen((void *)(uintptr_t)text, strlen(text), mode);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd >= 0 ? fdopen(fd, "r") : NULL;
}

/* In some C libraries, fopen has this name if files may be large. */
FILE *__wrap_fopen64(const char *path, const char *mode)
{
	return __wrap_fopen(path, mode);
}

static void queue_is_found_by_its_number(void **state)
{
	struct queue_line line;

	(void)state;
	strcpy(queues, "    0  11111     1 2 65531     3     4        5  1\n"
		       "  300  22222     6 1   100     7     8        9\n"
		       "65535  33333    10 0     0    11    12       13  1\n");
	assert_int_equal(queue_line(300, &line), 0);
	assert_int_equal(line.port_id, 22222);
	assert_int_equal(line.waiting, 6);
	assert_int_equal(line.copy_mode, 1);
	assert_int_equal(line.copy_range, 100);
	assert_int_equal(line.queue_dropped, 7);
	assert_int_equal(line.user_dropped, 8);
	assert_int_equal(line.last_id, 9);
	assert_int_equal(queue_line(65535, &line), 0);
	assert_int_equal(line.last_id, 13);
	assert_int_equal(queue_line(0, &line), 0);
	assert_int_equal(queue_line(44, &line), -ENOENT);
}

/* The name of this process as in /proc, which has at most 15 characters. Under valgrind it is valgrind's name. */
static const char *own_name(void)
{
	static char name[64];
	FILE *f = fopen("/proc/self/comm", "r");

	assert_non_null(f);
	assert_non_null(fgets(name, sizeof(name), f));
	fclose(f);
	name[strcspn(name, "\n")] = '\0';
	assert_true(strlen(name) > 0);
	return name;
}

static unsigned open_descriptors(void)
{
	unsigned count = 0;

	for (int fd = 0; fd < 1000; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

/* A port id is unique only within a protocol: a socket of another protocol may have the same. */
static void owner_has_the_socket_of_nfnetlink(void **state)
{
	int other = socket(AF_UNIX, SOCK_STREAM, 0), fd = socket(AF_UNIX, SOCK_STREAM, 0);
	struct stat of_other, of_fd;
	pid_t pid = 0, child = fork();
	char command[64];
	unsigned before;

	(void)state;
	if (child == 0) { /* the child has only the other socket */
		close(fd);
		alarm(20);
		pause();
		_exit(0);
	}
	assert_int_equal(fstat(fd, &of_fd), 0);
	assert_int_equal(fstat(other, &of_other), 0);
	close(other);
	snprintf(sockets, sizeof(sockets),
		 "sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    Inode\n"
		 "0000000000000000 0   4711       00000000 0        0        0     2        0        %lu\n"
		 "0000000000000000 12  4712       00000000 0        0        0     2        0        %lu\n"
		 "0000000000000000 12  4711       00000000 0        0        0     2        0        %lu\n",
		 (unsigned long)of_other.st_ino, (unsigned long)of_other.st_ino, (unsigned long)of_fd.st_ino);
	before = open_descriptors();
	assert_int_equal(queue_owner(4711, &pid, command), 0);
	assert_int_equal(pid, getpid());
	assert_string_equal(command, own_name());
	assert_int_equal(queue_owner(4712, &pid, command), 0);
	assert_int_equal(pid, child);
	assert_int_equal(queue_owner(4713, &pid, command), -ENOENT);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	assert_int_equal(queue_owner(4712, &pid, command), -ENOENT);
	assert_int_equal(open_descriptors(), before);
	close(fd);
}

static void privilege_is_that_for_networks(void **state)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
	bool has;

	(void)state;
	assert_int_equal(syscall(SYS_capget, &header, data), 0);
	has = data[0].effective & 1U << CAP_NET_ADMIN;
	assert_int_equal(have_net_admin(), has);
	data[0].effective &= ~(1U << CAP_NET_ADMIN);
	assert_int_equal(syscall(SYS_capset, &header, data), 0);
	assert_false(have_net_admin());
	if (!has)
		return;
	data[0].effective = 1U << CAP_NET_ADMIN;
	assert_int_equal(syscall(SYS_capset, &header, data), 0);
	assert_true(have_net_admin());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(queue_is_found_by_its_number),
		cmocka_unit_test(owner_has_the_socket_of_nfnetlink),
		cmocka_unit_test(privilege_is_that_for_networks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
