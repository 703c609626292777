// SPDX-License-Identifier: LGPL-2.1-or-later
/* Adjusts fields of the TCP header after a change of payload. */
#include <errno.h>
#include <netinet/in.h>

#include "tcp/tcp.h"

enum {
	OPTION_END = 0,
	OPTION_MSS = 2,
	OPTION_SCALE = 3,
	OPTION_SACK = 5,
	OPTION_MULTIPATH = 30, /* RFC 8684 */
	SACK_MAX = 32,
	/* maximum MSS: with headers, a segment stays below the maximum payload of a verdict */
	MSS_MAX = 65400,
	MSS_MIN = 256,
};

void tcp_scan_options(const struct ipq_edit *e, struct tcp_seen *seen)
{
	const uint8_t *p = e->data;
	size_t at = e->transport + TCP_HEADER, end = e->payload;
	int len;

	*seen = (struct tcp_seen){ .scale = -1 };
	for (; at < end && p[at] != OPTION_END; at += (size_t)len) {
		len = edit_option_len(p, at, end);
		if (len < 0)
			return;
		seen->multipath |= p[at] == OPTION_MULTIPATH;
		if (p[at] == OPTION_SCALE && len == 3)
			seen->scale = p[at + 2];
	}
}

/* ---- acknowledgements ------------------------------------------------------------------------- */

static uint32_t move(const struct ipq_tcp *t, const struct tcp_log *log, uint32_t number, bool up)
{
	return t->recorded ? tcp_log_map(log, number, up) : tcp_log_unmap(log, number, up);
}

/*
 * Moves a SACK block. A block covers only whole replaced texts: a text that was received in part must be sent
 * again.
 */
static bool move_sack(const struct ipq_tcp *t, const struct tcp_log *log, struct ipq_edit *e)
{
	uint8_t blocks[SACK_MAX];
	size_t len, n = 0;
	int at = ipq_edit_find_tcp_option(e, OPTION_SACK, &len);

	if (at < 0 || len > sizeof(blocks) || len % 8)
		return false;
	for (size_t i = 0; i < len; i += 8) {
		uint32_t begin = move(t, log, get32(e->data + at + i), true);
		uint32_t end = move(t, log, get32(e->data + at + i + 4), false);

		if (!before(begin, end))
			continue;
		put32(blocks + n, begin);
		put32(blocks + n + 4, end);
		n += 8;
	}
	if (n == len && memcmp(blocks, e->data + at, n) == 0)
		return false;
	return (n ? ipq_edit_set_tcp_option(e, OPTION_SACK, blocks, n)
		  : ipq_edit_clear_tcp_option(e, OPTION_SACK)) == 0;
}

bool tcp_move_acknowledgement(const struct ipq_tcp *t, const struct tcp_flow *f,
			      const struct ipq_tcp_segment *s)
{
	const struct tcp_log *log = &f->direction[!s->side].log;
	uint32_t moved;
	bool changed;

	if (!(s->flags & IPQ_TCP_ACK) || (!log->total && !log->base && !log->end))
		return false;
	moved = move(t, log, s->acknowledgement, false);
	changed = moved != s->acknowledgement;
	if (changed)
		ipq_edit_set_tcp_acknowledgement(s->edit, moved);
	changed |= move_sack(t, log, s->edit);
	return changed;
}

/* ---- sequence --------------------------------------------------------------------------------- */

bool tcp_move_urgent(const struct tcp_log *log, const struct ipq_tcp_segment *s, uint32_t mapped)
{
	struct ipq_edit *e = s->edit;
	uint8_t *field = e->data + e->transport + 18, bytes[2];
	uint32_t pointer = get16(field), moved;

	if (!(s->flags & IPQ_TCP_URG))
		return false;
	moved = tcp_log_map(log, s->text + pointer, true) - mapped;
	if (moved > UINT16_MAX)
		moved = UINT16_MAX;
	if (moved == pointer)
		return false;
	put16(bytes, moved);
	edit_write(e, e->transport + 18, bytes, sizeof(bytes));
	return true;
}

/* ---- SYN -------------------------------------------------------------------------------------- */

bool tcp_lower_mss(struct ipq_edit *e, size_t old_len, size_t new_len, bool every)
{
	size_t len, size = MSS_MAX, longer = new_len > old_len ? new_len - old_len : 0;
	int at = ipq_edit_find_tcp_option(e, OPTION_MSS, &len);

	if (at < 0 || len != 2)
		return false;
	if (get16(e->data + at) < size)
		size = get16(e->data + at);
	if (every && longer && old_len)
		size = size * old_len / new_len; /* assume that the segment is full of matches */
	else
		size -= longer < size ? longer : size;
	return ipq_edit_clamp_mss(e, (uint16_t)(size > MSS_MIN ? size : MSS_MIN)) == 1;
}

bool tcp_clear_multipath(struct ipq_edit *e)
{
	size_t len;
	int at = ipq_edit_find_tcp_option(e, OPTION_MULTIPATH, &len);

	/*
	 * Subtype 0 is MP_CAPABLE. A subflow of an existing connection cannot be refused by removing this option.
	 */
	if (at < 0 || len < 1 || e->data[at] >> 4 != 0)
		return false;
	return ipq_edit_clear_tcp_option(e, OPTION_MULTIPATH) == 0;
}
