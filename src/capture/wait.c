/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Capture files as a source: the descriptor, and the events that make it readable. */
#include <errno.h>
#include <unistd.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include "capture/state.h"

static void watch(struct pcap_source *p, int op, int fd)
{
	struct epoll_event event = { .events = EPOLLIN };

	epoll_ctl(p->poll_fd, op, fd, &event);
}

int source_pcap_wait_open(struct pcap_source *p)
{
	p->poll_fd = epoll_create1(EPOLL_CLOEXEC);
	p->ready_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	p->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	p->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (p->poll_fd < 0 || p->ready_fd < 0 || p->wake_fd < 0 || p->timer_fd < 0)
		return -errno;
	watch(p, EPOLL_CTL_ADD, p->ready_fd);
	watch(p, EPOLL_CTL_ADD, p->wake_fd);
	watch(p, EPOLL_CTL_ADD, p->timer_fd);
	return 0;
}

static void close_descriptor(int fd)
{
	if (fd >= 0)
		close(fd);
}

void source_pcap_wait_close(struct pcap_source *p)
{
	close_descriptor(p->poll_fd);
	close_descriptor(p->ready_fd);
	close_descriptor(p->wake_fd);
	close_descriptor(p->timer_fd);
}

static void set_timer(struct pcap_source *p, int64_t at)
{
	struct itimerspec t = { .it_value = { .tv_sec = (time_t)(at / NSEC), .tv_nsec = (long)(at % NSEC) } };

	timerfd_settime(p->timer_fd, TFD_TIMER_ABSTIME, &t, NULL);
}

void source_pcap_wait_for(struct pcap_source *p, enum wait wait, int64_t due)
{
	eventfd_t value;

	if (wait == p->wait && wait != WAIT_TIME)
		return;
	if (p->wait == WAIT_NOTHING)
		eventfd_read(p->ready_fd, &value);
	else if (p->wait == WAIT_TIME)
		set_timer(p, 0);
	else if (p->wait == WAIT_INPUT)
		watch(p, EPOLL_CTL_DEL, capture_reader_fd(p->in));
	p->wait = wait;
	if (wait == WAIT_NOTHING)
		eventfd_write(p->ready_fd, 1);
	else if (wait == WAIT_TIME)
		set_timer(p, due);
	else if (wait == WAIT_INPUT)
		watch(p, EPOLL_CTL_ADD, capture_reader_fd(p->in));
}

bool source_pcap_full(const struct pcap_source *p)
{
	if (p->inside_block)
		return false;
	return p->store.in_use - p->passing_count >= p->config.queue_length ||
	       p->store.longer_bytes >= HELD_LONG_MAX;
}
