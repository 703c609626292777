/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A second process for rules that block nothing (NFLOG, bypass): if ipq is killed, the guardian removes the rules.
 * If the guardian is killed too, the next start of ipq or "ipq clean" removes them. The guardian gets no packets,
 * and has the privileges that the firewall tools need.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "common/interrupt.h"
#include "common/privileges.h"
#include "firewall/probe.h"
#include "firewall/rules_script.h"

/* Removes the rules with this number when no process is bound to it any more. */
static void remove_remains(bool log, uint16_t number)
{
	const struct timespec pause = { .tv_nsec = 20000000 };
	struct ipq_error e;
	int lock = firewall_lock("ipq", &e);
	struct chains c;

	for (int i = 0; i < 100 && probe_number(log, number) > 0; i++)
		nanosleep(&pause, NULL);
	chains_read(&c, ALL_KINDS);
	for (size_t i = 0; i < c.count; i++) {
		const struct ipq_chain *chain = &c.chain[i];

		if (chain->log == log && chain->number == number && chain->alive == 0 && !chain_blocks(chain))
			chain_remove(chain, ALL_HOOKS, CLOSE_WAIT_MS, NULL, lock, &e);
	}
}

/*
 * The guardian process. The parent sends it the number of the rules and, after the parent has removed them, a byte.
 * If the connection ends without that byte, the parent was killed, and the guardian removes the rules.
 */
static void guard(bool log, int fd)
{
	int null = open("/dev/null", O_RDWR);
	uint16_t number = 0;
	sigset_t all;
	char done;

	interrupt_from(-1);
	/*
	 * Close all descriptors that the parent had open, such as its terminal, or a pipe that another process
	 * reads to its end.
	 */
	setsid();
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	for (int i = 0; null >= 0 && i < 3; i++)
		dup2(null, i);
	if (fd != 3)
		dup2(fd, 3);
	syscall(SYS_close_range, 4, ~0U, 0); /* musl has no function for this system call */
	privileges_keep(PRIVILEGE(CAP_NET_ADMIN) | PRIVILEGE(CAP_NET_RAW));
	if (recv(3, &number, sizeof(number), 0) == (ssize_t)sizeof(number) && recv(3, &done, 1, 0) == 0)
		remove_remains(log, number);
	_exit(0);
}

int guardian_start(struct rules *r, struct ipq_error *e)
{
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
		return ipq_fail(e, errno, "cannot create a socket: %s", strerror(errno));
	r->guardian = fork();
	if (r->guardian == 0) {
		close(fds[1]);
		guard(r->options.kind == RULES_LOG, fds[0]);
	}
	close(fds[0]);
	if (r->guardian < 0) {
		close(fds[1]);
		return ipq_fail(e, EAGAIN, "cannot start a second process: %s", strerror(errno));
	}
	r->guardian_fd = fds[1];
	return 0;
}

void guardian_end(struct rules *r, bool removed)
{
	if (r->guardian_fd < 0)
		return;
	if (removed)
		send(r->guardian_fd, "", 1, MSG_NOSIGNAL);
	close(r->guardian_fd);
	r->guardian_fd = -1;
	while (removed && waitpid(r->guardian, NULL, 0) < 0 && errno == EINTR)
		;
}
