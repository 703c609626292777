/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * dropin FILE
 *
 * Prints the result of each call, errno, and the text of ipq_errstr. The same object is linked with the original
 * library and with ours, and must print the same; FILE gets a line for each packet. (Only ipq_ctl differs. Not tested:
 * our library sets FD_CLOEXEC.) IPv4 packets come from a capture; the answers of old kernels are in tests/replay/data.
 */
#include <libipq.h>
#include <linux/netfilter.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

static struct ipq_handle *h;
static FILE *packets;
static unsigned char buf[66000];

static void say(const char *what, long ret)
{
	int e = errno;

	printf("%s: %ld, errno %d, %s\n", what, ret, e, ipq_errstr());
	fflush(stdout);
	errno = e;
	ipq_perror("perror");
	errno = 0;
}

#define SAY(call) (errno = 0, say(#call, (long)(call)))

static void on_alarm(int sig)
{
	(void)sig;
}

static void alarm_in_a_moment(int flags)
{
	struct itimerval soon = { { 0, 0 }, { 0, 50000 } };
	struct sigaction sa;

	memset(&sa, 0, sizeof(sa));
	sa.sa_handler = on_alarm;
	sa.sa_flags = flags;
	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &soon, NULL);
}

/* Packets that were read while the program waited for another message. */
static ipq_id_t early[1024];
static unsigned first, behind;

static void packet_came(ssize_t n)
{
	ipq_packet_msg_t *m = ipq_get_packet(buf);

	fprintf(packets, "message %ld, data %lu, hook %u, at +%ld\n", (long)n, (unsigned long)m->data_len,
		m->hook, (long)((unsigned char *)m - buf));
	early[behind++ % 1024] = m->packet_id;
}

/* Reads messages until one of this type arrives; 0: until the end. */
static int until(int type)
{
	ssize_t n;

	while ((n = ipq_read(h, buf, sizeof(buf), 5000000)) > 0) {
		if (ipq_message_type(buf) == IPQM_PACKET)
			packet_came(n);
		if (ipq_message_type(buf) == type)
			return 1;
	}
	return 0;
}

static void refused(void)
{
	if (until(NLMSG_ERROR))
		printf("refused: %d\n", ipq_get_msgerr(buf));
}

static ipq_id_t packet(void)
{
	if (first == behind && !until(IPQM_PACKET)) {
		puts("no packet");
		exit(1);
	}
	return early[first++ % 1024];
}

static void before_packets(void)
{
	SAY(ipq_create_handle(0, 7) != NULL);
	SAY(ipq_create_handle(0, 0) != NULL);
	ipq_perror(NULL);
	SAY(ipq_destroy_handle(NULL));
	SAY((h = ipq_create_handle(0, PF_INET)) != NULL);
	if (h == NULL)
		exit(1);
	SAY(ipq_create_handle(1, PF_INET) != NULL);
	SAY(fcntl(h->fd, F_GETFL) & O_NONBLOCK);
	printf("local %d %d, peer %d %d\n", h->local.nl_family, h->local.nl_pid == (unsigned)getpid(),
	       h->peer.nl_family, h->peer.nl_pid);
	SAY(ipq_read(h, buf, 0, 0));
	SAY(ipq_read(h, buf, 19, -1));
	SAY(ipq_read(h, buf, sizeof(buf), -1));
	SAY(ipq_read(h, buf, sizeof(buf), -200000));
	SAY(ipq_read(h, buf, sizeof(buf), 30000));
	alarm_in_a_moment(0);
	SAY(ipq_read(h, buf, sizeof(buf), 5000000));
	alarm_in_a_moment(SA_RESTART);
	SAY(ipq_read(h, buf, sizeof(buf), 5000000));
	alarm_in_a_moment(0);
	SAY(ipq_read(h, buf, sizeof(buf), 0));
	fcntl(h->fd, F_SETFL, O_NONBLOCK);
	SAY(ipq_read(h, buf, sizeof(buf), 0));
	fcntl(h->fd, F_SETFL, 0);
}

static void modes(void)
{
	SAY(ipq_set_mode(h, IPQ_COPY_NONE, 100) > 0);
	SAY(ipq_set_mode(h, 3, 0) > 0);
	refused();
	SAY(ipq_set_mode(h, 255, 0) > 0);
	refused();
	SAY(ipq_set_verdict(h, 12345, NF_ACCEPT, 0, NULL));
	refused();
	SAY(ipq_set_mode(h, IPQ_COPY_PACKET, 65541) > 0);
	SAY(ipq_set_mode(h, IPQ_COPY_PACKET, (size_t)-1) > 0);
}

static void verdicts(void)
{
	static unsigned char payload[70000];
	static const unsigned bad[] = { 6, 99, 0x10000, 0x10001, 0xffffffff };
	ipq_id_t id = packet();
	unsigned i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		SAY(ipq_set_verdict(h, id, bad[i], 0, NULL));
		refused();
	}
	SAY(ipq_set_verdict(h, id, NF_ACCEPT, 0, NULL));
	SAY(ipq_set_verdict(h, id, NF_ACCEPT, 0, NULL));
	refused();
	id = packet();
	SAY(ipq_set_verdict(h, id, NF_ACCEPT, 48, NULL));
	id = packet();
	SAY(ipq_set_verdict(h, id, NF_ACCEPT, 0, payload));
	id = packet();
	SAY(ipq_set_verdict(h, id, NF_ACCEPT, 19, payload));
	id = packet();
	SAY(ipq_set_verdict(h, id, NF_DROP, 48, payload));
	id = packet();
	SAY(ipq_set_verdict(h, id, 5, 0, NULL));
	id = packet();
	SAY(ipq_set_verdict(h, id, NF_STOLEN, 0, NULL));
	id = packet();
	SAY(ipq_set_verdict(h, id, NF_ACCEPT, 65536, payload));
}

int main(int argc, char **argv)
{
	packets = fopen(argv[argc - 1], "w");
	if (packets == NULL)
		return 1;
	before_packets();
	modes();
	verdicts();
	for (;;) {
		while (first != behind)
			ipq_set_verdict(h, packet(), NF_ACCEPT, 0, NULL);
		if (!until(IPQM_PACKET))
			break;
	}
	say("at the end", 0);
	close(h->fd);
	SAY(ipq_read(h, buf, sizeof(buf), 0));
	SAY(ipq_set_verdict(h, 1, NF_ACCEPT, 0, NULL));
	SAY(ipq_set_mode(h, IPQ_COPY_META, 0));
	ipq_destroy_handle(h);
	return fclose(packets);
}
