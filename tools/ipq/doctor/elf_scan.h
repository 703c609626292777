/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The facts in an ELF file that show how a program receives its packets. No I/O. */
#ifndef IPQ_DOCTOR_ELF_SCAN_H
#define IPQ_DOCTOR_ELF_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ELF_NEEDED 64 /* libraries that are stored */

enum packet_api {
	API_LIBIPQ_STATIC = 1 << 0, /* contains libipq's error messages */
	API_LIBIPQ = 1 << 1,	    /* needs libipq.so */
	API_NFQUEUE = 1 << 2,	    /* libnetfilter_queue, shared */
	API_NFQUEUE_STATIC = 1 << 3,
	API_IP_QUEUE_NAMED = 1 << 4, /* contains "/proc/net/ip_queue" or "ip_queue" */
	API_IPQ = 1 << 5,	     /* <ipq.h>: contains the name ipq_queue_open */
	API_OURS = 1 << 6,	     /* contains this library, which reads $IPQ_SOURCE */
	API_OWN_READER = 1 << 7	     /* needs libipq.so but not ipq_read: it reads h->fd itself */
};

struct elf_facts {
	unsigned bits;	       /* 32, 64 */
	bool little;	       /* little-endian */
	uint16_t type;	       /* ET_EXEC, ET_DYN, ... */
	uint16_t machine;      /* EM_ */
	bool dynamic;	       /* needs shared libraries: has an interpreter, or DT_NEEDED */
	char interpreter[256]; /* "" if it has none */
	char soname[256];
	char runpath[1024]; /* DT_RUNPATH, else DT_RPATH */
	bool is_rpath;
	char needed[ELF_NEEDED][128];
	unsigned needed_count;
	unsigned apis; /* API_ */
};

/* Reads an ELF file of len bytes. 0, -ENOEXEC (not an ELF file), or -EBADMSG (a damaged one). */
int elf_read(struct elf_facts *e, const uint8_t *bytes, size_t len);

/* The name of a machine, "x86-64", ...; NULL: it is unknown. */
const char *elf_machine(uint16_t machine);

#endif
