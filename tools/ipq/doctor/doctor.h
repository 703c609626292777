/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `ipq doctor`: checks, each of which prints one line. */
#ifndef IPQ_DOCTOR_DOCTOR_H
#define IPQ_DOCTOR_DOCTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "status/snapshot.h"

enum check_result { CHECK_OK, CHECK_WARNING, CHECK_FAIL };

struct doctor {
	bool json;
	unsigned said, warnings, failures;
	uint32_t queue;		   /* the number to check */
	const char *const *script; /* files and directories to search; ends with NULL */
	const char *method;	   /* a tool that can add queue rules on this machine; NULL: none */
};

/* Prints a line with the check, its result, and a command that helps (NULL: none). Escapes all texts. */
void doctor_say(struct doctor *d, enum check_result result, const char *check, const char *remedy,
		const char *format, ...) __attribute__((format(printf, 5, 6)));

void doctor_kernel(struct doctor *d); /* checks whether nfnetlink_queue is present, built in or a module */
void doctor_rights(struct doctor *d); /* checks the capability and the namespace */
void doctor_tools(struct doctor *d);  /* finds out which firewall tool supports which rule; sets `method` */
void doctor_queues(struct doctor *d, const struct snapshot *s); /* checks the owners of queues */
void doctor_rules(struct doctor *d, const struct snapshot *s);	/* checks the rules and their bypass */
void doctor_limits(struct doctor *d);				/* checks the receive buffer and conntrack */
/* checks whether libipq.so.0 is this library or the old one */
void doctor_library(struct doctor *d);
/* searches scripts for lines that use ip_queue */
void doctor_scripts(struct doctor *d);
void doctor_program(struct doctor *d, const char *name);

/* ---- functions about libraries, for two of the checks ------------------------------------------------- */

struct elf_facts;
/* Reads at most 256 MiB of a file. 0, -ENOEXEC (not an ELF file; *script: the rest of a first line "#!..."), or
 * -errno. */
int doctor_read_elf(const char *path, struct elf_facts *e, char *script, size_t room);
/* The n-th libipq.so.0 in the loader's cache. False: there is none. */
bool doctor_cached_library(const char *cache, unsigned n, char *path, size_t room);

#endif
