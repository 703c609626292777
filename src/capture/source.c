/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Capture files as a source of packets.
 *
 * A packet is read, copied to the reader's memory, and held with its record until its verdict; then the
 * record is written, or not. Differences from the kernel's queue:
 *
 * - A file loses no packets. When queue_length packets wait for verdicts, recv returns nothing more until some are
 * decided;
 *   the kernel would drop. So recv with IPQ_FOREVER blocks until another thread decides: a thread that both
 *   receives and decides must decide before that many packets wait. With COPY_NONE the file waits as well.
 * - Frames without IP, and the blocks of pcapng without a frame, are not delivered. They are written without
 * a
 *   verdict, in the order of the file if the packets are decided in order: they are held until a packet after
 *   them is decided, or none waits, or too many of them are held.
 * - NF_REPEAT and NF_QUEUE deliver a packet again under a new id, before further packets of the file, with
 * the
 *   verdict's payload and mark. It counts in queue_length.
 * - The end of the file is reported at once, even if packets wait; verdicts are accepted until close.
 * - A record that is accepted without changes is written byte for byte as it was.
 * - Packets of an earlier section of pcapng may be decided later than those of the next one: see section.h.
 * - A forked child's verdicts have no effect in the parent. Programs that decide in children get their
 * packets
 *   through the engine.
 *
 * Threads: one receives, any number send. The reader, the current record and the clock belong to the receiver. The lock
 * protects everything else; it is not held while waiting for input or time.
 *
 * Readers poll an epoll descriptor. pcap_source.wait is the event that makes it readable.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include "capture/state.h"

#define QUEUE_LENGTH_DEFAULT 8192

static void give_back_all(struct held_store *store, struct held_list *l)
{
	struct held *h;

	while ((h = l->first) != NULL) {
		held_list_remove(l, h);
		held_give_back(store, h);
	}
}

static void free_source(struct pcap_source *p)
{
	give_back_all(&p->store, &p->passing);
	give_back_all(&p->store, &p->again);
	held_free(&p->store);
	section_release(p->section);
	section_release(p->out_section);
	capture_writer_close(p->out);
	capture_reader_close(p->in);
	source_pcap_wait_close(p);
	for (unsigned i = 0; i < SOURCE_BATCH_MAX; i++)
		free(p->large[i]);
	source_pcap_name_free(&p->name);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

static void pcap_close_source(struct source *s)
{
	struct pcap_source *p = pcap_of(s);

	source_pcap_let_pass(p, 0, true);
	free_source(p);
}

static void pcap_close_after_fork(struct source *s)
{
	struct pcap_source *p = pcap_of(s);

	if (p->out != NULL)
		capture_writer_close_after_fork(p->out);
	free_source(p);
}

static int pcap_open_source(struct source **s, const char *arg, struct ipq_error *e)
{
	struct pcap_source *p = calloc(1, sizeof(*p));
	int err;

	*s = NULL;
	if (p == NULL)
		return -ENOMEM;
	p->source.ops = &source_pcap;
	p->poll_fd = p->ready_fd = p->wake_fd = p->timer_fd = -1;
	p->wait = WAIT_VERDICT; /* until configure sets COPY_META or COPY_PACKET */
	p->next_id = 1;
	pthread_mutex_init(&p->lock, NULL);
	err = source_pcap_name_parse(&p->name, arg, e);
	if (err == 0)
		err = source_pcap_wait_open(p);
	if (err == 0)
		err = capture_reader_open(&p->in, p->name.in, e);
	if (err < 0) {
		pcap_close_source(&p->source);
		return err;
	}
	p->summary.bytes_size = capture_reader_size(p->in);
	*s = &p->source;
	return 0;
}

/*
 * A file lacks the attributes that only the kernel can add. All other flags are fulfilled, or have no meaning for a
 * file.
 */
static int usable_flags(uint32_t *flags, struct ipq_error *e)
{
	const uint32_t usable = IPQ_O_META_ONLY | IPQ_O_FAIL_OPEN | IPQ_O_SEGMENT | IPQ_O_TIMESTAMP |
				IPQ_O_BEST_EFFORT | IPQ_O_FLOWS;

	if ((*flags & ~usable) && !(*flags & IPQ_O_BEST_EFFORT))
		return ipq_fail(
			e, EOPNOTSUPP,
			"a capture file holds no conntrack entries, owners or security contexts: open "
			"without these flags, or with IPQ_O_BEST_EFFORT");
	*flags &= usable;
	return 0;
}

/* Creates the output, with the header of the file that is read. */
static int open_output(struct pcap_source *p, struct ipq_error *e)
{
	size_t len;

	if (capture_reader_has_sections(p->in)) {
		capture_reader_keep_blocks(p->in);
		p->section = section_new(capture_reader_header(p->in, &len));
		if (p->section == NULL)
			return -ENOMEM;
		p->out_section = section_use(p->section);
		section_written(p->section, section_len(p->section));
	}
	return capture_writer_open(&p->out, p->name.out, p->in, e);
}

/* Called at the first configure, with the lock held: creates the output, and allocates memory. */
static int start(struct pcap_source *p, uint32_t queue_length, struct ipq_error *e)
{
	int err = held_init(&p->store, queue_length);

	if (err == 0 && p->name.out != NULL)
		err = open_output(p, e);
	if (err < 0)
		held_free(&p->store);
	p->configured = err == 0;
	return err;
}

static int pcap_configure(struct source *s, const struct source_config *config, struct ipq_error *e)
{
	struct source_config c = *config;
	struct pcap_source *p = pcap_of(s);
	int err = usable_flags(&c.flags, e);

	if (err < 0)
		return err;
	if (c.queue_length == 0)
		c.queue_length = QUEUE_LENGTH_DEFAULT;
	pthread_mutex_lock(&p->lock);
	if (!p->configured)
		err = start(p, c.queue_length, e);
	if (err == 0) {
		p->config = c;
		if (p->wait == WAIT_VERDICT && c.mode != COPY_NONE && !source_pcap_full(p))
			source_pcap_wait_for(p, WAIT_NOTHING, 0);
	}
	pthread_mutex_unlock(&p->lock);
	return err < 0 ? err : (int)c.flags;
}

static int pcap_fd(const struct source *s)
{
	return ((const struct pcap_source *)s)->poll_fd;
}

static int pcap_counts(struct source *s, struct source_counts *counts)
{
	struct pcap_source *p = pcap_of(s);

	pthread_mutex_lock(&p->lock);
	*counts = (struct source_counts){ .waiting = p->store.waiting_count, .malformed = p->summary.unread };
	pthread_mutex_unlock(&p->lock);
	return 0;
}

/* The descriptor is made readable before `woken` is set, so that a receiver that sees `woken` can clear both. */
static int pcap_wake(struct source *s)
{
	struct pcap_source *p = pcap_of(s);

	eventfd_write(p->wake_fd, 1);
	atomic_store(&p->woken, true);
	return 0;
}

static const char *pcap_error_text(const struct source *s)
{
	const struct pcap_source *p = (const struct pcap_source *)s;

	return p->write_text.text[0] != '\0' ? p->write_text.text : p->end_text.text;
}

static int pcap_interface(const struct source *s, uint32_t index, char name[16], uint16_t *type)
{
	/* cast const away: the lock must be writable */
	struct pcap_source *p = pcap_of((struct source *)(uintptr_t)s);
	int err = -ENODEV;

	pthread_mutex_lock(&p->lock);
	if (index >= 1 && index <= p->interfaces) {
		memcpy(name, p->interface[index - 1].name, IFNAMSIZ);
		*type = p->interface[index - 1].type;
		err = 0;
	}
	pthread_mutex_unlock(&p->lock);
	return err;
}

static bool pcap_full(struct source *s)
{
	struct pcap_source *p = pcap_of(s);
	bool full;

	pthread_mutex_lock(&p->lock);
	full = p->again.first == NULL && p->end == 0 && source_pcap_full(p);
	pthread_mutex_unlock(&p->lock);
	return full;
}

static const char *pcap_verdict(const struct source *s, uint32_t id)
{
	const struct pcap_source *p = (const struct pcap_source *)s;

	for (unsigned i = 0; i < SOURCE_BATCH_MAX; i++)
		if (p->recorded[i].id == id)
			return p->recorded[i].verdict;
	return "";
}

void source_pcap_summary(struct source *s, struct pcap_summary *summary)
{
	struct pcap_source *p = pcap_of(s);

	pthread_mutex_lock(&p->lock);
	*summary = p->summary;
	summary->waiting = p->store.waiting_count;
	if (p->out != NULL)
		summary->bytes_written = capture_writer_position(p->out);
	pthread_mutex_unlock(&p->lock);
}

const struct source_ops source_pcap = {
	.name = "pcap",
	.lossless = true,
	.open = pcap_open_source,
	.close = pcap_close_source,
	.configure = pcap_configure,
	.fd = pcap_fd,
	.recv = source_pcap_recv,
	.send = source_pcap_send,
	.copy = source_pcap_copy,
	.counts = pcap_counts,
	.wake = pcap_wake,
	.close_after_fork = pcap_close_after_fork,
	.error = pcap_error_text,
	.full = pcap_full,
	.verdict = pcap_verdict,
	.interface = pcap_interface,
};
