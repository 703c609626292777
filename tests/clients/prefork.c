/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Four children read one handle, as the workers of a web server accept on one socket, and decide what they have read. A
 * child ends after some packets; the parent starts another one.
 */
#include <libipq.h>
#include <linux/netfilter.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

#define CHILDREN 4

static pid_t child[CHILDREN];

static void on_term(int sig)
{
	int i;

	for (i = 0; i < CHILDREN; i++)
		if (child[i] > 0)
			kill(child[i], SIGKILL);
	signal(sig, SIG_DFL);
	raise(sig);
}

static void work(struct ipq_handle *h)
{
	static unsigned char buf[66000];
	int packets = 0;

	while (packets < 100 && ipq_read(h, buf, sizeof(buf), 0) > 0)
		if (ipq_message_type(buf) == IPQM_PACKET) {
			if (ipq_set_verdict(h, ipq_get_packet(buf)->packet_id, NF_ACCEPT, 0, NULL) <= 0)
				break;
			packets++;
		}
	_exit(packets < 100);
}

/* Block SIGTERM, so that its handler finds all children in the list. */
static void start(struct ipq_handle *h, int i)
{
	sigset_t term, old;

	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	sigprocmask(SIG_BLOCK, &term, &old);
	child[i] = fork();
	if (child[i] == 0)
		signal(SIGTERM, SIG_DFL);
	sigprocmask(SIG_SETMASK, &old, NULL);
	if (child[i] == 0)
		work(h);
}

int main(void)
{
	struct ipq_handle *h = ipq_create_handle(0, PF_INET);
	int i, status;
	pid_t ended;

	if (!h || ipq_set_mode(h, IPQ_COPY_PACKET, 0) < 0) {
		ipq_perror("prefork");
		return 1;
	}
	signal(SIGTERM, on_term);
	for (i = 0; i < CHILDREN; i++)
		start(h, i);
	while ((ended = wait(&status)) > 0 || errno == EINTR)
		for (i = 0; i < CHILDREN; i++)
			if (child[i] == ended && ended > 0) {
				if (status != 0)
					fprintf(stderr, "prefork: status %d\n", status);
				start(h, i);
			}
	return 1;
}
