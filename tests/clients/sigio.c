/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Sleeps in pause() until SIGIO reports that the descriptor is readable (F_SETOWN, O_ASYNC), then reads all messages
 * without waiting. An interval timer interrupts it continually.
 */
#include <libipq/libipq.h>
#include <linux/netfilter.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>

static volatile sig_atomic_t readable = 1, ticks;

static void on_io(int sig)
{
	readable = 1;
}

static void on_alarm(int sig)
{
	ticks++;
}

static int handle(struct ipq_handle *h)
{
	static unsigned char buf[65536 + 128];
	int n;

	for (;;) {
		errno = 0;
		n = ipq_read(h, buf, sizeof(buf), -1);
		if (n == 0 || (n < 0 && (errno == EAGAIN || errno == EINTR)))
			return 0;
		if (n < 0)
			return -1;
		if (ipq_message_type(buf) == NLMSG_ERROR)
			fprintf(stderr, "error %d\n", ipq_get_msgerr(buf));
		else if (ipq_set_verdict(h, ipq_get_packet(buf)->packet_id, NF_ACCEPT, 0, NULL) <= 0)
			return -1;
	}
}

int main(void)
{
	struct itimerval every = { { 0, 5000 }, { 0, 5000 } };
	struct sigaction sa;
	sigset_t blocked, open;
	struct ipq_handle *h;

	memset(&sa, 0, sizeof(sa));
	sa.sa_handler = on_io;
	sigaction(SIGIO, &sa, NULL);
	sa.sa_handler = on_alarm;
	sigaction(SIGALRM, &sa, NULL);
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGIO);
	sigprocmask(SIG_BLOCK, &blocked, &open);
	h = ipq_create_handle(0, PF_INET);
	if (!h || ipq_set_mode(h, IPQ_COPY_PACKET, 65535) < 0) {
		ipq_perror("sigio");
		return 1;
	}
	fcntl(h->fd, F_SETOWN, getpid());
	fcntl(h->fd, F_SETFL, fcntl(h->fd, F_GETFL) | O_ASYNC | O_NONBLOCK);
	setitimer(ITIMER_REAL, &every, NULL);
	for (;;) {
		while (!readable)
			sigsuspend(&open);
		readable = 0;
		if (handle(h) < 0) {
			ipq_perror("sigio");
			return 1;
		}
	}
}
