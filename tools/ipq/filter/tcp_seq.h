/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * TCP connections whose payload changes its length on the way: sequence numbers one way and
 * acknowledgements the other are moved so that both ends see a stream without holes. One table belongs
 * to one thread.
 */
#ifndef IPQ_FILTER_TCP_SEQ_H
#define IPQ_FILTER_TCP_SEQ_H

#include <stddef.h>
#include <stdint.h>
#include <ipq_edit.h>
#include "filter/ruleset.h"

struct flows;

struct flows *flows_new(void); /* NULL: no memory */
void flows_free(struct flows *t);
size_t flows_count(const struct flows *t);

/*
 * Passes one TCP packet through. zone tells apart places that see the same packet one after the other.
 * rewrite, when not NULL, is applied to the payload and makes the connection one to keep; e has room for
 * the result. Returns the number of places rewritten, FLOW_SAME when nothing was edited, FLOW_DROP when the
 * packet came out of order and must come again, or -errno: edit failed, packet unchanged or dropped.
 */
enum { FLOW_SAME = -1000, FLOW_DROP = -1001 };
int flow_pass(struct flows *t, uint32_t zone, struct ipq_edit *e, const struct rewrite *rewrite, int64_t now);

/*
 * Passes the SYN of a connection whose other side's text `rewrite` will change. Its maximum segment size is
 * lowered, so that what grows still fits. The values of flow_pass().
 */
int flow_expect(struct flows *t, uint32_t zone, struct ipq_edit *e, const struct rewrite *rewrite,
		int64_t now);

#endif
