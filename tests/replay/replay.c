// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 *	replay SCRIPT [at-once]
 *
 * Plays one script of data/ against the engine: the requests that a program sent to the kernel's ip_queue are sent
 * to the engine, whose answers must equal those of the kernel, byte for byte. Only packet ids differ: the engine's
 * ids replace the recorded ids before a request is sent and before an answer is compared. at-once: the engine
 * serves each request in a function call, not through the socket. README.md describes the scripts and their origin.
 */
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <linux/netfilter.h>
#include <sys/socket.h>
#include "ipqueue/engine.h"
#include "fake.h"

#define MESSAGE_ROOM 140000
#define HANDLES 16

struct handle {
	char key[16];
	int fd; /* descriptor of the program's end */
	uint32_t client;
};

struct id {
	uint64_t recorded;
	uint32_t ours;
};

struct accepted {
	uint8_t *payload;
	size_t len;
	struct accepted *next;
};

struct play {
	const char *path;
	unsigned line;
	bool at_once; /* the engine serves requests in a function call, not through the socket */
	struct fake *fake;
	struct engine *engine;
	enum wire_layout layout;
	struct handle handle[HANDLES];
	struct id id[4096];
	unsigned ids;
	uint32_t last_code;	   /* values of the last verdict */
	struct accepted *accepted; /* packets that were accepted and not delivered yet, the oldest first */
};

__attribute__((noreturn, format(printf, 2, 3))) static void die(const struct play *p, const char *format, ...)
{
	va_list args;

	fprintf(stderr, "%s:%u: ", p->path, p->line);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(1);
}

/* ---- bytes ------------------------------------------------------------------------------------ */

/* Parses hexadecimal bytes; *COUNT means a run of zeros. */
static size_t bytes(const struct play *p, unsigned char *buf, const char *text)
{
	size_t n = 0, zeros;
	unsigned byte;
	int used;

	if (strcmp(text, "-") == 0)
		return 0;
	while (*text != 0) {
		if (*text == '*') {
			if (sscanf(text, "*%zu*%n", &zeros, &used) != 1 || zeros > MESSAGE_ROOM - n)
				die(p, "bad run of zeros");
			memset(buf + n, 0, zeros);
			n += zeros;
		} else {
			if (n == MESSAGE_ROOM || sscanf(text, "%2x%n", &byte, &used) != 1 || used != 2)
				die(p, "bad hexadecimal");
			buf[n++] = (unsigned char)byte;
		}
		text += used;
	}
	return n;
}

static void show(const char *what, const unsigned char *data, size_t len)
{
	size_t i;

	fprintf(stderr, "  %-9s%zu bytes:", what, len);
	for (i = 0; i < len && i < 160; i++)
		fprintf(stderr, "%s%02x", i % 4 == 0 ? " " : "", data[i]);
	fprintf(stderr, "%s\n", i < len ? " ..." : "");
}

/* ---- packet ids ------------------------------------------------------------------------------- */

static size_t id_at(const struct play *p)
{
	return p->layout == WIRE_LP64 ? 24 : 20;
}

static uint64_t get_id(const struct play *p, const unsigned char *at)
{
	uint64_t id = 0;

	memcpy(&id, at, p->layout == WIRE_LP64 ? 8 : 4);
	return id;
}

static void put_id(const struct play *p, unsigned char *at, uint64_t id)
{
	memcpy(at, &id, p->layout == WIRE_LP64 ? 8 : 4);
}

/* Replaces a recorded id by the id of the newest packet that had it. An unknown id does not change. */
static void translate(const struct play *p, unsigned char *at)
{
	uint64_t recorded = get_id(p, at);
	unsigned i;

	for (i = p->ids; i > 0; i--)
		if (p->id[i - 1].recorded == recorded) {
			put_id(p, at, p->id[i - 1].ours);
			return;
		}
}

/* Replaces the recorded id in the verdict at `message` in the same way. */
static void translate_verdict(const struct play *p, unsigned char *message, size_t len)
{
	uint16_t type;

	if (len < WIRE_NLHDR)
		return;
	memcpy(&type, message + 4, sizeof(type));
	if (type == 0x12 && len >= wire_request_head(p->layout))
		translate(p, message + id_at(p));
}

/* ---- the engine ------------------------------------------------------------------------------- */

static void take_verdicts(struct play *p)
{
	struct fake_verdict *v;

	while ((v = fake_verdict(p->fake)) != NULL) {
		struct accepted **end = &p->accepted, *a;

		p->last_code = v->code;
		if (v->code == NF_ACCEPT || v->code == NF_STOP) {
			a = calloc(1, sizeof(*a));
			if (a == NULL)
				abort();
			a->payload = v->payload;
			a->len = v->payload_len;
			v->payload = NULL;
			while (*end != NULL)
				end = &(*end)->next;
			*end = a;
		}
		fake_verdict_free(v);
	}
}

/* Steps the engine until there is nothing left to do. */
static void settle(struct play *p)
{
	struct pollfd poll_fd = { .fd = engine_fd(p->engine), .events = POLLIN };
	unsigned i;
	int ret;

	for (i = 0; i < 10000 && poll(&poll_fd, 1, 0) > 0; i++) {
		ret = engine_step(p->engine, 0);
		if (ret < 0)
			die(p, "engine_step: %s", strerror(-ret));
	}
	if (i == 10000)
		die(p, "the engine never comes to rest");
	take_verdicts(p);
}

static struct handle *handle(struct play *p, const char *key)
{
	unsigned i;

	for (i = 0; i < HANDLES; i++)
		if (strcmp(p->handle[i].key, key) == 0)
			return &p->handle[i];
	die(p, "no handle \"%s\"", key);
}

/* ---- the script's words ----------------------------------------------------------------------- */

static void do_open(struct play *p, char *args)
{
	struct handle *h = handle(p, "");
	int family, capable, pair[2], ret;
	unsigned pid;

	if (sscanf(args, "%15s %d %u %d", h->key, &family, &pid, &capable) != 4)
		die(p, "bad open");
	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) < 0)
		die(p, "socketpair: %s", strerror(errno));
	h->fd = pair[0];
	ret = engine_add(p->engine, pair[1], family == 4 ? AF_INET : AF_INET6, p->layout, pid, capable != 0);
	if (ret < 0)
		die(p, "engine_add: %s", strerror(-ret));
	h->client = (uint32_t)ret;
}

static void do_close(struct play *p, char *args)
{
	struct handle *h = handle(p, args);

	close(h->fd);
	h->key[0] = 0;
	settle(p);
}

static void do_send(struct play *p, char *args)
{
	static unsigned char buf[MESSAGE_ROOM];
	char *hex = strchr(args, ' ');
	const struct handle *h;
	size_t len;

	*hex++ = 0;
	len = bytes(p, buf, hex);
	translate_verdict(p, buf, len);
	h = handle(p, args);
	if (p->at_once) {
		if (engine_request(p->engine, h->client, &(struct iovec){ buf, len }, 1) < 0)
			die(p, "engine_request: no such client");
	} else if (send(h->fd, buf, len, 0) != (ssize_t)len) {
		die(p, "send: %s", strerror(errno));
	}
	settle(p);
}

/* header: the kernel quoted only the header of a refused request. */
static void do_recv(struct play *p, char *args, bool header)
{
	static unsigned char buf[MESSAGE_ROOM], expected[MESSAGE_ROOM];
	static const uint32_t quoted_header = 36;
	char *hex = strchr(args, ' ');
	size_t want;
	ssize_t len;
	uint16_t type;

	*hex++ = 0;
	want = bytes(p, expected, hex);
	settle(p);
	len = recv(handle(p, args)->fd, buf, sizeof(buf), MSG_DONTWAIT);
	if (len < 0)
		die(p, "nothing came: %s", strerror(errno));
	memcpy(&type, expected + 4, sizeof(type));
	if (type == 0x13 && len >= 32) { /* a packet: from now on, its recorded id means this packet's id */
		if (p->ids == sizeof(p->id) / sizeof(p->id[0]))
			die(p, "too many packets");
		p->id[p->ids++] = (struct id){ get_id(p, expected + WIRE_NLHDR),
					       (uint32_t)get_id(p, buf + WIRE_NLHDR) };
		translate(p, expected + WIRE_NLHDR);
	} else if (type == 2) {
		translate_verdict(p, expected + 20, want - 20);
	}
	if (header && len > (ssize_t)quoted_header) {
		len = (ssize_t)quoted_header;
		memcpy(buf, &quoted_header, sizeof(quoted_header));
	}
	if ((size_t)len == want && memcmp(buf, expected, want) == 0)
		return;
	show("expected", expected, want);
	show("came", buf, (size_t)len);
	die(p, "not what the kernel answered");
}

static void do_quiet(struct play *p, char *args)
{
	unsigned char buf[256];
	ssize_t len;

	settle(p);
	len = recv(handle(p, args)->fd, buf, sizeof(buf), MSG_DONTWAIT | MSG_TRUNC);
	if (len < 0 && errno == EAGAIN)
		return;
	show("came", buf, len > 256 ? 256 : (size_t)(len < 0 ? 0 : len));
	die(p, "the kernel sent nothing here");
}

static void do_packet(struct play *p, char *args)
{
	static unsigned char payload[MESSAGE_ROOM];
	static char hex[2 * MESSAGE_ROOM];
	struct ipq_packet packet = { 0 };
	char indev[32], outdev[32], address[32];
	unsigned family, hook, protocol, type;
	long long sec, usec;

	if (sscanf(args, "%u %u %31s %31s %x %u %31s %x %lld %lld %279999s", &family, &hook, indev, outdev,
		   &protocol, &type, address, &packet.mark, &sec, &usec, hex) != 11)
		die(p, "bad packet");
	packet.family = family == 4 ? AF_INET : AF_INET6;
	packet.hook = (uint8_t)hook;
	packet.hw_protocol = (uint16_t)protocol;
	packet.timestamp = sec * 1000000000 + usec * 1000;
	packet.indev = strcmp(indev, "-") == 0 ? 0 : fake_interface(indev, (uint16_t)type);
	packet.outdev = strcmp(outdev, "-") == 0 ? 0 : fake_interface(outdev, 0);
	packet.hw_addr_len = (uint8_t)bytes(p, packet.hw_addr, address);
	packet.present = (packet.mark != 0 ? IPQ_HAS_MARK : 0u) | (sec != 0 ? IPQ_HAS_TIMESTAMP : 0u) |
			 (packet.indev != 0 ? IPQ_HAS_INDEV : 0u) |
			 (packet.outdev != 0 ? IPQ_HAS_OUTDEV : 0u) |
			 (packet.hw_addr_len != 0 ? IPQ_HAS_HWADDR : 0u);
	fake_push(p->fake, &packet, payload, bytes(p, payload, hex));
	settle(p);
}

static void do_again(struct play *p, char *args)
{
	if (p->last_code != (uint32_t)atoi(args))
		die(p, "the source got verdict %u", p->last_code);
}

static void forget_accepted(struct play *p)
{
	struct accepted *a = p->accepted;

	p->accepted = a->next;
	free(a->payload);
	free(a);
}

/*
 * A datagram that the receiver got must be one of the accepted packets. The accepted packets before it did not
 * reach the receiver (another queue rule, another receiver, or a wrong checksum computed by the program).
 */
static void do_delivered(struct play *p, char *args)
{
	static unsigned char payload[MESSAGE_ROOM];
	char *hex = strchr(args, ' ');
	size_t len = strtoul(args, NULL, 10), known = bytes(p, payload, hex + 1), head;
	bool match = false;

	while (!match && p->accepted != NULL) {
		const struct accepted *a = p->accepted;

		head = a->payload[0] >> 4 == 6 || (a->payload[0] == 0 && a->len == len + 48) ? 48 : 28;
		match = a->len == len + head && memcmp(a->payload + head, payload, known) == 0;
		forget_accepted(p);
	}
	if (!match)
		die(p, "no such packet was let go");
}

static void do_undelivered(struct play *p, char *args)
{
	(void)args;
	if (p->accepted != NULL)
		die(p, "a packet was let go that the kernel kept");
}

static void do_proc(struct play *p, char *args)
{
	char text[512], expected[512];
	size_t n = 0;
	char *c;

	for (c = args + 2; *c != 0 && n < sizeof(expected) - 1; c++)
		if (c[0] == '\\' && c[1] == 'n') {
			expected[n++] = '\n';
			c++;
		} else {
			expected[n++] = *c;
		}
	expected[n] = 0;
	settle(p);
	engine_proc_text(p->engine, args[0] == '6' ? AF_INET6 : AF_INET, text, sizeof(text));
	if (strcmp(text, expected) != 0)
		die(p, "the kernel showed\n%sand here it is\n%s", expected, text);
}

static void do_maxlen(struct play *p, char *args)
{
	unsigned family, max;

	if (sscanf(args, "%u %u", &family, &max) != 2)
		die(p, "bad maxlen");
	engine_set_queue_max(p->engine, family == 4 ? AF_INET : AF_INET6, max);
}

static void do_down(struct play *p, char *args)
{
	unsigned type;

	/* incoming and outgoing packets may have different hardware types */
	for (type = 0; type < 1024; type++)
		if (type == 0 || type == 1 || type == 772)
			fake_forget(p->fake, fake_interface(args, (uint16_t)type));
}

static void do_recv_whole(struct play *p, char *args)
{
	do_recv(p, args, false);
}

static void do_recv_header(struct play *p, char *args)
{
	do_recv(p, args, true);
}

static void play_line(struct play *p, char *line)
{
	static const struct {
		const char *word;
		void (*run)(struct play *p, char *args);
	} words[] = {
		{ "open ", do_open },		{ "close ", do_close },
		{ "send ", do_send },		{ "recv ", do_recv_whole },
		{ "header ", do_recv_header },	{ "quiet ", do_quiet },
		{ "packet ", do_packet },	{ "again ", do_again },
		{ "delivered ", do_delivered }, { "undelivered", do_undelivered },
		{ "proc ", do_proc },		{ "maxlen ", do_maxlen },
		{ "down ", do_down },
	};
	size_t i;

	if (line[0] == '#')
		return;
	for (i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strncmp(line, words[i].word, strlen(words[i].word)) == 0) {
			words[i].run(p, line + strlen(words[i].word));
			return;
		}
	die(p, "unknown line \"%.20s\"", line);
}

int main(int argc, char **argv)
{
	static struct play p;
	static const uint16_t one = 1;
	char *line = NULL;
	size_t room = 0;
	ssize_t len;
	FILE *f;

	if (*(const unsigned char *)&one != 1)
		return 77; /* the recordings are little-endian */
	p.at_once = argc > 2;
	p.path = argc > 1 ? argv[1] : "";
	f = fopen(p.path, "r");
	p.fake = fake_new(true);
	p.fake->closed_is_freed = true;
	if (f == NULL || engine_open(&p.engine, fake_source(p.fake), NULL, NULL) < 0)
		die(&p, "cannot start: %s", strerror(errno));
	while ((len = getline(&line, &room, f)) > 0) {
		p.line++;
		line[len - 1] = 0;
		if (p.line == 1)
			p.layout = strcmp(line, "bits 32") == 0 ? WIRE_ILP32 : WIRE_LP64;
		else
			play_line(&p, line);
	}
	while (p.accepted != NULL)
		forget_accepted(&p);
	engine_close(p.engine);
	fclose(f);
	free(line);
	printf("%s: %u lines\n", p.path, p.line);
	return p.line > 1 ? 0 : 1;
}
