/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What an ELF file says of itself, as far as it matters for how a program gets its packets. Pure: no I/O. */
#ifndef IPQ_DOCTOR_ELF_SCAN_H
#define IPQ_DOCTOR_ELF_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ELF_NEEDED 64 /* libraries that are looked at */

enum packet_api {
	API_LIBIPQ_STATIC = 1 << 0, /* libipq's error messages are inside */
	API_LIBIPQ = 1 << 1,	    /* asks the loader for libipq.so */
	API_NFQUEUE = 1 << 2,	    /* libnetfilter_queue, shared */
	API_NFQUEUE_STATIC = 1 << 3,
	API_IP_QUEUE_NAMED = 1 << 4, /* "/proc/net/ip_queue" or "ip_queue" is inside */
	API_IPQ = 1 << 5,	     /* <ipq.h>: the name ipq_queue_open is inside */
	API_OURS = 1 << 6	     /* this library is inside: it reads $IPQ_SOURCE */
};

struct elf_facts {
	unsigned bits;	       /* 32, 64 */
	bool little;	       /* little-endian */
	uint16_t type;	       /* ET_EXEC, ET_DYN, ... */
	uint16_t machine;      /* EM_ */
	bool dynamic;	       /* asks for shared libraries: has an interpreter, or DT_NEEDED */
	char interpreter[256]; /* "" when it has none */
	char soname[256];
	char runpath[1024]; /* DT_RUNPATH, else DT_RPATH */
	bool is_rpath;
	char needed[ELF_NEEDED][128];
	unsigned needed_count;
	unsigned apis; /* API_ */
};

/* 0, or -ENOEXEC (no ELF file), -EBADMSG (an ELF file that contradicts itself). Nothing beyond len is read.
 */
int elf_read(struct elf_facts *e, const uint8_t *bytes, size_t len);

/* "x86-64", ...; NULL for one without a name here. */
const char *elf_machine(uint16_t machine);

#endif
