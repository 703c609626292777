/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ip_queue's requests, in both word sizes. A decoded request can be encoded again, with the same result; a wrong length
 * is refused; an answer quotes only existing bytes.
 *
 * Input: one byte (bit 0 the layout), then the message.
 */
#include <linux/netlink.h>
#include <linux/netfilter_ipv4/ip_queue.h>
#include "ipqueue/messages.h"
#include "main.h"

static void verdict(enum wire_layout layout, const uint8_t *message, size_t size,
		    const struct wire_request *r)
{
	size_t head = wire_request_head(layout);
	struct wire_request again;
	unsigned char *copy = malloc(head + r->verdict.payload_len);

	require(copy != NULL);
	if (r->verdict.payload_len > 0) {
		const uint8_t *payload = r->verdict.payload;

		require(payload >= message && payload + r->verdict.payload_len <= message + size);
		memcpy(copy + head, payload, r->verdict.payload_len);
	}
	wire_put_verdict(layout, copy, r->pid, r->verdict.value, r->verdict.id, r->verdict.payload_len);
	require(wire_get_request(layout, copy, head + r->verdict.payload_len, &again) == 0);
	require(again.verdict.value == r->verdict.value && again.verdict.id == r->verdict.id &&
		again.pid == r->pid);
	require(again.verdict.payload_len == r->verdict.payload_len &&
		again.verdict.data_len == r->verdict.payload_len);
	free(copy);
}

static void mode(enum wire_layout layout, const struct wire_request *r)
{
	unsigned char copy[64];
	size_t len = wire_put_mode(layout, copy, r->pid, r->mode.value, r->mode.range);
	struct wire_request again;

	require(len == wire_request_head(layout) && wire_get_request(layout, copy, len, &again) == 0);
	require(again.mode.value == r->mode.value && again.mode.range == r->mode.range);
}

static void request(enum wire_layout layout, const uint8_t *message, size_t size)
{
	struct wire_request r;
	int err = wire_get_request(layout, message, size, &r);
	unsigned char *answer;
	size_t quote;

	if (err == 0 && r.type == IPQM_VERDICT)
		verdict(layout, message, size, &r);
	if (err == 0 && r.type == IPQM_MODE)
		mode(layout, &r);
	if (size < WIRE_NLHDR)
		return;
	quote = size < 64 ? size : 64;
	answer = malloc(20 + quote);
	require(answer != NULL);
	require(wire_put_error(answer, -err, r.pid, message, quote) == 20 + quote);
	free(answer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *message;

	if (size < 2)
		return 0;
	message = exact_copy(data + 1, size - 1);
	request(data[0] & 1 ? WIRE_ILP32 : WIRE_LP64, message, size - 1);
	free(message);
	return 0;
}
