/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sets the source's configuration, which all clients share, and sends it verdicts. */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>
#include <linux/netfilter.h>
#include "core/core.h"
#include "ipqueue/state.h"

#define SEND_TRIES 100 /* number of tries, with a millisecond between them */
#define RECEIVE_BUFFER_MAX (16u << 20)

void engine_log(struct engine *e, const char *format, ...)
{
	va_list args;

	if (e->log == NULL)
		return;
	va_start(args, format);
	vfprintf(e->log, format, args);
	va_end(args);
	fputc('\n', e->log);
}

/* A family whose next owner is expected keeps its mode. */
static enum copy_mode mode_of(const struct engine *e, const struct family *f, uint32_t *range)
{
	bool last = e->keep && f->peer_pid == 0 && !f->owner_decided;

	*range = last ? f->last_range : f->range;
	return last ? f->last_mode : f->mode;
}

/* Whether a mode request may be in a client's socket: a client may set a mode, and none has set one yet. */
static bool expects_a_mode(const struct engine *e)
{
	const struct client *c;

	if (!e->early || e->family[0].peer_pid != 0 || e->family[1].peer_pid != 0)
		return false;
	for (c = e->clients; c != NULL && !c->capable; c = c->next)
		;
	return c != NULL;
}

/*
 * Computes the settings that satisfy the requests of both families. Each packet is truncated to its family's range
 * when it is delivered.
 */
static void wanted(const struct engine *e, struct source_config *config)
{
	uint64_t length = 0;
	unsigned i;

	*config = (struct source_config){ .flags = IPQ_O_SEGMENT | IPQ_O_TIMESTAMP | IPQ_O_BEST_EFFORT };
	for (i = 0; i < 2; i++) {
		const struct family *f = &e->family[i];
		bool whole = config->mode == COPY_PACKET && config->range == 0;
		uint32_t range;
		enum copy_mode mode = mode_of(e, f, &range);

		length += f->queue_max;
		if (mode > config->mode)
			config->mode = mode;
		if (mode == COPY_PACKET && !whole && (range == 0 || range > config->range))
			config->range = range;
	}
	if (config->mode == COPY_NONE && expects_a_mode(e)) {
		config->mode = COPY_PACKET;
		config->range = EARLY_RANGE;
	}
	length += e->keep ? KEEP_PACKETS : 0;
	/* Add room for one more batch, so that the engine's limit is reached first. */
	length += BATCH;
	config->queue_length = length > UINT32_MAX ? UINT32_MAX : (uint32_t)length;
	length *= 4096;
	config->receive_buffer = length > RECEIVE_BUFFER_MAX ? RECEIVE_BUFFER_MAX : (uint32_t)length;
}

/* Compares the members one by one, because padding bytes have no defined value. */
bool engine_same_config(const struct source_config *a, const struct source_config *b)
{
	return a->mode == b->mode && a->range == b->range && a->queue_length == b->queue_length &&
	       a->receive_buffer == b->receive_buffer && a->flags == b->flags &&
	       a->beyond_slot == b->beyond_slot;
}

/* Whether packets that were queued with the old settings have fewer bytes. */
static bool grows(const struct source_config *old, const struct source_config *new)
{
	return new->mode == COPY_PACKET &&
	       (old->mode == COPY_META || (old->mode == COPY_PACKET && old->range != 0 &&
					   (new->range == 0 || new->range > old->range)));
}

int engine_configure(struct engine *e, struct ipq_error *error)
{
	struct source_config config;
	int ret;

	wanted(e, &config);
	if (e->configured && engine_same_config(&config, &e->config))
		return 0;
	ret = e->source->ops->configure(e->source, &config, error);
	e->refused = ret;
	if (ret < 0)
		return ret;
	e->grew = e->configured && grows(&e->config, &config);
	e->cut_at = e->config.mode == COPY_PACKET ? e->config.range : 0;
	e->config = config;
	e->configured = true;
	engine_log(e, "source: copies %s, range %u",
		   config.mode == COPY_NONE   ? "nothing"
		   : config.mode == COPY_META ? "no payload"
					      : "payload",
		   config.range);
	return 0;
}

void engine_verdict(struct engine *e, const struct source_verdict *verdict)
{
	if (e->verdicts == BATCH)
		engine_flush(e);
	e->verdict[e->verdicts++] = *verdict;
}

void engine_drop(struct engine *e, uint32_t id)
{
	engine_verdict(e, &(struct source_verdict){ .id = id, .code = NF_DROP });
}

/* Drops a packet whose verdict the source cannot carry. ip_queue did so when a replacement did not fit. */
static void drop_instead(struct engine *e, struct source_verdict *v, int err)
{
	if (v->code == NF_DROP) {
		e->failed = err;
		return;
	}
	engine_log(e, "source: cannot carry the verdict on packet %u: %s", v->id, strerror(-err));
	*v = (struct source_verdict){ .id = v->id, .code = NF_DROP, .tag = v->tag };
}

/* The kernel may be short of memory for a moment: retries for a limited time, so that no verdict is lost. */
static bool try_again(int err, unsigned *tries)
{
	const struct timespec pause = { .tv_nsec = 1000000 };

	if ((err != -ENOBUFS && err != -ENOMEM && err != -EAGAIN) || ++*tries > SEND_TRIES)
		return false;
	nanosleep(&pause, NULL);
	return true;
}

void engine_flush(struct engine *e)
{
	unsigned done = 0, tries = 0;
	int ret;

	while (done < e->verdicts && e->failed == 0) {
		ret = source_send(e->source, e->verdict + done, e->verdicts - done);
		if (ret > 0)
			done += (unsigned)ret;
		else if (ret == -EINVAL || ret == -EMSGSIZE)
			drop_instead(e, &e->verdict[done], ret);
		else if (ret != -EINTR && !try_again(ret, &tries))
			e->failed = ret == 0 ? -EIO : ret;
	}
	e->verdicts = 0;
	if (e->failed != 0)
		engine_log(e, "source: cannot send verdicts: %s", engine_error(e));
}

const char *engine_error(const struct engine *e)
{
	int err = e->failed != 0 ? e->failed : e->broken;

	return e->source->ops->error != NULL ? e->source->ops->error(e->source) : strerror(-err);
}
