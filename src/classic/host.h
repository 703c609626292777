/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ip_queue in user space inside the program: an engine with a thread of its own, for handles that cannot
 * sit on the kernel's queue directly.
 */
#ifndef CLASSIC_HOST_H
#define CLASSIC_HOST_H

#include "classic/classic.h"

struct host;

/*
 * A socket that carries ip_queue's datagrams for one handle, from the source of this name; handles that name
 * the same source share an engine. Returns the descriptor (close-on-exec), or -errno with words in *e.
 */
int host_attach(struct host **host, const char *name, uint8_t family, struct ipq_error *e);

/* The same with a source that is already in use: the host owns it from then on, and goes by name. The caller keeps
 * the source when this fails. */
int host_adopt(struct host **host, const char *name, struct source *source, uint8_t family,
	       struct ipq_error *e);

/* The handle has closed its socket. With the last one the engine ends and its source is closed. */
void host_detach(struct host *host);

/* The same, but the source that was adopted is the caller's again. */
void host_release_source(struct host *host);

/* Why there are no more packets, with words in *e: -errno; 0: the source has come to its end. */
int host_failure(struct host *host, struct ipq_error *e);

/* What the engine counts for a family, and its limit of waiting packets. */
void host_stats(struct host *host, uint8_t family, struct ipq_ctl_stats *stats);
void host_set_queue_length(struct host *host, uint8_t family, uint32_t length);

#endif
