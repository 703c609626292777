/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * partial_failures new: a malformed message; ENOBUFS on the socket; a send of many verdicts that fails after some
 * of them; a kernel whose counters cannot be read. The packet of the malformed message must be dropped and counted;
 * the overrun must not be an error; the remaining verdicts must be sent with the next send; and losses must be
 * counted by the gaps in the ids.
 */
#include <errno.h>
#include <limits.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <linux/netlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include "packets.h"

#define MANY 64

static bool spoil, overrun, hide_table;
static unsigned sends, send_to_fail; /* number of sends, and of the send that fails; 0: none fails */
static unsigned hidden;

/* Writes a wrong length into the attribute after the packet's header. */
static void spoil_message(const struct msghdr *msg)
{
	unsigned char *at = msg->msg_iov[0].iov_base;
	struct nlmsghdr nlh;
	struct nlattr a;

	memcpy(&nlh, at, sizeof(nlh));
	if (nlh.nlmsg_type != (NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_PACKET))
		return;
	at += NLMSG_HDRLEN + sizeof(struct nfgenmsg);
	memcpy(&a, at, sizeof(a));
	at += NLA_ALIGN(a.nla_len);
	memcpy(&a, at, sizeof(a));
	a.nla_len = 1;
	memcpy(at, &a, sizeof(a));
	spoil = false;
}

int __real_recvmmsg(int fd, struct mmsghdr *msg, unsigned n, int flags, struct timespec *t);
int __wrap_recvmmsg(int fd, struct mmsghdr *msg, unsigned n, int flags, struct timespec *t);
int __wrap_recvmmsg(int fd, struct mmsghdr *msg, unsigned n, int flags, struct timespec *t)
{
	int got;

	if (overrun) {
		overrun = false;
		errno = ENOBUFS;
		return -1;
	}
	got = __real_recvmmsg(fd, msg, n, flags, t);
	if (got > 0 && spoil)
		spoil_message(&msg[0].msg_hdr);
	return got;
}

ssize_t __real_sendmsg(int fd, const struct msghdr *msg, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *msg, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *msg, int flags)
{
	if (++sends != send_to_fail)
		return __real_sendmsg(fd, msg, flags);
	errno = ENOBUFS;
	return -1;
}

/* fopen is called by this name if _FILE_OFFSET_BITS is 64, which meson sets */
FILE *__real_fopen64(const char *path, const char *mode);
FILE *__wrap_fopen64(const char *path, const char *mode);
FILE *__wrap_fopen64(const char *path, const char *mode)
{
	if (!hide_table || strstr(path, "nfnetlink_queue") == NULL)
		return __real_fopen64(path, mode);
	hidden++;
	errno = EACCES;
	return NULL;
}

static struct ipq_stats stats(struct ipq_queue *q)
{
	struct ipq_stats s = { .size = sizeof(s) };

	want(ipq_queue_stats(q, &s) == 0);
	return s;
}

/* The number of packets that wait in queue 0. */
static unsigned kernel_waiting(void)
{
	FILE *f = fopen("/proc/net/netfilter/nfnetlink_queue", "re");
	unsigned waiting = UINT_MAX;

	if (!want(f != NULL))
		return waiting;
	want(fscanf(f, " 0 %*u %u", &waiting) == 1);
	fclose(f);
	return waiting;
}

static void malformed_message_drops_its_packet(void)
{
	struct reader r = { .q = NULL };
	const char *why;

	want(reader_open(&r, &why) == 0);
	spoil = true;
	say(0, 1);
	say(2, 1);
	want(kernel_waiting() == 2);
	want(reader_work(&r, 100) == 1);
	reader_flush(&r);
	want(kernel_waiting() == 0);
	want(!spoil && heard(100) == 1);
	want(stats(r.q).malformed == 1 && stats(r.q).waiting == 0 && stats(r.q).refused == 0);
	reader_close(&r);
}

static void overrun_is_counted_and_not_an_error(void)
{
	struct reader r = { .q = NULL };
	struct ipq_packet p[MANY];
	const char *why;

	want(reader_open(&r, &why) == 0);
	say(30, 1);
	overrun = true;
	want(ipq_queue_recv(r.q, p, MANY, 1000) == 1);
	want(!overrun && ipq_accept(r.q, &p[0]) == 0 && ipq_queue_flush(r.q) == 0);
	want(heard(100) == 1);
	reader_close(&r);
}

static void partial_send_failure_loses_no_verdict(unsigned which)
{
	struct reader r = { .q = NULL };
	struct ipq_packet p[MANY];
	const char *why;
	int i, n;

	want(reader_open(&r, &why) == 0);
	for (i = 0; i < MANY; i++)
		say(1000 * which + 2 * (unsigned)i, 1);
	n = ipq_queue_recv(r.q, p, MANY, 1000);
	want(n == MANY);
	for (i = 0; i < n; i++) /* the verdicts have a payload, so that one send cannot carry them all */
		want(ipq_replace(r.q, &p[i], p[i].payload, p[i].payload_len) == 0);
	sends = 0;
	send_to_fail = which;
	if (ipq_queue_flush(r.q) < 0)
		want(ipq_queue_flush(r.q) == 0);
	want(sends >= 3);
	send_to_fail = 0;
	want(heard(100) == MANY);
	want(stats(r.q).accepted == MANY && stats(r.q).replaced == MANY && stats(r.q).waiting == 0);
	want(ipq_queue_recv(r.q, p, 1, 0) == 0 && stats(r.q).refused == 0); /* no verdict was sent twice */
	reader_close(&r);
}

static void losses_are_counted_from_id_gaps(void)
{
	struct reader r = { .q = NULL };
	int bytes = 8192;
	const char *why;
	unsigned read;

	want(reader_open(&r, &why) == 0);
	want(setsockopt(ipq_queue_fd(r.q), SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes)) == 0);
	hide_table = true;
	say(10001, 1);
	want(reader_work(&r, 100) == 1 && stats(r.q).lost == 0);
	say(20000, 300);
	read = reader_work(&r, 100);
	say(30001, 1); /* all packets before this one have arrived */
	read += reader_work(&r, 100);
	reader_flush(&r);
	heard(100);
	want(read > 1 && read < 301 && stats(r.q).lost + read == 301);
	want(hidden >= 2);
	hide_table = false;
	want(stats(r.q).lost + read == 301);
	reader_close(&r);
}

int main(int argc, char **argv)
{
	(void)argc;
	choose_api(argv);
	open_sockets();
	malformed_message_drops_its_packet();
	overrun_is_counted_and_not_an_error();
	partial_send_failure_loses_no_verdict(1);
	partial_send_failure_loses_no_verdict(2);
	losses_are_counted_from_id_gaps();
	return failures != 0;
}
