/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Capture files as a source: the output file. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "capture/state.h"

#define SNAPLEN_AT 16	     /* offset of the snaplen in the header of pcap */
#define SNAPLEN_USUAL 262144 /* the snaplen that tcpdump and others write */

/* Stores the message of a failed write. */
static int written(struct pcap_source *p, int err)
{
	if (err < 0)
		ipq_fail(&p->write_text, -err, "%s: %s: packets accepted from now on are lost", p->name.out,
			 strerror(-err));
	return err;
}

int source_pcap_change_frame(const struct held *h, const struct source_verdict *v,
			     struct capture_piece piece[3])
{
	const struct frame *f = &h->frame;
	uint8_t *link = malloc((size_t)f->link_len + FRAME_END_MAX + h->record.caplen);

	if (link == NULL)
		return -ENOMEM;
	memcpy(link, held_frame(h), f->link_len);
	piece[0] = (struct capture_piece){ link, f->link_len };
	piece[1] = (struct capture_piece){ v->payload, v->payload_len };
	piece[2].bytes = link + f->link_len;
	piece[2].len = frame_change(f, link, held_frame(h), h->record.caplen, v->payload, v->payload_len,
				    link + f->link_len);
	return 0;
}

/*
 * libpcap refuses or truncates packets that are longer than the limit in their file, so the limit is raised. A
 * simple packet block needs the limit of its interface.
 */
static int raise_limit(struct pcap_source *p, const struct held *h)
{
	uint8_t limit[4];

	if (h->section != NULL && h->record.kind != CAPTURE_SIMPLE)
		return section_remove_limit(h->section, h->record.interface_index, p->out);
	if (h->section != NULL || p->limit_raised)
		return 0;
	p->limit_raised = true;
	capture_put32(h->record.swapped, limit, SNAPLEN_USUAL);
	capture_overwrite(p->out, SNAPLEN_AT, limit, sizeof(limit));
	return 0;
}

static int write_changed(struct pcap_source *p, const struct held *h, const struct source_verdict *v)
{
	struct capture_piece piece[3] = { { held_frame(h), h->record.caplen } };
	const int64_t *time = v != NULL && (v->present & SOURCE_SET_TIMESTAMP) ? &v->timestamp : NULL;
	uint32_t len = h->record.len;
	void *memory = NULL;
	int err = 0;

	if (v != NULL && (v->present & IPQ_SET_PAYLOAD)) {
		err = source_pcap_change_frame(h, v, piece);
		if (err < 0)
			return err;
		memory = (void *)(uintptr_t)piece[0].bytes;
		len = (uint32_t)(piece[0].len + piece[1].len + piece[2].len);
		/* The length includes the bytes of the packet that were not captured, or those after the packet. */
		if (h->record.len > h->record.caplen && v->payload_len == h->frame.payload_len &&
		    (h->frame.payload_len == h->frame.full_len ||
		     frame_is_cut(&h->frame, v->payload, v->payload_len)))
			len += h->record.len - h->record.caplen;
	}
	if (h->record.snaplen != 0 && piece[0].len + piece[1].len + piece[2].len > h->record.snaplen)
		err = raise_limit(p, h);
	if (err == 0)
		err = capture_write_changed(p->out, &h->record, h->data, piece, 3, len, time);
	free(memory);
	return err;
}

/* Call it before h is written: opens the section of h again if the output is in another one. */
static int enter_section(struct pcap_source *p, const struct held *h)
{
	int err = 0;

	if (h->section == NULL)
		return 0;
	if (h->section != p->out_section) {
		if (!h->record.begins_section)
			err = section_open_again(h->section, p->out);
		section_release(p->out_section);
		p->out_section = section_use(h->section);
	}
	section_written(h->section, h->section_len);
	if (h->record.is_interface)
		section_interface_written(h->section, capture_writer_position(p->out));
	return err;
}

int source_pcap_write(struct pcap_source *p, const struct held *h, const struct source_verdict *v)
{
	int err;

	if (p->out == NULL)
		return 0;
	err = enter_section(p, h);
	if (err < 0)
		return written(p, err);
	if (h->changed || (v != NULL && (v->present & (IPQ_SET_PAYLOAD | SOURCE_SET_TIMESTAMP))))
		return written(p, write_changed(p, h, v));
	return written(p, capture_write(p->out, h->data, capture_record_size(&h->record)));
}

int source_pcap_flush(struct pcap_source *p)
{
	return p->out != NULL ? written(p, capture_flush(p->out)) : 0;
}

int source_pcap_let_pass(struct pcap_source *p, uint32_t id, bool all)
{
	struct held *h;
	int err;

	while ((h = p->passing.first) != NULL && (all || (int32_t)(h->id - id) <= 0)) {
		err = source_pcap_write(p, h, NULL);
		if (err < 0)
			return err;
		held_list_remove(&p->passing, h);
		p->passing_count--;
		held_give_back(&p->store, h);
		p->summary.passed += h->record.kind != CAPTURE_BLOCK;
	}
	return 0;
}
