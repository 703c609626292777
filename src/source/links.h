/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Names and hardware types of the interfaces of the network namespace in which the table was opened, kept
 * current by the kernel's events. Thread-safe.
 */
#ifndef SOURCE_LINKS_H
#define SOURCE_LINKS_H

#include <stdint.h>
#include <net/if.h>

struct links;

/* Opens a table for the calling thread's network namespace. 0 or -errno. */
int links_open(struct links **links);
void links_close(struct links *links);

/* Fills in name (IFNAMSIZ bytes, padded with zeros; "" when there is no such interface) and type. */
void links_get(struct links *links, uint32_t index, char name[IFNAMSIZ], uint16_t *type);

#endif
