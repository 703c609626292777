/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include "output/names.h"
#include "util/bytes.h"

enum {
	DNS_PORT = 53,
	MDNS_PORT = 5353,
	DNS_HEADER = 12,
	TLS_HANDSHAKE = 22,
	TLS_CLIENT_HELLO = 1,
	TLS_SERVER_NAME = 0,
	TLS_HOST_NAME = 0,
};

/* The unread part of a message. ok: no read has gone beyond its end. */
struct bytes {
	const uint8_t *at;
	uint32_t left;
	bool ok;
};

static const uint8_t *take(struct bytes *b, uint32_t n)
{
	const uint8_t *at = b->at;

	if (n > b->left)
		b->ok = false;
	if (!b->ok)
		return NULL;
	b->at += n;
	b->left -= n;
	return at;
}

/* Reads a number of 1 to 3 bytes. Returns 0 if the bytes are missing. */
static uint32_t take_number(struct bytes *b, uint32_t size)
{
	const uint8_t *p = take(b, size);
	uint32_t n = 0;

	for (uint32_t i = 0; p != NULL && i < size; i++)
		n = n << 8 | p[i];
	return n;
}

/* Reads a part that begins with its length, in a number of 1 or 2 bytes. */
static struct bytes take_part(struct bytes *b, uint32_t size)
{
	uint32_t len = take_number(b, size);
	const uint8_t *at = take(b, len);

	return (struct bytes){ .at = at, .left = len, .ok = at != NULL };
}

/* Adds bytes to the name. A DNS label may contain any bytes. False: there is no room. */
static bool add_text(struct packet_name *name, const uint8_t *p, uint32_t len)
{
	size_t used = strlen(name->text);

	for (uint32_t i = 0; i < len; i++) {
		if (used + 6 > sizeof(name->text)) /* room for the escaped byte and a dot after it */
			return false;
		if (p[i] == 0 || p[i] == '.')
			used += (size_t)sprintf(name->text + used, "\\%03u", p[i]);
		else
			name->text[used++] = (char)p[i];
		name->text[used] = '\0';
	}
	return true;
}

/* ---- DNS (RFC 1035) ------------------------------------------------------------------------------ */

/* Reads the first question. Its name is never compressed, because no name precedes it. */
static void read_dns(struct packet_name *name, struct bytes b)
{
	const uint8_t *header = take(&b, DNS_HEADER), *label;
	uint32_t len;

	if (header == NULL || get16(header + 4) == 0)
		return;
	while ((len = take_number(&b, 1)) != 0) {
		label = len < 64 ? take(&b, len) : NULL;
		if (label == NULL)
			return;
		if (name->text[0] != '\0')
			strcat(name->text, ".");
		if (!add_text(name, label, len))
			return;
	}
	if (name->text[0] == '\0')
		strcpy(name->text, "."); /* the name of the root */
	name->type = (uint16_t)take_number(&b, 2);
	name->code = header[3] & 15;
	if (b.ok)
		name->kind = (header[2] & 0x80) != 0 ? NAME_DNS_ANSWER : NAME_DNS_QUESTION;
}

const char *names_dns_type(unsigned type)
{
	static const struct {
		unsigned type;
		const char *name;
	} names[] = {
		{ 1, "A" },	  { 2, "NS" },	  { 5, "CNAME" },  { 6, "SOA" },   { 12, "PTR" },
		{ 15, "MX" },	  { 16, "TXT" },  { 28, "AAAA" },  { 33, "SRV" },  { 43, "DS" },
		{ 48, "DNSKEY" }, { 64, "SVCB" }, { 65, "HTTPS" }, { 255, "ANY" },
	};

	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (names[i].type == type)
			return names[i].name;
	return NULL;
}

const char *names_dns_code(unsigned code)
{
	static const char *const names[] = { NULL, "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED" };

	return code < sizeof(names) / sizeof(names[0]) ? names[code] : NULL;
}

/* ---- TLS (RFC 8446, RFC 6066) -------------------------------------------------------------------- */

static void read_server_name(struct packet_name *name, struct bytes extension)
{
	struct bytes list = take_part(&extension, 2);

	while (list.ok && list.left > 0) {
		uint32_t type = take_number(&list, 1);
		struct bytes host = take_part(&list, 2);

		if (type != TLS_HOST_NAME || !host.ok || host.left == 0)
			continue;
		if (host.left < sizeof(name->text) && memchr(host.at, 0, host.left) == NULL) {
			memcpy(name->text, host.at, host.left);
			name->text[host.left] = '\0';
			name->kind = NAME_TLS;
		}
		return;
	}
}

/*
 * Reads a ClientHello that begins with this segment. The segment may contain only a part of it, so its lengths are
 * not compared with the record's length.
 */
static void read_tls(struct packet_name *name, struct bytes b)
{
	const uint8_t *record = take(&b, 5);

	if (record == NULL || record[0] != TLS_HANDSHAKE || record[1] != 3 ||
	    take_number(&b, 1) != TLS_CLIENT_HELLO)
		return;
	take(&b, 3 + 2 + 32); /* skip length, version and random bytes */
	take_part(&b, 1);     /* skip the session id */
	take_part(&b, 2);     /* skip the cipher suites */
	take_part(&b, 1);     /* skip the compression methods */
	take_number(&b, 2);   /* skip the length of the extensions */
	while (b.ok && b.left > 0) {
		uint32_t type = take_number(&b, 2);
		struct bytes extension = take_part(&b, 2);

		if (extension.ok && type == TLS_SERVER_NAME)
			return read_server_name(name, extension);
	}
}

void names_read(struct packet_name *name, const struct decoded *d, const uint8_t *packet, uint32_t len)
{
	bool dns = d->ports && (d->source_port == DNS_PORT || d->destination_port == DNS_PORT ||
				d->source_port == MDNS_PORT || d->destination_port == MDNS_PORT);
	struct bytes b = { .at = packet, .left = len, .ok = true };

	name->kind = NAME_NONE;
	name->type = 0;
	name->code = 0;
	name->text[0] = '\0';
	if (!d->ports || d->fragment)
		return;
	take(&b, d->transport);
	if (d->protocol == IPPROTO_UDP && dns) {
		take(&b, 8);
		read_dns(name, b);
	} else if (d->tcp) {
		take(&b, (uint32_t)(packet[d->transport + 12] >> 4) * 4);
		if (dns)
			take(&b, 2); /* skip the length of the message */
		if (dns)
			read_dns(name, b);
		else
			read_tls(name, b);
	}
}

bool names_are_long(const uint8_t *packet, uint32_t len)
{
	struct decoded d;
	uint32_t at;

	decode(&d, packet, len);
	if (d.fragment || !d.ports)
		return false;
	at = d.transport + (d.tcp ? (uint32_t)(packet[d.transport + 12] >> 4) * 4 : 8);
	if (at >= len)
		return false;
	return d.tcp ? packet[at] == TLS_HANDSHAKE
		     : d.source_port == DNS_PORT || d.destination_port == DNS_PORT;
}
