/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The filter that decides which system calls of the program are passed to the supervisor. The program must run at
 * full speed, so all calls run natively except:
 *
 *	socket(AF_NETLINK, any, 3 or 13)
 *	bind                      with an address of at least 12 bytes, the size of netlink's
 *	connect                   with an address of 12 bytes
 *	getsockname, getpeername  always: their arguments do not show the kind of socket
 *	setsockopt                level SOL_NETLINK
 *	getsockopt                level SOL_NETLINK, and SO_TYPE, SO_DOMAIN, SO_PROTOCOL
 *	sendto                    with an address of 12 bytes and the length of libipq's mode request
 *	recvmsg, recvmmsg         always: their arguments do not show whether there is an address
 *	recvfrom                  with flags and an address: libipq has no flags
 *	open, openat              for reading, without other flags: for /proc/net/ip_queue
 *	socketcall                the socket calls above except recvfrom: all, because their arguments are in memory
 *
 * and, with --exact, recvfrom with an address, sendto, sendmsg and sendmmsg.
 *
 * Without --exact, none of these calls carries packets of libipq: it sends verdicts with sendmsg and reads with
 * recvfrom. For all other calls the decision depends only on the number, so the kernel (from 5.11) uses a bitmap and
 * does not run the filter.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/net.h>
#include <linux/netlink.h>
#include <linux/netfilter_ipv4/ip_queue.h>
#include "run/run.h"

#if defined(__x86_64__) && defined(__LP64__)
#define AUDIT_ARCH_HERE AUDIT_ARCH_X86_64
#elif defined(__i386__)
#define AUDIT_ARCH_HERE AUDIT_ARCH_I386
#elif defined(__aarch64__) && defined(__LP64__) && defined(__AARCH64EL__)
#define AUDIT_ARCH_HERE AUDIT_ARCH_AARCH64
#elif defined(__arm__) && defined(__ARM_EABI__) && defined(__ARMEL__)
#define AUDIT_ARCH_HERE AUDIT_ARCH_ARM
#elif defined(__riscv) && __riscv_xlen == 64
#define AUDIT_ARCH_HERE AUDIT_ARCH_RISCV64
#elif defined(__powerpc64__) && defined(__LITTLE_ENDIAN__)
#define AUDIT_ARCH_HERE AUDIT_ARCH_PPC64LE
#elif defined(__powerpc64__)
#define AUDIT_ARCH_HERE AUDIT_ARCH_PPC64
#elif defined(__s390x__)
#define AUDIT_ARCH_HERE AUDIT_ARCH_S390X
#elif defined(__loongarch__) && __loongarch_grlen == 64
#define AUDIT_ARCH_HERE AUDIT_ARCH_LOONGARCH64
#elif defined(__mips64) && _MIPS_SIM == _ABI64 && defined(__MIPSEL__)
#define AUDIT_ARCH_HERE AUDIT_ARCH_MIPSEL64
#elif defined(__mips64) && _MIPS_SIM == _ABI64
#define AUDIT_ARCH_HERE AUDIT_ARCH_MIPS64
#else
#error "ipq run does not know this architecture: add its AUDIT_ARCH_ of <linux/audit.h> here"
#endif

#ifdef __NR_socketcall
#define SOCKETCALL_HERE __NR_socketcall
#else
#define SOCKETCALL_HERE (-1)
#endif

#ifdef __NR_open
#define OPEN_HERE __NR_open
#else
#define OPEN_HERE (-1)
#endif

#define SOL_NETLINK_ 270 /* <sys/socket.h> defines it only with some feature macros */
#define X32_BIT 0x40000000
#define LARGE_FILE 0500000 /* O_LARGEFILE on x86 and on ARM */

static const struct run_arch arches[] = {
	{ AUDIT_ARCH_HERE,
	  WIRE_NATIVE,
	  { __NR_socket, __NR_bind, __NR_connect, __NR_getsockname, __NR_getpeername, __NR_setsockopt,
	    __NR_getsockopt, __NR_sendto, __NR_recvmsg, __NR_recvmmsg, __NR_recvfrom, __NR_sendmsg,
	    __NR_sendmmsg, OPEN_HERE, __NR_openat },
	  SOCKETCALL_HERE },
#if defined(__x86_64__)
	/* Programs older than Linux 4.3 use only socketcall. */
	{ AUDIT_ARCH_I386,
	  WIRE_ILP32,
	  { 359, 361, 362, 367, 368, 366, 365, 369, 372, 337, 371, 370, 345, 5, 295 },
	  102 },
#elif defined(__aarch64__)
	{ AUDIT_ARCH_ARM,
	  WIRE_ILP32,
	  { 281, 282, 283, 286, 287, 294, 295, 290, 297, 365, 292, 296, 374, 5, 322 },
	  -1 },
#endif
};
#define ARCHES (sizeof(arches) / sizeof(arches[0]))

/* The numbers of the calls in socketcall(2). */
static const int socketcall_number[CALL_OPEN] = { SYS_SOCKET,	   SYS_BIND,	    SYS_CONNECT,
						  SYS_GETSOCKNAME, SYS_GETPEERNAME, SYS_SETSOCKOPT,
						  SYS_GETSOCKOPT,  SYS_SENDTO,	    SYS_RECVMSG,
						  SYS_RECVMMSG,	   SYS_RECVFROM,    SYS_SENDMSG,
						  SYS_SENDMMSG };

/* The length of libipq's mode request, which counts the netlink header twice: 56 (LP64) or 44 (ILP32). */
static size_t mode_length(const struct run_arch *arch)
{
	return WIRE_NLHDR + wire_request_head(arch->layout);
}

const struct run_arch *run_arch_find(uint32_t audit)
{
	for (size_t i = 0; i < ARCHES; i++)
		if (arches[i].audit == audit)
			return &arches[i];
	return NULL;
}

bool run_is_x32(const struct seccomp_data *data)
{
#if defined(__x86_64__)
	return data->arch == AUDIT_ARCH_X86_64 && (data->nr & X32_BIT) != 0;
#else
	(void)data;
	return false;
#endif
}

enum run_call run_call_find(const struct run_arch *arch, const struct seccomp_data *data, bool *memory)
{
	enum run_call call;

	*memory = arch->socketcall >= 0 && data->nr == arch->socketcall;
	for (call = 0; call < (*memory ? CALL_OPEN : CALL_COUNT); call++)
		if (*memory ? (int)data->args[0] == socketcall_number[call] : data->nr == arch->nr[call])
			return call;
	return CALL_COUNT;
}

/* ---- the filter --------------------------------------------------------------------------------- */

/* About 80 instructions for each architecture. The kernel's limit is 4096. */
struct code {
	struct sock_filter at[256];
	unsigned short len;
	bool exact;
};

static void emit(struct code *c, unsigned code, unsigned k, unsigned jt, unsigned jf)
{
	if (c->len < sizeof(c->at) / sizeof(c->at[0]))
		c->at[c->len++] =
			(struct sock_filter){ (unsigned short)code, (unsigned char)jt, (unsigned char)jf, k };
}

static void load(struct code *c, size_t offset)
{
	emit(c, BPF_LD | BPF_W | BPF_ABS, (unsigned)offset, 0, 0);
}

/* Loads the lower half of an argument, because these arguments are ints. */
static void load_arg(struct code *c, unsigned n)
{
	size_t low = __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? 4 : 0;

	load(c, offsetof(struct seccomp_data, args) + n * 8 + low);
}

static void give(struct code *c, unsigned action)
{
	emit(c, BPF_RET | BPF_K, action, 0, 0);
}

/* Returns `action` from the filter if the loaded value is k. */
static void give_if(struct code *c, unsigned k, unsigned action)
{
	emit(c, BPF_JMP | BPF_JEQ | BPF_K, k, 0, 1);
	give(c, action);
}

static void give_unless(struct code *c, unsigned k, unsigned action)
{
	emit(c, BPF_JMP | BPF_JEQ | BPF_K, k, 1, 0);
	give(c, action);
}

/*
 * Called after the number of the call has matched: decides by the arguments whether the call is passed to the
 * supervisor.
 */
static void check_arguments(struct code *c, enum run_call call, size_t mode_length)
{
	switch (call) {
	case CALL_SOCKET:
		load_arg(c, 0);
		give_unless(c, AF_NETLINK, SECCOMP_RET_ALLOW);
		load_arg(c, 2);
		give_if(c, NETLINK_FIREWALL, SECCOMP_RET_USER_NOTIF);
		give_if(c, NETLINK_IP6_FW, SECCOMP_RET_USER_NOTIF);
		break;
	case CALL_BIND:
		load_arg(c, 2);
		emit(c, BPF_JMP | BPF_JGE | BPF_K, sizeof(struct sockaddr_nl), 0, 1);
		give(c, SECCOMP_RET_USER_NOTIF);
		break;
	case CALL_CONNECT:
		load_arg(c, 2);
		give_if(c, sizeof(struct sockaddr_nl), SECCOMP_RET_USER_NOTIF);
		break;
	case CALL_GETSOCKOPT:
		load_arg(c, 1);
		give_if(c, SOL_NETLINK_, SECCOMP_RET_USER_NOTIF);
		give_unless(c, SOL_SOCKET, SECCOMP_RET_ALLOW);
		load_arg(c, 2);
		give_if(c, SO_TYPE, SECCOMP_RET_USER_NOTIF);
		give_if(c, SO_DOMAIN, SECCOMP_RET_USER_NOTIF);
		give_if(c, SO_PROTOCOL, SECCOMP_RET_USER_NOTIF);
		break;
	case CALL_SETSOCKOPT:
		load_arg(c, 1);
		give_if(c, SOL_NETLINK_, SECCOMP_RET_USER_NOTIF);
		break;
	case CALL_SENDTO:
		if (c->exact) {
			give(c, SECCOMP_RET_USER_NOTIF);
			return;
		}
		load_arg(c, 2);
		give_unless(c, (unsigned)mode_length, SECCOMP_RET_ALLOW);
		load_arg(c, 5);
		give_if(c, sizeof(struct sockaddr_nl), SECCOMP_RET_USER_NOTIF);
		break;
	case CALL_RECVFROM:
		if (!c->exact) {
			load_arg(c, 3);
			give_if(c, 0, SECCOMP_RET_ALLOW);
		}
		load_arg(c, 4);
		give_unless(c, 0, SECCOMP_RET_USER_NOTIF);
		break;
	case CALL_SENDMMSG:
		load_arg(c, 3);
		give_unless(c, RUN_NATIVE_FLAGS, SECCOMP_RET_USER_NOTIF);
		break;
	case CALL_OPEN:
	case CALL_OPENAT:
		/* Opens with O_CLOEXEC are not passed: the dynamic linker and the C library make many of them. */
		load_arg(c, call == CALL_OPEN ? 1 : 2);
		emit(c, BPF_ALU | BPF_AND | BPF_K, ~(unsigned)(O_NOCTTY | LARGE_FILE), 0, 0);
		give_if(c, O_RDONLY, SECCOMP_RET_USER_NOTIF);
		break;
	default: /* getsockname, getpeername, recvmsg, recvmmsg, sendmsg */
		give(c, SECCOMP_RET_USER_NOTIF);
		return;
	}
	give(c, SECCOMP_RET_ALLOW);
}

/* Adds instructions: if the number in the accumulator is nr, check_arguments(); otherwise continue. */
static void check_call(struct code *c, int nr, enum run_call call, size_t mode_length)
{
	unsigned short jump = c->len;

	if (nr < 0 || ((call == CALL_SENDMSG || call == CALL_SENDMMSG) && !c->exact))
		return;
	emit(c, BPF_JMP | BPF_JEQ | BPF_K, (unsigned)nr, 0, 0);
	check_arguments(c, call, mode_length);
	c->at[jump].jf = (unsigned char)(c->len - jump - 1);
}

static void check_socketcall(struct code *c, int nr)
{
	unsigned short jump = c->len;

	if (nr < 0)
		return;
	emit(c, BPF_JMP | BPF_JEQ | BPF_K, (unsigned)nr, 0, 0);
	load_arg(c, 0);
	for (int i = 0; i < (c->exact ? CALL_OPEN : CALL_RECVFROM); i++)
		give_if(c, (unsigned)socketcall_number[i], SECCOMP_RET_USER_NOTIF);
	give(c, SECCOMP_RET_ALLOW);
	c->at[jump].jf = (unsigned char)(c->len - jump - 1);
}

static void check_arch(struct code *c, const struct run_arch *arch)
{
	unsigned short jump;

	load(c, offsetof(struct seccomp_data, arch));
	emit(c, BPF_JMP | BPF_JEQ | BPF_K, arch->audit, 1, 0);
	jump = c->len;
	emit(c, BPF_JMP | BPF_JA, 0, 0, 0); /* the target is too far for a conditional jump */
	load(c, offsetof(struct seccomp_data, nr));
	/* Generate backwards: the calls that programs make most often come last. */
	for (int i = CALL_OPEN - 1; i >= 0; i--)
		check_call(c, arch->nr[i], (enum run_call)i, mode_length(arch));
	check_call(c, arch->nr[CALL_OPEN], CALL_OPEN, 0);
	check_call(c, arch->nr[CALL_OPENAT], CALL_OPENAT, 0);
	check_socketcall(c, arch->socketcall);
#if defined(__x86_64__)
	if (arch->audit == AUDIT_ARCH_X86_64) /* x32 programs are refused with a line in the log */
		check_call(c, X32_BIT | __NR_socket, CALL_SOCKET, 0);
#endif
	give(c, SECCOMP_RET_ALLOW);
	c->at[jump].k = (unsigned)(c->len - jump - 1);
}

static int explain(int err, struct ipq_error *e)
{
	switch (err) {
	case EBUSY:
		return ipq_fail(e, err,
				"this program already has a seccomp listener, of a container manager or "
				"another ipq run, and the kernel allows only one: run ipq outside of it");
	case EINVAL:
	case ENOSYS:
		return ipq_fail(e, err,
				"this kernel has no seccomp user notification: ipq run needs Linux 5.9 or "
				"newer, built with CONFIG_SECCOMP_FILTER");
	default:
		return ipq_fail(e, err, "cannot install the system call filter: %m");
	}
}

static int set_filter(const struct sock_fprog *program)
{
	const unsigned long flags = SECCOMP_FILTER_FLAG_NEW_LISTENER;
	int fd;

	fd = (int)syscall(__NR_seccomp, SECCOMP_SET_MODE_FILTER, flags, program);
	/* Without CAP_SYS_ADMIN this is required. Set-user-ID programs then run with the user's own privileges. */
	if (fd < 0 && errno == EACCES && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0)
		fd = (int)syscall(__NR_seccomp, SECCOMP_SET_MODE_FILTER, flags, program);
	return fd;
}

int run_filter_install(bool exact, struct ipq_error *e)
{
	struct code c = { .exact = exact };
	struct sock_fprog program;
	int fd;

	for (size_t i = 0; i < ARCHES; i++)
		check_arch(&c, &arches[i]);
	give(&c, SECCOMP_RET_ALLOW);
	program = (struct sock_fprog){ .len = c.len, .filter = c.at };

	/*
	 * While a call is being answered, a signal restarts or interrupts it, as it does with the kernel's own
	 * calls.
	 */
	fd = set_filter(&program);
	return fd >= 0 ? fd : explain(errno, e);
}
