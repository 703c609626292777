/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Capture files as a source: what goes to the output file. */
#include <string.h>
#include "capture/state.h"

/* Keeps the message of a failed write. */
static int written(struct pcap_source *p, int err)
{
	if (err < 0)
		ipq_fail(&p->write_text, -err, "%s: %s: what is accepted from here on is lost", p->name.out,
			 strerror(-err));
	return err;
}

int source_pcap_write(struct pcap_source *p, const struct held *h, const struct source_verdict *v)
{
	struct capture_record record = h->record;

	if (p->out == NULL)
		return 0;
	if (v == NULL || (v->present & IPQ_SET_PAYLOAD) == 0)
		return written(p, capture_write(p->out, &record, h->data, record.caplen, NULL, 0));
	record.caplen = record.len = (uint32_t)(h->frame.link_len + v->payload_len);
	return written(
		p, capture_write(p->out, &record, h->data, h->frame.link_len, v->payload, v->payload_len));
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
		held_give_back(&p->store, h);
		p->summary.passed++;
	}
	return 0;
}
