/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reading capture files: pcap (draft-ietf-opsawg-pcap) and pcapng (draft-ietf-opsawg-pcapng).
 *
 * Not by libpcap, for three reasons. It reads through stdio, which hides at which byte a damaged file
 * went wrong and whether a pipe has anything to read; it copies each packet once more; and libpcap.a
 * wants libdbus, which nobody can link statically, while programs that are linked statically are what
 * this library is for.
 *
 * The buffer holds one record or block in one piece, and always more than the longest that we take.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "capture/file.h"

#define READ_BUFFER (512 * 1024)
#define CAPLEN_MAX 262144 /* what libpcap and Wireshark take */
#define INTERFACES_MAX 65536
#define NSEC 1000000000ULL

enum block {
	BLOCK_INTERFACE = 1,
	BLOCK_PACKET_OLD = 2,
	BLOCK_PACKET_SIMPLE = 3,
	BLOCK_PACKET = 6,
	BLOCK_SECTION = 0x0a0d0d0a
};

/* Of a pcapng file. Time is counted in 10^-exponent or 2^-exponent seconds. */
struct interface {
	uint16_t link_type;
	uint32_t snaplen;
	bool binary;
	uint8_t exponent;
	int64_t offset; /* seconds to add */
};

struct capture_reader {
	const struct frame_link *link;
	char *path;
	int fd;
	bool pipe;   /* may have nothing yet */
	bool end;    /* of the file was met */
	int error;   /* errno of a failed read */
	bool blocks; /* pcapng */
	bool swapped;
	bool nanoseconds;
	uint32_t link_type;
	struct interface *interface;
	uint32_t interfaces, interface_room;
	uint64_t size;
	uint64_t position; /* of buffer[at] in the file */
	uint64_t records;
	const char *damage; /* what is wrong, when a function returned -EBADMSG and the file isn't cut */
	size_t at, filled;
	uint8_t buffer[READ_BUFFER];
};

/* ---- bytes -------------------------------------------------------------------------------------- */

static uint32_t get32(const struct capture_reader *r, const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return r->swapped ? __builtin_bswap32(v) : v;
}

static uint16_t get16(const struct capture_reader *r, const uint8_t *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return r->swapped ? __builtin_bswap16(v) : v;
}

/* The next n bytes of the file in one piece, not yet consumed; NULL when it has not that many. */
static const uint8_t *peek(struct capture_reader *r, size_t n)
{
	ssize_t got;

	if (n > sizeof(r->buffer))
		return NULL;
	if (r->filled - r->at < n && r->at > 0) {
		memmove(r->buffer, r->buffer + r->at, r->filled - r->at);
		r->filled -= r->at;
		r->at = 0;
	}
	while (r->filled - r->at < n && !r->end && r->error == 0) {
		got = read(r->fd, r->buffer + r->filled, sizeof(r->buffer) - r->filled);
		if (got > 0)
			r->filled += (size_t)got;
		else if (got == 0)
			r->end = true;
		else if (errno == EAGAIN)
			poll(&(struct pollfd){ .fd = r->fd, .events = POLLIN }, 1, -1);
		else if (errno != EINTR)
			r->error = errno;
	}
	return r->filled - r->at >= n ? r->buffer + r->at : NULL;
}

static void consume(struct capture_reader *r, size_t n)
{
	r->at += n;
	r->position += n;
}

/* Consumes n bytes, however many. False: the file ends before. */
static bool skip(struct capture_reader *r, uint64_t n)
{
	while (n > 0) {
		size_t piece = n < READ_BUFFER ? (size_t)n : READ_BUFFER;

		if (peek(r, piece) == NULL)
			return false;
		consume(r, piece);
		n -= piece;
	}
	return true;
}

static bool at_end(struct capture_reader *r)
{
	return peek(r, 1) == NULL && r->error == 0;
}

static int damaged(struct capture_reader *r, const char *what)
{
	r->damage = what;
	return -EBADMSG;
}

bool capture_reader_ready(const struct capture_reader *r)
{
	struct pollfd p = { .fd = r->fd, .events = POLLIN };

	return !r->pipe || r->at < r->filled || r->end || r->error != 0 || poll(&p, 1, 0) != 0;
}

/* ---- pcap --------------------------------------------------------------------------------------- */

static bool pcap_magic(struct capture_reader *r, uint32_t magic)
{
	r->swapped = (magic & 0xff) == 0xa1;
	magic = r->swapped ? __builtin_bswap32(magic) : magic;
	r->nanoseconds = magic == 0xa1b23c4d;
	return r->nanoseconds || magic == 0xa1b2c3d4;
}

static int open_pcap(struct capture_reader *r)
{
	const uint8_t *header = peek(r, 24);

	if (header == NULL)
		return -EBADMSG;
	if (get16(r, header + 4) != 2 || get16(r, header + 6) < 3)
		return damaged(r, "its version is not 2.3 or 2.4");
	r->link_type =
		get32(r, header + 20) & 0x03ffffff; /* above: whether and which check sums follow frames */
	consume(r, 24);
	return 0;
}

static int read_pcap(struct capture_reader *r, struct capture_record *record, const uint8_t **data)
{
	const uint8_t *header = peek(r, 16);
	uint32_t fraction;

	if (header == NULL)
		return at_end(r) ? -ENODATA : -EBADMSG;
	fraction = get32(r, header + 4);
	record->sec = get32(r, header);
	record->nsec = r->nanoseconds ? fraction : fraction * 1000ULL;
	record->caplen = get32(r, header + 8);
	record->len = get32(r, header + 12);
	if (record->caplen > CAPLEN_MAX)
		return damaged(r, "its length is more than a packet can have");
	header = peek(r, 16 + record->caplen);
	if (header == NULL)
		return -EBADMSG;
	*data = header + 16;
	consume(r, 16 + record->caplen);
	return 1;
}

/* ---- pcapng ------------------------------------------------------------------------------------- */

/* A block's type and whole length, which is checked; the block is not consumed. */
static int next_block(struct capture_reader *r, uint32_t *type, uint32_t *len)
{
	const uint8_t *block = peek(r, 12);

	if (block == NULL)
		return at_end(r) ? -ENODATA : -EBADMSG;
	*type = get32(r, block);
	if (*type == BLOCK_SECTION) {
		uint32_t magic;

		memcpy(&magic, block + 8, sizeof(magic));
		if (magic != 0x1a2b3c4d && magic != 0x4d3c2b1a)
			return damaged(r, "a section without byte order");
		r->swapped = magic == 0x4d3c2b1a;
		r->interfaces = 0;
	}
	*len = get32(r, block + 4);
	if (*len < (*type == BLOCK_SECTION ? 28U : 12U) || *len % 4 != 0)
		return damaged(r, "a block of impossible length");
	return 0;
}

/* The whole block in one piece, with its two lengths compared and at least min bytes. */
static const uint8_t *whole_block(struct capture_reader *r, uint32_t len, uint32_t min)
{
	const uint8_t *block;

	if (len < min || len > READ_BUFFER) {
		damaged(r, "a block of impossible length");
		return NULL;
	}
	block = peek(r, len);
	if (block != NULL && get32(r, block + len - 4) != len) {
		damaged(r, "the two lengths of a block differ");
		return NULL;
	}
	return block;
}

static void interface_options(const struct capture_reader *r, const uint8_t *p, size_t len,
			      struct interface *i)
{
	while (len >= 4) {
		uint16_t code = get16(r, p), size = get16(r, p + 2);
		size_t whole = 4 + ((size + 3U) & ~3U);

		if (code == 0 || whole > len)
			return;
		if (code == 9 && size == 1) { /* if_tsresol */
			i->binary = p[4] & 0x80;
			i->exponent = p[4] & 0x7f;
		} else if (code == 14 && size == 8) { /* if_tsoffset */
			uint64_t a = get32(r, p + 4), b = get32(r, p + 8);

			i->offset = (int64_t)(r->swapped == (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__)
						      ? a << 32 | b
						      : b << 32 | a);
		}
		p += whole;
		len -= whole;
	}
}

static int add_interface(struct capture_reader *r, uint32_t len)
{
	const uint8_t *block = whole_block(r, len, 20);
	struct interface *i;

	if (block == NULL)
		return -EBADMSG;
	if (r->interfaces == r->interface_room) {
		uint32_t room = r->interface_room != 0 ? r->interface_room * 2 : 8;

		if (room > INTERFACES_MAX)
			return damaged(r, "too many interfaces");
		i = realloc(r->interface, room * sizeof(*i));
		if (i == NULL)
			return -ENOMEM;
		r->interface = i;
		r->interface_room = room;
	}
	i = &r->interface[r->interfaces++];
	*i = (struct interface){ .link_type = get16(r, block + 8),
				 .snaplen = get32(r, block + 12),
				 .exponent = 6 };
	interface_options(r, block + 16, len - 20, i);
	if (i->exponent > (i->binary ? 63 : 19))
		return damaged(r, "a clock finer than can be counted");
	consume(r, len);
	return 0;
}

static void set_time(struct capture_record *record, const struct interface *i, uint64_t stamp)
{
	uint64_t units = 1, fraction;
	int64_t sec;

	if (i->binary) {
		units <<= i->exponent;
		fraction = stamp % units;
		if (i->exponent > 32)
			record->nsec = (fraction >> (i->exponent - 32)) * NSEC >> 32;
		else
			record->nsec = fraction * NSEC >> i->exponent;
	} else {
		for (int n = 0; n < i->exponent; n++)
			units *= 10;
		fraction = stamp % units;
		record->nsec = units <= NSEC ? fraction * (NSEC / units) : fraction / (units / NSEC);
	}
	sec = (int64_t)(stamp / units);
	if (stamp / units > INT64_MAX || __builtin_add_overflow(sec, i->offset, &record->sec))
		record->sec = 0;
}

/* Of the three kinds of packet block, the two with a time have the same layout but for the interface. */
static int read_packet_block(struct capture_reader *r, uint32_t type, uint32_t len,
			     struct capture_record *record, const uint8_t **data)
{
	uint32_t head = type == BLOCK_PACKET_SIMPLE ? 12 : 28, index = 0;
	const uint8_t *block = whole_block(r, len, head + 4);
	const struct interface *i;

	if (block == NULL)
		return -EBADMSG;
	if (type != BLOCK_PACKET_SIMPLE)
		index = type == BLOCK_PACKET ? get32(r, block + 8) : get16(r, block + 8);
	if (index >= r->interfaces)
		return damaged(r, "it came in by an interface that the file does not describe");
	i = &r->interface[index];
	if (i->link_type != r->link_type)
		return damaged(r,
			       "its link type is another than that of the first interface: split the file");
	if (type == BLOCK_PACKET_SIMPLE) {
		record->sec = 0;
		record->nsec = 0;
		record->len = get32(r, block + 8);
		record->caplen = i->snaplen != 0 && i->snaplen < record->len ? i->snaplen : record->len;
	} else {
		set_time(record, i, (uint64_t)get32(r, block + 12) << 32 | get32(r, block + 16));
		record->caplen = get32(r, block + 20);
		record->len = get32(r, block + 24);
	}
	if (record->caplen > CAPLEN_MAX || record->caplen > len - head - 4)
		return damaged(r, "its length is more than its block has");
	*data = block + head;
	consume(r, len);
	return 1;
}

/* Up to and with the next packet; or, where record is NULL, the next interface. begin: where its block
 * begins. */
static int read_blocks(struct capture_reader *r, struct capture_record *record, const uint8_t **data,
		       uint64_t *begin)
{
	uint32_t type, len;
	int err;

	while (record == NULL || capture_reader_ready(r)) {
		*begin = r->position;
		err = next_block(r, &type, &len);
		if (err < 0)
			return err;
		if (record != NULL &&
		    (type == BLOCK_PACKET || type == BLOCK_PACKET_SIMPLE || type == BLOCK_PACKET_OLD))
			return read_packet_block(r, type, len, record, data);
		if (type == BLOCK_INTERFACE) {
			err = add_interface(r, len);
			if (err < 0 || record == NULL)
				return err;
		} else if (!skip(r, len)) {
			return -EBADMSG;
		}
	}
	return 0;
}

/* The first interface says what link type the file has; packets cannot stand before it. */
static int open_pcapng(struct capture_reader *r)
{
	uint64_t begin;
	int err = read_blocks(r, NULL, NULL, &begin);

	if (err == -ENODATA)
		return damaged(r, "it describes no interface");
	if (err < 0)
		return err;
	r->nanoseconds = true;
	r->link_type = r->interface[0].link_type;
	return 0;
}

/* ---- both --------------------------------------------------------------------------------------- */

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

static int open_format(struct capture_reader *r, struct ipq_error *e)
{
	const uint8_t *start = peek(r, 4);
	uint32_t magic = 0;
	int err;

	if (start != NULL)
		memcpy(&magic, start, sizeof(magic));
	r->blocks = magic == BLOCK_SECTION;
	if (r->blocks)
		err = open_pcapng(r);
	else if (pcap_magic(r, magic))
		err = open_pcap(r);
	else
		err = start != NULL ? damaged(r, "it begins with neither format's number") : -EBADMSG;
	if (err == 0 || err == -ENOMEM)
		return err;
	if (r->error != 0)
		return ipq_fail(e, r->error, "%s: %s", r->path, strerror(r->error));
	return ipq_fail(e, EINVAL, "%s is no pcap or pcapng file: %s", r->path,
			r->damage != NULL ? r->damage : "it ends before its first packet could begin");
}

static int find_link(struct capture_reader *r, struct ipq_error *e)
{
	r->link = frame_link_find(r->link_type);
	if (r->link != NULL)
		return 0;
	return ipq_fail(e, EOPNOTSUPP,
			"%s has link type %" PRIu32
			"%s: only Ethernet, raw IP, Linux cooked and loopback captures "
			"hold packets that a firewall could have queued",
			r->path, r->link_type, frame_link_name(r->link_type));
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
		err = open_format(r, e);
	if (err == 0)
		err = find_link(r, e);
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
	free(r->interface);
	free(r->path);
	free(r);
}

/* begin is where the record that failed begins. */
static int read_failed(const struct capture_reader *r, uint64_t begin, struct ipq_error *e)
{
	uint64_t packet = r->records + 1;

	if (r->error != 0)
		return ipq_fail(e, r->error, "%s: reading packet %" PRIu64 " at byte %" PRIu64 ": %s",
				r->path, packet, begin, strerror(r->error));
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
	n = r->blocks ? read_blocks(r, record, data, &begin) : read_pcap(r, record, data);
	if (n == -ENODATA)
		return ipq_fail(e, ENODATA, "%s ends after %" PRIu64 " packets", r->path, r->records);
	if (n < 0)
		return n == -ENOMEM ? n : read_failed(r, begin, e);
	r->records += (uint64_t)n;
	return n;
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
