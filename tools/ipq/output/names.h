/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The names in requests: the question of a DNS message, the server name of a TLS ClientHello. */
#ifndef IPQ_OUTPUT_NAMES_H
#define IPQ_OUTPUT_NAMES_H

#include <stdbool.h>
#include <stdint.h>
#include "output/decode.h"

/* Bytes of a packet that names_read() reads at most. */
#define NAMES_BYTES 2048

enum name_kind { NAME_NONE, NAME_DNS_QUESTION, NAME_DNS_ANSWER, NAME_TLS };

struct packet_name {
	enum name_kind kind;
	uint16_t type;	 /* of a DNS question: A (1), AAAA (28) ... */
	uint8_t code;	 /* of a DNS answer: NXDOMAIN (3) ... */
	char text[1024]; /* unescaped bytes; a dot or NUL inside a label as \046, \000 */
};

/* Reads at most len bytes. Kind NAME_NONE: no name, or it is cut. */
void names_read(struct packet_name *name, const struct decoded *d, const uint8_t *packet, uint32_t len);

/* Can the name of this packet be beyond its first 256 bytes? */
bool names_are_long(const uint8_t *packet, uint32_t len);

/* The name of a type: "A", "AAAA" ...; NULL: none is known. */
const char *names_dns_type(unsigned type);
/* The name of a response code: "NXDOMAIN" ...; NULL: it is 0, or none is known. */
const char *names_dns_code(unsigned code);

#endif
