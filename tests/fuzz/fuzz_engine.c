/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Programs that send any bytes to the engine. After every step the engine must know exactly the packets that the source
 * has delivered: none lost, none invented, none decided twice. A program reads only valid messages in its own layout,
 * with the bytes of the packet.
 *
 * Input: one byte that selects the properties of the source, the engine and the third program, then steps: a byte that
 * selects the event and its target, a byte of length, and that many bytes as a request.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>
#include <sys/socket.h>
#include "ipqueue/state.h" /* the engine's internal state; must precede <linux/netfilter.h>, with which it conflicts */
#include <linux/netlink.h>
#include <linux/netfilter_ipv4/ip_queue.h>
#include "fake.h"
#include "packet_message.h"
#include "main.h"

#define CLIENTS 4
#define PACKETS 300

#define UNSETTLED_MAX 16 /* maximum number of requests in a row that the engine has not read */

enum { PATIENT = 1, REPEATS = 2, INCAPABLE = 4, ADOPT = 8, EARLY = 16 };
enum {
	PUSH_INET,
	PUSH_INET6,
	CLOSE,
	READ,
	SEND,
	LIMIT,
	TROUBLE,
	MORE = 8,
	LONG = 16,
	LATE = 32
}; /* 7 means SEND, too */

static int client[CLIENTS];
static unsigned unsettled, flags;

static enum wire_layout layout(unsigned i)
{
	return i < 2 ? WIRE_LP64 : WIRE_ILP32;
}

/*
 * Clients 0 and 1 are 64-bit programs with one family each, 2 and 3 are 32-bit programs; the port id of client 3 is
 * unknown.
 */
static void open_client(struct engine *e, unsigned i)
{
	bool capable = i != 2 || !(flags & INCAPABLE);
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0 ||
	    engine_add(e, pair[1], i % 2 == 0 ? AF_INET : AF_INET6, layout(i), i == 3 ? 0 : 7 + i, capable) <
		    0)
		abort();
	client[i] = pair[0];
}

/* Steps until there is nothing to do. False: the source refused even to drop a packet, so it has failed. */
static bool settle(struct engine *e, struct fake *f)
{
	struct pollfd p = { .fd = engine_fd(e), .events = POLLIN };
	struct engine_counters v4, v6;
	struct fake_verdict *v;
	unsigned i;
	int ret = 0;

	unsettled = 0;
	for (i = 0; ret == 0 && poll(&p, 1, 0) > 0; i++) {
		require(i < 1000);
		ret = engine_step(e, 0);
	}
	if (ret == -EINVAL)
		return false;
	require(ret == 0 || ret == -ENODATA);
	engine_counts(e, AF_INET, &v4);
	engine_counts(e, AF_INET6, &v6);
	require(fake_waiting(f) == v4.queue_length + v6.queue_length + e->held);
	require(f->refused == 0 || (flags & ADOPT));
	while ((v = fake_verdict(f)) != NULL)
		fake_verdict_free(v);
	return true;
}

/* Reads a message of program `who`: the engine must send whole messages, and nothing else. */
static void read_one(unsigned who)
{
	static uint8_t buf[70000];
	ssize_t n = recv(client[who], buf, sizeof(buf), MSG_DONTWAIT);
	struct wire_packet p;
	const uint8_t *payload;
	struct nlmsghdr nlh;
	size_t len;

	if (n <= 0) {
		require(n == 0 || errno == EAGAIN || errno == ECONNRESET);
		return;
	}
	require(n >= NLMSG_HDRLEN && n % 4 == 0);
	memcpy(&nlh, buf, sizeof(nlh));
	if (nlh.nlmsg_type == NLMSG_ERROR) {
		require(nlh.nlmsg_len <= (size_t)n && nlh.nlmsg_len >= NLMSG_HDRLEN + 4 + NLMSG_HDRLEN);
		return;
	}
	require(nlh.nlmsg_type == IPQM_PACKET && nlh.nlmsg_len == (size_t)n);
	require(get_packet(layout(who), buf, (size_t)n, &p, (const void **)&payload, &len));
	require(p.hook == 1 && p.hw_protocol == (who % 2 == 0 ? 0x0800 : 0x86dd) && p.packet_id > 0x20000000);
	for (size_t i = 0; i < len; i++)
		require(payload[i] == (uint8_t)i);
}

/* Events of the source, and actions of an administrator. */
static void trouble(struct engine *e, struct fake *f, unsigned what, size_t len)
{
	char proc[400];

	switch (what) {
	case 0:
		fake_end(f);
		break;
	case 1:
		f->send_error = len % 2 ? EINVAL : EINTR;
		break;
	case 2:
		f->configure_error = EPERM;
		break;
	default:
		require(engine_proc_text(e, len % 2 ? AF_INET : AF_INET6, proc, sizeof(proc)) <
			(int)sizeof(proc));
	}
}

/* Adds packets. Each is described by eight bytes, of which the first one selects its fields. */
static void push(struct fake *f, bool inet6, const uint8_t *request, size_t len)
{
	static uint8_t payload[8 * 255];
	struct ipq_packet p = { .family = inet6 ? AF_INET6 : AF_INET,
				.hook = 1,
				.hw_protocol = inet6 ? 0x86dd : 0x0800,
				.mark = 7,
				.timestamp = 1234567890123456789,
				.indev = fake_interface("eth0", 1),
				.hw_addr_len = 6 };
	uint8_t what = len > 0 ? request[0] : 0;

	if (f->next_id >= 0x20000001 + PACKETS)
		return;
	p.outdev = p.indev + (what & 32);
	if (what & 1)
		p.present = IPQ_HAS_MARK | IPQ_HAS_TIMESTAMP;
	if (what & 2)
		p.present |= IPQ_HAS_INDEV | IPQ_HAS_HWADDR;
	if (what & 4)
		p.present |= IPQ_HAS_OUTDEV;
	if (what & 64)
		p.family = 7; /* the bridge family, which no client has */
	for (size_t i = 0; i < sizeof(payload); i++)
		payload[i] = (uint8_t)i;
	fake_push(f, &p, payload, len * 8);
}

/* Sends a request. With LONG, zeros follow the request: a replacement may be longer than any packet. */
static void ask(int fd, bool long_one, const uint8_t *request, size_t len)
{
	static uint8_t buf[255 * 300];

	if (!long_one) {
		send(fd, request, len, MSG_DONTWAIT | MSG_NOSIGNAL);
		return;
	}
	memset(buf, 0, sizeof(buf));
	if (len > 0)
		memcpy(buf, request, len);
	send(fd, buf, len * 300, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* A request that is sent at the moment when the engine is about to receive packets. */
static struct late {
	unsigned who;
	bool long_one;
	const uint8_t *request;
	size_t len;
} late;

static void ask_late(void *context)
{
	(void)context;
	ask(client[late.who], late.long_one, late.request, late.len);
}

static bool step(struct engine *e, struct fake *f, uint8_t op, const uint8_t *request, size_t len)
{
	unsigned who = op >> 6;

	switch (op & 7) {
	case PUSH_INET:
	case PUSH_INET6:
		push(f, (op & 7) == PUSH_INET6, request, len);
		break;
	case CLOSE:
		close(client[who]);
		open_client(e, who);
		break;
	case READ:
		read_one(who);
		break;
	case LIMIT:
		engine_set_queue_max(e, who % 2 == 0 ? AF_INET : AF_INET6, (uint32_t)len);
		break;
	case TROUBLE:
		trouble(e, f, who, len);
		break;
	default:
		if (op & LATE) {
			late = (struct late){ who, op & LONG, request, len };
			f->meanwhile = ask_late;
			return true;
		}
		ask(client[who], op & LONG, request, len);
		/* the next request is sent before this one is read */
		if (op & MORE && ++unsettled < UNSETTLED_MAX)
			return true;
	}
	return settle(e, f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct engine_options options = { .log = NULL };
	struct fake *f;
	struct engine *e;
	bool works = true;
	size_t i, len;

	if (size < 1)
		return 0;
	flags = data[0];
	f = fake_new(true);
	f->closed_is_freed = true;
	f->lossless = flags & PATIENT;
	f->repeats = flags & REPEATS;
	options.adopt = flags & ADOPT;
	options.early = flags & EARLY;
	require(engine_open(&e, fake_source(f), &options, NULL) == 0);
	engine_set_queue_max(e, AF_INET, 20);
	engine_set_queue_max(e, AF_INET6, 20);
	for (i = 0; i < CLIENTS; i++)
		open_client(e, (unsigned)i);
	for (i = 1; works && i + 2 <= size; i += 2 + len) {
		len = data[i + 1] < size - i - 2 ? data[i + 1] : size - i - 2;
		works = step(e, f, data[i], data + i + 2, len);
	}
	for (i = 0; i < CLIENTS; i++)
		close(client[i]);
	if (works && settle(e, f))
		require(fake_waiting(f) == e->held); /* no packet of a client that has ended is left */
	engine_close(e);
	return 0;
}
