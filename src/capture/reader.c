/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reading capture files.
 *
 * libpcap is not used, for three reasons. It reads through stdio, which hides the position in a damaged file
 * and whether a pipe has data. It copies each packet once more. And libpcap.a needs libdbus, so that a
 * program could not be linked statically.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "capture/reader.h"

#define PCAPNG_MAGIC 0x0a0d0d0a /* a palindrome: the same number in both byte orders */

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

/* Begins to unpack what has been read so far, if it is compressed. */
static int open_unpack(struct capture_reader *r, struct ipq_error *e)
{
	const char *format = "";
	int err;

	if (reader_peek(r, 4) == NULL)
		return 0; /* too short for any format: see open_format() */
	err = unpack_open(&r->unpack, r->buffer, r->filled, &format);
	if (err == -EOPNOTSUPP)
		return ipq_fail(
			e, EOPNOTSUPP,
			"%s is compressed (%s), which this build cannot read: use %s -dc %s | ... pcap:-",
			r->path, format, format, r->path);
	if (err == 0 && r->unpack != NULL) {
		r->filled = 0;
		r->end = false;
		r->size = 0;
	}
	return err;
}

static const char *read_error(const struct capture_reader *r)
{
	if (r->unpack != NULL && r->error == EBADMSG)
		return "the compressed file is damaged or cut";
	if (r->unpack != NULL && r->error == EFBIG)
		return "it was compressed with a window of more than 128 MiB: unpack it by zstd --long=31 -d";
	return strerror(r->error);
}

/* Names of other formats, by their first bytes. */
static const char *other_format(const uint8_t *start)
{
	static const struct {
		const char *magic, *problem;
	} formats[] = {
		{ "snoo", "it is a snoop file: convert it by tshark -F pcapng" },
		{ "GMBU", "it is a Network Monitor file: convert it by tshark -F pcapng" },
		{ "RTSS", "it is a Network Monitor file: convert it by tshark -F pcapng" },
		{ "TRSN", "it is a Sniffer file: convert it by tshark -F pcapng" },
		{ "XCP", "it is a NetXRay file: convert it by tshark -F pcapng" },
		{ "\x1c\0\1\xac", "it is an IXIA pcap file: convert it by tshark -F pcapng" },
		{ "\xac\1\0\x1c", "it is an IXIA pcap file: convert it by tshark -F pcapng" },
	};

	for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++)
		if (memcmp(start, formats[i].magic, 4) == 0)
			return formats[i].problem;
	return "its first bytes belong to neither format";
}

static int open_format(struct capture_reader *r, struct ipq_error *e)
{
	const uint8_t *start = reader_peek(r, 4);
	uint32_t magic = 0;
	int err;

	if (start != NULL)
		memcpy(&magic, start, sizeof(magic));
	r->blocks = magic == PCAPNG_MAGIC;
	if (r->blocks)
		err = pcapng_read_header(r);
	else if (pcap_magic(r, magic))
		err = pcap_open(r);
	else
		err = start != NULL ? reader_damaged(r, other_format(start)) : -EBADMSG;
	if (err == 0 || err == -ENOMEM)
		return err;
	if (r->error != 0)
		return ipq_fail(e, r->error, "%s: %s", r->path, read_error(r));
	return ipq_fail(e, EINVAL, "%s is no pcap or pcapng file: %s", r->path,
			r->damage != NULL ? r->damage : "it ends before its first packet could begin");
}

/* The link type of all packets of a pcap file. In pcapng, each interface has its own. */
static int check_link(const struct capture_reader *r, struct ipq_error *e)
{
	if (r->blocks || frame_link_find(r->link_type) != NULL)
		return 0;
	return ipq_fail(e, EOPNOTSUPP,
			"%s has link type %" PRIu32
			"%s%s: only Ethernet, raw IP, MPLS, Linux cooked, NFLOG, PPP, 802.11 "
			"and loopback captures have packets that a firewall could queue",
			r->path, r->link_type, *frame_link_name(r->link_type) != '\0' ? " " : "",
			frame_link_name(r->link_type));
}

int capture_reader_open(struct capture_reader **reader, const char *path, struct ipq_error *e)
{
	struct capture_reader *r = malloc(sizeof(*r));
	int err;

	*reader = NULL;
	if (r == NULL)
		return -ENOMEM;
	memset(r, 0, offsetof(struct capture_reader, buffer));
	r->fd = -1;
	r->path = strdup(path);
	err = r->path != NULL ? open_file(r, e) : -ENOMEM;
	if (err == 0)
		err = open_unpack(r, e);
	if (err == 0)
		err = open_format(r, e);
	if (err == 0)
		err = check_link(r, e);
	if (err < 0)
		capture_reader_close(r);
	else
		*reader = r;
	return err;
}

void capture_reader_close(struct capture_reader *r)
{
	if (r == NULL)
		return;
	if (r->fd >= 0)
		close(r->fd);
	unpack_close(r->unpack);
	free(r->interface);
	free(r->header);
	free(r->path);
	free(r);
}

void capture_reader_keep_blocks(struct capture_reader *r)
{
	r->keep_blocks = true;
}

/* begin: where the record that failed begins. */
static int read_failed(const struct capture_reader *r, uint64_t begin, struct ipq_error *e)
{
	uint64_t packet = r->records + 1;

	if (r->error != 0)
		return ipq_fail(e, r->error, "%s: reading packet %" PRIu64 " at byte %" PRIu64 ": %s",
				r->path, packet, begin, read_error(r));
	if (r->damage != NULL)
		return ipq_fail(e, EBADMSG,
				"%s is damaged: packet %" PRIu64 ", which begins at byte %" PRIu64 ": %s",
				r->path, packet, begin, r->damage);
	return ipq_fail(e, EBADMSG,
			"%s is cut: packet %" PRIu64 " begins at byte %" PRIu64
			", the file ends at byte %" PRIu64,
			r->path, packet, begin, r->position + (r->filled - r->at));
}

int capture_read(struct capture_reader *r, struct capture_record *record, const uint8_t **data,
		 struct ipq_error *e)
{
	uint64_t begin = r->position;
	int n;

	if (!capture_reader_ready(r))
		return 0;
	r->in_record = r->pipe && r->unpack == NULL;
	r->partial = false;
	n = r->blocks ? pcapng_read(r, record, data, &begin) : pcap_read(r, record, data);
	r->in_record = false;
	if (n == -EBADMSG && r->partial)
		return 0;
	if (n == -ENODATA)
		return ipq_fail(e, ENODATA, "%s ends after %" PRIu64 " packets", r->path, r->records);
	if (n < 0)
		return n == -ENOMEM ? n : read_failed(r, begin, e);
	r->records += n == 1 && record->kind != CAPTURE_BLOCK;
	return n;
}

int capture_reader_fd(const struct capture_reader *r)
{
	return r->fd;
}

bool capture_reader_has_sections(const struct capture_reader *r)
{
	return r->blocks;
}

const void *capture_reader_header(const struct capture_reader *r, size_t *len)
{
	*len = r->header_len;
	return r->header;
}

uint64_t capture_reader_position(const struct capture_reader *r)
{
	return r->position;
}

uint64_t capture_reader_size(const struct capture_reader *r)
{
	return r->size;
}
