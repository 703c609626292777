/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "common/text.h"
#include "output/decode.h"
#include "output/names.h"
#include "output/print.h"
#include "util/bytes.h"

#define NANO 1000000000

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

/* Converts ns to seconds, rounded down, even for times before 1970. */
static int64_t seconds_of(int64_t ns)
{
	return ns / NANO - (ns % NANO < 0);
}

static int nanoseconds_of(int64_t ns)
{
	int rest = (int)(ns % NANO);

	return rest < 0 ? rest + NANO : rest;
}

static void print_time(FILE *out, const struct print_style *style, int64_t ns)
{
	time_t seconds = (time_t)seconds_of(ns);
	struct tm tm;
	char text[32], whole[64];

	localtime_r(&seconds, &tm);
	strftime(text, sizeof(text), "%H:%M:%S", &tm);
	snprintf(whole, sizeof(whole), "%s.%06d ", text, nanoseconds_of(ns) / 1000);
	paint(out, style, DIM, whole);
}

static void address(const struct decoded *d, const uint8_t *a, char text[INET6_ADDRSTRLEN])
{
	inet_ntop(d->version == 4 ? AF_INET : AF_INET6, a, text, INET6_ADDRSTRLEN);
}

static void tcp_flags(uint8_t flags, char text[16])
{
	static const char letters[] = "FSRP.UEW"; /* the letters that tcpdump uses */
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

/* Prints the name in a request, in quotes, so that it cannot be taken for another part of the line. */
static void print_name(FILE *out, const struct print_style *style, const struct packet_name *name)
{
	const char *type = names_dns_type(name->type), *code = names_dns_code(name->code);

	if (name->kind == NAME_TLS)
		fputs(" tls ", out);
	else if (name->kind == NAME_DNS_QUESTION)
		fputs(" query ", out);
	else if (name->kind == NAME_DNS_ANSWER)
		fprintf(out, " answer %s%s", code != NULL ? code : "", code != NULL ? " " : "");
	else
		return;
	if (name->kind != NAME_TLS && type != NULL)
		fprintf(out, "%s ", type);
	else if (name->kind != NAME_TLS)
		fprintf(out, "type-%u ", name->type);
	if (style->colour)
		fputs("\033[1m", out);
	escape(out, name->text);
	if (style->colour)
		fputs("\033[0m", out);
}

static void print_hardware_address(FILE *out, const struct ipq_packet *packet)
{
	if ((packet->present & IPQ_HAS_HWADDR) == 0 || packet->hw_addr_len == 0)
		return;
	fputs(" from", out);
	for (unsigned i = 0; i < packet->hw_addr_len; i++)
		fprintf(out, "%c%02x", i == 0 ? ' ' : ':', packet->hw_addr[i]);
}

/* Prints more fields of the headers (option -v). */
static void print_more(FILE *out, const struct ipq_packet *packet, const struct decoded *d)
{
	const uint8_t *p = packet->payload;

	if (d->version == 4)
		fprintf(out, " ttl %u id %u tos 0x%x%s", p[8], get16(p + 4), p[1],
			(p[6] & 0x40) != 0 ? " DF" : "");
	else if (d->version == 6)
		fprintf(out, " hlim %u class 0x%x flow 0x%x", p[7], (get16(p) >> 4) & 0xff,
			get32(p) & 0xfffff);
	if (d->tcp)
		fprintf(out, " seq %u ack %u", d->sequence, d->acknowledgement);
	if (d->tcp && packet->payload_len >= d->transport + 16)
		fprintf(out, " win %u", get16(p + d->transport + 14));
	print_hardware_address(out, packet);
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

/*
 * Prints the bytes after the transport header (option -A). Keeps newlines and tabs, and prints a dot for each other
 * unprintable byte.
 */
static void print_payload(FILE *out, const struct ipq_packet *packet, const struct decoded *d)
{
	const uint8_t *p = packet->payload;
	uint32_t at = d->transport, len = packet->payload_len;

	if (d->tcp)
		at += (uint32_t)(p[at + 12] >> 4) * 4;
	else if (d->ports || d->icmp)
		at += 8;
	if (at >= len)
		return;
	for (; at < len; at++)
		fputc(printable(p[at]) || p[at] == '\n' || p[at] == '\t' ? p[at] : '.', out);
	if (p[len - 1] != '\n')
		fputc('\n', out);
}

static void print_text(FILE *out, const struct print_style *style, const struct print_packet *p,
		       const struct decoded *d, const struct packet_name *name)
{
	bool payload = (p->packet->present & IPQ_HAS_PAYLOAD) != 0;
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
	if (style->verbose && payload)
		print_more(out, packet, d);
	print_name(out, style, name);
	if ((packet->present & IPQ_HAS_MARK) != 0 && packet->mark != 0)
		fprintf(out, " mark 0x%x", packet->mark);
	if ((packet->present & IPQ_HAS_UID) != 0)
		fprintf(out, " uid %u", packet->uid);
	if (p->verdict != NULL) {
		fputc(' ', out);
		paint(out, style, verdict_colour(p->verdict), p->verdict);
	}
	fputc('\n', out);
	if (style->bytes && payload)
		print_bytes(out, packet->payload, packet->payload_len);
	if (style->text && payload)
		print_payload(out, packet, d);
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

static void json_name(FILE *out, const struct packet_name *name)
{
	const char *type = names_dns_type(name->type), *code = names_dns_code(name->code);

	if (name->kind == NAME_TLS) {
		json_member(out, "tls_server_name", name->text);
	} else if (name->kind != NAME_NONE) {
		json_member(out, "dns_name", name->text);
		fprintf(out, ",\"dns_type\":%u", name->type);
		json_member(out, "dns_type_name", type);
		fprintf(out, ",\"dns_answer\":%s", name->kind == NAME_DNS_ANSWER ? "true" : "false");
		json_member(out, "dns_code", code);
	}
}

/* Prints a decimal number with nine digits after the point. */
static void json_time(FILE *out, int64_t ns)
{
	uint64_t size = ns < 0 ? -(uint64_t)ns : (uint64_t)ns;

	fprintf(out, "{\"time\":%s%llu.%09llu", ns < 0 ? "-" : "", (unsigned long long)(size / NANO),
		(unsigned long long)(size % NANO));
}

static void print_json(FILE *out, const struct print_style *style, const struct print_packet *p,
		       const struct decoded *d, const struct packet_name *name)
{
	const struct ipq_packet *packet = p->packet;

	json_time(out, p->time);
	fprintf(out, ",\"hook\":\"%s\"", print_hook(packet->hook));
	json_member(out, "indev", p->indev);
	json_member(out, "outdev", p->outdev);
	if (d->version != 0)
		json_headers(out, d);
	fprintf(out, ",\"length\":%u", packet->full_len);
	if ((packet->present & IPQ_HAS_MARK) != 0)
		fprintf(out, ",\"mark\":%u", packet->mark);
	if ((packet->present & IPQ_HAS_UID) != 0)
		fprintf(out, ",\"uid\":%u", packet->uid);
	json_name(out, name);
	json_member(out, "verdict", p->verdict);
	/* Two integers: readers that store numbers in floating point do not round them. */
	fprintf(out, ",\"seconds\":%lld,\"nanoseconds\":%d", (long long)seconds_of(p->time),
		nanoseconds_of(p->time));
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
	uint32_t len = payload ? p->packet->payload_len : 0;
	struct packet_name name;
	struct decoded d;

	decode(&d, p->packet->payload, len);
	names_read(&name, &d, p->packet->payload, len);
	flockfile(out); /* lock the stream, so that lines of several queues do not mix */
	if (style->json)
		print_json(out, style, p, &d, &name);
	else
		print_text(out, style, p, &d, &name);
	funlockfile(out);
}
