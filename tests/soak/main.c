// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * soak udp|tcp SECONDS SEED DIRECTORY: one lane, see soak.h. Exits 0 if nothing was wrong; otherwise prints the
 * violations. soak classic FILE: the lane's reader with the classic API, in a separate process because of
 * IPQ_SOURCE.
 *
 * The environment: IPQ is the command, SOAK_RULES the script that sets the firewall rules of a lane.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <ipq.h>
#include "soak.h"

#define WAIT_MS 150000
#define ERA_MS_MAX 8000

const char *const kind_name[KINDS] = {
	"ipq.h", "libipq.h", "libipq.h in batches", "libipq.h for two families", "ipq run", "ipq filter"
};
struct shared *S;

static struct {
	const char *program, *lane, *directory;
	char shared_file[256], log_file[256], rules_file[256];
	unsigned queue; /* the lane also uses the next queue number */
	uint64_t random, end_ns;
	pid_t program_pid; /* pid of ipq run or ipq filter, in the eras of these readers */
	bool had[2];	   /* whether there is a baseline for these readers */
	struct health baseline[2];
} lane;

void violation(const char *format, ...)
{
	static const char *const name[KINDS] = { "new", "strict", "batch", "engine", "run", "filter" };
	char text[512];
	va_list args;

	if (atomic_fetch_add(&S->violations, 1) >= 20)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	fprintf(stderr, "VIOLATION: %s lane, era %u (%s, %u reloads): %s\n", S->tcp ? "tcp" : "udp", S->era,
		name[S->kind], S->reloads, text);
}

static uint64_t random_number(void)
{
	return lane.random = scramble(lane.random);
}

static uint64_t between(uint64_t min, uint64_t max)
{
	return min + random_number() % (max - min + 1);
}

static bool map_shared(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0 || ftruncate(fd, sizeof(*S)) < 0)
		return false;
	/* Touch all pages now: resident memory must not grow because of them later. */
	S = mmap(NULL, sizeof(*S), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
	close(fd);
	return S != MAP_FAILED;
}

/* ---- waiting ---------------------------------------------------------------------------------------- */

/* Waits until *value is `wanted`. */
static bool await(_Atomic uint32_t *value, uint32_t wanted, const char *what)
{
	for (unsigned i = 0; i < 2 * WAIT_MS; i++) {
		if (*value == wanted)
			return true;
		usleep(500);
		if (i % 64 == 0)
			watch_children();
	}
	violation("%s: no answer for %u s", what, WAIT_MS / 1000);
	return false;
}

static void gate(uint32_t flows)
{
	S->gate = flows;
	await(&S->gate_seen, flows, "the sender");
}

static uint32_t put_order(enum order order)
{
	S->order = order;
	S->order_for = role_of(S->kind);
	return ++S->order_number;
}

static void give_order(enum order order)
{
	static const char *const name[] = { "idle", "open", "reload", "drain", "close", "quit" };
	uint32_t number = put_order(order);

	if (await(&S->order_done, number, name[order]) && S->order_result < 0)
		violation("%s: %s", name[order], strerror(-S->order_result));
}

/* Waits until `ipq filter` has decided all packets. */
static void await_empty_queue(void)
{
	struct queue_line line;

	for (unsigned i = 0; queue_line(lane.queue, &line) && line.waiting > 0; i++) {
		usleep(1000);
		if (i > WAIT_MS) {
			violation("%" PRIu64 " packets wait in the kernel", line.waiting);
			return;
		}
	}
}

/* Waits for three ticks without arrivals: then all accepted packets have arrived. */
static void await_receiver(void)
{
	uint32_t ticks = S->idle_ticks;

	for (unsigned i = 0; S->idle_ticks - ticks < 3; i++) {
		usleep(1000);
		if (i > WAIT_MS) {
			violation("datagrams do not end to arrive");
			return;
		}
	}
}

/* ---- reloads ---------------------------------------------------------------------------------------- */

static void set_rules(unsigned queue)
{
	char command[512];

	snprintf(command, sizeof(command), "%s %s %u%s", getenv("SOAK_RULES"), lane.lane, queue,
		 S->next.flows == IPV4_FLOWS   ? " iptables"
		 : S->next.flows == IPV6_FLOWS ? " ip6tables"
					       : "");
	if (system(command) != 0)
		violation("the firewall rules cannot be set: %s", command);
}

static uint32_t one_of(uint32_t a, uint32_t b, uint32_t c)
{
	const uint32_t all[] = { a, b, c };

	return all[random_number() % 3];
}

static void choose_settings(void)
{
	struct settings *n = &S->next;

	n->flags = IPQ_O_BEST_EFFORT;
	if (random_number() % 2)
		n->flags |= IPQ_O_SEGMENT;
	if (random_number() % 2)
		n->flags |= IPQ_O_CONNTRACK | IPQ_O_OWNER | IPQ_O_TIMESTAMP;
	n->queue_length = one_of(256, 1024, 8192);
	n->receive_buffer = one_of(0, 0, 1 << 20);
	n->spin_usec = one_of(0, 0, 20);
	n->batch = one_of(1, 16, 64);
	if (S->kind == BATCH && n->batch == 1)
		n->batch = 2;
	n->queue = lane.queue + (S->kind == NEW && random_number() % 2);
}

static void write_filter_rules(bool second)
{
	FILE *f = fopen(lane.rules_file, "we");

	if (f == NULL)
		return;
	if (second)
		fprintf(f, "# the same, said in another way\ndrop udp dst port 9\ncount\n");
	if (S->tcp) {
		fprintf(f, "delay %ums tcp[tcpflags] & tcp-syn != 0\nmark 5 tcp src port 7002\n",
			second ? 2 : 1);
	} else {
		fprintf(f, "drop udp[12] = %u or ip6[52] = %u\n", DROP, DROP);
		fprintf(f, "mark %u udp[12] = %u or ip6[52] = %u\n", FILTER_MARK, MARK, MARK);
		fprintf(f, "repeat %u udp[12] = %u or ip6[52] = %u\n", REPEAT_MARK, REPEAT, REPEAT);
		fprintf(f, "rewrite /%s/%s/ udp[12] = %u or ip6[52] = %u\n", MAGIC, REWRITTEN, REPLACE,
			REPLACE);
		fprintf(f, "delay %ums udp[12] = %u or ip6[52] = %u\n", second ? 9 : 3, HOLD, HOLD);
	}
	fprintf(f, "accept\n");
	fclose(f);
}

/* Closes the reader and opens it again, with other options and rules, while the traffic continues. */
static void reload(void)
{
	static bool second;

	if (S->kind == FILTER) {
		write_filter_rules(second = !second);
		kill(lane.program_pid, SIGHUP);
		S->total.reloads++;
		return;
	}
	if (S->reloads == RELOADS_MAX)
		return;
	choose_settings();
	set_rules(S->next.queue);
	give_order(RELOAD);
}

/* ---- an era ------------------------------------------------------------------------------------------- */

static void start_reader(void)
{
	char queue[32], source[32];

	snprintf(queue, sizeof(queue), "%u", lane.queue);
	snprintf(source, sizeof(source), "nfqueue:%u", lane.queue);
	snprintf(lane.log_file, sizeof(lane.log_file), "%s/%s.log", lane.directory, lane.lane);
	if (S->kind == RUN) {
		char *argv[] = { getenv("IPQ"), "run",
				 "--source",	source,
				 "--log",	lane.log_file,
				 "--",		(char *)(uintptr_t)lane.program,
				 "classic",	lane.shared_file,
				 NULL };

		unlink(lane.log_file);
		setenv("IPQ_SOURCE", "ip_queue:", 1);
		setenv("SOAK_UNDER_RUN", "1", 1);
		lane.program_pid = start_program(argv, NULL);
	} else if (S->kind == FILTER) {
		char *argv[] = { getenv("IPQ"), "filter", "--queue", queue, "-f", lane.rules_file, NULL };

		write_filter_rules(false);
		lane.program_pid = start_program(argv, lane.log_file);
	}
}

static void await_filter(void)
{
	struct queue_line line;

	/* If the table cannot be read, wait for a fixed time. */
	for (unsigned i = 0; S->sees_table && !queue_line(lane.queue, &line); i++) {
		usleep(1000);
		if (i > WAIT_MS) {
			violation("ipq filter does not open queue %u", lane.queue);
			return;
		}
	}
	usleep(S->sees_table ? 100000 : 1000000);
}

static void stop_reader(void)
{
	if (S->kind == RUN) {
		put_order(QUIT);
		stop_program(lane.program_pid, "ipq run", 0);
	} else if (S->kind == FILTER) {
		struct queue_line line;

		if (queue_line(lane.queue, &line))
			S->overflow += line.queue_dropped + line.user_dropped;
		stop_program(lane.program_pid, "ipq filter", SIGTERM);
	}
	lane.program_pid = 0;
}

static void reset(enum kind kind)
{
	S->kind = kind;
	S->era++;
	S->handed = S->repeats = S->overflow = 0;
	S->reloads = 0;
	for (unsigned i = 0; i < FLOWS; i++) {
		struct flow *f = &S->flow[i];

		f->claimed = f->sent = f->handed = f->arrived = 0;
		f->socket_drops_before = f->socket_drops;
	}
	memset(S->fate, 0, sizeof(S->fate));
	memset(S->arrived, 0, sizeof(S->arrived));
}

static uint32_t flows_of(enum kind kind)
{
	if (kind == STRICT || kind == BATCH)
		return random_number() % 2 ? IPV4_FLOWS : IPV6_FLOWS;
	return IPV4_FLOWS | IPV6_FLOWS;
}

/* Runs traffic, bursts and reloads for some time. *middle: the health of a program after its warm-up. */
static void run_traffic(unsigned ms, struct health *middle)
{
	uint64_t start_ns = now_ns(), end = start_ns + ms * UINT64_C(1000000);
	unsigned reloads = (unsigned)between(0, ms / 400 < 6 ? ms / 400 : 6);
	bool measured = false;

	while (now_ns() < end && S->violations == 0) {
		usleep((useconds_t)between(20000, 100000 + ms * 100));
		watch_children();
		if (random_number() % 4 == 0) {
			S->burst = true;
			usleep((useconds_t)between(10000, 60000));
			S->burst = false;
		}
		if (!measured && lane.program_pid > 0 && now_ns() > start_ns + ms * UINT64_C(500000)) {
			health_of(lane.program_pid, middle);
			measured = true;
		}
		if (reloads > 0 && random_number() % 2) {
			reloads--;
			reload();
		}
	}
	if (!measured && lane.program_pid > 0)
		health_of(lane.program_pid, middle);
}

/*
 * Compares memory and descriptors. While a queue is open, it may have tables of waiting packets, and slots, whose
 * memory the kernel allocates at first use. When it is closed, nothing may be left; the first time is the warm-up.
 */
static void compare_reader(void)
{
	static const struct health while_open = { .heap = 1 << 20, .rss_kib = 16 << 10 };
	static const struct health when_closed = { .heap = 4096, .rss_kib = 4 << 10 };
	enum role role = role_of(S->kind);

	if (S->kind == FILTER)
		return;
	account_health("the reader", "before it closes", &S->opened, &S->drained, &while_open);
	if (role == READS_UNDER_RUN)
		return;
	if (lane.had[role])
		account_health("the reader", "when all is closed", &lane.baseline[role], &S->closed,
			       &when_closed);
	else
		lane.baseline[role] = S->closed;
	lane.had[role] = true;
}

/* Compares `ipq run` and `ipq filter` between the middle of an era and its end. */
static void compare_program(const struct health *middle)
{
	static const struct health more = { .rss_kib = 8 << 10 };
	struct health now;

	if (lane.program_pid <= 0)
		return;
	health_of(lane.program_pid, &now);
	account_health(kind_name[S->kind], "at the end of the era", middle, &now, &more);
}

static void era(enum kind kind, unsigned ms)
{
	struct health middle = { 0 };
	struct queue_line line;

	reset(kind);
	start_reader();
	choose_settings();
	S->next.flows = flows_of(kind);
	set_rules(S->next.queue);
	if (kind == FILTER) {
		await_filter();
	} else {
		give_order(OPEN);
		S->sees_table = queue_line(S->next.queue, &line);
	}
	gate(S->next.flows & (S->tcp ? 3 : 15));
	run_traffic(ms, &middle);
	gate(0);
	if (kind == FILTER)
		await_empty_queue();
	else
		give_order(DRAIN);
	await_receiver();
	compare_program(&middle);
	if (kind != FILTER)
		give_order(CLOSE);
	compare_reader();
	stop_reader();
	if (S->tcp)
		account_tcp();
	else
		account_udp(kind == RUN || kind == FILTER ? lane.log_file : NULL);
}

/* ---- a lane ------------------------------------------------------------------------------------------- */

static void read_new(void)
{
	exit(reader_main(&reader_new, READS_NEW));
}

static void quit_reader(pid_t pid, enum kind kind, const char *what)
{
	S->kind = kind;
	put_order(QUIT);
	stop_program(pid, what, 0);
}

/* Runs every kind of reader once, then in any order until the end of the time. */
static void run_eras(uint64_t total_ms)
{
	static const enum kind cycle[] = { NEW, STRICT, BATCH, ENGINE, RUN, FILTER, NEW };
	const unsigned n = sizeof(cycle) / sizeof(cycle[0]);
	unsigned average = total_ms / (n + 2) < ERA_MS_MAX ? (unsigned)(total_ms / (n + 2)) : ERA_MS_MAX;

	for (unsigned i = 0; (i < n || now_ns() < lane.end_ns) && S->violations == 0; i++)
		era(i < n ? cycle[i] : (enum kind)(random_number() % KINDS),
		    (unsigned)between(average / 2, average * 3 / 2));
}

static void run_lane(uint64_t total_ms)
{
	char *classic[] = { (char *)(uintptr_t)lane.program, "classic", lane.shared_file, NULL };
	pid_t sender, receiver, reader_of_new, reader_of_classic;
	char source[32];

	snprintf(source, sizeof(source), "nfqueue:%u", lane.queue);
	setenv("IPQ_SOURCE", source, 1);
	receiver = start(S->tcp ? tcp_receive : udp_receive);
	for (unsigned i = 0; i < 5000 && S->connections == 0; i++)
		usleep(1000);
	sender = start(S->tcp ? tcp_send : udp_send);
	reader_of_new = start(read_new);
	reader_of_classic = start_program(classic, NULL);
	run_eras(total_ms);
	quit_reader(reader_of_new, NEW, "reader (ipq.h)");
	quit_reader(reader_of_classic, STRICT, "reader (libipq.h)");
	S->ending = true;
	stop_program(sender, "the sender", 0);
	stop_program(receiver, "the receiver", 0);
	for (unsigned i = 0; i < 2; i++) {
		const char *protocol = i == 0 ? "Udp" : "Tcp";

		if (snmp(protocol, "InCsumErrors") > 0)
			violation("%s: %" PRIu64 " packets had a wrong checksum", protocol,
				  snmp(protocol, "InCsumErrors"));
	}
}

static int result(void)
{
	const struct totals *t = &S->total;

	if (!S->sees_table)
		printf("%s lane: the kernel's table of queues cannot be read here: what full queues lost is "
		       "not checked\n",
		       lane.lane);
	if (S->tcp) {
		printf("tcp lane: %s: %u eras, %" PRIu64 " MB sent and arrived, %" PRIu64
		       " packets handed out, %" PRIu64 " lost in overflow, %" PRIu64 " reloads\n",
		       S->violations ? "WRONG" : "ok", S->era, (uint64_t)S->bytes_arrived / 1000000,
		       t->handed, t->overflow, t->reloads);
	} else {
		histogram_print("latency", &S->prompt);
		histogram_print("held by the reader", &S->held);
		printf("udp lane: %s: %u eras, %" PRIu64 " sent (%" PRIu64 " MB) = %" PRIu64
		       " arrived + %" PRIu64 " dropped by verdict + %" PRIu64 " by overflow + %" PRIu64
		       " at %" PRIu64 " reloads + %" PRIu64 " by sockets\n",
		       S->violations ? "WRONG" : "ok", S->era, t->sent, (uint64_t)S->bytes_sent / 1000000,
		       t->arrived, t->dropped, t->overflow, t->reload_losses, t->reloads, t->socket_drops);
	}
	return S->violations > 0;
}

int main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc == 3 && strcmp(argv[1], "classic") == 0 && map_shared(argv[2]))
		return reader_main(&reader_classic,
				   getenv("SOAK_UNDER_RUN") ? READS_UNDER_RUN : READS_CLASSIC);
	if (argc != 5 || getenv("IPQ") == NULL || getenv("SOAK_RULES") == NULL) {
		fputs("usage: soak udp|tcp SECONDS SEED DIRECTORY, with IPQ and SOAK_RULES in the "
		      "environment\n",
		      stderr);
		return 2;
	}
	lane.program = argv[0];
	lane.lane = argv[1];
	lane.directory = argv[4];
	snprintf(lane.shared_file, sizeof(lane.shared_file), "%s/%s.shared", lane.directory, lane.lane);
	snprintf(lane.rules_file, sizeof(lane.rules_file), "%s/%s.rules", lane.directory, lane.lane);
	unlink(lane.shared_file); /* remove the file of an earlier run */
	if (!map_shared(lane.shared_file)) {
		perror(lane.shared_file);
		return 2;
	}
	S->seed = strtoull(argv[3], NULL, 0);
	S->tcp = strcmp(lane.lane, "tcp") == 0;
	lane.queue = S->tcp ? 30 : 20;
	lane.random = scramble(S->seed + S->tcp);
	lane.end_ns = now_ns() + strtoull(argv[2], NULL, 0) * UINT64_C(1000000000);
	for (unsigned i = 0; i < TABLE; i += 8) {
		uint64_t word = scramble(S->seed + i);

		memcpy(S->table + i, &word, sizeof(word));
	}
	run_lane(strtoull(argv[2], NULL, 0) * 1000);
	return result();
}
