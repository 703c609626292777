/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * After a fork, the child can run the engine when its parent has ended. Parent and child share the engine's state
 * in memory.
 */
#include "ipqueue/state.h"

static uint32_t serial_of(const struct client *c)
{
	return c != NULL ? c->serial : 0;
}

static bool same_traffic(const struct engine_counters *a, const struct engine_counters *b)
{
	return a->packets == b->packets && a->accepted == b->accepted && a->dropped == b->dropped;
}

void engine_save_state(struct engine *e)
{
	struct shared_state *l = e->shared_state;
	unsigned i;

	l->configured = e->configured;
	l->config = e->config;
	for (i = 0; i < 2; i++) {
		const struct family *f = &e->family[i];

		l->family[i].peer_pid = f->peer_pid;
		l->family[i].owner = serial_of(f->owner);
		l->family[i].requester = serial_of(f->requester);
		l->family[i].mode = f->mode;
		l->family[i].range = f->range;
		l->family[i].had_meta = f->had_meta;
		l->family[i].owner_decided = f->owner_decided;
		l->family[i].counts = f->counts;
	}
}

/*
 * Restores the parent's state. A peer that was only in the parent has ended with the parent. If packets were
 * received and decided after the fork, the child does not know which packets wait; the source refuses verdicts on
 * the others.
 */
void engine_restore_state(struct engine *e)
{
	const struct shared_state *l = e->shared_state;
	unsigned i;

	for (i = 0; i < 2; i++) {
		struct family *f = &e->family[i];
		bool lives;

		f->owner = engine_find_client(e, l->family[i].owner);
		f->requester = engine_find_client(e, l->family[i].requester);
		lives = f->owner != NULL || f->requester != NULL;
		f->peer_pid = lives ? l->family[i].peer_pid : 0;
		f->mode = lives ? l->family[i].mode : COPY_NONE;
		f->range = lives ? l->family[i].range : 0;
		f->had_meta = lives && l->family[i].had_meta;
		f->owner_decided = l->family[i].owner_decided;
		if (!same_traffic(&f->counts, &l->family[i].counts))
			idset_free(&f->waiting);
		f->counts = l->family[i].counts;
	}
	e->adopt = true;
	/* This process's copy of the source does not have the settings that the parent made after the fork. */
	if (l->configured && !(e->configured && engine_same_config(&l->config, &e->config)))
		e->source->ops->configure(e->source, &l->config, NULL);
	e->config = l->config;
	e->configured = l->configured;
	if (e->configured)
		engine_configure(e, NULL);
}
