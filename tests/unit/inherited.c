/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A capture file that an engine in the parent reads, and children that inherit the handle. The first child closes the
 * handle; the second one only exits; the third one cannot start its engine's thread, and has a child of its own. No
 * child may keep a descriptor of the handle, and the output must have every record once: children do not write the
 * records that the parent has buffered.
 */
#include <errno.h>
#include <linux/netfilter.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/wait.h>
#include <libipq.h>
#include "../directory_entries.h"
#include "capture_file.h"

#define PACKETS 300

#define want(what) check(what, #what, __LINE__)

static bool fails, threads_fail;

static void check(bool right, const char *what, int line)
{
	if (right)
		return;
	printf("line %d: not so: %s\n", line, what);
	fails = true;
}

int __real_pthread_create(pthread_t *t, const pthread_attr_t *attr, void *(*start)(void *), void *arg);
int __wrap_pthread_create(pthread_t *t, const pthread_attr_t *attr, void *(*start)(void *), void *arg);
int __wrap_pthread_create(pthread_t *t, const pthread_attr_t *attr, void *(*start)(void *), void *arg)
{
	return threads_fail ? EAGAIN : __real_pthread_create(t, attr, start, arg);
}

static unsigned accept_packets(const struct ipq_handle *h, unsigned most)
{
	static unsigned char buf[4096];
	unsigned n = 0;

	while (n < most && ipq_read(h, buf, sizeof(buf), 0) > 0) {
		want(ipq_message_type(buf) == IPQM_PACKET);
		want(ipq_set_verdict(h, ipq_get_packet(buf)->packet_id, NF_ACCEPT, 0, NULL) > 0);
		n++;
	}
	return n;
}

static void closes(struct ipq_handle *h, unsigned before)
{
	ipq_destroy_handle(h);
	want(directory_entries("/proc/self/fd") == before);
}

static void only_exits(struct ipq_handle *h, unsigned before)
{
	(void)h;
	(void)before;
}

static void in_child(struct ipq_handle *h, unsigned before, void (*how)(struct ipq_handle *, unsigned))
{
	int status = 1;
	pid_t child = fork();

	if (child == 0) {
		how(h, before);
		exit(fails);
	}
	want(waitpid(child, &status, 0) == child && status == 0);
}

static void has_a_child(struct ipq_handle *h, unsigned before)
{
	/* descriptors with the numbers that the thread's descriptors will have */
	int own[2] = { dup(STDIN_FILENO), dup(STDIN_FILENO) };

	want(own[0] >= 0 && own[1] >= 0);
	threads_fail = false;
	in_child(h, before + 2, closes);
	closes(h, before + 2);
}

static void without_thread(struct ipq_handle *h, unsigned before)
{
	threads_fail = true;
	in_child(h, before, has_a_child);
	threads_fail = false;
}

static void make_input(struct capture_file *f)
{
	put_header(f, false, false, 1);
	for (unsigned i = 0; i < PACKETS; i++) {
		put_frame(f, i, i, 100, (uint8_t)i);
		if (i % 10 == 5)
			put_arp(f, (uint8_t)i);
	}
	place(f);
}

int main(int argc, char **argv)
{
	static struct capture_file in, out = { .fd = OUT_FD };
	unsigned before = directory_entries("/proc/self/fd");
	struct ipq_handle *h;

	(void)argc;
	if (getenv("EMULATOR") != NULL) {
		puts("skipped: qemu-user aborts when a process with threads forks");
		return 77;
	}
	if (getenv("IPQ_SOURCE") == NULL) {
		make_input(&in);
		out.fd = 0;
		start_again(argv, &in, &out);
	}
	alarm(60);
	h = ipq_create_handle(0, PF_INET);
	if (h == NULL || ipq_set_mode(h, IPQ_COPY_PACKET, 0) < 0) {
		ipq_perror("inherited");
		return 1;
	}
	want(accept_packets(h, 100) == 100);
	usleep(50000); /* the engine has received the verdicts, and buffers the records */
	in_child(h, before, closes);
	in_child(h, before, only_exits);
	without_thread(h, before);
	want(accept_packets(h, PACKETS) == PACKETS - 100);
	ipq_destroy_handle(h);
	make_input(&in);
	fetch(&out);
	want(out.len == in.len && memcmp(out.bytes, in.bytes, in.len) == 0);
	want(directory_entries("/proc/self/fd") == before + 1); /* the file of `in` is open now */
	return fails;
}
