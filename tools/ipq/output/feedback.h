/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Recognises connections of other programs that carry our output, such as the connection of nc in `ipq watch | nc
 * HOST PORT`. A packet that begins with a line of our output belongs to such a connection. Output that is encrypted
 * in transit is not recognised.
 */
#ifndef IPQ_OUTPUT_FEEDBACK_H
#define IPQ_OUTPUT_FEEDBACK_H

#include <stddef.h>
#include <ipq.h>

struct feedback;

/* Creates the state. NULL: no memory. */
struct feedback *feedback_new(void);
void feedback_free(struct feedback *f);

/* Call it before these bytes are written. They must begin with a new line. Only one thread may call it. */
void feedback_note(struct feedback *f, const char *bytes, size_t len);

enum feedback_answer { FEEDBACK_NO, FEEDBACK_NEW, FEEDBACK_KNOWN };

/*
 * Whether the packet belongs to such a connection. FEEDBACK_NEW: it is the first packet of this connection, and
 * `name` describes the connection. May be called from any thread.
 */
enum feedback_answer feedback_check(struct feedback *f, const struct ipq_packet *packet, char name[160]);

#endif
