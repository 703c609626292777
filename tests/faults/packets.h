/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Shared by the tests of this directory. A datagram to port 7000 (queued in OUTPUT, queue 0) carries a number. Even
 * numbers are accepted, odd numbers dropped. So if an odd number arrives, a verdict was wrong, whatever has failed.
 *
 * The same test uses each of the interfaces: `new` is <ipq.h>; `strict`, `batch` (IPQ_BATCH) and `engine`
 * (IPQ_SOURCE=engine:) are the classic calls.
 */
#ifndef PACKETS_H
#define PACKETS_H

#include <stdbool.h>
#include <stdint.h>
#include <ipq.h>
#include <libipq.h>

enum { NEW, STRICT, BATCH, ENGINE };
extern int api;

/* Call it first in main(): selects the interface that argv[1] names. If the environment must select it, executes the
 * program again. */
void choose_api(char **argv);

#define want(what) check(what, #what, __FILE__, __LINE__)
bool check(bool right, const char *what, const char *file, int line);
extern int failures;

/* Opens both ends of the traffic. */
void open_sockets(void);
/* Sends n datagrams with the numbers from first on. */
void say(unsigned first, unsigned n);
/* Receives until no datagram arrives for wait_ms. Returns how many arrived since the last call. Reports odd numbers and
 * duplicates. */
unsigned heard(int wait_ms);

struct reader {
	struct ipq_handle *h;
	struct ipq_queue *q;
	/* with <ipq.h>: the packets of the last receive; those from index `next` to `count` are unread */
	struct ipq_packet packet[8];
	int next, count;
	unsigned char buf[4096];
	unsigned refusals; /* number of messages about refused requests that were read */
};
struct seen {
	unsigned long id;
	unsigned number;
	struct ipq_packet packet;
};

/* Opens the queue. 0, or -errno with the reason as text. */
int reader_open(struct reader *r, const char **why);
/* Waits for a packet, at most timeout_ms (-1: forever). 1; 0: none arrived; -errno. */
int reader_next(struct reader *r, struct seen *s, int timeout_ms);
/* Gives a verdict. 0 or -errno. */
int reader_decide(struct reader *r, const struct seen *s, bool accept);
/* Decides a packet by its number: accepts even ones, drops odd ones. */
int reader_judge(struct reader *r, const struct seen *s);
/* Reads and decides packets until none arrives for wait_ms. Returns how many. */
unsigned reader_work(struct reader *r, int wait_ms);
/* Sends all verdicts now. */
void reader_flush(struct reader *r);
void reader_close(struct reader *r);
/* The number of packets so far that were lost, or dropped because the queue was full. */
uint64_t reader_losses(struct reader *r);

/* Waits until this queue has no owner, but at most 2 s. */
bool queue_is_free(void);
int64_t clock_ms(void);

#endif
