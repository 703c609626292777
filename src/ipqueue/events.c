/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The engine's epoll set: its source, its clients' sockets, its timers. */
#include <errno.h>
#include <unistd.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include "ipqueue/state.h"

#define OWNER_GRACE_MS 200 /* how long to wait for the first request of the second family */

/*
 * Whether to receive packets. A lossless source is read only while a family has an owner and no packet waits in the
 * engine; a live one is always read, as far as there is room.
 */
bool engine_wants_packets(const struct engine *e)
{
	unsigned i, ready = 0;

	for (i = 0; i < 2; i++)
		ready += e->family[i].mode != COPY_NONE && e->family[i].peer_pid != 0;
	if (!e->configured || e->ended || e->held > 0)
		return false;
	if (e->lossless)
		return ready > 0 && !undecided_are_left(e);
	return !e->keep || undecided_have_room(e);
}

/* A source without a descriptor is always ready. */
int engine_source_fd(const struct engine *e)
{
	int fd = e->source->ops->fd(e->source);

	return fd < 0 ? e->always_ready : fd;
}

void engine_watch_source(struct engine *e)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = NULL };
	bool want = !e->polling && engine_wants_packets(e);

	if (want == e->watched)
		return;
	if (epoll_ctl(e->epoll, want ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, engine_source_fd(e), &event) < 0 &&
	    want)
		e->failed = -errno;
	e->watched = want;
}

void client_watch(struct engine *e, struct client *c)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLRDHUP | (c->blocked ? (uint32_t)EPOLLOUT : 0),
				     .data.ptr = c };

	c->watched = c->blocked || !e->polling || client_family(e, c)->owner != c;
	if (!c->watched)
		epoll_ctl(e->epoll, EPOLL_CTL_DEL, c->fd, NULL);
	else if (epoll_ctl(e->epoll, EPOLL_CTL_MOD, c->fd, &event) < 0 &&
		 epoll_ctl(e->epoll, EPOLL_CTL_ADD, c->fd, &event) < 0)
		e->failed = -errno;
}

/*
 * If a socket is in an epoll set, each send to it, and each read from its other end, has the cost of a wakeup, even
 * if no thread sleeps. So while there is much to do, the source and the owners' sockets are taken out of the set,
 * and every step reads them. An eventfd that is always readable keeps the set readable.
 */
void engine_set_polling(struct engine *e, bool on)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = &e->always_ready };
	struct family *f;

	e->polling = on;
	if (!on)
		epoll_ctl(e->epoll, EPOLL_CTL_DEL, e->always_ready, NULL);
	engine_watch_source(e);
	for (f = e->family; f < e->family + 2; f++)
		if (f->owner != NULL)
			client_watch(e, f->owner);
	if (on && epoll_ctl(e->epoll, EPOLL_CTL_ADD, e->always_ready, &event) < 0)
		engine_set_polling(e, false);
}

int engine_watch(struct engine *e, int fd, bool on)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = &e->epoll };

	return epoll_ctl(e->epoll, on ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, fd, &event) < 0 ? -errno : 0;
}

void engine_extend_end(struct engine *e)
{
	static const struct itimerspec grace = { .it_value.tv_sec = 1 };

	if (e->ended && !e->eof_sent)
		timerfd_settime(e->end_timer, 0, &grace, NULL);
}

bool engine_await_owner(struct engine *e, const struct family *f)
{
	static const struct itimerspec soon = { .it_value.tv_nsec = OWNER_GRACE_MS * 1000000L };

	if (!e->patient || f->owner_decided)
		return false;
	if (!e->awaiting_owner)
		timerfd_settime(e->owner_timer, 0, &soon, NULL);
	e->awaiting_owner = true;
	return true;
}

void engine_end_await(struct engine *e)
{
	timerfd_settime(e->owner_timer, 0, &(struct itimerspec){ 0 }, NULL);
	e->awaiting_owner = false;
}

int engine_open_events(struct engine *e)
{
	struct epoll_event wake = { .events = EPOLLIN, .data.ptr = &e->wake };
	struct epoll_event grace = { .events = EPOLLIN, .data.ptr = &e->end_timer };
	struct epoll_event hope = { .events = EPOLLIN, .data.ptr = &e->owner_timer };

	e->epoll = epoll_create1(EPOLL_CLOEXEC);
	e->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	e->always_ready = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
	e->end_timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	e->owner_timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (e->epoll < 0 || e->wake < 0 || e->always_ready < 0 || e->end_timer < 0 || e->owner_timer < 0 ||
	    epoll_ctl(e->epoll, EPOLL_CTL_ADD, e->wake, &wake) < 0 ||
	    epoll_ctl(e->epoll, EPOLL_CTL_ADD, e->end_timer, &grace) < 0 ||
	    epoll_ctl(e->epoll, EPOLL_CTL_ADD, e->owner_timer, &hope) < 0)
		return -errno;
	return 0;
}

void engine_poke(struct engine *e)
{
	static const uint64_t one = 1;

	if (write(e->wake, &one, sizeof(one)) < 0)
		return; /* the timer is set already */
}

void engine_wake(struct engine *e)
{
	atomic_store(&e->woken, true);
	engine_poke(e);
}
