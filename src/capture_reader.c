/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reading capture files.
 *
 * Theory of operation: libpcap parses, but what it reads comes through a stream of our own
 * (fopencookie), unbuffered, with the buffer on our side. So we know at each moment which byte of the
 * file libpcap has come to, on pipes too, which is what an error has to say; and whether the next record
 * has begun to arrive, so that a reader with a timeout isn't held by a pipe that has nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <pcap/pcap.h>
#include "capture.h"

#define READ_BUFFER (256 * 1024)
#define MAGIC_MICROSECONDS 0xa1b2c3d4U

struct capture_reader {
	pcap_t *pcap;
	const struct frame_link *link;
	char *path;
	int fd;
	bool pipe; /* may have nothing yet */
	bool end;  /* of the file was met */
	bool nanoseconds;
	int error; /* errno of a failed read */
	uint64_t size;
	uint64_t position; /* of the next byte that libpcap gets */
	uint64_t records;
	size_t at, filled; /* in buffer */
	unsigned char buffer[READ_BUFFER];
};

/* Fills the buffer, which is empty. */
static void fill(struct capture_reader *r)
{
	ssize_t n;

	do
		n = read(r->fd, r->buffer, sizeof(r->buffer));
	while (n < 0 && errno == EINTR);
	r->at = 0;
	r->filled = n > 0 ? (size_t)n : 0;
	if (n == 0)
		r->end = true;
	if (n < 0)
		r->error = errno;
}

static ssize_t stream_read(void *cookie, char *to, size_t want)
{
	struct capture_reader *r = cookie;
	size_t n, done = 0;

	while (done < want) {
		if (r->at == r->filled)
			fill(r);
		if (r->at == r->filled)
			break;
		n = want - done < r->filled - r->at ? want - done : r->filled - r->at;
		memcpy(to + done, r->buffer + r->at, n);
		r->at += n;
		done += n;
	}
	r->position += done;
	return done == 0 && r->error != 0 ? -1 : (ssize_t)done;
}

static int open_file(struct capture_reader *r, struct ipq_error *e)
{
	struct stat st;
	int err;

	r->fd = strcmp(r->path, "-") == 0 ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0)
					  : open(r->path, O_RDONLY | O_CLOEXEC);
	if (r->fd < 0 || fstat(r->fd, &st) < 0) {
		err = errno;
		return ipq_fail(e, err, "%s: %s", r->path, strerror(err));
	}
	if (S_ISDIR(st.st_mode))
		return ipq_fail(e, EISDIR, "%s is a directory: name a capture file", r->path);
	r->pipe = !S_ISREG(st.st_mode);
	if (!r->pipe) {
		r->size = (uint64_t)st.st_size;
		posix_fadvise(r->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	}
	return 0;
}

/* Only the magic number says which resolution the file has: libpcap scales and keeps it to itself. */
static void find_resolution(struct capture_reader *r)
{
	uint32_t magic = 0;

	while (r->filled < sizeof(magic)) {
		ssize_t n = read(r->fd, r->buffer + r->filled, sizeof(r->buffer) - r->filled);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break; /* libpcap meets the same and says it */
		r->filled += (size_t)n;
	}
	if (r->filled >= sizeof(magic))
		memcpy(&magic, r->buffer, sizeof(magic));
	r->nanoseconds = magic != MAGIC_MICROSECONDS && magic != __builtin_bswap32(MAGIC_MICROSECONDS);
}

static int open_stream(struct capture_reader *r, struct ipq_error *e)
{
	static const cookie_io_functions_t functions = { .read = stream_read };
	char text[PCAP_ERRBUF_SIZE] = "";
	FILE *stream = fopencookie(r, "r", functions);

	if (stream == NULL)
		return -ENOMEM;
	setvbuf(stream, NULL, _IONBF, 0);
	r->pcap = pcap_fopen_offline_with_tstamp_precision(stream, PCAP_TSTAMP_PRECISION_NANO, text);
	if (r->pcap != NULL)
		return 0; /* the stream is libpcap's now */
	fclose(stream);
	if (r->error != 0)
		return ipq_fail(e, r->error, "%s: %s", r->path, strerror(r->error));
	return ipq_fail(e, EINVAL, "%s is no capture file that can be read: %s", r->path, text);
}

int capture_reader_open(struct capture_reader **reader, const char *path, struct ipq_error *e)
{
	struct capture_reader *r = malloc(sizeof(*r));
	int err, type;

	*reader = NULL;
	if (r == NULL)
		return -ENOMEM;
	memset(r, 0, offsetof(struct capture_reader, buffer));
	r->fd = -1;
	r->path = strdup(path);
	err = r->path != NULL ? open_file(r, e) : -ENOMEM;
	if (err < 0)
		goto fail;
	find_resolution(r);
	err = open_stream(r, e);
	if (err < 0)
		goto fail;
	type = pcap_datalink(r->pcap);
	r->link = frame_link_find(type);
	if (r->link == NULL) {
		const char *name = pcap_datalink_val_to_name(type);

		err = ipq_fail(e, EOPNOTSUPP,
			       "%s has link type %s (%d): only Ethernet, raw IP, Linux cooked and loopback "
			       "captures hold packets that a firewall could have queued",
			       r->path, name != NULL ? name : "unknown", type);
		goto fail;
	}
	*reader = r;
	return 0;
fail:
	capture_reader_close(r);
	return err;
}

void capture_reader_close(struct capture_reader *r)
{
	if (r == NULL)
		return;
	if (r->pcap != NULL)
		pcap_close(r->pcap);
	if (r->fd >= 0)
		close(r->fd);
	free(r->path);
	free(r);
}

/* begin is where the record that failed begins. */
static int read_failed(const struct capture_reader *r, uint64_t begin, struct ipq_error *e)
{
	if (r->error != 0)
		return ipq_fail(e, r->error, "%s: reading packet %" PRIu64 " at byte %" PRIu64 ": %s",
				r->path, r->records + 1, r->position, strerror(r->error));
	if (r->end && r->at == r->filled)
		return ipq_fail(e, EBADMSG,
				"%s is cut: packet %" PRIu64 " begins at byte %" PRIu64
				", the file ends at byte %" PRIu64,
				r->path, r->records + 1, begin, r->position);
	return ipq_fail(e, EBADMSG, "%s is damaged: packet %" PRIu64 ", which begins at byte %" PRIu64 ": %s",
			r->path, r->records + 1, begin, pcap_geterr(r->pcap));
}

bool capture_reader_ready(const struct capture_reader *r)
{
	struct pollfd p = { .fd = r->fd, .events = POLLIN };

	return !r->pipe || r->at < r->filled || r->end || r->error != 0 || poll(&p, 1, 0) != 0;
}

int capture_read(struct capture_reader *r, struct capture_record *record, const uint8_t **data,
		 struct ipq_error *e)
{
	uint64_t begin = r->position;
	struct pcap_pkthdr *header;
	int n;

	if (!capture_reader_ready(r))
		return 0;
	n = pcap_next_ex(r->pcap, &header, data);
	if (n == PCAP_ERROR_BREAK)
		return ipq_fail(e, ENODATA, "%s ends after %" PRIu64 " packets", r->path, r->records);
	if (n != 1)
		return read_failed(r, begin, e);
	r->records++;
	record->sec = header->ts.tv_sec;
	record->nsec = (uint64_t)header->ts.tv_usec;
	record->caplen = header->caplen;
	record->len = header->len;
	return 1;
}

int capture_reader_fd(const struct capture_reader *r)
{
	return r->fd;
}

const struct frame_link *capture_reader_link(const struct capture_reader *r)
{
	return r->link;
}

bool capture_reader_nanoseconds(const struct capture_reader *r)
{
	return r->nanoseconds;
}

uint64_t capture_reader_position(const struct capture_reader *r)
{
	return r->position;
}

uint64_t capture_reader_size(const struct capture_reader *r)
{
	return r->size;
}
