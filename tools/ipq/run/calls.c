/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The supervisor's answers to the program's system calls.
 *
 * A program that calls socket(AF_NETLINK, type, 3 or 13) gets one end of a SEQPACKET pair in place of the
 * netlink socket; the engine has the other. From then on the program's recv, poll, close and nearly all its
 * send calls run natively. The program cannot distinguish the pair from a netlink socket, because:
 *
 *  - The engine's end has a name that looks like the kernel's address (engine_socketpair), and an address
 *    given to sendto is ignored (doc/assumptions/seqpacket-as-netlink.c).
 *  - bind, connect, getsockname, getpeername and the options of SOL_NETLINK, which the pair would refuse or
 *    answer as a Unix socket, are answered here; so are recvmsg, recvmmsg and recvfrom with flags, because of the
 *    address (transfer.c).
 *  - The engine serves a mode request in libipq's form before sendto returns, as ip_queue did. A program may also
 *    write a mode request itself: for this case the engine takes the queue when the socket is opened
 *    (engine_options.early).
 *  - With --exact, the engine serves every request before the call returns, and every recvfrom returns netlink's
 *    address.
 *
 * Invariant: a socket of ours is known by the inode of the program's end, in a table indexed by the
 * engine's descriptor. An entry is valid while that descriptor is the same socket and its peer has not hung
 * up. So the kernel's own state shows when a client has ended. For any other descriptor, the call
 * continues.
 *
 * This is an emulation, not a sandbox: a program that changes its arguments during a call only confuses
 * itself. But no program may harm the supervisor: the number of sockets is limited, no copy of a program's
 * descriptor is kept or closed here (closing a lingering TCP socket could block), and every answer may be
 * too late (ENOENT), because the calling thread may have died.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <linux/capability.h>
#include <linux/netlink.h>
#include <linux/netfilter_ipv4/ip_queue.h>
#include "run/run.h"
#include "util/clock.h"

#define SOL_NETLINK_ 270
#define SOCK_TYPE_MASK_ 0xf /* all other bits are flags */
/*
 * Maximum number of threads that wait here. Further ones wait in the kernel, which then returns the socket's own
 * address.
 */
#define WAITING_MAX 256
#define SENDMMSG_MAX 1024 /* the limit in the kernel */

/* Linux 6.6: the waking thread lets the woken thread run on its processor. Older headers lack this. */
#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS SECCOMP_IOW(4, __u64)
#define SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP (1UL << 0)
#endif

/* A client. Its index is the number of the engine's descriptor. */
struct client {
	ino_t local, remote; /* inodes of the engine's end and of the program's end; 0: never used */
	uint32_t pid;	     /* the program's pid, as the program sees it */
	uint32_t port;	     /* the port to which the socket is bound; 0: not bound yet */
	int type, protocol;  /* arguments of the socket call */
	uint32_t number;     /* number of the client in the engine */
	uint32_t options;    /* options of SOL_NETLINK that are set, one bit each */
};

/* A call that waits for a message. */
struct waiting_call {
	struct seccomp_notif request;
	int64_t deadline;
};

struct run_calls {
	int listener;
	struct engine *engine;
	bool everybody_capable;
	bool atomic; /* the kernel can install a descriptor and answer in one step (Linux 5.14) */
	bool blind;  /* set when the program's memory could not be read, so that this is logged only once */
	FILE *log;
	ino_t user_namespace;
	unsigned limit; /* number of entries in `client` */
	struct client *client;
	struct seccomp_notif *request;
	struct seccomp_notif_resp *response;
	size_t request_size;
	struct run_message message;
	unsigned waiting;
	struct waiting_call later[WAITING_MAX];
};

static bool open_memory(struct run_calls *calls, struct call *call)
{
	if (run_open_memory(call))
		return true;
	if (errno != ENOENT && errno != ESRCH && !calls->blind) {
		calls->blind = true;
		if (calls->log != NULL)
			fprintf(calls->log,
				"thread %d: its memory cannot be read (%s): calls of such threads go "
				"to the kernel\n",
				(int)call->tid, strerror(errno));
	}
	return false;
}

/* Whether the thread is still in this call. If so, the thread's id has not been reused. */
static bool still_there(const struct run_calls *calls, uint64_t id)
{
	return ioctl(calls->listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &id) == 0;
}

/* ---- the table of sockets ----------------------------------------------------------------------- */

static bool alive(const struct run_calls *calls, unsigned fd)
{
	const struct client *c = &calls->client[fd];
	struct pollfd p = { .fd = (int)fd, .events = 0 };
	struct stat st;

	return c->local != 0 && fstat((int)fd, &st) == 0 && st.st_ino == c->local && poll(&p, 1, 0) >= 0 &&
	       (p.revents & POLLHUP) == 0;
}

/* The client that belongs to a descriptor of the program; NULL: the socket is not one of ours. */
static struct client *find(const struct run_calls *calls, const struct call *call)
{
	ino_t inode = run_socket_inode(call->tid, (int)call->arg[0]);

	for (unsigned i = 0; inode != 0 && i < calls->limit; i++)
		if (calls->client[i].remote == inode && alive(calls, i))
			return &calls->client[i];
	return NULL;
}

static bool port_taken(const struct run_calls *calls, const struct client *me, uint32_t port)
{
	for (unsigned i = 0; i < calls->limit; i++)
		if (&calls->client[i] != me && calls->client[i].port == port && calls->client[i].local != 0 &&
		    calls->client[i].protocol == me->protocol && alive(calls, i))
			return true;
	return false;
}

/* ---- socket ------------------------------------------------------------------------------------- */

/* Creates a pair of sockets: pair[0] for the engine, pair[1] for the program. */
static int make_pair(struct run_calls *calls, int type, int pair[2])
{
	int err = engine_socketpair(pair, SOCK_NONBLOCK);

	if (err < 0)
		return err == -ENFILE || err == -EMFILE ? -ENOBUFS : err;
	if ((type & SOCK_NONBLOCK) == 0 && fcntl(pair[1], F_SETFL, 0) < 0)
		err = -errno;
	/* Leave a few descriptors free for files in /proc. */
	if (err == 0 && (unsigned)pair[0] + 16 > calls->limit)
		err = -ENOBUFS;
	if (err < 0) {
		close(pair[0]);
		close(pair[1]);
	}
	return err;
}

static int add_client(struct run_calls *calls, const struct call *call, int pair[2])
{
	int protocol = (int)call->arg[2];
	uint8_t family = protocol == NETLINK_FIREWALL ? AF_INET : AF_INET6;
	struct identity id;
	struct stat st[2];
	int err;

	if (!run_identify(call->tid, calls->everybody_capable, calls->user_namespace, &id) ||
	    fstat(pair[0], &st[0]) < 0 || fstat(pair[1], &st[1]) < 0) {
		close(pair[0]);
		return -ENOBUFS;
	}
	/*
	 * The port id is not known before the program binds the socket or sends: the engine takes it from the first
	 * request.
	 */
	err = engine_add(calls->engine, pair[0], family, call->arch->layout, 0, id.capable);
	if (err < 0) {
		close(pair[0]);
		return err;
	}
	calls->client[pair[0]] = (struct client){ .local = st[0].st_ino,
						  .remote = st[1].st_ino,
						  .pid = id.pid,
						  .type = (int)call->arg[1] & ~(SOCK_CLOEXEC | SOCK_NONBLOCK),
						  .protocol = protocol,
						  .number = (uint32_t)err };
	if (calls->log != NULL)
		fprintf(calls->log, "socket: process %u opened %s (%s)%s\n", id.pid,
			family == AF_INET ? "ip_queue" : "ip6_queue",
			call->arch->layout == WIRE_LP64 ? "64-bit" : "32-bit",
			id.capable ? "" : ", without CAP_NET_ADMIN");
	return 0;
}

/* Installs fd in the program. Returns its number there, or -errno. *answered: the call has already returned. */
static int install_fd(const struct run_calls *calls, const struct call *call, int fd, uint32_t flags,
		      bool *answered)
{
	struct seccomp_notif_addfd add = {
		.id = call->id,
		.flags = calls->atomic ? SECCOMP_ADDFD_FLAG_SEND : 0,
		.srcfd = (uint32_t)fd,
		.newfd_flags = flags,
	};
	int n = ioctl(calls->listener, SECCOMP_IOCTL_NOTIF_ADDFD, &add);

	*answered = n >= 0 && calls->atomic;
	return n >= 0 ? n : -errno;
}

static int do_socket(struct run_calls *calls, const struct call *call, bool *answered)
{
	int flags = (int)call->arg[1] & ~SOCK_TYPE_MASK_, type = (int)call->arg[1] & SOCK_TYPE_MASK_;
	int pair[2], err;

	if (call->x32 || calls->engine == NULL) {
		if (call->x32 && calls->log != NULL)
			fprintf(calls->log, "socket: refused, thread %d runs an x32 program\n",
				(int)call->tid);
		return -EPROTONOSUPPORT;
	}
	if ((flags & ~(SOCK_CLOEXEC | SOCK_NONBLOCK)) != 0)
		return -EINVAL;
	if (type != SOCK_RAW && type != SOCK_DGRAM)
		return -ESOCKTNOSUPPORT;
	err = make_pair(calls, (int)call->arg[1], pair);
	if (err < 0)
		return err;
	err = add_client(calls, call, pair);
	if (err == 0)
		err = install_fd(calls, call, pair[1], (call->arg[1] & SOCK_CLOEXEC) != 0 ? O_CLOEXEC : 0,
				 answered);
	close(pair[1]); /* if the program did not get the descriptor, this ends the client */
	return err;
}

/* ---- the files in /proc ------------------------------------------------------------------------- */

static bool opens(const struct call *call, const char *name)
{
	char path[32];
	size_t len = strlen(name) + 1;

	return run_peek(call, call->arg[call->what == CALL_OPEN ? 0 : 1], path, len) &&
	       memcmp(path, name, len) == 0;
}

/* Opens a descriptor for reading the text. Returns it, or -errno. */
static int open_text(const char *text, size_t len)
{
	int file = memfd_create("ip_queue", MFD_CLOEXEC), fd = -ENFILE;
	char path[64];

	if (file < 0)
		return fd;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
	if (write(file, text, len) == (ssize_t)len)
		fd = open(path, O_RDONLY | O_CLOEXEC);
	close(file);
	return fd < 0 ? -ENFILE : fd;
}

/* The text has the current values. To read new values, a program opens the file again. */
static int do_open(const struct run_calls *calls, struct call *call, bool *pass, bool *answered)
{
	uint8_t family = AF_UNSPEC;
	char text[512];
	int fd, n;

	if (calls->engine != NULL && run_open_memory(call) && still_there(calls, call->id))
		family = opens(call, "/proc/net/ip_queue")    ? AF_INET
			 : opens(call, "/proc/net/ip6_queue") ? AF_INET6
							      : AF_UNSPEC;
	*pass = family == AF_UNSPEC;
	if (*pass)
		return 0;
	n = engine_proc_text(calls->engine, family, text, sizeof(text));
	fd = open_text(text, (size_t)n);
	if (fd < 0)
		return fd;
	n = install_fd(calls, call, fd, 0, answered);
	close(fd);
	return n;
}

/* ---- other calls -------------------------------------------------------------------------------- */

static void bind_to_free_port(const struct run_calls *calls, struct client *c)
{
	uint32_t port = c->pid;

	if (port_taken(calls, c, port)) /* then netlink uses a port number that no process has */
		for (port = UINT32_MAX - 4096; port_taken(calls, c, port); port--)
			;
	c->port = port;
}

/* Binds the socket at its first send, as netlink does. */
static void bind_if_used(const struct run_calls *calls, struct client *c)
{
	struct pollfd unread = { .fd = (int)(c - calls->client), .events = POLLIN };

	if (c->port == 0 && calls->engine != NULL &&
	    (poll(&unread, 1, 0) > 0 || engine_client_pid(calls->engine, c->number) != 0))
		bind_to_free_port(calls, c);
}

static int do_bind(struct run_calls *calls, const struct call *call, struct client *c)
{
	struct sockaddr_nl address;

	if (!run_peek(call, call->arg[1], &address, sizeof(address)))
		return -EFAULT;
	if (address.nl_family != AF_NETLINK)
		return -EINVAL;
	bind_if_used(calls, c);
	if (c->port != 0)
		return address.nl_pid == c->port ? 0 : -EINVAL;
	if (address.nl_pid == 0)
		bind_to_free_port(calls, c);
	else if (port_taken(calls, c, address.nl_pid))
		return -EADDRINUSE;
	else
		c->port = address.nl_pid;
	return 0;
}

static int do_connect(const struct run_calls *calls, const struct call *call, struct client *c)
{
	struct sockaddr_nl address;

	if (!run_peek(call, call->arg[1], &address, sizeof(address)))
		return -EFAULT;
	if (address.nl_family == AF_NETLINK && c->port == 0)
		bind_to_free_port(calls, c);
	return address.nl_family == AF_NETLINK || address.nl_family == AF_UNSPEC ? 0 : -EINVAL;
}

static int do_getsockname(const struct run_calls *calls, const struct call *call, struct client *c)
{
	struct sockaddr_nl address = { .nl_family = AF_NETLINK };

	bind_if_used(calls, c);
	address.nl_pid = c->port;
	return run_poke_value(call, call->arg[1], call->arg[2], &address, sizeof(address));
}

/* Returns the kernel's address, even if the program has not called connect. */
static int do_getpeername(const struct call *call)
{
	struct sockaddr_nl address = { .nl_family = AF_NETLINK };

	return run_poke_value(call, call->arg[1], call->arg[2], &address, sizeof(address));
}

/*
 * Sends the n-th message of the call. The message has taken effect when the program continues. A refusal arrives as
 * a message.
 */
static int do_send(struct run_calls *calls, const struct call *call, const struct client *c, unsigned n,
		   bool *pass)
{
	struct iovec piece;

	*pass = calls->engine == NULL || !run_read_request(call, n, &calls->message);
	if (*pass)
		return 0;
	piece = (struct iovec){ calls->message.bytes, calls->message.len };
	if (engine_request(calls->engine, c->number, &piece, 1) == -ENOENT)
		return -ECONNREFUSED;
	return (int)piece.iov_len;
}

/* If a message cannot be sent, sendmmsg returns the number of messages that it has sent before. */
static int do_sendmmsg(struct run_calls *calls, const struct call *call, const struct client *c, bool *pass)
{
	int len = do_send(calls, call, c, 0, pass);
	unsigned n;

	if (*pass || len < 0)
		return len;
	for (n = 0; n < SENDMMSG_MAX && !*pass && len >= 0; len = do_send(calls, call, c, ++n, pass))
		if (!run_write_length(call, n, (uint32_t)len))
			break;
	*pass = false;
	return n > 0 ? (int)n : -EFAULT;
}

/*
 * Receives a message and writes netlink's address, because the socket's own address has another family. libipq
 * checks only nl_pid and the length, so its own calls do not need this.
 */
static int do_receive(struct run_calls *calls, struct call *call, const struct client *c, bool *pass)
{
	int fd = run_copy_descriptor(call, c->remote), result = 0;
	enum receive_result done = fd < 0 ? RECEIVE_NATIVE : run_receive(call, fd, &calls->message, &result);

	if (fd >= 0)
		close(fd);
	call->later = done == RECEIVE_LATER && calls->waiting < WAITING_MAX;
	*pass = done != RECEIVE_DONE;
	if (done == RECEIVE_DONE && calls->message.taken)
		call->engine_end = (int)(c - calls->client);
	return result;
}

/* ip_queue had no multicast groups of its own, but every netlink family has 32. */
static int do_setsockopt(const struct call *call, struct client *c)
{
	uint32_t value = 0, bit = 1U << (call->arg[2] & 31);

	/* A value that is too short counts as 0. */
	if ((uint32_t)call->arg[4] >= sizeof(value) && !run_peek(call, call->arg[3], &value, sizeof(value)))
		return -EFAULT;
	switch ((int)call->arg[2]) {
	case NETLINK_ADD_MEMBERSHIP:
	case NETLINK_DROP_MEMBERSHIP:
		return value >= 1 && value <= 32 ? 0 : -EINVAL;
	case NETLINK_PKTINFO:
	case NETLINK_BROADCAST_ERROR:
	case NETLINK_NO_ENOBUFS:
		c->options = value != 0 ? c->options | bit : c->options & ~bit;
		return 0;
	default:
		return -ENOPROTOOPT;
	}
}

static int do_getsockopt(const struct call *call, const struct client *c)
{
	int level = (int)call->arg[1], option = (int)call->arg[2], value, len;

	if (level == SOL_SOCKET)
		value = option == SO_TYPE ? c->type : option == SO_DOMAIN ? AF_NETLINK : c->protocol;
	else if (option == NETLINK_PKTINFO || option == NETLINK_BROADCAST_ERROR ||
		 option == NETLINK_NO_ENOBUFS)
		value = (int)(c->options >> option & 1);
	else
		return -ENOPROTOOPT;
	if (!run_peek(call, call->arg[4], &len, sizeof(len)))
		return -EFAULT;
	if (len < (level == SOL_SOCKET ? 0 : (int)sizeof(value)))
		return -EINVAL;
	len = len < (int)sizeof(value) ? len : (int)sizeof(value);
	if (!run_poke(call, call->arg[3], &value, (size_t)len) ||
	    !run_poke(call, call->arg[4], &len, sizeof(len)))
		return -EFAULT;
	return 0;
}

static bool is_ours(const struct call *call)
{
	if (call->what == CALL_SOCKET)
		return (int)call->arg[0] == AF_NETLINK &&
		       ((int)call->arg[2] == NETLINK_FIREWALL || (int)call->arg[2] == NETLINK_IP6_FW);
	if (call->what == CALL_SETSOCKOPT)
		return (int)call->arg[1] == SOL_NETLINK_;
	if (call->what == CALL_RECVFROM)
		return call->arg[4] != 0;
	if (call->what == CALL_BIND)
		return (uint32_t)call->arg[2] >= sizeof(struct sockaddr_nl) &&
		       (uint32_t)call->arg[2] <= sizeof(struct sockaddr_storage);
	if (call->what == CALL_CONNECT)
		return (int)call->arg[2] == sizeof(struct sockaddr_nl);
	if (call->what == CALL_GETSOCKOPT && (int)call->arg[1] == SOL_SOCKET)
		return (int)call->arg[2] == SO_TYPE || (int)call->arg[2] == SO_DOMAIN ||
		       (int)call->arg[2] == SO_PROTOCOL;
	return call->what != CALL_GETSOCKOPT || (int)call->arg[1] == SOL_NETLINK_;
}

/* ---- a notification from end to end ------------------------------------------------------------- */

/* Reads the arguments of a call. False: the call is not one of those that the supervisor answers. */
static bool read_call(struct run_calls *calls, const struct seccomp_notif *n, struct call *call)
{
	uint32_t word[6] = { 0 };
	unsigned long native[6] = { 0 };
	bool memory;
	/* The number of arguments of each call; socketcall(2) has them in memory. */
	static const unsigned char arguments[CALL_COUNT] = { 3, 3, 3, 3, 3, 5, 5, 6, 3, 5, 6, 3, 4, 3, 4 };

	*call = (struct call){ .id = n->id,
			       .tid = (pid_t)n->pid,
			       .memory = -1,
			       .engine_end = -1,
			       .arch = run_arch_find(n->data.arch) };
	call->x32 = run_is_x32(&n->data);
	if (call->arch == NULL)
		return false;
	call->what = call->x32 ? CALL_SOCKET : run_call_find(call->arch, &n->data, &memory);
	if (call->what == CALL_COUNT)
		return false;
	if (call->x32 || !memory) {
		memcpy(call->arg, n->data.args, sizeof(call->arg));
		return true;
	}
	if (!open_memory(calls, call) || !still_there(calls, call->id))
		return false;
	if (call->arch->layout == WIRE_ILP32
		    ? !run_peek(call, n->data.args[1], word, arguments[call->what] * sizeof(word[0]))
		    : !run_peek(call, n->data.args[1], native, arguments[call->what] * sizeof(native[0])))
		return false;
	for (unsigned i = 0; i < 6; i++)
		call->arg[i] = call->arch->layout == WIRE_ILP32 ? word[i] : native[i];
	return true;
}

/* The result of the call, or -errno. *pass: the kernel carries out the call. */
static int decide(struct run_calls *calls, struct call *call, bool *pass, bool *answered)
{
	struct client *c;

	*pass = !is_ours(call);
	if (*pass)
		return 0;
	if (call->what == CALL_SOCKET)
		return do_socket(calls, call, answered);
	if (call->what == CALL_OPEN || call->what == CALL_OPENAT)
		return do_open(calls, call, pass, answered);
	c = find(calls, call);
	*pass = c == NULL || !open_memory(calls, call) || !still_there(calls, call->id);
	if (*pass)
		return 0;
	switch (call->what) {
	case CALL_BIND:
		return do_bind(calls, call, c);
	case CALL_CONNECT:
		return do_connect(calls, call, c);
	case CALL_GETSOCKNAME:
		return do_getsockname(calls, call, c);
	case CALL_GETPEERNAME:
		return do_getpeername(call);
	case CALL_SENDTO:
	case CALL_SENDMSG:
		return do_send(calls, call, c, 0, pass);
	case CALL_SENDMMSG:
		return do_sendmmsg(calls, call, c, pass);
	case CALL_RECVFROM:
	case CALL_RECVMSG:
	case CALL_RECVMMSG:
		return do_receive(calls, call, c, pass);
	case CALL_SETSOCKOPT:
		return do_setsockopt(call, c);
	default:
		return do_getsockopt(call, c);
	}
}

/* Answers a call. deadline: the deadline of a call that has waited; otherwise 0. */
static void answer(struct run_calls *calls, const struct seccomp_notif *request, int64_t deadline)
{
	bool pass = true, answered = false;
	struct call call;
	int result = 0;

	if (read_call(calls, request, &call) && still_there(calls, call.id)) {
		call.deadline = deadline;
		result = decide(calls, &call, &pass, &answered);
	}
	if (call.memory >= 0)
		close(call.memory);
	if (call.later)
		calls->later[calls->waiting++] = (struct waiting_call){ *request, call.deadline };
	if (answered || call.later)
		return;
	calls->response->id = call.id;
	calls->response->flags = pass ? SECCOMP_USER_NOTIF_FLAG_CONTINUE : 0;
	calls->response->val = result > 0 ? result : 0;
	calls->response->error = result < 0 ? result : 0;
	/* If this fails, a signal has interrupted the call, or the thread has died. Then put the message back. */
	if (ioctl(calls->listener, SECCOMP_IOCTL_NOTIF_SEND, calls->response) < 0 && call.engine_end >= 0)
		send(call.engine_end, calls->message.bytes, calls->message.len, MSG_DONTWAIT | MSG_NOSIGNAL);
}

void run_calls_answer(struct run_calls *calls)
{
	memset(calls->request, 0, calls->request_size);
	/* this fails if the thread has died */
	if (ioctl(calls->listener, SECCOMP_IOCTL_NOTIF_RECV, calls->request) == 0)
		answer(calls, calls->request, 0);
}

void run_calls_retry(struct run_calls *calls)
{
	struct waiting_call w;
	unsigned i, n = calls->waiting;

	/* Store calls that still wait again, at their old index or a lower one. */
	for (i = calls->waiting = 0; i < n; i++) {
		w = calls->later[i];
		answer(calls, &w.request, w.deadline);
	}
}

int run_calls_timeout(const struct run_calls *calls)
{
	int64_t first = INT64_MAX, left;

	for (unsigned i = 0; i < calls->waiting; i++)
		if (calls->later[i].deadline < first)
			first = calls->later[i].deadline;
	if (first == INT64_MAX)
		return -1;
	left = first - now_ms();
	return left <= 0 ? 0 : left < INT_MAX ? (int)left : INT_MAX;
}

void run_calls_orphan(struct run_calls *calls)
{
	calls->engine = NULL;
	memset(calls->client, 0, calls->limit * sizeof(calls->client[0]));
	run_calls_retry(calls);
}

/* ---- opening ------------------------------------------------------------------------------------ */

/*
 * Whether the kernel supports this operation. The request cannot succeed: a kernel that supports it answers ENOENT
 * (no such notification).
 */
static bool knows_addfd(int listener, uint32_t flags)
{
	struct seccomp_notif_addfd add = { .flags = flags, .srcfd = (uint32_t)listener };

	return ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &add) < 0 && errno == ENOENT;
}

static int allocate(struct run_calls *calls)
{
	struct seccomp_notif_sizes sizes;
	size_t response;

	if (syscall(__NR_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &sizes) < 0)
		return -errno;
	/* A newer kernel's structures may be longer. */
	calls->request_size =
		sizes.seccomp_notif > sizeof(*calls->request) ? sizes.seccomp_notif : sizeof(*calls->request);
	response = sizes.seccomp_notif_resp > sizeof(*calls->response) ? sizes.seccomp_notif_resp
								       : sizeof(*calls->response);
	calls->request = calloc(1, calls->request_size);
	calls->response = calloc(1, response);
	calls->client = calloc(calls->limit, sizeof(calls->client[0]));
	return calls->request == NULL || calls->response == NULL || calls->client == NULL ? -ENOMEM : 0;
}

void run_calls_set_listener(struct run_calls *calls, int listener)
{
	calls->listener = listener;
	calls->waiting = 0; /* forget the calls of a program that has ended */
	/* If the kernel supports this flag, answers are several times faster. */
	ioctl(listener, SECCOMP_IOCTL_NOTIF_SET_FLAGS, SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP);
}

int run_calls_open(struct run_calls **result, int listener, struct engine *engine, bool everybody_capable,
		   unsigned limit, FILE *log, struct ipq_error *e)
{
	struct run_calls *calls = calloc(1, sizeof(*calls));
	int err;

	*result = NULL;
	if (calls == NULL)
		return ipq_fail(e, ENOMEM, "no memory");
	*calls = (struct run_calls){
		.engine = engine, .limit = limit, .log = log, .everybody_capable = everybody_capable
	};
	calls->user_namespace = run_user_namespace(getpid());
	err = allocate(calls);
	if (err < 0) {
		ipq_fail(e, -err, "no memory for the program's calls: %s", strerror(-err));
	} else if (!knows_addfd(listener, 0)) {
		err = ipq_fail(e, ENOSYS,
			       "this kernel cannot pass a socket to another process "
			       "(SECCOMP_IOCTL_NOTIF_ADDFD): ipq run needs Linux 5.9 or newer");
	} else {
		calls->atomic = knows_addfd(listener, SECCOMP_ADDFD_FLAG_SEND);
		run_calls_set_listener(calls, listener);
		*result = calls;
		return 0;
	}
	run_calls_close(calls);
	return err;
}

void run_calls_close(struct run_calls *calls)
{
	if (calls == NULL)
		return;
	free(calls->client);
	free(calls->response);
	free(calls->request);
	free(calls);
}
