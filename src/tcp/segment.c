// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Edits one packet, from ipq_tcp_begin() to ipq_tcp_end().
 *
 * Theory of operation. Payload before `fresh` was forwarded before, or is in a gap. A length can only change in
 * payload from `fresh` on; in a gap, text can only become other text of the same length, because later text already
 * has its sequence numbers. ipq_tcp_replace() only adds to the log. ipq_tcp_end() builds the payload from the log,
 * in one pass, in the same way for new text and for retransmitted text.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>

#include "tcp/across.h"
#include "tcp/tcp.h"

#define SCRATCH_MIN 65536
#define MOVED_MAX 512

/* ---- begin ------------------------------------------------------------------------------------ */

/* The reason why no field of this packet can be edited: -errno, or 0. */
static int refusal_of(struct ipq_edit *e, enum tcp_counter *reason)
{
	int err = edit_transport(e, IPPROTO_TCP);

	switch (err ? e->reason : IPQ_EDIT_REASON_NONE) {
	case IPQ_EDIT_REASON_AUTHENTICATED:
	case IPQ_EDIT_REASON_ENCRYPTED:
	case IPQ_EDIT_REASON_SIGNED:
		*reason = TCP_PROTECTED;
		break;
	case IPQ_EDIT_REASON_FRAGMENT:
		*reason = TCP_FRAGMENT;
		break;
	default:
		*reason = TCP_OTHER;
	}
	return err;
}

static void read_header(struct ipq_tcp_segment *s)
{
	const uint8_t *p = s->edit->data + s->edit->transport;

	s->sequence = get32(p + 4);
	s->acknowledgement = get32(p + 8);
	s->flags = get16(p + 12) & 0x1ff;
	s->window = get16(p + 14);
	/* A SYN counts as one byte before the payload. */
	s->text = s->sequence + ((s->flags & IPQ_TCP_SYN) != 0);
	s->end = s->text + s->edit->payload_len + edit_missing(s->edit);
}

static void refuse(struct ipq_tcp_segment *s, int err, enum tcp_counter reason)
{
	s->refusal = err;
	s->state |= (uint32_t)reason << 16;
}

static struct tcp_flow *flow_of(const struct ipq_tcp_segment *s)
{
	return s->connection;
}

/* Maximum number of payload bytes that this packet may have after the edit. */
static size_t payload_room(const struct ipq_edit *e)
{
	size_t most = UINT16_MAX + (e->version == 6 ? IPV6_HEADER : 0U);

	if (e->room < most || e->flags & (IPQ_EDIT_NO_LENGTH | IPQ_EDIT_JUMBO))
		most = e->room;
	return most - e->payload;
}

static size_t new_payload_len(const struct tcp_log *log, const struct ipq_tcp_segment *s)
{
	return tcp_log_map(log, s->end, true) - tcp_log_map(log, s->text, true);
}

/* Finds the connection. If there is one, its shard stays locked. 0 or -EDEADLK. */
static int attach(struct ipq_tcp_segment *s, uint32_t zone, bool create, const struct tcp_seen *seen)
{
	struct ipq_tcp *t = s->table;
	struct tcp_shard *shard;
	struct tcp_flow *f;
	struct tcp_key key;
	uint64_t hash;

	s->side = tcp_make_key(&key, s->edit->version, s->edit->data + (s->edit->version == 4 ? 12 : 8),
			       s->edit->data + s->edit->transport, zone);
	hash = tcp_hash(t, &key);
	shard = tcp_shard_of(t, hash);
	if (pthread_mutex_lock(&shard->lock))
		return -EDEADLK;
	f = tcp_find(t, shard, &key, hash, s, create);
	if (!f) {
		pthread_mutex_unlock(&shard->lock);
		s->state |= TCP_ONE_SHOT;
		if (s->flags & IPQ_TCP_RST)
			refuse(s, -ERANGE, TCP_WINDOW);
		else
			refuse(s, -ENOBUFS, TCP_NO_MEMORY);
		return 0;
	}
	s->connection = f;
	s->shard = shard;
	tcp_count(t, TCP_SEGMENTS);
	tcp_arrive(t, f, s, seen->scale);
	s->room = (uint32_t)payload_room(s->edit);
	s->length = (uint32_t)new_payload_len(&f->direction[s->side].log, s);
	if (seen->multipath && s->state & TCP_IN_WINDOW)
		f->multipath = true;
	if (edit_missing(s->edit))
		refuse(s, -ENODATA, TCP_OTHER);
	else if (f->multipath)
		refuse(s, -EOPNOTSUPP, TCP_MULTIPATH);
	else if (!(s->state & TCP_IN_WINDOW) || s->flags & IPQ_TCP_RST)
		refuse(s, -ERANGE, TCP_WINDOW);
	return 0;
}

int ipq_tcp_begin(struct ipq_tcp *t, struct ipq_tcp_segment *s, struct ipq_edit *e, uint32_t zone,
		  uint32_t flags)
{
	bool known_only = flags & IPQ_TCP_KNOWN_ONLY;
	enum tcp_counter reason;
	struct tcp_seen seen;
	int err;

	*s = (struct ipq_tcp_segment){ .edit = e }; /* the table is set when the edit has begun */
	if (flags & ~(uint32_t)IPQ_TCP_KNOWN_ONLY)
		return -EINVAL;
	s->table = t;
	if (known_only && !atomic_load_explicit(&t->flows, memory_order_relaxed)) {
		refuse(s, -ENOBUFS, TCP_NO_MEMORY);
		return 0;
	}
	err = refusal_of(e, &reason);
	if (err) {
		if (tcp_move_quote(t, e, zone))
			s->state |= TCP_WRITTEN;
		refuse(s, err, reason);
		return 0;
	}
	tcp_scan_options(e, &seen);
	read_header(s);
	err = attach(s, zone, !known_only, &seen);
	if (err)
		s->table = NULL;
	return err;
}

void ipq_tcp_expect(struct ipq_tcp_segment *s, size_t old_len, size_t new_len, int every)
{
	struct tcp_flow *f = flow_of(s);

	if (!f || !(s->flags & IPQ_TCP_SYN) || s->table->recorded || old_len == new_len)
		return;
	if (tcp_clear_multipath(s->edit)) {
		f->multipath = false;
		if (s->refusal == -EOPNOTSUPP)
			s->refusal = 0;
		s->state |= TCP_WRITTEN;
	}
	if (tcp_lower_mss(s->edit, old_len, new_len, every))
		s->state |= TCP_WRITTEN;
}

/* ---- replace ---------------------------------------------------------------------------------- */

static int count_refusal(const struct ipq_tcp_segment *s, int err, enum tcp_counter counter)
{
	static const uint8_t reason[TCP_COUNTERS] = {
		[TCP_LATE] = IPQ_EDIT_REASON_LATE,	   [TCP_NO_MEMORY] = IPQ_EDIT_REASON_MEMORY,
		[TCP_MULTIPATH] = IPQ_EDIT_REASON_MPTCP,   [TCP_WINDOW] = IPQ_EDIT_REASON_WINDOW,
		[TCP_FRAGMENT] = IPQ_EDIT_REASON_FRAGMENT,
	};

	tcp_count(s->table, counter);
	if (reason[counter])
		s->edit->reason = reason[counter];
	else if (err == -ENODATA)
		s->edit->reason = IPQ_EDIT_REASON_CUT;
	else if (counter == TCP_NO_ROOM)
		s->edit->reason = err == -ENOSPC ? IPQ_EDIT_REASON_ROOM : IPQ_EDIT_REASON_SIZE;
	return err;
}

/* Replaces text by text of the same length, without an entry in the log. */
static int write_now(struct ipq_tcp_segment *s, size_t offset, const void *bytes, size_t len)
{
	int err = ipq_edit_replace(s->edit, offset, len, bytes, len);

	if (err)
		return count_refusal(s, err, err == -EOPNOTSUPP ? TCP_FRAGMENT : TCP_OTHER);
	s->state |= TCP_WRITTEN;
	s->replaced++;
	return 1;
}

/*
 * The log is full. Text of the same length can be replaced without the log, because a retransmission is replaced in
 * the same way.
 */
static int write_unlogged(struct ipq_tcp_segment *s, struct tcp_direction *d, size_t offset,
			  const void *bytes, size_t len)
{
	uint32_t begin = s->text + (uint32_t)offset, end = begin + (uint32_t)len;

	if (tcp_log_covers(&d->log, begin, end))
		return -EEXIST;
	if (!d->has_unlogged)
		d->unlogged = (struct tcp_range){ begin, end };
	d->has_unlogged = true;
	s->state &= ~(uint32_t)TCP_APPENDS;
	if (before(begin, d->unlogged.begin))
		d->unlogged.begin = begin;
	if (before(d->unlogged.end, end))
		d->unlogged.end = end;
	return write_now(s, offset, bytes, len);
}

static bool overlaps_unlogged(const struct tcp_direction *d, uint32_t begin, uint32_t end)
{
	return d->has_unlogged && before(begin, d->unlogged.end) && before(d->unlogged.begin, end);
}

size_t tcp_log_limit(const struct ipq_tcp *t, const struct tcp_flow *f, const struct tcp_log *log)
{
	size_t used = tcp_flow_bytes(f), logged = tcp_log_bytes(log),
	       gaps = TCP_GAPS * sizeof(struct tcp_range);
	size_t all = atomic_load_explicit(&t->bytes, memory_order_relaxed) - f->bytes + used;
	size_t left;

	/* Memory for gaps is reserved. */
	used += (f->direction[0].gap ? 0 : gaps) + (f->direction[1].gap ? 0 : gaps);
	left = used < t->max_flow_bytes ? t->max_flow_bytes - used : 0;
	if (all > t->max_bytes)
		return 0;
	return logged + (left < t->max_bytes - all ? left : (size_t)(t->max_bytes - all));
}

static int add_to_log(struct ipq_tcp_segment *s, struct tcp_direction *d, uint32_t begin, const void *bytes,
		      size_t old_len, size_t new_len)
{
	struct tcp_log *log = &d->log;
	size_t limit = tcp_log_limit(s->table, flow_of(s), log);
	int err;

	/* Text in a gap may have very many edits after it, all of which would have to be moved. */
	if (before(begin, s->fresh) && !s->table->recorded && tcp_log_count_after(log, begin) > MOVED_MAX)
		return -ENOBUFS;
	err = tcp_log_add(log, begin, bytes, (uint16_t)old_len, (uint16_t)new_len, limit);

	/* In a recording, the oldest edits are the least useful. */
	if (err == -ENOBUFS && s->table->recorded && log->end) {
		tcp_log_prune_oldest(log, (log->end - log->first) / 4 + 1);
		err = tcp_log_add(log, begin, bytes, (uint16_t)old_len, (uint16_t)new_len, limit);
	}
	return err;
}

/* Inserts text by replacing the byte after it or, at the end, the byte before it. */
static int insert(struct ipq_tcp_segment *s, size_t offset, const void *bytes, size_t len)
{
	const struct ipq_edit *e = s->edit;
	bool last = offset == e->payload_len;
	uint8_t *text;
	int result;

	if (!e->payload_len || len >= UINT16_MAX)
		return edit_fail(s->edit, IPQ_EDIT_REASON_ARGUMENT, -EINVAL);
	text = malloc(len + 1);
	if (!text)
		return count_refusal(s, -ENOMEM, TCP_NO_MEMORY);
	offset -= last;
	text[last ? 0 : len] = e->data[e->payload + offset];
	memcpy(text + last, bytes, len);
	result = ipq_tcp_replace(s, offset, 1, text, len + 1);
	free(text);
	return result;
}

/* Replaces text of a connection that is in the table. */
static int replace(struct ipq_tcp_segment *s, size_t offset, size_t old_len, const void *bytes,
		   size_t new_len)
{
	struct tcp_direction *d = &flow_of(s)->direction[s->side];
	uint32_t begin = s->text + (uint32_t)offset, end = begin + (uint32_t)old_len;
	int err;

	if (s->state & TCP_DROP_SEGMENT)
		return 0;
	if (before(begin, s->fresh) && !tcp_in_gap(d, begin, end)) {
		bool unlogged = old_len == new_len && d->has_unlogged && !before(begin, d->unlogged.begin) &&
				!before(d->unlogged.end, end);

		return unlogged && !tcp_log_covers(&d->log, begin, end) ? write_now(s, offset, bytes, old_len)
									: 0;
	}
	/* A retransmission of this text would have other bytes. */
	if (old_len != new_len && overlaps_unlogged(d, begin, end))
		return -EEXIST;
	if (old_len != new_len && before(begin, s->fresh))
		return count_refusal(s, -ESTALE, TCP_LATE);
	if (old_len != new_len && s->edit->flags & IPQ_EDIT_FRAGMENT)
		return count_refusal(s, -EOPNOTSUPP, TCP_FRAGMENT);
	if (new_len > old_len && s->length + new_len - old_len > s->room)
		return count_refusal(s, s->edit->payload + s->room < s->edit->room ? -EMSGSIZE : -ENOSPC,
				     TCP_NO_ROOM);
	if (overlaps_unlogged(d, begin, end))
		return write_unlogged(s, d, offset, bytes, old_len);
	err = add_to_log(s, d, begin, bytes, old_len, new_len);
	if ((err == -ENOBUFS || err == -ENOMEM) && old_len == new_len)
		return write_unlogged(s, d, offset, bytes, old_len);
	if (err == -ENOBUFS || err == -ENOMEM)
		return count_refusal(s, err, TCP_NO_MEMORY);
	if (err)
		return err;
	s->length += (uint32_t)(new_len - old_len);
	s->replaced++;
	if (!d->has_unlogged && !before(begin, s->fresh))
		s->state |= TCP_APPENDS;
	return 1;
}

/*
 * A faster way to repeat the last replacement after the last edit, because a segment may have very many
 * occurrences.
 */
static bool replace_next(struct ipq_tcp_segment *s, size_t offset, size_t old_len, const void *bytes,
			 size_t new_len)
{
	uint32_t payload_len = s->edit->payload_len, length = s->length + (uint32_t)(new_len - old_len);

	if (offset > payload_len || old_len > payload_len - offset || length > s->room ||
	    !tcp_log_append(&flow_of(s)->direction[s->side].log, s->text + (uint32_t)offset, bytes, old_len,
			    new_len))
		return false;
	s->length = length;
	s->replaced++;
	return true;
}

int ipq_tcp_replace(struct ipq_tcp_segment *s, size_t offset, size_t old_len, const void *bytes,
		    size_t new_len)
{
	const struct ipq_edit *e = s->edit;

	if (!s->table)
		return edit_fail(s->edit, IPQ_EDIT_REASON_ARGUMENT, -EINVAL);
	if (s->state & TCP_APPENDS && replace_next(s, offset, old_len, bytes, new_len))
		return 1;
	if (s->refusal && !(s->state & TCP_ONE_SHOT && old_len == new_len))
		return count_refusal(s, s->refusal, s->state >> 16);
	if (offset > e->payload_len || old_len > e->payload_len - offset || (!old_len && !new_len))
		return edit_fail(s->edit, IPQ_EDIT_REASON_ARGUMENT, -EINVAL);
	if (new_len > UINT16_MAX)
		return count_refusal(s, -EMSGSIZE, TCP_NO_ROOM);
	if (!old_len)
		return insert(s, offset, bytes, new_len);
	if (s->refusal)
		return write_now(s, offset, bytes, old_len);
	return replace(s, offset, old_len, bytes, new_len);
}

/*
 * Logs all parts of a replacement, or none. Each part has as many bytes of the new text as of the old text; the
 * last part has the rest.
 */
static int log_parts(struct ipq_tcp_segment *s, struct tcp_direction *d, uint32_t begin,
		     const struct tcp_across *text, const uint8_t *bytes, size_t new_len)
{
	uint32_t at = begin;
	int err = 0;

	for (unsigned i = 0; i < text->parts && !err; i++) {
		size_t len = i + 1 < text->parts && text->part[i] < new_len ? text->part[i] : new_len;

		err = add_to_log(s, d, at, bytes, text->part[i], len);
		at += text->part[i];
		bytes += len;
		new_len -= len;
	}
	for (unsigned i = 0; i < text->parts && err; begin += text->part[i++])
		tcp_log_remove(&d->log, begin);
	return err;
}

/* The number of bytes by which the text makes this segment longer. */
static uint32_t growth(const struct ipq_tcp_segment *s, const struct tcp_across *text, size_t new_len)
{
	uint32_t len = text->parts > 1 && text->part[0] < new_len ? text->part[0] : (uint32_t)new_len;

	return text->offset < s->edit->payload_len ? len - text->part[0] : 0;
}

int tcp_replace_across(struct ipq_tcp_segment *s, const struct tcp_across *text, const void *bytes,
		       size_t new_len)
{
	struct tcp_direction *d;
	uint32_t begin = s->text + text->offset, end = begin, grown = growth(s, text, new_len);
	int err;

	if (s->refusal)
		return count_refusal(s, s->refusal, s->state >> 16);
	d = &flow_of(s)->direction[s->side];
	for (unsigned i = 0; i < text->parts; i++)
		end += text->part[i];
	if (s->state & TCP_DROP_SEGMENT || before(begin, s->fresh))
		return 0;
	if (s->edit->flags & IPQ_EDIT_FRAGMENT)
		return count_refusal(s, -EOPNOTSUPP, TCP_FRAGMENT);
	if (tcp_log_covers(&d->log, begin, end) || overlaps_unlogged(d, begin, end))
		return -EEXIST;
	if ((int32_t)grown > 0 && s->length + grown > s->room)
		return count_refusal(s, -EMSGSIZE, TCP_NO_ROOM);
	err = log_parts(s, d, begin, text, bytes, new_len);
	if (err)
		return err == -EEXIST ? err : count_refusal(s, err, TCP_NO_MEMORY);
	s->length += grown;
	s->replaced++;
	return 1;
}

void tcp_take_back_across(struct ipq_tcp_segment *s, const struct tcp_across *text, size_t new_len)
{
	struct tcp_log *log = &flow_of(s)->direction[s->side].log;
	uint32_t at = s->text + text->offset;

	for (unsigned i = 0; i < text->parts; at += text->part[i++])
		tcp_log_remove(log, at);
	s->length -= growth(s, text, new_len);
	s->replaced--;
}

/* ---- end -------------------------------------------------------------------------------------- */

static bool grow_scratch(struct tcp_shard *shard, size_t len)
{
	uint8_t *grown;

	if (shard->scratch && len <= shard->scratch_room)
		return true;
	len = len > SCRATCH_MIN ? len : SCRATCH_MIN;
	grown = realloc(shard->scratch, len);
	if (!grown)
		return false;
	shard->scratch = grown;
	shard->scratch_room = len;
	return true;
}

/* Replaces the payload by the text to send. False: the text cannot be sent now. */
static bool build_payload(struct ipq_tcp_segment *s, const struct tcp_log *log, bool *changed)
{
	struct ipq_edit *e = s->edit;
	struct tcp_shard *shard = s->shard;
	size_t room = s->room, len = s->length;
	uint32_t end = s->end;

	if (!tcp_log_covers(log, s->text, s->end) || edit_missing(e))
		return true;
	if (!grow_scratch(shard, len < room ? len : room))
		return s->table->recorded;
	len = tcp_log_copy(log, s->text, &end, e->data + e->payload, shard->scratch, room);
	if (end != s->end) {
		tcp_count(s->table, TCP_CUT);
		if (!len && !s->table->recorded)
			return false;
		s->flags &= (uint16_t)~IPQ_TCP_FIN;
		ipq_edit_set_tcp_flags(e, 0, IPQ_TCP_FIN);
	}
	if (len == e->payload_len && memcmp(shard->scratch, e->data + e->payload, len) == 0)
		return true;
	if (edit_splice(e, e->payload, e->payload_len, shard->scratch, len))
		return s->table->recorded; /* too long for a fragment */
	e->payload_len = (uint32_t)len;
	*changed = true;
	return true;
}

/* Whether this is a keepalive in a recording. Its sequence number is one below the next number to be sent. That
 * number may be inside a replaced text, because a recording keeps all texts; the keepalive must still be one below
 * after the edit. */
static bool is_recorded_keepalive(const struct ipq_tcp_segment *s)
{
	return s->table->recorded && s->text + 1 == s->fresh && s->end - s->text <= 1 &&
	       !s->edit->payload_len && !(s->flags & (IPQ_TCP_SYN | IPQ_TCP_FIN | IPQ_TCP_RST));
}

static enum ipq_tcp_result carry_out(struct ipq_tcp_segment *s)
{
	struct tcp_flow *f = flow_of(s);
	struct tcp_log *log = &f->direction[s->side].log;
	uint32_t mapped = tcp_log_map(log, s->text, true), sequence = mapped - (s->text - s->sequence);
	bool changed = s->state & TCP_WRITTEN, had_payload = s->edit->payload_len;

	if (s->state & TCP_DROP_SEGMENT || !build_payload(s, log, &changed)) {
		tcp_count(s->table, TCP_DROPPED);
		return IPQ_TCP_DROP;
	}
	/* The receiver must acknowledge text that was removed completely. It sends an acknowledgement for a number
	 * before its window, as for a keepalive. */
	if (had_payload && !s->edit->payload_len && !s->table->recorded &&
	    !(s->flags & (IPQ_TCP_SYN | IPQ_TCP_FIN | IPQ_TCP_RST)))
		sequence--;
	if (is_recorded_keepalive(s))
		sequence = tcp_log_map(log, s->fresh, true) - 1;
	if (sequence != s->sequence) {
		ipq_edit_set_tcp_sequence(s->edit, sequence);
		changed = true;
	}
	changed |= tcp_move_urgent(log, s, mapped);
	changed |= tcp_move_acknowledgement(s->table, f, s);
	return changed ? IPQ_TCP_CHANGED : IPQ_TCP_UNCHANGED;
}

enum ipq_tcp_result ipq_tcp_end(struct ipq_tcp_segment *s)
{
	struct ipq_tcp *t = s->table;
	struct tcp_shard *shard = s->shard;
	enum ipq_tcp_result result = s->state & TCP_WRITTEN ? IPQ_TCP_CHANGED : IPQ_TCP_UNCHANGED;
	enum tcp_class class;

	if (!t) /* no edit has begun, or the edit has ended */
		return IPQ_TCP_UNCHANGED;
	if (s->replaced)
		tcp_count_many(t, TCP_REPLACED, s->replaced);
	if (s->connection) {
		class = flow_of(s)->class;
		tcp_log_sum(&flow_of(s)->direction[s->side].log);
		result = carry_out(s);
		if (result != IPQ_TCP_DROP)
			class = tcp_depart(t, flow_of(s), s);
		if (result == IPQ_TCP_CHANGED)
			tcp_count(t, TCP_CHANGED);
		tcp_flow_touch(t, shard, s->connection, class);
		pthread_mutex_unlock(&shard->lock);
	}
	s->connection = NULL;
	s->table = NULL;
	return result;
}
