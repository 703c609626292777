/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Finds the names in requests: in the question of a DNS message, and the server name of a TLS ClientHello. */
#ifndef IPQ_OUTPUT_NAMES_H
#define IPQ_OUTPUT_NAMES_H

#include <stdbool.h>
#include <stdint.h>
#include "output/decode.h"

/* Maximum number of bytes of a packet that names_read() reads. */
#define NAMES_BYTES 2048

enum name_kind { NAME_NONE, NAME_DNS_QUESTION, NAME_DNS_ANSWER, NAME_TLS };

struct packet_name {
	enum name_kind kind;
	uint16_t type; /* type of a DNS question: A (1), AAAA (28) ... */
	uint8_t code;  /* code of a DNS answer: NXDOMAIN (3) ... */
	/* the name in unescaped bytes, but a dot or NUL inside a label is written as \046 or \000 */
	char text[1024];
};

/* Reads at most len bytes. Kind NAME_NONE: there is no name, or it is truncated. */
void names_read(struct packet_name *name, const struct decoded *d, const uint8_t *packet, uint32_t len);

/* Whether the name of this packet can be beyond its first 256 bytes. */
bool names_are_long(const uint8_t *packet, uint32_t len);

/* The name of a type, such as "AAAA"; NULL: no name is known. */
const char *names_dns_type(unsigned type);
/* The name of a response code, such as "NXDOMAIN"; NULL: the code is 0, or no name is known. */
const char *names_dns_code(unsigned code);

#endif
