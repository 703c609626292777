// SPDX-License-Identifier: LGPL-2.1-or-later
/* Edits TCP headers: fixed fields and options (RFC 9293, 3.1 and 3.2). */
#include <errno.h>
#include <netinet/in.h>

#include "edit/edit.h"

enum {
	TCP_MAX_OPTIONS = 40,
	TCP_OPTION_END = 0,
	TCP_OPTION_NOP = 1,
	TCP_OPTION_MSS = 2,
	TCP_FLAGS = 0x1ff,
};

static int write_tcp(struct ipq_edit *e, size_t offset, const void *bytes, size_t n)
{
	int err = edit_transport(e, IPPROTO_TCP);

	if (!err)
		edit_write(e, e->transport + offset, bytes, n);
	return err;
}

static int write_tcp32(struct ipq_edit *e, size_t offset, uint32_t value)
{
	uint32_t bytes = htonl(value);

	return write_tcp(e, offset, &bytes, sizeof(bytes));
}

int ipq_edit_set_tcp_flags(struct ipq_edit *e, unsigned flags, unsigned mask)
{
	int err = edit_transport(e, IPPROTO_TCP);
	uint8_t bytes[2];

	if (err)
		return err;
	if ((flags | mask) & ~(unsigned)TCP_FLAGS)
		return edit_fail(e, IPQ_EDIT_REASON_ARGUMENT, -EINVAL);
	put16(bytes, (get16(e->data + e->transport + 12) & ~mask) | (flags & mask));
	return write_tcp(e, 12, bytes, sizeof(bytes));
}

int ipq_edit_set_tcp_sequence(struct ipq_edit *e, uint32_t sequence)
{
	return write_tcp32(e, 4, sequence);
}

int ipq_edit_set_tcp_acknowledgement(struct ipq_edit *e, uint32_t acknowledgement)
{
	return write_tcp32(e, 8, acknowledgement);
}

int ipq_edit_set_tcp_window(struct ipq_edit *e, uint16_t window)
{
	uint8_t bytes[2];

	put16(bytes, window);
	return write_tcp(e, 14, bytes, sizeof(bytes));
}

/* ---- TCP options ---- */

static size_t first_option(const struct ipq_edit *e)
{
	return e->transport + TCP_HEADER;
}

int ipq_edit_find_tcp_option(const struct ipq_edit *e, uint8_t kind, size_t *len)
{
	int at;

	if (e->transport_error)
		return e->transport_error;
	if (e->protocol != IPPROTO_TCP)
		return -EPROTONOSUPPORT;
	if (kind == TCP_OPTION_END || kind == TCP_OPTION_NOP)
		return -ENOENT;
	at = edit_find_option(e, first_option(e), kind);
	if (at < 0)
		return at;
	if (len)
		*len = e->data[at + 1] - 2u;
	return at + 2;
}

/* A list of options under construction. */
struct options {
	uint8_t bytes[TCP_MAX_OPTIONS];
	size_t len; /* may exceed the size of `bytes`, if the options are too long */
};

static void append_option(struct options *o, const uint8_t *head, size_t head_len, const void *value,
			  size_t len)
{
	if (o->len + head_len + len <= sizeof(o->bytes)) {
		memcpy(o->bytes + o->len, head, head_len);
		if (len)
			memcpy(o->bytes + o->len + head_len, value, len);
	}
	o->len += head_len + len;
}

/*
 * Builds the packet's options with this value for the option `kind`, padded to 32-bit words. 0, -EBADMSG or
 * -EMSGSIZE.
 */
static int build_options(const struct ipq_edit *e, struct options *o, bool keep_nop, uint8_t kind,
			 const void *value, size_t value_len)
{
	uint8_t head[2] = { kind, (uint8_t)(value_len + 2) };
	bool done = false;
	int len;

	memset(o, 0, sizeof(*o));
	for (size_t at = first_option(e); at < e->payload && e->data[at] != TCP_OPTION_END;
	     at += (size_t)len) {
		len = edit_option_len(e->data, at, e->payload);
		if (len < 0)
			return len;
		if (e->data[at] == kind && !done) {
			append_option(o, head, sizeof(head), value, value_len);
			done = true;
		} else if (e->data[at] != TCP_OPTION_NOP || keep_nop) {
			append_option(o, e->data + at, (size_t)len, NULL, 0);
		}
	}
	if (!done)
		append_option(o, head, sizeof(head), value, value_len);
	/* The bytes after the options are zeros already, which means end of list. */
	o->len = (o->len + 3) & ~(size_t)3;
	return o->len > sizeof(o->bytes) ? -EMSGSIZE : 0;
}

/*
 * Whether options of this kind can be changed. A signature can be replaced or removed, the other options of a
 * signed packet cannot.
 */
static int edit_option(struct ipq_edit *e, uint8_t kind)
{
	int err = edit_transport(e, IPPROTO_TCP);

	if (err == -EOPNOTSUPP && e->reason == IPQ_EDIT_REASON_SIGNED && edit_signature(e) == kind)
		err = 0;
	if (!err && (kind == TCP_OPTION_END || kind == TCP_OPTION_NOP))
		return edit_fail(e, IPQ_EDIT_REASON_ARGUMENT, -EINVAL);
	return err;
}

int ipq_edit_set_tcp_option(struct ipq_edit *e, uint8_t kind, const void *value, size_t len)
{
	int err = edit_option(e, kind);
	struct options o;
	uint8_t bytes[2];

	if (err)
		return err;
	if (len > TCP_MAX_OPTIONS - 2)
		return edit_fail(e, IPQ_EDIT_REASON_SIZE, -EMSGSIZE);
	err = build_options(e, &o, true, kind, value, len);
	if (err == -EMSGSIZE)
		err = build_options(e, &o, false, kind, value, len);
	if (err)
		return edit_fail(e, err == -EMSGSIZE ? IPQ_EDIT_REASON_SIZE : IPQ_EDIT_REASON_MALFORMED, err);
	err = edit_splice(e, first_option(e), e->payload - first_option(e), o.bytes, o.len);
	if (err)
		return err;
	e->payload = (uint32_t)(first_option(e) + o.len);
	/* The header length is a number of 32-bit words, in the upper four bits. */
	put16(bytes,
	      (get16(e->data + e->transport + 12) & 0xfffu) | (unsigned)(TCP_HEADER + o.len) / 4 << 12);
	edit_write(e, e->transport + 12, bytes, sizeof(bytes));
	return 0;
}

int ipq_edit_clear_tcp_option(struct ipq_edit *e, uint8_t kind)
{
	int err = edit_option(e, kind), found = 0, len;
	uint8_t options[TCP_MAX_OPTIONS];
	size_t n, at;

	if (err)
		return err;
	n = e->payload - first_option(e);
	memcpy(options, e->data + first_option(e), n);
	for (at = 0; at < n && options[at] != TCP_OPTION_END; at += (size_t)len) {
		len = edit_option_len(options, at, n);
		if (len < 0)
			return edit_fail(e, IPQ_EDIT_REASON_MALFORMED, len);
		if (options[at] == kind) {
			memset(options + at, TCP_OPTION_NOP, (size_t)len);
			found = 1;
		}
	}
	if (!found)
		return edit_fail(e, IPQ_EDIT_REASON_ARGUMENT, -ENOENT);
	edit_write(e, first_option(e), options, n);
	return 0;
}

int ipq_edit_clamp_mss(struct ipq_edit *e, uint16_t mss)
{
	int err = edit_transport(e, IPPROTO_TCP), at;
	uint8_t bytes[2];
	size_t len = 0;

	if (err)
		return err;
	if (!(e->data[e->transport + 13] & IPQ_TCP_SYN))
		return 0;
	at = ipq_edit_find_tcp_option(e, TCP_OPTION_MSS, &len);
	if (at == -ENOENT)
		return 0;
	if (at < 0 || len != 2)
		return edit_fail(e, IPQ_EDIT_REASON_MALFORMED, -EBADMSG);
	if (get16(e->data + at) <= mss)
		return 0;
	put16(bytes, mss);
	edit_write(e, (size_t)at, bytes, sizeof(bytes));
	return 1;
}
