/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A daemon of two processes: the master forks a worker that owns the queue, and a new worker on SIGHUP or when the
 * worker has died. A worker exits by _exit, without destroying its handle.
 */
#include <libipq.h>
#include <linux/netfilter.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

static volatile sig_atomic_t ends;
static pid_t worker;

static void on_signal(int sig)
{
	ends |= sig == SIGTERM;
	kill(worker, SIGTERM);
}

static void work(void)
{
	static unsigned char buf[2048];
	struct ipq_handle *h;

	signal(SIGTERM, SIG_DFL);
	signal(SIGHUP, SIG_DFL);
	h = ipq_create_handle(0, PF_INET);
	if (!h || ipq_set_mode(h, IPQ_COPY_PACKET, 1500) < 0)
		_exit(1);
	printf("worker %d\n", (int)getpid());
	fflush(stdout);
	while (ipq_read(h, buf, sizeof(buf), 0) > 0)
		if (ipq_message_type(buf) == IPQM_PACKET)
			ipq_set_verdict(h, ipq_get_packet(buf)->packet_id, NF_ACCEPT, 0, NULL);
	_exit(1);
}

int main(void)
{
	signal(SIGTERM, on_signal);
	signal(SIGHUP, on_signal);
	while (!ends) {
		worker = fork();
		if (worker == 0)
			work();
		if (worker < 0)
			return 1;
		while (waitpid(worker, NULL, 0) < 0 && errno == EINTR)
			;
		usleep(10000);
	}
	return 0;
}
