/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * keep_program classic|modern [MIB]: accepts every packet, until SIGTERM. After SIGUSR1 it allocates and writes
 * memory until it dies: either at its limit of MIB (12) of address space or, if MIB is 0, when the kernel kills it.
 * After SIGUSR2 it executes itself, as a program does to start its new version.
 */
#include <errno.h>
#include <ipq.h>
#include <libipq.h>
#include <linux/netfilter.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#define PIECE (1 << 20)
#define LIMIT_MIB 12
#define PIECES_MAX 256 /* a limit, in case the kernel does not kill the program */

static volatile sig_atomic_t ended;
static struct ipq_queue *queue;
static char **arguments;
static rlim_t limit_mib = LIMIT_MIB;

static void on_term(int signal)
{
	(void)signal;
	ended = 1;
	if (queue != NULL)
		ipq_queue_wake(queue);
}

static void use_all_memory(int signal)
{
	const struct rlimit limit = { limit_mib << 20, limit_mib << 20 };

	(void)signal;
	if (limit_mib > 0)
		setrlimit(RLIMIT_AS, &limit);
	/* the last allocation fails and returns -1, an address that is not writable */
	for (int i = 0; i < PIECES_MAX; i++)
		memset(mmap(NULL, PIECE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 1,
		       PIECE);
	_exit(1);
}

static void execute(int signal)
{
	sigset_t none;

	(void)signal;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	execv("/proc/self/exe", arguments);
	_exit(1);
}

static int classic(void)
{
	static unsigned char buf[65536 + 256];
	struct ipq_handle *h = ipq_create_handle(0, PF_INET);

	if (h == NULL || ipq_set_mode(h, IPQ_COPY_META, 0) < 0) {
		ipq_perror("keep_program");
		return 1;
	}
	while (!ended) {
		ssize_t n = ipq_read(h, buf, sizeof(buf), 200000);

		if (n < 0 || (n > 0 && ipq_message_type(buf) == IPQM_PACKET &&
			      ipq_set_verdict(h, ipq_get_packet(buf)->packet_id, NF_ACCEPT, 0, NULL) <= 0)) {
			ipq_perror("keep_program");
			return 1;
		}
	}
	ipq_destroy_handle(h);
	return 0;
}

static int modern(void)
{
	struct ipq_options options = { .size = sizeof(options), .flags = IPQ_O_META_ONLY };
	struct ipq_packet packet[64];
	int n;

	if (ipq_queue_open(&queue, NULL, &options) < 0)
		return 1;
	while (!ended && (n = ipq_queue_recv(queue, packet, 64, IPQ_FOREVER)) >= 0)
		for (int i = 0; i < n; i++)
			ipq_accept(queue, &packet[i]);
	ipq_queue_flush(queue);
	ipq_queue_close(queue);
	return !ended;
}

int main(int argc, char **argv)
{
	arguments = argv;
	if (argc > 2)
		limit_mib = strtoul(argv[2], NULL, 10);
	signal(SIGTERM, on_term);
	signal(SIGUSR1, use_all_memory);
	signal(SIGUSR2, execute);
	return argc > 1 && strcmp(argv[1], "modern") == 0 ? modern() : classic();
}
