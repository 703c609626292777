/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Sections of pcapng. A packet can be decided after packets of the next section were written. Then its section is
 * opened again in the output: its header and the descriptions of its interfaces are written once more.
 */
#ifndef CAPTURE_SECTION_H
#define CAPTURE_SECTION_H

#include <stddef.h>
#include <stdint.h>
#include "capture/file.h"

struct section;

/* Creates a section with this header, of which at least 28 bytes are given. NULL: no memory. */
struct section *section_new(const uint8_t *header);
struct section *section_use(struct section *s);
void section_release(struct section *s); /* frees the section after its last user; NULL is allowed */

/* Adds the description of an interface, a complete block. 0, -ENOMEM. */
int section_add_interface(struct section *s, const uint8_t *block, size_t len);
/* The number of bytes that open the section again, counting the blocks read so far. */
size_t section_len(const struct section *s);
/* Records that the output has the blocks that correspond to the first len bytes. */
void section_written(struct section *s, size_t len);
/* Records the position in the output at which the description of the next interface is written. */
void section_interface_written(struct section *s, uint64_t position);
/*
 * Removes the limit of captured bytes from the interface: a packet has become longer. If the output is a pipe, the
 * section is opened again with the new limit. 0 or -errno, as capture_write().
 */
int section_remove_limit(struct section *s, uint32_t interface, struct capture_writer *w);
/* Writes the header and the interfaces of the section again. 0 or -errno, as capture_write(). */
int section_open_again(struct section *s, struct capture_writer *w);

#endif
