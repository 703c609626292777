// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * absent [kernel [FILE]]: the manual page's example, on a kernel that has no queue handler. A seccomp filter
 * simulates such a kernel: it refuses netlink sockets of netfilter. With `kernel`, no filter is used, because the
 * kernel really has none. The new calls report the same error in their own words. With FILE, the program creates
 * the handle, then FILE.created, and waits for FILE before it sets the mode.
 */
#include <ipq.h>
#include <libipq.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

/* The offset of an argument's lower 32 bits: a filter loads only 32 bits at a time. */
static unsigned low_half(unsigned argument)
{
	unsigned at = offsetof(struct seccomp_data, args) + 8 * argument;

	return __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? at + 4 : at;
}

static void forbid(unsigned call, unsigned argument, unsigned value, int error)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, low_half(argument)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)error),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { .len = sizeof(filter) / sizeof(filter[0]), .filter = filter };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
		exit(77);
}

static void wait_for(const char *file)
{
	char created[256];

	snprintf(created, sizeof(created), "%s.created", file);
	close(open(created, O_CREAT | O_WRONLY, 0600));
	for (int tries = 0; access(file, F_OK) != 0 && tries < 3000; tries++)
		usleep(20000);
	errno = 0;
}

/* Prints only errors. */
static void open_new(void)
{
	char words[320] = "";
	struct ipq_options o = { .size = sizeof(o), .error = words, .error_size = sizeof(words) };
	struct ipq_queue *q;
	int err = ipq_queue_open(&q, "nfqueue:7", &o);

	if (err != -ECONNREFUSED || q != NULL || strstr(words, "modprobe nfnetlink_queue") == NULL)
		printf("ipq_queue_open returned %d with the message: %s\n", err, words);
}

int main(int argc, char **argv)
{
	struct ipq_handle *h;

	if (argc < 2 || strcmp(argv[1], "kernel") != 0) {
		forbid(SYS_socket, 2, NETLINK_NETFILTER, EPROTONOSUPPORT);
		if (socket(AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER) >= 0) {
			puts("this C library makes sockets by socketcall(2), into which no filter can look");
			return 77;
		}
		errno = 0;
	}
	h = ipq_create_handle(0, PF_INET);
	if (!h) {
		ipq_perror("create");
		return 1;
	}
	if (argc > 2)
		wait_for(argv[2]);
	if (ipq_set_mode(h, IPQ_COPY_PACKET, 2048) >= 0)
		return 1;
	ipq_perror("myapp");
	open_new();
	return ipq_destroy_handle(h);
}
