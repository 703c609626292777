/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An engine (ipqueue/engine.h) in a thread of this process, for handles that cannot use the kernel's queue
 * directly. */
#ifndef CLASSIC_HOST_H
#define CLASSIC_HOST_H

#include "classic/classic.h"

struct host;

/*
 * Opens a socket that carries ip_queue's messages for one handle, with packets from the source of this name.
 * Handles that name the same source share an engine. Returns the descriptor (close-on-exec), or -errno with a text
 * in *e.
 */
int host_attach(struct host **host, uint32_t *client, const char *name, uint8_t family, struct ipq_error *e);

/*
 * Does the same with a source that is already in use. On success the host owns the source; on failure the caller
 * still owns it.
 */
int host_adopt(struct host **host, uint32_t *client, const char *name, struct source *source, uint8_t family,
	       struct ipq_error *e);

/* Whether another process runs the engine, because this process was forked from it. */
bool host_is_remote(struct host *host);

/*
 * Serves a request at once. Returns the results of engine_request(), or -EAGAIN: another process runs the engine,
 * so the request must be sent through the socket.
 */
int host_request(struct host *host, uint32_t client, const struct iovec *piece, size_t pieces);

/*
 * Steps the engine in the calling thread, so that packets in the queue reach their handles even if the engine's thread
 * has not run yet. No effect while another process runs the engine.
 */
void host_step(struct host *host);

/*
 * Call this after a handle has closed its socket. After the last handle, the engine ends and its source is closed.
 */
void host_detach(struct host *host);

/* Does the same, but returns the adopted source to the caller. */
void host_release_source(struct host *host);

/* The reason why no more packets arrive: -errno with a text in *e; 0: the source has ended or still works. */
int host_failure(struct host *host, struct ipq_error *e);

/* The engine's counters for a family, and its limit of waiting packets. */
void host_stats(struct host *host, uint8_t family, struct ipq_ctl_stats *stats);
void host_set_queue_length(struct host *host, uint8_t family, uint32_t length);

#endif
