/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * faults new|classic|classic6 live|capture
 *
 * A short program that decides packets runs again and again. In each run another allocation, descriptor, thread,
 * send, receive or wait fails: first once, then permanently. Each packet contains a digit. The program accepts even
 * digits and drops odd ones. So if an odd digit arrives, a verdict was wrong, whatever has failed. A call that
 * fails must report the reason. After a single failure, later packets must be decided normally.
 *
 * live: datagrams over loopback, UDP port 7000 goes to queue 0 (faults.sh). capture: a file.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netfilter.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <ipq.h>
#include <libipq.h>
#include "../exec_again.h"
#include "fail.h"

#define IN_FD 50 /* descriptors of capture files, which IPQ_SOURCE names by these numbers */
#define OUT_FD 51
#define CAPTURE "pcap:/proc/self/fd/50,/proc/self/fd/51"
#define DIGIT 28 /* offset of the text in a packet */
#define SITES_MAX 400

/*
 * The packets come in batches of four. If the first batch were forgotten, a verdict for all packets up to the third
 * of the second batch would also accept the first batch.
 */
#define DIGITS "013588024"
#define MORE_DIGITS "76" /* digits that are sent when no call fails any more */

static bool live, both;
static bool told; /* the program received an error of the queue */
static int rx, tx, failures;
static char heard[64];
static char context[160];

static void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void complain(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	printf("%s: ", context);
	vprintf(format, args);
	putchar('\n');
	va_end(args);
	failures++;
}

/* ---- traffic ------------------------------------------------------------------------------------------ */

static void open_sockets(void)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_port = htons(7000),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

	rx = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	tx = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (bind(rx, (struct sockaddr *)&to, sizeof(to)) < 0 ||
	    connect(tx, (struct sockaddr *)&to, sizeof(to)) < 0)
		abort();
}

static void say(const char *digits)
{
	for (; live && *digits != '\0'; digits++)
		if (write(tx, digits, 1) != 1)
			abort();
}

static void put32(uint32_t v)
{
	if (write(IN_FD, &v, sizeof(v)) != sizeof(v))
		abort();
}

/* Writes a capture file of raw IPv4, with a packet for each digit. */
static void write_capture(const char *digits)
{
	uint8_t packet[29] = { 0x45, 0, 0, 29,	0, 0, 0, 0, 64, 17, 0, 0, 127,
			       0,    0, 1, 127, 0, 0, 1, 1, 1,	1,  2, 0, 9 };
	uint32_t version;

	if (memfd_create("in", 0) < 0 || dup2(memfd_create("in", 0), IN_FD) < 0 ||
	    dup2(memfd_create("out", 0), OUT_FD) < 0)
		abort();
	put32(0xa1b2c3d4);
	memcpy(&version, (uint16_t[]){ 2, 4 }, 4);
	put32(version);
	put32(0);
	put32(0);
	put32(65535);
	put32(101); /* link type 101: LINKTYPE_RAW */
	for (; *digits != '\0'; digits++) {
		packet[DIGIT] = (uint8_t)*digits;
		put32(1);
		put32(0);
		put32(sizeof(packet));
		put32(sizeof(packet));
		if (write(IN_FD, packet, sizeof(packet)) != sizeof(packet))
			abort();
	}
}

/* Adds the digits that have arrived to `heard`. */
static void listen_to_it(void)
{
	size_t n = strlen(heard);
	char text[40];
	ssize_t len;

	if (live) {
		while ((len = read(rx, text, sizeof(text))) > 0 && n + 1 < sizeof(heard))
			heard[n++] = text[0];
		heard[n] = '\0';
		return;
	}
	/* Reads the whole output file. Each record has a header of 16 bytes and a packet of 29 bytes. */
	for (n = 0; pread(OUT_FD, text, 29, (off_t)(24 + 45 * n + 16)) == 29 && n + 1 < sizeof(heard); n++)
		heard[n] = text[DIGIT];
	heard[n] = '\0';
}

static void look_for_wrong_verdicts(void)
{
	const char *p;

	listen_to_it();
	for (p = heard; *p != '\0'; p++)
		if (*p < '0' || *p > '9' || (*p - '0') % 2 != 0)
			complain("wrong verdict: «%c» arrived", *p);
}

/* ---- the new API --------------------------------------------------------------------------------------- */

static void said_why(int err, const char *text)
{
	if (err == 0 || err < -4095)
		complain("an error of %d", err);
	if (*text == '\0')
		complain("error %d without words", err);
}

static void decide(struct ipq_queue *q, const struct ipq_packet *p, struct ipq_packet **kept)
{
	char digit = p->present & IPQ_HAS_PAYLOAD && p->payload_len > DIGIT ? (char)p->payload[DIGIT] : '?';
	int err, tries;

	for (tries = 0; tries < 5; tries++) {
		if (digit == '2' && *kept == NULL) {
			*kept = ipq_packet_keep(p);
			if (*kept != NULL)
				return;
		}
		if (digit == '4')
			err = ipq_replace(q, p, p->payload, p->payload_len);
		else
			err = (digit - '0') % 2 == 0 ? ipq_accept(q, p) : ipq_drop(q, p);
		/* the verdict was recorded, although the flush that it caused has failed */
		if (err == 0 || err == -ENOENT)
			return;
		said_why(err, ipq_queue_error(q));
	}
}

/* Works until no packet has arrived for a moment. */
static void work_new(struct ipq_queue *q)
{
	struct ipq_packet p[4], *kept = NULL;
	int n, i, errors = 0;

	while (errors < 20) {
		n = ipq_queue_recv(q, p, 4, 20);
		if (n == 0 || n == -ENODATA)
			break;
		if (n < 0) {
			said_why(n, ipq_queue_error(q));
			errors++;
		}
		for (i = 0; i < n; i++)
			decide(q, &p[i], &kept);
	}
	if (kept != NULL) {
		ipq_accept(q, kept);
		ipq_packet_free(kept);
	}
	for (i = 0; i < 20 && ipq_queue_flush(q) < 0; i++)
		said_why(-1, ipq_queue_error(q));
}

/* Runs the program with <ipq.h>. True if the queue could be opened. */
static bool life_new(enum fail_kind kind, unsigned long site, bool lasting, int error, bool *hit)
{
	char text[320] = "";
	struct ipq_options o = {
		.size = sizeof(o), .error = text, .error_size = sizeof(text), .receive_buffer = 1 << 20
	};
	struct ipq_stats s = { .size = sizeof(s) };
	struct ipq_queue *q = NULL;
	int err;

	fail_arm(kind, site, lasting, error);
	err = ipq_queue_open(&q, live ? "nfqueue:0" : CAPTURE, &o);
	if (err < 0) {
		*hit = fail_disarm();
		said_why(err, text);
		if (q != NULL)
			complain("a queue that is none");
		return false;
	}
	say(DIGITS);
	work_new(q);
	look_for_wrong_verdicts();
	*hit = fail_disarm();
	say(MORE_DIGITS);
	work_new(q);
	ipq_queue_stats(q, &s);
	if (live && s.received != s.accepted + s.dropped + s.other + s.waiting)
		complain("received %ju, accepted %ju, dropped %ju, waiting %ju", (uintmax_t)s.received,
			 (uintmax_t)s.accepted, (uintmax_t)s.dropped, (uintmax_t)s.waiting);
	ipq_queue_close(q);
	return true;
}

/* ---- the classic API ------------------------------------------------------------------------------------
 */

static void work_classic(struct ipq_handle *h)
{
	unsigned char buf[4096];
	int errors = 0, tries;
	ssize_t n;

	while (errors < 20) {
		n = ipq_read(h, buf, sizeof(buf), 30000);
		if (n == 0 && errno != EINTR)
			break;
		if (n <= 0) {
			if (n < 0 && *ipq_errstr() == '\0')
				complain("no words");
			told |= n < 0;
			errors++;
			continue;
		}
		if (ipq_message_type(buf) != IPQM_PACKET) {
			told |= ipq_get_msgerr(buf) != 0;
			continue;
		}
		ipq_packet_msg_t *m = ipq_get_packet(buf);
		unsigned verdict = m->data_len > DIGIT && m->payload[DIGIT] % 2 == 0 ? NF_ACCEPT : NF_DROP;

		for (tries = 0; tries < 5 && ipq_set_verdict(h, m->packet_id, verdict, 0, NULL) < 0;
		     tries++) {
			told = true;
			if (*ipq_errstr() == '\0')
				complain("no words");
		}
	}
}

/*
 * Decides packets until the digit arrives, or for a second: on a busy machine, a pause without packets does not
 * mean that no more packets follow.
 */
static void work_classic_until(struct ipq_handle *h, char digit)
{
	int pauses;

	for (pauses = 0; pauses < 32; pauses++) {
		work_classic(h);
		listen_to_it();
		if (!live || strchr(heard, digit) != NULL)
			return;
	}
}

static bool life_classic(enum fail_kind kind, unsigned long site, bool lasting, int error, bool *hit)
{
	struct ipq_handle *h, *six = NULL;
	bool ready;

	fail_arm(kind, site, lasting, error);
	h = ipq_create_handle(0, PF_INET);
	ready = h != NULL && ipq_set_mode(h, IPQ_COPY_PACKET, 0) > 0;
	if (ready && both) {
		say("1");
		six = ipq_create_handle(0, PF_INET6);
		if (six != NULL && ipq_set_mode(six, IPQ_COPY_PACKET, 0) < 0)
			told = true;
	}
	if (!ready) {
		*hit = fail_disarm();
		if (*ipq_errstr() == '\0')
			complain("no words");
		ipq_destroy_handle(h);
		return false;
	}
	say(DIGITS);
	work_classic(h);
	look_for_wrong_verdicts();
	*hit = fail_disarm();
	say(MORE_DIGITS);
	work_classic_until(h, MORE_DIGITS[1]);
	ipq_destroy_handle(six);
	ipq_destroy_handle(h);
	return true;
}

/* ---- the runs ----------------------------------------------------------------------------------------- */

static bool (*life)(enum fail_kind kind, unsigned long site, bool lasting, int error, bool *hit);

static bool contains(const char *all, const char *digits)
{
	for (; *digits != '\0'; digits++)
		if (strchr(all, *digits) == NULL)
			return false;
	return true;
}

static unsigned descriptors(void)
{
	unsigned n = 0;
	int fd;

	for (fd = 0; fd < 100; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* Runs the program once. False: it made fewer calls, so no call failed. */
static bool one_life(enum fail_kind kind, unsigned long site, bool lasting, int error)
{
	unsigned before;
	bool hit = false, worked;

	told = false;

	if (!live && ftruncate(OUT_FD, 0) < 0)
		abort();
	listen_to_it();
	memset(heard, 0, sizeof(heard));
	before = descriptors();
	worked = life(kind, site, lasting, error, &hit);
	look_for_wrong_verdicts();
	if (!hit && !(worked && contains(heard, live ? "02468" : "0248")))
		complain("nothing failed, but «%s» arrived", heard);
	if (live && hit && !lasting && worked && !told && strchr(heard, '6') == NULL)
		complain("the queue never recovered: «%s»", heard);
	if (descriptors() != before)
		complain("%u descriptors were open, %u are now", before, descriptors());
	return hit;
}

static void every_site(const char *what, enum fail_kind kind, int error)
{
	unsigned long site, last = 0;
	int lasting;

	for (lasting = 0; lasting <= (kind == FAIL_RESOURCES); lasting++) {
		for (site = 1; site <= SITES_MAX; site++) {
			snprintf(context, sizeof(context), "%s %lu%s (%s)", what, site,
				 lasting ? " and all after it" : "", strerror(error));
			if (!one_life(kind, site, lasting, error))
				break;
			last = site;
		}
		if (site > SITES_MAX)
			complain("no end");
	}
	printf("%s (%s): %lu sites\n", what, strerror(error), last);
	if (last == 0)
		complain("nothing was made to fail");
	fflush(stdout);
}

int main(int argc, char **argv)
{
	if (argc != 3)
		return 2;
	live = strcmp(argv[2], "live") == 0;
	both = strcmp(argv[1], "classic6") == 0;
	life = strcmp(argv[1], "new") == 0 ? life_new : life_classic;
	if (!live && fcntl(IN_FD, F_GETFD) < 0) {
		/* The classic API reads its source's name when the program starts. */
		write_capture(DIGITS);
		setenv("IPQ_SOURCE", CAPTURE, 1);
		exec_again(argv[0], argv);
		return 2;
	}
	if (live)
		open_sockets();
	every_site("resource", FAIL_RESOURCES, ENOMEM);
	if (live || life == life_classic) {
		every_site("receive", FAIL_RECEIVES, EINTR);
		every_site("send", FAIL_SENDS, EINTR);
	}
	if (life == life_classic)
		every_site("wait", FAIL_WAITS, EINTR);
	if (live) {
		every_site("receive", FAIL_RECEIVES, ENOBUFS);
		every_site("send", FAIL_SENDS, ENOBUFS);
	}
	return failures != 0;
}
