/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "nfqueue/adopted.h"
#include "util/bytes.h"

/*
 * The distance between the ids that the reader sees for the two queues. It is large, because threads that receive at
 * the same time may see the first packets of the main queue in any order.
 */
#define ID_GAP 65536

static void *shared_memory(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

/* Takes the lock, which a process that has died may have held. */
static void lock(struct adopted *a)
{
	if (pthread_mutex_lock(&a->lock) == EOWNERDEAD)
		pthread_mutex_consistent(&a->lock);
}

/* Size of a bitmap with a bit for each packet of the spare queue. */
static size_t decided_size(const struct adopted *a)
{
	return (a->spare_last - a->spare_first) / 8 + 1;
}

struct adopted *adopted_new(void)
{
	struct adopted *a = shared_memory(sizeof(*a));
	pthread_mutexattr_t attributes;

	if (a == NULL)
		return NULL;
	pthread_mutexattr_init(&attributes);
	pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
	pthread_mutex_init(&a->lock, &attributes);
	pthread_mutexattr_destroy(&attributes);
	a->spare_messages.end = &a->spare_messages.first;
	a->main_messages.end = &a->main_messages.first;
	a->spare_fd = -1;
	return a;
}

static void free_messages(struct held_list *list)
{
	while (list->first != NULL) {
		struct held_message *m = list->first;

		list->first = m->next;
		free(m);
	}
}

void adopted_free(struct adopted *a)
{
	if (a == NULL)
		return;
	free_messages(&a->spare_messages);
	free_messages(&a->main_messages);
	if (a->decided != NULL)
		munmap(a->decided, decided_size(a));
	if (a->spare_fd >= 0)
		close(a->spare_fd);
	munmap(a, sizeof(*a)); /* the lock may be in use by another process */
}

/* The queue number in a message. The caller has checked the length of the message. */
static uint16_t queue_of(const unsigned char *nlmsghdr)
{
	return get16(nlmsghdr + NLMSG_HDRLEN + offsetof(struct nfgenmsg, res_id));
}

static int append(struct adopted *a, struct held_list *list, const unsigned char *message, size_t len)
{
	struct held_message *m = malloc(sizeof(*m) + len);

	if (m == NULL)
		return -ENOMEM;
	m->next = NULL;
	m->len = len;
	memcpy(m->bytes, message, len);
	*list->end = m;
	list->end = &m->next;
	atomic_fetch_add(&a->collected, 1);
	return 0;
}

int adopted_collect(struct adopted *a, const unsigned char *message, size_t len, const struct ipq_packet *p,
		    const struct nfq_reply *r)
{
	uint16_t queue;

	if (a->collecting == COLLECT_NONE || r->kind != NFQ_PACKET)
		return 0;
	queue = queue_of(message);
	if (queue == a->spare) {
		if (a->spare_messages.first == NULL)
			a->spare_first = p->id;
		a->spare_last = p->id;
		return append(a, &a->spare_messages, message, len);
	}
	if (queue != a->main) /* another spare queue, whose packets were moved to this one */
		return 0;
	if (a->collecting == COLLECT_ALL)
		return append(a, &a->main_messages, message, len);
	a->main_seen = true;
	a->main_last = p->id;
	return 0;
}

static void set_waiting(struct adopted *a, uint32_t id)
{
	uint32_t at = id - a->spare_first;

	a->decided[at / 8] &= (unsigned char)~(1U << at % 8);
	atomic_fetch_add(&a->left, 1);
}

int adopted_finish(struct adopted *a)
{
	const struct held_message *m;

	a->collecting = COLLECT_NOT;
	a->shift_known = a->spare_messages.first == NULL;
	a->decided = shared_memory(decided_size(a));
	if (a->decided == NULL)
		return -ENOMEM;
	memset(a->decided, 0xff, decided_size(a));
	for (m = a->spare_messages.first; m != NULL; m = m->next) {
		struct ipq_packet p;
		struct nfq_reply r;

		nfq_parse((unsigned char *)(uintptr_t)m->bytes, m->len, &p, &r);
		set_waiting(a, p.id);
	}
	atomic_store(&a->ready, true);
	return 0;
}

static struct held_message *pop(struct held_list *list)
{
	struct held_message *m = list->first;

	if (m == NULL)
		return NULL;
	list->first = m->next;
	if (list->first == NULL)
		list->end = &list->first;
	return m;
}

struct held_message *adopted_pop(struct adopted *a)
{
	struct held_message *m;

	lock(a);
	m = pop(&a->spare_messages);
	if (m == NULL)
		m = pop(&a->main_messages);
	if (m != NULL)
		atomic_fetch_sub(&a->collected, 1);
	pthread_mutex_unlock(&a->lock);
	return m;
}

static uint32_t reader_id(struct adopted *a, uint32_t id)
{
	lock(a);
	if (!a->shift_known)
		a->shift = a->spare_last + ID_GAP - id;
	a->shift_known = true;
	id += a->shift;
	pthread_mutex_unlock(&a->lock);
	return id;
}

bool adopted_translate(struct adopted *a, const unsigned char *message, size_t len, struct ipq_packet *p,
		       struct nfq_reply *r)
{
	/* length of the part of an NLMSG_ERROR before the quoted message */
	const size_t quoted = NLMSG_HDRLEN + sizeof(int);
	bool spare = false;

	if (r->kind == NFQ_PACKET || (r->kind == NFQ_OTHER && r->has_id)) {
		spare = queue_of(message) == a->spare;
		if (!spare)
			p->id = reader_id(a, p->id);
	} else if (r->kind == NFQ_REFUSED && len >= quoted + NLMSG_HDRLEN + sizeof(struct nfgenmsg)) {
		spare = queue_of(message + quoted) == a->spare;
		if (!spare && a->unread && (int32_t)((uint32_t)r->refusal.id - a->first) < 0)
			*r = (struct nfq_reply){ .kind = NFQ_ACK,
						 /* hide an acknowledgement of the predecessor */
						 .type = NLMSG_NOOP };
		else if (!spare)
			r->refusal.id = reader_id(a, (uint32_t)r->refusal.id);
	}
	return spare;
}

struct adopted_parts adopted_split(struct adopted *a, const struct source_verdict *v,
				   struct source_verdict *spare, struct source_verdict *main)
{
	struct adopted_parts parts = { false, true };
	bool beyond = (int32_t)(v->id - a->spare_last) > 0;

	*main = *v;
	main->id -= a->shift;
	if (atomic_load_explicit(&a->left, memory_order_acquire) == 0)
		return parts;
	parts.spare = !beyond || v->batch;
	parts.main = beyond;
	*spare = *v;
	if (beyond)
		spare->id = a->spare_last;
	return parts;
}

bool adopted_decided(struct adopted *a, const struct source_verdict *spare)
{
	uint32_t last = spare->id - a->spare_first, at = spare->batch ? 0 : last;
	unsigned n = 0;
	bool none;

	if (last > a->spare_last - a->spare_first)
		return false; /* no packet of this queue has such an id */
	lock(a);
	for (; at <= last; at++) {
		n += (a->decided[at / 8] >> at % 8 & 1) == 0;
		a->decided[at / 8] |= (unsigned char)(1U << at % 8);
	}
	none = n > 0 && atomic_fetch_sub(&a->left, n) == n;
	pthread_mutex_unlock(&a->lock);
	return none;
}
