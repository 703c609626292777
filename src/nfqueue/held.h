/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Sockets of queues that another process holds open while programs come and go: `ipq keep`, or a service manager.
 * The environment lists them as sd_listen_fds(3) does: LISTEN_FDS descriptors from 3 on, whose names in
 * LISTEN_FDNAMES are "ipq-queue-NUMBER". LISTEN_PID must be this process. `ipq keep` sets IPQ_KEEP to the minimum
 * length of the queues. Then LISTEN_PID is not checked, because the program may have been started through a shell.
 * A keeper also holds a socket for the spare queues of each queue (recover.c), "ipq-spare-NUMBER".
 */
#ifndef NFQUEUE_HELD_H
#define NFQUEUE_HELD_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Maximum length of a queue. Linux 6.18 holds no more packets. If the limit is higher, it gives ids even to packets
 * that it then drops: then the ids would not show whether a program decides packets.
 */
#define HELD_LENGTH_MAX 65536

#define HELD_QUEUE "ipq-queue-"
#define HELD_SPARE "ipq-spare-"
/* The name of a SOCK_SEQPACKET connection to a keeper, to which the program sends notices. */
#define HELD_KEEPER "ipq-keeper"

/* The settings that determine how the kernel queues packets and writes their messages. */
struct held_config {
	uint32_t mode, range, flags, length;
};

enum held_event {
	/*
	 * Sent before the program takes over a queue. The keeper answers when the predecessor no longer uses the
	 * queue. Answer 1: all messages in the socket were written with this configuration; otherwise 0.
	 */
	HELD_TAKES,
	HELD_CONFIGURED, /* from now on all messages are written with this configuration */
	HELD_CHANGES	 /* messages will be written with another configuration; the keeper answers */
};

struct held_notice {
	uint32_t event, queue;
	struct held_config config;
};

/*
 * Returns a duplicate of the queue's socket, which belongs to the caller until held_close(). -ENOENT: there is
 * none, or it is in use.
 */
int held_open(uint16_t number);
void held_close(uint16_t number);

/* Returns a duplicate of the socket for the queue's spare queues; -1: none. */
int held_open_spare(uint16_t number);

/* Whether this process has inherited the socket of the queue. */
bool held_has(uint16_t number);

/*
 * The minimum length of the queues. Packets wait in them while no program runs, so the receive buffers of their
 * sockets are not changed. 0: none.
 */
uint32_t held_length(void);

/*
 * Sends a notice to the keeper and, for some notices, waits for the answer (see HELD_TAKES). Returns the answer; 0:
 * the keeper has ended, or there is none; -EPIPE: the keeper has ended, and the old version of this program still
 * has the queue.
 */
int held_notify(enum held_event event, uint16_t number, const struct held_config *config);

#endif
