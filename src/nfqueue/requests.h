/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Private: configuration requests for the queue q->asked. Each waits for its acknowledgement. Call them with
 * config_lock held. They return 0, the kernel's -errno, or -ETIMEDOUT.
 */
#ifndef NFQUEUE_REQUESTS_H
#define NFQUEUE_REQUESTS_H

#include "nfqueue/state.h"

/* command: NFQNL_CFG_CMD_* */
int nfqueue_ask_command(struct nfqueue *q, uint8_t command, uint16_t family);
int nfqueue_ask_length(struct nfqueue *q, uint32_t length);
int nfqueue_ask_mode(struct nfqueue *q, enum copy_mode mode, uint32_t range);

/*
 * Sets the flags (IPQ_O_) in `change` to their values in `wanted`, one at a time, so that an error can name it. Returns
 * the flags in force.
 */
int nfqueue_ask_all_flags(struct nfqueue *q, uint32_t wanted, uint32_t change, struct ipq_error *e);

#endif
