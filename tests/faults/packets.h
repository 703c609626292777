/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the tests of faults share. A datagram to port 7000 (queued in OUTPUT, queue 0) carries a number. Even
 * ones are accepted, odd ones dropped: an odd one that arrives is a wrong verdict, whatever went wrong.
 *
 * The same test reads by each of the interfaces: `new` is <ipq.h>; `strict`, `batch` (IPQ_BATCH) and `engine`
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

/* First thing in main(): which interface argv[1] names. Starts the program again where the environment
 * decides. */
void choose_api(char **argv);

#define want(what) check(what, #what, __FILE__, __LINE__)
bool check(bool right, const char *what, const char *file, int line);
extern int failures;

/* Both ends of the traffic. */
void open_sockets(void);
/* Datagrams with the numbers from first on. */
void say(unsigned first, unsigned n);
/* How many have arrived since the last call, until none comes for wait_ms. Complains of odd ones and doubles.
 */
unsigned heard(int wait_ms);

struct reader {
	struct ipq_handle *h;
	struct ipq_queue *q;
	struct ipq_packet packet[8]; /* of the new interface, from next to count */
	int next, count;
	unsigned char buf[4096];
	unsigned refusals; /* messages of refused requests, read on the way */
};
struct seen {
	unsigned long id;
	unsigned number;
	struct ipq_packet packet;
};

/* 0, or -errno with the reason in words. */
int reader_open(struct reader *r, const char **why);
/* Waits at most timeout_ms (-1: forever) for a packet. 1; 0: none arrived; -errno. */
int reader_next(struct reader *r, struct seen *s, int timeout_ms);
/* 0, -errno. */
int reader_decide(struct reader *r, const struct seen *s, bool accept);
/* By its number. */
int reader_judge(struct reader *r, const struct seen *s);
/* Reads and judges until nothing comes for wait_ms: how many. */
unsigned reader_work(struct reader *r, int wait_ms);
/* Verdicts leave now. */
void reader_flush(struct reader *r);
void reader_close(struct reader *r);
/* lost and dropped by the queue's length, so far. */
uint64_t reader_losses(struct reader *r);

/* Until this queue has no owner, for 2 s at most. */
bool queue_is_free(void);
int64_t clock_ms(void);

#endif
