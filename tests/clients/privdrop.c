/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Opens its handle as root, then changes its root directory and user, as daemons do. An alarm
 * prints its statistics, and interrupts a read without a timeout; a signal ends it cleanly.
 */
#include <libipq.h>
#include <linux/netfilter.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>

static volatile sig_atomic_t over, alarms;

static void on_signal(int sig)
{
	if (sig == SIGALRM)
		alarms++;
	else
		over = 1;
}

int main(void)
{
	static unsigned char buf[65536 + 128];
	struct itimerval every = { { 0, 3000 }, { 0, 3000 } };
	struct ipq_handle *h = ipq_create_handle(0, PF_INET);
	struct sigaction sa;
	long packets = 0;
	int n;

	memset(&sa, 0, sizeof(sa));
	sa.sa_handler = on_signal;
	sigaction(SIGALRM, &sa, NULL);
	sigaction(SIGUSR1, &sa, NULL);
	if (!h || ipq_set_mode(h, IPQ_COPY_PACKET, 65535) < 0) {
		ipq_perror("privdrop");
		return 1;
	}
	if (chroot("/var") < 0 || chdir("/") < 0)
		perror("chroot");
	setitimer(ITIMER_REAL, &every, NULL);
	while (!over) {
		errno = 0;
		n = ipq_read(h, buf, sizeof(buf), 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			ipq_perror("privdrop");
			return 1;
		}
		if (ipq_message_type(buf) == NLMSG_ERROR) {
			fprintf(stderr, "privdrop: %s\n", strerror(ipq_get_msgerr(buf)));
			continue;
		}
		if (ipq_set_verdict(h, ipq_get_packet(buf)->packet_id, NF_ACCEPT, 0, NULL) < 0)
			ipq_perror("verdict");
		packets++;
	}
	ipq_destroy_handle(h);
	printf("%ld packets\n", packets);
	return 0;
}
