/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sections of pcapng that are opened again in the output. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "capture/reader.h"
#include "capture/section.h"
#include "util/bytes.h"

#define BYTE_ORDER_MAGIC 0x1a2b3c4d
#define HEADER 28	  /* size of a section header without options */
#define SNAPLEN_AT 12	  /* offset of the snaplen in the description of an interface */
#define INTERFACE_HEAD 16 /* bytes of an interface's description before its options */
#define INTERFACE_MAX 128 /* a file may have many interfaces with many options: store short ones */

struct section_interface {
	size_t copy;	   /* offset of the description in `bytes` */
	uint64_t position; /* position of the description in the output */
	bool unlimited;
};

struct section {
	uint32_t uses;
	bool swapped;
	/* the section header, then the interfaces with those options that packets depend on */
	uint8_t *bytes;
	size_t len, room;
	size_t written; /* number of these bytes that the output already has */
	struct section_interface *interface;
	uint32_t interfaces, interface_room, interfaces_written;
};

static int make_room(struct section *s, size_t len)
{
	uint8_t *grown;

	if (s->room - s->len >= len)
		return 0;
	grown = realloc(s->bytes, s->room * 2 + len);
	if (grown == NULL)
		return -ENOMEM;
	s->room = s->room * 2 + len;
	s->bytes = grown;
	return 0;
}

struct section *section_new(const uint8_t *header)
{
	struct section *s = calloc(1, sizeof(*s));

	if (s == NULL || make_room(s, HEADER) < 0) {
		free(s);
		return NULL;
	}
	s->uses = 1;
	s->swapped = get_native32(header + 8) != BYTE_ORDER_MAGIC;
	s->len = HEADER;
	memcpy(s->bytes, header, HEADER);
	capture_put32(s->swapped, s->bytes + 4, HEADER);
	memset(s->bytes + 16, 0xff, 8); /* length of the section: unknown */
	capture_put32(s->swapped, s->bytes + HEADER - 4, HEADER);
	return s;
}

struct section *section_use(struct section *s)
{
	s->uses++;
	return s;
}

void section_release(struct section *s)
{
	if (s == NULL || --s->uses > 0)
		return;
	free(s->interface);
	free(s->bytes);
	free(s);
}

static int note_interface(struct section *s)
{
	if (s->interfaces == s->interface_room) {
		uint32_t room = s->interface_room * 2 + 4;
		struct section_interface *grown = realloc(s->interface, room * sizeof(*grown));

		if (grown == NULL)
			return -ENOMEM;
		s->interface = grown;
		s->interface_room = room;
	}
	s->interface[s->interfaces++] = (struct section_interface){ .copy = s->len };
	return 0;
}

int section_add_interface(struct section *s, const uint8_t *block, size_t len)
{
	uint8_t copy[INTERFACE_MAX];
	const uint8_t *options = block + INTERFACE_HEAD, *value;
	size_t at = 0, begin = 0, size, n = INTERFACE_HEAD;
	uint16_t code;

	memcpy(copy, block, INTERFACE_HEAD);
	while ((value = pcapng_option(s->swapped, options, len - INTERFACE_HEAD - 4, &at, &code, &size)) !=
	       NULL) {
		if (pcapng_option_is_read(code) && at - begin <= sizeof(copy) - 4 - n) {
			memcpy(copy + n, value - 4, at - begin);
			n += at - begin;
		}
		begin = at;
	}
	capture_put32(s->swapped, copy + 4, (uint32_t)n + 4);
	capture_put32(s->swapped, copy + n, (uint32_t)n + 4);
	n += 4;
	if (make_room(s, n) < 0 || note_interface(s) < 0)
		return -ENOMEM;
	memcpy(s->bytes + s->len, copy, n);
	s->len += n;
	return 0;
}

size_t section_len(const struct section *s)
{
	return s->len;
}

void section_written(struct section *s, size_t len)
{
	if (s->written < len)
		s->written = len;
}

void section_interface_written(struct section *s, uint64_t position)
{
	s->interface[s->interfaces_written++].position = position;
}

int section_remove_limit(struct section *s, uint32_t interface, struct capture_writer *w)
{
	static const uint8_t none[4];
	struct section_interface *i = &s->interface[interface];

	if (i->unlimited)
		return 0;
	i->unlimited = true;
	memcpy(s->bytes + i->copy + SNAPLEN_AT, none, sizeof(none));
	if (capture_overwrite(w, i->position + SNAPLEN_AT, none, sizeof(none)))
		return 0; /* capture_write() returns an error later */
	return section_open_again(s, w);
}

int section_open_again(struct section *s, struct capture_writer *w)
{
	for (uint32_t i = 0; i < s->interfaces_written; i++)
		s->interface[i].position = capture_writer_position(w) + s->interface[i].copy;
	return capture_write(w, s->bytes, s->written);
}
