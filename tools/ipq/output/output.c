/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <pcap/pcap.h>
#include "common/text.h"
#include "output/feedback.h"
#include "output/names.h"
#include "output/output.h"
#include "output/own_link.h"
#include "output/writer.h"
#include "util/clock.h"

#define LINES_SIZE (4U << 20)
#define RECORDS_SIZE (16U << 20)
#define NOTES_SIZE (256U << 10)
#define HEADERS 256	 /* number of bytes of a packet from which a line is made, if the line has no names */
#define HOLD (32U << 10) /* maximum bytes of lines that are written together */
#define PATIENCE_MS 300	 /* maximum time to wait for writes after a signal */
#define NOTES_PATIENCE_MS 200

/* A stream of text: a descriptor, and the lines that were not written yet. */
struct stream {
	struct output *output;
	int fd;
	FILE *text; /* stream of open_memstream() */
	char *bytes;
	size_t used;
};

struct output {
	struct output_options options;
	struct stream lines, notes;
	struct recorder *record;
	char *own_link;			/* a filter as text; NULL: no packet is omitted */
	struct bpf_program own_packets; /* the filter, compiled */
	atomic_flag own_reported;
	struct feedback *feedback; /* NULL: no packet is omitted */
	struct writer *line_writer, *record_writer, *note_writer;
	bool stuck;
};

/* An item for the thread that writes lines: text, or a packet followed by its bytes. */
struct line {
	bool is_packet;
	struct print_packet print;
	struct ipq_packet packet;
};

/* An item for the thread that records, followed by the comment and the packet's bytes. */
struct record {
	struct pcapng_record record;
	struct ipq_packet packet;
	size_t comment_len; /* includes the terminator */
};

/* ---- text ---------------------------------------------------------------------------------------- */

/* Writes all bytes, even if that takes long. */
static int write_all(int fd, const char *bytes, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, bytes, len);

		if (n < 0 && errno == EAGAIN)
			poll(&(struct pollfd){ .fd = fd, .events = POLLOUT }, 1, -1);
		else if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0) {
			bytes += n;
			len -= (size_t)n;
		}
	}
	return 0;
}

static int flush_stream(void *context)
{
	struct stream *s = context;
	int err;

	if (fflush(s->text) != 0)
		return -ENOMEM;
	if (s->output->feedback != NULL)
		feedback_note(s->output->feedback, s->bytes, s->used);
	err = write_all(s->fd, s->bytes, s->used);
	rewind(s->text);
	return err;
}

static int write_line(void *context, const void *item, size_t len)
{
	struct stream *s = context;
	const struct line *line = item;
	struct print_packet print = line->print;
	struct ipq_packet packet = line->packet;

	if (line->is_packet) {
		packet.payload = (uint8_t *)(uintptr_t)(line + 1);
		print.packet = &packet;
		print_packet(s->text, &s->output->options.style, &print);
	} else {
		fwrite(line + 1, 1, len - sizeof(*line), s->text);
	}
	return ftell(s->text) < (long)HOLD ? 0 : flush_stream(s);
}

static int write_note(void *context, const void *item, size_t len)
{
	const struct stream *s = context;

	return write_all(s->fd, item, len);
}

static int flush_notes(void *context)
{
	(void)context;
	return 0;
}

static void lines_failed(void *context, int error)
{
	struct output *o = ((struct stream *)context)->output;

	if (error != -EPIPE) /* a reader that closes the pipe is not a failure: ipq watch | head */
		text_complain(o->options.who, "standard output was not written completely: %s",
			      strerror(-error));
	if (o->options.failed != NULL)
		o->options.failed(o->options.context, false);
}

static void lines_dropped(void *context, uint64_t n)
{
	const struct output *o = ((struct stream *)context)->output;

	text_note("%s: %llu lines were dropped: the output is slower than the packets\n", o->options.who,
		  (unsigned long long)n);
}

/* ---- records ------------------------------------------------------------------------------------- */

static int write_record(void *context, const void *item, size_t len)
{
	const struct output *o = context;
	const struct record *r = item;
	const char *comment = (const char *)(r + 1);
	struct pcapng_record record = r->record;
	struct ipq_packet packet = r->packet;

	(void)len;
	packet.payload = (uint8_t *)(uintptr_t)(comment + r->comment_len);
	record.packet = &packet;
	record.comment = r->comment_len > 0 ? comment : NULL;
	return recorder_write(o->record, &record);
}

static int flush_records(void *context)
{
	const struct output *o = context;

	return recorder_flush(o->record);
}

static int close_record(void *context)
{
	struct output *o = context;
	int err = recorder_close(o->record);

	o->record = NULL;
	return err;
}

/* The path of the file that is now being written. */
static const char *path_of(const struct output *o)
{
	return o->record != NULL ? recorder_path(o->record) : o->options.record.path;
}

static void records_failed(void *context, int error)
{
	const struct output *o = context;

	if (error != -EPIPE || strcmp(o->options.record.path, "-") != 0)
		text_complain(o->options.who, "%s: %s: recording has stopped", path_of(o), strerror(-error));
	if (o->options.failed != NULL)
		o->options.failed(o->options.context, true);
}

static void records_dropped(void *context, uint64_t n)
{
	const struct output *o = context;

	text_note("%s: %llu packets were not recorded: %s is slower than the packets\n", o->options.who,
		  (unsigned long long)n, o->options.record.path);
}

/* ---- producers ----------------------------------------------------------------------------------- */

/* Returns a copy of the packet whose only pointer refers to `len` bytes of the payload. */
static struct ipq_packet without_views(const struct ipq_packet *packet, uint32_t max, uint32_t *len)
{
	const uint32_t views =
		IPQ_HAS_LINK_HEADER | IPQ_HAS_SECURITY_CONTEXT | IPQ_HAS_CONNTRACK | IPQ_HAS_EXPECTATION;
	struct ipq_packet copy = *packet;

	copy.present &= ~views;
	copy.link_header_len = copy.security_context_len = copy.conntrack_len = copy.expectation_len = 0;
	if ((copy.present & IPQ_HAS_PAYLOAD) == 0)
		copy.payload_len = 0;
	if (copy.payload_len > max)
		copy.payload_len = max;
	*len = copy.payload_len;
	return copy;
}

/* Number of bytes of the payload from which the line is made. */
static uint32_t line_bytes(const struct output *o, const struct ipq_packet *packet)
{
	if (o->options.style.bytes || o->options.style.text)
		return UINT32_MAX;
	if ((packet->present & IPQ_HAS_PAYLOAD) == 0 || packet->payload_len <= HEADERS)
		return HEADERS;
	return names_are_long(packet->payload, packet->payload_len) ? NAMES_BYTES : HEADERS;
}

/* Whether a line about this packet would be sent in another packet of the same connection. */
static bool is_own(struct output *o, const struct ipq_packet *packet)
{
	const char *name = o->own_link;
	enum feedback_answer answer;
	char link[160];
	bool report;

	if ((packet->present & IPQ_HAS_PAYLOAD) == 0 || o->feedback == NULL)
		return false;
	if (o->own_link != NULL && bpf_filter(o->own_packets.bf_insns, packet->payload, packet->full_len,
					      packet->payload_len) != 0) {
		report = !atomic_flag_test_and_set(&o->own_reported);
	} else {
		answer = feedback_check(o->feedback, packet, link);
		if (answer == FEEDBACK_NO)
			return false;
		report = answer == FEEDBACK_NEW;
		name = link;
	}
	if (report)
		text_note("%s: not shown, because it carries this output: %s\n", o->options.who, name);
	return true;
}

bool output_packet(struct output *o, const struct print_packet *p)
{
	struct line line = { .is_packet = true, .print = *p };
	struct iovec piece[2] = { { &line, sizeof(line) } };
	uint32_t len;

	if (o->line_writer == NULL)
		return false;
	if (is_own(o, p->packet))
		return true;
	line.packet = without_views(p->packet, line_bytes(o, p->packet), &len);
	piece[1] = (struct iovec){ p->packet->payload, len };
	return writer_put(o->line_writer, piece, 2);
}

bool output_text(struct output *o, const char *text, size_t len)
{
	struct line line = { .is_packet = false };
	struct iovec piece[2] = { { &line, sizeof(line) }, { (char *)(uintptr_t)text, len } };

	return o->line_writer != NULL && writer_put(o->line_writer, piece, 2);
}

bool output_record(struct output *o, const struct pcapng_record *r)
{
	struct record record = { .record = *r };
	uint32_t len;

	if (o->record_writer == NULL || (strcmp(o->options.record.path, "-") == 0 && is_own(o, r->packet)))
		return true;
	record.packet = without_views(r->packet, UINT32_MAX, &len);
	record.comment_len = r->comment != NULL ? strlen(r->comment) + 1 : 0;
	return writer_put(o->record_writer,
			  (struct iovec[]){ { &record, sizeof(record) },
					    { (char *)(uintptr_t)r->comment, record.comment_len },
					    { r->packet->payload, len } },
			  3);
}

/* The writer that text_complain() and text_note() use while packets wait. */
static struct writer *note_sink;

static void put_note(const char *text, size_t len)
{
	writer_put(note_sink, &(struct iovec){ (char *)(uintptr_t)text, len }, 1);
}

/* ---- start and end ------------------------------------------------------------------------------- */

/* Finds the connections that carry the output. 0 or -ENOMEM. */
static int find_own_link(struct output *o)
{
	pcap_t *pcap = pcap_open_dead(DLT_RAW, 65535);
	int err = pcap != NULL ? 0 : -ENOMEM;

	o->feedback = feedback_new();
	if (o->feedback == NULL)
		err = -ENOMEM;
	o->own_link = own_link_filter();
	if (err == 0 && o->own_link != NULL &&
	    pcap_compile(pcap, &o->own_packets, o->own_link, 1, PCAP_NETMASK_UNKNOWN) != 0)
		err = -ENOMEM;
	if (pcap != NULL)
		pcap_close(pcap);
	return err;
}

int output_open(struct output **output, const struct output_options *options, struct ipq_error *e)
{
	struct output *o = calloc(1, sizeof(*o));
	int err = 0;

	*output = NULL;
	if (o == NULL)
		return ipq_fail(e, ENOMEM, "out of memory");
	o->options = *options;
	o->lines = (struct stream){ .output = o, .fd = STDOUT_FILENO };
	o->notes = (struct stream){ .output = o, .fd = STDERR_FILENO };
	o->lines.text = open_memstream(&o->lines.bytes, &o->lines.used);
	if (o->lines.text == NULL || (!options->include_own && find_own_link(o) < 0))
		err = ipq_fail(e, ENOMEM, "out of memory");
	if (err == 0 && options->record.path != NULL)
		err = recorder_open(&o->record, &options->record, e);
	if (err < 0)
		output_close(o, 1);
	else
		*output = o;
	return err;
}

int output_start(struct output *o)
{
	static const struct writer_ops lines = {
		.write = write_line, .flush = flush_stream, .failed = lines_failed, .dropped = lines_dropped
	};
	static const struct writer_ops records = { .write = write_record,
						   .flush = flush_records,
						   .close = close_record,
						   .failed = records_failed,
						   .dropped = records_dropped };
	static const struct writer_ops notes = { .write = write_note, .flush = flush_notes };
	int err = writer_start(&o->note_writer, &notes, &o->notes, NOTES_SIZE, NULL);

	if (err < 0)
		return err;
	note_sink = o->note_writer;
	text_redirect(put_note);
	err = writer_start(&o->line_writer, &lines, &o->lines, LINES_SIZE, o->options.lossless);
	if (err == 0 && o->record != NULL)
		err = writer_start(&o->record_writer, &records, o, RECORDS_SIZE, o->options.lossless);
	return err;
}

static bool take_signal(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGQUIT);
	sigaddset(&set, SIGHUP);
	return sigtimedwait(&set, NULL, &(struct timespec){ 0 }) > 0;
}

void output_finish(struct output *o, bool interrupted)
{
	struct writer *const all[] = { o->line_writer, o->record_writer };
	int64_t deadline = now_ms() + PATIENCE_MS;

	for (unsigned i = 0; i < 2; i++) {
		while (all[i] != NULL && !writer_end(all[i], interrupted ? 10 : 50)) {
			if (!interrupted && take_signal()) {
				interrupted = true;
				deadline = now_ms() + PATIENCE_MS;
			}
			if (interrupted && now_ms() >= deadline) {
				o->stuck = true;
				break;
			}
		}
	}
}

uint64_t output_lines_dropped(const struct output *o)
{
	return o->line_writer != NULL ? writer_dropped(o->line_writer) : 0;
}

uint64_t output_records_dropped(const struct output *o)
{
	return o->record_writer != NULL ? writer_dropped(o->record_writer) : 0;
}

static bool failed(struct writer *w)
{
	int err = w != NULL ? writer_error(w) : 0;

	return err < 0 && err != -EPIPE;
}

/* Reports lost lines and records, unless the reader closed the pipe. */
static void report(const struct output *o)
{
	if (output_lines_dropped(o) > 0 && writer_error(o->line_writer) != -EPIPE)
		text_note("%s: %llu lines were dropped\n", o->options.who,
			  (unsigned long long)output_lines_dropped(o));
	if (output_records_dropped(o) > 0 && writer_error(o->record_writer) != -EPIPE)
		text_note("%s: %llu packets were not recorded\n", o->options.who,
			  (unsigned long long)output_records_dropped(o));
}

int output_close(struct output *o, int status)
{
	if (o == NULL)
		return status;
	report(o);
	if (status == 0 && (failed(o->line_writer) || failed(o->record_writer)))
		status = 1;
	text_redirect(NULL);
	if (o->note_writer != NULL && !writer_end(o->note_writer, NOTES_PATIENCE_MS))
		o->stuck = true;
	if (o->stuck)
		_exit(status); /* exit() would flush to the same file, and wait, too */
	writer_free(o->line_writer);
	writer_free(o->record_writer);
	writer_free(o->note_writer);
	recorder_close(o->record);
	if (o->lines.text != NULL)
		fclose(o->lines.text);
	free(o->lines.bytes);
	pcap_freecode(&o->own_packets);
	free(o->own_link);
	feedback_free(o->feedback);
	free(o);
	return status;
}
