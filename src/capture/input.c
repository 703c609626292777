/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The bytes of a capture file, in a buffer that has one record or block in one piece. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "capture/reader.h"
#include "util/bytes.h"

uint32_t reader_get32(const struct capture_reader *r, const uint8_t *p)
{
	uint32_t v = get_native32(p);

	return r->swapped ? __builtin_bswap32(v) : v;
}

uint16_t reader_get16(const struct capture_reader *r, const uint8_t *p)
{
	uint16_t v = get_native16(p);

	return r->swapped ? __builtin_bswap16(v) : v;
}

static bool has_input(const struct capture_reader *r)
{
	struct pollfd p = { .fd = r->fd, .events = POLLIN };

	return poll(&p, 1, 0) != 0;
}

const uint8_t *reader_peek(struct capture_reader *r, size_t n)
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
		uint8_t *to = r->buffer + r->filled;
		size_t room = sizeof(r->buffer) - r->filled;

		if (r->in_record && !has_input(r)) {
			r->partial = true;
			return NULL;
		}
		got = r->unpack != NULL ? unpack_read(r->unpack, r->fd, to, room) : read(r->fd, to, room);
		if (got > 0)
			r->filled += (size_t)got;
		else if (got == 0)
			r->end = true;
		else if (errno == EAGAIN)
			poll(&(struct pollfd){ .fd = r->fd, .events = POLLIN }, 1, -1);
		else if (errno != EINTR || (r->header == NULL && r->filled == 0))
			r->error = errno; /* before the first byte, a signal may interrupt the wait */
	}
	return r->filled - r->at >= n ? r->buffer + r->at : NULL;
}

void reader_consume(struct capture_reader *r, size_t n)
{
	r->at += n;
	r->position += n;
}

bool reader_skip(struct capture_reader *r, uint64_t n)
{
	while (n > 0) {
		size_t piece = n < READ_BUFFER ? (size_t)n : READ_BUFFER;

		if (reader_peek(r, piece) == NULL)
			return false;
		reader_consume(r, piece);
		n -= piece;
	}
	return true;
}

bool reader_at_end(struct capture_reader *r)
{
	return reader_peek(r, 1) == NULL && r->error == 0;
}

int reader_damaged(struct capture_reader *r, const char *what)
{
	r->damage = what;
	return -EBADMSG;
}

int reader_take_header(struct capture_reader *r, size_t n)
{
	const uint8_t *bytes = reader_peek(r, n);

	if (bytes == NULL)
		return -EBADMSG;
	r->header = malloc(n);
	if (r->header == NULL)
		return -ENOMEM;
	memcpy(r->header, bytes, n);
	r->header_len = n;
	reader_consume(r, n);
	return 0;
}

bool capture_reader_ready(const struct capture_reader *r)
{
	return !r->pipe || (r->at < r->filled && !r->partial) || r->end || r->error != 0 ||
	       (r->unpack != NULL && unpack_ready(r->unpack)) || has_input(r);
}
