// SPDX-License-Identifier: LGPL-2.1-or-later
/* The hostile part of run-client.c, which includes it. */
#ifndef RUN_CLIENT_HOSTILE_H
#define RUN_CLIENT_HOSTILE_H

static void *ask_for_ever(void *arg)
{
	(void)arg;
	for (;;)
		close(open_socket(AF_NETLINK, SOCK_RAW, NETLINK_FIREWALL));
	return NULL;
}

/* Processes that are killed while their threads wait for an answer. */
static void die_while_asking(void)
{
	for (int i = 0; i < 20; i++) {
		pid_t pid = fork();
		pthread_t t;

		if (pid == 0) {
			for (int n = 0; n < 4; n++)
				pthread_create(&t, NULL, ask_for_ever, NULL);
			pause();
		}
		usleep(2000 * (unsigned)(i % 5));
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
}

static void send_garbage(int fd)
{
	static unsigned char bytes[70000];
	struct nlmsghdr *header = (void *)bytes;

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (unsigned char)rand();
	for (size_t len = 1; len < 200; len++)
		send(fd, bytes, len, MSG_DONTWAIT);
	for (uint32_t lie = 0; lie < 32; lie++) {
		*header = (struct nlmsghdr){ .nlmsg_len = lie * 0x08421084U,
					     .nlmsg_type = (uint16_t)(0x10 + lie % 5),
					     .nlmsg_flags = NLM_F_REQUEST,
					     .nlmsg_pid = (uint32_t)getpid() };
		send(fd, bytes, lie % 2 == 0 ? 40 : sizeof(bytes), MSG_DONTWAIT);
	}
}

static int storm(void)
{
	unsigned n = 0;
	int fd, last = -1;

	srand(1);
	signal(SIGPIPE, SIG_IGN);
	fd = open_queue(NETLINK_FIREWALL);
	send_garbage(fd);
	die_while_asking();
	while (n < 5000 && (last = open_socket(AF_NETLINK, SOCK_RAW, NETLINK_IP6_FW)) >= 0)
		n++;
	/* A limit must stop the loop, either of this process or of the supervisor. */
	EXPECT(last < 0 && n > 100);
	printf("%u sockets, then %s\n", n, strerror(errno));
	return 0;
}

/* Neither the answer nor the supervisor's memory may depend on the memory that these pointers refer to. */
static void misuse_pointers(int fd)
{
	static const socklen_t lengths[] = { 0, 1, 11, 13, 0x7fffffff, 0x80000000U, 0xffffffffU };
	void *const places[] = { NULL, (void *)8, (void *)-1L, (void *)-4096L };
	unsigned char buf[64] = { 0 };
	socklen_t len;

	for (unsigned i = 0; i < 4 * 7; i++) {
		void *place = places[i / 7];

		len = lengths[i % 7];
		set_option(fd, 270, NETLINK_ADD_MEMBERSHIP, place, len);
		EXPECT(name_of(fd, place, &len) < 0 || lengths[i % 7] == 0);
		get_option(fd, 270, NETLINK_PKTINFO, place, &len);
		EXPECT(name_of(fd, buf, place) < 0);
		EXPECT(bind_to(fd, place, 12) < 0);
		EXPECT(connect_to(fd, place, 12) < 0);
#ifdef VIA_SOCKETCALL
		syscall(__NR_socketcall, SYS_SOCKET + i % 17, place);
#endif
	}
	len = 0x7fffffff;
	EXPECT(name_of(fd, buf, &len) == 0 && len == 12 && buf[12] == 0);
}

static void *change_for_ever(void *arg)
{
	volatile struct sockaddr_nl *address = arg;

	for (uint32_t i = 0;; i++) {
		address->nl_family = (unsigned short)(i % 2 == 0 ? AF_NETLINK : AF_INET6);
		address->nl_pid = i % 7;
	}
	return NULL;
}

static int misuse(void)
{
	static struct sockaddr_nl address;
	pthread_t t;

	misuse_pointers(open_queue(NETLINK_IP6_FW));
	EXPECT(pthread_create(&t, NULL, change_for_ever, &address) == 0);
	for (int i = 0; i < 100; i++) {
		int fd = open_socket(AF_NETLINK, SOCK_RAW, NETLINK_IP6_FW);

		EXPECT(fd >= 0);
		bind_to(fd, &address, sizeof(address));
		connect_to(fd, &address, sizeof(address));
		close(fd);
	}
	puts("misused");
	return 0;
}

/* Sends fd with a byte. */
static ssize_t send_descriptor(int socket, int fd)
{
	char control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec piece = { "", 1 };
	struct msghdr m = {
		.msg_iov = &piece, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	return sendmsg(socket, &m, 0);
}

static int receive_descriptor(int socket)
{
	char control[CMSG_SPACE(sizeof(int))], byte;
	struct iovec piece = { &byte, 1 };
	struct msghdr m = {
		.msg_iov = &piece, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)
	};
	int fd;

	EXPECT(recvmsg(socket, &m, 0) == 1 && CMSG_FIRSTHDR(&m) != NULL);
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(fd));
	return fd;
}

/* A handle is used by another process after its first process has ended; its port id is free when the other one has
 * ended. */
static void pass_on(void)
{
	struct sockaddr_nl name, me = { .nl_family = AF_NETLINK, .nl_pid = (uint32_t)getpid() };
	socklen_t len = sizeof(name);
	int pair[2], fd, status;

	EXPECT(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
	if (fork() == 0) {
		fd = receive_descriptor(pair[1]);
		receive_descriptor(pair[1]); /* the parent has now closed its copy */
		EXPECT(name_of(fd, &name, &len) == 0 && name.nl_pid == (uint32_t)getppid());
		EXPECT(value_of(fd, SOL_SOCKET, SO_PROTOCOL) == NETLINK_IP6_FW);
		_exit(0);
	}
	fd = open_queue(NETLINK_IP6_FW);
	EXPECT(send_descriptor(pair[0], fd) == 1);
	close(fd);
	EXPECT(send_descriptor(pair[0], pair[1]) == 1);
	EXPECT(wait(&status) > 0 && status == 0);
	fd = open_socket(AF_NETLINK, SOCK_RAW, NETLINK_IP6_FW);
	EXPECT(fd >= 0 && bind_to(fd, &me, sizeof(me)) == 0);
	close(fd);
	close(pair[0]);
	close(pair[1]);
}

/* Creates 2^6 processes that send requests, share their sockets, and exit without closing them. */
static void multiply(void)
{
	volatile bool first = true;

	for (volatile int generation = 0; generation < 6; generation++) {
		if (fork() == 0)
			first = false;
		for (int i = 0; i < 4; i++)
			open_socket(AF_NETLINK, SOCK_RAW, i % 2 == 0 ? NETLINK_FIREWALL : NETLINK_IP6_FW);
		if (vfork() == 0) {
			open_socket(AF_NETLINK, SOCK_RAW, NETLINK_IP6_FW);
			_exit(0);
		}
	}
	if (!first)
		raise(SIGKILL);
	while (wait(NULL) > 0)
		;
}

static int crowd(void)
{
	for (int i = 0; i < 5; i++)
		pass_on();
	/* in a child, whose end closes all descriptors */
	if (fork() == 0) {
		multiply();
		_exit(0);
	}
	while (wait(NULL) > 0)
		;
	close(open_queue(NETLINK_FIREWALL));
	puts("a crowd");
	return 0;
}

/* Creates a TCP connection with more data to send than its peer, which reads nothing, has room for. */
static int lingering_socket(const struct sockaddr_in *to)
{
	static char bytes[65536];
	struct linger linger = { .l_onoff = 1, .l_linger = 20 };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	EXPECT(connect(fd, (const void *)to, sizeof(*to)) == 0);
	EXPECT(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)) == 0);
	for (int i = 0; i < 1000 && send(fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0; i++)
		;
	return fd;
}

/*
 * The sender ends without closing the descriptor, so if the supervisor has received it, the supervisor must close
 * it. This must not take long.
 */
static int linger(void)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t len = sizeof(in);
	int fd = open_queue(NETLINK_FIREWALL), listening = socket(AF_INET, SOCK_STREAM, 0), pair[2], off = 0;

	EXPECT(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) == 0);
	if (setsockopt(pair[0], SOL_SOCKET, 83, &off, sizeof(off)) < 0) {
		puts("not tested: this kernel cannot refuse descriptors (SO_PASSRIGHTS)");
		return 0;
	}
	EXPECT(bind(listening, (void *)&in, sizeof(in)) == 0 && listen(listening, 20) == 0);
	EXPECT(getsockname(listening, (void *)&in, &len) == 0);
	for (int i = 0; i < 4; i++) {
		if (fork() == 0) {
			int sent = lingering_socket(&in);

			for (int n = 0; n < 200; n++)
				send(fd, &off, sizeof(off), MSG_DONTWAIT);
			send_descriptor(fd, sent);
			_exit(0);
		}
		wait(NULL);
	}
	alarm(5);
	EXPECT(open_socket(AF_NETLINK, SOCK_RAW, NETLINK_FIREWALL) >= 0);
	puts("no process waited");
	return 0;
}

#endif
