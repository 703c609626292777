/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>
#include "filter/across.h"

/*
 * The end of the last occurrence that lies in the payload. If only one occurrence may be replaced and the payload
 * has one: len.
 */
static size_t end_of_matches(const struct rewrite *r, const uint8_t *payload, size_t len)
{
	const uint8_t *at = payload, *found;

	while ((found = memmem(at, len - (size_t)(at - payload), r->from, r->from_len)) != NULL) {
		if (!r->all)
			return len;
		at = found + r->from_len;
	}
	return (size_t)(at - payload);
}

/* Compares the rest of the text, after its first `at` bytes were found. */
static enum across_result compare_rest(const struct rewrite *r, size_t offset, size_t at,
				       const struct following *next, struct tcp_across *found)
{
	found->parts = 1;
	found->offset = (uint32_t)offset;
	found->part[0] = (uint32_t)at;
	for (unsigned i = 0; i < next->count && at < r->from_len; i++) {
		size_t left = r->from_len - at, len = next->part[i].len < left ? next->part[i].len : left;

		if (memcmp(r->from + at, next->part[i].bytes, len) != 0)
			return ACROSS_NONE;
		found->part[found->parts++] = (uint32_t)len;
		at += len;
	}
	if (at == r->from_len)
		return ACROSS_FOUND;
	return next->ended || next->count == TCP_ACROSS_MAX - 1 ? ACROSS_NONE : ACROSS_OPEN;
}

enum across_result across_find(const struct rewrite *r, const uint8_t *payload, size_t len,
			       const struct following *next, struct tcp_across *found)
{
	size_t most = r->from_len - 1 < len ? r->from_len - 1 : len, begin = 0;
	struct tcp_across text;
	bool searched = false;

	for (size_t n = most; n > 0; n--) {
		enum across_result result;

		if (payload[len - n] != r->from[0] || memcmp(payload + len - n, r->from, n) != 0)
			continue;
		if (!searched)
			begin = end_of_matches(r, payload, len);
		searched = true;
		if (len - n < begin)
			continue;
		result = compare_rest(r, len - n, n, next, &text);
		if (result == ACROSS_FOUND && found != NULL)
			*found = text;
		if (result != ACROSS_NONE)
			return result;
	}
	return ACROSS_NONE;
}
