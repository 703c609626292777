/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The metadata of a record: hook, mark and interfaces.
 *
 * Recordings of ipq have them in a custom option of pcapng (code 2988, a text), with netfilter's private enterprise
 * number: "ipq" and words hook=NAME, indev=NAME, outdev=NAME, mark=NUMBER, verdict=NAME. In NFLOG captures, hook and
 * mark are in the frame. Otherwise the interface has the name that the file gives it. Options of the source take
 * precedence, its defaults come last.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <linux/netfilter.h>
#include "capture/state.h"

#define OPTION_CUSTOM_TEXT 2988
#define ENTERPRISE_NETFILTER 21373
#define PREFIX "ipq "

struct metadata {
	bool has_hook, has_mark;
	uint8_t hook;
	uint32_t mark;
	char indev[IFNAMSIZ], outdev[IFNAMSIZ]; /* interface names; "": none */
	char verdict[16];
};

static void set_interface(char name[IFNAMSIZ], const char *value)
{
	size_t len = strlen(value);

	if (len < IFNAMSIZ)
		memcpy(name, value, len + 1);
}

static void parse_word(struct metadata *m, const char *word)
{
	struct source_pcap_name name = { 0 };
	char *end;

	if (strncmp(word, "hook=", 5) == 0 && source_pcap_hook_parse(word + 5, &name.hook) == 0) {
		m->has_hook = true;
		m->hook = name.hook;
	} else if (strncmp(word, "indev=", 6) == 0) {
		set_interface(m->indev, word + 6);
	} else if (strncmp(word, "outdev=", 7) == 0) {
		set_interface(m->outdev, word + 7);
	} else if (strncmp(word, "verdict=", 8) == 0) {
		snprintf(m->verdict, sizeof(m->verdict), "%.15s", word + 8);
	} else if (strncmp(word, "mark=", 5) == 0) {
		m->mark = (uint32_t)strtoul(word + 5, &end, 0);
		m->has_mark = end != word + 5 && *end == '\0';
	}
}

/* Reads the option of a recording. False: the record has none. */
static bool parse_recording(const struct held *h, struct metadata *m)
{
	const uint8_t *tail = held_frame(h) + h->record.caplen, *value;
	char text[256], *word, *rest;
	size_t at = 0, size;
	uint32_t enterprise;

	while ((value = capture_option(&h->record, tail, OPTION_CUSTOM_TEXT, &at, &size)) != NULL) {
		if (size <= 4 + strlen(PREFIX) || size >= sizeof(text) ||
		    memcmp(value + 4, PREFIX, strlen(PREFIX)) != 0)
			continue;
		memcpy(&enterprise, value, sizeof(enterprise));
		if ((h->record.swapped ? __builtin_bswap32(enterprise) : enterprise) != ENTERPRISE_NETFILTER)
			continue;
		memcpy(text, value + 4, size - 4);
		text[size - 4] = '\0';
		for (word = strtok_r(text, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest))
			parse_word(m, word);
		return true;
	}
	return false;
}

/* Returns the index of an interface. Adds unknown interfaces, up to a limit. */
static uint32_t interface_index(struct pcap_source *p, const char *name, uint32_t link_type)
{
	const struct frame_link *link = frame_link_find(link_type);
	uint16_t type = link != NULL ? link->arphrd : 0;
	uint32_t i;

	for (i = 0; i < p->interfaces; i++)
		if (p->interface[i].type == type && strcmp(p->interface[i].name, name) == 0)
			return i + 1;
	if (i == INTERFACES_KNOWN)
		return 1;
	memset(&p->interface[i], 0, sizeof(p->interface[i]));
	memcpy(p->interface[i].name, name, strlen(name));
	p->interface[i].type = type;
	p->interfaces++;
	return i + 1;
}

/* Interface names of other systems, such as \Device\NPF_..., are not used. */
static bool is_interface_name(const char *name)
{
	return *name != '\0' && strpbrk(name, " /\\") == NULL;
}

static const char *choose(bool given, const char *option, const char *recorded, const char *described)
{
	if (given)
		return option;
	if (is_interface_name(recorded))
		return recorded;
	return is_interface_name(described) ? described : option;
}

void source_pcap_fill_metadata(struct pcap_source *p, const struct held *h, struct ipq_packet *packet,
			       struct recorded *recorded)
{
	const struct source_pcap_name *name = &p->name;
	const char *described = h->record.interface;
	struct metadata m = { .has_hook = h->frame.has_hook,
			      .hook = h->frame.hook,
			      .has_mark = h->frame.has_mark,
			      .mark = h->frame.mark };
	bool is_recording = parse_recording(h, &m);

	packet->hook =
		m.has_hook && !name->hook_given && m.hook <= NF_INET_POST_ROUTING ? m.hook : name->hook;
	if (packet->hook <= NF_INET_FORWARD) {
		packet->indev = interface_index(p, choose(name->indev_given, name->indev, m.indev, described),
						h->record.link_type);
		packet->present |= IPQ_HAS_INDEV;
	}
	if (packet->hook >= NF_INET_FORWARD) {
		/* In FORWARD, the interface of the file is taken as the input interface. */
		if (packet->hook == NF_INET_FORWARD || is_recording)
			described = "";
		packet->outdev =
			interface_index(p, choose(name->outdev_given, name->outdev, m.outdev, described),
					h->record.link_type);
		packet->present |= IPQ_HAS_OUTDEV;
	}
	recorded->id = h->id;
	memcpy(recorded->verdict, m.verdict, sizeof(m.verdict));
	if (h->marked || m.has_mark) {
		packet->mark = h->marked ? h->mark : m.mark;
		packet->present |= IPQ_HAS_MARK;
	}
}
