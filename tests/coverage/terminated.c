/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * For builds that count executed lines (-Db_coverage=true): many tests end their programs with SIGTERM; then the
 * library writes its counts first.
 */
#include <signal.h>
#include <stddef.h>

void __gcov_dump(void);

static void write_counts(int signal)
{
	__gcov_dump();
	raise(signal); /* SA_RESETHAND: this time the signal ends the process */
}

__attribute__((constructor)) static void catch_termination(void)
{
	struct sigaction before, now = { .sa_handler = write_counts, .sa_flags = (int)SA_RESETHAND };

	if (sigaction(SIGTERM, NULL, &before) == 0 && before.sa_handler == SIG_DFL)
		sigaction(SIGTERM, &now, NULL);
}
