/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <signal.h>
#include <sys/wait.h>
#include "common/restart.h"

#define STEADY_MS 10000
#define FIRST_DELAY_MS 100
#define LAST_DELAY_MS 5000

bool restart_is_failure(int status)
{
	if (!WIFSIGNALED(status))
		return WEXITSTATUS(status) != 0;
	return WTERMSIG(status) != SIGHUP && WTERMSIG(status) != SIGINT && WTERMSIG(status) != SIGQUIT &&
	       WTERMSIG(status) != SIGTERM;
}

int restart_delay_ms(struct restart *r, bool worked, int64_t lived_ms)
{
	int delay = FIRST_DELAY_MS;

	if (worked || lived_ms >= STEADY_MS) {
		r->failures = 0;
		return 0;
	}
	r->failures++;
	if (r->limit > 0 && r->failures >= r->limit)
		return -1;
	if (r->failures == 1)
		return 0;
	for (unsigned i = 2; i < r->failures && delay < LAST_DELAY_MS; i++)
		delay *= 2;
	return delay < LAST_DELAY_MS ? delay : LAST_DELAY_MS;
}
