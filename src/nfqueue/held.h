/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Sockets of queues that another process holds open while programs come and go: `ipq keep`, or a service
 * manager. The environment lists them as sd_listen_fds(3) does: LISTEN_FDS descriptors from 3 on, whose names
 * in LISTEN_FDNAMES are "ipq-queue-NUMBER". LISTEN_PID must be this process, unless IPQ_KEEP is set, to the minimum
 * length of the queues: then the program may have been started through a shell.
 */
#ifndef NFQUEUE_HELD_H
#define NFQUEUE_HELD_H

#include <stdbool.h>
#include <stdint.h>

#define HELD_QUEUE "ipq-queue-"
/* The name of a SOCK_SEQPACKET connection to a keeper. The program sends a queue number (uint32_t) before it
 * takes the queue, and waits for an answer of one byte: until then its predecessor may still use the queue. */
#define HELD_KEEPER "ipq-keeper"

/* A duplicate of the queue's socket, which belongs to the caller until held_close(). -ENOENT: none, or in use. */
int held_open(uint16_t number);
void held_close(uint16_t number);

/* Whether this process has inherited the socket of the queue. */
bool held_has(uint16_t number);

/* While no program runs, packets wait: the queue keeps at least this length, and the socket its buffer. 0: none. */
uint32_t held_length(void);

/* Waits until the predecessor no longer uses the queue. */
void held_await_turn(uint16_t number);

#endif
