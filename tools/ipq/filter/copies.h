/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The packets that a decision sends in addition: copies of a packet, and the answer to a rejected packet. */
#ifndef IPQ_FILTER_COPIES_H
#define IPQ_FILTER_COPIES_H

#include "filter/inject.h"
#include "filter/view.h"
#include "session/session.h"

/* Answers a rejected packet if an answer is permitted. */
void send_answer(struct injector *in, struct worker *w, const struct ipq_packet *packet, struct view *view);
/* Sends a copy of the packet with these bytes. False: it could not be sent. */
bool send_copy(struct injector *in, struct worker *w, const struct ipq_packet *packet, const void *bytes,
	       size_t len);

#endif
