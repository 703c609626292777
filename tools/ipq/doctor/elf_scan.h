/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The facts in an ELF file that show how a program receives its packets. No I/O. */
#ifndef IPQ_DOCTOR_ELF_SCAN_H
#define IPQ_DOCTOR_ELF_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ELF_NEEDED 64 /* maximum number of libraries that are stored */

enum packet_api {
	API_LIBIPQ_STATIC = 1 << 0, /* contains libipq's error messages, so libipq is linked statically */
	API_LIBIPQ = 1 << 1,	    /* needs libipq.so */
	API_NFQUEUE = 1 << 2,	    /* needs the shared libnetfilter_queue */
	API_NFQUEUE_STATIC = 1 << 3,
	API_IP_QUEUE_NAMED = 1 << 4, /* contains "/proc/net/ip_queue" or "ip_queue" */
	API_IPQ = 1 << 5,	     /* uses <ipq.h>: contains the name ipq_queue_open */
	API_OURS = 1 << 6,	     /* contains this library, which reads $IPQ_SOURCE */
	API_OWN_READER = 1 << 7	     /* needs libipq.so but not ipq_read: the program reads h->fd itself */
};

struct elf_facts {
	unsigned bits;	       /* 32 or 64 */
	bool little;	       /* little-endian */
	uint16_t type;	       /* ET_EXEC, ET_DYN, ... */
	uint16_t machine;      /* EM_* number */
	bool dynamic;	       /* needs shared libraries: the file has an interpreter, or DT_NEEDED entries */
	char interpreter[256]; /* "" if the file has none */
	char soname[256];
	char runpath[1024]; /* DT_RUNPATH or, without it, DT_RPATH */
	bool is_rpath;
	char needed[ELF_NEEDED][128];
	unsigned needed_count;
	unsigned apis; /* bits API_ */
};

/* Reads an ELF file of len bytes. 0, -ENOEXEC (not an ELF file), or -EBADMSG (a damaged one). */
int elf_read(struct elf_facts *e, const uint8_t *bytes, size_t len);

/* The name of a machine, such as "x86-64"; NULL: unknown. */
const char *elf_machine(uint16_t machine);

#endif
