/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Capture files as a source: from the file to the reader. */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <linux/netfilter.h>
#include <sys/eventfd.h>
#include "capture/state.h"
#include "util/clock.h"

/* ---- the time of the next packet ---------------------------------------------------------------- */

/* The time at which the current record is due, by CLOCK_MONOTONIC; 0: now. Called by the receiver only. */
static int64_t due(struct pcap_source *p)
{
	int64_t stamp, at;

	if (!p->name.by_clock || p->record.kind == CAPTURE_BLOCK ||
	    __builtin_mul_overflow(p->record.sec, NSEC, &stamp) ||
	    __builtin_add_overflow(stamp, (int64_t)p->record.nsec, &stamp))
		return 0;
	if (!p->clock_runs) {
		p->clock_runs = true;
		p->clock_start = now_ns();
		p->file_start = stamp;
	}
	if (__builtin_sub_overflow(stamp, p->file_start, &at) ||
	    __builtin_add_overflow(at, p->clock_start, &at) || at < 0)
		return 0;
	return at;
}

static bool is_due(struct pcap_source *p)
{
	int64_t at = due(p);

	return at == 0 || at <= now_ns();
}

/* Selects the event to wait for, in the order of next_packet(). Called by the receiver only, with the lock held. */
static void wait_for_next(struct pcap_source *p)
{
	int64_t at = p->at_hand ? due(p) : 0;

	if (p->refusals > 0)
		source_pcap_wait_for(p, WAIT_NOTHING, 0);
	else if (p->config.mode == COPY_NONE)
		source_pcap_wait_for(p, WAIT_VERDICT, 0);
	else if ((p->again.first != NULL && !p->inside_block) || p->end != 0)
		source_pcap_wait_for(p, WAIT_NOTHING, 0);
	else if (source_pcap_full(p))
		source_pcap_wait_for(p, WAIT_VERDICT, 0);
	else if (p->at_hand)
		source_pcap_wait_for(p, at > now_ns() ? WAIT_TIME : WAIT_NOTHING, at);
	else
		source_pcap_wait_for(p, capture_reader_ready(p->in) ? WAIT_NOTHING : WAIT_INPUT, 0);
}

/* ---- receiving ---------------------------------------------------------------------------------- */

static size_t min(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Memory for a payload that does not fit into slot `index` of the batch. NULL: no memory. */
static uint8_t *large_room(struct pcap_source *p, unsigned index)
{
	if (p->large[index] == NULL)
		p->large[index] = malloc(SOURCE_FILE_PACKET_MAX);
	return p->large[index];
}

/*
 * Copies the payload to offset at of the slot, or to memory of its own if it does not fit. If that memory cannot be
 * allocated, the payload is truncated. index: the slot's index in its batch.
 */
static void fill_payload(struct pcap_source *p, const struct held *h, const struct iovec *slot,
			 unsigned index, size_t at, struct ipq_packet *packet)
{
	size_t n = min(h->frame.payload_len, p->config.range != 0 ? p->config.range : SOURCE_FILE_PACKET_MAX);
	bool fits = n <= slot->iov_len - at;
	uint8_t *large = fits || !p->config.beyond_slot ? NULL : large_room(p, index);

	if (!fits && large == NULL)
		n = slot->iov_len - at;
	packet->payload = large != NULL ? large : (uint8_t *)slot->iov_base + at;
	memcpy(packet->payload, held_frame(h) + h->frame.link_len, n);
	packet->payload_len = (uint32_t)n;
	packet->present |= IPQ_HAS_PAYLOAD;
	if (n < h->frame.full_len)
		packet->flags |= IPQ_PACKET_TRUNCATED;
}

/*
 * Fills in the link-layer header, which the kernel has for incoming packets only. Returns the bytes that it
 * occupies in the slot.
 */
static size_t fill_link(const struct held *h, const struct iovec *slot, struct ipq_packet *packet)
{
	const struct frame *f = &h->frame;
	size_t room = (f->link_len + 3U) & ~3U; /* IP headers are aligned to 4 bytes */

	if (packet->hook >= NF_INET_LOCAL_OUT || room > slot->iov_len)
		return 0;
	if (f->hw_addr_len > 0) {
		memcpy(packet->hw_addr, f->hw_addr, sizeof(packet->hw_addr));
		packet->hw_addr_len = f->hw_addr_len;
		packet->present |= IPQ_HAS_HWADDR;
	}
	if (f->vlan_proto != 0) {
		packet->vlan_proto = f->vlan_proto;
		packet->vlan_tci = f->vlan_tci;
		packet->present |= IPQ_HAS_VLAN;
	}
	if (f->link_len == 0)
		return 0;
	memcpy(slot->iov_base, held_frame(h), f->link_len);
	packet->link_header = slot->iov_base;
	packet->link_header_len = f->link_len;
	packet->present |= IPQ_HAS_LINK_HEADER;
	return room;
}

static void fill_packet(struct pcap_source *p, const struct held *h, const struct iovec *slot, unsigned index,
			struct ipq_packet *packet)
{
	size_t at;

	memset(packet, 0, sizeof(*packet));
	packet->id = h->id;
	packet->family = h->frame.family;
	packet->full_len = h->frame.full_len;
	if (!__builtin_mul_overflow(h->record.sec, NSEC, &packet->timestamp) &&
	    !__builtin_add_overflow(packet->timestamp, (int64_t)h->record.nsec, &packet->timestamp))
		packet->present |= IPQ_HAS_TIMESTAMP;
	if (source_pcap_checksum_partial(h))
		packet->flags |= IPQ_PACKET_CHECKSUM_NOT_READY;
	source_pcap_fill_metadata(p, h, packet, &p->recorded[index]);
	packet->hw_protocol = packet->hook == NF_INET_LOCAL_OUT ? 0 : h->frame.protocol;
	at = fill_link(h, slot, packet);
	if (p->config.mode == COPY_PACKET)
		fill_payload(p, h, slot, index, at, packet);
}

/* Delivers a packet. Called with the lock held. */
static void deliver(struct pcap_source *p, struct held *h, const struct iovec *slot, unsigned index,
		    struct ipq_packet *packet)
{
	held_wait(&p->store, h, p->next_id++);
	p->summary.delivered++;
	fill_packet(p, h, slot, index, packet);
}

/* Counts a frame that is not read because of its link type. */
static void count_unread(struct pcap_source *p)
{
	struct unread *u = p->unread;

	while (u->frames != 0 && u->link_type != p->record.link_type && u < &p->unread[LINK_TYPES_UNREAD - 1])
		u++;
	if (u->frames++ == 0)
		u->link_type = p->record.link_type;
	p->frames_unread++;
}

static void parse_record(struct pcap_source *p)
{
	const struct frame_link *link = frame_link_find(p->record.link_type);

	memset(&p->frame, 0, sizeof(p->frame));
	if (p->record.kind == CAPTURE_BLOCK)
		return;
	if (link == NULL) {
		count_unread(p);
		return;
	}
	frame_parse(link, p->data, p->record.caplen, p->record.len, &p->frame);
	if (p->record.fcs_len == 4 &&
	    (link->type == LINKTYPE_ETHERNET || link->type == LINKTYPE_IEEE802_11) &&
	    p->record.caplen == p->record.len)
		p->frame.fcs_len = 4;
}

/*
 * Reads the next record, unless there is a current one. 1: there is a current record; 0: the input has no data yet;
 * or the code of the end. Called without the lock.
 */
static int read_record(struct pcap_source *p)
{
	int n;

	if (p->at_hand)
		return 1;
	n = capture_read(p->in, &p->record, &p->data, &p->end_text);
	if (n <= 0)
		return n;
	parse_record(p);
	p->at_hand = true;
	return 1;
}

/* Appends the number of frames that were not read to the message about the end of the file. */
static void describe_unread(struct pcap_source *p)
{
	char *text = p->end_text.text;
	size_t room = sizeof(p->end_text.text), n = strlen(text);
	const char *separator = ";";

	for (const struct unread *u = p->unread; u < &p->unread[LINK_TYPES_UNREAD] && u->frames != 0; u++) {
		const char *name = frame_link_name(u->link_type);

		n += (size_t)snprintf(text + n, room - n, "%s %" PRIu64 " of link type %" PRIu32 "%s%s",
				      separator, u->frames, u->link_type, *name != '\0' ? " " : "", name);
		if (n >= room)
			return;
		separator = ",";
	}
	if (p->frames_unread > 0)
		snprintf(text + n, room - n, " were not read");
}

/*
 * Sets the end. Before success is reported, accepted packets must be in the file. Called with the lock held.
 */
static int set_end(struct pcap_source *p, int end)
{
	int err = source_pcap_flush(p);

	if (end == -ENODATA)
		describe_unread(p);
	p->summary.unread = p->frames_unread;
	p->summary.bytes_read = capture_reader_position(p->in);
	p->end = err < 0 && end == -ENODATA ? err : end;
	return p->end;
}

/* Reads the next record if pace=file is given: the timer needs its time. */
static void read_ahead(struct pcap_source *p)
{
	int n;

	if (!p->name.by_clock || p->end != 0)
		return;
	n = read_record(p);
	if (n >= 0)
		return;
	pthread_mutex_lock(&p->lock);
	set_end(p, n);
	pthread_mutex_unlock(&p->lock);
}

/* Stores the section of a record, and adds the record's interface description to the section. 0, -ENOMEM. */
static int join_section(struct pcap_source *p, struct held *h)
{
	if (p->section == NULL)
		return 0;
	if (h->record.begins_section) {
		struct section *next = section_new(h->data);

		if (next == NULL)
			return -ENOMEM;
		section_release(p->section);
		p->section = next;
	} else if (h->record.is_interface &&
		   section_add_interface(p->section, h->data, capture_record_size(&h->record)) < 0) {
		return -ENOMEM;
	}
	h->section = section_use(p->section);
	h->section_len = section_len(p->section);
	return 0;
}

/*
 * Whether the frames without IP are now written before the packets that precede them. This happens when too many of
 * them wait, because a program may decide a packet only after it has received the next one. Nothing can be written into
 * the middle of a block.
 */
static bool too_many_pass(const struct pcap_source *p)
{
	return !p->inside_block &&
	       (p->passing_count >= PASSING_MAX || p->store.longer_bytes >= HELD_LONG_MAX / 2);
}

/*
 * Delivers the current record if it is a packet; otherwise queues it to be written without a verdict. 1: delivered;
 * 0: not a packet; -errno. Called with the lock held.
 */
static int take_record(struct pcap_source *p, const struct iovec *slot, unsigned index,
		       struct ipq_packet *packet)
{
	size_t size = capture_record_size(&p->record);
	struct held *h = held_take(&p->store, size);

	if (h == NULL)
		return -ENOMEM;
	p->at_hand = false;
	p->summary.bytes_read = capture_reader_position(p->in);
	p->summary.unread = p->frames_unread;
	h->record = p->record;
	h->frame = p->frame;
	memcpy(h->data, p->data - p->record.head, size);
	p->inside_block = h->record.continues;
	if (join_section(p, h) < 0) {
		held_give_back(&p->store, h);
		return -ENOMEM;
	}
	if (h->frame.family != 0) {
		deliver(p, h, slot, index, packet);
		return 1;
	}
	h->id = p->next_id;
	held_list_append(&p->passing, h);
	p->passing_count++;
	return p->store.waiting_count == 0 || too_many_pass(p) ? source_pcap_let_pass(p, 0, true) : 0;
}

enum { ASK_FILE = 2 };

/*
 * Looks for a result that needs no read: a repeated packet (1), nothing to deliver now (0), the end (-errno). Else
 * ASK_FILE.
 */
static int next_in_memory(struct pcap_source *p, const struct iovec *slot, unsigned index,
			  struct ipq_packet *packet)
{
	struct held *h = p->again.first;

	if (p->config.mode == COPY_NONE)
		return 0;
	if (h != NULL && !p->inside_block) { /* nothing can be written into the middle of a block */
		held_list_remove(&p->again, h);
		deliver(p, h, slot, index, packet);
		return 1;
	}
	if (p->end != 0)
		return p->end;
	return source_pcap_full(p) ? 0 : ASK_FILE;
}

/* Delivers the next packet. 1: delivered; 0: nothing for now; -errno: the end, or an error. */
static int next_packet(struct pcap_source *p, const struct iovec *slot, unsigned index,
		       struct ipq_packet *packet)
{
	int n;

	do {
		pthread_mutex_lock(&p->lock);
		n = next_in_memory(p, slot, index, packet);
		pthread_mutex_unlock(&p->lock);
		if (n != ASK_FILE)
			return n;
		n = read_record(p);
		if (n == 0 || (n == 1 && !is_due(p)))
			return 0;
		pthread_mutex_lock(&p->lock);
		if (n == 1)
			n = take_record(p, slot, index, packet);
		if (n < 0)
			n = set_end(p, n);
		pthread_mutex_unlock(&p->lock);
	} while (n == 0);
	return n;
}

static int next_packets(struct pcap_source *p, const struct iovec *slot, struct ipq_packet *packet,
			unsigned max)
{
	unsigned n = 0;
	int got;

	while (n < max) {
		got = next_packet(p, &slot[n], n, &packet[n]);
		if (got < 0 && n == 0)
			return got;
		if (got <= 0)
			break;
		n++;
	}
	return (int)n;
}

/*
 * Reports the refusals and returns their number. Called without the lock, because the callback may call send.
 */
static unsigned report_refusals(struct pcap_source *p, source_refused refused, void *context)
{
	struct source_refusal some[16];
	unsigned n, total = 0;

	do {
		pthread_mutex_lock(&p->lock);
		n = (unsigned)min(p->refusals, sizeof(some) / sizeof(some[0]));
		memcpy(some, p->refusal, n * sizeof(some[0]));
		p->refusals -= n;
		memmove(p->refusal, p->refusal + n, p->refusals * sizeof(some[0]));
		pthread_mutex_unlock(&p->lock);
		for (unsigned i = 0; i < n && refused != NULL; i++)
			refused(context, &some[i]);
		total += n;
	} while (n > 0 && total < REFUSALS_MAX);
	return total;
}

/* Waits until the descriptor is readable. 1: it is; 0: timeout; -EINTR. */
static int wait_until(struct pcap_source *p, int64_t deadline, int timeout_ms)
{
	struct pollfd fd = { .fd = p->poll_fd, .events = POLLIN };
	int64_t left = -1;
	int n;

	if (timeout_ms >= 0) {
		left = (deadline - now_ns() + 999999) / 1000000;
		if (left <= 0)
			return 0;
	}
	n = poll(&fd, 1, (int)left);
	return n < 0 ? -errno : n;
}

static bool take_wake(struct pcap_source *p)
{
	eventfd_t value;

	if (!atomic_exchange(&p->woken, false))
		return false;
	eventfd_read(p->wake_fd, &value);
	return true;
}

int source_pcap_recv(struct source *s, const struct iovec *slot, struct ipq_packet *packet, unsigned max,
		     int timeout_ms, source_refused refused, void *context)
{
	int64_t deadline = timeout_ms > 0 ? now_ns() + timeout_ms * 1000000LL : 0;
	struct pcap_source *p = pcap_of(s);
	unsigned reported;
	int n;

	for (;;) {
		if (take_wake(p))
			return -ECANCELED;
		reported = report_refusals(p, refused, context);
		n = next_packets(p, slot, packet, max);
		if (n >= 0)
			read_ahead(p);
		pthread_mutex_lock(&p->lock);
		wait_for_next(p);
		if (n == 0)
			source_pcap_flush(p); /* the output may be a pipe with a waiting reader */
		pthread_mutex_unlock(&p->lock);
		if (n != 0 || reported > 0 || timeout_ms == 0 || max == 0)
			return n < 0 && reported > 0 ? 0 : n; /* the end is reported by the next call */
		n = wait_until(p, deadline, timeout_ms);
		if (n <= 0)
			return n;
	}
}
