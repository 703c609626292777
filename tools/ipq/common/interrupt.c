/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdint.h>
#include <sys/signalfd.h>
#include <unistd.h>
#include "common/interrupt.h"
#include "util/clock.h"

#define SAME_MS 200

static int fd = -1;
static bool pending;
static int64_t taken; /* time at which the last signal was taken; 0: never */

void interrupt_from(int signals)
{
	fd = signals;
	pending = false;
	taken = 0;
}

int interrupt_fd(void)
{
	return fd;
}

bool interrupt_pending(void)
{
	struct signalfd_siginfo info;

	while (fd >= 0 && read(fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
		pending |= taken == 0 || now_ms() - taken > SAME_MS;
	return pending;
}

void interrupt_take(void)
{
	pending = false;
	taken = now_ms();
}
