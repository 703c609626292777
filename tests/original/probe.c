/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Prints the results of calls on a handle and its descriptor, in many states, a line each. The same source is
 * linked with the original library (under ipq run) and with ours, and must print the same. The program itself sends
 * the packets: UDP to port 7000 of this machine, which a rule queues. Intended differences are listed in
 * ip_queue(7) and not tested here.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <linux/netfilter.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <libipq.h>

#define SOL_NETLINK_ 270

static struct ipq_handle *h;
static unsigned char buf[70000];
static int sender, receiver;

static void say(const char *what, long result)
{
	printf("%s: %ld, %s, %s\n", what, result, errno == 0 ? "-" : strerror(errno), ipq_errstr());
	fflush(stdout);
	errno = 0;
}

#define SAY(call) (errno = 0, say(#call, (long)(call)))

static void address(const char *what, int ret, const struct sockaddr_nl *a, socklen_t len)
{
	printf("%s: %d, length %u, family %u, port %s, groups %u\n", what, ret, (unsigned)len, a->nl_family,
	       a->nl_pid == (unsigned)getpid() ? "own"
	       : a->nl_pid == 0		       ? "0"
					       : "other",
	       a->nl_groups);
}

static long option(int level, int name)
{
	int value = -1;
	socklen_t len = sizeof(value);

	return getsockopt(h->fd, level, name, &value, &len) < 0 ? -1 : value;
}

static long set_option(int level, int name, int value)
{
	return setsockopt(h->fd, level, name, &value, sizeof(value));
}

static long set_receive_timeout(long usec)
{
	struct timeval limit = { 0, usec };

	return setsockopt(h->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
}

static long poll_bits(int timeout)
{
	struct pollfd p = { h->fd, POLLIN | POLLOUT | POLLPRI, 0 };

	return poll(&p, 1, timeout) < 0 ? -1 : p.revents & (POLLIN | POLLPRI | POLLERR | POLLHUP | POLLNVAL);
}

static long readable(long usec)
{
	struct timeval limit = { 0, usec };
	fd_set set;

	FD_ZERO(&set);
	FD_SET(h->fd, &set);
	return select(h->fd + 1, &set, NULL, NULL, &limit);
}

static long is_socket(void)
{
	struct stat st;

	return fstat(h->fd, &st) == 0 && S_ISSOCK(st.st_mode);
}

static long bind_again(unsigned port)
{
	struct sockaddr_nl a = { AF_NETLINK, 0, port, 0 };

	return bind(h->fd, (struct sockaddr *)&a, sizeof(a));
}

static long connect_again(int family)
{
	struct sockaddr_nl a = { 0, 0, 0, 0 };

	a.nl_family = family;
	return connect(h->fd, (struct sockaddr *)&a, sizeof(a));
}

static void names(void)
{
	struct sockaddr_nl a;
	socklen_t len = sizeof(a);
	int ret = getsockname(h->fd, (struct sockaddr *)&a, &len);

	address("getsockname", ret, &a, len);
	len = sizeof(a);
	ret = getpeername(h->fd, (struct sockaddr *)&a, &len);
	address("getpeername", ret, &a, len);
	address("local", 0, &h->local, sizeof(h->local));
	address("peer", 0, &h->peer, sizeof(h->peer));
	len = 3;
	memset(&a, 9, sizeof(a));
	SAY(getsockname(h->fd, (struct sockaddr *)&a, &len) == 0 && len == sizeof(a) && ((char *)&a)[3] == 9);
	SAY(getsockname(h->fd, NULL, &len));
}

static void before_the_mode(void)
{
	SAY(ipq_create_handle(0, 1) != NULL);
	SAY(ipq_create_handle(0, PF_NETLINK) != NULL);
	SAY((h = ipq_create_handle(12345, PF_INET)) != NULL);
	if (h == NULL)
		exit(1);
	SAY(ipq_create_handle(0, PF_INET) != NULL);
	SAY(h->blocking);
	names();
	SAY(option(SOL_SOCKET, SO_TYPE) == SOCK_RAW);
	SAY(option(SOL_SOCKET, SO_DOMAIN) == AF_NETLINK);
	SAY(option(SOL_SOCKET, SO_ERROR));
	SAY(option(SOL_SOCKET, SO_ACCEPTCONN));
	SAY(option(SOL_NETLINK_, NETLINK_PKTINFO));
	SAY(option(SOL_NETLINK_, 99));
	SAY(set_option(SOL_SOCKET, SO_RCVBUF, 100000));
	SAY(option(SOL_SOCKET, SO_RCVBUF) >= 200000);
	SAY(set_option(SOL_NETLINK_, NETLINK_NO_ENOBUFS, 1));
	SAY(set_option(SOL_NETLINK_, 99, 1));
	SAY(bind_again(h->local.nl_pid));
	SAY(bind_again(1));
	SAY(connect_again(AF_NETLINK));
	SAY(connect_again(AF_INET));
	SAY(is_socket());
	SAY(fcntl(h->fd, F_GETFL) & O_ACCMODE);
	SAY(fcntl(h->fd, F_GETFL) & O_NONBLOCK);
	SAY(lseek(h->fd, 0, SEEK_SET));
	SAY(poll_bits(0));
	SAY(readable(1000));
	SAY(recv(h->fd, buf, sizeof(buf), MSG_DONTWAIT));
	SAY(recv(h->fd, buf, sizeof(buf), MSG_DONTWAIT | MSG_PEEK));
	SAY(set_receive_timeout(20000));
	SAY(ipq_read(h, buf, sizeof(buf), 0));
	SAY(set_receive_timeout(0));
	SAY(ipq_read(h, buf, sizeof(buf), -1));
	SAY(ipq_read(h, buf, sizeof(buf), 1));
	SAY(ipq_read(h, buf, 19, 1));
	SAY(ipq_read(h, buf, 20, 1000));
}

static void packet_is_sent(const char *text)
{
	struct sockaddr_in to;

	memset(&to, 0, sizeof(to));
	to.sin_family = AF_INET;
	to.sin_port = htons(7000);
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	sendto(sender, text, strlen(text), 0, (struct sockaddr *)&to, sizeof(to));
}

/* Prints which packets the receiver gets within 200 ms, which is much longer than a decision takes. */
static void arrives(void)
{
	struct pollfd p = { receiver, POLLIN, 0 };
	char text[100];
	ssize_t n = poll(&p, 1, 200) == 1 ? recv(receiver, text, sizeof(text), 0) : -1;

	printf("  arrives: %.*s\n", n < 0 ? 7 : (int)n, n < 0 ? "nothing" : text);
}

static void show_message(long n)
{
	struct nlmsghdr *nlh = (struct nlmsghdr *)buf;
	ipq_packet_msg_t *m = ipq_get_packet(buf);

	if (n <= 0)
		return;
	printf("  type %d, length %u, flags %u, seq %u, port %s\n", ipq_message_type(buf), nlh->nlmsg_len,
	       nlh->nlmsg_flags, nlh->nlmsg_seq,
	       nlh->nlmsg_pid == 0		      ? "0"
	       : nlh->nlmsg_pid == (unsigned)getpid() ? "own"
						      : "?");
	if (ipq_message_type(buf) == NLMSG_ERROR)
		printf("  error %d, quotes type %d\n", ipq_get_msgerr(buf),
		       ((struct nlmsgerr *)NLMSG_DATA(nlh))->msg.nlmsg_type);
	else
		printf("  data %lu, mark %lu, time %ld.%ld, hook %u, in '%s', out '%s', protocol %x, "
		       "hardware %u %u, at +%d\n",
		       (unsigned long)m->data_len, m->mark, m->timestamp_sec, m->timestamp_usec, m->hook,
		       m->indev_name, m->outdev_name, ntohs(m->hw_protocol), m->hw_type, m->hw_addrlen,
		       (int)((unsigned char *)m - buf));
}

#define READ(timeout)                                            \
	do {                                                     \
		long n;                                          \
		SAY(n = ipq_read(h, buf, sizeof(buf), timeout)); \
		show_message(n);                                 \
	} while (0)

static ipq_id_t next(void)
{
	if (ipq_read(h, buf, sizeof(buf), 2000000) <= 0 || ipq_message_type(buf) != IPQM_PACKET) {
		puts("no packet");
		exit(1);
	}
	return ipq_get_packet(buf)->packet_id;
}

static void modes(void)
{
	SAY(ipq_set_mode(h, IPQ_COPY_NONE, 0));
	packet_is_sent("none");
	arrives();
	READ(100000);
	SAY(ipq_set_mode(h, IPQ_COPY_META, 500));
	packet_is_sent("meta");
	READ(2000000);
	SAY(ipq_set_verdict(h, ipq_get_packet(buf)->packet_id, NF_ACCEPT, 0, NULL));
	arrives();
	SAY(ipq_set_mode(h, IPQ_COPY_PACKET, 21));
	packet_is_sent("range 21");
	SAY(readable(500000));
	SAY(poll_bits(0));
	READ(-1);
	SAY(poll_bits(0));
	SAY(ipq_set_verdict(h, ipq_get_packet(buf)->packet_id, NF_DROP, 0, NULL));
	arrives();
	SAY(ipq_set_mode(h, 77, 0));
	READ(2000000);
	SAY(ipq_set_mode(h, IPQ_COPY_PACKET, 0));
	packet_is_sent("everything");
	READ(0);
	SAY(ipq_set_verdict(h, ipq_get_packet(buf)->packet_id, NF_ACCEPT, 0, NULL));
	arrives();
	SAY(fcntl(h->fd, F_SETFL, O_NONBLOCK));
	SAY(ipq_read(h, buf, sizeof(buf), 0));
	packet_is_sent("non-blocking");
	SAY(readable(500000));
	READ(0);
	SAY(ipq_set_verdict(h, ipq_get_packet(buf)->packet_id, NF_ACCEPT, 0, NULL));
	arrives();
	SAY(fcntl(h->fd, F_SETFL, 0));
}

static void verdicts(void)
{
	unsigned char other[128];
	ipq_id_t id, second;
	size_t len;
	int status;

	packet_is_sent("replaced");
	id = next();
	len = ipq_get_packet(buf)->data_len;
	memcpy(other, ipq_get_packet(buf)->payload, len);
	memcpy(other + len - 8, "REPLACED", 8);
	memset(other + 26, 0, 2); /* UDP without a checksum */
	SAY(ipq_set_verdict(h, id, NF_ACCEPT, len, other));
	arrives();
	packet_is_sent("decided twice");
	id = next();
	SAY(ipq_set_verdict(h, id, NF_ACCEPT, 0, NULL));
	SAY(ipq_set_verdict(h, id, NF_DROP, 0, NULL));
	arrives();
	READ(2000000);
	SAY(ipq_set_verdict(h, id + 1000, NF_ACCEPT, 0, NULL));
	READ(2000000);
	packet_is_sent("bad verdict");
	id = next();
	SAY(ipq_set_verdict(h, id, 9, 0, NULL));
	READ(2000000);
	SAY(ipq_set_verdict(h, id, NF_ACCEPT, 0, NULL));
	arrives();
	packet_is_sent("again");
	id = next();
	SAY(ipq_set_verdict(h, id, NF_QUEUE, 0, NULL));
	second = next();
	SAY(second != id);
	SAY(ipq_set_verdict(h, second, NF_ACCEPT, 0, NULL));
	arrives();
	packet_is_sent("first");
	packet_is_sent("second");
	id = next();
	second = next();
	SAY(ipq_set_verdict(h, second, NF_ACCEPT, 0, NULL));
	arrives();
	SAY(ipq_set_verdict(h, id, NF_ACCEPT, 0, NULL));
	arrives();
	packet_is_sent("by a child");
	id = next();
	if (fork() == 0)
		_exit(ipq_set_verdict(h, id, NF_ACCEPT, 0, NULL) > 0 ? 7 : 1);
	SAY(wait(&status) > 0 && WEXITSTATUS(status) == 7);
	arrives();
	packet_is_sent("waits at the end");
	next();
}

static void accepts(void)
{
	READ(2000000);
	SAY(ipq_set_verdict(h, ipq_get_packet(buf)->packet_id, NF_ACCEPT, 0, NULL));
	arrives();
}

/*
 * Each packet must have the mode in which it was queued, and a refusal must come after the packets that were queued
 * before it.
 */
static void order(void)
{
	SAY(ipq_set_mode(h, IPQ_COPY_PACKET, 0));
	packet_is_sent("before the range");
	SAY(ipq_set_mode(h, IPQ_COPY_PACKET, 21));
	packet_is_sent("after the range");
	accepts();
	accepts();
	packet_is_sent("before meta");
	SAY(ipq_set_mode(h, IPQ_COPY_META, 0));
	packet_is_sent("after meta");
	accepts();
	accepts();
	packet_is_sent("before the refusal");
	packet_is_sent("also before it");
	SAY(ipq_set_mode(h, 9, 0));
	packet_is_sent("after the refusal");
	accepts();
	accepts();
	READ(2000000);
	accepts();
	packet_is_sent("before none");
	SAY(ipq_set_mode(h, IPQ_COPY_NONE, 0));
	packet_is_sent("while none");
	SAY(ipq_set_mode(h, IPQ_COPY_META, 0));
	packet_is_sent("after none");
	accepts();
	accepts();
	READ(-1);
}

static void descriptors(void)
{
	int old = h->fd, copy = fcntl(old, F_DUPFD, 50);
	struct ipq_handle *own;
	int status;

	h->fd = copy;
	packet_is_sent("through a copy");
	SAY(readable(500000));
	accepts();
	SAY(close(old));
	SAY(ipq_set_mode(h, IPQ_COPY_PACKET, 0));
	packet_is_sent("through a copy alone");
	accepts();
	SAY(dup2(copy, old) == old);
	h->fd = old;
	SAY(close(copy));
	if (fork() == 0) {
		own = ipq_create_handle(0, PF_INET);
		ipq_set_mode(own, IPQ_COPY_META, 0); /* this call of our library must fail immediately */
		SAY(ipq_read(own, buf, 1, 0));
		SAY(ipq_read(own, buf, sizeof(buf), 2000000) > 0 ? ipq_get_msgerr(buf) : -1);
		SAY(ipq_set_verdict(own, 1, NF_ACCEPT, 0, NULL) > 0);
		SAY(ipq_read(own, buf, sizeof(buf), 2000000) > 0 ? ipq_get_msgerr(buf) : -1);
		SAY(ipq_destroy_handle(own));
		SAY(ipq_destroy_handle(h));
		_exit(0);
	}
	SAY(wait(&status) > 0 && status == 0);
	packet_is_sent("after the child");
	accepts();
}

int main(void)
{
	struct ipq_handle *six;
	struct sockaddr_in me;
	int fd;

	memset(&me, 0, sizeof(me));
	me.sin_family = AF_INET;
	me.sin_port = htons(7000);
	me.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	sender = socket(AF_INET, SOCK_DGRAM, 0);
	receiver = socket(AF_INET, SOCK_DGRAM, 0);
	if (bind(receiver, (struct sockaddr *)&me, sizeof(me)) < 0)
		return 1;
	before_the_mode();
	modes();
	order();
	descriptors();
	verdicts();
	fd = h->fd;
	SAY(ipq_destroy_handle(h));
	arrives();
	SAY(fcntl(fd, F_GETFD));
	SAY((h = ipq_create_handle(0, PF_INET)) != NULL);
	SAY(h->fd == fd);
	SAY(ipq_set_mode(h, IPQ_COPY_META, 0));
	packet_is_sent("second handle");
	READ(2000000);
	SAY(ipq_set_verdict(h, ipq_get_packet(buf)->packet_id, NF_ACCEPT, 0, NULL));
	arrives();
	/* from now on our library serves both handles with an engine */
	SAY((six = ipq_create_handle(0, PF_INET6)) != NULL);
	SAY(six->local.nl_pid == h->local.nl_pid);
	SAY(ipq_set_mode(six, IPQ_COPY_PACKET, 0));
	SAY(ipq_set_mode(h, IPQ_COPY_PACKET, 0));
	packet_is_sent("two families");
	READ(2000000);
	SAY(ipq_set_verdict(six, ipq_get_packet(buf)->packet_id, NF_ACCEPT, 0, NULL));
	SAY(ipq_set_verdict(h, ipq_get_packet(buf)->packet_id, NF_ACCEPT, 0, NULL));
	arrives();
	SAY(ipq_read(six, buf, sizeof(buf), 2000000));
	show_message(ipq_get_msgerr(buf));
	SAY(ipq_destroy_handle(six));
	SAY(ipq_destroy_handle(h));
	return 0;
}
