/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "common/text.h"
#include "output/decode.h"
#include "output/print.h"

/* Eight colours of the terminal's own palette, so that they suit dark and light backgrounds. */
#define DIM "2"
#define RED "31"
#define GREEN "32"
#define YELLOW "33"
#define CYAN "36"

bool print_wants_colour(FILE *out)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

	return (no == NULL || *no == '\0') && term != NULL && strcmp(term, "dumb") != 0 &&
	       isatty(fileno(out));
}

const char *print_hook(unsigned hook)
{
	static const char *const names[] = { "PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING" };

	return hook < sizeof(names) / sizeof(names[0]) ? names[hook] : "-";
}

static const char *short_hook(unsigned hook)
{
	static const char *const names[] = { "pre", "in", "fwd", "out", "post" };

	return hook < sizeof(names) / sizeof(names[0]) ? names[hook] : "-";
}

static void paint(FILE *out, const struct print_style *style, const char *colour, const char *text)
{
	if (style->colour)
		fprintf(out, "\033[%sm%s\033[0m", colour, text);
	else
		fputs(text, out);
}

static bool printable(unsigned char c)
{
	return c >= 0x20 && c < 0x7f;
}

static void escape(FILE *out, const char *text)
{
	for (; *text != '\0'; text++) {
		if (printable((unsigned char)*text) && *text != '\\')
			fputc(*text, out);
		else
			fprintf(out, "\\x%02x", (unsigned char)*text);
	}
}

static void print_time(FILE *out, const struct print_style *style, int64_t ns)
{
	time_t seconds = (time_t)(ns / 1000000000);
	struct tm tm;
	char text[32], whole[64];

	localtime_r(&seconds, &tm);
	strftime(text, sizeof(text), "%H:%M:%S", &tm);
	snprintf(whole, sizeof(whole), "%s.%06d ", text, (int)(ns % 1000000000 / 1000));
	paint(out, style, DIM, whole);
}

static void address(const struct decoded *d, const uint8_t *a, char text[INET6_ADDRSTRLEN])
{
	inet_ntop(d->version == 4 ? AF_INET : AF_INET6, a, text, INET6_ADDRSTRLEN);
}

static void tcp_flags(uint8_t flags, char text[16])
{
	static const char letters[] = "FSRP.UEW"; /* as tcpdump writes them */
	unsigned n = 0;

	for (unsigned i = 0; i < 8; i++)
		if ((flags & 1U << i) != 0)
			text[n++] = letters[i];
	text[n] = '\0';
}

static const char *icmp_name(const struct decoded *d)
{
	static const struct {
		uint8_t version, type;
		const char *name;
	} names[] = {
		{ 4, 0, "echo reply" },
		{ 4, 3, "unreachable" },
		{ 4, 5, "redirect" },
		{ 4, 8, "echo request" },
		{ 4, 11, "time exceeded" },
		{ 6, 1, "unreachable" },
		{ 6, 2, "packet too big" },
		{ 6, 3, "time exceeded" },
		{ 6, 128, "echo request" },
		{ 6, 129, "echo reply" },
		{ 6, 133, "router solicitation" },
		{ 6, 134, "router advertisement" },
		{ 6, 135, "neighbour solicitation" },
		{ 6, 136, "neighbour advertisement" },
	};

	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (names[i].version == d->version && names[i].type == d->icmp_type)
			return names[i].name;
	return NULL;
}

static void print_addresses(FILE *out, const struct decoded *d)
{
	char source[INET6_ADDRSTRLEN], destination[INET6_ADDRSTRLEN];
	const char *open = d->version == 6 ? "[" : "", *close = d->version == 6 ? "]" : "";

	address(d, d->source, source);
	address(d, d->destination, destination);
	if (d->ports)
		fprintf(out, " %s%s%s:%u > %s%s%s:%u", open, source, close, d->source_port, open, destination,
			close, d->destination_port);
	else
		fprintf(out, " %s > %s", source, destination);
}

static void print_headers(FILE *out, const struct print_style *style, const struct decoded *d)
{
	const char *name = decode_protocol(d), *icmp;
	char text[16];

	if (d->version == 0) {
		paint(out, style, YELLOW, "not IP");
		return;
	}
	snprintf(text, sizeof(text), "proto-%u", d->protocol);
	paint(out, style, CYAN, name != NULL ? name : text);
	print_addresses(out, d);
	if (d->tcp) {
		tcp_flags(d->tcp_flags, text);
		fprintf(out, " [%s]", text);
	}
	icmp = d->icmp ? icmp_name(d) : NULL;
	if (icmp != NULL)
		fprintf(out, " %s", icmp);
	else if (d->icmp)
		fprintf(out, " type %u code %u", d->icmp_type, d->icmp_code);
	if (d->fragment)
		fputs(" fragment", out);
}

static const char *verdict_colour(const char *verdict)
{
	if (strcmp(verdict, "accept") == 0)
		return GREEN;
	return strncmp(verdict, "drop", 4) == 0 ? RED : YELLOW;
}

static void print_bytes(FILE *out, const uint8_t *p, uint32_t len)
{
	for (uint32_t at = 0; at < len; at += 16) {
		fprintf(out, "\t0x%04x: ", at);
		for (uint32_t i = at; i < at + 16; i++) {
			if (i % 2 == 0)
				fputc(' ', out);
			if (i < len)
				fprintf(out, "%02x", p[i]);
			else
				fputs("  ", out);
		}
		fputs("  ", out);
		for (uint32_t i = at; i < at + 16 && i < len; i++)
			fputc(printable(p[i]) ? p[i] : '.', out);
		fputc('\n', out);
	}
}

static void print_text(FILE *out, const struct print_style *style, const struct print_packet *p,
		       const struct decoded *d)
{
	const struct ipq_packet *packet = p->packet;

	print_time(out, style, p->time);
	fprintf(out, "%-4s ", short_hook(packet->hook));
	escape(out, p->indev);
	if (p->indev[0] != '\0' && p->outdev[0] != '\0')
		fputc('>', out);
	escape(out, p->outdev);
	fputc(' ', out);
	print_headers(out, style, d);
	fprintf(out, " len %u", packet->full_len);
	if ((packet->present & IPQ_HAS_MARK) != 0 && packet->mark != 0)
		fprintf(out, " mark 0x%x", packet->mark);
	if ((packet->present & IPQ_HAS_UID) != 0)
		fprintf(out, " uid %u", packet->uid);
	if (p->verdict != NULL) {
		fputc(' ', out);
		paint(out, style, verdict_colour(p->verdict), p->verdict);
	}
	fputc('\n', out);
	if (style->bytes && (packet->present & IPQ_HAS_PAYLOAD) != 0)
		print_bytes(out, packet->payload, packet->payload_len);
}

static void json_member(FILE *out, const char *name, const char *text)
{
	if (text == NULL || *text == '\0')
		return;
	fprintf(out, ",\"%s\":", name);
	text_put_json(out, text);
}

static void json_headers(FILE *out, const struct decoded *d)
{
	char text[INET6_ADDRSTRLEN];

	fprintf(out, ",\"ip\":%u,\"protocol\":%u", d->version, d->protocol);
	json_member(out, "protocol_name", decode_protocol(d));
	address(d, d->source, text);
	json_member(out, "source", text);
	address(d, d->destination, text);
	json_member(out, "destination", text);
	if (d->ports)
		fprintf(out, ",\"source_port\":%u,\"destination_port\":%u", d->source_port,
			d->destination_port);
	if (d->tcp) {
		tcp_flags(d->tcp_flags, text);
		json_member(out, "tcp_flags", text);
		fprintf(out, ",\"sequence\":%u,\"acknowledgement\":%u", d->sequence, d->acknowledgement);
	}
	if (d->icmp)
		fprintf(out, ",\"icmp_type\":%u,\"icmp_code\":%u", d->icmp_type, d->icmp_code);
	if (d->fragment)
		fputs(",\"fragment\":true", out);
}

static void print_json(FILE *out, const struct print_style *style, const struct print_packet *p,
		       const struct decoded *d)
{
	const struct ipq_packet *packet = p->packet;

	fprintf(out, "{\"time\":%lld.%09lld,\"hook\":\"%s\"", (long long)(p->time / 1000000000),
		(long long)(p->time % 1000000000), print_hook(packet->hook));
	json_member(out, "indev", p->indev);
	json_member(out, "outdev", p->outdev);
	if (d->version != 0)
		json_headers(out, d);
	fprintf(out, ",\"length\":%u", packet->full_len);
	if ((packet->present & IPQ_HAS_MARK) != 0)
		fprintf(out, ",\"mark\":%u", packet->mark);
	if ((packet->present & IPQ_HAS_UID) != 0)
		fprintf(out, ",\"uid\":%u", packet->uid);
	json_member(out, "verdict", p->verdict);
	if (style->bytes && (packet->present & IPQ_HAS_PAYLOAD) != 0) {
		fputs(",\"bytes\":\"", out);
		for (uint32_t i = 0; i < packet->payload_len; i++)
			fprintf(out, "%02x", packet->payload[i]);
		fputc('"', out);
	}
	fputs("}\n", out);
}

void print_packet(FILE *out, const struct print_style *style, const struct print_packet *p)
{
	bool payload = (p->packet->present & IPQ_HAS_PAYLOAD) != 0;
	struct decoded d;

	decode(&d, p->packet->payload, payload ? p->packet->payload_len : 0);
	flockfile(out); /* lines of several queues do not mix */
	if (style->json)
		print_json(out, style, p, &d);
	else
		print_text(out, style, p, &d);
	funlockfile(out);
}
