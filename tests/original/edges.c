/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Calls at the limits of ip_queue's definition, a line for each result: unusual verdicts, lengths and ranges,
 * signals, copies of the descriptor, threads, IPv6. The same source is linked with the original library (under ipq
 * run) and with ours, and must print the same. The program itself sends the packets: UDP to port 7000 of this
 * machine, which rules queue in OUTPUT, and to port 7001, which rules queue in INPUT. Intended differences are
 * listed in ip_queue(7) and not tested here.
 */
#include <arpa/inet.h>
#include <limits.h>
#include <netinet/in.h>
#include <linux/netfilter.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <libipq.h>

static struct ipq_handle *h;
static unsigned char buf[80000] __attribute__((aligned(8)));
static int sender, sender6, receiver, receiver_in, receiver6;

static void say(const char *what, long result)
{
	int error = errno;

	printf("%s: %ld, %s, %s\n", what, result, error == 0 ? "-" : strerror(error), ipq_errstr());
	fflush(stdout);
	errno = 0;
}

#define SAY(call) (errno = 0, say(#call, (long)(call)))

static void packet_is_sent(const char *text)
{
	struct sockaddr_in to;

	memset(&to, 0, sizeof(to));
	to.sin_family = AF_INET;
	to.sin_port = htons(text[0] == '>' ? 7001 : 7000);
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	sendto(sender, text, strlen(text), 0, (struct sockaddr *)&to, sizeof(to));
}

static void packet6_is_sent(const char *text)
{
	struct sockaddr_in6 to;

	memset(&to, 0, sizeof(to));
	to.sin6_family = AF_INET6;
	to.sin6_port = htons(7000);
	to.sin6_addr = in6addr_loopback;
	sendto(sender6, text, strlen(text), 0, (struct sockaddr *)&to, sizeof(to));
}

static void arrives_at(int s, int wait)
{
	struct pollfd p = { s, POLLIN, 0 };
	static char text[70000];
	ssize_t n = poll(&p, 1, wait) == 1 ? recv(s, text, sizeof(text), 0) : -1;

	printf("  arrives: %.*s\n", n < 0 ? 7 : n > 60 ? 60 : (int)n, n < 0 ? "nothing" : text);
}

static void arrives(void)
{
	arrives_at(receiver, 2000);
}

static void nothing_arrives(void)
{
	arrives_at(receiver, 150);
}

static void show(long n)
{
	struct nlmsghdr *nlh = (struct nlmsghdr *)buf;
	ipq_packet_msg_t *m = ipq_get_packet(buf);

	if (n <= 0)
		return;
	if (ipq_message_type(buf) == NLMSG_ERROR) {
		printf("  error %d, length %u, quotes type %d, length %u, flags %u\n", ipq_get_msgerr(buf),
		       nlh->nlmsg_len, ((struct nlmsgerr *)NLMSG_DATA(nlh))->msg.nlmsg_type,
		       ((struct nlmsgerr *)NLMSG_DATA(nlh))->msg.nlmsg_len,
		       ((struct nlmsgerr *)NLMSG_DATA(nlh))->msg.nlmsg_flags);
		return;
	}
	printf("  packet, length %u = %ld, data %lu, mark %lu, time %s, usec %s, hook %u, in '%s', out '%s', "
	       "protocol %x, "
	       "hardware %u %u %02x\n",
	       nlh->nlmsg_len, n, (unsigned long)m->data_len, m->mark,
	       m->timestamp_sec > 1000000000 ? "now"
	       : m->timestamp_sec	     ? "?"
					     : "0",
	       m->timestamp_usec < 0 || m->timestamp_usec > 999999 ? "bad" : "good", m->hook, m->indev_name,
	       m->outdev_name, ntohs(m->hw_protocol), m->hw_type, m->hw_addrlen, m->hw_addr[0]);
}

#define READ(timeout)                                            \
	do {                                                     \
		long n;                                          \
		SAY(n = ipq_read(h, buf, sizeof(buf), timeout)); \
		show(n);                                         \
	} while (0)

static ipq_id_t next(void)
{
	for (;;) {
		if (ipq_read(h, buf, sizeof(buf), 3000000) <= 0) {
			puts("no packet");
			exit(1);
		}
		if (ipq_message_type(buf) == IPQM_PACKET)
			return ipq_get_packet(buf)->packet_id;
		show(1);
	}
}

#define VERDICT(id, verdict, len, data) SAY(ipq_set_verdict(h, id, verdict, len, data))

static void first_request_is_a_verdict(void)
{
	SAY((h = ipq_create_handle(0, PF_INET)) != NULL);
	VERDICT(1, NF_ACCEPT, 0, NULL);
	READ(2000000);
	VERDICT(1, 77, 0, NULL);
	READ(2000000);
	SAY(ipq_set_mode(h, 3, 0));
	READ(2000000);
	SAY(ipq_set_mode(h, 255, (size_t)-1));
	READ(2000000);
}

static void ranges(void)
{
	static const size_t range[] = { 1, 20, 0, 65535, 65536, 131072, 1 << 20, 0x7fffffff };
	unsigned i;

	for (i = 0; i < sizeof(range) / sizeof(range[0]); i++) {
		printf("range %lu\n", (unsigned long)range[i]);
		SAY(ipq_set_mode(h, IPQ_COPY_PACKET, range[i]));
		packet_is_sent("range, of 20 bytes..");
		READ(2000000);
		VERDICT(ipq_get_packet(buf)->packet_id, NF_ACCEPT, 0, NULL);
		arrives();
	}
	SAY(ipq_set_mode(h, IPQ_COPY_META, 1 << 30));
	packet_is_sent(">meta");
	READ(2000000);
	VERDICT(ipq_get_packet(buf)->packet_id, NF_ACCEPT, 0, NULL);
	arrives_at(receiver_in, 2000);
	SAY(ipq_set_mode(h, IPQ_COPY_PACKET, 0));
	packet_is_sent(">came in");
	READ(2000000);
	VERDICT(ipq_get_packet(buf)->packet_id, NF_ACCEPT, 0, NULL);
	arrives_at(receiver_in, 2000);
}

static void verdicts(void)
{
	static unsigned char other[70000];
	ipq_id_t id, id2;
	size_t len;
	int code;

	for (code = 0; code <= 5; code++) {
		if (code == NF_STOLEN || code == NF_QUEUE || code == NF_REPEAT)
			continue;
		printf("verdict %d\n", code);
		packet_is_sent("a plain packet");
		VERDICT(next(), code, 0, NULL);
		if (code == NF_DROP)
			nothing_arrives();
		else
			arrives();
	}
	packet_is_sent("refused ones");
	id = next();
	VERDICT(id, 6, 0, NULL);
	READ(2000000);
	VERDICT(id, (unsigned)-1, 0, NULL);
	READ(2000000);
	VERDICT(id, 1 | 0x10000, 0, NULL);
	READ(2000000);
	VERDICT(id + 1, NF_ACCEPT, 0, NULL);
	READ(2000000);
	VERDICT(0, NF_ACCEPT, 0, NULL);
	READ(2000000);
	VERDICT((ipq_id_t)-1, NF_DROP, 0, NULL);
	READ(2000000);
	if (sizeof(ipq_id_t) > 4) {
		VERDICT(id + (ipq_id_t)0x80000000U * 2, NF_DROP, 0, NULL);
		READ(2000000);
	}
	nothing_arrives();
	VERDICT(id, NF_ACCEPT, 0, NULL);
	arrives();

	packet_is_sent("length without bytes");
	VERDICT(next(), NF_ACCEPT, 100, NULL);
	arrives();
	packet_is_sent("bytes without length");
	id = next();
	VERDICT(id, NF_ACCEPT, 0, buf);
	arrives();
	packet_is_sent("shorter than a header");
	VERDICT(next(), NF_ACCEPT, 19, other);
	arrives();
	packet_is_sent("one byte");
	VERDICT(next(), NF_ACCEPT, 1, other);
	arrives();
	packet_is_sent("longer than a packet");
	VERDICT(next(), NF_ACCEPT, 65536, other);
	nothing_arrives();
	packet_is_sent("dropped with bytes");
	id = next();
	len = ipq_get_packet(buf)->data_len;
	memcpy(other, ipq_get_packet(buf)->payload, len);
	VERDICT(id, NF_DROP, len, other);
	nothing_arrives();
	packet_is_sent("in the buffer itself");
	id = next();
	len = ipq_get_packet(buf)->data_len;
	memcpy(ipq_get_packet(buf)->payload + len - 6, "ITSELF", 6);
	memset(ipq_get_packet(buf)->payload + 26, 0, 2);
	VERDICT(id, NF_ACCEPT, len, ipq_get_packet(buf)->payload);
	arrives();
	packet_is_sent("grows");
	id = next();
	len = ipq_get_packet(buf)->data_len;
	memcpy(other, ipq_get_packet(buf)->payload, len);
	memset(other + len, '+', 50);
	other[3] = (unsigned char)(len + 50);
	other[2] = 0;
	other[25] = (unsigned char)(len + 50 - 20);
	memset(other + 26, 0, 2);
	memset(other + 10, 0, 2);
	{
		unsigned long sum = 0;
		int i;

		for (i = 0; i < 20; i += 2)
			sum += other[i] << 8 | other[i + 1];
		while (sum >> 16)
			sum = (sum & 0xffff) + (sum >> 16);
		other[10] = (unsigned char)(~sum >> 8);
		other[11] = (unsigned char)~sum;
	}
	VERDICT(id, NF_ACCEPT, len + 50, other);
	arrives();
	packet_is_sent("stolen");
	VERDICT(next(), NF_STOLEN, 0, NULL);
	nothing_arrives();
	packet_is_sent("queued twice");
	id = next();
	VERDICT(id, NF_QUEUE, 0, NULL);
	id2 = next();
	SAY(id2 != id);
	VERDICT(id, NF_ACCEPT, 0, NULL);
	READ(2000000);
	VERDICT(id2, NF_QUEUE, 0, NULL);
	VERDICT(next(), NF_DROP, 0, NULL);
	nothing_arrives();
	packet_is_sent("repeated");
	id = next();
	VERDICT(id, NF_REPEAT, 0, NULL);
	id2 = next();
	SAY(id2 != id);
	VERDICT(id2, NF_ACCEPT, 0, NULL);
	arrives();
}

static void while_packets_wait(void)
{
	ipq_id_t id[3];
	int i;

	for (i = 0; i < 3; i++)
		packet_is_sent("waits");
	for (i = 0; i < 3; i++)
		id[i] = next();
	SAY(ipq_set_mode(h, IPQ_COPY_NONE, 0));
	VERDICT(id[1], NF_ACCEPT, 0, NULL);
	arrives();
	SAY(ipq_set_mode(h, 88, 0));
	READ(2000000);
	SAY(ipq_set_mode(h, IPQ_COPY_META, 0));
	VERDICT(id[2], NF_ACCEPT, 0, NULL);
	arrives();
	VERDICT(id[2], NF_ACCEPT, 0, NULL);
	VERDICT(id[1], NF_DROP, 0, NULL);
	READ(2000000);
	READ(2000000);
	VERDICT(id[0], NF_DROP, 0, NULL);
	nothing_arrives();
	SAY(ipq_set_mode(h, IPQ_COPY_PACKET, 65535));
}

static void on_signal(int sig)
{
	(void)sig;
}

static void alarm_in_a_moment(int flags)
{
	struct itimerval soon = { { 0, 0 }, { 0, 60000 } };
	struct sigaction sa;

	memset(&sa, 0, sizeof(sa));
	sa.sa_handler = on_signal;
	sa.sa_flags = flags;
	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &soon, NULL);
}

static void later(const char *text)
{
	if (fork() == 0) {
		usleep(120000);
		packet_is_sent(text);
		_exit(0);
	}
}

static void signals_and_timeouts(void)
{
	alarm_in_a_moment(0);
	READ(0);
	alarm_in_a_moment(0);
	READ(5000000);
	alarm_in_a_moment(SA_RESTART);
	READ(5000000);
	alarm_in_a_moment(SA_RESTART);
	later("after the signal");
	READ(0);
	VERDICT(ipq_get_packet(buf)->packet_id, NF_ACCEPT, 0, NULL);
	arrives();
	wait(NULL);
	later("within a second");
	READ(999999);
	VERDICT(ipq_get_packet(buf)->packet_id, NF_ACCEPT, 0, NULL);
	arrives();
	wait(NULL);
	later("within an hour");
	READ(INT_MAX);
	VERDICT(ipq_get_packet(buf)->packet_id, NF_ACCEPT, 0, NULL);
	arrives();
	wait(NULL);
	READ(1);
	READ(20000);
	SAY(ipq_read(h, buf, sizeof(buf), INT_MIN));
	packet_is_sent("with the least timeout");
	usleep(100000);
	SAY(ipq_read(h, buf, sizeof(buf), INT_MIN) > 0);
	VERDICT(ipq_get_packet(buf)->packet_id, NF_ACCEPT, 0, NULL);
	arrives();
	VERDICT(4711, NF_ACCEPT, 0, NULL);
	usleep(100000);
	SAY(ipq_read(h, buf, 20, 0)); /* the buffer is too small for the refusal */
	SAY(ipq_read(h, buf, sizeof(buf), -1));
	VERDICT(4711, NF_ACCEPT, 0, NULL);
	usleep(100000);
	SAY(ipq_read(h, buf, 59, 0));
	VERDICT(4711, NF_ACCEPT, 0, NULL);
	usleep(100000);
	SAY(ipq_read(h, buf, 60, 0));
	show(60);
	SAY(ipq_read(h, NULL, 0, 0));
	SAY(ipq_read(h, NULL, 19, -1));
}

static void readiness(void)
{
	struct epoll_event event = { EPOLLIN | EPOLLET, { NULL } };
	struct pollfd p = { h->fd, POLLIN, 0 };
	struct timeval zero = { 0, 0 };
	int e = epoll_create(1);
	fd_set set;

	SAY(epoll_ctl(e, EPOLL_CTL_ADD, h->fd, &event));
	SAY(epoll_wait(e, &event, 1, 20));
	packet_is_sent("edge 1");
	packet_is_sent("edge 2");
	SAY(epoll_wait(e, &event, 1, 2000));
	SAY(event.events & EPOLLIN);
	VERDICT(next(), NF_ACCEPT, 0, NULL);
	SAY(poll(&p, 1, 2000));
	VERDICT(next(), NF_ACCEPT, 0, NULL);
	arrives();
	arrives();
	SAY(poll(&p, 1, 0));
	packet_is_sent("edge 3");
	SAY(epoll_wait(e, &event, 1, 2000));
	SAY(poll(&p, 1, 2000));
	SAY(poll(&p, 1, 2000)); /* poll is level-triggered: the descriptor is still readable */
	FD_ZERO(&set);
	FD_SET(h->fd, &set);
	SAY(select(h->fd + 1, &set, NULL, NULL, &zero));
	VERDICT(next(), NF_ACCEPT, 0, NULL);
	SAY(poll(&p, 1, 0));
	arrives();
	VERDICT(99, NF_ACCEPT, 0, NULL);
	SAY(poll(&p, 1, 2000)); /* the descriptor is also readable because of a refusal */
	READ(0);
	close(e);
	SAY(fcntl(h->fd, F_SETFL, O_NONBLOCK));
	READ(0);
	READ(30000);
	READ(-1);
	SAY(fcntl(h->fd, F_SETFL, 0));
	{
		struct timeval limit = { 0, 30000 };

		SAY(setsockopt(h->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)));
		READ(0);
		limit.tv_usec = 0;
		SAY(setsockopt(h->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)));
	}
}

static void *reads_one(void *arg)
{
	static unsigned char own[2][4096];
	int i = *(int *)arg;
	int n = ipq_read(h, own[i], sizeof(own[i]), 0);

	if (n > 0)
		ipq_set_verdict(h, ipq_get_packet(own[i])->packet_id, NF_ACCEPT, 0, NULL);
	return (void *)(long)(n > 0);
}

static void several_readers(void)
{
	int number[2] = { 0, 1 }, i, status, to[2];
	pthread_t thread[2];
	void *good[2];
	ipq_id_t id;

	for (i = 0; i < 2; i++)
		pthread_create(&thread[i], NULL, reads_one, &number[i]);
	usleep(100000);
	packet_is_sent("for a thread");
	arrives();
	packet_is_sent("for a thread");
	arrives();
	for (i = 0; i < 2; i++)
		pthread_join(thread[i], &good[i]);
	SAY(good[0] && good[1]);
	if (fork() == 0) { /* the child reads and decides with the handle that its parent created */
		id = next();
		_exit(ipq_set_verdict(h, id, NF_ACCEPT, 0, NULL) > 0 && ipq_set_mode(h, IPQ_COPY_META, 0) > 0
			      ? 7
			      : 1);
	}
	packet_is_sent("for the child");
	arrives();
	SAY(wait(&status) > 0 && WEXITSTATUS(status) == 7);
	packet_is_sent("in the mode of the child");
	READ(2000000);
	VERDICT(ipq_get_packet(buf)->packet_id, NF_ACCEPT, 0, NULL);
	arrives();
	SAY(pipe(to));
	fflush(stdout);
	if (fork() == 0) { /* the parent reads, and a child without privileges decides */
		SAY(setgid(65534) == 0 && setuid(65534) == 0);
		SAY(read(to[0], &id, sizeof(id)) == sizeof(id));
		VERDICT(id, NF_ACCEPT, 0, NULL);
		_exit(0);
	}
	packet_is_sent("without privileges");
	id = next();
	write(to[1], &id, sizeof(id));
	wait(&status);
	arrives_at(receiver, 400);
	SAY(status);
	close(to[0]);
	close(to[1]);
	while (ipq_read(h, buf, sizeof(buf), 100000) > 0)
		show(1);
	VERDICT(id, NF_DROP, 0, NULL);
	SAY(ipq_read(h, buf, sizeof(buf), 200000) > 0);
}

static void *destroys(void *arg)
{
	usleep(100000);
	packet_is_sent("for the blocked reader");
	return arg;
}

static void end_of_a_handle(void)
{
	pthread_t thread;
	int fd = h->fd;

	packet_is_sent("waits at the end");
	next();
	SAY(ipq_destroy_handle(h));
	nothing_arrives();
	SAY(close(fd));
	SAY((h = ipq_create_handle(0, PF_INET)) != NULL);
	SAY(ipq_set_mode(h, IPQ_COPY_PACKET, 0));
	pthread_create(&thread, NULL, destroys, NULL);
	READ(0);
	pthread_join(thread, NULL);
	VERDICT(ipq_get_packet(buf)->packet_id, NF_ACCEPT, 0, NULL);
	arrives();
	SAY(ipq_destroy_handle(h));
	SAY(ipq_destroy_handle(NULL));
}

static void six(void)
{
	static unsigned char other[2000];
	ipq_id_t id;
	size_t len;

	SAY((h = ipq_create_handle(0, PF_INET6)) != NULL);
	SAY(ipq_create_handle(0, PF_INET6) != NULL);
	SAY(h->local.nl_pid == (unsigned)getpid());
	packet6_is_sent("before the mode");
	SAY(ipq_read(h, buf, sizeof(buf), 50000));
	SAY(ipq_set_mode(h, IPQ_COPY_PACKET, 44));
	packet6_is_sent("cut");
	READ(2000000);
	VERDICT(ipq_get_packet(buf)->packet_id, NF_ACCEPT, 0, NULL);
	arrives_at(receiver6, 2000);
	packet_is_sent("of the other family");
	READ(100000);
	nothing_arrives();
	SAY(ipq_set_mode(h, IPQ_COPY_PACKET, 0));
	packet6_is_sent("shorter than a header");
	VERDICT(next(), NF_ACCEPT, 39, other);
	arrives_at(receiver6, 2000);
	packet6_is_sent("replaced");
	id = next();
	len = ipq_get_packet(buf)->data_len;
	memcpy(other, ipq_get_packet(buf)->payload, len);
	memcpy(other + len - 8, "REPLACED", 8);
	VERDICT(id, NF_ACCEPT, len, other); /* the checksum of the changed packet is wrong now */
	arrives_at(receiver6, 150);
	packet6_is_sent("unchanged");
	id = next();
	VERDICT(id, NF_ACCEPT, ipq_get_packet(buf)->data_len, ipq_get_packet(buf)->payload);
	arrives_at(receiver6, 2000);
	VERDICT(id, NF_ACCEPT, 0, NULL);
	READ(2000000);
	packet6_is_sent("at the end");
	next();
	SAY(ipq_destroy_handle(h));
	arrives_at(receiver6, 150);
}

static void both(void)
{
	struct ipq_handle *four, *sixth;

	SAY((four = ipq_create_handle(0, PF_INET)) != NULL);
	SAY(ipq_set_mode(four, IPQ_COPY_META, 0));
	SAY((sixth = ipq_create_handle(0, PF_INET6)) != NULL);
	packet6_is_sent("no mode yet");
	packet_is_sent("meta");
	h = four;
	READ(2000000);
	VERDICT(ipq_get_packet(buf)->packet_id, NF_ACCEPT, 0, NULL);
	arrives();
	SAY(ipq_set_mode(sixth, IPQ_COPY_PACKET, 50));
	packet6_is_sent("fifty bytes");
	packet_is_sent("no bytes");
	h = sixth;
	READ(2000000);
	VERDICT(ipq_get_packet(buf)->packet_id, NF_ACCEPT, 0, NULL);
	arrives_at(receiver6, 2000);
	h = four;
	READ(2000000);
	SAY(ipq_set_mode(sixth, 9, 0));
	VERDICT(ipq_get_packet(buf)->packet_id, NF_ACCEPT, 0, NULL);
	arrives();
	h = sixth;
	READ(2000000);
	h = four;
	READ(-1);
	SAY(ipq_destroy_handle(four));
	packet6_is_sent("after the end of the other");
	packet_is_sent("after its own end");
	nothing_arrives();
	h = sixth;
	READ(2000000);
	VERDICT(ipq_get_packet(buf)->packet_id, NF_ACCEPT, 0, NULL);
	arrives_at(receiver6, 2000);
	SAY((four = ipq_create_handle(0, PF_INET)) != NULL);
	packet_is_sent("no mode again");
	nothing_arrives();
	SAY(ipq_set_mode(four, IPQ_COPY_PACKET, 0));
	packet_is_sent("a mode again");
	h = four;
	READ(2000000);
	VERDICT(ipq_get_packet(buf)->packet_id, NF_ACCEPT, 0, NULL);
	arrives();
	SAY(ipq_destroy_handle(sixth));
	SAY(ipq_destroy_handle(four));
}

static int bound(int family, int port)
{
	struct sockaddr_in6 six;
	struct sockaddr_in four;
	int s = socket(family, SOCK_DGRAM, 0);

	memset(&four, 0, sizeof(four));
	memset(&six, 0, sizeof(six));
	four.sin_family = AF_INET;
	four.sin_port = htons(port);
	four.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	six.sin6_family = AF_INET6;
	six.sin6_port = htons(port);
	six.sin6_addr = in6addr_loopback;
	if (bind(s, family == AF_INET ? (struct sockaddr *)&four : (struct sockaddr *)&six,
		 family == AF_INET ? sizeof(four) : sizeof(six)) < 0)
		exit(1);
	return s;
}

int main(void)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	sender = socket(AF_INET, SOCK_DGRAM, 0);
	sender6 = socket(AF_INET6, SOCK_DGRAM, 0);
	receiver = bound(AF_INET, 7000);
	receiver_in = bound(AF_INET, 7001);
	receiver6 = bound(AF_INET6, 7000);
	first_request_is_a_verdict();
	ranges();
	verdicts();
	while_packets_wait();
	signals_and_timeouts();
	readiness();
	several_readers();
	end_of_a_handle();
	six();
	both();
	puts("end");
	return 0;
}
