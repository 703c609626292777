/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `ipq doctor`: checks, each of which says one line. */
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
	uint32_t queue;		   /* the number in question */
	const char *const *script; /* files and directories to search; ends with NULL */
	const char *method;	   /* the tool with which a rule that queues can be set here; NULL: none */
	bool way_queue;		   /* ... and it takes -j QUEUE */
};

/* One line: what was looked at, what was found, and what to type (NULL: nothing). Escapes everything. */
void doctor_say(struct doctor *d, enum check_result result, const char *check, const char *remedy,
		const char *format, ...) __attribute__((format(printf, 5, 6)));

void doctor_kernel(struct doctor *d); /* nfnetlink_queue: there, built in, a module */
void doctor_rights(struct doctor *d); /* capability, namespace */
void doctor_tools(struct doctor *d);  /* which firewall tool takes which rule; sets way */
void doctor_queues(struct doctor *d, const struct snapshot *s); /* owners */
void doctor_rules(struct doctor *d, const struct snapshot *s);	/* rules and bypass */
void doctor_limits(struct doctor *d);				/* receive buffer, conntrack */
void doctor_library(struct doctor *d);				/* libipq.so.0: ours or the old one */
void doctor_scripts(struct doctor *d);				/* ip_queue by name */
void doctor_program(struct doctor *d, const char *name);

/* ---- libraries, for two of these --------------------------------------------------------------- */

struct elf_facts;
/* Reads a file, 256 MiB of it at most. 0, -ENOEXEC (no ELF file; *script: its first line when it is "#!"), or
 * -errno. */
int doctor_read_elf(const char *path, struct elf_facts *e, char *script, size_t room);
/* The n-th libipq.so.0 that the loader's cache has. False: there is no such. */
bool doctor_cached_library(const char *cache, unsigned n, char *path, size_t room);

#endif
