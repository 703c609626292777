/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <netinet/in.h>
#include <string.h>
#include "filter/view.h"
#include "util/bytes.h"

enum { IPV4_HEADER = 20, IPV6_HEADER = 40 };

const struct decoded *view_decode(struct view *v)
{
	if (!v->decoded)
		decode(&v->d, v->data, v->len);
	v->decoded = true;
	return &v->d;
}

/* Copies the transport header. A later fragment has none, whatever its bytes are. */
static void copy_transport(struct view *v)
{
	const struct decoded *d = view_decode(v);

	v->transport_len = 0;
	if (!d->cut && d->transport <= v->len && (!d->fragment || d->version == 4))
		v->transport_len = v->len - d->transport;
	if (v->transport_len > sizeof(v->bytes) - VIEW_HEADER_MAX)
		v->transport_len = sizeof(v->bytes) - VIEW_HEADER_MAX;
	memcpy(v->bytes + VIEW_HEADER_MAX, v->data + d->transport, v->transport_len);
	v->header = VIEW_NONE;
	v->copied = true;
}

static void write_header(struct view *v, enum view_header header)
{
	const struct decoded *d = &v->d;
	uint32_t after = v->full_len - d->transport;
	uint8_t *p;

	v->header = header;
	if (d->version == 4 || header == VIEW_IPV4)
		v->header_len = d->version == 4 ? (v->data[0] & 15U) * 4 : IPV4_HEADER;
	else
		v->header_len = IPV6_HEADER;
	p = v->bytes + VIEW_HEADER_MAX - v->header_len;
	if (d->version == 6 && header == VIEW_IPV4) {
		memset(p, 0, IPV4_HEADER);
		p[0] = 0x45;
		p[7] = d->fragment ? 1 : 0;
	} else {
		memcpy(p, v->data, v->header_len);
	}
	if (p[0] >> 4 == 4) {
		put16(p + 2, v->header_len + after);
		p[9] = d->protocol;
	} else {
		put16(p + 4, after);
		p[6] = d->protocol;
	}
}

bool view_match_packet(const struct view *v, const struct bpf_program *program)
{
	return bpf_filter(program->bf_insns, v->data, v->full_len, v->len) != 0;
}

/* The network header in v->bytes; NULL: the packet has no valid one. */
static uint8_t *make_header(struct view *v, enum view_header header)
{
	const struct decoded *d = view_decode(v);

	if (d->version == 0 || (d->version == 4 && (v->data[0] & 15) < 5) || d->transport > v->len)
		return NULL;
	if (!v->copied)
		copy_transport(v);
	if (v->header != header)
		write_header(v, header);
	return v->bytes + VIEW_HEADER_MAX - v->header_len;
}

static bool run(const struct view *v, const uint8_t *p, const struct bpf_program *program)
{
	return bpf_filter(program->bf_insns, p, v->header_len + v->full_len - v->d.transport,
			  v->header_len + v->transport_len) != 0;
}

bool view_match(struct view *v, const struct bpf_program *program, enum view_header header)
{
	const uint8_t *p = make_header(v, header);

	return p != NULL ? run(v, p, program) : view_match_packet(v, program);
}

bool view_match_protocol(struct view *v, const struct bpf_program *program, uint8_t protocol)
{
	uint8_t *p = make_header(v, VIEW_PLAIN), *at, next = v->bytes[VIEW_HEADER_MAX];
	bool matches;

	if (p == NULL)
		return false;
	at = &p[v->d.version == 4 ? 9 : 6];
	*at = protocol;
	/*
	 * For "tcp", libpcap's code also reads the byte after a Fragment header: this byte must not look like a
	 * protocol.
	 */
	v->bytes[VIEW_HEADER_MAX] = IPPROTO_NONE;
	matches = run(v, p, program);
	v->bytes[VIEW_HEADER_MAX] = next;
	*at = v->d.protocol;
	return matches;
}
