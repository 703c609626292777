/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Theory of operation: a reader that is faster than the sender receives one packet or a few at a time, sleeps, and
 * is woken for each of them. This costs the kernel more time than the packets themselves: it resizes its table of
 * waiting packets whenever the table becomes full or empty (Linux 6.18), and waking a reader costs the sender's
 * processor more than sending. Half of the processor time of a busy queue was spent there.
 *
 * So this file does two things while a queue is busy, that is, if each of the last STREAK receives returned at least
 * BUSY packets and the program decides them within DECIDED_US. A shorter streak is a burst, or traffic that the reader
 * keeps up with: a pause would only delay it. The verdicts for the packets of the last two receives are sent after the
 * next receive: then the number of waiting packets changes little. And the reader pauses for PAUSE_US when it has
 * emptied the queue and received no more than FEW. After a larger batch a pause saves little, and would delay the last
 * verdicts of a burst.
 *
 * A pause must not delay the sender. It would delay a sender that sleeps until its packets get a verdict, if the
 * reader already has all of these packets. So once in TRUST_US the pause is divided in two. If no packet arrives in
 * the second half, the sender waits or has finished, and there are no pauses for a while, longer each time up to
 * BACKOFF_MOST_US. If the reader finds nothing, it sends all verdicts before it sleeps.
 *
 * The pause is the read of a timer descriptor, because only a read continues after a signal whose handler was installed
 * with SA_RESTART, as a blocking receive does. A child of fork shares the timer and must not consume the parent's
 * expirations: it does not pause.
 */
#include <errno.h>
#include <sys/timerfd.h>
#include <unistd.h>
#include "core/moderation.h"
#include "util/clock.h"

#define BUSY 16
#define STREAK 16
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

/* Pauses, and checks whether packets arrive in the second half of the pause. */
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
	m->streak = n >= BUSY ? m->streak + 1 : 0;
	m->received = m->streak >= STREAK ? now_us() : 0;
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
