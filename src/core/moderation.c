/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Theory of operation: a reader that is faster than the packets come finds one or a few at each look, sleeps
 * and is woken for each of them. The kernel pays as well: its table of waiting packets is resized by a kernel
 * thread whenever it runs full or empty (Linux 6.18), and to wake a sleeper costs the sender of the packet
 * more than the packet. Half of the processor time of a busy queue went there.
 *
 * So two things are done while a queue is busy, which is while a receive brings BUSY packets and the program
 * decides them within DECIDED_US. The verdicts for the packets of the last two receives leave only when the
 * next packets have been fetched: then the number of packets that wait moves within narrow bounds. And the
 * reader pauses for PAUSE_US when it has emptied the queue and found no more than FEW. A larger batch has paid for
 * its receive: to pause then saves the kernel little, and the burst's last verdict comes that much later.
 *
 * A pause must not make the sender wait. It would, if all that may be under way is under way, and the sender
 * sleeps until a verdict comes. So once in TRUST_US the pause is taken in two halves: if nothing was added in
 * the second half, somebody waits for us or has no more to say, and there are no pauses for a while, longer
 * each time up to BACKOFF_MOST_US. Whenever nothing is found, all verdicts leave before the reader sleeps.
 *
 * The pause is the read of a timer descriptor, because only a read is continued after a signal whose handler
 * was set with SA_RESTART, as a blocking receive is. A child of fork shares the timer and must not take its
 * expiration from the parent: it makes no pauses.
 */
#include <errno.h>
#include <sys/timerfd.h>
#include <unistd.h>
#include "core/moderation.h"
#include "util/clock.h"

#define BUSY 16
#define FEW 24
#define DECIDED_US 1000
#define PAUSE_US 50
#define TRUST_US 1000
#define BACKOFF_LEAST_US 1000
#define BACKOFF_MOST_US 64000

static int rest(const struct moderation *m, long us)
{
	const struct itimerspec once = { .it_value.tv_nsec = us * 1000 };
	uint64_t expirations;

	if (timerfd_settime(m->timer, 0, &once, NULL) < 0 ||
	    read(m->timer, &expirations, sizeof(expirations)) < 0)
		return -errno;
	return 0;
}

void moderation_begin(struct moderation *m)
{
	m->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
	m->owner = getpid();
}

/* Has more come in the second half than was there after the first? */
static int try_pause(struct moderation *m, const struct source *s, int64_t now)
{
	int64_t half;
	int err = rest(m, PAUSE_US / 2);

	if (err < 0)
		return err;
	half = s->ops->backlog(s);
	err = rest(m, PAUSE_US / 2);
	if (err < 0)
		return err;
	if (s->ops->backlog(s) > half) {
		m->backoff = 0;
		m->trusted_until = now + TRUST_US;
		return 0;
	}
	m->backoff = m->backoff == 0 ? BACKOFF_LEAST_US : 2 * m->backoff;
	if (m->backoff > BACKOFF_MOST_US)
		m->backoff = BACKOFF_MOST_US;
	m->not_before = now + m->backoff;
	return 0;
}

void moderation_note(struct moderation *m, unsigned n, unsigned max)
{
	m->before_last = m->last;
	m->last = n;
	m->small_batch = n < max && n <= FEW;
	m->received = n >= BUSY ? now_us() : 0;
}

size_t moderation_deferred_count(const struct moderation *m)
{
	return m->received != 0 && now_us() - m->received < DECIDED_US ? m->last + m->before_last : 0;
}

int moderation_pause(struct moderation *m, const struct source *s)
{
	int64_t now;
	int err;

	if (!m->small_batch || s->ops->backlog == NULL)
		return 0;
	now = now_us();
	if (now < m->not_before || m->timer < 0 || m->owner != getpid())
		return 0;
	err = now < m->trusted_until ? rest(m, PAUSE_US) : try_pause(m, s, now);
	return err == -EINTR ? err : 0;
}

void moderation_end(struct moderation *m)
{
	if (m->timer >= 0)
		close(m->timer);
}
